#!/usr/bin/env bash
# test-refusals.sh - bad input of every kind: the exit code, a sentence that says what to change, and the mail still at the source.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=20

root_setup() {
  # Small file systems that can be full: for mail, for state.
  local name
  for name in full-mail full-state; do
    mkdir -p "$WORK/$name"
    if mount -t tmpfs -o size=1m,mode=700,uid="$(id -u "$ORDINARY_USER")" tmpfs "$WORK/$name" 2>/dev/null; then
      at_exit "umount -l '$WORK/$name'"
    else
      rmdir "$WORK/$name"
    fi
  done
}

# refused NAME EXIT REGEX DIR: a run fails like this, says so in one line that names the mailbox or the file, and nothing is gone.
refused() {
  local name=$1 want=$2 regex=$3 dir=$4 status=0
  run_config "$dir" || status=$?
  # shellcheck disable=SC2053 # a pattern: 7[58]
  if [[ $status == $want ]] && grep -Eiq -- "$regex" "$dir/log"; then
    pass "$name: exit $want, and says why"
  else
    fail "$name: exit $want, and says why" "exit code $status; wanted $want and a line that matches '$regex'" "$dir/log"
  fi
  check "$name: no line is longer than a screen can bear" awk 'length > 500 { print; bad = 1 } END { exit bad }' "$dir/log"
  check "$name: the mail is still at the source" [ "$(dovecot_count victim INBOX)" = "$COUNT" ]
  check "$name: nothing arrived in part" bash -c "! ls -A '$dir/home/new' 2>/dev/null | grep -q ."
}

# A mailbox whose mail would be deleted after delivery, so that a wrong step shows.
prepare() {
  local dir=$WORK/$1 protocol=$2 destination=${3:-}
  write_config "$dir" "$protocol" victim "${destination:-"{maildir: $dir/home}"}" "after_delivery: delete"
  case_dir=$dir
}

edit() {
  sed -i "$1" "$case_dir/config.yaml"
}

wrong_logins() {
  local protocol tried=0
  for protocol in imaps imap-starttls pop3s pop3-starttls; do
    tried=$((tried + 1))
    prepare "password-$protocol" $protocol
    edit 's/password: secret/password: not-the-secret-at-all/'
    refused "wrong password, $protocol" 77 'isp.*authentication failed' "$case_dir"
    check "wrong password, $protocol: it is not in the log" bash -c "! grep -q not-the-secret-at-all '$case_dir/log'"
    run_config "$case_dir"
    check "wrong password, $protocol: the back-off is obeyed" [ "$(grep -c 'auth failed' "$WORK/dovecot/dovecot.log")" = $tried ]
  done
}

wrong_hosts() {
  local port
  prepare host imaps
  edit 's/localhost/no-such-host.invalid/'
  refused "wrong host name" 75 'isp.*no-such-host\.invalid' "$case_dir"
  prepare port imaps
  read -r port < <(free_ports 1)
  edit "s/:$IMAPS_PORT/:$port/"
  refused "closed port" 75 'isp.*(refused|nobody|closed)' "$case_dir"
}

wrong_certificates() {
  local protocol
  for protocol in imaps pop3-starttls; do
    prepare "expired-$protocol" $protocol
    edit 's/localhost/127.0.0.2/'
    refused "expired certificate, $protocol" 75 'isp.*expired' "$case_dir"
    prepare "name-$protocol" $protocol
    edit 's/localhost/127.0.0.3/'
    refused "certificate of another name, $protocol" 75 'isp.*(certificate|127\.0\.0\.3)' "$case_dir"
    prepare "self-signed-$protocol" $protocol
    edit 's/localhost/127.0.0.4/'
    refused "self-signed certificate, $protocol" 75 'isp.*self.signed' "$case_dir"
    prepare "unknown-ca-$protocol" $protocol
    edit 's/localhost/127.0.0.5/'
    refused "certificate of an unknown authority, $protocol" 75 'isp.*(certificate|issuer|authority)' "$case_dir"
  done
  check "bad certificates: nobody tried to log in there" bash -c "! grep -E 'lip=127\.0\.0\.[2-5]' '$WORK/dovecot/dovecot.log' | grep -E 'auth failed|Login: user'"
  prepare tls-missing imaps
  edit "s/:$IMAPS_PORT/:$IMAP_PORT/"
  refused "implicit TLS on a port without" 75 isp "$case_dir"
}

