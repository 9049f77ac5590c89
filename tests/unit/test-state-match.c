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

/* The folder gets another UIDVALIDITY and lists so many messages. */
static uint64_t renumber(struct fixture *f, uint64_t uidvalidity, uint32_t count, uint64_t frozen)
{
	struct draft draft = {0};
	uint64_t first;

	for (uint32_t uid = 1; uid <= count; uid++)
		draft_uid(&draft, uid);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, uidvalidity, frozen, &first), 0);
	return first;
}

/* Prints as intend() makes them. */
static int match_prints(struct fixture *f, uint64_t id, uint8_t hash_byte, uint8_t trace_byte, bool has_trace, uint64_t *ret_old_id)
{
	uint8_t hash[SHA256_BYTES], trace[SHA256_BYTES];
	int result;

	memset(hash, hash_byte, sizeof(hash));
	memset(trace, trace_byte ^ 0x80, sizeof(trace));
	result = state_match(f->state, f->folder, f->mailbox, id, hash, trace, has_trace, ret_old_id, &f->error);
	check_present(f);
	return result;
}

static uint64_t match(struct fixture *f, uint64_t id, uint8_t print)
{
	uint64_t old_id = 99;

	if (match_prints(f, id, print, print, true, &old_id) < 0)
		fail_msg("%s", f->error.text);
	return old_id;
}

static bool has_unmatched(struct fixture *f)
{
	bool has;

	assert_int_equal(state_has_unmatched(f->state, f->folder, &has, &f->error), 0);
	return has;
}

static void what_was_delivered_is_not_delivered_again(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old, new;

	f->disposal.what = DISPOSE_DELETE;
	old = plan_uids(f, 1, 2, 1);
	deliver(f, old, 0, 1);
	assert_false(has_unmatched(f));
	f->disposal.what = DISPOSE_KEEP;
	f->now += DAY;
	new = renumber(f, 8, 3, 1);
	assert_true(has_unmatched(f));
	assert_int_equal(match(f, new + 1, 1), old);
	assert_int_equal(stage_of(f, new + 1), STAGE_DELIVERED);
	assert_int_equal(number(f, "SELECT delivered_at = %d AND disposal = %d FROM message WHERE id = %d", START, DISPOSE_DELETE, (int)new + 1), 1);
	assert_int_equal(number(f, "SELECT successor FROM message WHERE id = %d", (int)old), new + 1);
	/* The other old one was never delivered, so nothing is like it. */
	assert_int_equal(match(f, new, 2), 0);
	assert_int_equal(stage_of(f, new), STAGE_OPEN);
	assert_lie(f, match_prints(f, new + 1, 1, 1, true, &old)); /* settled already */
}

/* Of two equal messages one was delivered before: the other one is new. */
static void equal_messages_are_counted(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 2, 1), new;

	deliver(f, old, 0, 1);
	deliver(f, old + 1, 0, 1);
	new = renumber(f, 8, 3, 1);
	assert_int_equal(match(f, new, 1), old);
	assert_int_equal(match(f, new + 1, 1), old + 1);
	assert_int_equal(match(f, new + 2, 1), 0);
	assert_false(has_unmatched(f));
}

static void by_bytes_or_by_trace(void **ctx)
{
	static const struct {
		uint8_t hash, trace;
		bool has_trace, found;
	} cases[] = {
		{1, 1, true, true},
		{1, 1, false, true},
		{1, 2, true, true},
		{1, 2, false, true},
		{2, 1, true, true},
		{2, 1, false, false},
		{2, 2, true, false},
		{0, 0, true, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t old = plan_uids(f, 1, 1, 1), new, found;

		deliver(f, old, 0, 1);
		new = renumber(f, 8, 1, 1);
		assert_int_equal(match_prints(f, new, cases[i].hash, cases[i].trace, cases[i].has_trace, &found), 0);
		assert_int_equal(found, cases[i].found ? old : 0);
		assert_int_equal(stage_of(f, new), cases[i].found ? STAGE_DELIVERED : STAGE_OPEN);
		end(ctx);
		begin(ctx);
	}
}

/* A trace without a Received field is nobody's own. */
static void an_old_trace_must_rest_on_received_too(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), new, found;

	deliver(f, old, 0, 1);
	assert_int_equal(sql_script(f->state, "UPDATE message SET has_trace = 0", &f->error), 0);
	new = renumber(f, 8, 1, 1);
	assert_int_equal(match_prints(f, new, 2, 1, true, &found), 0);
	assert_int_equal(found, 0);
}

