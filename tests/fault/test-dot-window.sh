#!/bin/bash
# test-dot-window.sh - messages that a sink has taken and whose answer is never seen; see dot_window.py. Needs the programs that make check builds.
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=fault-programs.sh
. "$HERE/fault-programs.sh"
exec python3 "$HERE/dot_window.py"
