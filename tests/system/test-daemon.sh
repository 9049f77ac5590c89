#!/usr/bin/env bash
# test-daemon.sh - the daemon among real mailboxes and a tarpit: on time, told by signals, its workers killed, and what it says to the service manager.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=10
DIR=
DAEMON=
serial=0

mailbox() {
  printf '  - {name: %s, user: %s, password: {file: %s}, imap: "127.0.0.1:%s", tls: none, deliver_to: %s, poll_every: %s}\n' \
    "$1" "$1" "$DIR/password" "$2" "$1" "${3:-10s}"
}

# configure NAME:PORT[:POLL_EVERY]...
configure() {
  local each name port every
  {
    printf 'state_dir: %s\nmax_workers: 2\ndestinations:\n' "$DIR/state"
    for each in "$@"; do
      printf '  %s: {maildir: %s}\n' "${each%%:*}" "$DIR/${each%%:*}"
    done
    echo 'mailboxes:'
    for each in "$@"; do
      IFS=: read -r name port every <<<"$each"
      mailbox "$name" "$port" "$every"
    done
  } >"$DIR/config.yaml"
  chmod 600 "$DIR/config.yaml"
}

# daemon_start: an hour is six minutes, the shortest poll_every one second.
daemon_start() {
  : >"$DIR/notified"
  python3 "$LIB/notify-listener.py" "$DIR/notify" "$DIR/notified" &
  LISTENER=$!
  at_exit "kill $LISTENER 2>/dev/null"
  wait_until 10 [ -S "$DIR/notify" ]
  NOTIFY_SOCKET=$DIR/notify WATCHDOG_USEC=2000000 MAILHAUL_DEADLINE_FACTOR=${FACTOR:-0.1} "$MAILHAUL" --config "$DIR/config.yaml" daemon 2>"$DIR/log" &
  DAEMON=$!
  at_exit "kill -9 $DAEMON 2>/dev/null"
  wait_until 10 grep -q '^READY=1' "$DIR/notified"
}

# daemon_end: SIGTERM. Its exit code, and 124 if it takes more than 10 seconds.
daemon_end() {
  local status
  kill -TERM "$DAEMON"
  wait_until 10 is_gone "$DAEMON" || return 124
  wait "$DAEMON"
  status=$?
  kill "$LISTENER" && wait "$LISTENER" 2>/dev/null
  rm -f "$DIR/notify"
  return "$status"
}

