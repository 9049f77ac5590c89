# system.sh - what every system test sources first: a work directory, an ordinary user, TAP output, cleaning up.
# Started as root, the test goes on as nobody: servers and agent shall need no privilege. Root's part, where there is one, is the function root_setup.
# shellcheck shell=bash

set -u
# The system's programs only: what root has elsewhere an ordinary user may not be able to run.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C

LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$LIB/../.." && pwd)
ORDINARY_USER=nobody

system_count=0
system_failed=0
system_cleanups=()

pass() {
  system_count=$((system_count + 1))
  echo "ok $system_count - $1"
}

# fail NAME WHY [FILE]: FILE's last lines go into the log.
fail() {
  system_count=$((system_count + 1))
  system_failed=$((system_failed + 1))
  echo "not ok $system_count - $1"
  echo "# FAILED $1: $2"
  if [ -n "${3:-}" ] && [ -s "$3" ]; then
    tail -n 15 "$3" | cut -c1-400 | sed 's/^/#   /'
  fi
}

skip() {
  system_count=$((system_count + 1))
  echo "ok $system_count # SKIP $1: $2"
}

# check NAME COMMAND...: passes if the command succeeds; its output explains a failure.
check() {
  local name=$1
  shift
  if "$@" >"$WORK/check.out" 2>&1; then
    pass "$name"
  else
    fail "$name" "$(head -n 1 "$WORK/check.out" | cut -c1-300)" "$WORK/check.out"
  fi
}

# expect NAME EXIT REGEX COMMAND...: exit code and, in what it prints on either stream, a line that matches. REGEX may be empty.
expect() {
  local name=$1 want=$2 regex=$3 got
  shift 3
  "$@" >"$WORK/expect.out" 2>&1
  got=$?
  if [ "$got" != "$want" ]; then
    fail "$name" "exit code $got, expected $want" "$WORK/expect.out"
  elif [ -n "$regex" ] && ! grep -Eq -- "$regex" "$WORK/expect.out"; then
    fail "$name" "no line matches '$regex'" "$WORK/expect.out"
  else
    pass "$name"
  fi
}

# at_exit COMMAND: run when the test ends, last one first.
at_exit() {
  system_cleanups=("$1" ${system_cleanups[@]+"${system_cleanups[@]}"})
}

system_cleanup() {
  local command
  for command in ${system_cleanups[@]+"${system_cleanups[@]}"}; do
    eval "$command"
  done
}

# missing REASON: the test can't run here. Where the servers must be there (scripts/check.sh) that is a failure.
missing() {
  if [ -n "${MAILHAUL_REQUIRE_SERVERS:-}" ]; then
    fail "servers are installed" "$1"
    system_end
  fi
  echo "1..0 # SKIP $1"
  exit 0
}

system_end() {
  echo "1..$system_count"
  exit $((system_failed > 0))
}

# Runs the calling script again as an ordinary user, from a copy that such a user can read, and leaves with its exit code.
system_drop_root() {
  local status tree=$WORK/tree
  mkdir -p "$tree/tests" "$WORK/bin"
  cp -r "$TOP/tests/lib" "$TOP/tests/system" "$tree/tests/"
  cp -r "$TOP/config" "$TOP/systemd" "$tree/"
  cp "$MAILHAUL" "$WORK/bin/mailhaul"
  if declare -F root_setup >/dev/null; then
    root_setup
  fi
  chown "$ORDINARY_USER:" "$WORK"
  setpriv --reuid="$ORDINARY_USER" --regid="$(id -g "$ORDINARY_USER")" --clear-groups --inh-caps=-all --bounding-set=-all \
    env MAILHAUL_SYSTEM_CHILD=1 MAILHAUL_ROOT=1 WORK="$WORK" HOME="$WORK" MAILHAUL="$WORK/bin/mailhaul" bash "$tree/tests/system/$(basename "$0")"
  status=$?
  exit "$status"
}

# Every system test calls this first.
system_begin() {
  MAILHAUL=${MAILHAUL:-$TOP/mailhaul}
  export MAILHAUL
  [ -x "$MAILHAUL" ] || missing "$MAILHAUL is not built"
  command -v dovecot >/dev/null || missing "Dovecot is not installed"
  command -v python3 >/dev/null || missing "python3 is not installed"
  trap system_cleanup EXIT
  trap 'exit 130' INT TERM
  trap 'exit 141' PIPE
  if [ -z "${MAILHAUL_SYSTEM_CHILD:-}" ]; then
    WORK=$(mktemp -d /tmp/mailhaul-test.XXXXXX) || exit 99
    chmod 755 "$WORK"
    export WORK
    if [ -n "${MAILHAUL_KEEP:-}" ]; then
      at_exit 'echo "# kept: $WORK"'
    else
      at_exit 'rm -rf "$WORK"'
    fi
    if [ "$(id -u)" = 0 ]; then
      system_drop_root
    fi
  fi
  cd "$WORK" || exit 99
}

# free_ports N: N port numbers that nobody listens on just now.
free_ports() {
  python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PY
}

# wait_until SECONDS COMMAND...: polls, for servers that say nothing when they are ready.
wait_until() {
  local tries=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.05
  done
}

# mailhaul ARGUMENT...: with a limit, so that a hang is a failure and not the end of the run.
mailhaul() {
  timeout --kill-after=5 "${MAILHAUL_SECONDS:-300}" "$MAILHAUL" "$@"
}
