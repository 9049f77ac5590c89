/* test-state-reuse.c - POP3 unique ids that are used again (RFC 1939 7), and messages that share one. */
#include "tests/unit/state-fixture.h"

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, PROTOCOL_POP3);
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

/* As the listing makes it: copy 0 is a message that has its UIDL alone. */
static void list(struct draft *draft, const char *uidl, unsigned copy, unsigned copies, uint64_t size)
{
	struct plan_entry entry = {.size = size};
	struct str key = {0};

	str_add_text(&key, uidl);
	if (copy != 0) {
		str_add_byte(&key, '\0');
		str_addf(&key, "%u/%u", copy, copies);
	}
	entry.key_len = (uint16_t)key.len;
	str_add(&draft->entries, &entry, sizeof(entry));
	str_add(&draft->entries, key.data, key.len);
	draft->header.entry_count++;
	str_done(&key);
}

static uint64_t plan(struct fixture *f, struct draft *draft)
{
	uint64_t id;

	if (plan_send(f, draft, REC_COMPLETE, 0, 1, &id) < 0)
		fail_msg("%s", f->error.text);
	return id;
}

static uint64_t plan_one(struct fixture *f, const char *uidl, uint64_t size)
{
	struct draft draft = {0};

	list(&draft, uidl, 0, 0, size);
	return plan(f, &draft);
}

static uint64_t plan_two_copies(struct fixture *f, const char *uidl)
{
	struct draft draft = {0};

	list(&draft, uidl, 1, 2, 10);
	list(&draft, uidl, 2, 2, 10);
	return plan(f, &draft);
}

static void vanish(struct fixture *f, uint64_t id)
{
	struct draft draft = {0};

	draft_gone(&draft, id);
	plan(f, &draft);
}

static void deliver_and_dispose(struct fixture *f, uint64_t id, uint8_t print)
{
	deliver(f, id, 0, print);
	assert_int_equal(disposed(f, id), 0);
}

static uint64_t match(struct fixture *f, uint64_t id, uint8_t print)
{
	uint8_t hash[SHA256_BYTES], trace[SHA256_BYTES];
	uint64_t old_id = 99;

	memset(hash, print, sizeof(hash));
	memset(trace, print ^ 0x80, sizeof(trace));
	if (state_match(f->state, f->folder, f->mailbox, id, hash, trace, true, &old_id, &f->error) < 0)
		fail_msg("%s", f->error.text);
	check_present(f);
	return old_id;
}

static bool has_unmatched(struct fixture *f)
{
	bool has;

	assert_int_equal(state_has_unmatched(f->state, f->folder, &has, &f->error), 0);
	return has;
}

static uint64_t key_count(struct fixture *f)
{
	struct view view = known_as(f, 0, 0, false);
	uint64_t count = view.header.key_count;

	view_done(&view);
	return count;
}

static void a_key_is_closed_when_its_message_has_left(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t a = plan_one(f, "a", 10), b = plan_one(f, "b", 10);

	deliver(f, a, 0, 1);
	deliver(f, b, 0, 2);
	assert_int_equal(key_count(f), 2);
	assert_int_equal(disposed(f, a), 0);
	assert_int_equal(key_count(f), 1);
	vanish(f, b);
	assert_int_equal(key_count(f), 0);
	assert_false(has_unmatched(f)); /* as long as neither is listed again */
	plan_one(f, "a", 10);
	assert_true(has_unmatched(f));
	assert_int_equal(key_count(f), 1);
}

static void the_same_bytes_are_credited(void **ctx)
{
	for (unsigned vanished = 0; vanished < 2; vanished++) {
		struct fixture *f = *ctx;
		uint64_t old = plan_one(f, "a", 10), new;

		deliver(f, old, 0, 1);
		if (vanished)
			vanish(f, old);
		else
			assert_int_equal(disposed(f, old), 0);
		f->disposal.what = DISPOSE_KEEP;
		new = plan_one(f, "a", 11);
		assert_int_equal(stage_of(f, new), STAGE_OPEN);
		assert_int_equal(match(f, new, 1), old);
		assert_int_equal(stage_of(f, new), STAGE_DELIVERED);
		assert_int_equal(due_item(f, new).id, 0); /* of UIDVALIDITY 7 */
		assert_int_equal(number(f, "SELECT disposal FROM message WHERE id = %d", (int)new), DISPOSE_DELETE);
		assert_int_equal(disposed(f, new), 0);
		/* And once more. */
		old = new;
		new = plan_one(f, "a", 11);
		assert_int_equal(match(f, new, 1), old);
		end(ctx);
		begin(ctx);
	}
}