is_gone() {
  [ ! -e "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status"
}

# put USER: one more message.
put() {
  serial=$((serial + 1))
  printf 'Return-Path: <late@sender.example>\nSubject: number %s\n\nhello %s\n' "$serial" "$serial" >"$DIR/message"
  dovecot_put "$1" "$((2000000000 + serial)).late.host:2,S" "$DIR/message"
}

# arrives_within SECONDS NAME USER DIRECTORY: one more message of USER is hauled in time.
arrives_within() {
  local before
  before=$(arrived_count "$4")
  put "$3"
  wait_until "$1" arrived_is "$4" $((before + 1))
  check "$2" arrived_is "$4" $((before + 1))
}

arrives() {
  arrives_within 15 "$@"
}

# Accepts, counts that, and says nothing.
tarpit_start() {
  python3 - "$DIR/tarpit-port" <<'PY' &
import os, socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=64)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(s.getsockname()[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
kept = []
while True:
    kept.append(s.accept()[0])
    with open(sys.argv[1] + ".count", "w") as file:
        file.write(str(len(kept)))
PY
  at_exit "kill $! 2>/dev/null"
  wait_until 10 [ -s "$DIR/tarpit-port" ]
  TARPIT=$(cat "$DIR/tarpit-port")
}

watched_more() {
  [ "$(wc -l <"$DIR/watched")" -gt "$1" ]
}

on_schedule() {
  configure "anna:$IMAP_PORT" "ben:$IMAP_PORT" "carla:$IMAP_PORT:1h" "pit1:$TARPIT" "pit2:$TARPIT" "pit3:$TARPIT"
  daemon_start
  check "READY=1 is said" grep -q '^READY=1' "$DIR/notified"
  for name in anna ben carla; do
    wait_until 30 arrived_is "$DIR/$name" "$COUNT"
    check "$name: the first poll hauls everything, with three tarpits for two places" arrived_is "$DIR/$name" "$COUNT"
  done
  arrives "anna: a later poll brings a new message" anna "$DIR/anna"
  arrives "ben: the same, and again" ben "$DIR/ben"
  put carla
  check "carla: hers waits for an hour" arrived_is "$DIR/carla" "$COUNT"
  kill -USR1 "$DAEMON"
  wait_until 15 arrived_is "$DIR/carla" $((COUNT + 1))
  check "SIGUSR1: all are polled now" arrived_is "$DIR/carla" $((COUNT + 1))
  wait_until 15 grep -q '^WATCHDOG=1' "$DIR/notified"
  check "the watchdog is fed" grep -q '^WATCHDOG=1' "$DIR/notified"
  wait_until 30 grep -Eq '^STATUS=6 mailboxes, .*failing: pit' "$DIR/notified"
  check "STATUS= names those that fail" grep -Eq '^STATUS=6 mailboxes, .*failing: pit' "$DIR/notified"
  "$MAILHAUL" --config "$DIR/config.yaml" status --watch >"$DIR/watched" 2>&1 & # not the function, whose child would outlive it
  WATCHER=$!
  at_exit 'kill "$WATCHER" 2>/dev/null'
  wait_until 10 grep -q '^pit3' "$DIR/watched"
  check "status: the daemon, and when carla is polled next" grep -Pzq "daemon, process $DAEMON, running since(.*\n)*carla\n  next poll +20" "$DIR/watched"
  expect "status --json: the same" 1 "\"daemon\":.\"process\":$DAEMON,.*\"name\":\"carla\",\"enabled\":true,\"doing\":\"resting\".*\"next_poll\":\"20" \
    mailhaul --config "$DIR/config.yaml" status --json
  before=$(wc -l <"$DIR/watched")
  put carla
  expect "run beside the daemon" 0 '' mailhaul --config "$DIR/config.yaml" run carla
  check "run beside the daemon: the message is there when it leaves" arrived_is "$DIR/carla" $((COUNT + 2))
  wait_until 10 watched_more "$before"
  check "status --watch: shows it again when something has happened" watched_more "$before"
  kill $WATCHER
  expect "a second daemon" 75 "another daemon, process $DAEMON" mailhaul --config "$DIR/config.yaml" daemon
}

# All but one are tarpits, and ten times as many as may haul at once: what comes for the one is there within its period and what a place takes to fall silent,
# at the start and then.
many_tarpits() {
  local pits=() pit
  for pit in $(seq 49); do
    pits+=("pit$pit:$TARPIT")
  done
  configure "${pits[@]}" "healthy:$IMAP_PORT"
  sed -i 's/^max_workers: 2/max_workers: 5/' "$DIR/config.yaml"
  daemon_start
  wait_until 40 arrived_is "$DIR/healthy" "$COUNT"
  check "49 tarpits: the healthy one has had its turn" arrived_is "$DIR/healthy" "$COUNT"
  wait_until 20 grep -q 'mailbox=pit9 ' "$DIR/log"
  for _ in 1 2 3 4 5; do
    arrives_within 5 "49 tarpits: the healthy one is on time" healthy "$DIR/healthy"
  done
  check "49 tarpits: the daemon leaves in order" daemon_end
}

# Each step shows by what is hauled afterwards.
reloads() {
  cp "$DIR/config.yaml" "$DIR/good.yaml"
  echo '  nonsense: [' >>"$DIR/config.yaml"
  kill -HUP "$DAEMON"
  wait_until 10 grep -q 'event=not_reloaded' "$DIR/log"
  check "SIGHUP with a broken file: says where" grep -Eq 'event=config_broken .*config.yaml:[0-9]+' "$DIR/log"
  check "SIGHUP with a broken file: RELOADING=1 with its time, and READY=1 again" \
    python3 -c 'import re, sys; sys.exit(not re.search(r"RELOADING=1\nMONOTONIC_USEC=\d+\n(.*\n)*READY=1", open(sys.argv[1]).read()))' "$DIR/notified"
  arrives "SIGHUP with a broken file: the old configuration stays" anna "$DIR/anna"
  configure "anna:$IMAP_PORT" "carla:$IMAP_PORT" "dora:$IMAP_PORT" "pit1:$TARPIT"
  kill -HUP "$DAEMON"
  wait_until 10 grep -q 'event=reloaded' "$DIR/log"
  put ben
  wait_until 15 arrived_is "$DIR/dora" "$COUNT"
  check "SIGHUP: a new mailbox is hauled" arrived_is "$DIR/dora" "$COUNT"
  arrives "SIGHUP: one that was to be polled each hour is polled each 10 seconds" carla "$DIR/carla"
  arrives "SIGHUP: one that stays the same goes on" anna "$DIR/anna"
  expect "SIGHUP: one that left is left alone" 0 '' arrived_is "$DIR/ben" $((COUNT + 1))
}

leaves() {
  check "SIGTERM: exit code 0 within 10 seconds, with a tarpit under way" daemon_end
  check "STOPPING=1 is said" grep -q '^STOPPING=1' "$DIR/notified"
  expect "nothing is in doubt" 1 '' mailhaul --config "$DIR/config.yaml" status --json
  check "nothing is in doubt, in figures" python3 -c \
    'import json, sys; sys.exit(any(m["in_doubt"] for m in json.load(open(sys.argv[1]))["mailboxes"]))' "$WORK/expect.out"
}

# The workers of the running daemon.
kill_workers() {
  pkill -9 -P "$DAEMON" mailhaul-worker
}

was_used_since() {
  [ "$(cat "$DIR/tarpit-port.count")" -gt "$1" ]
}

worker_is_killed() {
  local before
  before=$(cat "$DIR/tarpit-port.count")
  configure "anna:$IMAP_PORT" "pit4:$TARPIT"
  daemon_start
  wait_until 20 was_used_since "$before"
  kill_workers
  wait_until 10 grep -q 'mailbox=pit4 .*ended by signal 9' "$DIR/log"
  check "kill -9 of a worker: its mailbox says so, once" [ "$(grep -c 'mailbox=pit4 .*ended by signal 9' "$DIR/log")" = 1 ]
  arrives "kill -9 of a worker: the others go on" anna "$DIR/anna"
  check "kill -9 of a worker: the daemon leaves in order" daemon_end
}

password_is_mended() {
  configure "anna:$IMAP_PORT"
  echo wrong >"$DIR/password"
  daemon_start
  wait_until 15 grep -q 'event=mailbox_failed' "$DIR/log"
  put anna
  kill -USR1 "$DAEMON"
  wait_until 10 grep -q 'event=poll_now' "$DIR/log"
  check "a refused login is not tried again at once" [ "$(grep -c 'event=mailbox_failed' "$DIR/log")" = 1 ]
  before=$(arrived_count "$DIR/anna")
  echo secret >"$DIR/password"
  wait_until 30 arrived_is "$DIR/anna" $((before + 1))
  check "a password that was replaced is tried within a minute" arrived_is "$DIR/anna" $((before + 1))
  check "and that is said" grep -q 'event=mailbox_recovered' "$DIR/log"
  check "the daemon leaves in order" daemon_end
}

system_begin
servers_start --count $COUNT
DIR=$WORK/daemon
mkdir -p "$DIR"
echo secret >"$DIR/password"
chmod 600 "$DIR/password"
for name in anna ben carla dora healthy; do
  dovecot_user "$name" secret
  dovecot_fill "$name" "$WORK/messages"
done
tarpit_start
on_schedule
reloads
leaves
worker_is_killed
many_tarpits
password_is_mended
system_end
