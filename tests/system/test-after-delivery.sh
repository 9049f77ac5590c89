#!/usr/bin/env bash
# test-after-delivery.sh - what happens to the copy at the source: keep, delete, mark_seen, move_to; and what first_run leaves alone.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=30

# dispose_course PROTOCOL NAME AFTER_DELIVERY LEFT UNSEEN MOVED: how many are left in INBOX, how many of them unseen, how many are in Archive.
dispose_course() {
  local protocol=$1 name=$2 after=$3 left=$4 unseen=$5 moved=$6 dir=$WORK/$2-$1 user=source-$2-$1
  dovecot_user "$user" secret
  dovecot_fill "$user" "$WORK/messages"
  doveadm_ mailbox create -u "$user" Archive
  write_config "$dir" "$protocol" "$user" "{maildir: $dir/home}" "after_delivery: $after"
  run_config "$dir"
  check "$protocol, $name: run succeeds" [ $? = 0 ]
  check "$protocol, $name: every message arrives" python3 "$LIB/compare-messages.py" local "$WORK/reference-${protocol%%[s-]*}" "$dir/home"
  check "$protocol, $name: $left left in INBOX" [ "$(dovecot_count "$user" INBOX)" = "$left" ]
  check "$protocol, $name: $unseen of them unseen" [ "$(dovecot_count "$user" INBOX unseen)" = "$unseen" ]
  check "$protocol, $name: $moved in Archive" [ "$(dovecot_count "$user" Archive)" = "$moved" ]
  run_config "$dir"
  check "$protocol, $name: a second run succeeds" [ $? = 0 ]
  check "$protocol, $name: a second run hauls nothing" arrived_is "$dir/home" "$COUNT"
}

# Somebody else's \Deleted mark is not ours to carry out.
foreign_deleted() {
  local dir=$WORK/foreign user=source-foreign
  dovecot_user "$user" secret
  dovecot_fill "$user" "$WORK/messages"
  write_config "$dir" imaps "$user" "{maildir: $dir/home}" "after_delivery: delete" "first_run: new"
  run_config "$dir"
  doveadm_ flags add -u "$user" '\Deleted' mailbox INBOX 1:5
  dovecot_put "$user" 2000000000.late.host "$WORK/messages/001.plain"
  run_config "$dir"
  check "foreign \\Deleted: run succeeds" [ $? = 0 ]
  check "foreign \\Deleted: the new message arrives" arrived_is "$dir/home" 1
  check "foreign \\Deleted: only our own message is expunged" [ "$(dovecot_count "$user" INBOX)" = "$COUNT" ]
}

first_run() {
  local protocol=$1 setting=$2 arrives=$3 dir=$WORK/first-$1-$2 user=source-first-$1-$2
  dovecot_user "$user" secret
  dovecot_fill "$user" "$WORK/messages"
  write_config "$dir" "$protocol" "$user" "{maildir: $dir/home}" "after_delivery: delete" "first_run: $setting"
  run_config "$dir"
  check "$protocol, first_run $setting: run succeeds" [ $? = 0 ]
  mkdir -p "$dir/home"
  check "$protocol, first_run $setting: $arrives arrive" arrived_is "$dir/home" "$arrives"
  check "$protocol, first_run $setting: the others stay" [ "$(dovecot_count "$user" INBOX)" = $((COUNT - arrives)) ]
  dovecot_put "$user" 2000000000.late.host "$WORK/messages/001.plain"
  run_config "$dir"
  check "$protocol, first_run $setting: a new message arrives alone" arrived_is "$dir/home" $((arrives + 1))
}

system_begin
servers_start --count $COUNT
for protocol in imaps pop3s; do
  dispose_course $protocol keep keep $COUNT $COUNT 0
  dispose_course $protocol delete delete 0 0 0
  first_run $protocol new 0
done
dispose_course imaps mark_seen mark_seen $COUNT 0 0
dispose_course imaps move_to '{move_to: Archive}' 0 0 $COUNT
foreign_deleted
# Messages are dated from 2026-01-05 on, one a minute.
first_run imaps 2026-01-01 $COUNT
first_run imaps 2026-02-01 0
system_end
