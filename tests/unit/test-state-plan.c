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

static void begin_pop3(void **ctx)
{
	end(ctx);
	*ctx = xcalloc(1, sizeof(struct fixture));
	fixture_begin(*ctx, PROTOCOL_POP3);
}

/* Everything that a plan could change, as one number. */
static int64_t fingerprint(struct fixture *f)
{
	return number(f, "SELECT (SELECT count(*) * 1000003 + coalesce(sum(id * 7 + stage * 31 + gone_at + size), 0) FROM message)"
			 " + (SELECT count(*) * 10007 + coalesce(sum(message * 5 + target * 11 + status * 13), 0) FROM delivery)"
			 " + (SELECT sum(mark * 17 + epoch * 19 + uidvalidity * 23 + present * 29 + listed_at) FROM folder)");
}

static void new_messages_are_open_for_their_frozen_targets(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first, second;

	first = plan_uids(f, 1, 3, 5);
	second = plan_uids(f, 4, 5, 2);
	assert_int_equal(second, first + 3);
	for (uint64_t id = first; id < second; id++) {
		assert_int_equal(stage_of(f, id), STAGE_OPEN);
		assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
		assert_int_equal(status_of(f, id, 2), DELIVERY_OPEN);
		assert_int_equal(number(f, "SELECT count(*) FROM delivery WHERE message = %d", (int)id), 2);
		assert_int_equal(number(f, "SELECT uid FROM message WHERE id = %d", (int)id), id - first + 1);
	}
	assert_int_equal(status_of(f, second, 1), DELIVERY_OPEN);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery WHERE message = %d", (int)second), 1);
	assert_int_equal(number(f, "SELECT mark FROM folder WHERE id = %d", (int)f->folder), 5);
	assert_int_equal(number(f, "SELECT uidvalidity FROM folder WHERE id = %d", (int)f->folder), 7);
	assert_int_equal(number(f, "SELECT listed_at FROM folder WHERE id = %d", (int)f->folder), START);
}

static void disposal_is_frozen(void **ctx)
{
	static char archive[] = "Archive/2026";
	struct fixture *f = *ctx;
	uint64_t id;

	f->disposal = (struct after_delivery){.what = DISPOSE_MOVE, .folder = archive};
	id = plan_uids(f, 1, 1, 1);
	f->disposal = (struct after_delivery){.what = DISPOSE_KEEP};
	plan_uids(f, 2, 2, 1);
	assert_int_equal(number(f, "SELECT disposal = %d AND disposal_folder = 'Archive/2026' FROM message WHERE id = %d", DISPOSE_MOVE, (int)id), 1);
	assert_int_equal(number(f, "SELECT disposal = %d AND disposal_folder IS NULL FROM message WHERE id = %d", DISPOSE_KEEP, (int)id + 1), 1);
}

static void the_baseline_has_no_deliveries(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t id;

	draft_add(&draft, "1", 1, 10, START, true);
	draft_add(&draft, "2", 2, 10, START, false);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(stage_of(f, id), STAGE_BASELINE);
	assert_int_equal(stage_of(f, id + 1), STAGE_OPEN);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery WHERE message = %d", (int)id), 0);
}

static void an_empty_plan_is_one_too(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {.header.mark = 41};
	struct view view = known_as(f, 7, 0, false);
	uint64_t id = 99;

	assert_int_equal(view.header.first_run, 1);
	view_done(&view);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(id, 0);
	view = known_as(f, 7, 0, false);
	assert_int_equal(view.header.first_run, 0);
	assert_int_equal(view.header.mark, 41);
	view_done(&view);
}

/* -- What a lying worker could send -- */

static struct str good_plan(uint64_t gone)
{
	struct draft draft = {0};
	struct str bytes;

	draft_uid(&draft, 11);
	draft_uid(&draft, 12);
	draft_add(&draft, "1000000", 1000000, 5, 0, true);
	draft_gone(&draft, gone);
	bytes = draft_bytes(&draft);
	draft_done(&draft);
	return bytes;
}

