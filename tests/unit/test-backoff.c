#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"

#define MINUTE 60u
#define HOUR 3600u
#define DAY 86400u

static void steps(void **ctx)
{
	static const struct {
		enum backoff_clock clock;
		uint32_t seconds[7]; /* after 0, 1, 2, ... failures */
	} cases[] = {
		{BACKOFF_NETWORK, {0, 10, 30, 2 * MINUTE, 10 * MINUTE, 10 * MINUTE, 10 * MINUTE}},
		{BACKOFF_LOGIN, {0, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR}},
		{BACKOFF_MESSAGE, {0, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 6 * HOUR, 6 * HOUR}},
		{BACKOFF_HELD, {0, HOUR, 6 * HOUR, DAY, DAY, DAY, DAY}},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned failures = 0; failures < ARRAY_SIZE(cases[i].seconds); failures++)
			assert_int_equal(backoff_s(cases[i].clock, failures), cases[i].seconds[failures]);
		assert_int_equal(backoff_s(cases[i].clock, UINT32_MAX), cases[i].seconds[6]);
	}
}

/* Eight refused logins in the first six hours at most, whatever the jitter: more is a ban at some providers. */
static void logins_stay_few(void **ctx)
{
	unsigned attempts = 0, failures = 0;

	(void)ctx;
	for (uint64_t now = 0; now < 6 * HOUR; now += backoff_jittered(backoff_s(BACKOFF_LOGIN, ++failures), 0))
		attempts++;
	assert_in_range(attempts, 3, 8);
}

static void clock_by_kind(void **ctx)
{
	(void)ctx;
	for (int kind = ERR_NONE; kind <= ERR_CANCELED; kind++)
		assert_int_equal(backoff_clock_of((enum error_kind)kind), kind == ERR_AUTH ? BACKOFF_LOGIN : BACKOFF_NETWORK);
}

static void jitter_is_a_fifth(void **ctx)
{
	static const struct {
		uint32_t seconds, random, expected;
	} cases[] = {
		{0, UINT32_MAX, 0},
		{1, 0, 1},
		{4, UINT32_MAX, 4},
		{10, 0, 8},
		{10, UINT32_MAX, 12},
		{10, 1u << 31, 10},
		{21600, 0, 17280},
		{21600, UINT32_MAX, 25920},
		{UINT32_MAX / 2, UINT32_MAX, 2576980376u},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(backoff_jittered(cases[i].seconds, cases[i].random), cases[i].expected);
}

static void over_or_not(void **ctx)
{
	static const int64_t now = 1800000000;
	static const struct {
		enum backoff_clock clock;
		int64_t until;
		bool over;
	} cases[] = {
		{BACKOFF_NETWORK, 0, true},
		{BACKOFF_NETWORK, now - 1, true},
		{BACKOFF_NETWORK, now, true},
		{BACKOFF_NETWORK, now + 1, false},
		{BACKOFF_NETWORK, now + 720, false}, /* ten minutes and their jitter */
		{BACKOFF_NETWORK, now + 721, true},  /* the clock was set back */
		{BACKOFF_LOGIN, now + 25920, false},
		{BACKOFF_LOGIN, now + 25921, true},
		{BACKOFF_HELD, now + 103680, false},
		{BACKOFF_HELD, now + 103681, true},
		{BACKOFF_HELD, INT64_MAX, true},
		{BACKOFF_HELD, INT64_MIN, true},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(backoff_is_over(cases[i].clock, cases[i].until, now), cases[i].over);
	assert_true(backoff_is_over(BACKOFF_HELD, INT64_MAX, INT64_MIN));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(logins_stay_few),
		cmocka_unit_test(clock_by_kind),
		cmocka_unit_test(jitter_is_a_fifth),
		cmocka_unit_test(over_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
