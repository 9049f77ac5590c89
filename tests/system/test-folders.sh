#!/usr/bin/env bash
# test-folders.sh - several folders, several mailboxes, several destinations, names with odd letters, and what restarts and renumberings do to them.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=12

several_folders() {
  local dir=$WORK/folders folder
  dovecot_user anna secret
  dovecot_fill anna "$WORK/messages"
  for folder in Work 'Büro & Söhne' 'with "quotes"'; do
    doveadm_ mailbox create -u anna "$folder"
    doveadm_ copy -u anna "$folder" mailbox INBOX all
  done
  write_config "$dir" imaps anna "{maildir: $dir/home}" "folders: [INBOX, Work, 'Büro & Söhne', 'with \"quotes\"']"
  expect "several folders: run succeeds" 0 '' mailhaul --config "$dir/config.yaml" run
  check "several folders: each message of each folder arrives" arrived_is "$dir/home" $((4 * COUNT))
  check "several folders: X-Mailhaul-Mailbox names them" [ "$(grep -rlE '^X-Mailhaul-Mailbox: isp/Work' "$dir/home/new" | wc -l)" = $COUNT ]
  expect "several folders: second run succeeds" 0 '' mailhaul --config "$dir/config.yaml" run
  check "several folders: nothing comes twice" arrived_is "$dir/home" $((4 * COUNT))
}

missing_folder() {
  local dir=$WORK/missing-folder
  write_config "$dir" imaps anna "{maildir: $dir/home}" 'folders: [Gone, INBOX]'
  expect "a missing folder: run says so" 75 'Gone' mailhaul --config "$dir/config.yaml" run
  check "a missing folder: the others are hauled" arrived_is "$dir/home" $COUNT
}

several_destinations() {
  local dir=$WORK/destinations
  mkdir -p "$dir"
  dovecot_user bert secret
  cat >"$dir/config.yaml" <<EOF
state_dir: $dir/state
destinations:
  one: {maildir: $dir/one}
  two: {lmtp: $WORK/dovecot/lmtp, recipient: bert@home.example}
defaults:
  deliver_to: [one, two]
  password: secret
  ca_file: $WORK/certs/ca.pem
mailboxes:
  - {name: isp-one, imap: "localhost:$IMAPS_PORT", user: reference}
  - {name: isp-two, pop3: "localhost:$POP3S_PORT", user: anna}
EOF
  chmod 600 "$dir/config.yaml"
  expect "two mailboxes to two destinations: run succeeds" 0 '' mailhaul --config "$dir/config.yaml" run
  check "two mailboxes to two destinations: the first has all" arrived_is "$dir/one" $((2 * COUNT))
  check "two mailboxes to two destinations: the second has all" arrived_is "$WORK/dovecot/mail/bert" $((2 * COUNT))
}

one_bad_mailbox() {
  local dir=$WORK/one-bad
  dovecot_user broken secret
  write_config "$dir" imaps reference "{maildir: $dir/home}"
  cat >>"$dir/config.yaml" <<EOF
  - {name: broken, imap: "localhost:$IMAPS_PORT", user: broken, password: wrong, ca_file: $WORK/certs/ca.pem, deliver_to: home}
EOF
  expect "a mailbox that fails: run says which" 77 'broken' mailhaul --config "$dir/config.yaml" run
  check "a mailbox that fails: the other is hauled" arrived_is "$dir/home" $COUNT
}

# A new UIDVALIDITY gives every message a new number; what was delivered is known again by its trace and bytes.
renumbered() {
  local dir=$WORK/renumbered
  dovecot_user carl secret
  dovecot_fill carl "$WORK/messages"
  write_config "$dir" imaps carl "{maildir: $dir/home}"
  expect "renumbered folder: first run" 0 '' mailhaul --config "$dir/config.yaml" run
  doveadm_ mailbox update --uid-validity 4711 -u carl INBOX
  expect "renumbered folder: run after it" 0 '' mailhaul --config "$dir/config.yaml" run
  check "renumbered folder: nothing comes twice" arrived_is "$dir/home" $COUNT
}

# The server loses its list of UIDs and makes another one, with another UIDVALIDITY.
lose_uids() {
  rm -f "$WORK/dovecot/mail/$1"/dovecot*
  doveadm_ mailbox update --uid-validity "$2" -u "$1" INBOX
}

# New numbers for known messages cost nothing; other messages under new numbers have to be accepted.
replaced() {
  local dir=$WORK/replaced number
  dovecot_user dora secret
  dovecot_fill dora "$WORK/messages"
  write_config "$dir" imaps dora "{maildir: $dir/home}"
  expect "replaced mailbox: first run" 0 '' mailhaul --config "$dir/config.yaml" run
  lose_uids dora 4712
  expect "replaced mailbox: new numbers" 0 '' mailhaul --config "$dir/config.yaml" run
  check "replaced mailbox: nothing comes twice" arrived_is "$dir/home" $COUNT
  rm -f "$WORK/dovecot/mail/dora/cur"/* "$WORK/dovecot/mail/dora/new"/*
  for number in $(seq 1 60); do
    printf 'Return-Path: <a@b.example>\nReceived: from a by b; %s\nSubject: other %s\n\nother\n' "$number" "$number" >"$dir/other"
    dovecot_put dora "20000000$number.other.host" "$dir/other"
  done
  lose_uids dora 4713
  expect "replaced mailbox: it stops" 75 'mailhaul accept isp' mailhaul --config "$dir/config.yaml" run
  check "replaced mailbox: nothing is hauled" arrived_is "$dir/home" $COUNT
  expect "replaced mailbox: it stays so, and quiet" 75 '^$' run_quietly "$dir"
  expect "replaced mailbox: status says so" 1 'not hauled .*stopped: .*mailhaul accept isp' mailhaul --config "$dir/config.yaml" status
  expect "replaced mailbox: list still works" 0 '60 messages' mailhaul --config "$dir/config.yaml" list isp
  expect "replaced mailbox: it is accepted" 0 'isp: accepted' mailhaul --config "$dir/config.yaml" accept isp
  expect "replaced mailbox: it is hauled" 0 '' mailhaul --config "$dir/config.yaml" run
  check "replaced mailbox: all that is new has come" arrived_is "$dir/home" $((COUNT + 60))
}

run_quietly() {
  local status
  mailhaul --config "$1/config.yaml" run >"$1/quiet" 2>&1
  status=$?
  [ ! -s "$1/quiet" ] && echo
  return "$status"
}

# The lock of a mailbox: of two runs at once one hauls, the other says so and leaves, or comes later and finds nothing to do.
two_runs() {
  local dir=$WORK/two first second
  write_config "$dir" imaps reference "{maildir: $dir/home}"
  mailhaul --config "$dir/config.yaml" run >"$dir/first" 2>&1 &
  first=$!
  mailhaul --config "$dir/config.yaml" run >"$dir/second" 2>&1
  second=$?
  wait $first
  first=$?
  case $first-$second in
  0-0 | 0-75 | 75-0) pass "two runs at once: one hauls, the other waits or leaves" ;;
  *) fail "two runs at once: one hauls, the other waits or leaves" "exit codes $first and $second" "$dir/second" ;;
  esac
  check "two runs at once: nothing comes twice" arrived_is "$dir/home" $COUNT
}

system_begin
servers_start --count $COUNT
several_folders
missing_folder
several_destinations
one_bad_mailbox
renumbered
replaced
two_runs
system_end
