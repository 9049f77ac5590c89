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
  expect "password from $name: run succeeds" 0 '' env "$@" timeout 15 "$MAILHAUL" --config "$dir/config.yaml" run
  check "password from $name: all arrives" arrived_is "$dir/home" 5
}

# refuses COMMAND REGEX VARIABLE=VALUE
refuses() {
  local dir=$WORK/password-$1
  write_config "$dir" imaps anna "{maildir: $dir/home}"
  sed -i "s|password: secret|password: {command: [$WORK/secrets/$1]}|" "$dir/config.yaml"
  expect "password command $1: the error says what is wrong" 78 "$2" env "$3" timeout 20 "$MAILHAUL" --config "$dir/config.yaml" run
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
cat >"$WORK/secrets/agent" <<EOF
#!/bin/sh
# Leaves an agent running that keeps the other end of the pipe.
head -n 1 "\$1"
sleep 20 &
EOF
printf '#!/bin/sh\nexec yes\n' >"$WORK/secrets/endless"
printf '#!/bin/sh\nread answer </dev/tty\n' >"$WORK/secrets/asks"
chmod 700 "$WORK/secrets/agent" "$WORK/secrets/endless" "$WORK/secrets/asks"
with_password agent "{command: [$WORK/secrets/agent, $WORK/secrets/isp]}"
refuses endless 'prints without end' MAILHAUL_DEADLINE_FACTOR=0.02
refuses asks 'failed with exit status' MAILHAUL_DEADLINE_FACTOR=1
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

# A refused login rests, for cron; a password that was replaced does not.
dir=$WORK/mended
echo wrong >"$WORK/secrets/mended"
chmod 600 "$WORK/secrets/mended"
write_config "$dir" imaps reference "{maildir: $dir/home}"
sed -i "s|password: secret|password: {file: $WORK/secrets/mended}|" "$dir/config.yaml"
expect "a wrong password: refused" 77 'refused' mailhaul --config "$dir/config.yaml" run
expect "a wrong password: not tried again" 77 'event=backing_off' mailhaul --config "$dir/config.yaml" run -v
echo alsowrong >"$WORK/secrets/mended"
expect "another wrong password: tried once" 77 'event=session' mailhaul --config "$dir/config.yaml" run -v
expect "another wrong password: not tried again" 77 'event=backing_off' mailhaul --config "$dir/config.yaml" run -v
echo secret >"$WORK/secrets/mended"
expect "the right password: tried at once" 0 '' mailhaul --config "$dir/config.yaml" run
check "the right password: all arrives" arrived_is "$dir/home" 5
system_end