static void what_is_left_of_it_goes_on(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 7), new;
	struct view view;

	assert_int_equal(intend(f, old, 7, 1), 0);
	assert_int_equal(outcome(f, old, 0, VERDICT_ACCEPTED, SCOPE_MESSAGE), 0);
	assert_int_equal(outcome(f, old, 1, VERDICT_RETRACTED, SCOPE_MESSAGE), 0);
	new = renumber(f, 8, 1, 7);
	assert_int_equal(match(f, new, 1), old);
	assert_int_equal(stage_of(f, new), STAGE_INTENT);
	assert_int_equal(status_of(f, new, 0), DELIVERY_ACCEPTED);
	view = known_as(f, 8, 1, false);
	assert_int_equal(view.header.item_count, 1);
	assert_int_equal(view.items[0].open, 2 | 4);
	assert_int_equal(view.items[0].doubtful, 4);
	view_done(&view);
}

/* Never fetched, so known by size and date alone; and still the baseline after the next renumbering. */
static void the_baseline_is_recognised(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t old, new;

	draft_add(&draft, "1", 1, 1000, START - 5, true);
	draft_add(&draft, "2", 2, 2000, 0, true); /* no date: nothing can be said */
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &old), 0);
	for (uint64_t uidvalidity = 8; uidvalidity < 10; uidvalidity++) {
		draft_add(&draft, "11", 11, 1000, START - 5, false);
		draft_add(&draft, "12", 12, 1000, START - 5, false);
		draft_add(&draft, "13", 13, 1000, START - 6, false);
		draft_add(&draft, "14", 14, 2000, 0, false);
		assert_int_equal(plan_send(f, &draft, REC_COMPLETE, uidvalidity, 1, &new), 0);
		assert_int_equal(match(f, new, 1), old);
		assert_int_equal(stage_of(f, new), STAGE_BASELINE);
		assert_int_equal(match(f, new + 1, 1), 0);
		assert_int_equal(match(f, new + 2, 1), 0);
		assert_int_equal(match(f, new + 3, 1), 0);
		old = new;
	}
}

static void only_of_the_same_folder(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), junk, inbox, found;
	int64_t inbox_id = f->folder, junk_id;

	deliver(f, old, 0, 1);
	assert_int_equal(state_folder_open(f->state, f->mailbox, "Junk", &junk_id, &f->error), 0);
	inbox = renumber(f, 8, 1, 1);
	f->folder = junk_id;
	junk = renumber(f, 8, 1, 1);
	assert_int_equal(match(f, junk, 1), 0);
	assert_false(has_unmatched(f));
	assert_lie(f, match_prints(f, inbox, 1, 1, true, &found));
	f->folder = inbox_id;
	assert_int_equal(match(f, inbox, 1), old);
	f->mailbox++;
	assert_lie(f, match_prints(f, inbox, 1, 1, true, &found));
	f->mailbox--;
	assert_lie(f, match_prints(f, 12345, 1, 1, true, &found));
}

/* The index of prints belongs to the connection; a transaction that is undone must not leave a wrong one behind. */
static void undone_is_not_matched(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), new;

	deliver(f, old, 0, 1);
	new = renumber(f, 8, 2, 1);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(match(f, new, 1), old);
	state_rollback(f->state);
	assert_int_equal(stage_of(f, new), STAGE_OPEN);
	assert_int_equal(match(f, new + 1, 1), old);
	fixture_reopen(f);
	assert_int_equal(match(f, new, 1), 0);
}

