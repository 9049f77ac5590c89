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

/* -- One message, one event after the other. Events, each with its target's digit where it has one: i intent, a accepted, d deferred (message), D
 * deferred (destination), r refused, x in doubt, t taken back, u not fetched, U too large, z disposed of, g gone, > an hour passes; ! the event
 * after it is a lie. -- */

static int event(struct fixture *f, uint64_t id, char what, unsigned target)
{
	struct draft draft = {0};
	uint64_t first;

	switch (what) {
	case 'i':
		return intend(f, id, UINT64_C(1) << target, 1);
	case 'a':
		return outcome(f, id, target, VERDICT_ACCEPTED, SCOPE_MESSAGE);
	case 'd':
		return outcome(f, id, target, VERDICT_DEFERRED, SCOPE_MESSAGE);
	case 'D':
		return outcome(f, id, target, VERDICT_DEFERRED, SCOPE_DESTINATION);
	case 'r':
		return outcome(f, id, target, VERDICT_REFUSED, SCOPE_RECIPIENT);
	case 'x':
		return outcome(f, id, target, VERDICT_IN_DOUBT, SCOPE_MESSAGE);
	case 't':
		return outcome(f, id, target, VERDICT_RETRACTED, SCOPE_MESSAGE);
	case 'u':
		return unfetched(f, id, ERR_PROTO);
	case 'U':
		return unfetched(f, id, ERR_REFUSED);
	case 'z':
		return disposed(f, id);
	case 'g':
		draft_gone(&draft, id);
		return plan_send(f, &draft, REC_COMPLETE, 7, 1, &first);
	default:
		f->now += HOUR;
		return 0;
	}
}

static void run_events(struct fixture *f, uint64_t id, const char *events)
{
	for (const char *at = events; *at != '\0'; at++) {
		bool lie = *at == '!';
		char what = *(at += lie);
		unsigned target = at[1] >= '0' && at[1] <= '9' ? (unsigned)(*++at - '0') : 0;

		if (lie)
			assert_lie(f, event(f, id, what, target));
		else if (event(f, id, what, target) < 0)
			fail_msg("%s, at %s: %s", events, at, f->error.text);
	}
}

