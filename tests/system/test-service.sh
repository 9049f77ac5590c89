#!/usr/bin/env bash
# test-service.sh - a run and the daemon under the rules of their units: what these forbid must not be needed, sealing the workers must still work.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=10

UNIT=mailhaul-run

# The leak check of a sanitized build wants calls that the unit forbids.
as_service() {
  ASAN_OPTIONS=detect_leaks=0 timeout --kill-after=5 120 python3 "$LIB/as-service.py" "$TOP/systemd/$UNIT.service.in" "$@"
}

# Until all has arrived, with a reload in the middle, and it waits for more; then SIGTERM. Its exit code.
daemon_as_service() {
  local dir=$1 daemon
  NOTIFY_SOCKET=$WORK/notify as_service "$MAILHAUL" --config "$dir/config.yaml" daemon 2>"$dir/log" &
  daemon=$!
  wait_until 20 grep -q '^READY=1' "$WORK/notified" && pkill -HUP -P "$(pgrep -P "$daemon")" -f ' daemon$'
  wait_until 30 arrived_is "$dir/home" "$COUNT"
  wait_until 30 grep -q '1 waiting for mail' "$WORK/notified"
  kill "$(pgrep -P "$daemon")"
  wait "$daemon"
}

system_begin
command -v systemd-analyze >/dev/null || missing "systemd-analyze is not installed"
servers_start --count $COUNT
expect "the rules are in force" 0 'not permitted' as_service nice -n 5 true
for protocol in imaps pop3-starttls; do
  dir=$WORK/service-$protocol
  write_config "$dir" "$protocol" reference "{maildir: $dir/home}"
  sed -i '1i sandbox: require' "$dir/config.yaml"
  expect "$protocol: run succeeds, its workers sealed" 0 '' as_service "$MAILHAUL" --config "$dir/config.yaml" run
  check "$protocol: all arrives" arrived_is "$dir/home" $COUNT
done
dir=$WORK/service-program
mkdir -p "$dir/files"
printf '#!/bin/sh\ncat >"$(mktemp %s/files/XXXXXX)"\n' "$dir" >"$WORK/keep"
chmod 755 "$WORK/keep"
write_config "$dir" imaps reference "{mda: [$WORK/keep]}"
sed -i "s|password: secret|password: {command: [/bin/echo, secret]}|" "$dir/config.yaml"
expect "a program and a password command: run succeeds" 0 '' as_service "$MAILHAUL" --config "$dir/config.yaml" run
check "a program and a password command: all arrives" arrived_is "$dir" $COUNT
UNIT=mailhaul
python3 "$LIB/notify-listener.py" "$WORK/notify" "$WORK/notified" &
at_exit "kill $! 2>/dev/null"
wait_until 10 [ -S "$WORK/notify" ]
dir=$WORK/service-daemon
write_config "$dir" imaps reference "{maildir: $dir/home}" 'push: yes'
sed -i '1i sandbox: require' "$dir/config.yaml"
check "the daemon: leaves in order" daemon_as_service "$dir"
check "the daemon: all arrives" arrived_is "$dir/home" $COUNT
check "the daemon: reloads" grep -q '^RELOADING=1' "$WORK/notified"
check "the daemon: says that it leaves" grep -q '^STOPPING=1' "$WORK/notified"
check "the daemon: and nothing else after that" [ "$(grep '^STATUS=' "$WORK/notified" | tail -n 1)" = 'STATUS=finishing the messages in hand' ]
system_end
