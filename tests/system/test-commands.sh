#!/usr/bin/env bash
# test-commands.sh - check, list, status, held, and the options, as a user types them.
. "$(dirname "$0")/../lib/system.sh"
. "$LIB/certificates.sh"
. "$LIB/dovecot.sh"
. "$LIB/hauling.sh"

COUNT=10

# Started as root, by hand or by an old cron line: the user of the configuration does the work, and owns what it leaves.
root_setup() {
  local dir=$WORK/as-root
  mkdir -p "$dir"
  cat >"$dir/config.yaml" <<EOF
run_as: $ORDINARY_USER
state_dir: $dir/not/made/yet
destinations:
  home: {lmtp: $dir/socket, recipient: anna}
mailboxes:
  - {name: isp, imap: "127.0.0.1:9", tls: none, user: anna, password: secret, deliver_to: home}
EOF
  chmod 600 "$dir/config.yaml"
  sed 's/^run_as: .*/run_as: no-such-user/' "$dir/config.yaml" >"$dir/nobody.yaml"
  chmod 600 "$dir/nobody.yaml"
  "$MAILHAUL" --config "$dir/config.yaml" run -v >"$dir/log" 2>&1
  echo "exit code $?" >>"$dir/log"
  "$MAILHAUL" --config "$dir/nobody.yaml" run >"$dir/nobody.log" 2>&1
  echo "exit code $?" >>"$dir/nobody.log"
}

as_root() {
  local dir=$WORK/as-root
  if [ -z "${MAILHAUL_ROOT:-}" ]; then
    skip "started as root" "this needs root"
    return
  fi
  expect "started as root: says as whom it goes on" 0 "event=run_as .*$ORDINARY_USER" cat "$dir/log"
  check "started as root: the work is done" grep -q 'exit code 75' "$dir/log"
  check "started as root: the state belongs to that user" [ "$(stat -c %U:%a "$dir/not/made/yet/state.db")" = "$ORDINARY_USER:600" ]
  expect "started as root without that user: says how to make one" 0 'useradd --system.* no-such-user' cat "$dir/nobody.log"
  check "started as root without that user: exit code 78" grep -q 'exit code 78' "$dir/nobody.log"
}

# json EXPRESSION: of the last output of expect, with d as the document.
json() {
  python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$WORK/expect.out" "$1"
}

# As under a full disk: an error in words, and not the death of the process (SIGXFSZ).
a_limit_of_file_sizes() {
  expect "a run that may write no large file says so" 74 'File too large.*make room' bash -c "ulimit -f 64; '$MAILHAUL' --config '$dir/config.yaml' --state-dir '$WORK/limited' run"
  expect "without the limit it goes on" 0 '' mailhaul --config "$dir/config.yaml" --state-dir "$WORK/limited" run
}

options() {
  expect "--help" 0 '^ *run .*haul' mailhaul --help
  expect "--version" 0 '^mailhaul [0-9]+\.[0-9]+' mailhaul --version
  expect "no command" 64 'run' mailhaul
  check "no command: the help goes to stderr" [ -z "$("$MAILHAUL" 2>/dev/null)" ]
  expect "options may stand behind the command" 0 '' mailhaul run --config "$dir/config.yaml" --state-dir "$WORK/elsewhere" -q
  check "--state-dir is used" [ -f "$WORK/elsewhere/state.db" ]
  check "the state is ours alone" [ "$(stat -c %a "$WORK/elsewhere")-$(stat -c %a "$WORK/elsewhere/state.db")" = 700-600 ]
}

before_the_first_run() {
  expect "check before the first run" 0 'INBOX' mailhaul --config "$dir/config.yaml" check
  check "check: names the certificate's days" grep -Eq '[0-9]+ days' "$WORK/expect.out"
  check "check: says what a run would haul" grep -Eq "\b$COUNT\b" "$WORK/expect.out"
  check "check: names the address" grep -q 'connected to 127.0.0.1' "$WORK/expect.out"
  check "check: hauls nothing" [ ! -e "$dir/home/new" -o -z "$(ls -A "$dir/home/new" 2>/dev/null)" ]
  expect "list before the first run" 0 "reference|INBOX" mailhaul --config "$dir/config.yaml" list isp
  expect "status before the first run" 0 'isp' mailhaul --config "$dir/config.yaml" status
  expect "list of an unknown mailbox" 64 'isp' mailhaul --config "$dir/config.yaml" list isq
}

