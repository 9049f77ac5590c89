#!/usr/bin/env bash
# test-round-trips.sh - how often a poll waits for the network when there is nothing new: on first contact, when the server's capabilities are known, and
# when it is known not to lose what follows the login. Counted by a relay before a real server.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

# relay_start PORT LOG: sets RELAY_PORT.
relay_start() {
  : >"$2"
  python3 "$LIB/count-round-trips.py" "$1" "$2" >"$2.port" &
  at_exit "kill $! 2>/dev/null"
  wait_until 10 test -s "$2.port"
  RELAY_PORT=$(cat "$2.port")
}

# trips_are LOG CONNECTION COUNT: the relay writes its line when the connection has ended, which may be after mailhaul has.
trips_are() {
  wait_until 10 has_lines "$1" "$2"
  echo "round trips so far: $(paste -sd' ' "$1"); expected of connection $2: $3"
  [ "$(sed -n "$2p" "$1")" = "$3" ]
}

has_lines() {
  [ "$(wc -l <"$1")" -ge "$2" ]
}

# write_relayed_config DIR PROTOCOL USER [MAILBOX_LINE...]: through the relay.
write_relayed_config() {
  local dir=$1 protocol=$2 user=$3
  shift 3
  mkdir -p "$dir"
  {
    printf 'state_dir: %s\ndestinations:\n  home: {maildir: %s}\nmailboxes:\n  - name: isp\n' "$dir/state" "$dir/home"
    printf '    %s: "localhost:%s"\n    ca_file: %s\n' "$protocol" "$RELAY_PORT" "$WORK/certs/ca.pem"
    printf '    user: %s\n    password: secret\n    deliver_to: home\n' "$user"
    [ $# -eq 0 ] || printf '    %s\n' "$@"
  } >"$dir/config.yaml"
  chmod 600 "$dir/config.yaml"
}

# count_polls NAME PROTOCOL PORT USER "TRIPS..." [MAILBOX_LINE...]: a run for each number, all after the first with nothing new.
count_polls() {
  local name=$1 protocol=$2 port=$3 user=$4 expected=$5 dir connection=0 trips
  dir=$WORK/$name
  shift 5
  mkdir -p "$dir"
  relay_start "$port" "$dir/trips"
  write_relayed_config "$dir" "$protocol" "$user" "$@"
  for trips in $expected; do
    connection=$((connection + 1))
    run_config "$dir"
    check "$name: run $connection succeeds" [ $? = 0 ]
    [ "$trips" = any ] || check "$name: run $connection takes $trips round trips" trips_are "$dir/trips" $connection "$trips"
  done
  check "$name: all mail has come, once" arrived_is "$dir/home" "$(dovecot_count "$user" '*')"
}

# A mailbox on a server that was never seen, so empty that there is nothing to haul: all there is to count is the poll.
first_contact() {
  dovecot_user empty secret
  count_polls imap-first-contact imap "$IMAPS_PORT" empty 5
  count_polls pop3-first-contact pop3 "$POP3S_PORT" empty 6
}

later_polls() {
  count_polls imap imap "$IMAPS_PORT" reference 'any 5 4 4'
  count_polls pop3 pop3 "$POP3S_PORT" reference 'any 5 4 4'
  count_polls imap-no-pipelining imap "$IMAPS_PORT" reference 'any 6 6' 'quirks: [no-pipelining]'
}

several_folders() {
  dovecot_user many secret
  dovecot_fill many "$WORK/messages"
  for folder in Work 'Büro & Söhne' 'with "quotes"'; do
    doveadm_ mailbox create -u many "$folder"
    doveadm_ copy -u many "$folder" mailbox INBOX all
  done
  count_polls folders imap "$IMAPS_PORT" many 'any 5 4' "folders: [INBOX, Work, 'Büro & Söhne', 'with \"quotes\"']"
  doveadm_ move -u many Work mailbox INBOX 1
  run_config "$WORK/folders"
  check "folders: what is new in one of them is hauled" arrived_is "$WORK/folders/home" $((4 * COUNT + 1))
}

COUNT=12
system_begin
servers_start --count $COUNT
first_contact
later_polls
several_folders
system_end
