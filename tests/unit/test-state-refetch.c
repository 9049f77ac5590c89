/* test-state-refetch.c - messages that are to be hauled again, and mailboxes that are forgotten. */
#include "tests/unit/state-fixture.h"

static int begin_with(void **ctx, enum protocol protocol)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, protocol);
	*ctx = f;
	return 0;
}

static int begin_imap(void **ctx)
{
	return begin_with(ctx, PROTOCOL_IMAP);
}

static int begin_pop3(void **ctx)
{
	return begin_with(ctx, PROTOCOL_POP3);
}

static int end(void **ctx)
{
	fixture_end(*ctx);
	free(*ctx);
	return 0;
}

static enum refetch choose(struct fixture *f, const char *key)
{
	enum refetch what;

	assert_int_equal(state_refetch_key(f->state, f->mailbox, f->config.protocol == PROTOCOL_IMAP ? "INBOX" : "", key, &what, &f->error), 0);
	return what;
}

static uint64_t again(struct fixture *f)
{
	uint64_t count;

	assert_int_equal(state_refetch(f->state, &f->targets[1], 2, &f->disposal, &count, &f->error), 0);
	return count;
}

/* UIDs 1 to 7: hauled, hauled and marked, held, in doubt, new, given up, hauled and deleted; 8: of the baseline. */
static uint64_t every_kind(struct fixture *f)
{
	struct draft draft = {0};
	uint64_t id, baseline;
	unsigned count;

	f->disposal.what = DISPOSE_MARK_SEEN;
	id = plan_uids(f, 1, 6, 1);
	deliver(f, id, 0, 1);
	deliver(f, id + 1, 0, 2);
	assert_int_equal(disposed(f, id + 1), 0);
	assert_int_equal(unfetched(f, id + 2, ERR_REFUSED), 0);
	assert_int_equal(intend(f, id + 3, 1, 4), 0);
	assert_int_equal(unfetched(f, id + 5, ERR_REFUSED), 0);
	assert_int_equal(state_held_drop(f->state, id + 5, false, &count, &f->error), 0);
	f->disposal.what = DISPOSE_DELETE;
	draft_uid(&draft, 7);
	draft_add(&draft, "8", 8, 100, START, true);
	assert_int_equal(plan_send(f, &draft, 0, 7, 1, &baseline), 0);
	deliver(f, id + 6, 0, 7);
	assert_int_equal(disposed(f, id + 6), 0);
	return id;
}

static void by_uid(void **ctx)
{
	static const struct {
		const char *key;
		enum refetch what;
	} cases[] = {
		{"1", REFETCH_CHOSEN}, {"2", REFETCH_CHOSEN}, {"3", REFETCH_CHOSEN}, {"4", REFETCH_WAITS}, {"5", REFETCH_WAITS},
		{"6", REFETCH_CHOSEN}, {"7", REFETCH_GONE}, {"8", REFETCH_CHOSEN}, {"9", REFETCH_UNKNOWN}, {"1", REFETCH_CHOSEN}, /* twice is once */
	};
	struct fixture *f = *ctx;
	uint64_t id = every_kind(f);

	assert_int_equal(state_refetch_begin(f->state, &f->error), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (choose(f, cases[i].key) != cases[i].what)
			fail_msg("case %zu", i);
	f->disposal.what = DISPOSE_KEEP;
	assert_int_equal(again(f), 5);
	check_present(f);
	for (unsigned i = 0; i < 8; i++) {
		bool is_again = i != 3 && i != 4 && i != 6;

		assert_int_equal(due_item(f, id + i).open, is_again ? 6 : i == 6 ? 0 : 1);
		assert_int_equal(due_item(f, id + i).dispose, is_again || i == 6 ? DISPOSE_KEEP : DISPOSE_MARK_SEEN);
	}
	assert_int_equal(due_item(f, id + 3).doubtful, 1);
	deliver(f, id, 1, 1);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	deliver(f, id, 2, 1);
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
	assert_lie(f, intend(f, id, 1, 1)); /* the destination of then has no part in it */
}

static void by_date(void **ctx)
{
	struct fixture *f = *ctx;
	struct refetch_counts counts;

	every_kind(f); /* UID n arrived n seconds before START, the baseline at START */
	assert_int_equal(state_refetch_begin(f->state, &f->error), 0);
	assert_int_equal(state_refetch_since(f->state, f->mailbox, START - 4, &counts, &f->error), 0);
	assert_int_equal(counts.gone, 0);
	assert_int_equal(counts.waiting, 1);
	assert_int_equal(again(f), 4); /* 1, 2, 3, 8 */
	assert_int_equal(state_refetch_begin(f->state, &f->error), 0);
	assert_int_equal(state_refetch_since(f->state, f->mailbox, 0, &counts, &f->error), 0);
	assert_int_equal(counts.gone, 1);
	assert_int_equal(counts.waiting, 6);
	assert_int_equal(again(f), 1);
	assert_int_equal(state_refetch_since(f->state, f->mailbox + 1, 0, &counts, &f->error), 0);
	assert_int_equal(counts.gone + counts.waiting, 0);
}

/* There are no dates: what counts is when it was hauled, or held. */
static void by_date_on_pop3(void **ctx)
{
	struct fixture *f = *ctx;
	struct refetch_counts counts;
	struct draft draft = {0};
	enum refetch what;
	uint64_t id;

	assert_int_equal(state_folder_open(f->state, f->mailbox, "", &f->folder, &f->error), 0);
	for (unsigned i = 0; i < 4; i++)
		draft_add(&draft, (const char *[]){"a", "b", "c", "d"}[i], 0, 10, 0, i == 3);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 0, 1, &id), 0);
	deliver(f, id, 0, 1);
	f->now += DAY;
	deliver(f, id + 1, 0, 2);
	assert_int_equal(unfetched(f, id + 2, ERR_REFUSED), 0);
	assert_int_equal(state_refetch_begin(f->state, &f->error), 0);
	assert_int_equal(state_refetch_since(f->state, f->mailbox, START + 1, &counts, &f->error), 0);
	assert_int_equal(number(f, "SELECT group_concat(id) = '%d,%d' FROM temp.chosen", (int)id + 1, (int)id + 2), 1);
	assert_int_equal(choose(f, "d"), REFETCH_CHOSEN);
	assert_int_equal(choose(f, "e"), REFETCH_UNKNOWN);
	assert_int_equal(state_refetch_id(f->state, f->mailbox, id, &what, &f->error), 0);
	assert_int_equal(what, REFETCH_CHOSEN);
	assert_int_equal(state_refetch_id(f->state, f->mailbox + 1, id, &what, &f->error), 0);
	assert_int_equal(what, REFETCH_UNKNOWN);
	assert_int_equal(again(f), 4);
}