static void cut_at_every_length(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 1), id;
	struct str bytes = good_plan(first);
	int64_t before = fingerprint(f);

	for (size_t len = 0; len < bytes.len; len++) {
		assert_lie(f, plan_raw(f, bytes.data, len, REC_COMPLETE, 7, 1, &id));
		assert_int_equal(fingerprint(f), before);
	}
	str_add_byte(&bytes, '\0');
	assert_lie(f, plan_raw(f, bytes.data, bytes.len, REC_COMPLETE, 7, 1, &id));
	assert_int_equal(fingerprint(f), before);
	assert_int_equal(plan_raw(f, bytes.data, bytes.len - 1, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_not_equal(fingerprint(f), before);
	str_done(&bytes);
}

/* Every byte of a plan set to other values: it is taken or refused, but never read beyond its end, and a refusal changes nothing. */
static void every_byte_may_lie(void **ctx)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 1);
	struct planned planned;
	struct str bytes = good_plan(first);
	struct record record = {.kind = REC_PLAN, .flags = REC_COMPLETE, .uidvalidity = 7};

	for (size_t at = 0; at < bytes.len; at++) {
		char old = bytes.data[at];

		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			int64_t before = fingerprint(f);
			int result;

			bytes.data[at] = (char)values[i];
			assert_int_equal(state_begin(f->state, &f->error), 0);
			result = state_plan(f->state, f->folder, &record, bytes.data, bytes.len, f->targets, ARRAY_SIZE(f->targets), 1, &f->disposal,
				f->now, &planned, &f->error);
			if (result < 0) {
				assert_int_equal(f->error.kind, ERR_PROTO);
				assert_int_equal(fingerprint(f), before);
			}
			state_rollback(f->state);
		}
		bytes.data[at] = old;
	}
	str_done(&bytes);
}

struct lie {
	const char *name;
	struct plan_header header; /* added to what the draft counts */
	struct plan_entry entry;
	const char *key;
};

static void impossible_plans(void **ctx)
{
	static const struct lie lies[] = {
		{"more entries than there can be", {.entry_count = 1000000}, {.uid = 5, .key_len = 1}, "5"},
		{"a count that overflows", {.entry_count = UINT64_MAX / sizeof(struct plan_entry)}, {.uid = 5, .key_len = 1}, "5"},
		{"more gone than there can be", {.gone_count = 1000001}, {.uid = 5, .key_len = 1}, "5"},
		{"a gone count that overflows to nothing", {.gone_count = UINT64_C(1) << 61}, {.uid = 5, .key_len = 1}, "5"},
		{"a gone id that is not there", {.gone_count = 1}, {.uid = 5, .key_len = 1}, "5"},
		{"a mark beyond 32 bits", {.mark = UINT64_C(1) << 32}, {.uid = 5, .key_len = 1}, "5"},
		{"an empty key", {0}, {.uid = 5}, ""},
		{"a key that goes on behind the end", {0}, {.uid = 5, .key_len = 2}, "5"},
		{"a key that is too long", {0}, {.uid = 5, .key_len = KEY_MAX + 1}, "5"},
		{"a size beyond 63 bits", {0}, {.size = UINT64_MAX, .uid = 5, .key_len = 1}, "5"},
		{"an unknown kind of baseline", {0}, {.uid = 5, .key_len = 1, .baseline = 2}, "5"},
		{"something reserved", {0}, {.uid = 5, .key_len = 1, .reserved = 1}, "5"},
		{"UID 0", {0}, {.uid = 0, .key_len = 1}, "0"},
		{"a key of another UID", {0}, {.uid = 5, .key_len = 1}, "6"},
		{"a key that is no number", {0}, {.uid = 5, .key_len = 2}, "05"},
	};
	struct fixture *f = *ctx;
	int64_t before;

	plan_uids(f, 1, 2, 1);
	before = fingerprint(f);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct plan_header header = lies[i].header;
		struct str bytes = {0};
		uint64_t id;

		print_message("%s\n", lies[i].name);
		header.entry_count++;
		header.mark += 5;
		str_add(&bytes, &header, sizeof(header));
		str_add(&bytes, &lies[i].entry, sizeof(lies[i].entry));
		str_add_text(&bytes, lies[i].key);
		assert_lie(f, plan_raw(f, bytes.data, bytes.len, REC_COMPLETE, 7, 1, &id));
		assert_int_equal(fingerprint(f), before);
		str_done(&bytes);
	}
}

static void a_uid_above_the_mark_would_be_listed_again(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t id;

	draft_uid(&draft, 9);
	draft.header.mark = 8;
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
}

