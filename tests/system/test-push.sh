#!/usr/bin/env bash
# test-push.sh - the daemon with mailboxes that are pushed, at a real Dovecot: mail is there as soon as it is announced, and nobody else has to wait.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=3
DIR=
DAEMON=
serial=0

# configure [LINE...]: anna's lines.
configure() {
  {
    printf 'state_dir: %s\ndestinations:\n  home: {maildir: %s}\nmailboxes:\n' "$DIR/state" "$DIR/home"
    printf '  - name: anna\n    imap: "localhost:%s"\n    ca_file: %s\n' "$IMAPS_PORT" "$WORK/certs/ca.pem"
    printf '    user: anna\n    password: secret\n    deliver_to: home\n    push: yes\n'
    [ $# -eq 0 ] || printf '    %s\n' "$@"
  } >"$DIR/config.yaml"
  chmod 600 "$DIR/config.yaml"
}

# daemon_start FACTOR: so many seconds are one.
daemon_start() {
  MAILHAUL_DEADLINE_FACTOR=$1 "$MAILHAUL" --config "$DIR/config.yaml" -v --trace anna daemon 2>"$DIR/log" &
  DAEMON=$!
  at_exit "kill -9 $DAEMON 2>/dev/null"
}

is_gone() {
  [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"
}

# said COUNT PATTERN: so many lines of the log, at least.
said() {
  [ "$(grep -c "$2" "$DIR/log")" -ge "$1" ]
}

# put FOLDER: one more message, as a mail server delivers it.
put() {
  serial=$((serial + 1))
  printf 'Return-Path: <late@sender.example>\nSubject: number %s\n\nhello %s\n' "$serial" "$serial" | doveadm_ save -u anna -m "$1"
}

# arrives NAME FOLDER
arrives() {
  local before
  before=$(arrived_count "$DIR/home")
  put "$2"
  wait_until 10 arrived_is "$DIR/home" $((before + 1))
  check "$1" arrived_is "$DIR/home" $((before + 1))
}

# The youngest child, once a session is under way.
worker() {
  pgrep -n -P "$DAEMON" mailhaul-worker
}

announced() {
  configure 'poll_every: 10m'
  daemon_start 0.1
  wait_until 10 said 1 'result=waiting'
  check "all that was there is hauled" arrived_is "$DIR/home" "$COUNT"
  arrives "mail that is announced is there at once" INBOX
  arrives "and again" INBOX
  check "in one session" [ "$(pgrep -c -P "$DAEMON" mailhaul-worker)" = 1 ]
  expect "nobody holds the mailbox meanwhile" 0 'hauled again' mailhaul --config "$DIR/config.yaml" refetch anna 1
  kill -USR1 "$DAEMON"
  wait_until 10 arrived_is "$DIR/home" $((COUNT + 3))
  check "SIGUSR1: what nobody has announced is looked for" arrived_is "$DIR/home" $((COUNT + 3))
}

# A connection that has stood for a minute may end. This one has when it was looked into twice.
broken() {
  local worker
  configure 'poll_every: 60s'
  daemon_start 0.02
  wait_until 10 said 1 'result=waiting'
  worker=$(worker)
  wait_until 10 said 2 '> DONE'
  doveadm_ kick anna
  wait_until 10 is_gone "$worker"
  arrives "after the server has closed, mail comes by a new connection" INBOX
  check "which is no failure" [ "$(grep -c 'mailbox_failed' "$DIR/log")" = 0 ]
  leaves
}

reloaded() {
  configure 'poll_every: 10m' 'after_delivery: delete'
  kill -HUP "$DAEMON"
  wait_until 10 said 1 event=reloaded
  arrives "SIGHUP: it goes on" INBOX
  wait_until 10 [ "$(dovecot_count anna INBOX)" = 0 ]
  check "SIGHUP: with the new configuration, soon" wait_until 10 test "$(dovecot_count anna INBOX header Subject "number $serial")" = 0
}

# Dovecot has NOTIFY: one connection hears of all folders.
all_folders() {
  doveadm_ mailbox create -u anna Junk Entwürfe 'a "b" \c'
  configure 'poll_every: 10m' 'folders: [INBOX, Junk, Entwürfe, "a \"b\" \\c"]'
  kill -HUP "$DAEMON"
  wait_until 10 said 2 event=reloaded
  wait_until 10 said 1 'NOTIFY SET STATUS'
  check "several folders: NOTIFY is asked for" said 1 'NOTIFY SET STATUS'
  arrives "several folders: mail for the one that is open" INBOX
  arrives "several folders: mail for another" Junk
  arrives "several folders: for one with another name" Entwürfe
  arrives "several folders: for one with a worse name" 'a "b" \c'
  arrives "several folders: and for the first again" INBOX
  check "several folders: one connection" [ "$(pgrep -c -P "$DAEMON" mailhaul-worker)" = 1 ]
}

is_pushed_in() {
  mailhaul --config "$DIR/config.yaml" status | grep -q "pushed *$1\$"
}

# A reload is over when new connections get what is new; until then the old processes leave, with whoever is connected to them.
offers_no_notify() {
  python3 - "$IMAP_PORT" <<'EOF'
import imaplib, sys
imap = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]), timeout=10)
imap.login("anna", "secret")
words = imap.capability()[1][0].split()
imap.logout()
sys.exit(b"IDLE" not in words or b"NOTIFY" in words)
EOF
}

# Without NOTIFY each folder takes a connection.
each_folder() {
  local former
  printf 'protocol imap {\n  imap_capability = IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ UIDPLUS MOVE LIST-STATUS\n}\n' >>"$DOVECOT_DIR/dovecot.conf"
  doveadm_ reload
  wait_until 10 offers_no_notify
  former=$(worker)
  kill -HUP "$DAEMON"
  wait_until 10 said 3 event=reloaded
  wait_until 10 is_gone "$former" # it hears of all folders, too
  wait_until 10 is_pushed_in 'INBOX, Junk, Entw.*rfe, a "b" .*c'
  check "IDLE alone: mail is heard of in each folder" is_pushed_in 'INBOX, Junk, Entw.*rfe, a "b" .*c'
  check "IDLE alone: by a connection for each" [ "$(pgrep -c -P "$DAEMON" mailhaul-worker)" = 4 ]
  arrives "IDLE alone: mail for the first folder" INBOX
  arrives "IDLE alone: mail for another" Junk
  arrives "IDLE alone: and again" Junk
  arrives "IDLE alone: for one with another name" Entwürfe
  arrives "IDLE alone: for one with a worse name" 'a "b" \c'
  check "IDLE alone: nobody has complained" [ "$(grep -c 'folder_not_pushed\|mailbox_failed' "$DIR/log")" = 0 ]
}

leaves() {
  local began
  began=$(date +%s%N)
  kill -TERM "$DAEMON"
  wait_until 10 is_gone "$DAEMON"
  check "SIGTERM: it leaves at once" [ $((($(date +%s%N) - began) / 1000000)) -lt 2000 ]
  check "and in order" wait "$DAEMON"
}

system_begin
servers_start --count $COUNT
DIR=$WORK/push
mkdir -p "$DIR"
dovecot_user anna secret
dovecot_fill anna "$WORK/messages"
announced
reloaded
all_folders
each_folder
leaves
broken
system_end
