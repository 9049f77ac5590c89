# postfix.sh - Postfix with a configuration and queue of its own, on loopback and a high port. Needs root (its master does); else there is smtp-sink.
# shellcheck shell=bash

# postfix_start DIR OWNER: mail for *@home.example that is listed in DIR/recipients goes to Maildirs DIR/mail/NAME/ of OWNER; others are refused with 550.
# Sets SMTP_PORT. Headers are left alone and limits are wide: what is tested is the agent.
postfix_start() {
  local dir=$1 owner=$2 tries uid gid
  uid=$(id -u "$owner")
  gid=$(id -g "$owner")
  mkdir -p "$dir/etc" "$dir/queue" "$dir/data" "$dir/mail"
  chown postfix "$dir/data"
  chown "$owner:" "$dir/mail"
  printf 'anna@home.example anna/\nbert@home.example bert/\n' >"$dir/etc/recipients"
  cat >"$dir/etc/main.cf" <<EOF
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file = $dir/log
maillog_file_prefixes = $dir
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.home.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = home.example
virtual_mailbox_base = $dir/mail
virtual_mailbox_maps = texthash:$dir/etc/recipients
virtual_minimum_uid = 1
virtual_uid_maps = static:$uid
virtual_gid_maps = static:$gid
virtual_mailbox_limit = 0
virtual_alias_maps =
alias_maps =
alias_database =
local_header_rewrite_clients =
message_drop_headers =
disable_mime_input_processing = yes
header_size_limit = 10000000
line_length_limit = 10000000
message_size_limit = 0
hopcount_limit = 5000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtputf8_enable = yes
import_environment = MAIL_CONFIG
EOF
  for tries in 1 2 3; do
    read -r SMTP_PORT < <(free_ports 1)
    cat >"$dir/etc/master.cf" <<EOF
127.0.0.1:$SMTP_PORT inet n - n - - smtpd
pickup    unix  n  -  n  60   1  pickup
cleanup   unix  n  -  n  -    0  cleanup
qmgr      unix  n  -  n  300  1  qmgr
rewrite   unix  -  -  n  -    -  trivial-rewrite
bounce    unix  -  -  n  -    0  bounce
defer     unix  -  -  n  -    0  bounce
trace     unix  -  -  n  -    0  bounce
verify    unix  -  -  n  -    1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -    -  proxymap
proxywrite unix -  -  n  -    1  proxymap
smtp      unix  -  -  n  -    -  smtp
relay     unix  -  -  n  -    -  smtp
showq     unix  n  -  n  -    -  showq
error     unix  -  -  n  -    -  error
retry     unix  -  -  n  -    -  error
discard   unix  -  -  n  -    -  discard
local     unix  -  n  n  -    -  local
virtual   unix  -  n  n  -    -  virtual
lmtp      unix  -  -  n  -    -  lmtp
anvil     unix  -  -  n  -    1  anvil
scache    unix  -  -  n  -    1  scache
postlog   unix-dgram n - n  -  1  postlogd
EOF
    if postfix -c "$dir/etc" start >"$dir/start.log" 2>&1; then
      at_exit "postfix -c '$dir/etc' stop >/dev/null 2>&1"
      wait_until 10 bash -c "</dev/tcp/127.0.0.1/$SMTP_PORT" && return 0
    fi
  done
  echo "Postfix did not start after $tries tries:" >&2
  cat "$dir/start.log" >&2
  return 1
}

# postfix_drained DIR: nothing is left in the queue.
postfix_drained() {
  [ -z "$(find "$1/queue/incoming" "$1/queue/active" "$1/queue/maildrop" -type f 2>/dev/null)" ]
}

# smtp_sink_start DIR: every message becomes a file in DIR/files. Sets SINK_PORT.
smtp_sink_start() {
  local dir=$1 pid tries
  mkdir -p "$dir/files"
  for tries in 1 2 3 4 5; do
    read -r SINK_PORT < <(free_ports 1)
    # The files are named by the minute and a number: in a directory of their own.
    (cd "$dir/files" && exec smtp-sink ${SINK_USER:+-u "$SINK_USER"} -d "%M." "127.0.0.1:$SINK_PORT" 1000) >"$dir/log" 2>&1 &
    pid=$!
    disown "$pid"
    at_exit "kill $pid 2>/dev/null"
    wait_until 10 smtp_sink_is_up "$pid" && kill -0 "$pid" 2>/dev/null && return 0
  done
  echo "smtp-sink did not start after $tries tries: $(cat "$dir/log")" >&2
  return 1
}

# smtp_sink_is_up PID: without a process there is nothing to wait for.
smtp_sink_is_up() {
  kill -0 "$1" 2>/dev/null || return 0
  (: <"/dev/tcp/127.0.0.1/$SINK_PORT") 2>/dev/null
}
