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

static void nothing_was_ever_planned(void **ctx)
{
	struct fixture *f = *ctx;
	struct view view = known_as(f, 12345, 10, false);

	assert_int_equal(view.header.first_run, 1);
	assert_int_equal(view.header.want_complete, 1);
	assert_int_equal(view.header.renumbered, 0);
	assert_int_equal(view.header.mark + view.header.item_count + view.header.key_count, 0);
	view_done(&view);
}

/* What is open, for which of the targets of this job, in the order of the plan. */
static void open_items_come_with_their_targets(void **ctx)
{
	struct fixture *f = *ctx;
	struct known_item expected = {0};
	struct view view;
	uint64_t first;

	f->disposal.what = DISPOSE_DELETE;
	first = plan_uids(f, 8, 11, 5);
	view = known_as(f, 7, 4, false);
	assert_int_equal(view.header.mark, 11);
	assert_int_equal(view.header.item_count, 4);
	for (unsigned i = 0; i < 4; i++) {
		expected = (struct known_item){.id = first + i,
			.origin = first + i,
			.size = 1008 + i,
			.date = START - 8 - i,
			.open = 5,
			.uid = 8 + i,
			.dispose = DISPOSE_DELETE};
		assert_memory_equal(&view.items[i], &expected, sizeof(expected));
	}
	view_done(&view);
}

static void targets_that_the_job_lacks_are_left_out(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 7);

	f->targets[1].recipient = "nobody@home";
	assert_int_equal(due_item(f, first).open, 5);
	assert_int_equal(due_item(f, first).held_back, 1);
	f->targets[0].destination = "nowhere";
	f->targets[2].destination = "nowhere";
	assert_int_equal(due_item(f, first).id, 0);
}

static void deferred_waits_for_its_clock(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 3);

	deliver(f, first, 0, 1);
	assert_int_equal(due_item(f, first).open, 2);
	assert_int_equal(due_item(f, first).held_back, 0);
	assert_int_equal(intend(f, first, 2, 1), 0);
	assert_int_equal(outcome(f, first, 1, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
	assert_int_equal(due_item(f, first).id, 0);
	f->now += 599;
	assert_int_equal(due_item(f, first).id, 0);
	f->now++;
	assert_int_equal(due_item(f, first).open, 2);
	assert_int_equal(due_item(f, first).doubtful, 0);
	f->now -= 365 * DAY; /* the clock was wrong then, or is now */
	assert_int_equal(due_item(f, first).open, 2);
}

static void what_waits_holds_the_disposal_back(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 3);

	assert_int_equal(intend(f, first, 1, 1), 0);
	assert_int_equal(outcome(f, first, 0, VERDICT_REFUSED, SCOPE_MESSAGE), 0);
	assert_int_equal(due_item(f, first).open, 2);
	assert_int_equal(due_item(f, first).held_back, 1);
	f->now += HOUR;
	assert_int_equal(due_item(f, first).open, 3);
	assert_int_equal(due_item(f, first).held_back, 0);
}

static void in_doubt_is_due_at_once(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 7);
	struct known_item item;

	assert_int_equal(intend(f, first, 5, 0x44), 0);
	item = due_item(f, first);
	assert_int_equal(item.open, 7);
	assert_int_equal(item.doubtful, 5);
	assert_int_equal(item.intent_at, START);
	for (unsigned i = 0; i < sizeof(item.hash); i++)
		assert_int_equal(item.hash[i], 0x44);
	assert_int_equal(item.size, 1001); /* as listed, whatever came */
	assert_int_equal(outcome(f, first, 0, VERDICT_RETRACTED, SCOPE_MESSAGE), 0);
	item = due_item(f, first);
	assert_int_equal(item.open, 7);
	assert_int_equal(item.doubtful, 4);
}

