#!/bin/bash
# test-faults.sh - hauls broken at every step; see run_faults.py, which gets the arguments. Needs the programs that make check builds.
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
exec python3 "$(dirname "${BASH_SOURCE[0]}")/run_faults.py" "$@"
