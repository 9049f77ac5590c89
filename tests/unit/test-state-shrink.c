/* test-state-shrink.c - the state shrinks to what the servers list: what left them 30 days ago goes, in small steps, and the file with it. */
#include "tests/unit/state-fixture.h"

struct room {
	struct fixture f;
	char *folders[2];
	struct config config;
};

static int begin_with(void **ctx, enum protocol protocol)
{
	static char inbox[] = "INBOX";
	struct room *room = xcalloc(1, sizeof(*room));

	fixture_begin(&room->f, protocol);
	room->folders[0] = inbox;
	room->f.config.folders = protocol == PROTOCOL_IMAP ? room->folders : NULL;
	room->config = (struct config){.mailboxes = &room->f.config, .mailbox_count = 1};
	*ctx = room;
	return 0;
}

static int begin(void **ctx)
{
	return begin_with(ctx, PROTOCOL_IMAP);
}

static int end(void **ctx)
{
	struct room *room = *ctx;

	fixture_end(&room->f);
	free(room);
	return 0;
}

static unsigned shrink(struct room *room)
{
	unsigned calls = 0;
	bool more = true;

	for (; more; calls++)
		if (state_shrink(room->f.state, &room->config, room->f.now, &more, &room->f.error) < 0)
			fail_msg("%s", room->f.error.text);
	if (state_check(room->f.state, &room->f.error) < 0)
		fail_msg("%s", room->f.error.text);
	return calls;
}

static void send_gone(struct fixture *f, uint64_t first, unsigned count, uint64_t uidvalidity)
{
	struct draft draft = {0};
	uint64_t id;

	for (unsigned i = 0; i < count; i++)
		draft_gone(&draft, first + i);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, uidvalidity, 1, &id), 0);
}

/* As a poll that finds nothing new. */
static void list_again(struct fixture *f)
{
	send_gone(f, 0, 0, 7);
}

static off_t file_size(struct fixture *f)
{
	char *path = xasprintf("%s/state.db", f->dir);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_size;
}

static void twenty_thousand_that_are_gone(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	uint64_t first;
	off_t full;
	unsigned calls;

	assert_int_equal(sql_script(f->state, "PRAGMA synchronous = OFF", &f->error), 0);
	first = plan_uids(f, 1, 20000, 1);
	assert_int_equal(sql_script(f->state,
				 "UPDATE message SET stage = 4, hash = randomblob(32), trace = randomblob(32), delivered_at = 1; UPDATE delivery SET "
				 "status = 3",
				 &f->error),
		0);
	plan_uids(f, 20001, 20010, 2); /* these stay */
	send_gone(f, first, 20000, 7);
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 20010);
	state_checkpoint(f->state);
	full = file_size(f);

	f->now += 31 * DAY;
	list_again(f);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 20010 - SHRINK_ROWS); /* a plan does not wait for all of it */
	calls = shrink(room);
	assert_true(calls >= 19500 / SHRINK_ROWS);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 10);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery"), 10);
	assert_int_equal(number(f, "SELECT count(*) FROM target"), 1);
	check_present(f);
	fixture_reopen(f);
	assert_true(full > 3 * 1024 * 1024);
	assert_true(file_size(f) < full / 2);
	assert_int_equal(stage_of(f, first + 20000), STAGE_OPEN);
}

static void once_a_day(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	uint64_t id = plan_uids(f, 1, 1, 1);

	deliver(f, id, 0, 1);
	send_gone(f, id, 1, 7);
	f->now += 30 * DAY;
	shrink(room);
	assert_int_equal(number(f, "SELECT value FROM meta WHERE key = 'shrunk_at'"), f->now);
	assert_int_equal(sql_script(f->state, "UPDATE folder SET listed_at = 2000000000", &f->error), 0);
	f->now += DAY - 1;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 1);
	f->now++;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 0);
	f->now -= 5 * DAY; /* the clock was wrong then */
	shrink(room);
	assert_int_equal(number(f, "SELECT value FROM meta WHERE key = 'shrunk_at'"), f->now);
}

