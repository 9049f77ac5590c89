# hauling.sh - the course that every pair of source protocol and destination runs, and the configurations for it.
# shellcheck shell=bash

# shellcheck disable=SC2034 # used by the tests
PROTOCOLS="imap imaps imap-starttls pop3 pop3s pop3-starttls"

# servers_start: certificates and Dovecot in WORK, 200 messages in WORK/messages, and in WORK/reference-imap and -pop3 as the server sends them.
servers_start() {
  certificates_make "$WORK/certs"
  dovecot_start "$WORK/dovecot" "$WORK/certs" || missing "Dovecot does not start"
  python3 "$LIB/make-messages.py" "$@" "$WORK/messages"
  dovecot_user reference secret
  dovecot_fill reference "$WORK/messages"
  python3 "$LIB/fetch-messages.py" imap "$IMAP_PORT" reference secret "$WORK/reference-imap"
  python3 "$LIB/fetch-messages.py" pop3 "$POP3_PORT" reference secret "$WORK/reference-pop3"
}

# source_lines PROTOCOL [HOST]: the lines of a mailbox that say where it is.
source_lines() {
  local host=${2:-localhost}
  case $1 in
  imap) printf '    imap: "%s:%s"\n    tls: none\n' "$host" "$IMAP_PORT" ;;
  imaps) printf '    imap: "%s:%s"\n' "$host" "$IMAPS_PORT" ;;
  imap-starttls) printf '    imap: "%s:%s"\n    tls: starttls\n' "$host" "$IMAP_PORT" ;;
  pop3) printf '    pop3: "%s:%s"\n    tls: none\n' "$host" "$POP3_PORT" ;;
  pop3s) printf '    pop3: "%s:%s"\n' "$host" "$POP3S_PORT" ;;
  pop3-starttls) printf '    pop3: "%s:%s"\n    tls: starttls\n' "$host" "$POP3_PORT" ;;
  esac
  case $1 in
  *s) printf '    ca_file: %s\n' "$WORK/certs/ca.pem" ;;
  esac
}

# write_config DIR PROTOCOL USER DESTINATION [MAILBOX_LINE...]: DIR/config.yaml, with its state in DIR/state. DESTINATION is a YAML value.
write_config() {
  local dir=$1 protocol=$2 user=$3 destination=$4
  shift 4
  mkdir -p "$dir"
  {
    printf 'state_dir: %s\ndestinations:\n  home: %s\nmailboxes:\n  - name: isp\n' "$dir/state" "$destination"
    source_lines "$protocol"
    printf '    user: %s\n    password: secret\n    deliver_to: home\n' "$user"
    [ $# -eq 0 ] || printf '    %s\n' "$@"
  } >"$dir/config.yaml"
  chmod 600 "$dir/config.yaml"
}

# run_config DIR [ARGUMENT...]: mailhaul run; what it says goes to DIR/log.
run_config() {
  local dir=$1
  shift
  mailhaul --config "$dir/config.yaml" run "$@" >"$dir/log" 2>&1
}

arrived_count() {
  find "$1" -type f \( -path '*/new/*' -o -path '*/cur/*' -o -path '*/files/*' \) | wc -l
}

arrived_is() {
  local count
  count=$(arrived_count "$1")
  echo "$count arrived, expected $2"
  [ "$count" = "$2" ]
}

# haul_course PROTOCOL KIND FORM ARRIVES DESTINATION: everything arrives once; nothing twice; a new message alone, though it was read elsewhere before.
# KIND names the destination in the test's name, FORM is one of compare-messages.py, ARRIVES the directory where mail shows up.
haul_course() {
  local protocol=$1 kind=$2 form=$3 arrives=$4 destination=$5 dir total user status=0
  local name="$protocol to $kind"
  dir=$WORK/$kind-$protocol
  user=source-$kind-$protocol
  total=$(find "$WORK/messages" -type f | wc -l)
  dovecot_user "$user" secret
  dovecot_fill "$user" "$WORK/messages"
  write_config "$dir" "$protocol" "$user" "$destination"

  run_config "$dir" || status=$?
  if [ "$status" != 0 ]; then
    fail "$name: run succeeds" "exit code $status" "$dir/log"
    return
  fi
  pass "$name: run succeeds"
  wait_until 60 arrived_is "$arrives" "$total"
  check "$name: every message arrives once, byte for byte" python3 "$LIB/compare-messages.py" "$form" "$WORK/reference-${protocol%%[s-]*}" "$arrives"
  check "$name: the source keeps everything, unread" [ "$(dovecot_count "$user" INBOX unseen)" = "$total" ]

  doveadm_ flags add -u "$user" '\Seen' mailbox INBOX 1:100
  run_config "$dir"
  check "$name: a second run succeeds" [ $? = 0 ]
  check "$name: a second run hauls nothing" arrived_is "$arrives" "$total"

  printf 'Return-Path: <late@sender.example>\nSubject: a late one\n\nread elsewhere before it was hauled\n' >"$dir/late"
  dovecot_put "$user" 2000000000.late.host:2,S "$dir/late"
  doveadm_ flags add -u "$user" '\Seen' mailbox INBOX all
  run_config "$dir"
  check "$name: a run with one new message succeeds" [ $? = 0 ]
  wait_until 30 arrived_is "$arrives" $((total + 1))
  check "$name: the new message arrives alone" arrived_is "$arrives" $((total + 1))
  check "$name: it is the new one" grep -rqF 'read elsewhere before it was hauled' "$arrives"
}
