#!/usr/bin/env bash
# test-smtp-distant.sh - messages of every shape into a Postfix some way off: most of them by BDAT, in windows.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/postfix.sh"
. "$LIB/hauling.sh"

root_setup() {
  command -v postfix >/dev/null || return
  postfix_start "$WORK/postfix" "$ORDINARY_USER" && export SMTP_PORT
}

# commands_counted COMMAND LEAST MOST FILE
commands_counted() {
  local count
  count=$(awk -v command="$1" '$1 == command {print $2}' "$4")
  echo "${count:-0} times $1, expected $2 to $3"
  [ "${count:-0}" -ge "$2" ] && [ "${count:-0}" -le "$3" ]
}

system_begin
command -v postfix >/dev/null || missing "Postfix is not installed"
[ -n "${SMTP_PORT:-}" ] || {
  [ -z "${MAILHAUL_ROOT:-}" ] || fail "Postfix starts" "see above"
  [ -n "${MAILHAUL_ROOT:-}" ] || skip "to a distant Postfix" "Postfix needs root"
  system_end
}
servers_start
python3 "$LIB/distant.py" "$SMTP_PORT" "$WORK/commands" >"$WORK/distant" &
at_exit "kill $! 2>/dev/null"
wait_until 10 test -s "$WORK/distant"
read -r distant_port <"$WORK/distant"
rm -rf "$WORK/postfix/mail/anna"
mkdir -p "$WORK/postfix/mail/anna"/{cur,new,tmp}
haul_course imap distant postfix "$WORK/postfix/mail/anna" "{smtp: \"127.0.0.1:$distant_port\", recipient: anna@home.example}"
# By DATA go the first of each connection, and what is larger than a chunk may be.
check "most go by BDAT" commands_counted BDAT 150 200 "$WORK/commands"

# One of two recipients is unknown: what is refused in a window is asked for again by itself, and nothing of it touches the other one's mail.
rm -rf "$WORK/postfix/mail/anna"
mkdir -p "$WORK/postfix/mail/anna"/{cur,new,tmp}
total=$(find "$WORK/messages" -type f | wc -l)
dovecot_user two secret
dovecot_fill two "$WORK/messages"
write_config "$WORK/two" imap two "{smtp: \"127.0.0.1:$distant_port\", recipient: [anna@home.example, nobody@home.example]}"
run_config "$WORK/two"
check "an unknown recipient is a failure" [ $? = 75 ]
check "it is refused by name" grep -q 'refused the recipient: 550 5.1.1 <nobody@home.example>' "$WORK/two/log"
wait_until 60 arrived_is "$WORK/postfix/mail/anna" "$total"
check "the other recipient gets every message once, byte for byte" \
  python3 "$LIB/compare-messages.py" postfix "$WORK/reference-imap" "$WORK/postfix/mail/anna"
system_end