static int recognize(struct fixture *f, uint64_t id, uint8_t hash_byte, uint8_t trace_byte, bool header)
{
	struct record record = {.kind = REC_RECOGNIZE, .id = id, .flags = header ? REC_HEADER : 0, .has_trace = trace_byte != 0};

	memset(record.hash, hash_byte, sizeof(record.hash));
	memset(record.trace, trace_byte ^ 0x80, sizeof(record.trace));
	return apply(f, &record);
}

static enum recognition recognition_of(struct fixture *f, uint64_t id)
{
	return (enum recognition)number(f, "SELECT recognition FROM message WHERE id = %lld", (long long)id);
}

static struct renumbering renumbering(struct fixture *f)
{
	struct renumbering renumbering;

	assert_int_equal(state_renumbering(f->state, f->folder, &renumbering, &f->error), 0);
	return renumbering;
}

/* By their headers first; with the bytes, what headers cannot tell; and in this order only. */
static void headers_first(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 2, 1), new;

	deliver(f, old, 0, 1);
	deliver(f, old + 1, 0, 2);
	new = renumber(f, 8, 3, 1);
	for (uint64_t id = new; id < new + 3; id++)
		assert_int_equal(recognition_of(f, id), RECOGNITION_BY_HEADER);
	assert_lie(f, recognize(f, new, 1, 1, false));
	assert_int_equal(recognize(f, new, 0, 1, true), 0);
	assert_int_equal(stage_of(f, new), STAGE_DELIVERED);
	assert_int_equal(recognition_of(f, new), RECOGNITION_NONE);
	assert_lie(f, recognize(f, new, 0, 1, true));
	assert_int_equal(recognize(f, new + 1, 2, 0, true), 0); /* whatever a header says of bytes */
	assert_int_equal(recognition_of(f, new + 1), RECOGNITION_BY_BYTES);
	assert_int_equal(recognize(f, new + 1, 2, 0, false), 0);
	assert_int_equal(stage_of(f, new + 1), STAGE_DELIVERED);
	assert_int_equal(recognize(f, new + 2, 0, 9, true), 0);
	assert_false(renumbering(f).complete); /* one is not judged yet */
	assert_int_equal(recognize(f, new + 2, 9, 9, false), 0);
	assert_int_equal(recognition_of(f, new + 2), RECOGNITION_NEW);
	assert_int_equal(stage_of(f, new + 2), STAGE_OPEN);
	assert_int_equal(renumbering(f).listed, 3);
	assert_int_equal(renumbering(f).fresh, 1);
	assert_int_equal(renumbering(f).recognized, 2);
	assert_true(renumbering(f).complete);
	assert_false(renumbering(f).accepted);
	assert_int_equal(state_renumbering_accept(f->state, f->folder, &f->error), 0);
	assert_int_equal(recognition_of(f, new + 2), RECOGNITION_NONE);
	assert_true(renumbering(f).accepted);
}

/* What waited to be delivered has its size and date alone. It is no news; unless one that was delivered has the same, when only bytes can tell. */
static void what_waited_before_is_no_news(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t old, new;

	draft_add(&draft, "1", 1, 1000, START - 5, false);
	draft_add(&draft, "2", 2, 2000, START - 6, false);
	draft_add(&draft, "3", 3, 2000, START - 6, false);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &old), 0);
	deliver(f, old + 1, 0, 1);
	assert_int_equal(unfetched(f, old, ERR_TEMP), 0);
	draft_add(&draft, "11", 11, 1000, START - 5, false);
	draft_add(&draft, "12", 12, 2000, START - 6, false);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 8, 1, &new), 0);
	assert_int_equal(recognize(f, new, 0, 0, true), 0);
	assert_int_equal(recognition_of(f, new), RECOGNITION_NONE);
	assert_int_equal(number(f, "SELECT attempts FROM message WHERE id = %d", (int)new), 1); /* its clock goes on */
	assert_int_equal(recognize(f, new + 1, 0, 0, true), 0);
	assert_int_equal(recognition_of(f, new + 1), RECOGNITION_BY_BYTES);
	assert_int_equal(recognize(f, new + 1, 1, 0, false), 0);
	assert_int_equal(stage_of(f, new + 1), STAGE_DELIVERED);
	assert_int_equal(renumbering(f).fresh, 0);
}