static void other_bytes_are_a_new_message(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_one(f, "a", 10), new;

	deliver_and_dispose(f, old, 1);
	new = plan_one(f, "a", 10);
	assert_int_equal(match(f, new, 2), 0);
	deliver_and_dispose(f, new, 2);
	/* Both are remembered, under this UIDL alone. */
	assert_int_equal(match(f, plan_one(f, "b", 10), 1), 0);
	assert_int_equal(match(f, plan_one(f, "a", 10), 1), old);
}

static void a_trace_is_not_enough(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_one(f, "a", 10), new;

	deliver_and_dispose(f, old, 1);
	assert_int_equal(sql_script(f->state, "UPDATE message SET hash = zeroblob(32)", &f->error), 0);
	new = plan_one(f, "a", 10);
	assert_int_equal(match(f, new, 1), 0);
}

static void another_size_closes_what_is_owed(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_one(f, "a", 10), new;
	struct draft draft = {0};

	deliver(f, old, 0, 1);
	list(&draft, "a", 0, 0, 10);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 0, 1, &new)); /* of the same size: it is known */
	new = plan_one(f, "a", 11);
	assert_int_equal(stage_of(f, old), STAGE_GONE);
	assert_int_equal(match(f, new, 2), 0);
	assert_int_equal(stage_of(f, new), STAGE_OPEN);
	assert_int_equal(number(f, "SELECT present FROM folder WHERE id = %d", (int)f->folder), 1);
}

static void what_was_in_doubt_stays_in_doubt(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_one(f, "a", 10), new;

	assert_int_equal(intend(f, old, 1, 1), 0);
	vanish(f, old);
	new = plan_one(f, "a", 10);
	assert_int_equal(match(f, new, 1), old);
	assert_int_equal(stage_of(f, new), STAGE_INTENT);
	assert_int_equal(status_of(f, new, 0), DELIVERY_INTENT);
	assert_int_equal(match(f, new, 1), 0); /* asked again in a later session: it has been decided */
}

static void the_baseline_comes_back_by_its_size(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t old, new;

	draft_add(&draft, "a", 0, 10, 0, true);
	draft_add(&draft, "b", 0, 10, 0, true);
	old = plan(f, &draft);
	draft_gone(&draft, old);
	draft_gone(&draft, old + 1);
	plan(f, &draft);
	new = plan_one(f, "a", 10);
	assert_int_equal(match(f, new, 1), old);
	assert_int_equal(stage_of(f, new), STAGE_BASELINE);
	new = plan_one(f, "b", 11);
	assert_int_equal(match(f, new, 1), 0);
}

/* -- two messages of one UIDL -- */