/* The second round ended in a plain "later", which says nothing about the first. */
static void an_older_doubt_stays_one(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 1);

	assert_int_equal(intend(f, first, 1, 1), 0);
	assert_int_equal(intend(f, first, 1, 1), 0);
	assert_int_equal(outcome(f, first, 0, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
	f->now += HOUR;
	assert_int_equal(due_item(f, first).open, 1);
	assert_int_equal(due_item(f, first).doubtful, 1);
}

/* Two crashed sessions left intents of different times: one time fits into an item. */
static void doubts_of_two_sessions_come_one_by_one(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 7);
	struct known_item item;

	f->now += 100;
	assert_int_equal(intend(f, first, 1, 1), 0);
	f->now -= 50;
	assert_int_equal(intend(f, first, 2, 1), 0);
	item = due_item(f, first);
	assert_int_equal(item.doubtful, 2);
	assert_int_equal(item.open, 2 | 4);
	assert_int_equal(item.intent_at, START + 50);
	assert_int_equal(item.held_back, 1);
	assert_int_equal(outcome(f, first, 1, VERDICT_ACCEPTED, SCOPE_MESSAGE), 0);
	item = due_item(f, first);
	assert_int_equal(item.doubtful, 1);
	assert_int_equal(item.open, 1 | 4);
	assert_int_equal(item.intent_at, START + 100);
	assert_int_equal(item.held_back, 0);
}

/* A Maildir that never had the file cannot tell from its absence that it was delivered. */
static void what_was_in_doubt_elsewhere_is_too_old_to_tell(void **ctx)
{
	static const struct {
		int64_t then, now;
		bool tells;
	} cases[] = {{7, 7, true}, {0, 7, true}, {7, 0, true}, {7, 8, false}, {1, 8, false}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t first = plan_uids(f, 1, 1, 4);

		f->targets[2].place = cases[i].then;
		assert_int_equal(intend(f, first, 4, 1), 0);
		f->targets[2].place = cases[i].now;
		assert_int_equal(due_item(f, first).doubtful, 4);
		assert_int_equal(due_item(f, first).intent_age_s < 35 * HOUR, cases[i].tells);
		end(ctx);
		begin(ctx);
	}
}

static void three_crashes_in_doubt_are_enough(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 3);
	struct known_item item;

	for (unsigned round = 0; round < DOUBT_ROUNDS_MAX; round++) {
		assert_int_equal(due_item(f, first).open, 3);
		assert_int_equal(intend(f, first, 1, 1), 0);
	}
	item = due_item(f, first);
	assert_int_equal(item.open, 2);
	assert_int_equal(item.held_back, 1);
	assert_int_equal(status_of(f, first, 0), DELIVERY_HELD);
	assert_int_equal(due_item(f, first).held_back, 1);
	assert_int_equal(number(f, "SELECT next_try FROM delivery WHERE message = %d AND held_at = %d", (int)first, START), NEXT_TRY_BY_HAND);
	assert_int_equal(status_of(f, first + 1, 0), DELIVERY_OPEN);
	f->now += 1000 * DAY;
	assert_int_equal(due_item(f, first).open, 2);
}

static void owed_disposals_come_too(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;

	f->disposal.what = DISPOSE_DELETE;
	first = plan_uids(f, 1, 1, 1);
	f->disposal.what = DISPOSE_KEEP;
	plan_uids(f, 2, 2, 1);
	deliver(f, first, 0, 9);
	deliver(f, first + 1, 0, 9);
	assert_int_equal(due_item(f, first).open, 0);
	assert_int_equal(due_item(f, first).dispose, DISPOSE_DELETE);
	assert_int_equal(due_item(f, first).hash[31], 9);
	assert_int_equal(due_item(f, first + 1).id, 0);
	assert_int_equal(disposed(f, first), 0);
	assert_int_equal(due_item(f, first).id, 0);
}

