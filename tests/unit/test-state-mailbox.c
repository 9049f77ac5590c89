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

static int64_t open_mailbox(struct fixture *f, const struct config *config, const struct mailbox_config *mailbox)
{
	struct mailbox_state row;

	if (state_mailbox_open(f->state, config, mailbox, &row, &f->error) < 0)
		fail_msg("%s", f->error.text);
	return row.id;
}

static void everything_stored_comes_back(void **ctx)
{
	struct fixture *f = *ctx;
	struct mailbox_state mailbox, again;

	assert_int_equal(state_mailbox_open(f->state, NULL, &f->config, &mailbox, &f->error), 0);
	assert_int_equal(mailbox.id, f->mailbox);
	assert_int_equal(mailbox.failures + mailbox.clock + mailbox.retry_at + mailbox.last_success + mailbox.last_error_at + mailbox.last_mail, 0);
	assert_string_equal(mailbox.last_error, "");
	mailbox = (struct mailbox_state){.id = f->mailbox,
		.failures = 3,
		.clock = BACKOFF_LOGIN,
		.retry_at = START + 1,
		.last_success = START + 2,
		.last_error_at = START + 3,
		.last_mail = START + 4,
		.last_error_kind = ERR_AUTH,
		.last_error = "imap.example: \"NO\" \xff",
		.credential = UINT64_MAX - 1};
	assert_int_equal(state_mailbox_store(f->state, &mailbox, &f->error), 0);
	fixture_reopen(f);
	assert_int_equal(state_mailbox_open(f->state, NULL, &f->config, &again, &f->error), 0);
	assert_memory_equal(&again, &mailbox, offsetof(struct mailbox_state, last_error));
	assert_string_equal(again.last_error, mailbox.last_error);
	assert_true(again.credential == mailbox.credential);
}

static void folders_belong_to_a_mailbox(void **ctx)
{
	static char name[] = "bert";
	struct fixture *f = *ctx;
	struct mailbox_config other = f->config;
	int64_t bert, inbox, junk, again;

	other.name = name;
	bert = open_mailbox(f, NULL, &other);
	assert_int_not_equal(bert, f->mailbox);
	assert_int_equal(state_folder_open(f->state, bert, "INBOX", &inbox, &f->error), 0);
	assert_int_equal(state_folder_open(f->state, bert, "Junk \xc3\xa4", &junk, &f->error), 0);
	assert_int_equal(state_folder_open(f->state, bert, "INBOX", &again, &f->error), 0);
	assert_int_equal(inbox, again);
	assert_int_not_equal(inbox, junk);
	assert_int_not_equal(inbox, f->folder);
}

