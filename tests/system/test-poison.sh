#!/usr/bin/env bash
# test-poison.sh - one message that Dovecot cannot read and one that Postfix refuses, among others: the others arrive, the two are kept and explained.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/postfix.sh"
. "$LIB/hauling.sh"

COUNT=6

root_setup() {
  command -v postfix >/dev/null || return
  postfix_start "$WORK/postfix" "$ORDINARY_USER" || return
  echo '/^X-Poison:/ REJECT poison is not wanted here' >"$WORK/postfix/etc/header_checks"
  echo "header_checks = regexp:$WORK/postfix/etc/header_checks" >>"$WORK/postfix/etc/main.cf"
  postfix -c "$WORK/postfix/etc" reload >/dev/null 2>&1
  export SMTP_PORT
}

# mailbox USER: six messages, the second poisonous, the fourth unreadable once its size is known.
mailbox() {
  local user=$1 number
  mkdir -p "$WORK/$user-messages"
  for number in $(seq $COUNT); do
    printf 'Return-Path: <ben@far.example>\nFrom: ben@far.example\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <%s@far.example>\n' "$number" >"$WORK/$user-messages/$number"
    [ "$number" != 2 ] || echo 'X-Poison: yes' >>"$WORK/$user-messages/$number"
    printf 'Subject: number %s\n\ntext of number %s\n' "$number" "$number" >>"$WORK/$user-messages/$number"
  done
  dovecot_user "$user" secret
  dovecot_fill "$user" "$WORK/$user-messages"
  doveadm_ fetch -u "$user" 'uid size.virtual' all >/dev/null
  chmod 000 "$DOVECOT_DIR/mail/$user"/*/*.4.host*
}

# poisoned PROTOCOL: into Postfix, with what it refuses going to a Maildir.
poisoned() {
  local protocol=$1 user=poison-$1 status=0
  local dir=$WORK/$user
  mailbox "$user"
  rm -rf "$WORK/postfix/mail/anna"
  mkdir -p "$WORK/postfix/mail/anna"/{cur,new,tmp}
  write_config "$dir" "$protocol" "$user" "{smtp: \"127.0.0.1:$SMTP_PORT\", recipient: anna@home.example}" "after_delivery: delete" \
    "on_refuse: {deliver_to: spam}"
  sed -i "s|^destinations:|&\\n  spam: {maildir: $dir/spam}|" "$dir/config.yaml"
  expect "$protocol: check looks at the destination for what is refused, too" 0 "destination spam: .* can be written" mailhaul --config "$dir/config.yaml" check

  # Over IMAP, Dovecot says goodbye at a message that it cannot read: the third session does without it.
  for _ in 1 2 3; do
    run_config "$dir" -v isp || status=$?
    ! grep -q 'event=hauled' "$dir/log" || break
  done
  check "$protocol: a message that cannot be read is no success" [ "$status" = 75 ]
  wait_until 30 arrived_is "$WORK/postfix/mail/anna" 4
  check "$protocol: the others arrive" arrived_is "$WORK/postfix/mail/anna" 4
  expect "$protocol: the log says where the refused one goes" 0 'event=diverted .*poison is not wanted here' cat "$dir/log"
  run_config "$dir" isp
  check "$protocol: the next run brings it there" grep -rq 'X-Poison' "$dir/spam/new"
  check "$protocol: and alone" arrived_is "$dir/spam" 1
  check "$protocol: the unreadable one alone is left at the source" [ "$(find "$DOVECOT_DIR/mail/$user" -name '*.host*' | wc -l)" = 1 ]
  expect "$protocol: status tells that it waits" 0 'waiting +1 message' mailhaul --config "$dir/config.yaml" status

  chmod 600 "$DOVECOT_DIR/mail/$user"/*/*.4.host*
  expect "$protocol: forget" 0 'first_run' mailhaul --config "$dir/config.yaml" forget isp --yes
  run_config "$dir"
  wait_until 30 arrived_is "$WORK/postfix/mail/anna" 5
  check "$protocol: readable again, it arrives" grep -rq 'text of number 4' "$WORK/postfix/mail/anna"
  check "$protocol: nothing came twice" arrived_is "$WORK/postfix/mail/anna" 5
}

system_begin
if [ -z "${MAILHAUL_ROOT:-}" ]; then
  skip "poison" "Postfix needs root"
elif [ -z "${SMTP_PORT:-}" ]; then
  command -v postfix >/dev/null || missing "Postfix is not installed"
  fail "poison" "Postfix did not start"
else
  servers_start --count 1
  poisoned imaps
  poisoned pop3s
fi
system_end
