#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"
#include "state/delivery.h"
#include "state/stage.h"

#define NOW 1800000000
#define HOUR 3600
#define DAY 86400

/* Rows: the next stage. Columns: the one now, from 0 (none) to 7 (none). x: may follow. */
static void every_pair_of_message_stages(void **ctx)
{
	static const char *const expected[] = {
		/* no such stage */ "........",
		/* baseline */ "..x...x.",
		/* open */ "........",
		/* intent */ "..xx....",
		/* delivered */ "..xx.xx.",
		/* disposed */ "....x...",
		/* gone */ ".xxxxx..",
		/* no such stage */ "........",
	};

	(void)ctx;
	for (int next = 0; next < 8; next++)
		for (int now = 0; now < 8; now++)
			assert_int_equal(stage_may_follow((enum stage)next, (enum stage)now), expected[next][now] == 'x');
}

static void every_pair_of_delivery_stages(void **ctx)
{
	/* Columns: none, open, intent, accepted, deferred, held, dropped, discarded. */
	static const char *const expected[] = {
		/* no such stage */ "........",
		/* open */ "..x..x..",
		/* intent */ ".xx.xx..",
		/* accepted */ "..x.....",
		/* deferred */ ".xx.x...",
		/* held */ ".xx.xx..",
		/* dropped */ ".xx.xx..",
		/* discarded */ ".....x..",
	};

	(void)ctx;
	for (int next = 0; next < 8; next++)
		for (int now = 0; now < 8; now++)
			assert_int_equal(delivery_may_follow((enum delivery_stage)next, (enum delivery_stage)now), expected[next][now] == 'x');
}

static void deferred_by_the_slow_clock_until_held(void **ctx)
{
	struct delivery_row delivery = {.status = DELIVERY_OPEN};
	int64_t now = NOW;

	(void)ctx;
	for (unsigned attempts = 1; now - NOW <= DEFERRED_MAX_S; attempts++) {
		delivery_intend(&delivery, now, now, 0);
		delivery_defer(&delivery, now);
		assert_int_equal(delivery.status, DELIVERY_DEFERRED);
		assert_int_equal(delivery.attempts, attempts);
		assert_int_equal(delivery.next_try, now + backoff_s(BACKOFF_MESSAGE, attempts));
		assert_false(delivery_is_due(&delivery, delivery.next_try - 1));
		assert_true(delivery_is_due(&delivery, delivery.next_try));
		now = delivery.next_try;
	}
	delivery_intend(&delivery, now, now, 0);
	delivery_defer(&delivery, now);
	assert_int_equal(delivery.status, DELIVERY_HELD);
	assert_int_equal(delivery.held_at, now);
}

static void held_is_tried_five_times(void **ctx)
{
	static const int64_t waits[HELD_TRIES_MAX] = {HOUR, 6 * HOUR, DAY, DAY, DAY};
	struct delivery_row delivery = {.status = DELIVERY_INTENT};
	int64_t now = NOW;

	(void)ctx;
	delivery_hold(&delivery, now);
	for (unsigned try = 0; try < HELD_TRIES_MAX; try++) {
		assert_int_equal(delivery.status, DELIVERY_HELD);
		assert_int_equal(delivery.held_at, NOW);
		assert_int_equal(delivery.next_try, now + waits[try]);
		assert_false(delivery_is_due(&delivery, delivery.next_try - 1));
		assert_true(delivery_is_due(&delivery, delivery.next_try));
		now = delivery.next_try;
		delivery_intend(&delivery, now, now, 0);
		/* A temporary answer does not make it less held. */
		if (try % 2 == 0)
			delivery_hold(&delivery, now);
		else
			delivery_defer(&delivery, now);
	}
	assert_int_equal(delivery.status, DELIVERY_HELD);
	assert_int_equal(delivery.next_try, NEXT_TRY_BY_HAND);
	assert_false(delivery_is_due(&delivery, now + 1000 * DAY));
	delivery_retry(&delivery);
	assert_int_equal(delivery.status, DELIVERY_OPEN);
	assert_int_equal(delivery.held_at, 0);
	assert_true(delivery_is_due(&delivery, now));
}

