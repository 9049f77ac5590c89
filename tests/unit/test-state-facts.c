/* test-state-facts.c - what the state remembers to spare a session questions: when a folder has nothing to do, and what a host can. */
#include "tests/unit/state-fixture.h"

static int setup(void **ctx)
{
	*ctx = xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int teardown(void **ctx)
{
	struct fixture *f = *ctx;

	if (f->state != NULL)
		fixture_end(f);
	free(f);
	return 0;
}

static struct folder_facts facts_of(struct fixture *f)
{
	struct folder_facts facts = {.settled = true, .has_listing = true};

	if (state_folder_facts(f->state, f->folder, f->targets, ARRAY_SIZE(f->targets), f->now, &facts, &f->error) < 0)
		fail_msg("%s", f->error.text);
	return facts;
}

static void a_folder_is_settled_while_nothing_is_due(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;

	fixture_begin(f, PROTOCOL_IMAP);
	assert_false(facts_of(f).settled); /* never planned */
	first = plan_uids(f, 4, 5, 1);
	assert_false(facts_of(f).settled);
	deliver(f, first, 0, 1);
	assert_false(facts_of(f).settled);
	intend(f, first + 1, 1, 2);
	assert_false(facts_of(f).settled); /* in doubt, should this be the end of it */
	outcome(f, first + 1, 0, VERDICT_DEFERRED, SCOPE_MESSAGE);
	assert_true(facts_of(f).settled); /* its next try is later */
	f->now += 2 * HOUR;
	assert_false(facts_of(f).settled);
	deliver(f, first + 1, 0, 2);
	assert_true(facts_of(f).settled);
	assert_int_equal(facts_of(f).uidvalidity, 7);
	assert_int_equal(facts_of(f).mark, 5);
	assert_int_equal(facts_of(f).present, 2);
	f->now += DAY;
	assert_false(facts_of(f).settled); /* a complete listing is due */
}

static void what_is_owed_is_to_be_done(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;

	fixture_begin(f, PROTOCOL_IMAP);
	f->disposal.what = DISPOSE_DELETE;
	first = plan_uids(f, 1, 1, 1);
	deliver(f, first, 0, 1);
	assert_false(facts_of(f).settled);
	disposed(f, first);
	assert_true(facts_of(f).settled);
	assert_int_equal(facts_of(f).present, 0);
}

static uint64_t plan_two(struct fixture *f, unsigned flags)
{
	struct draft draft = {0};
	uint64_t id = 0;

	draft_add(&draft, "a", 0, 10, 0, false);
	draft_add(&draft, "b", 0, 10, 0, false);
	if (plan_send(f, &draft, flags, 0, 1, &id) < 0)
		fail_msg("%s", f->error.text);
	return id;
}

static void plan_nothing(struct fixture *f, unsigned flags)
{
	struct draft draft = {0};
	uint64_t id;

	assert_int_equal(plan_send(f, &draft, flags, 0, 1, &id), 0);
}

/* As long as all that it named is known: what was forgotten, or has left and may come back, has to be listed to be seen. */
static void a_listing_is_remembered_while_it_holds(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;

	fixture_begin(f, PROTOCOL_POP3);
	first = plan_two(f, REC_COMPLETE);
	assert_false(facts_of(f).has_listing);
	plan_nothing(f, REC_LISTING);
	assert_false(facts_of(f).has_listing); /* contradictory */
	deliver(f, first, 0, 1);
	deliver(f, first + 1, 0, 2);
	plan_nothing(f, REC_COMPLETE | REC_LISTING);
	assert_true(facts_of(f).settled && facts_of(f).has_listing);
	plan_nothing(f, REC_COMPLETE);
	assert_false(facts_of(f).has_listing);
	plan_nothing(f, REC_COMPLETE | REC_LISTING);
	assert_int_equal(sqlite3_exec(f->state->db, "DELETE FROM delivery WHERE message = 1; DELETE FROM message WHERE id = 1", NULL, NULL, NULL), 0);
	assert_false(facts_of(f).has_listing);
}

static void a_deletion_ends_a_listing(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t first;

	fixture_begin(f, PROTOCOL_POP3);
	f->disposal.what = DISPOSE_DELETE;
	first = plan_two(f, REC_COMPLETE | REC_LISTING);
	deliver(f, first, 0, 1);
	deliver(f, first + 1, 0, 2);
	assert_true(number(f, "SELECT listing IS NOT NULL FROM folder WHERE id = %lld", (long long)f->folder));
	disposed(f, first);
	disposed(f, first + 1);
	assert_true(facts_of(f).settled);
	assert_false(facts_of(f).has_listing);
}

/* --- hosts --- */

static struct host_facts host_of(struct fixture *f, const struct mailbox_config *config)
{
	struct host_facts facts = {.known = true};

	assert_int_equal(state_host_load(f->state, config, f->now, &facts, &f->error), 0);
	return facts;
}

static void store(struct fixture *f, const struct host_facts *facts)
{
	assert_int_equal(state_host_store(f->state, &f->config, facts, f->now, &f->error), 0);
}

static void a_host_is_known_by_how_it_is_reached(void **ctx)
{
	const struct host_facts facts = {
		.known = true, .before = 1, .after = UINT32_MAX, .mechanisms = 4, .boundary = BOUNDARY_SAFE, .idle_s = 600, .login_delay_s = 900};
	static char elsewhere[] = "imap.other.example";
	struct fixture *f = *ctx;
	struct mailbox_config other;

	fixture_begin(f, PROTOCOL_IMAP);
	f->config.server.endpoint.port = 993;
	f->config.server.endpoint.tls = TLS_IMPLICIT;
	assert_false(host_of(f, &f->config).known);
	store(f, &facts);
	fixture_reopen(f);
	struct host_facts found = host_of(f, &f->config);
	assert_true(host_facts_equal(&found, &facts));
	other = f->config;
	other.server.endpoint.port = 143;
	assert_false(host_of(f, &other).known);
	other = f->config;
	other.server.endpoint.tls = TLS_STARTTLS; /* what was said in the clear is kept apart */
	assert_false(host_of(f, &other).known);
	other = f->config;
	other.protocol = PROTOCOL_POP3;
	assert_false(host_of(f, &other).known);
	other = f->config;
	other.server.endpoint.host = elsewhere;
	assert_false(host_of(f, &other).known);
}

static void what_is_known_of_a_host_grows_old(void **ctx)
{
	struct host_facts facts = {.known = true, .before = 1, .boundary = BOUNDARY_UNSAFE};
	struct fixture *f = *ctx;

	fixture_begin(f, PROTOCOL_IMAP);
	store(f, &facts);
	f->now += 6 * DAY;
	assert_true(host_of(f, &f->config).known);
	f->now += 2 * DAY;
	assert_false(host_of(f, &f->config).known);
	assert_int_equal(host_of(f, &f->config).boundary, BOUNDARY_UNSAFE);
	store(f, &facts); /* its capabilities, learned anew; the month goes on */
	assert_true(host_of(f, &f->config).known);
	f->now += 23 * DAY;
	assert_int_equal(host_of(f, &f->config).boundary, BOUNDARY_UNKNOWN);
	store(f, &facts); /* tried again, and lost again */
	assert_int_equal(host_of(f, &f->config).boundary, BOUNDARY_UNSAFE);
	facts.boundary = BOUNDARY_SAFE;
	store(f, &facts);
	f->now += 365 * DAY;
	assert_int_equal(host_of(f, &f->config).boundary, BOUNDARY_SAFE);
	f->now = START - DAY; /* the clock was set back */
	assert_false(host_of(f, &f->config).known);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_is_settled_while_nothing_is_due, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_owed_is_to_be_done, setup, teardown),
		cmocka_unit_test_setup_teardown(a_listing_is_remembered_while_it_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deletion_ends_a_listing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_is_known_by_how_it_is_reached, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_known_of_a_host_grows_old, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
