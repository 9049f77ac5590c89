#!/bin/sh
# run-test.sh PROGRAM - runs one test and prints TAP with a single plan, also for a program with several cmocka groups (each of which has a plan of its own).
# A program that dies, or runs fewer tests than it announced, is a failure of its own.
CMOCKA_MESSAGE_OUTPUT=TAP
export CMOCKA_MESSAGE_OUTPUT
case $1 in
*.sh) set -- bash "$@" ;;
esac
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
timeout --kill-after=10 "${TEST_SECONDS:-900}" "$@" >"$out"
status=$?
awk -v status="$status" '
/^1\.\.[0-9]+ # SKIP/ { print; bare = 1; next }
/^1\.\.[0-9]+$/ { planned += substr($0, 4); next }
/^(not )?ok( |$)/ {
	count++
	if (/^not ok/ && !/# (SKIP|TODO)/)
		failed++
	sub(/^ok( [0-9]+)?( -)?/, "ok " count " -")
	sub(/^not ok( [0-9]+)?( -)?/, "not ok " count " -")
	sub(/- # SKIP/, "# SKIP")
}
{ print }
END {
	if (bare && !count)
		exit
	if (count != planned)
		print "not ok " ++count " - planned " planned + 0 " tests, ran " count - 1
	if (status && !failed)
		print "not ok " ++count " - exit status " status
	print "1.." count + 0
}' "$out"
