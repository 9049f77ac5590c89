#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/idle.h"

static void spans_have_limits(void **state)
{
	static const struct {
		uint32_t known_s, span_s;
	} cases[] = {{0, IDLE_MAX_S}, {1, IDLE_MIN_S}, {IDLE_MIN_S, IDLE_MIN_S}, {600, 600}, {IDLE_MAX_S, IDLE_MAX_S}, {1800, IDLE_MAX_S},
		{UINT32_MAX, IDLE_MAX_S}};

	(void)state;
	assert_true(IDLE_MAX_S < 29 * 60);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(idle_span_s(cases[i].known_s), cases[i].span_s);
}

static void a_silent_death_halves(void **state)
{
	uint32_t span_s = idle_after_death_s(0);

	(void)state;
	assert_int_equal(span_s, IDLE_MAX_S / 2);
	assert_int_equal(idle_after_death_s(span_s), IDLE_MAX_S / 4);
	for (unsigned i = 0; i < 10; i++)
		span_s = idle_after_death_s(span_s);
	assert_int_equal(span_s, IDLE_MIN_S);
}

/* From the shortest to the longest takes hours, and gets there. */
static void success_grows_slowly(void **state)
{
	uint32_t span_s = IDLE_MIN_S, total_s = 0;

	(void)state;
	assert_int_equal(idle_after_success_s(0), 0);
	for (unsigned i = 0; i < 100 && span_s != IDLE_MAX_S; i++) {
		uint32_t next_s = idle_after_success_s(span_s);

		assert_true(next_s > span_s && next_s - span_s <= span_s / 16);
		total_s += span_s;
		span_s = next_s;
	}
	assert_int_equal(span_s, IDLE_MAX_S);
	assert_true(total_s > 4 * 3600);
	assert_int_equal(idle_after_success_s(IDLE_MAX_S), IDLE_MAX_S);
}

static void a_server_that_closes_tells_its_patience(void **state)
{
	static const struct {
		uint32_t known_s, silent_s, next_s;
	} cases[] = {
		{0, 5, 0},
		{600, 119, 600}, /* it was something else */
		{0, 23 * 60, 23 * 60 / 4 * 3},
		{0, 160, 120},       /* somewhat less than it waits */
		{300, 23 * 60, 300}, /* known to be shorter still */
		{0, 120, IDLE_MIN_S},
		{0, 3 * 3600, 0},
		{0, UINT32_MAX, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(idle_after_close_s(cases[i].known_s, cases[i].silent_s), cases[i].next_s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_have_limits),
		cmocka_unit_test(a_silent_death_halves),
		cmocka_unit_test(success_grows_slowly),
		cmocka_unit_test(a_server_that_closes_tells_its_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
