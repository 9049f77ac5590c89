#include "tests/unit/state-fixture.h"

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, PROTOCOL_IMAP);
	*ctx = f;
	return 0;
}

static int end(void **ctx)
{
	fixture_end(*ctx);
	free(*ctx);
	return 0;
}

static void add_line(void *context, const struct held_message *held)
{
	str_addf(context, "%d %s/%s %.*s size %d since %d next %d tries %u: ", (int)held->id, held->mailbox, held->folder, (int)held->key_len,
		held->key, (int)held->size, (int)(held->held_at - START), (int)(held->next_try < 0 ? held->next_try : held->next_try - START),
		held->attempts);
	if (held->destination != NULL)
		str_addf(context, "%s <%s>: ", held->destination, held->recipient);
	str_addf(context, "%s\n", held->reply);
}

static struct str list(struct fixture *f, int64_t mailbox, uint64_t message)
{
	struct str lines = {0};

	str_add_text(&lines, "");
	assert_int_equal(state_held(f->state, mailbox, message, add_line, &lines, &f->error), 0);
	return lines;
}

static void assert_held(struct fixture *f, int64_t mailbox, uint64_t message, const char *expected)
{
	struct str lines = list(f, mailbox, message);

	assert_string_equal(str_text(&lines), expected);
	str_done(&lines);
}

static void refuse(struct fixture *f, uint64_t id, unsigned target)
{
	assert_int_equal(intend(f, id, UINT64_C(1) << target, 1), 0);
	assert_int_equal(outcome(f, id, target, VERDICT_REFUSED, SCOPE_MESSAGE), 0);
}

static void listed_with_all_there_is_to_know(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 41, 44, 7);

	assert_held(f, 0, 0, "");
	refuse(f, id, 0);
	refuse(f, id, 2);
	f->now += 60;
	assert_int_equal(unfetched(f, id + 1, ERR_REFUSED), 0);
	assert_int_equal(intend(f, id + 2, 2, 1), 0);
	assert_int_equal(outcome(f, id + 2, 1, VERDICT_DEFERRED, SCOPE_MESSAGE), 0); /* not held */
	assert_held(f, f->mailbox, 0,
		"1 anna/INBOX 41 size 1041 since 0 next 3600 tries 1: home <anna@home>: the peer's words\n"
		"1 anna/INBOX 41 size 1041 since 0 next 3600 tries 1: archive <>: the peer's words\n"
		"2 anna/INBOX 42 size 1042 since 60 next 3660 tries 1: no body\n");
	assert_held(f, 0, id + 1, "2 anna/INBOX 42 size 1042 since 60 next 3660 tries 1: no body\n");
	assert_held(f, f->mailbox, id + 2, "");
	assert_held(f, f->mailbox + 1, 0, "");
	assert_held(f, 0, 12345, "");
}

static void tried_again_by_hand_as_if_new(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 3, 3);
	unsigned count;

	refuse(f, id, 0);
	refuse(f, id, 1);
	refuse(f, id + 1, 0);
	assert_int_equal(unfetched(f, id + 2, ERR_REFUSED), 0);
	assert_int_equal(due_item(f, id).id, 0);
	assert_int_equal(state_held_retry(f->state, 0, id, &count, &f->error), 0);
	assert_int_equal(count, 2);
	assert_int_equal(due_item(f, id).open, 3);
	assert_int_equal(due_item(f, id).doubtful, 0);
	assert_int_equal(due_item(f, id + 1).open, 2); /* still held for one */
	assert_int_equal(state_held_retry(f->state, f->mailbox + 1, 0, &count, &f->error), 0);
	assert_int_equal(count, 0);
	assert_int_equal(state_held_retry(f->state, f->mailbox, 0, &count, &f->error), 0);
	assert_int_equal(count, 3);
	assert_int_equal(due_item(f, id + 1).open, 3);
	assert_int_equal(due_item(f, id + 2).open, 3); /* at once, though it could not be fetched a moment ago */
	assert_held(f, 0, 0, "");
	refuse(f, id, 0);
	assert_int_equal(number(f, "SELECT held_tries FROM delivery WHERE message = %d AND status = %d", (int)id, DELIVERY_HELD), 0);
}

/* Held after three rounds in doubt: only a human may risk one more copy. */
static void tried_again_after_doubts(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);
	unsigned count;

	for (unsigned round = 0; round < DOUBT_ROUNDS_MAX; round++) {
		assert_int_equal(intend(f, id, 1, 1), 0);
		assert_int_equal(outcome(f, id, 0, VERDICT_IN_DOUBT, SCOPE_MESSAGE), 0);
	}
	assert_held(f, 0, 0, "1 anna/INBOX 1 size 1001 since 0 next -1 tries 3: home <anna@home>: the peer's words\n");
	assert_int_equal(state_held_retry(f->state, 0, id, &count, &f->error), 0);
	assert_int_equal(due_item(f, id).open, 1);
	for (unsigned round = 0; round < DOUBT_ROUNDS_MAX; round++) {
		assert_int_equal(status_of(f, id, 0) == DELIVERY_HELD, false);
		assert_int_equal(intend(f, id, 1, 1), 0);
		assert_int_equal(outcome(f, id, 0, VERDICT_IN_DOUBT, SCOPE_MESSAGE), 0);
	}
	assert_int_equal(status_of(f, id, 0), DELIVERY_HELD);
}