static void when_a_complete_listing_is_due(void **ctx)
{
	struct fixture *f = *ctx;
	static const struct {
		int64_t later;
		uint32_t exists;
		bool all_keys, want_complete;
		unsigned keys;
	} cases[] = {
		{0, 3, false, false, 0}, {0, 3, true, false, 3}, {0, 2, false, true, 3}, {0, 4, false, true, 3}, {DAY - 1, 3, false, false, 0},
		{DAY, 3, false, true, 3}, {-1, 3, false, true, 3}, /* the clock was set back */
	};
	uint64_t first;

	f->disposal.what = DISPOSE_MOVE;
	first = plan_uids(f, 1, 4, 1);
	deliver(f, first, 0, 1);
	assert_int_equal(disposed(f, first), 0); /* so three are left */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct view view;

		f->now = START + cases[i].later;
		view = known_as(f, 7, cases[i].exists, cases[i].all_keys);
		assert_int_equal(view.header.want_complete, cases[i].want_complete);
		/* The moved one is known still, should it come back. */
		assert_int_equal(view.header.key_count, cases[i].keys != 0 ? cases[i].keys + 1 : 0);
		view_done(&view);
	}
}

static void marked_as_seen_stays_where_it_is(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;
	struct view view;

	f->disposal.what = DISPOSE_MARK_SEEN;
	first = plan_uids(f, 1, 2, 1);
	deliver(f, first, 0, 1);
	assert_int_equal(disposed(f, first), 0);
	view = known_as(f, 7, 2, false);
	assert_int_equal(view.header.want_complete, 0);
	view_done(&view);
}

static void keys_are_sorted_and_complete(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 300, 1), id, sum = 0;
	struct draft draft = {0};
	struct view view;

	deliver(f, first, 0, 1);
	draft_gone(&draft, first);     /* delivered: a tombstone */
	draft_gone(&draft, first + 1); /* never delivered: new, should it be listed again */
	draft_add(&draft, "301", 301, 0, 0, true);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	draft_gone(&draft, first + 300); /* of the baseline: a tombstone */
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	view = known_as(f, 7, 298, true);
	assert_int_equal(view.header.key_count, 300);
	for (uint64_t i = 0; i < view.header.key_count; i++) {
		char text[12];
		uint8_t key[SHA256_BYTES];

		sha256_of(text, (size_t)snprintf(text, sizeof(text), "%d", (int)(view.keys[i].id - first + 1)), key);
		assert_memory_equal(view.keys[i].key, key, sizeof(view.keys[i].key));
		assert_true(i == 0 || memcmp(view.keys[i - 1].key, view.keys[i].key, sizeof(view.keys[i].key)) < 0);
		sum += view.keys[i].id - first;
	}
	assert_int_equal(sum, 300 * 301 / 2 - 1); /* all but the second */
	view_done(&view);
}

static void pop3_gets_all_keys_always(void **ctx)
{
	struct fixture *f;
	struct draft draft = {0};
	struct view view;
	uint64_t id;

	end(ctx);
	*ctx = f = xcalloc(1, sizeof(*f));
	fixture_begin(f, PROTOCOL_POP3);
	draft_add(&draft, "uidl-1", 0, 10, 0, false);
	draft_add(&draft, "uidl-2", 0, 10, 0, false);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 0, 1, &id), 0);
	view = known_as(f, 0, 2, false);
	assert_int_equal(view.header.want_complete, 1);
	assert_int_equal(view.header.key_count, 2);
	assert_int_equal(view.header.item_count, 2);
	assert_int_equal(view.items[0].uid, 0);
	view_done(&view);
}

static void a_renumbered_folder_tells_only_so(void **ctx)
{
	struct fixture *f = *ctx;
	struct view view;

	plan_uids(f, 1, 3, 1);
	view = known_as(f, 8, 3, true);
	assert_int_equal(view.header.renumbered, 1);
	assert_int_equal(view.header.want_complete, 1);
	assert_int_equal(view.header.first_run, 0);
	assert_int_equal(view.header.item_count + view.header.key_count, 0);
	view_done(&view);
}