static void the_course_of_a_message(void **ctx)
{
	static const struct {
		const char *events;
		enum stage stage;
		enum delivery_stage first, second; /* of targets 0 and 1 */
	} cases[] = {
		{"", STAGE_OPEN, DELIVERY_OPEN, DELIVERY_OPEN}, {"i0", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_OPEN},
		{"i0a0", STAGE_INTENT, DELIVERY_ACCEPTED, DELIVERY_OPEN}, {"i0a0i1a1", STAGE_DELIVERED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED},
		{"i1i0a1a0", STAGE_DELIVERED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED},
		{"i0a0i1a1z", STAGE_DISPOSED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED}, {"i0a0i1a1zg", STAGE_GONE, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED},
		{"i0d0", STAGE_INTENT, DELIVERY_DEFERRED, DELIVERY_OPEN},
		{"d0", STAGE_OPEN, DELIVERY_DEFERRED, DELIVERY_OPEN}, /* failed while it was being prepared */
		{"d0>i0a0i1a1", STAGE_DELIVERED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED}, {"i0D0", STAGE_INTENT, DELIVERY_DEFERRED, DELIVERY_OPEN},
		{"i0r0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN}, {"r0", STAGE_OPEN, DELIVERY_HELD, DELIVERY_OPEN},
		{"i0r0>i0d0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN}, /* held once, held until accepted */
		{"i0r0>i0D0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN}, {"i0r0>i0t0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN},
		{"i0r0>i0a0i1a1", STAGE_DELIVERED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED}, {"i0t0", STAGE_INTENT, DELIVERY_OPEN, DELIVERY_OPEN},
		{"i0x0", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_OPEN},
		{"i0x0a0", STAGE_INTENT, DELIVERY_ACCEPTED, DELIVERY_OPEN}, /* found in its Maildir */
		{"i0x0i0x0", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_OPEN}, {"i0x0i0x0i0x0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN},
		{"i0i0i0x0", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN}, {"u", STAGE_OPEN, DELIVERY_OPEN, DELIVERY_OPEN},
		{"i0uu", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_OPEN}, {"U", STAGE_OPEN, DELIVERY_HELD, DELIVERY_HELD},
		{"i0a0U", STAGE_INTENT, DELIVERY_ACCEPTED, DELIVERY_HELD},
		{"i0U", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_HELD}, /* what is in doubt may have been delivered */
		{"g", STAGE_GONE, DELIVERY_OPEN, DELIVERY_OPEN}, {"i0g", STAGE_GONE, DELIVERY_INTENT, DELIVERY_OPEN},
		{"i0ga0", STAGE_GONE, DELIVERY_ACCEPTED, DELIVERY_OPEN}, /* the answer came after the listing */
		{"i1i0ga1a0", STAGE_GONE, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED}, {"i0t0i0t0", STAGE_INTENT, DELIVERY_OPEN, DELIVERY_OPEN},
		{"i0i0t0", STAGE_INTENT, DELIVERY_INTENT, DELIVERY_OPEN},
		{"i0i0d0t0!t0", STAGE_INTENT, DELIVERY_DEFERRED, DELIVERY_OPEN}, /* a Maildir now, which has nothing of the first round */
		{"i0i0a0!t0", STAGE_INTENT, DELIVERY_ACCEPTED, DELIVERY_OPEN},
		/* Lies. */
		{"!a0!x0!t0!z", STAGE_OPEN, DELIVERY_OPEN, DELIVERY_OPEN},
		{"i0a0!a0!d0!D0!r0!x0!t0!i0!z", STAGE_INTENT, DELIVERY_ACCEPTED, DELIVERY_OPEN},
		{"i0d0!a0!x0!t0!z", STAGE_INTENT, DELIVERY_DEFERRED, DELIVERY_OPEN}, {"i0r0!a0!x0!t0!z", STAGE_INTENT, DELIVERY_HELD, DELIVERY_OPEN},
		{"i0a0i1a1!i0!i1!a0!d0!r1!u!U", STAGE_DELIVERED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED},
		{"i0a0i1a1z!z!i0!a0!u", STAGE_DISPOSED, DELIVERY_ACCEPTED, DELIVERY_ACCEPTED},
		{"g!i0!u!U!z!a0", STAGE_GONE, DELIVERY_OPEN, DELIVERY_OPEN},
		{"!i2!a2!d2", STAGE_OPEN, DELIVERY_OPEN, DELIVERY_OPEN},    /* a target of the job, but not of this message */
		{"!i3!a3!i9!a9", STAGE_OPEN, DELIVERY_OPEN, DELIVERY_OPEN}, /* none of the job */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		uint64_t id;

		f->disposal.what = DISPOSE_DELETE;
		f->now = START + (int64_t)i * DAY;
		id = plan_uids(f, (uint32_t)i + 1, (uint32_t)i + 1, 3);
		run_events(f, id, cases[i].events);
		if (stage_of(f, id) != cases[i].stage || status_of(f, id, 0) != cases[i].first || status_of(f, id, 1) != cases[i].second)
			fail_msg("%s: message %d, deliveries %d and %d", cases[i].events, stage_of(f, id), status_of(f, id, 0), status_of(f, id, 1));
		assert_int_equal(number(f, "SELECT delivered_at <> 0 FROM message WHERE id = %d", (int)id),
			strstr(cases[i].events, "i1a1") != NULL || strstr(cases[i].events, "a1a0") != NULL);
	}
}

/* -- What is written down -- */

static void an_intent_leaves_its_prints(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	assert_int_equal(intend(f, id, 1, 0x11), 0);
	assert_int_equal(number(f, "SELECT bytes = 500 AND size = 1001 AND has_trace AND length(hash) = 32 AND length(trace) = 32 FROM message"), 1);
	assert_int_equal(number(f, "SELECT substr(hash, 32) = x'11' AND substr(trace, 32) = x'91' FROM message"), 1);
	assert_int_equal(number(f, "SELECT intent_at FROM delivery WHERE message = %d", (int)id), START);
}

static void a_failure_leaves_the_peers_words(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	assert_int_equal(intend(f, id, 1, 1), 0);
	assert_int_equal(outcome(f, id, 0, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
	assert_int_equal(
		number(f,
			"SELECT code = 451 AND CAST(reply AS TEXT) = 'the peer''s words' AND attempts = 1 AND first_failed_at = %d AND next_try = %d"
			" FROM delivery WHERE message = %d",
			START, START + 600, (int)id),
		1);
}

static void a_failed_destination_does_not_count(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	for (unsigned day = 0; day < 10; day++) {
		assert_int_equal(intend(f, id, 1, 1), 0);
		assert_int_equal(outcome(f, id, 0, VERDICT_DEFERRED, SCOPE_DESTINATION), 0);
		f->now += DAY;
	}
	assert_int_equal(status_of(f, id, 0), DELIVERY_DEFERRED);
	assert_int_equal(number(f, "SELECT attempts + first_failed_at + next_try FROM delivery WHERE message = %d", (int)id), 0);
	assert_int_equal(due_item(f, id).open, 1);
}

static void held_after_five_days(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 1);

	while (f->now <= START + DEFERRED_MAX_S) {
		assert_int_equal(intend(f, id, 1, 1), 0);
		assert_int_equal(outcome(f, id, 0, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
		assert_int_equal(status_of(f, id, 0), DELIVERY_DEFERRED);
		assert_int_equal(unfetched(f, id + 1, ERR_TEMP), 0);
		assert_int_equal(status_of(f, id + 1, 0), DELIVERY_OPEN);
		f->now += 6 * HOUR;
	}
	assert_int_equal(intend(f, id, 1, 1), 0);
	assert_int_equal(outcome(f, id, 0, VERDICT_DEFERRED, SCOPE_MESSAGE), 0);
	assert_int_equal(status_of(f, id, 0), DELIVERY_HELD);
	assert_int_equal(unfetched(f, id + 1, ERR_TEMP), 0);
	assert_int_equal(status_of(f, id + 1, 0), DELIVERY_HELD);
}

static int broken_off(struct fixture *f, uint64_t id, enum error_kind kind)
{
	struct record record = {.kind = REC_UNFETCHED, .id = id, .error = (uint8_t)kind, .scope = SCOPE_MAILBOX, .len = 4, .text = "gone"};

	return apply(f, &record);
}

/* Once is the network, twice is the message; one that came in between begins anew. */
static void a_connection_that_breaks_twice_at_one_message(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	assert_int_equal(broken_off(f, id, ERR_TEMP), 0);
	assert_int_equal(due_item(f, id).open, 1);
	assert_int_equal(broken_off(f, id, ERR_REFUSED), 0); /* a goodbye is no refusal of the message */
	assert_int_equal(due_item(f, id).id, 0);
	assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
	f->now += 600;
	assert_int_equal(due_item(f, id).open, 1);
	assert_int_equal(intend(f, id, 1, 1), 0);
	assert_int_equal(outcome(f, id, 0, VERDICT_RETRACTED, SCOPE_MESSAGE), 0);
	assert_int_equal(broken_off(f, id, ERR_TEMP), 0);
	assert_int_equal(due_item(f, id).open, 1);
	while (f->now <= START + 600 + DEFERRED_MAX_S) {
		assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
		f->now += DAY;
		assert_int_equal(broken_off(f, id, ERR_TEMP), 0);
	}
	assert_int_equal(status_of(f, id, 0), DELIVERY_HELD);
}

/* One that is held for what the peer said keeps its own clock, whatever becomes of a fetch for another. */
static void a_failed_fetch_is_not_a_try_of_what_is_not_due(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 3);

	assert_int_equal(outcome(f, id, 0, VERDICT_REFUSED, SCOPE_MESSAGE), 0);
	assert_int_equal(unfetched(f, id, ERR_REFUSED), 0);
	assert_int_equal(number(f, "SELECT sum(held_tries) FROM delivery WHERE status = %d", DELIVERY_HELD), 0);
	f->now += HOUR;
	assert_int_equal(unfetched(f, id, ERR_REFUSED), 0);
	assert_int_equal(number(f, "SELECT sum(held_tries) FROM delivery WHERE status = %d", DELIVERY_HELD), 2);
}

static void kept_mail_owes_nothing(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	deliver(f, id, 0, 1);
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
	assert_lie(f, disposed(f, id));
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
}

/* -- What a lying worker could send -- */

static void records_that_cannot_be(void **ctx)
{
	static const struct {
		const char *name;
		struct record record; /* id is added to that of the first message */
	} lies[] = {
		{"an intent without targets", {.kind = REC_INTENT, .size = 1, .when = START}},
		{"an intent for every bit", {.kind = REC_INTENT, .targets = UINT64_MAX, .size = 1, .when = START}},
		{"the last bit", {.kind = REC_INTENT, .targets = UINT64_C(1) << 63, .size = 1, .when = START}},
		{"an intent of no time", {.kind = REC_INTENT, .targets = 1, .size = 1}},
		{"an intent before time", {.kind = REC_INTENT, .targets = 1, .size = 1, .when = INT64_MIN}},
		{"an intent of impossible size", {.kind = REC_INTENT, .targets = 1, .size = UINT64_MAX, .when = START}},
		{"a right target and a wrong one", {.kind = REC_INTENT, .targets = 1 | 2, .size = 1, .when = START}},
		{"no verdict", {.kind = REC_OUTCOME, .verdict = 0}},
		{"an unknown verdict", {.kind = REC_OUTCOME, .verdict = 255}},
		{"an impossible target", {.kind = REC_OUTCOME, .index = UINT32_MAX, .verdict = VERDICT_REFUSED}},
		{"a plan as a step", {.kind = REC_PLAN}},
		{"an acknowledgement as a step", {.kind = REC_ACK}},
		{"no kind", {.kind = 0}},
		{"a message of the future", {.kind = REC_UNFETCHED, .id = 2}},
		{"message 0", {.kind = REC_UNFETCHED, .id = UINT64_MAX}}, /* the first one has id 1 */
		{"a message below zero", {.kind = REC_UNFETCHED, .id = UINT64_C(1) << 63}},
	};
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);

	assert_int_equal(id, 1);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct record record = lies[i].record;

		print_message("%s\n", lies[i].name);
		record.id += id;
		assert_lie(f, apply(f, &record));
		assert_int_equal(stage_of(f, id), STAGE_OPEN);
		assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
	}
}

static void another_mailboxes_message(void **ctx)
{
	static char name[] = "bert";
	struct fixture *f = *ctx;
	struct mailbox_config config = f->config;
	struct mailbox_state bert;
	int64_t anna = f->mailbox;
	uint64_t id = plan_uids(f, 1, 1, 1);

	config.name = name;
	assert_int_equal(state_mailbox_open(f->state, NULL, &config, &bert, &f->error), 0);
	f->mailbox = bert.id;
	assert_lie(f, intend(f, id, 1, 1));
	assert_lie(f, outcome(f, id, 0, VERDICT_REFUSED, SCOPE_MESSAGE));
	assert_lie(f, unfetched(f, id, ERR_REFUSED));
	f->mailbox = anna;
	deliver(f, id, 0, 1);
	f->mailbox = bert.id;
	assert_lie(f, disposed(f, id));
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED);
}

/* An intent for two targets of which one may not be: neither is intended. */
static void half_a_lie_is_one(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 3);

	deliver(f, id, 1, 1);
	assert_lie(f, intend(f, id, 3, 2));
	assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
	assert_lie(f, intend(f, id, 5, 2));
	assert_int_equal(status_of(f, id, 0), DELIVERY_OPEN);
	assert_int_equal(number(f, "SELECT hash = zeroblob(32) FROM message WHERE id = %d", (int)id), 0);
	assert_int_equal(number(f, "SELECT substr(hash, 1, 1) = x'01' FROM message WHERE id = %d", (int)id), 1);
}

/* -- Targets that are no longer configured -- */

static void removed_destinations_are_dropped(void **ctx)
{
	static char home[] = "home", archive[] = "archive";
	struct fixture *f = *ctx;
	struct dest_config destinations[] = {{.name = home}, {.name = archive}};
	struct config config = {.destinations = destinations, .destination_count = 1};
	uint64_t id;
	unsigned dropped;

	f->disposal.what = DISPOSE_DELETE;
	id = plan_uids(f, 1, 4, 5); /* home, archive */
	deliver(f, id, 0, 1);
	deliver(f, id + 1, 2, 1);
	assert_int_equal(intend(f, id + 2, 4, 1), 0);
	assert_int_equal(state_drop_removed_targets(f->state, f->mailbox, &config, &dropped, &f->error), 0);
	assert_int_equal(dropped, 3);
	assert_int_equal(status_of(f, id, 2), DELIVERY_DROPPED);
	assert_int_equal(stage_of(f, id), STAGE_DELIVERED); /* what is left of its destinations has it */
	assert_int_equal(due_item(f, id).dispose, DISPOSE_DELETE);
	assert_int_equal(status_of(f, id + 1, 2), DELIVERY_ACCEPTED);
	assert_int_equal(due_item(f, id + 1).open, 1);
	assert_int_equal(status_of(f, id + 2, 2), DELIVERY_DROPPED);
	assert_int_equal(stage_of(f, id + 2), STAGE_INTENT);
	assert_int_equal(state_drop_removed_targets(f->state, f->mailbox, &config, &dropped, &f->error), 0);
	assert_int_equal(dropped, 0);
	/* Nobody has the last ones: they stay at the source, whatever was configured. */
	config.destination_count = 0;
	assert_int_equal(state_drop_removed_targets(f->state, f->mailbox, &config, &dropped, &f->error), 0);
	assert_int_equal(dropped, 3);
	assert_int_equal(stage_of(f, id + 3), STAGE_DELIVERED);
	assert_int_equal(due_item(f, id + 3).id, 0);
	assert_int_equal(due_item(f, id + 1).dispose, DISPOSE_DELETE);
}

static void add_target(void *context, const char *destination, const char *recipient)
{
	str_addf(context, "%s/%s ", destination, recipient);
}

static void open_targets_are_named_once(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 3, 3);
	struct str names = {0};

	plan_uids(f, 4, 6, 4);
	deliver(f, id, 0, 1);
	assert_int_equal(state_open_targets(f->state, f->mailbox, add_target, &names, &f->error), 0);
	assert_string_equal(names.data, "home/anna@home home/bert@home archive/ ");
	str_clear(&names);
	assert_int_equal(state_open_targets(f->state, f->mailbox + 1, add_target, &names, &f->error), 0);
	assert_string_equal(names.data, "");
	for (unsigned i = 0; i < 3; i++)
		deliver(f, id + 3 + i, 2, 1);
	assert_int_equal(state_open_targets(f->state, f->mailbox, add_target, &names, &f->error), 0);
	assert_string_equal(names.data, "home/anna@home home/bert@home ");
	str_done(&names);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(the_course_of_a_message),
		FIXTURE_TEST(an_intent_leaves_its_prints),
		FIXTURE_TEST(a_failure_leaves_the_peers_words),
		FIXTURE_TEST(a_failed_destination_does_not_count),
		FIXTURE_TEST(held_after_five_days),
		FIXTURE_TEST(a_connection_that_breaks_twice_at_one_message),
		FIXTURE_TEST(a_failed_fetch_is_not_a_try_of_what_is_not_due),
		FIXTURE_TEST(kept_mail_owes_nothing),
		FIXTURE_TEST(records_that_cannot_be),
		FIXTURE_TEST(another_mailboxes_message),
		FIXTURE_TEST(half_a_lie_is_one),
		FIXTURE_TEST(removed_destinations_are_dropped),
		FIXTURE_TEST(open_targets_are_named_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
