#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"
#include "state/state.h"
#include "supervisor/schedule.h"

#define NOW 1800000000

static void test_a_back_off_holds_for_timers_only(void **unused)
{
	static const struct {
		unsigned failures, clock;
		int64_t retry_at;
		bool insistent, due;
	} cases[] = {
		{0, BACKOFF_NETWORK, 0, false, true}, {1, BACKOFF_NETWORK, NOW + 5, false, false}, {1, BACKOFF_NETWORK, NOW - 1, false, true},
		{1, BACKOFF_NETWORK, NOW + 5, true, true}, {3, BACKOFF_LOGIN, NOW + 3000, false, false},
		{3, BACKOFF_LOGIN, NOW + 30 * 86400, false, true}, /* the clock has jumped: nothing waits for a month */
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mailbox_state mailbox = {.failures = cases[i].failures, .clock = cases[i].clock, .retry_at = cases[i].retry_at};

		assert_int_equal(schedule_is_due(&mailbox, cases[i].insistent, NOW), cases[i].due);
	}
}

static void test_places(void **unused)
{
	(void)unused;
	assert_int_equal(schedule_places(0, 3), 3);
	assert_int_equal(schedule_places(0, 0), 1);
	assert_int_equal(schedule_places(0, 5000), 1000);
	assert_int_equal(schedule_places(2, 3), 2);
	assert_int_equal(schedule_places(5000, 3), 1000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_back_off_holds_for_timers_only),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
