#!/usr/bin/env bash
# test-commands.sh - check, list, status, held, and the options, as a user types them.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=10

# json EXPRESSION: of the last output of expect, with d as the document.
json() {
  python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$WORK/expect.out" "$1"
}

options() {
  expect "--help" 0 '^ *run .*haul' mailhaul --help
  expect "--version" 0 '^mailhaul [0-9]+\.[0-9]+' mailhaul --version
  expect "no command" 64 'run' mailhaul
  expect "options may stand behind the command" 0 '' mailhaul run --config "$dir/config.yaml" --state-dir "$WORK/elsewhere" -q
  check "--state-dir is used" [ -f "$WORK/elsewhere/state.db" ]
  check "the state is ours alone" [ "$(stat -c %a "$WORK/elsewhere")-$(stat -c %a "$WORK/elsewhere/state.db")" = 700-600 ]
}

before_the_first_run() {
  expect "check before the first run" 0 'INBOX' mailhaul --config "$dir/config.yaml" check
  check "check: names the certificate's days" grep -Eq '[0-9]+ days' "$WORK/expect.out"
  check "check: says what a run would haul" grep -Eq "\b$COUNT\b" "$WORK/expect.out"
  check "check: hauls nothing" [ ! -e "$dir/home/new" -o -z "$(ls -A "$dir/home/new" 2>/dev/null)" ]
  expect "list before the first run" 0 "reference|INBOX" mailhaul --config "$dir/config.yaml" list isp
  expect "status before the first run" 0 'isp' mailhaul --config "$dir/config.yaml" status
  expect "list of an unknown mailbox" 64 'isp' mailhaul --config "$dir/config.yaml" list isq
}

after_a_run() {
  expect "run says nothing when nobody watches" 0 '' mailhaul --config "$dir/config.yaml" run
  check "run says nothing: no warning, no error" bash -c "! grep -Eiq 'warn|error' '$WORK/expect.out'"
  check "run: everything is there" arrived_is "$dir/home" $COUNT
  expect "status after it" 0 'isp' mailhaul --config "$dir/config.yaml" status
  expect "status --json" 0 '' mailhaul --config "$dir/config.yaml" status --json
  check "status --json is a document that names the mailbox" json 'any(m.get("name") == "isp" for m in d["mailboxes"])'
}

failures_show() {
  local broken=$WORK/broken
  write_config "$broken" imaps reference "{maildir: $broken/home}"
  sed -i 's/password: secret/password: wrong/' "$broken/config.yaml"
  expect "check with a wrong password" 77 'isp|uthentication failed' mailhaul --config "$broken/config.yaml" check
  expect "run with a wrong password" 77 'uthentication failed' mailhaul --config "$broken/config.yaml" run
  expect "status tells the last error in words" 0 'uthentication failed' mailhaul --config "$broken/config.yaml" status
  expect "status --json tells it too" 0 'uthentication failed' mailhaul --config "$broken/config.yaml" status --json
  write_config "$WORK/refusing" imaps reference "{lmtp: $WORK/dovecot/lmtp, recipient: nobody-here@home.example}"
  expect "check with a refused recipient" 75 "User doesn.t exist" mailhaul --config "$WORK/refusing/config.yaml" check
}

# A message that has been through a thousand hosts is in a loop: it is held, and the operator decides.
held() {
  local loop=$WORK/loop id
  python3 "$LIB/make-messages.py" --loop "$WORK/loop-message"
  dovecot_user loop secret
  dovecot_fill loop "$WORK/loop-message"
  write_config "$loop" imaps loop "{maildir: $loop/home}" "after_delivery: delete"
  expect "a loop: run succeeds, for a held message is no failure" 0 '' mailhaul --config "$loop/config.yaml" run
  check "a loop: it is not delivered" bash -c "! ls -A '$loop/home/new' 2>/dev/null | grep -q ."
  check "a loop: it stays at the source" [ "$(dovecot_count loop INBOX)" = 1 ]
  expect "held list" 0 'isp' mailhaul --config "$loop/config.yaml" held list
  id=$(awk '/isp/ { print $1 }' "$WORK/expect.out")
  expect "held show" 0 'Received|hosts|loop' mailhaul --config "$loop/config.yaml" held show "$id"
  expect "held retry" 0 '' mailhaul --config "$loop/config.yaml" held retry "$id"
  expect "held retry: the next run tries again, and holds again" 0 'loop' mailhaul --config "$loop/config.yaml" run
  expect "held retry: and holds it again" 0 'isp' mailhaul --config "$loop/config.yaml" held list
  expect "held drop" 0 '' mailhaul --config "$loop/config.yaml" held drop "$id"
  expect "held list is empty then" 0 '' mailhaul --config "$loop/config.yaml" held list
  check "held drop: it is gone from the list" bash -c "! grep -q isp '$WORK/expect.out'"
  check "held drop: the copy at the source stays" [ "$(dovecot_count loop INBOX)" = 1 ]
}

# On a terminal there is a progress line; the wire log masks what is secret.
watching() {
  local watched=$WORK/watched
  write_config "$watched" imaps reference "{maildir: $watched/home}"
  script -qec "'$MAILHAUL' --config '$watched/config.yaml' run" /dev/null >"$watched/screen" 2>&1 </dev/null
  check "progress on a terminal" grep -Eq "\b$COUNT\b" "$watched/screen"
  write_config "$WORK/traced" imaps reference "{maildir: $WORK/traced/home}"
  expect "--trace" 0 'CAPABILITY|LOGIN|AUTHENTICATE' mailhaul --config "$WORK/traced/config.yaml" --trace isp run
  check "--trace masks the password" bash -c "! grep -Eq 'secret|$(printf '\0reference\0secret' | base64)' '$WORK/expect.out'"
}

system_begin
servers_start --count $COUNT
dir=$WORK/commands
write_config "$dir" imaps reference "{maildir: $dir/home}"
before_the_first_run
after_a_run
options
failures_show
held
watching
system_end