/* The mailbox anna is in the state; this is what a configuration may then say, and whether its mailbox gets anna's state. */
static void a_renamed_mailbox_keeps_its_state(void **ctx)
{
	static char anna[] = "anna", anja[] = "anja", imap[] = "imap.example", other_host[] = "mail.example", user[] = "anna@example",
		    other_user[] = "bert@example";
	static const struct {
		char *name, *host, *user;
		enum protocol protocol;
		bool anna_is_still_there, same;
	} cases[] = {
		{anja, imap, user, PROTOCOL_IMAP, true, false},
		{anja, other_host, user, PROTOCOL_IMAP, false, false},
		{anja, imap, other_user, PROTOCOL_IMAP, false, false},
		{anja, imap, user, PROTOCOL_POP3, false, false},
		{anja, imap, user, PROTOCOL_IMAP, false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		struct mailbox_config mailboxes[2] = {f->config, f->config};
		struct config config = {.mailboxes = mailboxes, .mailbox_count = cases[i].anna_is_still_there ? 2 : 1};
		int64_t id;

		mailboxes[0] = (struct mailbox_config){
			.name = cases[i].name, .protocol = cases[i].protocol, .server = {.endpoint = {.host = cases[i].host}, .user = cases[i].user}};
		id = open_mailbox(f, &config, &mailboxes[0]);
		assert_int_equal(id == f->mailbox, cases[i].same);
		assert_int_equal(open_mailbox(f, &config, &mailboxes[0]), id);
		assert_int_equal(number(f, "SELECT count(*) FROM mailbox WHERE name = '%s'", anna), cases[i].same ? 0 : 1);
		end(ctx);
		begin(ctx);
	}
}

/* What was listed on another server, or for another user, says nothing about this one: as if renumbered, whatever UIDVALIDITY it tells. */
static void a_mailbox_that_moved_counts_as_renumbered(void **ctx)
{
	static char host[] = "mail.example", user[] = "bert@example";

	for (int change = 0; change < 3; change++) {
		struct fixture *f = *ctx;
		struct view view;
		int64_t id, unplanned;

		plan_uids(f, 1, 3, 1);
		assert_int_equal(state_folder_open(f->state, f->mailbox, "Junk", &unplanned, &f->error), 0);
		if (change == 0)
			f->config.server.endpoint.host = host;
		else if (change == 1)
			f->config.server.user = user;
		else
			f->config.protocol = PROTOCOL_POP3;
		id = open_mailbox(f, NULL, &f->config);
		assert_int_equal(id, f->mailbox);
		view = known_as(f, 7, 3, true);
		assert_int_equal(view.header.renumbered, 1);
		assert_int_equal(view.header.item_count + view.header.key_count, 0);
		assert_int_equal(view.header.first_run, 0);
		view_done(&view);
		assert_int_equal(number(f, "SELECT uidvalidity FROM folder WHERE id = %lld", (long long)unplanned), FOLDER_UNPLANNED);
		/* Once is enough. */
		open_mailbox(f, NULL, &f->config);
		end(ctx);
		begin(ctx);
	}
}

/* With was the operator says that it is the same, whatever has changed; its folders are told by a UIDVALIDITY that tells something. */
static void a_mailbox_that_was_renamed_on_purpose(void **ctx)
{
	static char anna[] = "anna", anja[] = "anja", moved_host[] = "mail.example", other_user[] = "bert@example";
	static const struct {
		char *host, *user;
		enum protocol protocol;
		int64_t uidvalidity;
		bool known;
	} cases[] = {
		{NULL, NULL, PROTOCOL_IMAP, 1700000000, true},
		{NULL, NULL, PROTOCOL_IMAP, 1, true},
		{moved_host, NULL, PROTOCOL_IMAP, 1700000000, true},
		{moved_host, NULL, PROTOCOL_IMAP, 1, false}, /* what many servers begin with */
		{moved_host, other_user, PROTOCOL_IMAP, 1700000000, false},
		{moved_host, NULL, PROTOCOL_POP3, 1700000000, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *ctx;
		struct mailbox_config renamed = f->config;
		const struct config config = {.mailboxes = &renamed, .mailbox_count = 1};
		char predecessor[NAME_BYTES];
		struct draft draft = {0};
		uint64_t id;
		struct view view;

		draft_uid(&draft, 1);
		assert_int_equal(plan_send(f, &draft, REC_COMPLETE, (uint64_t)cases[i].uidvalidity, 1, &id), 0);
		renamed.name = anja;
		renamed.was = anna;
		renamed.protocol = cases[i].protocol;
		renamed.server.endpoint.host = cases[i].host != NULL ? cases[i].host : renamed.server.endpoint.host;
		renamed.server.user = cases[i].user != NULL ? cases[i].user : renamed.server.user;
		assert_int_equal(state_mailbox_predecessor(f->state, &config, &renamed, predecessor, &f->error), 0);
		assert_string_equal(predecessor, anna);
		assert_int_equal(open_mailbox(f, &config, &renamed), f->mailbox);
		assert_int_equal(open_mailbox(f, &config, &renamed), f->mailbox);
		assert_int_equal(state_mailbox_predecessor(f->state, &config, &renamed, predecessor, &f->error), 0);
		assert_string_equal(predecessor, "");
		view = known_as(f, (uint64_t)cases[i].uidvalidity, 1, true);
		assert_int_equal(view.header.item_count, cases[i].known);
		view_done(&view);
		view = known_as(f, 1800000000, 1, true); /* another one is a renumbering in any case */
		assert_int_equal(view.header.item_count, 0);
		view_done(&view);
		end(ctx);
		begin(ctx);
	}
}

/* Its name was part of the file's, so the Maildir cannot tell: it is delivered again rather than credited. */
static void what_was_in_doubt_is_not_credited_after_a_renaming(void **ctx)
{
	static char anna[] = "anna", anja[] = "anja";

	for (int destination = 0; destination < 2; destination++) {
		struct fixture *f = *ctx;
		struct mailbox_config renamed = f->config;
		const struct config config = {.mailboxes = &renamed, .mailbox_count = 1};
		uint64_t id = plan_uids(f, 1, 1, 5);

		assert_int_equal(intend(f, id, 5, 1), 0);
		assert_int_equal(due_item(f, id).intent_age_s, 0);
		if (destination == 0) {
			renamed.name = anja;
			renamed.was = anna;
			assert_int_equal(open_mailbox(f, &config, &renamed), f->mailbox);
		} else {
			assert_int_equal(state_destination_rename(f->state, "archive", "attic", &f->error), 0);
			f->targets[2].destination = "attic";
		}
		assert_int_equal(due_item(f, id).doubtful, 5);
		assert_true(due_item(f, id).intent_age_s > 36 * HOUR);
		end(ctx);
		begin(ctx);
	}
}

/* -- destinations -- */

static void a_renamed_destination_keeps_its_deliveries(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 7);
	struct destination_state destination = {.failures = 2, .retry_at = START, .last_error = "no"}, again;

	assert_int_equal(state_destination_store(f->state, "home", &destination, &f->error), 0);
	assert_int_equal(state_destination_rename(f->state, "nobody", "cottage", &f->error), 0);
	assert_int_equal(state_destination_rename(f->state, "home", "cottage", &f->error), 0);
	assert_int_equal(due_item(f, id).open, 4);
	f->targets[0].destination = f->targets[1].destination = "cottage";
	assert_int_equal(due_item(f, id).open, 7);
	deliver(f, id, 1, 1);
	assert_int_equal(state_destination_load(f->state, "cottage", &again, &f->error), 0);
	assert_int_equal(again.failures, 2);
	assert_string_equal(again.last_error, "no");
	assert_int_equal(state_destination_load(f->state, "home", &again, &f->error), 0);
	assert_int_equal(again.failures, 0);
}

static void a_new_destination_of_that_name_keeps_its_own(void **ctx)
{
	struct fixture *f = *ctx;

	plan_uids(f, 1, 1, 3);
	f->targets[0].destination = "cottage"; /* for anna alone */
	plan_uids(f, 2, 2, 1);
	assert_int_equal(state_destination_rename(f->state, "home", "cottage", &f->error), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM target WHERE destination = 'home' AND recipient = 'anna@home'"), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM target WHERE destination = 'home' AND recipient = 'bert@home'"), 0);
	assert_int_equal(number(f, "SELECT count(*) FROM target WHERE destination = 'cottage'"), 2);
}