static void known_or_twice(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {0};
	uint64_t id;
	int64_t before;

	plan_uids(f, 1, 3, 1);
	before = fingerprint(f);
	draft_uid(&draft, 4);
	draft_uid(&draft, 2);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
	assert_int_equal(fingerprint(f), before);
	draft_uid(&draft, 5);
	draft_uid(&draft, 5);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
	assert_int_equal(fingerprint(f), before);
}

static void gone_must_be_this_folders_own(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 1), id;
	int64_t inbox = f->folder, before;
	struct draft draft = {0};

	assert_int_equal(state_folder_open(f->state, f->mailbox, "Junk", &f->folder, &f->error), 0);
	before = fingerprint(f);
	draft_gone(&draft, first);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
	f->folder = inbox;
	draft_gone(&draft, first);
	draft_gone(&draft, first + 2);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
	draft_gone(&draft, UINT64_MAX);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &id));
	draft_gone(&draft, first);
	assert_lie(f, plan_send(f, &draft, 0, 7, 1, &id)); /* nothing follows from an incomplete listing */
	draft_uid(&draft, 3);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, UINT64_C(1) << 32, 1, &id));
	assert_int_equal(fingerprint(f), before);
}

/* -- What leaves, and what comes back -- */

static void what_vanished_is_gone(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 4, 1), id;
	struct draft draft = {0};

	deliver(f, first, 0, 1);
	assert_int_equal(intend(f, first + 1, 1, 2), 0);
	for (uint64_t gone = first; gone < first + 3; gone++)
		draft_gone(&draft, gone);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	for (uint64_t gone = first; gone < first + 3; gone++) {
		assert_int_equal(stage_of(f, gone), STAGE_GONE);
		assert_int_equal(due_item(f, gone).id, 0);
	}
	assert_int_equal(status_of(f, first + 1, 0), DELIVERY_INTENT); /* kept as it is, for what may come back */
	assert_int_equal(stage_of(f, first + 3), STAGE_OPEN);
	/* Their keys were among those the worker got, so it says so again. */
	f->now += DAY;
	draft_gone(&draft, first);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(number(f, "SELECT gone_at FROM message WHERE id = %d", (int)first), START);
}

/* Servers lose messages from a listing and have them back. What was done for one counts when it is listed again; its id is a new one. */
static void back_before_it_was_delivered(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 3, 7), id;
	struct draft draft = {0};

	assert_int_equal(intend(f, first, 7, 1), 0);
	assert_int_equal(outcome(f, first, 0, VERDICT_ACCEPTED, SCOPE_MESSAGE), 0);
	assert_int_equal(outcome(f, first, 1, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
	draft_gone(&draft, first);
	draft_gone(&draft, first + 1);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 7, &id), 0);
	draft_uid(&draft, 4);
	draft_uid(&draft, 1);
	draft_uid(&draft, 2);
	draft_uid(&draft, 5);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	assert_int_equal(id, first + 3);
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE id IN (%d, %d)", (int)first, (int)first + 1), 0);
	assert_int_equal(stage_of(f, id + 1), STAGE_INTENT);
	assert_int_equal(status_of(f, id + 1, 0), DELIVERY_ACCEPTED);
	assert_int_equal(status_of(f, id + 1, 1), DELIVERY_DEFERRED);
	assert_int_equal(status_of(f, id + 1, 2), DELIVERY_INTENT);
	assert_int_equal(due_item(f, id + 1).open, 4);
	assert_int_equal(due_item(f, id + 1).doubtful, 4);
	assert_int_equal(due_item(f, id + 1).intent_at, START);
	assert_int_equal(stage_of(f, id + 2), STAGE_OPEN);
	assert_int_equal(due_item(f, id + 2).open, 1); /* nothing had happened to it: new in every way */
	assert_int_equal(due_item(f, id + 3).open, 1);
	assert_int_equal(number(f, "SELECT uid FROM message WHERE id = %d", (int)id + 3), 5);
}

static void tombstones_live_thirty_days(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 1, 1), id;
	struct draft draft = {0};
	struct view view;

	deliver(f, first, 0, 1);
	draft_gone(&draft, first);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	f->now += 30 * DAY - 1;
	view = known_as(f, 7, 0, true);
	assert_int_equal(view.header.key_count, 1);
	view_done(&view);
	draft_uid(&draft, 1);
	assert_lie(f, plan_send(f, &draft, 0, 7, 1, &id)); /* it was told */
	f->now++;
	view = known_as(f, 7, 0, true);
	assert_int_equal(view.header.key_count, 0);
	view_done(&view);
	draft_uid(&draft, 1);
	assert_int_equal(plan_send(f, &draft, 0, 7, 1, &id), 0);
	assert_int_equal(stage_of(f, id), STAGE_OPEN);
	assert_int_equal(due_item(f, id).open, 1);
}

