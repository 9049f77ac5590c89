#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "policy/policy.h"
#include "state/state.h"
#include "supervisor/health.h"

#define NOW 1800000000
#define POLL_EVERY_S 300
#define HALF UINT32_C(0x80000000) /* the middle of the jitter: none, or next to none */

static struct mailbox_state end_with(struct mailbox_state mailbox, enum error_kind kind, enum error_scope scope, const char *text)
{
	struct error err;

	error_set(&err, kind, scope, "%s", text);
	health_note(&mailbox, &err, NOW, POLL_EVERY_S, HALF);
	return mailbox;
}

static void test_failures_add_up_and_back_off(void **unused)
{
	struct mailbox_state mailbox = {.last_success = 7};
	int64_t last = 0;

	(void)unused;
	for (unsigned i = 1; i <= 4; i++) {
		mailbox = end_with(mailbox, ERR_AUTH, SCOPE_MAILBOX, "refused");
		assert_int_equal(mailbox.failures, i);
		assert_int_equal(mailbox.clock, BACKOFF_LOGIN);
		assert_true(mailbox.retry_at > NOW && mailbox.retry_at > last);
		assert_int_equal(mailbox.last_success, 7);
		assert_int_equal(mailbox.last_error_at, NOW);
		assert_int_equal(mailbox.last_error_kind, ERR_AUTH);
		last = mailbox.retry_at;
	}
	assert_string_equal(mailbox.last_error, "refused");
}

static void test_the_network_is_tried_as_often_as_it_is_polled(void **unused)
{
	static const uint32_t rests[] = {10, 30, 120, POLL_EVERY_S, POLL_EVERY_S};
	struct mailbox_state mailbox = {0};

	(void)unused;
	for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
		mailbox = end_with(mailbox, ERR_TEMP, SCOPE_MAILBOX, "no route");
		assert_int_equal(mailbox.clock, BACKOFF_NETWORK);
		assert_in_range(mailbox.retry_at - NOW, rests[i] - 1, rests[i]);
	}
}

static void test_success_ends_it(void **unused)
{
	struct mailbox_state mailbox = end_with((struct mailbox_state){0}, ERR_TEMP, SCOPE_MAILBOX, "no route");

	(void)unused;
	mailbox = end_with(mailbox, ERR_NONE, SCOPE_MESSAGE, "");
	assert_int_equal(mailbox.failures, 0);
	assert_int_equal(mailbox.retry_at, 0);
	assert_int_equal(mailbox.last_success, NOW);
	assert_string_equal(mailbox.last_error, "");
}

static void test_trouble_is_dated_by_its_beginning(void **unused)
{
	struct mailbox_state mailbox = {.error_since = 0, .last_error = ""};

	(void)unused;
	mailbox = end_with(mailbox, ERR_TEMP, SCOPE_MAILBOX, "no route (1 s)");
	assert_int_equal(mailbox.error_since, NOW);
	mailbox.error_since = 5;
	mailbox = end_with(mailbox, ERR_TEMP, SCOPE_MAILBOX, "no route (2 s)");
	assert_int_equal(mailbox.error_since, 5);
	mailbox = end_with(mailbox, ERR_AUTH, SCOPE_MAILBOX, "refused");
	assert_int_equal(mailbox.error_since, NOW);
	mailbox = end_with(mailbox, ERR_NONE, SCOPE_MESSAGE, "");
	assert_int_equal(mailbox.error_since, 0);
}

static void test_single_messages_and_folders_are_no_failure(void **unused)
{
	static const struct {
		enum error_scope scope;
		unsigned failures;
	} cases[] = {
		{SCOPE_MESSAGE, 0},
		{SCOPE_RECIPIENT, 0},
		{SCOPE_FOLDER, 0},
		{SCOPE_DESTINATION, 0}, /* which has a back-off of its own */
		{SCOPE_MAILBOX, 1},
		{SCOPE_PROGRAM, 1},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mailbox_state mailbox = end_with((struct mailbox_state){0}, ERR_TEMP, cases[i].scope, "later");

		assert_int_equal(mailbox.failures, cases[i].failures);
		assert_string_equal(mailbox.last_error, "later");
	}
}

