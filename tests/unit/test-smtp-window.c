/* test-smtp-window.c - which replies can be the answers to messages that went out by BDAT. */
#include "dest/smtp-window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dest/smtp-reply.h"
#include "mail/haul.h"

#define BYTES 1000 /* of a message with its envelope */

static struct smtp_reply reply_of(const char *line)
{
	struct smtp_reply reply;

	smtp_reply_init(&reply);
	assert_int_equal(smtp_reply_line(&reply, line, strlen(line)), SMTP_REPLY_COMPLETE);
	return reply;
}

static void knows_what_servers_say(void **state)
{
	static const struct {
		const char *server, *mail, *rcpt, *bdat;
		bool fits;
	} cases[] = {
		{"Postfix", "250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.0.0 Ok: 39 bytes queued as 4F1", true},
		{"Dovecot", "250 2.1.0 OK", "250 2.1.5 OK", "250 2.0.0 <anna> 8Lk Saved", true},
		{"Gmail", "250 2.1.0 OK a1-b2 - gsmtp", "250 2.1.5 OK a1-b2 - gsmtp", "250 2.0.0 OK  1700000000 a1-b2 - gsmtp", true},
		{"Exchange", "250 2.1.0 Sender OK", "250 2.1.5 Recipient OK", "250 2.6.0 <x@y> [InternalId=1] Queued mail for delivery", true},
		{"forwards", "250 2.1.0 Ok", "251 2.1.5 will forward", "250 2.0.0 Ok", true},
		{"Cyrus", "250 2.1.0 ok", "250 2.1.5 ok", "250 2.1.5 Ok SESSIONID=<1>", false},
		{"says 2.5.0", "250 2.5.0 Address Ok.", "250 2.1.5 Ok", "250 2.5.0 Ok.", false},
		{"says 2.0.0", "250 2.0.0 Ok", "250 2.0.0 Ok", "250 2.0.0 Ok", false},
		{"has no codes", "250 Ok", "250 Ok", "250 Ok", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply mail = reply_of(cases[i].mail), rcpt = reply_of(cases[i].rcpt), bdat = reply_of(cases[i].bdat);

		assert_int_equal(
			smtp_reply_fits(&mail, SMTP_MAIL) && smtp_reply_fits(&rcpt, SMTP_RCPT) && smtp_reply_fits(&bdat, SMTP_DOT), cases[i].fits);
		assert_false(smtp_reply_fits(&mail, SMTP_RCPT) || (cases[i].fits && smtp_reply_fits(&mail, SMTP_DOT)));
	}
}

/* The replies to two messages, each line with what is made of it; 'x' ends it. */
static void follows_the_groups(void **state)
{
	static const struct {
		const char *lines[7];
		const char *fits; /* a: accepts, r: refuses, x: does not fit */
	} cases[] = {
		{{"250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c", "250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c"}, "aaaaaa"},
		{{"250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c", "250 2.0.0 c"}, "aaax"},
		{{"250 2.1.0 a", "250 2.1.5 b", "250 2.1.0 a"}, "aax"},
		{{"250 2.1.5 b"}, "x"},
		{{"354 go"}, "x"},
		{{"250 2.1.0 a", "550 5.1.1 b", "554 5.5.1 c", "250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c"}, "arraaa"},
		{{"550 5.7.1 a", "503 5.5.1 b", "503 5.5.1 c", "250 2.1.0 a", "250 2.1.5 b", "552 5.3.4 c"}, "rrraar"},
		{{"250 2.1.0 a", "550 5.1.1 b", "250 2.0.0 c"}, "arx"},
		{{"550 5.7.1 a", "250 2.1.5 b", "250 2.0.0 c"}, "rax"},
		{{"250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c", "250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c", "250 2.1.0 a"}, "aaaaaax"},
	};
	static const enum smtp_fit fits[] = {['a'] = SMTP_FIT_ACCEPTS, ['r'] = SMTP_FIT_REFUSES, ['x'] = SMTP_FIT_NOT};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct smtp_window window;
		struct delivery deliveries[2];

		window = (struct smtp_window){.first = SMTP_WINDOW_MAX - 1}; /* around the end */
		for (unsigned k = 0; k < 2; k++)
			smtp_window_add(&window, &deliveries[k], k * BYTES, (k + 1) * BYTES);
		for (size_t n = 0; cases[i].fits[n] != '\0'; n++) {
			struct smtp_reply reply = reply_of(cases[i].lines[n]);
			struct smtp_slot *slot = smtp_window_first(&window);
			bool last = slot != NULL && slot->step == SMTP_DOT;
			enum smtp_fit fit = smtp_window_take(&window, &reply, (uint64_t)2 * BYTES);

			assert_int_equal(fit, fits[(unsigned char)cases[i].fits[n]]);
			if (fit == SMTP_FIT_REFUSES)
				slot->refused = true;
			if (fit != SMTP_FIT_NOT && last)
				smtp_window_pop(&window);
		}
	}
}

/* However early a server says yes: to what has not left, it cannot. */
static void nothing_is_answered_before_it_was_sent(void **state)
{
	static const char *const lines[] = {"250 2.1.0 a", "250 2.1.5 b", "250 2.0.0 c"};
	struct delivery delivery;

	(void)state;
	for (uint64_t sent = BYTES; sent <= (uint64_t)2 * BYTES; sent += BYTES / 4) {
		static struct smtp_window window;

		window = (struct smtp_window){0};
		smtp_window_add(&window, &delivery, BYTES, (uint64_t)2 * BYTES);
		for (unsigned i = 0; i < 3; i++) {
			struct smtp_reply reply = reply_of(lines[i]);
			bool possible = i == 2 ? sent == (uint64_t)2 * BYTES : sent > BYTES;

			assert_int_equal(smtp_window_take(&window, &reply, sent), possible ? SMTP_FIT_ACCEPTS : SMTP_FIT_NOT);
			if (!possible)
				break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_servers_say),
		cmocka_unit_test(follows_the_groups),
		cmocka_unit_test(nothing_is_answered_before_it_was_sent),
	};

	return cmocka_run_group_tests_name("smtp-window", tests, NULL, NULL);
}