/* d: the answer was lost; c: we crashed; t: the last byte never went out; 4: the peer said "later". */
static void rounds_in_doubt(void **ctx)
{
	static const struct {
		const char *events;
		enum delivery_stage status;
		unsigned doubts;
		bool exhausted;
	} cases[] = {
		{"c", DELIVERY_INTENT, 0, false},
		{"d", DELIVERY_INTENT, 0, false},
		{"t", DELIVERY_OPEN, 0, false},
		{"cc", DELIVERY_INTENT, 1, false},
		{"dd", DELIVERY_INTENT, 1, false},
		{"dt", DELIVERY_INTENT, 0, false},
		{"ddd", DELIVERY_HELD, 2, false},
		{"cdd", DELIVERY_HELD, 2, false},
		{"ccc", DELIVERY_INTENT, 2, true},
		{"dtd", DELIVERY_INTENT, 1, false},
		{"dtdtd", DELIVERY_HELD, 2, false},
		{"d4", DELIVERY_DEFERRED, 1, false},
		{"d4d", DELIVERY_INTENT, 1, false},
		{"dd4d", DELIVERY_HELD, 2, false},
		{"4t", DELIVERY_OPEN, 0, false},
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct delivery_row delivery = {.status = DELIVERY_OPEN};

		for (const char *event = cases[i].events; *event != '\0'; event++) {
			delivery_intend(&delivery, NOW, NOW, 0);
			assert_int_equal(delivery.status, DELIVERY_INTENT);
			if (*event == 'd')
				delivery_doubt(&delivery, NOW);
			else if (*event == 't')
				delivery_retract(&delivery);
			else if (*event == '4')
				delivery_defer(&delivery, NOW);
		}
		assert_int_equal(delivery.status, cases[i].status);
		assert_int_equal(delivery.doubts, cases[i].doubts);
		assert_int_equal(delivery_is_exhausted(&delivery), cases[i].exhausted);
		/* Whoever is held for doubt waits for a human: each try may be one more copy. */
		if (delivery.status == DELIVERY_HELD)
			assert_int_equal(delivery.next_try, NEXT_TRY_BY_HAND);
	}
}

static void a_failed_destination_is_not_counted(void **ctx)
{
	struct delivery_row fresh = {.status = DELIVERY_INTENT}, held = {.status = DELIVERY_INTENT, .held_at = NOW, .held_tries = 2, .attempts = 3};

	(void)ctx;
	delivery_postpone(&fresh);
	assert_int_equal(fresh.status, DELIVERY_DEFERRED);
	assert_int_equal(fresh.attempts, 0);
	assert_int_equal(fresh.first_failed_at, 0);
	assert_true(delivery_is_due(&fresh, NOW));
	delivery_postpone(&held);
	assert_int_equal(held.status, DELIVERY_HELD);
	assert_int_equal(held.held_tries, 2);
	assert_int_equal(held.attempts, 3);
	assert_true(delivery_is_due(&held, NOW));
}

static void taken_back_as_before(void **ctx)
{
	struct delivery_row held = {.status = DELIVERY_HELD, .held_at = NOW, .held_tries = 1, .next_try = NOW + HOUR};

	(void)ctx;
	delivery_intend(&held, NOW + HOUR, NOW + HOUR, 0);
	delivery_retract(&held);
	assert_int_equal(held.status, DELIVERY_HELD);
	assert_int_equal(held.held_tries, 1);
	assert_true(delivery_is_due(&held, NOW + HOUR));
}

static void a_clock_that_was_set_back_ends_the_wait(void **ctx)
{
	struct delivery_row deferred = {.status = DELIVERY_DEFERRED, .next_try = NOW + 6 * HOUR},
			    held = {.status = DELIVERY_HELD, .next_try = NOW + DAY};

	(void)ctx;
	assert_false(delivery_is_due(&deferred, NOW));
	assert_true(delivery_is_due(&deferred, NOW - 365 * DAY));
	assert_false(delivery_is_due(&held, NOW));
	assert_true(delivery_is_due(&held, NOW - 365 * DAY));
}

static void settled_is_never_due(void **ctx)
{
	(void)ctx;
	for (int status = DELIVERY_OPEN; status <= DELIVERY_DISCARDED; status++) {
		struct delivery_row delivery = {.status = (enum delivery_stage)status};
		bool settled = status == DELIVERY_ACCEPTED || status == DELIVERY_DROPPED || status == DELIVERY_DISCARDED;

		assert_int_equal(delivery_is_settled(&delivery), settled);
		assert_int_equal(delivery_is_due(&delivery, NOW), !settled);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_message_stages),
		cmocka_unit_test(every_pair_of_delivery_stages),
		cmocka_unit_test(deferred_by_the_slow_clock_until_held),
		cmocka_unit_test(held_is_tried_five_times),
		cmocka_unit_test(rounds_in_doubt),
		cmocka_unit_test(a_failed_destination_is_not_counted),
		cmocka_unit_test(taken_back_as_before),
		cmocka_unit_test(a_clock_that_was_set_back_ends_the_wait),
		cmocka_unit_test(settled_is_never_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
