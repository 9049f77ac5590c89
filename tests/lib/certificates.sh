# certificates.sh - a certificate authority of our own, and good and bad server certificates, made when the test runs so that none can expire in the tree.
# shellcheck shell=bash

# certificates_make DIR: ca.pem, and NAME.pem with NAME.key for server, expired, wrong-name, self-signed and other-ca.
certificates_make() {
  local dir=$1
  mkdir -p "$dir"
  certificate_ca "$dir/ca" "mailhaul test CA"
  certificate_ca "$dir/strange-ca" "a CA that nobody knows"
  certificate_sign "$dir" ca server DNS:localhost,IP:127.0.0.1
  certificate_sign "$dir" ca wrong-name DNS:elsewhere.example
  certificate_sign "$dir" strange-ca other-ca IP:127.0.0.5
  certificate_sign "$dir" ca expired IP:127.0.0.2 20200101000000Z 20210101000000Z
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.4 \
    -keyout "$dir/self-signed.key" -out "$dir/self-signed.pem" 2>/dev/null
}

certificate_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$2" -keyout "$1.key" -out "$1.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

# certificate_sign DIR CA NAME SUBJECT_ALT_NAME [NOT_BEFORE NOT_AFTER]
certificate_sign() {
  local dir=$1 ca=$2 name=$3 san=$4 from=${5:-} until=${6:-} dates=(-days 30)
  [ -z "$from" ] || dates=(-startdate "$from" -enddate "$until")
  : >"$dir/$name.index"
  cat >"$dir/$name.cnf" <<EOF
[ca]
default_ca = this
[this]
database = $dir/$name.index
rand_serial = yes
new_certs_dir = $dir
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = $san
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
EOF
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$dir/$name.key" -out "$dir/$name.csr" 2>/dev/null
  openssl ca -batch -notext -config "$dir/$name.cnf" -cert "$dir/$ca.pem" -keyfile "$dir/$ca.key" -in "$dir/$name.csr" -out "$dir/$name.pem" \
    "${dates[@]}" 2>/dev/null
}
