/* test-state-retention.c - messages that are deleted at the source some time after their delivery, whatever the wall clock does meanwhile; and what else
 * rests on the clock that does not jump: how old an intent is, how long a tombstone is kept. */
#include "tests/unit/state-fixture.h"

#define RETENTION (14 * DAY)

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, PROTOCOL_IMAP);
	f->disposal = (struct after_delivery){.what = DISPOSE_DELETE, .retention_s = RETENTION};
	*ctx = f;
	return 0;
}

static int end(void **ctx)
{
	fixture_end(*ctx);
	free(*ctx);
	return 0;
}

/* The wall clock is set, and nothing else happens. */
static void step_wall(struct fixture *f, int64_t by_s, bool seen_by_most)
{
	f->now += by_s;
	f->state->clock.least_ahead -= by_s;
	f->state->clock.most_ahead -= seen_by_most ? 0 : by_s;
}

static bool is_owed(struct fixture *f, uint64_t id)
{
	return due_item(f, id).id == id && due_item(f, id).open == 0;
}

static void owed_when_it_is_over(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);
	struct known_item item = due_item(f, id);

	assert_int_equal(item.open, 1);
	assert_int_equal(item.dispose, DISPOSE_KEEP); /* not in the session that delivers it */
	f->now += 5 * DAY;
	deliver(f, id, 0, 1);
	assert_false(is_owed(f, id));
	f->now += RETENTION - 1;
	assert_false(is_owed(f, id));
	f->now += 1;
	assert_true(is_owed(f, id));
	assert_int_equal(due_item(f, id).dispose, DISPOSE_DELETE);
	fixture_reopen(f);
	assert_true(is_owed(f, id));
	assert_int_equal(disposed(f, id), 0);
	assert_int_equal(stage_of(f, id), STAGE_DISPOSED);
}

static void begins_with_the_last_delivery(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 5);

	deliver(f, id, 0, 1);
	f->now += 2 * RETENTION;
	assert_false(is_owed(f, id));
	deliver(f, id, 2, 1);
	f->now += RETENTION - 1;
	assert_false(is_owed(f, id));
	f->now += 1;
	assert_true(is_owed(f, id));
}

static void another_setting_is_for_other_messages(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 1), second;

	f->disposal.retention_s = 0;
	second = plan_uids(f, 2, 2, 1);
	f->disposal.what = DISPOSE_KEEP;
	deliver(f, first, 0, 1);
	deliver(f, second, 0, 2);
	assert_false(is_owed(f, first));
	assert_true(is_owed(f, second));
	f->now += RETENTION;
	assert_true(is_owed(f, first));
}

static void a_wall_clock_that_is_set_changes_nothing(void **ctx)
{
	static const int64_t steps[] = {400 * DAY, -400 * DAY, START};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		struct fixture *f = *ctx;
		uint64_t id = plan_uids(f, 1, 1, 1);

		deliver(f, id, 0, 1);
		step_wall(f, steps[i], true);
		assert_false(is_owed(f, id));
		f->now += RETENTION - 1;
		assert_false(is_owed(f, id));
		f->now += 1;
		assert_true(is_owed(f, id));
		end(ctx);
		begin(ctx);
	}
}

static void a_renumbered_message_keeps_its_time(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), id = 0, matched = 0;
	struct draft draft = {0};
	uint8_t hash[32], trace[32];

	deliver(f, old, 0, 1);
	f->now += RETENTION - HOUR;
	f->disposal = (struct after_delivery){.what = DISPOSE_KEEP};
	draft_uid(&draft, 5);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 8, 1, &id), 0);
	memset(hash, 1, sizeof(hash));
	memset(trace, 0x81, sizeof(trace));
	assert_int_equal(state_match(f->state, f->folder, f->mailbox, id, hash, trace, true, &matched, &f->error), 0);
	assert_int_equal(matched, old);
	assert_int_equal(number(f, "SELECT delivered_clock + retention - %lld FROM message WHERE id = %d", (long long)f->now, (int)id), HOUR);
	assert_int_equal(number(f, "SELECT disposal FROM message WHERE id = %d", (int)id), DISPOSE_DELETE);
}

static void status_tells_them_apart(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 3, 1);
	struct mailbox_counts counts;

	f->now = clock_wall_s();
	for (unsigned i = 0; i < 3; i++)
		deliver(f, id + i, 0, (uint8_t)i);
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE delivered_clock = 0"), 0);
	assert_int_equal(sql_run(f->state, &f->error, "UPDATE message SET delivered_clock = 1 WHERE id = ?1", SQL_NUMBER(id)), 0);
	assert_int_equal(state_counts(f->state, f->mailbox, &counts, &f->error), 0);
	assert_int_equal(counts.retained, 2);
	assert_int_equal(counts.owed, 1);
	assert_int_equal(counts.delivered, 3);
}

static int effort(struct fixture *f)
{
	int sum = 0;

	for (unsigned i = 0; i < SQL_KEPT_MAX; i++)
		sum += f->state->kept[i].text == NULL ? 0 : sqlite3_stmt_status(f->state->kept[i].statement, SQLITE_STMTSTATUS_VM_STEP, 1);
	return sum;
}