/* Print of the message that is left, once the first was delivered (1) and the other one not. */
static void the_copy_that_is_left_is_delivered_once(void **ctx)
{
	static const struct {
		uint8_t left;
		bool we_deleted, second_fetched, credited;
	} cases[] = {
		{2, true, false, false},
		{1, true, false, false}, /* an exact copy, and we know that the first is deleted */
		{2, false, false, false},
		{1, false, false, true}, /* nobody knows which one it is, but its content was delivered */
		{2, true, true, true},   /* its deliveries go on */
		{2, false, true, true},
		{1, false, true, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t first = plan_two_copies(f, "a"), left;
		struct draft draft = {0};

		deliver(f, first, 0, 1);
		if (cases[i].second_fetched) {
			assert_int_equal(intend(f, first + 1, 1, 2), 0);
			assert_int_equal(outcome(f, first + 1, 0, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
		}
		if (cases[i].we_deleted)
			assert_int_equal(disposed(f, first), 0);
		else
			draft_gone(&draft, first);
		draft_gone(&draft, first + 1);
		list(&draft, "a", 0, 0, 10);
		left = plan(f, &draft);
		assert_true(has_unmatched(f));
		assert_int_equal(match(f, left, cases[i].left) != 0, cases[i].credited);
		if (!cases[i].credited)
			assert_int_equal(stage_of(f, left), STAGE_OPEN);
		else if (cases[i].left == 1)
			assert_int_equal(stage_of(f, left), STAGE_DELIVERED);
		else
			assert_int_equal(status_of(f, left, 0), DELIVERY_DEFERRED);
		end(ctx);
		begin(ctx);
	}
}

static void a_second_copy_closes_the_key_of_the_first(void **ctx)
{
	for (unsigned complete = 0; complete < 2; complete++) {
		struct fixture *f = *ctx;
		uint64_t old = plan_one(f, "a", 10), new;
		struct draft draft = {0};

		deliver(f, old, 0, 1);
		if (complete)
			draft_gone(&draft, old);
		list(&draft, "a", 1, 2, 10);
		list(&draft, "a", 2, 2, 10);
		assert_int_equal(plan_send(f, &draft, complete ? REC_COMPLETE : 0, 0, 1, &new), 0);
		assert_int_equal(stage_of(f, old), STAGE_GONE);
		/* Exact copies: the first was delivered, the other one is new. */
		assert_int_equal(match(f, new, 1), old);
		assert_int_equal(match(f, new + 1, 1), 0);
		end(ctx);
		begin(ctx);
	}
}

static void a_uidl_is_not_the_beginning_of_another(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_two_copies(f, "ab");

	deliver_and_dispose(f, first, 1);
	deliver_and_dispose(f, first + 1, 1);
	assert_int_equal(match(f, plan_one(f, "a", 10), 1), 0);
	assert_int_equal(match(f, plan_one(f, "abc", 10), 1), 0);
	assert_int_equal(match(f, plan_one(f, "ab", 10), 1), first);
}

/* -- for how long -- */

static void closed_keys_are_forgotten_after_their_time(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_one(f, "a", 10);

	deliver_and_dispose(f, old, 1);
	plan_one(f, "a", 10);
	deliver_and_dispose(f, plan_one(f, "b", 10), 1);
	f->now += TOMBSTONE_S - 1;
	vanish(f, old + 1);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 3);
	f->now += 1;
	plan_one(f, "c", 10);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 2);
	assert_false(has_unmatched(f));
}

/* The worker looks them up by halving. */
static void items_come_sorted_by_id(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	struct view view;
	uint64_t first;

	for (unsigned i = 0; i < 6; i++)
		list(&draft, (char[]){(char)('a' + i), '\0'}, 0, 0, 10);
	first = plan(f, &draft);
	for (unsigned i = 0; i < 6; i += 2)
		deliver(f, first + i, 0, 1);
	view = known_as(f, 0, 6, false);
	assert_int_equal(view.header.item_count, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(view.items[i].id, first + i);
		assert_int_equal(view.items[i].open, i % 2);
	}
	view_done(&view);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(a_key_is_closed_when_its_message_has_left),
		FIXTURE_TEST(the_same_bytes_are_credited),
		FIXTURE_TEST(other_bytes_are_a_new_message),
		FIXTURE_TEST(a_trace_is_not_enough),
		FIXTURE_TEST(another_size_closes_what_is_owed),
		FIXTURE_TEST(what_was_in_doubt_stays_in_doubt),
		FIXTURE_TEST(the_baseline_comes_back_by_its_size),
		FIXTURE_TEST(the_copy_that_is_left_is_delivered_once),
		FIXTURE_TEST(a_second_copy_closes_the_key_of_the_first),
		FIXTURE_TEST(a_uidl_is_not_the_beginning_of_another),
		FIXTURE_TEST(closed_keys_are_forgotten_after_their_time),
		FIXTURE_TEST(items_come_sorted_by_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
