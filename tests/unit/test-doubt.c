#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/doubt.h"

#define FAST_NS 1000000
#define SLOW_NS 6000000

static void more_are_in_doubt_only_where_a_slow_disk_keeps_destinations_waiting(void **state)
{
	static const struct {
		unsigned limit;
		int64_t commit_ns;
		bool kept_waiting;
		unsigned next;
	} cases[] = {
		{DOUBT_MIN, FAST_NS, false, DOUBT_MIN},
		{DOUBT_MIN, FAST_NS, true, DOUBT_MIN}, /* it is the destination that is fast */
		{DOUBT_MIN, SLOW_NS, false, DOUBT_MIN},
		{DOUBT_MIN, SLOW_NS, true, 64},
		{64, SLOW_NS, true, DOUBT_MAX},
		{64, SLOW_NS, false, 64},
		{DOUBT_MAX, SLOW_NS, true, DOUBT_MAX},
		{DOUBT_MAX, SLOW_NS, false, DOUBT_MAX},
		{DOUBT_MAX, FAST_NS, false, DOUBT_MIN},
		{DOUBT_MAX, FAST_NS, true, DOUBT_MIN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(doubt_limit(cases[i].limit, cases[i].commit_ns, cases[i].kept_waiting), cases[i].next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_are_in_doubt_only_where_a_slow_disk_keeps_destinations_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
