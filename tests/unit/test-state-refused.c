/* test-state-refused.c - the rule for refused messages: where it applies, what it leaves behind, and where it must not. */
#include "tests/unit/state-fixture.h"

enum { HOME, BERT, SPAM };

static const struct refusal_rule discard = {.what = REFUSE_DELETE}, hold = {.what = REFUSE_HOLD};

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, PROTOCOL_IMAP);
	f->disposal.what = DISPOSE_DELETE;
	*ctx = f;
	return 0;
}

static int end(void **ctx)
{
	fixture_end(*ctx);
	free(*ctx);
	return 0;
}

static struct refusal_rule divert(struct fixture *f)
{
	return (struct refusal_rule){.what = REFUSE_DELIVER_TO, .targets = &f->targets[SPAM], .target_count = 1};
}

/* Some other message, so that the target is known to take mail. */
static void accept_other(struct fixture *f, uint64_t id, unsigned target)
{
	deliver(f, id, target, 99);
}

/* Refused as by 554 after the dot. */
static enum refusal_end refuse(struct fixture *f, uint64_t id, unsigned target, struct refusal_rule rule)
{
	struct record record = {.kind = REC_OUTCOME,
		.flags = REC_AFTER_DATA,
		.id = id,
		.index = target,
		.verdict = VERDICT_REFUSED,
		.error = ERR_REFUSED,
		.scope = SCOPE_MESSAGE,
		.code = 554,
		.len = 4,
		.text = "spam"};
	enum refusal_end what;

	assert_int_equal(intend(f, id, UINT64_C(1) << target, 1), 0);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(state_apply(f->state, f->mailbox, &record, f->targets, ARRAY_SIZE(f->targets), f->now, &f->error), 0);
	assert_int_equal(state_refused(f->state, id, &f->targets[target], &rule, f->now, &what, &f->error), 0);
	assert_int_equal(state_commit(f->state, &f->error), 0);
	return what;
}

static void goes_elsewhere(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 1);

	accept_other(f, id + 1, HOME);
	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_DIVERTED);
	assert_int_equal(status_of(f, id, HOME), DELIVERY_DROPPED);
	assert_int_equal(
		number(f, "SELECT count(*) FROM delivery WHERE message = %d AND status = %d AND reply = x'7370616d'", (int)id, DELIVERY_DROPPED), 1);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	assert_int_equal(due_item(f, id).open, 1 << SPAM);
	assert_int_equal(due_item(f, id).held_back, 0);
	deliver(f, id, SPAM, 1);
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
	assert_int_equal(due_item(f, id).dispose, DISPOSE_DELETE); /* as frozen */
}

static void counts_as_delivered(void **ctx)
{
	static const enum disposal frozen[] = {DISPOSE_KEEP, DISPOSE_DELETE, DISPOSE_MARK_SEEN};
	struct fixture *f = *ctx;

	for (unsigned i = 0; i < ARRAY_SIZE(frozen); i++) {
		uint64_t id;

		f->disposal.what = frozen[i];
		id = plan_uids(f, 10 * i + 1, 10 * i + 2, 1);
		accept_other(f, id + 1, HOME);
		assert_int_equal(refuse(f, id, HOME, discard), REFUSAL_DISCARDED);
		assert_int_equal(status_of(f, id, HOME), DELIVERY_DISCARDED);
		assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
		assert_int_equal(number(f, "SELECT disposal FROM message WHERE id = %d", (int)id), frozen[i]);
		assert_lie(f, intend(f, id, 1, 1));
	}
}

/* One is refused, the other only late: nothing is disposed of before both are settled. */
static void waits_for_the_others(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 3);

	accept_other(f, id + 1, HOME);
	assert_int_equal(refuse(f, id, HOME, discard), REFUSAL_DISCARDED);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	assert_int_equal(due_item(f, id).open, 1 << BERT);
	assert_int_equal(refuse(f, id, BERT, hold), REFUSAL_HELD);
	assert_int_equal(due_item(f, id).id, 0);
	deliver(f, id, BERT, 1);
	assert_int_equal(due_item(f, id).dispose, DISPOSE_DELETE);
}

/* What an operator drops disposes of nothing, whatever the rule made of the other delivery. */
static void not_for_what_was_dropped(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 1);
	unsigned count;

	accept_other(f, id + 1, HOME);
	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_DIVERTED);
	assert_int_equal(refuse(f, id, SPAM, divert(f)), REFUSAL_HELD); /* nowhere else to go */
	assert_int_equal(status_of(f, id, SPAM), DELIVERY_HELD);
	assert_int_equal(state_held_drop(f->state, id, false, &count, &f->error), 0);
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
	assert_int_equal(number(f, "SELECT disposal FROM message WHERE id = %d", (int)id), DISPOSE_KEEP);
}

