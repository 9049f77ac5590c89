#!/usr/bin/env bash
# test-lmtp.sh - six ways to a mailbox, into Dovecot's LMTP service: by its unix socket and by TCP.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

system_begin
servers_start
for protocol in $PROTOCOLS; do
  case $protocol in
  *s) lmtp=127.0.0.1:$LMTP_PORT ;;
  *) lmtp=$WORK/dovecot/lmtp ;;
  esac
  dovecot_user "home-$protocol" secret
  haul_course "$protocol" lmtp mail "$WORK/dovecot/mail/home-$protocol" "{lmtp: \"$lmtp\", recipient: home-$protocol@home.example}"
done
system_end
