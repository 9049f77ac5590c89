#include "net/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/wire.h"

#define S 1000000000LL
#define START (1000 * S)

static void silence_is_fine_while_nothing_is_owed(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	pace_read(&pace, START, 0, false);
	pace_read(&pace, START + 100000 * S, 0, false);
	assert_int_equal(pace_check(&pace, &err), 0);
	assert_int_equal(pace_due(&pace).ns, INT64_MAX);
	pace_set_flowing(&pace, true, START, 0);
	pace_set_flowing(&pace, false, START + S, 0);
	pace_read(&pace, START + 100000 * S, 0, false);
	assert_int_equal(pace_check(&pace, &err), 0);
}

static void a_stall_is_noticed_in_time(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	pace_set_flowing(&pace, true, START, 0);
	assert_int_equal(pace_due(&pace).ns, START + WIRE_STALL_S * S);
	pace_read(&pace, START + 100 * S, 1000000, true);
	pace_read(&pace, START + 219 * S, 1000000, false);
	assert_int_equal(pace_check(&pace, &err), 0);
	assert_int_equal(pace_due(&pace).ns, START + 220 * S);
	pace_read(&pace, START + 220 * S, 1000000, false);
	assert_int_equal(pace_check(&pace, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_non_null(strstr(err.text, "nothing for 120 seconds"));
}

/* Bytes come at a steady rate, one look a second. Returns the second in which it was too slow. */
static int64_t trickle(uint64_t bytes_per_s, int64_t seconds)
{
	struct pace pace = {0};
	struct error err = {0};

	pace_set_flowing(&pace, true, START, 500);
	for (int64_t now = 1; now <= seconds; now++) {
		pace_read(&pace, START + now * S, 500 + (uint64_t)now * bytes_per_s, true);
		if (pace_check(&pace, &err) < 0) {
			assert_non_null(strstr(err.text, "fewer than 128 bytes a second"));
			return now;
		}
	}
	return 0;
}

static void a_trickle_is_noticed(void **state)
{
	(void)state;
	assert_int_equal(trickle(WIRE_MIN_BYTES_PER_S, 1000), 0);
	assert_int_equal(trickle(1, 1000), WIRE_STALL_S + 1); /* the look at the end of the window brought bytes: one more is granted */
	assert_int_equal(trickle(WIRE_MIN_BYTES_PER_S - 1, 1000), WIRE_STALL_S + 1);
}

/* We did not look for long (a destination was slow), and then everything that was owed is there, little as it is. */
static void the_last_bytes_owed_are_not_held_against_it(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	pace_set_flowing(&pace, true, START, 0);
	pace_read(&pace, START + 500 * S, 10, true);
	assert_int_equal(pace_check(&pace, &err), 0);
	pace_set_flowing(&pace, false, START + 500 * S, 10);
	pace_set_flowing(&pace, true, START + 501 * S, 10);
	pace_read(&pace, START + 502 * S, 10, false);
	assert_int_equal(pace_check(&pace, &err), 0);
}

static void having_no_room_is_our_fault(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	pace_set_flowing(&pace, true, START, 0);
	pace_excuse(&pace, START + 300 * S, 10);
	pace_read(&pace, START + 400 * S, 10, false);
	assert_int_equal(pace_check(&pace, &err), 0);
	assert_int_equal(pace_due(&pace).ns, START + 420 * S);
}

static void a_line_must_end(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	pace_read(&pace, START, 1, true);
	assert_int_equal(pace_line_begun(&pace, &err), 0);
	assert_int_equal(pace_due(&pace).ns, START + WIRE_LINE_S * S);
	pace_read(&pace, START + 59 * S, 2, true);
	assert_int_equal(pace_line_begun(&pace, &err), 0);
	pace_read(&pace, START + 60 * S, 3, true);
	assert_int_equal(pace_line_begun(&pace, &err), -1);
	assert_non_null(strstr(err.text, "not finished a line within 60 seconds"));
	pace_line_ended(&pace);
	assert_int_equal(pace_line_begun(&pace, &err), 0);
}

static void the_factor_scales_all_of_it(void **state)
{
	struct pace pace = {0};
	struct error err = {0};

	(void)state;
	deadline_set_factor(0.01);
	pace_set_flowing(&pace, true, START, 0);
	assert_int_equal(pace_due(&pace).ns, START + WIRE_STALL_S * S / 100);
	pace_read(&pace, START + S, 128, true);
	pace_read(&pace, START + 12 * S / 10, 154, true);
	assert_int_equal(pace_check(&pace, &err), 0);
	pace_read(&pace, START + 12 * S / 10 + 1, 154, false);
	assert_int_equal(pace_check(&pace, &err), 0);
	deadline_set_factor(1.0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_is_fine_while_nothing_is_owed),
		cmocka_unit_test(a_stall_is_noticed_in_time),
		cmocka_unit_test(a_trickle_is_noticed),
		cmocka_unit_test(the_last_bytes_owed_are_not_held_against_it),
		cmocka_unit_test(having_no_room_is_our_fault),
		cmocka_unit_test(a_line_must_end),
		cmocka_unit_test(the_factor_scales_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