static void only_where_other_mail_is_accepted(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 9, 3);

	assert_int_equal(refuse(f, id, HOME, discard), REFUSAL_HELD); /* never seen to accept anything */
	accept_other(f, id + 1, BERT);
	assert_int_equal(refuse(f, id + 2, HOME, discard), REFUSAL_HELD); /* the same server, but another recipient */
	accept_other(f, id + 3, HOME);
	f->now += DAY;
	assert_int_equal(refuse(f, id + 2, HOME, discard), REFUSAL_DISCARDED);
	f->now += 1;
	assert_int_equal(refuse(f, id + 4, HOME, discard), REFUSAL_HELD); /* too long ago */
	f->now -= 10 * DAY;
	assert_int_equal(refuse(f, id + 5, HOME, discard), REFUSAL_HELD); /* a clock that jumped back shows nothing */
	accept_other(f, id + 6, HOME);
	assert_int_equal(refuse(f, id + 5, HOME, discard), REFUSAL_DISCARDED);
}

/* Held at first, because the destination took nothing; the hold clock brings it back once it does. */
static void looked_at_again_by_the_hold_clock(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 1);

	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_HELD);
	assert_int_equal(due_item(f, id).id, 0);
	f->now += HOUR;
	assert_int_equal(due_item(f, id).open, 1);
	accept_other(f, id + 1, HOME);
	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_DIVERTED);
	assert_int_equal(due_item(f, id).open, 1 << SPAM);
}

static void once_for_two_refusals(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 3);

	accept_other(f, id + 1, HOME);
	accept_other(f, id + 1, BERT);
	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_DIVERTED);
	assert_int_equal(refuse(f, id, BERT, divert(f)), REFUSAL_DIVERTED);
	assert_int_equal(due_item(f, id).open, 1 << SPAM);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery WHERE message = %d", (int)id), 3);
}

/* The destination of the rule was taken out of the configuration while this message waited for it. */
static void given_up_is_no_way_out(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 3);

	accept_other(f, id + 1, HOME);
	accept_other(f, id + 1, BERT);
	assert_int_equal(refuse(f, id, HOME, divert(f)), REFUSAL_DIVERTED);
	number(f, "UPDATE delivery SET status = %d WHERE message = %d AND status = %d AND target = 3 RETURNING 1", DELIVERY_DROPPED, (int)id,
		DELIVERY_OPEN);
	assert_int_equal(refuse(f, id, BERT, divert(f)), REFUSAL_HELD);
}

static void release(struct fixture *f, unsigned target, int64_t since, enum refusal_end expected)
{
	enum refusal_end what;

	assert_int_equal(state_release(f->state, f->mailbox, &f->targets[target], since, &what, &f->error), 0);
	assert_int_equal(what, expected);
}

/* A misconfigured destination refuses one, two, everything: the first two were no worse than the others. */
static void nothing_is_held_where_nothing_is_accepted(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 6, 3);

	refuse(f, id, HOME, hold); /* long ago */
	f->now += HOUR;
	refuse(f, id + 1, HOME, hold);
	refuse(f, id + 2, BERT, hold);
	assert_int_equal(unfetched(f, id + 3, ERR_REFUSED), 0);
	release(f, HOME, f->now, REFUSAL_RELEASED);
	assert_int_equal(status_of(f, id, HOME), DELIVERY_HELD);
	assert_int_equal(status_of(f, id + 1, HOME), DELIVERY_DEFERRED);
	assert_int_equal(status_of(f, id + 2, BERT), DELIVERY_HELD);
	assert_int_equal(status_of(f, id + 3, HOME), DELIVERY_HELD);
	assert_int_equal(due_item(f, id + 1).open, 3);
	release(f, HOME, f->now, REFUSAL_HELD);
	/* It has accepted something in this session. */
	accept_other(f, id + 4, BERT);
	release(f, BERT, f->now, REFUSAL_HELD);
	assert_int_equal(status_of(f, id + 2, BERT), DELIVERY_HELD);
	/* Another mailbox's worker says nothing about this one. */
	refuse(f, id + 5, HOME, hold);
	f->mailbox++;
	release(f, HOME, f->now, REFUSAL_HELD);
}

static void noted_once_a_minute(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 3, 1);

	for (unsigned i = 0; i < 3; i++) {
		deliver(f, id + i, HOME, 1);
		assert_int_equal(number(f, "SELECT accepted_at FROM destination WHERE name = 'home'"), i < 2 ? START : START + 61);
		assert_int_equal(number(f, "SELECT accepted_at FROM target WHERE destination = 'home' AND recipient = 'anna@home'"),
			i < 2 ? START : START + 61);
		f->now += i == 0 ? 60 : 1;
	}
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(goes_elsewhere),
		FIXTURE_TEST(counts_as_delivered),
		FIXTURE_TEST(waits_for_the_others),
		FIXTURE_TEST(not_for_what_was_dropped),
		FIXTURE_TEST(only_where_other_mail_is_accepted),
		FIXTURE_TEST(looked_at_again_by_the_hold_clock),
		FIXTURE_TEST(once_for_two_refusals),
		FIXTURE_TEST(given_up_is_no_way_out),
		FIXTURE_TEST(nothing_is_held_where_nothing_is_accepted),
		FIXTURE_TEST(noted_once_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