/* A server that was away for a month has lost nothing: the listing counts, not the calendar. */
static void not_while_nobody_lists(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	uint64_t id = plan_uids(f, 1, 2, 1);

	deliver(f, id, 0, 1);
	send_gone(f, id, 1, 7);
	f->now += 300 * DAY;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 2);
	list_again(f);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 1);
}

/* After a renumbering old messages are what the new ones are compared with. */
static void not_what_new_ones_are_compared_with(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	uint64_t id = plan_uids(f, 1, 2, 1), renumbered, match;
	struct draft draft = {0};
	uint8_t hash[32], trace[32];

	deliver(f, id, 0, 1);
	deliver(f, id + 1, 0, 2);
	draft_uid(&draft, 11);
	draft_uid(&draft, 12);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 8, 1, &renumbered), 0);
	f->now += 31 * DAY;
	send_gone(f, 0, 0, 8);
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 4);
	memset(hash, 1, sizeof(hash));
	memset(trace, 0, sizeof(trace));
	assert_int_equal(state_match(f->state, f->folder, f->mailbox, renumbered, hash, trace, false, &match, &f->error), 0);
	assert_int_equal(match, id);
	assert_int_equal(intend(f, renumbered + 1, 1, 9), 0); /* fetched and compared: nothing is left to compare */
	f->now += DAY;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 2);
}

/* By us, and reported as gone only on IMAP. */
static void what_we_deleted(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	uint64_t id;

	f->disposal.what = DISPOSE_DELETE;
	id = plan_uids(f, 1, 1, 1);
	deliver(f, id, 0, 1);
	assert_int_equal(disposed(f, id), 0);
	f->now += 31 * DAY;
	list_again(f);
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 1);
	send_gone(f, id, 1, 7);
	f->now += 31 * DAY;
	list_again(f);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 0);
}

static void folders_that_left_the_configuration(void **ctx)
{
	struct room *room = *ctx;
	struct fixture *f = &room->f;
	int64_t other;
	uint64_t id = plan_uids(f, 1, 1, 1);

	assert_int_equal(state_folder_open(f->state, f->mailbox, "Old", &other, &f->error), 0);
	assert_int_equal(
		sql_script(f->state,
			"INSERT INTO mailbox (id, name, protocol, host, user) VALUES (9, 'left', 1, 'h', 'u'); INSERT INTO folder (id, mailbox, name)"
			" VALUES (8, 9, '');",
			&f->error),
		0);
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM folder"), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM mailbox"), 2); /* its back-off is worth remembering */
	/* With messages they stay, should they be configured again; but without those that were gone for long. */
	deliver(f, id, 0, 1);
	room->config.mailbox_count = 0;
	f->now += 40 * DAY;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 1);
	send_gone(f, id, 1, 7);
	f->now += 31 * DAY;
	shrink(room);
	assert_int_equal(number(f, "SELECT count(*) FROM folder"), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM target"), 0);
}

/* Another mailhaul is writing: another time. */
static void busy(void **ctx)
{
	struct room *room = *ctx;
	struct state *other;
	bool is_new, more;

	other = state_open(room->f.dir, false, &is_new, &room->f.error);
	assert_int_equal(state_begin(other, &room->f.error), 0);
	assert_int_equal(state_shrink(room->f.state, &room->config, room->f.now, &more, &room->f.error), -1);
	assert_int_equal(room->f.error.kind, ERR_TEMP);
	state_rollback(other);
	state_close(other);
	assert_int_equal(shrink(room), 1);
}

int main(void)
{
#define ROOM_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		ROOM_TEST(twenty_thousand_that_are_gone),
		ROOM_TEST(once_a_day),
		ROOM_TEST(not_while_nobody_lists),
		ROOM_TEST(not_what_new_ones_are_compared_with),
		ROOM_TEST(what_we_deleted),
		ROOM_TEST(folders_that_left_the_configuration),
		ROOM_TEST(busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
