#!/bin/bash
# test-faults.sh [ARGUMENT...] - hauls broken at every step; see run_faults.py, which gets the arguments. Needs the programs that make check builds.
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=fault-programs.sh
. "$HERE/fault-programs.sh"
if [ $# -eq 0 ] && is_sanitized; then
  set -- --quick
fi
exec python3 "$HERE/run_faults.py" "$@"