static void not_fetched_waits_as_a_whole(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 3);

	assert_int_equal(intend(f, first, 1, 1), 0);
	assert_int_equal(unfetched(f, first, ERR_TEMP), 0);
	assert_int_equal(due_item(f, first).id, 0);
	f->now += backoff_s(BACKOFF_MESSAGE, 1);
	assert_int_equal(due_item(f, first).open, 3);
	assert_int_equal(due_item(f, first).doubtful, 1);
	assert_int_equal(unfetched(f, first, ERR_TEMP), 0);
	f->now += backoff_s(BACKOFF_MESSAGE, 2) - 1;
	assert_int_equal(due_item(f, first).id, 0);
	f->now++;
	assert_int_equal(due_item(f, first).open, 3);
	/* It came at last: the count begins anew. */
	assert_int_equal(intend(f, first, 3, 1), 0);
	assert_int_equal(number(f, "SELECT attempts + next_try + (fetch_error IS NOT NULL) FROM message WHERE id = %d", (int)first), 0);
}

/* Steps of SQLite's machine, rows sorted or searched one by one: of all statements since the last call. */
static int effort(struct fixture *f, int kind)
{
	int sum = 0;

	for (unsigned i = 0; i < SQL_KEPT_MAX; i++)
		sum += f->state->kept[i].text == NULL ? 0 : sqlite3_stmt_status(f->state->kept[i].statement, kind, 1);
	return sum;
}

/* A poll must not read what is settled, however much there is. */
static void settled_messages_cost_nothing(void **ctx)
{
	struct fixture *f = *ctx;
	struct view view;

	plan_uids(f, 1, 2000, 1);
	assert_int_equal(sql_script(f->state, "UPDATE message SET stage = 4, delivered_at = 1; UPDATE delivery SET status = 3", &f->error), 0);
	plan_uids(f, 2001, 2003, 1);
	effort(f, SQLITE_STMTSTATUS_VM_STEP);
	effort(f, SQLITE_STMTSTATUS_FULLSCAN_STEP);
	view = known_as(f, 7, 2003, false);
	assert_int_equal(view.header.item_count, 3);
	view_done(&view);
	assert_int_equal(effort(f, SQLITE_STMTSTATUS_FULLSCAN_STEP), 0);
	assert_in_range(effort(f, SQLITE_STMTSTATUS_VM_STEP), 1, 1000);
	/* All keys, in the order of the index, each with a look at its message. */
	view = known_as(f, 7, 2003, true);
	assert_int_equal(view.header.key_count, 2003);
	view_done(&view);
	assert_int_equal(effort(f, SQLITE_STMTSTATUS_SORT), 0);
	assert_in_range(effort(f, SQLITE_STMTSTATUS_VM_STEP), 2003, 2003 * 16);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(nothing_was_ever_planned),
		FIXTURE_TEST(open_items_come_with_their_targets),
		FIXTURE_TEST(targets_that_the_job_lacks_are_left_out),
		FIXTURE_TEST(deferred_waits_for_its_clock),
		FIXTURE_TEST(what_waits_holds_the_disposal_back),
		FIXTURE_TEST(in_doubt_is_due_at_once),
		FIXTURE_TEST(an_older_doubt_stays_one),
		FIXTURE_TEST(doubts_of_two_sessions_come_one_by_one),
		FIXTURE_TEST(what_was_in_doubt_elsewhere_is_too_old_to_tell),
		FIXTURE_TEST(three_crashes_in_doubt_are_enough),
		FIXTURE_TEST(owed_disposals_come_too),
		FIXTURE_TEST(when_a_complete_listing_is_due),
		FIXTURE_TEST(marked_as_seen_stays_where_it_is),
		FIXTURE_TEST(keys_are_sorted_and_complete),
		FIXTURE_TEST(pop3_gets_all_keys_always),
		FIXTURE_TEST(a_renumbered_folder_tells_only_so),
		FIXTURE_TEST(not_fetched_waits_as_a_whole),
		FIXTURE_TEST(settled_messages_cost_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