static void test_destinations_back_off_until_they_accept(void **unused)
{
	static const struct error well = {0};
	struct destination_state destination = {0};
	struct error err;

	(void)unused;
	error_set(&err, ERR_TEMP, SCOPE_DESTINATION, "refused");
	for (unsigned i = 1; i <= 6; i++) {
		health_note_destination(&destination, &err, NOW + i, HALF);
		assert_int_equal(destination.failures, i);
		assert_int_equal(destination.clock, BACKOFF_NETWORK);
		assert_int_equal(destination.retry_at, NOW + i + backoff_jittered(backoff_s(BACKOFF_NETWORK, i), HALF));
		assert_int_equal(destination.down_since, NOW + 1);
		assert_int_equal(destination.last_error_at, NOW + i);
		assert_string_equal(destination.last_error, "refused");
	}
	error_set(&err, ERR_AUTH, SCOPE_DESTINATION, "no");
	health_note_destination(&destination, &err, NOW + 7, HALF);
	assert_int_equal(destination.clock, BACKOFF_LOGIN);
	health_note_destination(&destination, &well, NOW + 8, HALF);
	assert_int_equal(destination.failures, 0);
	assert_int_equal(destination.retry_at, 0);
	assert_int_equal(destination.accepted_at, NOW + 8);
	health_note_destination(&destination, &err, NOW + 9, HALF);
	assert_int_equal(destination.failures, 1);
	assert_int_equal(destination.down_since, NOW + 9);
}

static void test_news(void **unused)
{
	static const struct {
		const char *before, *after;
		bool news;
	} cases[] = {
		{"", "", false},
		{"", "refused", true},
		{"refused", "", true},
		{"refused", "refused", false},
		{"refused (0.001 + 0.000 secs)", "refused (1.2 secs)", false},
		{"refused 1", "refused", false},
		{"refused", "refused twice", true},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(health_is_news(cases[i].before, cases[i].after), cases[i].news);
}

/* Who is called at night is not called for what the network does in a minute; and is told of the end of what he was told of. */
static void test_who_is_called_and_when(void **unused)
{
	static const struct {
		unsigned failures_before, failures;
		int kind_before, kind;
		const char *before, *after;
		enum news news;
	} cases[] = {
		{0, 1, ERR_NONE, ERR_AUTH, "", "refused", NEWS_WORSE},
		{1, 2, ERR_AUTH, ERR_AUTH, "refused 1", "refused 2", NEWS_NONE},
		{1, 2, ERR_AUTH, ERR_AUTH, "refused", "locked", NEWS_WORSE},
		{2, 0, ERR_AUTH, ERR_NONE, "refused", "", NEWS_BETTER},
		{0, 1, ERR_NONE, ERR_TEMP, "", "no route", NEWS_NONE},
		{1, 0, ERR_TEMP, ERR_NONE, "no route", "", NEWS_NONE},
		{3, 4, ERR_TEMP, ERR_TEMP, "no route", "no route", NEWS_WORSE},
		{4, 5, ERR_TEMP, ERR_TEMP, "no route", "no route", NEWS_NONE},
		{9, 0, ERR_TEMP, ERR_NONE, "no route", "", NEWS_BETTER},
		{1, 2, ERR_TEMP, ERR_AUTH, "no route", "refused", NEWS_WORSE},
		{0, 1, ERR_NONE, ERR_REFUSED, "", "stopped", NEWS_WORSE},
		{0, 1, ERR_NONE, ERR_LOCAL, "", "crashed", NEWS_WORSE},
		{0, 1, ERR_NONE, ERR_TLS, "", "expired", NEWS_NONE},
		{0, 0, ERR_NONE, ERR_REFUSED, "", "one message", NEWS_NONE},
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mailbox_state before = {.failures = cases[i].failures_before, .last_error_kind = cases[i].kind_before};
		struct mailbox_state after = {.failures = cases[i].failures, .last_error_kind = cases[i].kind};

		strcpy(before.last_error, cases[i].before);
		strcpy(after.last_error, cases[i].after);
		if (health_news(&before, &after) != cases[i].news)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_add_up_and_back_off),
		cmocka_unit_test(test_the_network_is_tried_as_often_as_it_is_polled),
		cmocka_unit_test(test_success_ends_it),
		cmocka_unit_test(test_trouble_is_dated_by_its_beginning),
		cmocka_unit_test(test_single_messages_and_folders_are_no_failure),
		cmocka_unit_test(test_destinations_back_off_until_they_accept),
		cmocka_unit_test(test_news),
		cmocka_unit_test(test_who_is_called_and_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
