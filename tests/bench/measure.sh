#!/usr/bin/env bash
# measure.sh [memory|startup|commits|state|lines]... - the figures of doc/measurements.md, on the machine at hand: MAILHAUL=build/mailhaul tests/bench/measure.sh
# Run as root it measures the worker's private memory too; the agent and its servers run as nobody all the same.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/postfix.sh"
. "$LIB/hauling.sh"

MESSAGE_MIB=100

# memory_to NAME DESTINATION: one message of MESSAGE_MIB to it.
memory_to() {
  local dir=$WORK/memory-$1 destination=$2
  write_config "$dir" imaps large "$destination" "max_message: 1GiB"
  give_away
  printf '%-10s %s\n' "$1" "$(python3 "$TOP/tests/bench/watch-memory.py" "${as_user[@]}" "$MAILHAUL" --config "$dir/config.yaml" run 2>"$dir/log" | tail -n 1)"
}

measure_memory() {
  echo "== peak memory (KiB) hauling one message of $MESSAGE_MIB MiB"
  dovecot_user large secret
  dovecot_user home secret
  python3 - "$WORK/large" <<PY
import sys
line = b"A" * 76 + b"\n"
with open(sys.argv[1], "wb") as file:
    file.write(b"From: <a@a.example>\nSubject: large\n\n")
    for _ in range($MESSAGE_MIB * 1024 * 1024 // len(line) // 1000):
        file.write(line * 1000)
PY
  dovecot_put large 1000000001.large.host "$WORK/large"
  mkdir -p "$WORK/destinations"
  printf '#!/bin/sh\nexec cat >/dev/null\n' >"$WORK/mda"
  chmod 755 "$WORK/mda"
  smtp_sink_start "$WORK/sink"
  memory_to maildir "{maildir: $WORK/destinations/Maildir}"
  memory_to lmtp "{lmtp: $WORK/dovecot/lmtp, recipient: home@home.example}"
  memory_to smtp "{smtp: \"127.0.0.1:$SINK_PORT\", recipient: home@home.example}"
  memory_to mda "{mda: [$WORK/mda]}"
}

# Processor time of a run that finds nothing new, user and system, all its processes: median of 20.
measure_startup() {
  echo "== processor time of a run with nothing to do (ms, all processes, median of 20)"
  local dir=$WORK/startup
  dovecot_user idle secret
  write_config "$dir" imaps idle "{maildir: $dir/home}"
  give_away
  "${as_user[@]}" "$MAILHAUL" --config "$dir/config.yaml" run
  "${as_user[@]}" python3 - "$MAILHAUL" --config "$dir/config.yaml" run <<'PY'
import resource, statistics, subprocess, sys, time
times, walls = [], []
for _ in range(20):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(sys.argv[1:], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.append((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000)
    walls.append((time.monotonic() - start) * 1000)
print("processor %.1f, elapsed %.1f" % (statistics.median(times), statistics.median(walls)))
PY
}

# A state with 200000 delivered messages: its size, and how long what reads all of it takes. Without a server: it is made by import.
measure_state() {
  echo "== state of 200000 delivered messages"
  local dir=$WORK/state count=200000
  IMAP_PORT=143 write_config "$dir" imap anna "{maildir: $dir/home}"
  give_away
  python3 - "$count" >"$WORK/state.txt" <<'PY'
import hashlib, sys
count = int(sys.argv[1])
print(f'mailhaul-state 1 version=2 last_message={count}')
print('meta key="installation" value="0123456789abcdef0123456789abcdef"')
print('mailbox id=1 name="isp" protocol=2 host="localhost" user="anna"')
print(f'folder id=1 mailbox=1 name="INBOX" uidvalidity=7 mark={count} present={count} listed_at=1800000000')
print('target id=1 destination="home" recipient=""')
for i in range(1, count + 1):
    print(f'message id={i} folder=1 epoch=0 key=b"{i}" uid={i} size={5000 + i} date={1700000000 + i} stage=4 disposal=0 bytes={5000 + i}'
          f' hash=x"{hashlib.sha256(b"h%d" % i).hexdigest()}" trace=x"{hashlib.sha256(b"t%d" % i).hexdigest()}" has_trace=1 delivered_at=1800000000')
for i in range(1, count + 1):
    print(f'delivery message={i} target=1 status=3 intent_at=1800000000')
print('end')
PY
  chmod 644 "$WORK/state.txt"
  local TIMEFORMAT='%R s'
  printf 'import:  '
  time "${as_user[@]}" "$MAILHAUL" --config "$dir/config.yaml" state import "$WORK/state.txt"
  printf 'export:  '
  time "${as_user[@]}" "$MAILHAUL" --config "$dir/config.yaml" state export >"$WORK/again.txt"
  printf 'size:    %s bytes, ' "$(stat -c %s "$dir/state/state.db")"
  echo "$(($(stat -c %s "$dir/state/state.db") / count)) a message"
  python3 - "$dir/state/state.db" <<'PY'
import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1])
for what in "PRAGMA quick_check", "VACUUM":
    start = time.monotonic()
    base.execute(what).fetchall()
    print(f"{what}: {time.monotonic() - start:.2f} s")
PY
}

# small_config DIR MESSAGES WORKERS DESTINATION: so many mailboxes, each with so many messages of 4 KiB.
small_config() {
  local dir=$1 messages=$2 workers=$3 destination=$4 number
  mkdir -p "$dir"
  {
    printf 'state_dir: %s\ndestinations:\n  home: %s\nmailboxes:\n' "$dir/state" "$destination"
    for ((number = 0; number < workers; number++)); do
      printf '  - name: box%s\n    user: small-%s-%s\n    password: secret\n    deliver_to: home\n' "$number" "$messages" "$number"
      source_lines imaps
    done
  } >"$dir/config.yaml"
  chmod 600 "$dir/config.yaml"
  give_away
}

# watched_run DIR
watched_run() {
  "${as_user[@]}" env WATCH_CALLS="$1/calls" LD_PRELOAD="$WORK/watch-calls.so" "$MAILHAUL" --config "$1/config.yaml" run >"$1/log" 2>&1 ||
    tail -n 3 "$1/log" >&2
}

# small_mailboxes MESSAGES WORKERS: mailboxes small-MESSAGES-0 and so on.
small_mailboxes() {
  local number
  for ((number = 0; number < $2; number++)); do
    dovecot_user "small-$1-$number" secret
    python3 "$TOP/tests/bench/make-mailbox.py" --count "$1" "$DOVECOT_DIR/mail/small-$1-$number"
  done
}

# trickle KIND DESTINATION: ten sessions that each find one new message, and ten that find none, for comparison.
trickle() {
  local dir=$WORK/$1-trickle number
  small_config "$dir" 1 1 "$2"
  "${as_user[@]}" "$MAILHAUL" --config "$dir/config.yaml" run
  for number in 1 2 3 4 5 6 7 8 9 10; do
    watched_run "$dir"
  done
  mv "$dir/calls" "$dir/calls-idle"
  for number in 1 2 3 4 5 6 7 8 9 10; do
    printf 'Subject: %s of ten\n\nto %s\n' "$number" "$1" >"$dir/message"
    dovecot_put small-1-0 "20000000$number.$1.isp" "$dir/message"
    give_away
    watched_run "$dir"
  done
  printf '| %s, a message per session ' "$1"
  python3 "$TOP/tests/bench/read-calls.py" "$dir/calls" 10
  printf '| %s, sessions without mail ' "$1"
  python3 "$TOP/tests/bench/read-calls.py" "$dir/calls-idle" 10
}

# Commits and syncs per message in a haul of many, with 1, 4 and 16 workers, and in a trickle.
measure_commits() {
  echo "== syncs per message, and the share of its time in which a worker waits for the supervisor alone"
  echo "| haul | sessions | messages | commits | syncs of the state | syncs of the Maildir | waiting |"
  local workers kind destination
  "${CC:-cc}" -D_GNU_SOURCE -O2 -shared -fPIC -o "$WORK/watch-calls.so" "$TOP/tests/bench/watch-calls.c"
  smtp_sink_start "$WORK/sink"
  small_mailboxes 1000 16
  small_mailboxes 1 1
  mkdir -p "$WORK/homes"
  for kind in maildir smtp; do
    for workers in 1 4 16; do
      destination="{smtp: \"127.0.0.1:$SINK_PORT\", recipient: home@home.example}"
      [ "$kind" = smtp ] || destination="{maildir: $WORK/homes/$workers}"
      small_config "$WORK/$kind-$workers" 1000 "$workers" "$destination"
      watched_run "$WORK/$kind-$workers"
      printf '| %s ' "$kind"
      python3 "$TOP/tests/bench/read-calls.py" "$WORK/$kind-$workers/calls" $((1000 * workers))
    done
    [ "$kind" = smtp ] || destination="{maildir: $WORK/homes/trickle}"
    trickle "$kind" "$destination"
  done
}

measure_lines() {
  echo "== lines of code per folder (with comments and empty lines)"
  local folder
  for folder in "$TOP"/src/*/ "$TOP"/tests/*/; do
    printf '%-20s %6d lines in %d files\n' "${folder#"$TOP"/}" \
      "$(find "$folder" -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \) -exec cat {} + | wc -l)" \
      "$(find "$folder" -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \) | wc -l)"
  done
}

# What root has made belongs to the user who works with it.
give_away() {
  [ "$(id -u)" != 0 ] || chown -R "$ORDINARY_USER:" "$WORK"
}

[ $# -gt 0 ] || set -- memory startup state lines
MAILHAUL=$(realpath "${MAILHAUL:-$TOP/mailhaul}")
[ -x "$MAILHAUL" ] || {
  echo "$MAILHAUL is not built; say where it is: MAILHAUL=build/mailhaul $0" >&2
  exit 1
}
WORK=$(mktemp -d "${BENCH_DIR:-/tmp}"/mailhaul-bench.XXXXXX) || exit 1
chmod 755 "$WORK"
trap system_cleanup EXIT
at_exit 'rm -rf "$WORK"'
as_user=(env HOME="$WORK")
if [ "$(id -u)" = 0 ]; then
  cp "$MAILHAUL" "$WORK/mailhaul"
  MAILHAUL=$WORK/mailhaul
  as_user=(setpriv --reuid="$ORDINARY_USER" --regid="$(id -g "$ORDINARY_USER")" --clear-groups --inh-caps=-all env HOME="$WORK")
  export DOVECOT_USER=$ORDINARY_USER SINK_USER=$ORDINARY_USER
  dovecot() {
    give_away
    "${as_user[@]}" dovecot "$@"
  }
fi
case " $* " in
*" memory "* | *" startup "* | *" commits "*)
  certificates_make "$WORK/certs"
  dovecot_start "$WORK/dovecot" "$WORK/certs" || exit 1
  ;;
esac
for figure; do
  "measure_$figure"
done
