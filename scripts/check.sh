#!/usr/bin/env bash
# check.sh - installs what is needed on a bare Debian 12, builds, and runs every test: plain, and again under AddressSanitizer and UBSan.
# The last line is "N passed, N failed"; the exit status is 1 if anything failed. Works offline when everything is installed.

set -u
TOP=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=packages.sh
. "$TOP/scripts/packages.sh"
export MAILHAUL_REQUIRE_SERVERS=1 LC_ALL=C
export PATH=$PATH:/usr/sbin:/sbin
JOBS=$(nproc)
PASSED=0
FAILED=0

step() {
  printf '\n== %s (%d s)\n' "$1" "$SECONDS"
}

count_pass() {
  PASSED=$((PASSED + 1))
  echo "ok $1"
}

count_fail() {
  FAILED=$((FAILED + 1))
  echo "FAILED $1"
}

finish() {
  printf '\nFinished after %d s.\n%d passed, %d failed\n' "$SECONDS" "$PASSED" "$FAILED"
  exit $((FAILED > 0))
}

# one_check NAME COMMAND...: a check that is one command; what it prints explains a failure.
one_check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    count_pass "$name"
  else
    count_fail "$name"
    printf '%s\n' "$output" | head -n 40
  fi
}

# build NAME OPTION...: configures and builds in BUILD/NAME; without it nothing after makes sense.
build() {
  local name=$1
  shift
  mkdir -p "$BUILD/$name"
  if (cd "$BUILD/$name" && "$SOURCE/configure" --quiet --enable-werror "$@" && make -s -j"$JOBS" all) >"$BUILD/$name.log" 2>&1; then
    count_pass "build $name"
    return 0
  fi
  count_fail "build $name"
  tail -n 40 "$BUILD/$name.log"
  return 1
}

# run_tests NAME: make check there; every single test counts, as the TAP of the programs says.
run_tests() {
  local name=$1 line results=$BUILD/$1.results
  (cd "$BUILD/$name" && make -s -k -j"$JOBS" check) >"$BUILD/$name-check.log" 2>&1
  if ! grep -q '^# TOTAL:' "$BUILD/$name-check.log"; then
    count_fail "tests $name: they could not be run"
    tail -n 40 "$BUILD/$name-check.log"
    return
  fi
  # The harness names its own errors too (a program that crashed), so its lines are counted, not those of the programs.
  find "$BUILD/$name/tests" -name '*.trs' -exec grep -hE '^:test-result: ' {} + >"$results"
  PASSED=$((PASSED + $(grep -cE '^:test-result: (PASS|XFAIL)' "$results")))
  FAILED=$((FAILED + $(grep -cE '^:test-result: (FAIL|XPASS|ERROR)' "$results")))
  while read -r line; do
    echo "skipped: $line"
  done < <(grep -hE '^:test-result: SKIP' "$results" | cut -d' ' -f3-)
  echo "tests $name: $(grep -cE '^:test-result: (PASS|XFAIL)' "$results") passed, $(grep -cE '^:test-result: (FAIL|XPASS|ERROR)' "$results") failed"
  while read -r line; do
    printf '\n-- %s\n' "$line"
    grep -vE '^(ok |PASS: )' "${line%.trs}.log" | awk '{ line[NR] = $0 } END { for (i = 1; i <= NR; i++) if (i <= 40 || i > NR - 60) print line[i] }'
  done < <(grep -lE '^:test-result: (FAIL|XPASS|ERROR)' -r "$BUILD/$name/tests" --include='*.trs')
}

# The units refer to the installed program and manual, so they are checked where "make install" puts them.
verify_units() {
  local root=$BUILD/installed complaints
  (cd "$BUILD/plain" && make -s install DESTDIR="$root") || return 1
  sed -i "s|^ExecStart=[^ ]*/mailhaul|ExecStart=$root/usr/local/bin/mailhaul|" "$root"/usr/local/lib/systemd/{system,user}/mailhaul*.service
  # A template is checked as one of its instances.
  cp "$root"/usr/local/lib/systemd/system/mailhaul@{,home}.service
  complaints=$({
    systemd-analyze verify --man=no "$root"/usr/local/lib/systemd/system/mailhaul{.service,@home.service,-run.service,-run.timer} &&
      XDG_RUNTIME_DIR=$BUILD systemd-analyze --user verify --man=no "$root"/usr/local/lib/systemd/user/mailhaul{.service,-run.service,-run.timer}
  } 2>&1) && [ -z "$complaints" ] && return
  echo "$complaints"
  return 1
}

# Not those of users: they do without namespaces, and no user of theirs is root.
unit_exposure() {
  systemd-analyze security --offline=true --threshold=13 "$BUILD"/installed/usr/local/lib/systemd/system/mailhaul{,@home,-run}.service
}

# mandoc also has opinions (names of sections); errors and warnings count.
check_manuals() {
  mandoc -T lint -W warning "$SOURCE/doc/mailhaul.1" "$SOURCE"/doc/*.5
}

check_scripts() {
  (cd "$SOURCE" && shellcheck -x -P SCRIPTDIR -P tests/lib -e SC2016,SC2119,SC2120,SC2317 autogen.sh .ci/run scripts/*.sh tests/lib/*.sh tests/system/*.sh tests/fault/*.sh tests/bench/*.sh)
}

step "packages"
# shellcheck disable=SC2086 # lists of words
packages_install $BUILD_PACKAGES $SERVER_PACKAGES $TEST_PACKAGES || {
  count_fail "packages"
  finish
}

# Out of tree, and from a copy: the checkout stays as it is, and may be read-only.
BUILD=$(mktemp -d /tmp/mailhaul-check.XXXXXX)
trap 'rm -rf "$BUILD"' EXIT
chmod 755 "$BUILD"
SOURCE=$BUILD/source
mkdir "$SOURCE"
(cd "$TOP" && tar --exclude=./.git --exclude=./build -cf - .) | tar -C "$SOURCE" -xf -
(cd "$SOURCE" && { [ ! -f Makefile ] || make -s distclean; } && ./autogen.sh) >"$BUILD/autogen.log" 2>&1 || {
  count_fail "autogen.sh"
  tail -n 40 "$BUILD/autogen.log"
  finish
}

step "build"
build plain || finish
step "unit, flow and system tests"
run_tests plain
step "the same with AddressSanitizer and UBSan"
# -O1: the sanitizers' reports are as good, and the run is twice as fast as with -O0.
if build sanitized --with-sanitizer=address,undefined CFLAGS="-O1 -g"; then
  run_tests sanitized
fi
step "source and units"
one_check "clang-format" make -s -C "$BUILD/plain" format-check
one_check "shellcheck" check_scripts
one_check "manual pages" check_manuals
one_check "systemd units" verify_units
one_check "systemd unit exposure is at most 1.3" unit_exposure
finish
