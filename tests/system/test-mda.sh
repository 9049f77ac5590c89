#!/usr/bin/env bash
# test-mda.sh - six ways to a mailbox, into dovecot-lda, and into a program that keeps exactly what it is given.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

system_begin
servers_start
lda=/usr/lib/dovecot/dovecot-lda
[ -x "$lda" ] || missing "$lda is not installed"
for protocol in $PROTOCOLS; do
  dovecot_user "home-$protocol" secret
  haul_course "$protocol" lda lda "$WORK/dovecot/mail/home-$protocol" \
    "{mda: [$lda, -c, $WORK/dovecot/dovecot.conf, -d, \"{recipient}\"], recipient: home-$protocol}"
done

mkdir -p "$WORK/kept/files"
cat >"$WORK/keep" <<EOF
#!/bin/sh
name=\$(mktemp "$WORK/kept/files/XXXXXXXXXX") && exec cat >"\$name"
EOF
chmod 755 "$WORK/keep"
haul_course imaps program local "$WORK/kept/files" "{mda: [$WORK/keep]}"
system_end
