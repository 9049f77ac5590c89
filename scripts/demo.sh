#!/usr/bin/env bash
# demo.sh - builds mailhaul on a bare Debian 12 and shows it at work: a mail server of its own on this machine, two mailboxes, one Maildir.
# Everything lives in a temporary directory, nothing listens beyond loopback, and all of it is gone at the end.

set -eu
TOP=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$TOP/scripts/packages.sh"
export PATH=$PATH:/usr/sbin:/sbin

say() {
  if [ -t 1 ]; then
    printf '\n\033[1m%s\033[0m\n' "$*"
  else
    printf '\n== %s\n' "$*"
  fi
}

# As the user who will haul: sample mailboxes, a server for them, two runs.
demo() {
  local verbose=()
  # shellcheck source-path=SCRIPTDIR source=../tests/lib/system.sh
  . "$WORK/source/tests/lib/system.sh"
  # shellcheck source-path=SCRIPTDIR source=../tests/lib/certificates.sh
  . "$LIB/certificates.sh"
  # shellcheck source-path=SCRIPTDIR source=../tests/lib/dovecot.sh
  . "$LIB/dovecot.sh"
  trap system_cleanup EXIT
  cd "$WORK/demo"

  say "Starting Dovecot on loopback, with 20 messages for anna in INBOX, 8 in Work, and 12 for bert"
  python3 "$LIB/make-messages.py" --demo --count 40 messages
  certificates_make certificates
  cp certificates/ca.pem ca.pem
  # shellcheck disable=SC2034 # IMAP, IMAPS, POP3, POP3S, LMTP: what demo.yaml expects
  DOVECOT_PORTS="10143 10993 10110 10995 10024"
  dovecot_start "$WORK/demo/dovecot" "$WORK/demo/certificates"
  export DEMO_PASSWORD=sample-password
  dovecot_user anna "$DEMO_PASSWORD"
  dovecot_user bert "$DEMO_PASSWORD"
  share 1 20 anna
  share 21 28 anna/.Work
  share 29 40 bert
  cp "$WORK/source/config/demo.yaml" demo.yaml
  chmod 600 demo.yaml

  say "The configuration: config/demo.yaml"
  grep -Ev '^ *(#|$)' demo.yaml

  # On a terminal a line shows the progress, elsewhere -v shows each message.
  [ -t 2 ] || verbose=(-v)
  say "mailhaul --config demo.yaml run"
  "$MAILHAUL" --config demo.yaml run "${verbose[@]}"
  say "What arrived"
  arrived
  say "The same command again: nothing comes twice"
  "$MAILHAUL" --config demo.yaml run "${verbose[@]}"
  arrived
  say "mailhaul --config demo.yaml status"
  "$MAILHAUL" --config demo.yaml status
  [ "$(find Maildir/new -type f | wc -l)" = 40 ]
}

# share FIRST LAST MAILBOX: these messages into that Maildir of the server.
share() {
  local number file to=dovecot/mail/$3
  mkdir -p "$to/cur" "$to/new" "$to/tmp"
  for number in $(seq -f %03g "$1" "$2"); do
    for file in messages/"$number".*; do
      cp --preserve=timestamps "$file" "$to/new/10000000$number.demo.host"
    done
  done
}

arrived() {
  local mailbox
  printf '%8s  %s\n' messages 'from (X-Mailhaul-Mailbox), all in Maildir/new'
  find Maildir/new -type f -exec grep -ahm1 '^X-Mailhaul-Mailbox:' {} + | tr -d '\r' | sort | uniq -c | while read -r number _ mailbox; do
    printf '%8d  %s\n' "$number" "$mailbox"
  done
  echo "   $(find Maildir/new -type f | wc -l) files, $(du -sh Maildir/new | cut -f1)"
}

if [ -n "${MAILHAUL_DEMO:-}" ]; then
  demo
  exit
fi

say "Installing what is missing (apt-get)"
# shellcheck disable=SC2086 # lists of words
packages_install $BUILD_PACKAGES $SERVER_PACKAGES dovecot-lmtpd

WORK=$(mktemp -d /tmp/mailhaul-demo.XXXXXX)
trap 'rm -rf "$WORK"' EXIT
chmod 755 "$WORK"
mkdir "$WORK/source" "$WORK/build" "$WORK/demo"
(cd "$TOP" && tar --exclude=./.git --exclude=./build -cf - .) | tar -C "$WORK/source" -xf -

say "Building"
(
  cd "$WORK/source"
  [ ! -f Makefile ] || make -s distclean
  ./autogen.sh
  cd "$WORK/build"
  ../source/configure --quiet
  make -s -j"$(nproc)" mailhaul
) >"$WORK/build.log" 2>&1 || {
  tail -n 40 "$WORK/build.log"
  exit 1
}

# Servers and agent are ordinary programs: as root the rest runs as nobody.
run=(env MAILHAUL_DEMO=1 WORK="$WORK" HOME="$WORK/demo" MAILHAUL="$WORK/build/mailhaul" bash "$WORK/source/scripts/demo.sh")
if [ "$(id -u)" = 0 ]; then
  chown nobody: "$WORK/demo"
  run=(setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups --inh-caps=-all "${run[@]}")
fi
"${run[@]}"
say "Done. Your own mailbox is next: see README.md."
