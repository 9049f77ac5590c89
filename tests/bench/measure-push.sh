#!/usr/bin/env bash
# measure-push.sh [ACCOUNTS MESSAGES SECONDS MAILBOXES WEIGHED POLL_EVERY] - how long announced mail takes from a real Dovecot to a sink, and what idle mailboxes
# cost: MAILHAUL=build/mailhaul tests/bench/measure-push.sh. By default 50 accounts with two folders, 1000 messages in 60 s, 1000 idle mailboxes for 60 s,
# looked into each minute. PUSH_ROUND_TRIP=40 puts a network of so many ms before Dovecot, with BENCH_TOOLS/delay-proxy; PUSH_CAPABILITY is what Dovecot says
# that it can do.
# As root, since nobody else may look into workers; the agent and the servers run as nobody all the same.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"

ACCOUNTS=${1:-50}
MESSAGES=${2:-1000}
SECONDS_LONG=${3:-60}
MAILBOXES=${4:-1000}
WEIGHED=${5:-60}
POLL_EVERY=${6:-1m}
PUSH_ROUND_TRIP=${PUSH_ROUND_TRIP:-0}
HOSTS=50 # each has so many names that its mailboxes need not wait for each other's turn for long

give_away() {
  chown -R "$ORDINARY_USER:" "$WORK"
}

# begin DIR: the daemon with its configuration. MAILBOXES of it wait in the end.
begin() {
  chmod 600 "$1/config.yaml"
  give_away
  (ulimit -n 20000 && exec "${as_user[@]}" "$MAILHAUL" --config "$1/config.yaml" daemon) 2>"$1/log" &
  DAEMON=$!
  at_exit "kill -9 $DAEMON 2>/dev/null"
}

# wait_for_all COUNT DIR: until so many wait for mail.
wait_for_all() {
  wait_until 120 all_wait "$@" || echo "$(waiting "$2") of $1 wait" >&2
  sleep 2 # for whoever was late
}

waiting() {
  "${as_user[@]}" "$MAILHAUL" --config "$1/config.yaml" status --json | grep -o pushing | wc -l
}

all_wait() {
  [ "$(waiting "$2")" -ge "$1" ]
}

available_kib() {
  awk '/^MemAvailable:/ {print $2}' /proc/meminfo
}

# end WORKERS: and what the machine has more memory without them, kernel and both ends of the connections included.
end() {
  local began before
  before=$(available_kib)
  began=$(date +%s%N)
  kill -TERM "$DAEMON"
  wait "$DAEMON" 2>/dev/null
  echo "left $((($(date +%s%N) - began) / 1000000)) ms after SIGTERM"
  sleep 1
  echo "MemAvailable: $((($(available_kib) - before) / $1)) KiB per worker"
}

# move_away PORT: sets DISTANT_PORT, which is the same so far away.
move_away() {
  DISTANT_PORT=$1
  [ "$PUSH_ROUND_TRIP" != 0 ] || return 0
  "${BENCH_TOOLS:-$TOP/tests/bench}/delay-proxy" "$PUSH_ROUND_TRIP" "$1" >"$WORK/proxy" &
  at_exit "kill $! 2>/dev/null"
  wait_until 10 test -s "$WORK/proxy"
  DISTANT_PORT=$(cut -d' ' -f2 "$WORK/proxy")
}

