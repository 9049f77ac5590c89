#!/bin/bash
# mutations.sh [NAME...] - breaks the order of steps on purpose, one place at a time, in a copy of the tree, and shows which test notices. To be run from
# a configured build directory ("make mutations"), by hand: it builds the program once for each. Fails if a mutation goes unnoticed, or no longer applies.
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
COPY=$(mktemp -d /tmp/mailhaul-mutations.XXXXXX)
chmod 755 "$COPY"
trap 'rm -rf "$COPY"' EXIT
JOBS=$(nproc)
unnoticed=0

# Of each mutation: its name, its file, the text that is there exactly once, what it becomes, and the tests that are to notice, the cheap ones first. A test
# that begins with a dash is arguments of run_faults.py.
POWER_CUT="--faults power-cut* --hauls imap-delete-maildir --stride 25"
KILLS="--faults kill-all --hauls imap-delete-* --stride 40"
mutations() {
  # The assertion alone, and what would happen without it.
  mutate dispose-before-ack src/worker/transfer.c \
    'STAILQ_FIRST(&transfer->recorded)) != NULL && channel_is_durable(session->channel, haul->seq)' \
    'STAILQ_FIRST(&transfer->recorded)) != NULL' \
    tests/flow/test-session "$KILLS"
  mutate dispose-before-ack-unasserted src/worker/transfer.c \
    'STAILQ_FIRST(&transfer->recorded)) != NULL && channel_is_durable(session->channel, haul->seq)' \
    'STAILQ_FIRST(&transfer->recorded)) != NULL' \
    'assert(haul->stage == HAUL_RECORDED && channel_is_durable(session->channel, haul->seq));' '' \
    tests/flow/test-session "$KILLS"
  mutate offer-before-ack src/worker/transfer-offer.c \
    'STAILQ_FIRST(&transfer->intended)) != NULL && channel_is_durable(transfer->session->channel, haul->seq)' \
    'STAILQ_FIRST(&transfer->intended)) != NULL' \
    tests/flow/test-session tests/flow/test-smtp-session "$KILLS"
  mutate no-sync-of-new src/dest/maildir.c \
    'if (fsync(maildir->context.new_fd) < 0 || (maildir->adopted' 'if (maildir->context.new_fd < 0 || (maildir->adopted' \
    tests/unit/test-maildir "$POWER_CUT"
  mutate no-sync-of-drafts src/dest/maildir-draft.c \
    'if (sync_files(drafts) < 0)' 'if (sync_files(drafts) < 0 && drafts->tmp_fd < 0)' \
    'return syncfs(drafts->tmp_fd);' 'return 0;' \
    'if (fsync(draft->fd) < 0)' 'if (draft->fd < 0)' \
    tests/unit/test-maildir "$POWER_CUT"
  mutate no-sync-of-tmp src/dest/maildir-draft.c \
    'return fsync(drafts->tmp_fd);' 'return 0;' \
    tests/unit/test-maildir "$POWER_CUT"
  mutate state-not-synchronous src/state/state.c \
    'PRAGMA synchronous = FULL;' 'PRAGMA synchronous = OFF;' \
    tests/unit/test-state "$POWER_CUT"
  mutate intents-not-synced src/supervisor/ledger.c \
    'state_begin(ledger->state, err)' 'state_begin_unsynced(ledger->state, err)' \
    "$POWER_CUT"
  mutate no-sync-of-parents src/base/fs.c \
    'fsync(parent);' '' \
    tests/unit/test-state "$POWER_CUT"
  mutate no-sync-of-maildir src/dest/maildir-create.c \
    'if (result == 0 && fsync(base) < 0)' 'if (result == 0 && base < 0)' \
    tests/unit/test-maildir "$POWER_CUT"
  mutate credit-on-4xx src/dest/smtp-data.c \
    '	if (code < 300) {' '	if (code < 500) {' \
    tests/flow/test-smtp tests/flow/test-session
  mutate credit-on-4xx-in-a-window src/dest/smtp-window.c \
    'reply->code < 300' 'reply->code < 500' \
    tests/unit/test-smtp-window tests/flow/test-smtp-window
  mutate prune-after-partial-listing src/worker/plan.c \
    '*ret_complete = above == 0 && !contradictory && view->listed == status->exists;' '*ret_complete = above == 0;' \
    tests/flow/test-identity tests/flow/test-session tests/flow/test-decisions
  mutate sync-again src/dest/maildir-draft.c \
    'if (sync_all(drafts) < 0) {' 'if (sync_all(drafts) < 0 && sync_all(drafts) < 0) {' \
    tests/unit/test-maildir "--faults EIO-syncs --hauls imap-keep-maildir"
  mutate stage-after-the-intent src/worker/transfer-load.c \
    '	haul->stage = HAUL_INTENDED;' '' \
    '	haul->seq = record.seq;' '	haul->seq = record.seq, haul->stage = HAUL_INTENDED;' \
    "--faults EIO-messages --hauls pop3-keep-two"
}

