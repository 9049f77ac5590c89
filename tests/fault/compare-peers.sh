#!/usr/bin/env bash
# compare-peers.sh [NAME...] - what mailhaul and its peers, as far as installed, make of 20 times kill -9: MAILHAUL=build/mailhaul tests/fault/compare-peers.sh
# 300 messages left on a Dovecot, each run killed at a random moment, then two clean runs; see compare_peers.py, which does it. Some minutes.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"

MAILHAUL=$(realpath "${MAILHAUL:-$TOP/mailhaul}")
[ -x "$MAILHAUL" ] || {
  echo "$MAILHAUL is not built; say where it is: MAILHAUL=build/mailhaul $0" >&2
  exit 1
}
WORK=$(mktemp -d /tmp/mailhaul-peers.XXXXXX) || exit 1
chmod 755 "$WORK"
trap system_cleanup EXIT
trap 'exit 130' INT TERM
at_exit 'rm -rf "$WORK"'
cp "$MAILHAUL" "$WORK/mailhaul"
cp "$(dirname "$0")"/*.py "$WORK"
as_user=(env HOME="$WORK")
if [ "$(id -u)" = 0 ]; then
  as_user=(setpriv --reuid="$ORDINARY_USER" --regid="$(id -g "$ORDINARY_USER")" --clear-groups --inh-caps=-all env HOME="$WORK")
  export DOVECOT_USER=$ORDINARY_USER
fi
certificates_make "$WORK/certs"
dovecot_start "$WORK/dovecot" "$WORK/certs" || exit 1
[ "$(id -u)" != 0 ] || chown -R "$ORDINARY_USER:" "$WORK"
"${as_user[@]}" python3 "$WORK/compare_peers.py" "$WORK" "$IMAP_PORT" "$POP3_PORT" "$@"