/* A worker's unix socket has a path instead of a host, and there may be no user. */
static void local_servers_have_an_identity_too(void **ctx)
{
	static char name[] = "local", path[] = "/run/imap.sock";
	struct fixture *f = *ctx;
	struct mailbox_config local = {.name = name, .protocol = PROTOCOL_IMAP, .server = {.endpoint = {.path = path}}};
	int64_t id = open_mailbox(f, NULL, &local);

	assert_int_equal(open_mailbox(f, NULL, &local), id);
}

static void busy_is_said_and_changes_nothing(void **ctx)
{
	static char name[] = "bert";
	struct fixture *f = *ctx;
	struct mailbox_config mailbox = f->config;
	struct mailbox_state row;
	bool is_new;
	struct state *other = state_open(f->dir, false, &is_new, &f->error);

	assert_non_null(other);
	mailbox.name = name;
	assert_int_equal(state_begin(other, &f->error), 0);
	assert_int_equal(state_mailbox_open(f->state, NULL, &mailbox, &row, &f->error), -1);
	assert_int_equal(f->error.kind, ERR_TEMP);
	state_close(other);
	assert_int_equal(state_mailbox_open(f->state, NULL, &mailbox, &row, &f->error), 0);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(everything_stored_comes_back),
		FIXTURE_TEST(folders_belong_to_a_mailbox),
		FIXTURE_TEST(a_renamed_mailbox_keeps_its_state),
		FIXTURE_TEST(a_mailbox_that_moved_counts_as_renumbered),
		FIXTURE_TEST(a_mailbox_that_was_renamed_on_purpose),
		FIXTURE_TEST(what_was_in_doubt_is_not_credited_after_a_renaming),
		FIXTURE_TEST(a_renamed_destination_keeps_its_deliveries),
		FIXTURE_TEST(a_new_destination_of_that_name_keeps_its_own),
		FIXTURE_TEST(local_servers_have_an_identity_too),
		FIXTURE_TEST(busy_is_said_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
