#!/usr/bin/env bash
# bench.sh - mailhaul and its peers over the same work: doc/benchmarks.md and doc/benchmarks.svg (make bench). ROWS and ROUNDS choose, BENCH_OUT is where the
# report goes; MAILHAUL names the program, BENCH_TOOLS the directory of delay-proxy, reference and watch-calls.so, BENCH_DIR where the mail shall go: on ext4 best a file
# system of its own, where nobody has deleted much of late. Started as root it goes on as nobody.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"

# mailboxes_make: those that rows.py names. Of the large numbers only the listing is of interest, so all their messages are one file.
mailboxes_make() {
  local make=$TOP/tests/bench/make-mailbox.py number
  mailbox() {
    local user=$1
    shift
    dovecot_user "$user" secret
    python3 "$make" "$@" "$DOVECOT_DIR/mail/$user"
  }
  for number in 100 300 1000; do
    mailbox "small-$number" --count "$number"
  done
  mailbox mixed --count 1000 --lognormal 8192:4194304
  mailbox large --count 1 --size 52428800
  for number in 0 1 2 3 4 5 6 7 8 9; do
    mailbox "ten-$number" --count 100
  done
  case $BENCH_ROWS in
  *kept* | '*' | pop3s*)
    mailbox kept-20000 --count 20000 --same
    mailbox kept-200000 --count 200000 --same
    ;;
  esac
  case $BENCH_ROWS in
  *thousand* | '*')
    for ((number = 0; number < 1000; number++)); do
      dovecot_user "thousand-$number" secret
    done
    for number in 100 300 600 900; do
      mailbox "thousand-$number" --count 1
    done
    ;;
  esac
}

bench_run() {
  certificates_make "$WORK/certs"
  dovecot_start "$SHELF/dovecot" "$WORK/certs" || exit 1
  mailboxes_make
  printf '#!/bin/sh\nexec cat >/dev/null\n' >"$WORK/mda"
  chmod 755 "$WORK/mda"
  mkdir -p "$WORK/runs"
  export BENCH_WORK=$WORK BENCH_MDA=$WORK/mda BENCH_MAILHAUL=$MAILHAUL BENCH_TOOLS BENCH_CA=$WORK/certs/ca.pem
  export BENCH_IMAPS_PORT=$IMAPS_PORT BENCH_POP3S_PORT=$POP3S_PORT
  cd "$WORK" || exit 1
  python3 "$TOP/tests/bench/bench.py" --rows "$BENCH_ROWS" --rounds "$BENCH_ROUNDS" "$WORK/results.json" &
  child=$!
  at_exit 'kill "$child" 2>/dev/null; wait "$child"'
  wait "$child"
}

trap system_cleanup EXIT
trap 'exit 130' INT TERM
export PYTHONDONTWRITEBYTECODE=1 BENCH_ROWS=${ROWS:-*} BENCH_ROUNDS=${ROUNDS:-3}
if [ -n "${BENCH_CHILD:-}" ]; then
  bench_run
  exit
fi
MAILHAUL=$(realpath "${MAILHAUL:-$TOP/mailhaul}")
BENCH_TOOLS=$(realpath "${BENCH_TOOLS:-$TOP/tests/bench}")
WORK=$(mktemp -d "${BENCH_DIR:-/tmp}/mailhaul-bench.XXXXXX") || exit 1
# The source's mail is not what is measured: in memory, where there is such a place.
SHELF=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "$WORK")" mailhaul-bench.XXXXXX) || exit 1
at_exit 'rm -rf "$WORK" "$SHELF"'
mkdir -p "$WORK/bin" "$WORK/tree/tests"
cp "$MAILHAUL" "$BENCH_TOOLS"/{delay-proxy,reference,watch-calls.so} "$WORK/bin/"
cp -r "$TOP/tests/lib" "$TOP/tests/bench" "$WORK/tree/tests/"
as_user=()
if [ "$(id -u)" = 0 ]; then
  chown -R "$ORDINARY_USER:" "$WORK" "$SHELF"
  as_user=(setpriv --reuid="$ORDINARY_USER" --regid="$(id -g "$ORDINARY_USER")" --clear-groups --inh-caps=-all --bounding-set=-all)
fi
chmod 755 "$WORK" "$SHELF"
# In the background, so that a signal is heard at once and handed on.
"${as_user[@]}" env BENCH_CHILD=1 WORK="$WORK" SHELF="$SHELF" HOME="$WORK" MAILHAUL="$WORK/bin/$(basename "$MAILHAUL")" BENCH_TOOLS="$WORK/bin" \
  bash "$WORK/tree/tests/bench/bench.sh" &
child=$!
at_exit 'kill "$child" 2>/dev/null; wait "$child"'
wait "$child"
status=$?
if [ -s "$WORK/results.json" ]; then
  python3 "$TOP/tests/bench/report.py" "$WORK/results.json" "${BENCH_OUT:-$TOP/doc}" || status=1
fi
exit $status
