#!/usr/bin/env bash
# test-passwords.sh - every way to give a password, and the two ways to trust a certificate without the system's authorities.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

# with_password NAME YAML [VARIABLE=VALUE...]
with_password() {
  local name=$1 yaml=$2 dir=$WORK/password-$1
  shift 2
  write_config "$dir" imaps anna "{maildir: $dir/home}"
  sed -i "s|password: secret|password: $yaml|" "$dir/config.yaml"
  expect "password from $name: run succeeds" 0 '' env "$@" "$MAILHAUL" --config "$dir/config.yaml" run
  check "password from $name: all arrives" arrived_is "$dir/home" 5
}

system_begin
servers_start --count 5
dovecot_user anna 'pass word: "1#'
dovecot_fill anna "$WORK/messages"

mkdir -p "$WORK/secrets"
printf 'pass word: "1#\n' >"$WORK/secrets/isp"
chmod 600 "$WORK/secrets/isp"
cat >"$WORK/secrets/command" <<EOF
#!/bin/sh
# Only the first line is the password.
head -n 1 "\$1"
echo second line
EOF
chmod 700 "$WORK/secrets/command"

with_password literal "'pass word: \"1#'"
with_password file "{file: $WORK/secrets/isp}"
with_password command "{command: [$WORK/secrets/command, $WORK/secrets/isp]}"
with_password environment "{env: ISP_PASSWORD}" 'ISP_PASSWORD=pass word: "1#'
with_password credential "{credential: isp}" CREDENTIALS_DIRECTORY="$WORK/secrets"

pin=$(openssl x509 -in "$WORK/certs/self-signed.pem" -noout -pubkey | openssl pkey -pubin -outform der 2>/dev/null | sha256sum | cut -c1-64)
dir=$WORK/pin
write_config "$dir" imaps reference "{maildir: $dir/home}" "pin_sha256: $pin"
sed -i 's/localhost/127.0.0.4/; /ca_file/d' "$dir/config.yaml"
expect "pin_sha256: a self-signed certificate with the right key is taken" 0 '' mailhaul --config "$dir/config.yaml" run
check "pin_sha256: all arrives" arrived_is "$dir/home" 5
dir=$WORK/pin-wrong
write_config "$dir" imaps reference "{maildir: $dir/home}" "pin_sha256: $(printf '%064d' 1)"
sed -i 's/localhost/127.0.0.4/; /ca_file/d' "$dir/config.yaml"
expect "pin_sha256: another key is not" 75 'isp' mailhaul --config "$dir/config.yaml" run
system_end
