#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/renumbering.h"

#define NOW 1800000000

static void more_than_twenty_and_more_than_half(void **ctx)
{
	static const struct {
		uint64_t fresh, listed;
		bool suspicious;
	} cases[] = {
		{0, 0, false},
		{20, 20, false},
		{21, 21, true},
		{21, 41, true},
		{21, 42, false},
		{21, 43, false},
		{22, 43, true},
		{60, 60, true},
		{500, 1000, false},
		{501, 1000, true},
		{UINT64_MAX, UINT64_MAX, true},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(renumbering_is_suspicious(cases[i].fresh, cases[i].listed), cases[i].suspicious);
}

static void changes_are_counted_within_a_day(void **ctx)
{
	static const struct {
		int64_t at_s;
		unsigned count;
	} changes[] = {{0, 1}, {3600, 2}, {86399, 3}, {86400, 1}, {86401, 2}, {86400 - 7200, 1}, {90000, 2}, {1000000, 1}};
	unsigned count = 0;
	int64_t since = 0;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		renumbering_count(&count, &since, NOW + changes[i].at_s);
		assert_int_equal(count, changes[i].count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_than_twenty_and_more_than_half),
		cmocka_unit_test(changes_are_counted_within_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
