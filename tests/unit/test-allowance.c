#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "channel/channel.h"
#include "supervisor/allowance.h"

#define NS_PER_S INT64_C(1000000000)
#define START_NS (1000 * NS_PER_S)
#define DAY_S 86400

static unsigned take(struct allowance *allowance, unsigned lines, int64_t now_ns)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < lines; i++)
		taken += allowance_take(allowance, now_ns);
	return taken;
}

/* All in one moment; what a line tells of is on disk a whole window later. */
static void test_a_large_haul_is_told_in_full(void **state)
{
	struct allowance allowance = {0};

	(void)state;
	for (unsigned message = 0; message < 200000; message++) {
		assert_true(allowance_take(&allowance, START_NS));
		if (message >= 2 * CHANNEL_WINDOW)
			allowance_earn(&allowance);
	}
	assert_int_equal(allowance_dropped(&allowance), 0);
}

static void test_a_flood_is_cut_off(void **state)
{
	struct allowance allowance = {0};

	(void)state;
	assert_int_equal(take(&allowance, 5000, START_NS), ALLOWANCE_LINES);
	assert_int_equal(allowance_dropped(&allowance), 5000 - ALLOWANCE_LINES);
	assert_int_equal(allowance_dropped(&allowance), 0);
}

/* Not as a trickle, either, which would be a line each of ours and of theirs. */
static void test_after_a_flood_there_is_silence_for_a_while(void **state)
{
	const int64_t until_s = ALLOWANCE_AGAIN * ALLOWANCE_LINE_S;
	struct allowance allowance = {0};

	(void)state;
	take(&allowance, 5000, START_NS);
	for (int64_t s = 1; s < until_s; s++)
		assert_false(allowance_take(&allowance, START_NS + s * NS_PER_S));
	assert_int_equal(take(&allowance, 5000, START_NS + until_s * NS_PER_S), ALLOWANCE_AGAIN);
}

static void test_a_day_of_flood_is_bounded(void **state)
{
	struct allowance allowance = {0};
	unsigned taken = 0;

	(void)state;
	for (int64_t s = 0; s < DAY_S; s++)
		taken += take(&allowance, 100, START_NS + s * NS_PER_S);
	assert_true(taken <= ALLOWANCE_LINES + DAY_S / ALLOWANCE_LINE_S);
	assert_true(taken >= DAY_S / ALLOWANCE_LINE_S);
}

/* Nothing is saved up beyond the stock. */
static void test_a_quiet_year_allows_no_more_than_the_stock(void **state)
{
	struct allowance allowance = {0};

	(void)state;
	assert_int_equal(take(&allowance, 10, START_NS), 10);
	for (unsigned i = 0; i < 100; i++)
		allowance_earn(&allowance);
	assert_int_equal(take(&allowance, 5000, START_NS + 365 * DAY_S * NS_PER_S), ALLOWANCE_LINES);
}

/* Who hauls on is heard again. */
static void test_work_ends_the_silence(void **state)
{
	struct allowance allowance = {0};

	(void)state;
	take(&allowance, 5000, START_NS);
	for (unsigned i = 0; i < ALLOWANCE_AGAIN / ALLOWANCE_PER_DELIVERY; i++) {
		assert_false(allowance_take(&allowance, START_NS));
		allowance_earn(&allowance);
	}
	assert_true(allowance_take(&allowance, START_NS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_large_haul_is_told_in_full),
		cmocka_unit_test(test_a_flood_is_cut_off),
		cmocka_unit_test(test_after_a_flood_there_is_silence_for_a_while),
		cmocka_unit_test(test_a_day_of_flood_is_bounded),
		cmocka_unit_test(test_a_quiet_year_allows_no_more_than_the_stock),
		cmocka_unit_test(test_work_ends_the_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