static void of_a_renumbered_folder_are_gone(void **ctx)
{
	struct fixture *f = *ctx;
	struct refetch_counts counts;
	struct draft draft = {0};
	uint64_t id = plan_uids(f, 1, 1, 1), new_id;

	deliver(f, id, 0, 1);
	draft_uid(&draft, 2);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 8, 1, &new_id), 0);
	deliver(f, new_id, 0, 2);
	assert_int_equal(state_refetch_begin(f->state, &f->error), 0);
	assert_int_equal(choose(f, "1"), REFETCH_UNKNOWN);
	assert_int_equal(choose(f, "2"), REFETCH_CHOSEN);
	assert_int_equal(state_refetch_since(f->state, f->mailbox, 0, &counts, &f->error), 0);
	assert_int_equal(counts.gone, 1);
	assert_int_equal(again(f), 1);
}

#define MANY 20000

/* Beside the one of plan_uids, and delivered to two. */
static void add_many(struct fixture *f)
{
	char *sql = xasprintf("INSERT INTO message (id, folder, epoch, key, key_hash, uid, size, date, stage, disposal)"
			      " WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
			      " SELECT i, %d, 0, i, randomblob(16), i, 1, 1, 4, 0 FROM n;"
			      "INSERT INTO delivery (message, target, status) SELECT m.id, t.id, 3 FROM message m, target t WHERE m.id > 1",
		MANY, (int)f->folder);

	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(sqlite3_exec(f->state->db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(state_commit(f->state, &f->error), 0);
	free(sql);
}

/* Counted in SQLite's own steps, which do not depend on the machine: a query that looks at all messages for each of them takes MANY times as many. */
#define STEPS_COUNTED 1000
#define STEPS_PER_MESSAGE 1000

static int count_steps(void *context)
{
	(*(int *)context)++;
	return 0;
}

static void forgotten_with_all_it_had(void **ctx)
{
	struct fixture *f = *ctx;
	struct mailbox_config other = f->config;
	struct mailbox_state mailbox;
	static char name[] = "bert", user[] = "bert";
	int64_t other_folder, id;
	int thousands = 0;
	uint64_t first = plan_uids(f, 1, 1, 3), count;

	other.name = name;
	other.server.user = user;
	deliver(f, first, 0, 1);
	add_many(f);
	assert_int_equal(state_mailbox_open(f->state, NULL, &other, &mailbox, &f->error), 0);
	assert_int_equal(state_folder_open(f->state, mailbox.id, "INBOX", &other_folder, &f->error), 0);
	assert_int_equal(state_mailbox_find(f->state, "carl", &id, &f->error), 0);
	assert_int_equal(id, 0);
	assert_int_equal(state_mailbox_find(f->state, "anna", &id, &f->error), 0);
	assert_int_equal(id, f->mailbox);
	sqlite3_progress_handler(f->state->db, STEPS_COUNTED, count_steps, &thousands);
	assert_int_equal(state_forget(f->state, id, &count, &f->error), 0);
	sqlite3_progress_handler(f->state->db, 0, NULL, NULL);
	assert_true(thousands > 0 && thousands < MANY / STEPS_COUNTED * STEPS_PER_MESSAGE);
	assert_int_equal(count, MANY);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery"), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM folder"), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM mailbox"), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	/* As if it had never been there; and no number is given out twice, since copies elsewhere bear it. */
	fixture_reopen(f);
	assert_int_equal(state_mailbox_open(f->state, NULL, &f->config, &mailbox, &f->error), 0);
	f->mailbox = mailbox.id;
	assert_int_equal(state_folder_open(f->state, f->mailbox, "INBOX", &f->folder, &f->error), 0);
	assert_true(plan_uids(f, 1, 1, 1) > first + MANY - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(by_uid, begin_imap, end),
		cmocka_unit_test_setup_teardown(by_date, begin_imap, end),
		cmocka_unit_test_setup_teardown(by_date_on_pop3, begin_pop3, end),
		cmocka_unit_test_setup_teardown(of_a_renumbered_folder_are_gone, begin_imap, end),
		cmocka_unit_test_setup_teardown(forgotten_with_all_it_had, begin_imap, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