/* A server with years of kept mail is polled as cheaply as an empty one. */
static void those_that_wait_cost_nothing(void **ctx)
{
	struct fixture *f = *ctx;
	struct view view;

	plan_uids(f, 1, 2000, 1);
	assert_int_equal(sql_script(f->state,
				 "UPDATE message SET stage = 4, delivered_at = 1800000000, delivered_clock = 1800000000 + id;"
				 "UPDATE delivery SET status = 3",
				 &f->error),
		0);
	f->now = START + RETENTION + 3;
	assert_int_equal(sql_run(f->state, &f->error, "UPDATE folder SET listed_at = ?1", SQL_NUMBER(f->now)), 0); /* no complete listing is due */
	effort(f);
	view = known_as(f, 7, 2000, false);
	assert_int_equal(view.header.item_count, 3);
	view_done(&view);
	assert_in_range(effort(f), 1, 1000);
}

/* -- how old an intent is -- */

static void an_intent_is_as_old_as_may_be(void **ctx)
{
	static const struct {
		int64_t step_s;
		bool seen; /* by the hand for what may have passed: the clock was not wrong before */
		int64_t age_s;
	} cases[] = {
		{0, true, HOUR}, {7 * DAY, true, 7 * DAY + HOUR}, /* whoever clears tmp/ sees the same */
		{-7 * DAY, false, HOUR}, {START, false, HOUR},    /* 1970 before */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t id = plan_uids(f, 1, 1, 1);

		assert_int_equal(intend(f, id, 1, 1), 0);
		step_wall(f, cases[i].step_s, cases[i].seen);
		f->now += HOUR;
		assert_int_equal(due_item(f, id).doubtful, 1);
		assert_int_equal(due_item(f, id).intent_at, START);
		assert_int_equal(due_item(f, id).intent_age_s, cases[i].age_s);
		end(ctx);
		begin(ctx);
	}
}

/* -- tombstones -- */

static void a_tombstone_outlives_a_jump(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t id = plan_uids(f, 1, 1, 1), none;
	struct view view;

	deliver(f, id, 0, 1);
	draft_gone(&draft, id);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &none), 0);
	step_wall(f, 400 * DAY, true);
	draft_gone(&draft, id);
	draft_uid(&draft, 2);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &none), 0);
	view = known_as(f, 7, 1, true);
	assert_int_equal(view.header.key_count, 2);
	view_done(&view);
	f->now += 31 * DAY;
	plan_uids(f, 3, 3, 1);
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE id = %d", (int)id), 0);
}

/* -- the clock itself, on disk -- */

static void the_clock_survives(void **ctx)
{
	struct fixture *f = *ctx;
	int64_t ahead;

	assert_int_equal(f->state->clock.least_ahead, 0);
	assert_int_equal(f->state->clock.most_ahead, 0);
	/* As if it had been kept by another boot, one hour ago by the wall clock, which showed what it should. */
	assert_int_equal(sql_run(f->state, &f->error, "UPDATE meta SET value = (?1 - 3600) || ' 77 -5000 -4000 another' WHERE key = 'clock'",
				 SQL_NUMBER(clock_wall_s())),
		0);
	fixture_reopen(f);
	assert_int_equal(f->state->clock.least_ahead, -5000);
	assert_int_equal(f->state->clock.most_ahead, -4000);
	assert_int_equal(number(f, "SELECT value NOT LIKE '%%another' FROM meta WHERE key = 'clock'"), 1);
	/* A week ago: only a day of it is certain. */
	assert_int_equal(sql_run(f->state, &f->error, "UPDATE meta SET value = (?1 - 604800) || ' 77 0 0 another' WHERE key = 'clock'",
				 SQL_NUMBER(clock_wall_s())),
		0);
	fixture_reopen(f);
	ahead = f->state->clock.least_ahead;
	assert_in_range(-ahead, 6 * DAY - 5, 6 * DAY + 5);
	assert_int_equal(f->state->clock.most_ahead, 0);
	/* A transaction that is undone takes nothing along. */
	assert_int_equal(state_begin(f->state, &f->error), 0);
	state_rollback(f->state);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(f->state->clock.least_ahead, ahead);
	assert_int_equal(state_commit(f->state, &f->error), 0);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(owed_when_it_is_over),
		FIXTURE_TEST(begins_with_the_last_delivery),
		FIXTURE_TEST(another_setting_is_for_other_messages),
		FIXTURE_TEST(a_wall_clock_that_is_set_changes_nothing),
		FIXTURE_TEST(a_renumbered_message_keeps_its_time),
		FIXTURE_TEST(status_tells_them_apart),
		FIXTURE_TEST(those_that_wait_cost_nothing),
		FIXTURE_TEST(an_intent_is_as_old_as_may_be),
		FIXTURE_TEST(a_tombstone_outlives_a_jump),
		FIXTURE_TEST(the_clock_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