measure_latency() {
  local dir=$WORK/latency i
  echo "== $ACCOUNTS accounts x 2 folders at Dovecot, $MESSAGES messages at random over $SECONDS_LONG s, LMTP to LMTP"
  mkdir -p "$dir"
  printf 'lmtp_save_to_detail_mailbox = yes\nprotocol lmtp {\n  lda_mailbox_autocreate = yes\n}\nmail_max_userip_connections = 0\n' >>"$DOVECOT_DIR/dovecot.conf"
  [ -z "${PUSH_CAPABILITY:-}" ] || printf 'protocol imap {\n  imap_capability = %s\n}\n' "$PUSH_CAPABILITY" >>"$DOVECOT_DIR/dovecot.conf"
  doveadm -c "$DOVECOT_DIR/dovecot.conf" reload
  move_away "$IMAP_PORT"
  : >"$dir/arrivals"
  give_away
  "${as_user[@]}" python3 "$TOP/tests/bench/push.py" sink "$dir/sink" "$dir/arrivals" &
  at_exit "kill $! 2>/dev/null"
  {
    printf 'state_dir: %s/state\ndefaults: {poll_every: 5m, push: yes, tls: none, password: secret, deliver_to: sink, folders: [INBOX, Junk]}\n' "$dir"
    printf 'destinations: {sink: {lmtp: %s/sink, recipient: anna@home.example}}\nmailboxes:\n' "$dir"
    for ((i = 0; i < ACCOUNTS; i++)); do
      printf '  - {name: push%s, user: push%s, imap: "127.0.0.1:%s"}\n' "$i" "$i" "$DISTANT_PORT"
    done
  } >"$dir/config.yaml"
  for ((i = 0; i < ACCOUNTS; i++)); do
    dovecot_user "push$i" secret
    mkdir -p "$DOVECOT_DIR/mail/push$i/.Junk/cur" "$DOVECOT_DIR/mail/push$i/.Junk/new" "$DOVECOT_DIR/mail/push$i/.Junk/tmp"
  done
  begin "$dir"
  wait_for_all "$ACCOUNTS" "$dir"
  echo "one message every two seconds:"
  "${as_user[@]}" python3 "$TOP/tests/bench/push.py" deliver "$dir" "$LMTP_PORT" "$ACCOUNTS" 10 20
  echo "as many as were asked for:"
  "${as_user[@]}" python3 "$TOP/tests/bench/push.py" deliver "$dir" "$LMTP_PORT" "$ACCOUNTS" "$MESSAGES" "$SECONDS_LONG"
  echo "connections: $(pgrep -c -P "$DAEMON" mailhaul-worker) for $((2 * ACCOUNTS)) folders"
  sleep 3
  python3 "$TOP/tests/bench/push.py" weigh "$DAEMON" 5 "$ACCOUNTS"
  end "$ACCOUNTS"
}

measure_idle() {
  local dir=$WORK/idle port pin i
  echo "== $MAILBOXES idle mailboxes over TLS, looked into every $POLL_EVERY"
  mkdir -p "$dir"
  port=$(free_ports 1)
  pin=$(openssl x509 -in "$WORK/certs/server.pem" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -d' ' -f1)
  python3 "$TOP/tests/bench/idle-server.py" "$port" "$WORK/certs/server.pem" "$WORK/certs/server.key" &
  at_exit "kill $! 2>/dev/null"
  {
    printf 'state_dir: %s/state\ndefaults: {poll_every: %s, push: yes, password: secret, deliver_to: home, pin_sha256: %s}\n' "$dir" "$POLL_EVERY" "$pin"
    printf 'destinations: {home: {maildir: %s/home}}\nmailboxes:\n' "$dir"
    for ((i = 0; i < MAILBOXES; i++)); do
      printf '  - {name: idle%s, user: idle%s, imap: "127.0.0.%s:%s"}\n' "$i" "$i" $((i % HOSTS + 1)) "$port"
    done
  } >"$dir/config.yaml"
  begin "$dir"
  wait_for_all "$MAILBOXES" "$dir"
  python3 "$TOP/tests/bench/push.py" weigh "$DAEMON" "$WEIGHED" "$MAILBOXES"
  end "$MAILBOXES"
}

[ "$(id -u)" = 0 ] || {
  echo "$0 wants root: nobody else may look into workers" >&2
  exit 1
}
MAILHAUL=$(realpath "${MAILHAUL:-$TOP/mailhaul}")
WORK=$(mktemp -d /tmp/mailhaul-push.XXXXXX) || exit 1
trap system_cleanup EXIT
trap 'exit 130' INT TERM
at_exit 'rm -rf "$WORK"'
chmod 755 "$WORK"
cp "$MAILHAUL" "$WORK/mailhaul"
MAILHAUL=$WORK/mailhaul
as_user=(setpriv --reuid="$ORDINARY_USER" --regid="$(id -g "$ORDINARY_USER")" --clear-groups --inh-caps=-all env HOME="$WORK")
export DOVECOT_USER=$ORDINARY_USER
dovecot() {
  give_away
  "${as_user[@]}" dovecot "$@"
}
certificates_make "$WORK/certs"
dovecot_start "$WORK/dovecot" "$WORK/certs" || exit 1
[ "$ACCOUNTS" = 0 ] || measure_latency
[ "$MAILBOXES" = 0 ] || measure_idle
