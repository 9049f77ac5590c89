#!/usr/bin/env bash
# measure.sh [memory|startup|state|lines]... - the figures of doc/measurements.md, on the machine at hand: MAILHAUL=build/mailhaul tests/bench/measure.sh
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
WORK=$(mktemp -d /tmp/mailhaul-bench.XXXXXX) || exit 1
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
*" memory "* | *" startup "*)
  certificates_make "$WORK/certs"
  dovecot_start "$WORK/dovecot" "$WORK/certs" || exit 1
  ;;
esac
for figure; do
  "measure_$figure"
done
