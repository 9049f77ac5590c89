#!/usr/bin/env bash
# test-apart.sh - several users, one mailhaul: the processes that talk to servers know the secrets and the mail of their own mailbox only.
. "$(dirname "$0")/../lib/system.sh"

# Only root may look into the memory of these processes.
root_setup() {
  python3 "$WORK/tree/tests/lib/search-memory.py" "$WORK" &
  at_exit "kill $! 2>/dev/null"
}

have_both_halted() {
  [ -e "$WORK/halted-anna" ] && [ -e "$WORK/halted-otto" ]
}

# with WORD...: the processes that have all of them.
with() {
  local pid words word
  while read -r pid words; do
    for word; do
      [[ " $words " == *" $word "* ]] || continue 2
    done
    echo "$pid"
  done <"$WORK/found"
}

# except PID: of the lines read, the others.
except() {
  grep -vx "$1"
}

is_one() {
  [ "$(wc -w <<<"$1")" = 1 ]
}

system_begin
if [ -z "${MAILHAUL_ROOT:-}" ] || ldd "$MAILHAUL" | grep -q libasan; then
  echo "1..0 # SKIP only root can look into other processes' memory, and with a sanitizer it has terabytes"
  exit 0
fi
coproc SERVER { exec python3 "$LIB/halting-pop3.py" "$WORK"; }
# shellcheck disable=SC2154 # set by coproc
at_exit "kill $SERVER_PID 2>/dev/null"
read -r port <&"${SERVER[0]}"
{
  printf 'state_dir: %s/state\ndestinations:\n' "$WORK"
  printf '  %s: {maildir: '"$WORK"'/%s}\n' anna anna otto otto
  echo 'mailboxes:'
  printf '  - {name: %s, pop3: "127.0.0.1:'"$port"'", tls: none, user: %s, password: %s, deliver_to: %s}\n' anna anna word-of-a-queen anna otto otto word-of-a-king otto
} >"$WORK/config.yaml"
chmod 600 "$WORK/config.yaml"

"$MAILHAUL" --config "$WORK/config.yaml" run >"$WORK/log" 2>&1 &
supervisor=$!
check "both mailboxes are being hauled" wait_until 20 have_both_halted
printf '%s %s\nword-of-a-queen word-of-a-king mail-of-anna mail-of-otto\n' "$supervisor" "$(pgrep -P "$supervisor" | tr '\n' ' ')" >"$WORK/search.new"
mv "$WORK/search.new" "$WORK/search"
check "their memory can be read" wait_until 20 test -e "$WORK/found"
sed 's/^/# /' "$WORK/found"

check "who reads the configuration knows both passwords" test "$(with word-of-a-queen word-of-a-king)" = "$supervisor"
anna=$(with mail-of-anna | except "$supervisor")
otto=$(with mail-of-otto | except "$supervisor")
check "one process has anna's mail" is_one "$anna"
check "one process has otto's mail" is_one "$otto"
check "they are two" test "$anna" != "$otto"
check "otto's has not anna's password" test -z "$(with word-of-a-queen | except "$supervisor" | except "$anna")"
check "anna's has not otto's password" test -z "$(with word-of-a-king | except "$supervisor" | except "$otto")"
check "who reads the configuration has nobody's mail" test "$(with mail-of-anna)$(with mail-of-otto)" = "$anna$otto"
kill "$supervisor"
wait "$supervisor"
system_end
