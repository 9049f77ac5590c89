#!/bin/bash
# fault-programs.sh - for the fault tests: where the programs are, or the reason why nothing can be broken here. To be sourced.
MAILHAUL=${MAILHAUL:-$PWD/mailhaul}
INJECT=${INJECT:-${abs_top_builddir:-$PWD}/tests/fault/inject}
FILE_MAIL=${FILE_MAIL:-${abs_top_builddir:-$PWD}/tests/fault/file-mail}
export MAILHAUL INJECT FILE_MAIL
command -v python3 >/dev/null || {
  echo "1..0 # SKIP python3 is not installed"
  exit 0
}
"$INJECT" --report /dev/null /bin/true || {
  echo "1..0 # SKIP processes cannot be traced here"
  exit 0
}

# A program under a sanitizer is slow to start, and has failed allocations of its own.
is_sanitized() {
  ldd "$MAILHAUL" 2>/dev/null | grep -qE 'lib(asan|ubsan|tsan)'
}
