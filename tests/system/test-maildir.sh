#!/usr/bin/env bash
# test-maildir.sh - six ways to a mailbox, into a Maildir.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

# A Maildir file has the date of arrival at the source, which only IMAP tells.
dates_match() {
  python3 - "$WORK/messages" "$1" <<'PY'
import os, sys
def dates(top, folders):
    return sorted(int(os.stat(os.path.join(top, f, n)).st_mtime) for f in folders for n in os.listdir(os.path.join(top, f)))
source, arrived = dates(sys.argv[1], [""]), dates(sys.argv[2], ["new"])
late = [d for d in arrived if d not in source]
print("dates of arrival that the source did not give:", late)
sys.exit(len(late) > 1)
PY
}

system_begin
servers_start
for protocol in $PROTOCOLS; do
  home=$WORK/home-$protocol
  haul_course "$protocol" maildir local "$home" "{maildir: $home}"
  check "$protocol to maildir: tmp is empty" [ -d "$home/tmp" -a -z "$(ls -A "$home/tmp")" ]
  case $protocol in
  imap*) check "$protocol to maildir: files have the date of arrival" dates_match "$home" ;;
  esac
done
system_end