/* A Maildir looks for an interrupted delivery under the name that it had; under another one it would be taken for delivered. */
static void an_interrupted_delivery_keeps_its_origin(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), new = 0;

	assert_int_equal(intend(f, old, 1, 1), 0);
	for (uint64_t uidvalidity = 8; uidvalidity < 10; uidvalidity++) {
		struct view view;

		new = renumber(f, uidvalidity, 1, 1);
		assert_int_equal(recognize(f, new, 0, 1, true), 0);
		view = known_as(f, uidvalidity, 1, false);
		assert_int_equal(view.header.item_count, 1);
		assert_int_equal(view.items[0].id, new);
		assert_int_equal(view.items[0].origin, old);
		assert_int_equal(view.items[0].doubtful, 1);
		view_done(&view);
	}
}

/* Nobody promises anything without a UIDVALIDITY, and what was found again leaves nothing behind. */
static void every_plan_without_uidvalidity_begins_anew(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = renumber(f, 0, 1, 1);

	deliver(f, id, 0, 1);
	for (unsigned i = 0; i < 5; i++) {
		id = renumber(f, 0, 1, 1);
		assert_int_equal(recognize(f, id, 0, 1, true), 0);
		assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
		assert_in_range(number(f, "SELECT count(*) FROM message"), 1, 2);
		assert_int_equal(number(f, "SELECT renumberings FROM folder"), 0);
	}
}

/* What left and is listed again is owed its disposal again; what is still away is not. */
static void listed_again(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t old, id;

	f->disposal.what = DISPOSE_DELETE;
	old = plan_uids(f, 1, 2, 1);
	for (unsigned i = 0; i < 2; i++) {
		deliver(f, old + i, 0, 1);
		assert_int_equal(disposed(f, old + i), 0);
	}
	draft_gone(&draft, old);
	draft_gone(&draft, old + 1);
	draft.header.mark = 2;
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(stage_of(f, old), STAGE_GONE);
	draft_gone(&draft, old);
	draft.header.mark = 2;
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(stage_of(f, old), STAGE_GONE);
	assert_int_equal(stage_of(f, old + 1), STAGE_DELIVERED);
	assert_int_equal(due_item(f, old + 1).dispose, DISPOSE_DELETE);
}

static void found_anew_after_the_next_renumbering(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t old = plan_uids(f, 1, 1, 1), new;

	deliver(f, old, 0, 1);
	for (uint64_t uidvalidity = 8; uidvalidity < 12; uidvalidity++) {
		new = renumber(f, uidvalidity, 1, 1);
		assert_int_equal(match(f, new, 1), old);
		assert_int_equal(stage_of(f, new), STAGE_DELIVERED);
		old = new;
	}
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(what_was_delivered_is_not_delivered_again),
		FIXTURE_TEST(equal_messages_are_counted),
		FIXTURE_TEST(by_bytes_or_by_trace),
		FIXTURE_TEST(an_old_trace_must_rest_on_received_too),
		FIXTURE_TEST(what_is_left_of_it_goes_on),
		FIXTURE_TEST(the_baseline_is_recognised),
		FIXTURE_TEST(only_of_the_same_folder),
		FIXTURE_TEST(undone_is_not_matched),
		FIXTURE_TEST(found_anew_after_the_next_renumbering),
		FIXTURE_TEST(headers_first),
		FIXTURE_TEST(what_waited_before_is_no_news),
		FIXTURE_TEST(an_interrupted_delivery_keeps_its_origin),
		FIXTURE_TEST(every_plan_without_uidvalidity_begins_anew),
		FIXTURE_TEST(listed_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
