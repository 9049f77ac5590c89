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

# It files the message and hangs: whether it was delivered is in doubt, and copies are bounded.
mkdir -p "$WORK/hung/files"
cat >"$WORK/file-and-hang" <<EOF
#!/bin/sh
cat >"\$(mktemp "$WORK/hung/files/XXXXXXXXXX")" && exec sleep 1000
EOF
chmod 755 "$WORK/file-and-hang"
printf 'Subject: one\n\nonly one\n' >"$WORK/late"
dovecot_user hung secret
dovecot_put hung 2000000000.one.host "$WORK/late"
write_config "$WORK/hung" imap hung "{mda: [$WORK/file-and-hang], timeout: 1s}"
for _ in 1 2 3 4 5; do
  run_config "$WORK/hung" isp
done
check "a program that files a message and hangs gets it three times" arrived_is "$WORK/hung" 3
check "then the message is held" grep -q 'stopped after 1 second' <(mailhaul --config "$WORK/hung/config.yaml" held list)
system_end