after_a_run() {
  expect "run says nothing when nobody watches" 0 '' mailhaul --config "$dir/config.yaml" run
  check "run says nothing: no warning, no error" bash -c "! grep -Eiq 'warn|error' '$WORK/expect.out'"
  check "run: everything is there" arrived_is "$dir/home" $COUNT
  expect "list after a run shows what was hauled" 0 "nothing to do" mailhaul --config "$dir/config.yaml" list isp
  expect "status after it" 0 'isp' mailhaul --config "$dir/config.yaml" status
  expect "status --json" 0 '' mailhaul --config "$dir/config.yaml" status --json
  check "status --json is a document that names the mailbox" json 'any(m.get("name") == "isp" for m in d["mailboxes"])'
  cp -p "$dir/config.yaml" "$dir/more.yaml"
  echo '  - {name: later, imap: mail.example, user: anna, password: secret, deliver_to: home}' >>"$dir/more.yaml"
  expect "status knows a mailbox that was never hauled" 0 '^later' mailhaul --config "$dir/more.yaml" status
  expect "held list knows it too" 0 '' mailhaul --config "$dir/more.yaml" held list later
  expect "held before the first run" 0 '' mailhaul --config "$dir/config.yaml" --state-dir "$WORK/never" held list
  check "held before the first run: makes no state" [ ! -e "$WORK/never" ]
  expect "held of a message that is not" 64 'nothing is held under' mailhaul --config "$dir/config.yaml" held show 4711
}

failures_show() {
  local broken=$WORK/broken
  write_config "$broken" imaps reference "{maildir: $broken/home}"
  sed -i 's/password: secret/password: wrong/' "$broken/config.yaml"
  expect "check with a wrong password" 77 'isp|uthentication failed' mailhaul --config "$broken/config.yaml" check
  expect "run with a wrong password" 77 'uthentication failed' mailhaul --config "$broken/config.yaml" run
  expect "status tells the last error in words, and that something needs attention" 1 'uthentication failed' mailhaul --config "$broken/config.yaml" status
  expect "status --json tells it too" 1 'uthentication failed' mailhaul --config "$broken/config.yaml" status --json
  write_config "$WORK/refusing" imaps reference "{lmtp: $WORK/dovecot/lmtp, recipient: nobody-here@home.example}"
  expect "check with a refused recipient" 75 "User doesn.t exist" mailhaul --config "$WORK/refusing/config.yaml" check
}

# What keeps a session from being born is said too, and on a terminal without the marks of a log.
check_explains() {
  local odd=$WORK/odd
  write_config "$odd" imaps reference "{maildir: $odd/home}"
  sed -i 's|password: secret|password: {command: [/bin/false]}|' "$odd/config.yaml"
  expect "check: a password command that fails" 78 '^FAILED +isp: .*/bin/false' mailhaul --config "$odd/config.yaml" check
  sed -i 's|/bin/false|/bin/true|' "$odd/config.yaml"
  expect "check: a password command that prints nothing" 78 '^FAILED +isp: .*no password' mailhaul --config "$odd/config.yaml" check
  write_config "$odd" imaps reference "{mda: [$WORK/no-program]}"
  expect "check: a program that is not there" 75 "^FAILED +isp: destination home: .*$WORK/no-program" mailhaul --config "$odd/config.yaml" check
  write_config "$odd" imaps reference "{smtp: mx.invalid, tls: none, insecure: yes, recipient: a@home.example}"
  expect "check: a destination that is not found" 75 '^FAILED +isp: destination home: [a-z ]*"mx.invalid"' mailhaul --config "$odd/config.yaml" check
}

# Cron mails what is printed: a failure is news once, whatever the server says about how long it took.
news_once() {
  local news=$WORK/news
  write_config "$news" imaps reference "{maildir: $news/home}" 'folders: [INBOX, Gone]'
  expect "a folder that is not there: is said" 75 'Gone' mailhaul --config "$news/config.yaml" run
  check "a folder that is not there: is said in one line" [ "$(grep -c Gone "$WORK/expect.out")" = 1 ]
  expect "a folder that is not there: the next run fails too" 75 '' mailhaul --config "$news/config.yaml" run
  check "a folder that is not there: it is said once" [ ! -s "$WORK/expect.out" ]
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
  check "progress on a terminal" grep -Eq "hauling 1 mailbox: $COUNT of $COUNT messages" "$watched/screen"
  check "a summary on a terminal" grep -Eq "$COUNT of $COUNT messages, [0-9.]+ [KM]iB in 0:" "$watched/screen"
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
a_limit_of_file_sizes
as_root
failures_show
check_explains
news_once
held
watching
system_end