static void a_complete_listing_forgets_old_tombstones(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 2, 1), id;
	struct draft draft = {0};

	deliver(f, first, 0, 1);
	draft_gone(&draft, first);
	draft_gone(&draft, first + 1);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &id), 0);
	f->now += 30 * DAY;
	plan_uids(f, 3, 3, 1);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery"), 1);
	/* An id is never given twice. */
	assert_int_equal(number(f, "SELECT id FROM message"), first + 2);
}

static void the_mark_never_goes_back(void **ctx)
{
	struct fixture *f = *ctx;
	struct draft draft = {.header.mark = 3};
	uint64_t id;

	plan_uids(f, 1, 9, 1);
	assert_int_equal(plan_send(f, &draft, 0, 7, 1, &id), 0);
	assert_int_equal(number(f, "SELECT mark FROM folder WHERE id = %d", (int)f->folder), 9);
}

static void a_renumbered_folder_begins_anew(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first = plan_uids(f, 1, 3, 1), second, third;
	struct draft draft = {0};

	deliver(f, first, 0, 1);
	draft_uid(&draft, 1);
	draft_uid(&draft, 2);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 8, 1, &second), 0);
	for (uint64_t id = first; id < first + 3; id++)
		assert_int_equal(stage_of(f, id), STAGE_GONE);
	assert_int_equal(stage_of(f, second), STAGE_OPEN);
	assert_int_equal(number(f, "SELECT mark FROM folder WHERE id = %d", (int)f->folder), 2);
	/* And the UIDVALIDITY of before comes back, with the same UIDs. */
	draft_uid(&draft, 1);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &third), 0);
	assert_int_equal(stage_of(f, third), STAGE_OPEN);
	assert_int_equal(third, second + 2);
	/* Those that were never recognised stand for what is older. */
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE id BETWEEN %d AND %d", (int)second, (int)second + 1), 0);
	draft_gone(&draft, first); /* of an older epoch */
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 7, 1, &third));
}

static void uidls_are_any_bytes(void **ctx)
{
	static const char *const keys[] = {"\x01\xff \"../../x\"%n%s;rm", "a", "A", "00000001", "1"};
	struct fixture *f;
	struct draft draft = {0};
	char longest[KEY_MAX + 1];
	uint64_t id;

	begin_pop3(ctx);
	f = *ctx;
	memset(longest, 'x', KEY_MAX);
	longest[KEY_MAX] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		draft_add(&draft, keys[i], 0, 10, 0, false);
	draft_add(&draft, longest, 0, 10, 0, false);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 0, 1, &id), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE stage = %d", STAGE_OPEN), ARRAY_SIZE(keys) + 1);
	assert_int_equal(number(f, "SELECT length(key) FROM message WHERE id = %d", (int)id + 5), KEY_MAX);
	draft_add(&draft, "a", 0, 10, 0, false);
	assert_lie(f, plan_send(f, &draft, REC_COMPLETE, 0, 1, &id));
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(new_messages_are_open_for_their_frozen_targets),
		FIXTURE_TEST(disposal_is_frozen),
		FIXTURE_TEST(the_baseline_has_no_deliveries),
		FIXTURE_TEST(an_empty_plan_is_one_too),
		FIXTURE_TEST(cut_at_every_length),
		FIXTURE_TEST(every_byte_may_lie),
		FIXTURE_TEST(impossible_plans),
		FIXTURE_TEST(a_uid_above_the_mark_would_be_listed_again),
		FIXTURE_TEST(known_or_twice),
		FIXTURE_TEST(gone_must_be_this_folders_own),
		FIXTURE_TEST(what_vanished_is_gone),
		FIXTURE_TEST(back_before_it_was_delivered),
		FIXTURE_TEST(tombstones_live_thirty_days),
		FIXTURE_TEST(a_complete_listing_forgets_old_tombstones),
		FIXTURE_TEST(the_mark_never_goes_back),
		FIXTURE_TEST(a_renumbered_folder_begins_anew),
		FIXTURE_TEST(uidls_are_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