say() {
  printf '%s\n' "$*"
}

# replace FILE (OLD NEW)...: each OLD is there exactly once.
replace() {
  python3 - "$@" <<'EOF'
import sys
path, words = sys.argv[1], sys.argv[2:]
with open(path, encoding="utf-8") as file:
    text = file.read()
for old, new in zip(words[::2], words[1::2]):
    if text.count(old) != 1:
        sys.exit(f"{path} has {text.count(old)} times: {old}")
    text = text.replace(old, new)
with open(path, "w", encoding="utf-8") as file:
    file.write(text)
EOF
}

# notices TEST: it fails, or the program cannot be built with its warnings.
notices() {
  case $1 in
  --*)
    # shellcheck disable=SC2086 # words
    ! (set -f && cd "$COPY/build" && timeout 900 bash "$COPY/source/tests/fault/test-faults.sh" $1) >"$COPY/test.log" 2>&1
    ;;
  *)
    [ -e "$COPY/source/$1" ] || [ -e "$COPY/source/$1.c" ] || return 1
    ! make -s -C "$COPY/build" check TESTS="$1" >"$COPY/test.log" 2>&1
    ;;
  esac
}

# mutate NAME FILE (OLD NEW)... TEST...: what begins like a test ends the replacements.
mutate() {
  local name=$1 file=$2 test replacements=()
  shift 2
  if [ ${#CHOSEN[@]} -ne 0 ] && [[ " ${CHOSEN[*]} " != *" $name "* ]]; then
    return
  fi
  while [[ $1 != tests/* && $1 != --* ]]; do
    replacements+=("$1" "$2")
    shift 2
  done
  cp "$COPY/source/$file" "$COPY/original"
  if ! replace "$COPY/source/$file" "${replacements[@]}"; then
    say "STALE $name: it no longer applies; correct the mutation"
    unnoticed=$((unnoticed + 1))
    return
  fi
  if ! build; then
    say "STALE $name: it does not compile any more"
    unnoticed=$((unnoticed + 1))
  else
    judge "$name" "$@"
  fi
  cp "$COPY/original" "$COPY/source/$file"
}

judge() {
  local name=$1 test
  shift
  for test; do
    if notices "$test"; then
      say "noticed $name: by $test: $(grep -hE '(^|# .*: )(not ok|FAIL|LOST|EARLY|UNRECORDED|DUPLICATE|PARTIAL)|a failed sync|: (LOST|EARLY|UNRECORDED|DUPLICATE|PARTIAL)' "$COPY/test.log" | head -n 1 | cut -c1-160)"
      return
    fi
  done
  say "UNNOTICED $name"
  unnoticed=$((unnoticed + 1))
}

build() {
  make -s -j"$JOBS" -C "$COPY/build" all >"$COPY/build.log" 2>&1 &&
    make -s -j"$JOBS" -C "$COPY/build" tests/fault/inject tests/fault/file-mail >>"$COPY/build.log" 2>&1
}

CHOSEN=("$@")
mkdir "$COPY/source" "$COPY/build"
(cd "$TOP" && tar --exclude=./.git --exclude=./build -cf - .) | tar -C "$COPY/source" -xf -
(cd "$COPY/build" && "$COPY/source/configure" --quiet) || exit 1
build || {
  tail -n 20 "$COPY/build.log"
  exit 1
}
mutations
say "$unnoticed not noticed"
exit $((unnoticed > 0))
