#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define NS_PER_S 1000000000LL

static void writes_dates(void **state)
{
	static const struct {
		int64_t wall_s;
		const char *rfc5322, *iso8601;
	} cases[] = {
		{0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z"},
		{1795302496, "Sat, 21 Nov 2026 23:08:16 +0000", "2026-11-21T23:08:16Z"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00Z"},
		{-1, "Wed, 31 Dec 1969 23:59:59 +0000", "1969-12-31T23:59:59Z"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
		{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"},
	};
	char out[40];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(clock_rfc5322(out, cases[i].wall_s), cases[i].rfc5322);
		assert_string_equal(clock_iso8601(out, cases[i].wall_s), cases[i].iso8601);
	}
	clock_rfc5322(out, INT64_MIN);
	clock_iso8601(out, INT64_MIN);
	assert_true(strlen(out) < 24);
}

static void counts_civil_days(void **state)
{
	static const struct {
		int year;
		unsigned month, day, hour, minute, second;
		int64_t wall_s;
	} cases[] = {
		{1970, 1, 1, 0, 0, 0, 0},
		{1969, 12, 31, 23, 59, 59, -1},
		{2000, 2, 29, 12, 0, 0, 951825600},
		{2000, 3, 1, 0, 0, 0, 951868800},
		{1900, 3, 1, 0, 0, 0, -2203891200},
		{2026, 11, 21, 23, 8, 16, 1795302496},
		{2038, 1, 19, 3, 14, 8, 2147483648},
		{9999, 12, 31, 23, 59, 59, 253402300799},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(clock_from_civil(cases[i].year, cases[i].month, cases[i].day, cases[i].hour, cases[i].minute, cases[i].second),
			cases[i].wall_s);
}

static void deadlines_follow_the_factor(void **state)
{
	int64_t before = clock_monotonic_ns();
	struct deadline plain = deadline_in_s(100), scaled;

	(void)state;
	assert_true(plain.ns >= before + 100 * NS_PER_S);
	assert_true(plain.ns <= clock_monotonic_ns() + 100 * NS_PER_S);
	deadline_set_factor(0.01);
	assert_true(deadline_factor() < 0.011);
	scaled = deadline_in_s(100);
	assert_true(scaled.ns <= clock_monotonic_ns() + NS_PER_S + 1000);
	assert_true(scaled.ns >= before + NS_PER_S - 1000);
	deadline_set_factor(1.0);
}

static void deadlines_know_when_they_are_over(void **state)
{
	struct deadline past = {clock_monotonic_ns() - 1}, soon = deadline_in_s(60), never = DEADLINE_NEVER;

	(void)state;
	assert_true(deadline_passed(past));
	assert_false(deadline_passed(soon));
	assert_false(deadline_passed(never));
	assert_int_equal(deadline_poll_ms(past), 0);
	assert_int_equal(deadline_poll_ms(never), -1);
	assert_in_range(deadline_poll_ms(soon), 1, 60000);
	/* Rounded up: a poll that ends early would find its deadline not passed, and spin. */
	assert_int_equal(deadline_poll_ms((struct deadline){clock_monotonic_ns() + 100000}), 1);
	assert_int_equal(deadline_poll_ms((struct deadline){INT64_MAX - 1}), INT32_MAX);
	assert_int_equal(deadline_min(past, never).ns, past.ns);
	assert_int_equal(deadline_min(never, past).ns, past.ns);
	assert_int_equal(deadline_in_s(1e30).ns, INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_dates),
		cmocka_unit_test(counts_civil_days),
		cmocka_unit_test(deadlines_follow_the_factor),
		cmocka_unit_test(deadlines_know_when_they_are_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
