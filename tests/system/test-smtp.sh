#!/usr/bin/env bash
# test-smtp.sh - six ways to a mailbox, into Postfix (as root) and smtp-sink.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/postfix.sh"
. "$LIB/hauling.sh"

root_setup() {
  command -v postfix >/dev/null || return
  postfix_start "$WORK/postfix" "$ORDINARY_USER" && export SMTP_PORT
}

system_begin
command -v smtp-sink >/dev/null || missing "Postfix is not installed"
servers_start
for protocol in $PROTOCOLS; do
  if [ -n "${SMTP_PORT:-}" ]; then
    rm -rf "$WORK/postfix/mail/anna"
    mkdir -p "$WORK/postfix/mail/anna"/{cur,new,tmp}
    haul_course "$protocol" postfix postfix "$WORK/postfix/mail/anna" "{smtp: \"127.0.0.1:$SMTP_PORT\", recipient: anna@home.example}"
  elif [ -n "${MAILHAUL_ROOT:-}" ]; then
    fail "$protocol to postfix" "Postfix did not start"
  else
    skip "$protocol to postfix" "Postfix needs root"
  fi
  smtp_sink_start "$WORK/sink-$protocol"
  haul_course "$protocol" smtp-sink sink "$WORK/sink-$protocol/files" "{smtp: \"127.0.0.1:$SINK_PORT\", recipient: anna@home.example}"
done
system_end