static void dropped_for_good(void **ctx)
{
	static const struct {
		enum disposal configured;
		bool delete_at_source, accepted_elsewhere;
		enum disposal owed;
	} cases[] = {
		{DISPOSE_KEEP, false, false, DISPOSE_KEEP},
		{DISPOSE_DELETE, false, false, DISPOSE_KEEP},
		{DISPOSE_DELETE, false, true, DISPOSE_KEEP},
		{DISPOSE_KEEP, true, false, DISPOSE_DELETE},
		{DISPOSE_MOVE, true, false, DISPOSE_DELETE},
		{DISPOSE_DELETE, true, true, DISPOSE_DELETE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t id;
		unsigned count;

		f->disposal.what = cases[i].configured;
		id = plan_uids(f, (uint32_t)i + 1, (uint32_t)i + 1, cases[i].accepted_elsewhere ? 3 : 1);
		if (cases[i].accepted_elsewhere)
			deliver(f, id, 1, 1);
		assert_int_equal(state_held_drop(f->state, id, cases[i].delete_at_source, &count, &f->error), 0);
		assert_int_equal(count, 0); /* not held yet */
		refuse(f, id, 0);
		assert_int_equal(state_held_drop(f->state, id, cases[i].delete_at_source, &count, &f->error), 0);
		assert_int_equal(count, 1);
		assert_int_equal(status_of(f, id, 0), DELIVERY_DROPPED);
		assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
		assert_int_equal(due_item(f, id).dispose, cases[i].owed);
		assert_lie(f, intend(f, id, 1, 1));
		assert_int_equal(state_held_drop(f->state, id, true, &count, &f->error), 0);
		assert_int_equal(count, 0);
		assert_int_equal(due_item(f, id).dispose, cases[i].owed);
	}
}

static void dropping_one_leaves_the_others(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 3);
	unsigned count;

	refuse(f, id, 0);
	assert_int_equal(state_held_drop(f->state, id, true, &count, &f->error), 0);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	assert_int_equal(due_item(f, id).open, 2);
	deliver(f, id, 1, 1);
	assert_int_equal(due_item(f, id).dispose, DISPOSE_DELETE);
}

static void counted(void **ctx)
{
	struct fixture *f = *ctx;
	struct mailbox_counts counts;
	struct draft draft = {0};
	uint64_t id, baseline;

	f->disposal.what = DISPOSE_DELETE;
	id = plan_uids(f, 1, 8, 3);
	refuse(f, id, 0);
	refuse(f, id + 1, 0);
	assert_int_equal(intend(f, id + 1, 2, 1), 0);
	assert_int_equal(intend(f, id + 2, 1, 1), 0);
	for (unsigned i = 3; i < 6; i++) {
		deliver(f, id + i, 0, 1);
		deliver(f, id + i, 1, 1);
	}
	assert_int_equal(disposed(f, id + 3), 0);
	draft_gone(&draft, id + 3);
	draft_gone(&draft, id + 7);
	draft_add(&draft, "9", 9, 1, 1, true);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &baseline), 0);
	assert_int_equal(state_counts(f->state, f->mailbox, &counts, &f->error), 0);
	assert_int_equal(counts.open, 1);
	assert_int_equal(counts.held, 2);
	assert_int_equal(counts.in_doubt, 2);
	assert_int_equal(counts.delivered, 2);
	assert_int_equal(counts.owed, 2);
	assert_int_equal(counts.baseline, 1);
	assert_int_equal(state_counts(f->state, f->mailbox + 1, &counts, &f->error), 0);
	assert_int_equal(counts.open + counts.held + counts.in_doubt + counts.delivered + counts.owed + counts.baseline, 0);
}

static void busy_is_said_and_changes_nothing(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);
	struct state *other;
	unsigned count;
	bool is_new;

	refuse(f, id, 0);
	other = state_open(f->dir, false, &is_new, &f->error);
	assert_non_null(other);
	assert_int_equal(state_begin(other, &f->error), 0);
	assert_int_equal(state_held_retry(f->state, 0, id, &count, &f->error), -1);
	assert_int_equal(f->error.kind, ERR_TEMP);
	assert_int_equal(state_held_drop(f->state, id, false, &count, &f->error), -1);
	assert_int_equal(f->error.kind, ERR_TEMP);
	assert_int_equal(status_of(f, id, 0), DELIVERY_HELD);
	state_close(other);
	assert_int_equal(state_held_drop(f->state, id, false, &count, &f->error), 0);
	assert_int_equal(count, 1);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(listed_with_all_there_is_to_know),
		FIXTURE_TEST(tried_again_by_hand_as_if_new),
		FIXTURE_TEST(tried_again_after_doubts),
		FIXTURE_TEST(dropped_for_good),
		FIXTURE_TEST(dropping_one_leaves_the_others),
		FIXTURE_TEST(counted),
		FIXTURE_TEST(busy_is_said_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