wrong_secrets() {
  prepare secret-missing imaps
  edit "s|password: secret|password: {file: $case_dir/none}|"
  refused "missing password file" 78 "$case_dir/none" "$case_dir"
  prepare secret-unreadable imaps
  edit "s|password: secret|password: {file: $case_dir/pw}|"
  echo secret >"$case_dir/pw"
  chmod 000 "$case_dir/pw"
  refused "unreadable password file" 78 "$case_dir/pw" "$case_dir"
  chmod 644 "$case_dir/pw"
  refused "password file that all may read" 78 "$case_dir/pw.*(chmod|read)" "$case_dir"
  chmod 600 "$case_dir/pw"
  : >"$case_dir/pw"
  refused "empty password file" 78 "$case_dir/pw" "$case_dir"
  prepare secret-literal imaps
  chmod 644 "$case_dir/config.yaml"
  refused "configuration with a password that all may read" 78 'config\.yaml.*(chmod|read)' "$case_dir"
  prepare secret-command imaps
  edit 's|password: secret|password: {command: [/bin/false]}|'
  refused "password command that fails" 7[578] 'isp.*false' "$case_dir"
}

wrong_configuration() {
  prepare key imaps
  edit 's/after_delivery:/after_delivry:/'
  refused "unknown key" 78 'config\.yaml:[0-9]+:[0-9]+: .*after_delivry.*after_delivery' "$case_dir"
  prepare syntax imaps
  edit 's/password: secret/password: [secret/'
  refused "broken YAML" 78 'config\.yaml:[0-9]+:[0-9]+: ' "$case_dir"
  prepare destination imaps
  edit 's/deliver_to: home/deliver_to: hone/'
  refused "unknown destination" 78 'config\.yaml:[0-9]+:[0-9]+: .*hone.*home' "$case_dir"
  prepare two imaps
  edit 's/after_delivery: delete/after_delivery: burn/; s/deliver_to: home/deliver_to: hone/'
  refused "two errors, the first" 78 'config\.yaml:[0-9]+:[0-9]+: .*hone' "$case_dir"
  refused "two errors, the second" 78 'config\.yaml:[0-9]+:[0-9]+: after_delivery must be' "$case_dir"
  prepare plain imap
  edit 's/localhost/mail.example/'
  refused "tls: none beyond loopback" 78 'config\.yaml:[0-9]+:[0-9]+: .*(tls|insecure)' "$case_dir"
  expect "no configuration file" 78 "$WORK/none.yaml" mailhaul --config "$WORK/none.yaml" run
  expect "unknown command" 64 frobnicate mailhaul frobnicate
  expect "unknown option" 64 frobnicate mailhaul --frobnicate run
  prepare name imaps
  expect "unknown mailbox" 64 'isq.*isp' mailhaul --config "$case_dir/config.yaml" run isq
}

wrong_destinations() {
  local port
  prepare parent imaps "{maildir: $WORK/not/there/Maildir}"
  refused "missing parent of the Maildir" 7[58] "$WORK/not/there" "$case_dir"
  mkdir -p "$WORK/read-only"
  chmod 500 "$WORK/read-only"
  prepare locked imaps "{maildir: $WORK/read-only/Maildir}"
  refused "Maildir that can't be made" 7[58] "$WORK/read-only" "$case_dir"
  prepare recipient imaps "{lmtp: $WORK/dovecot/lmtp, recipient: nobody-here@home.example}"
  refused "refused recipient" 75 "User doesn.t exist" "$case_dir"
  read -r port < <(free_ports 1)
  prepare closed imaps "{smtp: \"127.0.0.1:$port\", recipient: anna@home.example}"
  refused "destination on a closed port" 75 'home.*(refused|nobody|closed)' "$case_dir"
  prepare socket imaps "{lmtp: $WORK/no-socket, recipient: anna@home.example}"
  refused "missing LMTP socket" 75 "$WORK/no-socket" "$case_dir"
  prepare mda-missing imaps "{mda: [$WORK/no-program]}"
  refused "missing MDA" 7[58] "$WORK/no-program" "$case_dir"
  prepare mda-false imaps "{mda: [/bin/false]}"
  refused "MDA that fails" 75 "home.*exited with 1" "$case_dir"
}

full_disks() {
  if [ ! -d "$WORK/full-mail" ]; then
    skip "full disk" "a small file system to fill needs root"
    return
  fi
  prepare full imaps "{maildir: $WORK/full-mail/home}"
  mkdir -p "$WORK/full-mail/home"/{tmp,new,cur}
  dd if=/dev/zero of="$WORK/full-mail/filler" bs=4k 2>/dev/null
  refused "full disk below the Maildir" 75 "(no space|full)" "$case_dir"
  check "full disk below the Maildir: nothing is left in tmp" [ -z "$(ls -A "$WORK/full-mail/home/tmp")" ]
  check "full disk below the Maildir: nothing is in new" [ -z "$(ls -A "$WORK/full-mail/home/new")" ]
  prepare state-full imaps
  edit "s|^state_dir: .*|state_dir: $WORK/full-state/state|"
  dd if=/dev/zero of="$WORK/full-state/filler" bs=4k 2>/dev/null
  refused "full disk below the state" 74 "(no space|full)" "$case_dir"
}

system_begin
servers_start --count $COUNT
dovecot_user victim secret
dovecot_fill victim "$WORK/messages"
wrong_logins
wrong_hosts
wrong_certificates
wrong_secrets
wrong_configuration
wrong_destinations
full_disks
system_end
