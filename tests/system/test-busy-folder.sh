#!/usr/bin/env bash
# test-busy-folder.sh - the daemon at a server that announces mail in one folder all the time, and none in another: that is looked into every poll_every.
. "$(dirname "$0")/../lib/system.sh"

# said COUNT PATTERN: exactly so many lines of the log.
said() {
  [ "$(grep -c "$2" "$WORK/log")" = "$1" ]
}

has() {
  grep -qs "Subject: $1" -r "$WORK/home/new"
}

system_begin
coproc SERVER { exec python3 "$LIB/busy-imap.py"; }
at_exit "kill $SERVER_PID 2>/dev/null"
read -r port <&"${SERVER[0]}"
{
  printf 'state_dir: %s/state\ndestinations:\n  home: {maildir: %s/home}\n' "$WORK" "$WORK"
  printf 'mailboxes:\n  - {name: isp, imap: "127.0.0.1:%s", tls: none, user: anna, password: secret, deliver_to: home, push: yes,\n' "$port"
  printf '     poll_every: 20s, folders: [INBOX, Quiet, Missing]}\n'
} >"$WORK/config.yaml"
chmod 600 "$WORK/config.yaml"
# 20 seconds are 2.
MAILHAUL_DEADLINE_FACTOR=0.1 "$MAILHAUL" --config "$WORK/config.yaml" -v daemon 2>"$WORK/log" &
daemon=$!
at_exit "kill -9 $daemon 2>/dev/null"
check "mail that is announced comes" wait_until 10 has INBOX
check "mail that is not announced comes as well" wait_until 10 has Quiet
wait_until 3 false
check "the folder that is missing is complained about once" said 1 'warning event=mailbox_failed'
kill -TERM "$daemon"
check "it leaves in order" wait "$daemon"
system_end
