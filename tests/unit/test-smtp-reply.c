/* test-smtp-reply.c - replies and extensions, as lines and as bytes that arrive one by one. */
#include "dest/smtp-reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/sasl.h"
#include "base/error.h"
#include "net/stream.h"
#include "net/wire.h"

static enum smtp_reply_state add(struct smtp_reply *reply, const char *line)
{
	return smtp_reply_line(reply, line, strlen(line));
}

static void reads_single_lines(void **state)
{
	static const struct {
		const char *line;
		enum smtp_reply_state state;
		int code;
		unsigned enhanced[3];
		const char *words;
	} cases[] = {
		{"250 ok", SMTP_REPLY_COMPLETE, 250, {0}, "250 ok"},
		{"250", SMTP_REPLY_COMPLETE, 250, {0}, "250"}, /* bare codes are in the wild */
		{"250 ", SMTP_REPLY_COMPLETE, 250, {0}, "250"},
		{"250 2.0.0 queued", SMTP_REPLY_COMPLETE, 250, {2, 0, 0}, "250 2.0.0 queued"},
		{"250 2.1.5", SMTP_REPLY_COMPLETE, 250, {2, 1, 5}, "250 2.1.5"},
		{"550 5.1.1 no \"such\" \033[31muser", SMTP_REPLY_COMPLETE, 550, {5, 1, 1}, "550 5.1.1 no \\x22such\\x22 \\x1B[31muser"},
		{"550 2.0.0 liar", SMTP_REPLY_COMPLETE, 550, {0}, "550 2.0.0 liar"},
		{"550 5.1 short", SMTP_REPLY_COMPLETE, 550, {0}, "550 5.1 short"},
		{"550 5.1.1x", SMTP_REPLY_COMPLETE, 550, {0}, "550 5.1.1x"},
		{"550 5.1234.1 long", SMTP_REPLY_COMPLETE, 550, {0}, "550 5.1234.1 long"},
		{"550 5..1", SMTP_REPLY_COMPLETE, 550, {0}, "550 5..1"},
		{"200 ok", SMTP_REPLY_COMPLETE, 200, {0}, "200 ok"},
		{"599 no", SMTP_REPLY_COMPLETE, 599, {0}, "599 no"},
		{"334", SMTP_REPLY_COMPLETE, 334, {0}, "334"},
		{"250-more", SMTP_REPLY_MORE, 250, {0}, "250 more"},
		{"250-", SMTP_REPLY_MORE, 250, {0}, "250"},
		{"250\tok", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"250x", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"2500 ok", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"25", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"199 no", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"600 no", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"999", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{" 250 ok", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"25o ok", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
		{"+OK", SMTP_REPLY_MALFORMED, 0, {0}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply reply;
		char words[100];

		smtp_reply_init(&reply);
		assert_int_equal(add(&reply, cases[i].line), cases[i].state);
		assert_int_equal(reply.complete, cases[i].state == SMTP_REPLY_COMPLETE);
		if (cases[i].state == SMTP_REPLY_MALFORMED)
			continue;
		assert_int_equal(reply.code, cases[i].code);
		assert_memory_equal(reply.enhanced, cases[i].enhanced, sizeof(reply.enhanced));
		assert_string_equal(smtp_reply_words(&reply, words, sizeof(words)), cases[i].words);
	}
}

static void joins_continuation_lines(void **state)
{
	struct smtp_reply reply;
	char words[100];

	(void)state;
	smtp_reply_init(&reply);
	assert_int_equal(add(&reply, "550-5.7.1 go"), SMTP_REPLY_MORE);
	assert_int_equal(add(&reply, "550-"), SMTP_REPLY_MORE);
	assert_int_equal(add(&reply, "550 5.7.2 away"), SMTP_REPLY_COMPLETE);
	assert_int_equal(reply.lines, 3);
	assert_int_equal(reply.enhanced[2], 1);
	assert_string_equal(reply.text, "5.7.1 go\n\n5.7.2 away");
	assert_string_equal(smtp_reply_words(&reply, words, sizeof(words)), "550 5.7.1 go  5.7.2 away");

	smtp_reply_init(&reply);
	assert_int_equal(add(&reply, "250-one"), SMTP_REPLY_MORE);
	assert_int_equal(add(&reply, "550 two"), SMTP_REPLY_MALFORMED);
}

static void bounds_lines_and_bytes(void **state)
{
	struct smtp_reply reply;
	char line[SMTP_REPLY_BYTES_MAX + 10];

	(void)state;
	smtp_reply_init(&reply);
	for (unsigned i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		assert_int_equal(add(&reply, "250-x"), SMTP_REPLY_MORE);
	assert_int_equal(add(&reply, "250 x"), SMTP_REPLY_MALFORMED);

	memset(line, 'a', sizeof(line));
	memcpy(line, "250-", 4);
	smtp_reply_init(&reply);
	assert_int_equal(smtp_reply_line(&reply, line, 4 + SMTP_REPLY_BYTES_MAX), SMTP_REPLY_MORE);
	assert_int_equal(reply.len, SMTP_REPLY_BYTES_MAX);
	assert_int_equal(add(&reply, "250"), SMTP_REPLY_MALFORMED);
	smtp_reply_init(&reply);
	assert_int_equal(smtp_reply_line(&reply, line, 5 + SMTP_REPLY_BYTES_MAX), SMTP_REPLY_MALFORMED);
}

/* Replies until the input ends; returns how many were complete. */
static unsigned read_all(const char *bytes, size_t len, size_t chunk, int *ret_last_code)
{
	struct wire *wire = wire_new(stream_memory(bytes, len, chunk), NULL, 512);
	struct smtp_reply reply;
	struct error err;
	unsigned complete = 0;
	size_t line_len;
	char *line;

	smtp_reply_init(&reply);
	while (wire_line(wire, &line, &line_len, &err) == 0) {
		if (smtp_reply_line(&reply, line, line_len) != SMTP_REPLY_COMPLETE)
			continue;
		complete++;
		*ret_last_code = reply.code;
		smtp_reply_init(&reply);
	}
	wire_free(wire);
	return complete;
}

static void knows_when_a_reply_is_complete(void **state)
{
	static const char text[] = "220 mx\r\n250-mx\r\n250-SIZE 1000\r\n250 DSN\r\n354\r\n250 2.0.0 ok\r\n";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		int whole_code = 0, byte_code = 0;
		unsigned whole = read_all(text, len, sizeof(text), &whole_code), by_byte = read_all(text, len, 1, &byte_code);
		unsigned expected = (len >= 8) + (len >= 40) + (len >= 45) + (len >= 59);

		assert_int_equal(whole, expected);
		assert_int_equal(by_byte, expected);
		assert_int_equal(whole_code, byte_code);
	}
}

static void parses_extensions(void **state)
{
	static const char *const lines[] = {"250-mx.example PIPELINING greets you", "250-pipelining", "250-Size 35882577", "250-8bitmime",
		"250-SMTPUTF8X", "250-AUTH=LOGIN", "250-AUTH XOAUTH2  PLAIN CRAM-MD5", "250-DSN", "250-EnhancedStatusCodes", "250-CHUNKING",
		"250 STARTTLS"};
	struct smtp_extensions found;
	struct smtp_reply reply;
	unsigned logins = 0;

	(void)state;
	smtp_reply_init(&reply);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		add(&reply, lines[i]);
	assert_true(reply.complete);
	smtp_extensions_parse(&found, &reply);
	assert_true(found.pipelining && found.eight_bit_mime && found.dsn && found.enhanced_codes && found.chunking && found.starttls);
	assert_false(found.smtputf8);
	assert_int_equal(found.size_max, 35882577);
	sasl_offer_list(&logins, "LOGIN XOAUTH2 PLAIN", 19);
	assert_int_equal(found.logins, logins);
}

static void reads_limits(void **state)
{
	static const struct {
		const char *line;
		uint64_t mail_max;
	} cases[] = {
		{"250 LIMITS RCPTMAX=5 MAILMAX=100 RCPTDOMAINMAX=1", 100},
		{"250 limits mailmax=1", 1},
		{"250 LIMITS  MAILMAX=999999 ", 999999},
		{"250 LIMITS", 0},
		{"250 LIMITS MAILMAX=", 0},
		{"250 LIMITS MAILMAX=1x", 0},
		{"250 LIMITS MAILMAX=99999999999999999999", 0},
		{"250 LIMITS XMAILMAX=7 MAIL", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_extensions found;
		struct smtp_reply reply;

		smtp_reply_init(&reply);
		add(&reply, "250-mx");
		assert_int_equal(add(&reply, cases[i].line), SMTP_REPLY_COMPLETE);
		smtp_extensions_parse(&found, &reply);
		assert_int_equal(found.mail_max, cases[i].mail_max);
	}
}

static void ignores_nonsense_extensions(void **state)
{
	static const struct {
		const char *line;
		uint64_t size_max;
	} cases[] = {
		{"250 SIZE", 0},
		{"250 SIZE ", 0},
		{"250 SIZE -1", 0},
		{"250 SIZE 18446744073709551615", UINT64_MAX},
		{"250 SIZE 18446744073709551616", 0},
		{"250 SIZE 10 20", 0},
		{"250 SIZER 10", 0},
		{"250 ", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_extensions found;
		struct smtp_reply reply;

		smtp_reply_init(&reply);
		add(&reply, "250-mx");
		assert_int_equal(add(&reply, cases[i].line), SMTP_REPLY_COMPLETE);
		smtp_extensions_parse(&found, &reply);
		assert_true(found.size_max == cases[i].size_max);
		assert_false(found.pipelining || found.dsn || found.starttls);
	}
}

/* What a rule may dispose of mail for, and what must leave it held. */
static void tells_the_content_from_the_recipient_and_the_server(void **state)
{
	static const struct {
		const char *line;
		bool content;
	} cases[] = {
		{"554 spam", true},
		{"550 5.7.1 spam", true},
		{"554 5.6.0 bad MIME", true},
		{"550 5.5.0 bad header", true},
		{"550 5.0.0 no", true},
		{"552 5.7.0 no such attachments", true},
		{"552 too large, or too full", false},
		{"552 5.2.2 quota", false},
		{"550 5.2.1 mailbox disabled", false},
		{"554 5.1.1 no such user", false},
		{"554 5.3.0 disk full", false},
		{"554 5.4.6 loop", false},
		{"550 4.2.2 confused", true}, /* a class that contradicts the code says nothing */
		{"451 5.7.1 later", false},
		{"250 2.0.0 ok", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply reply;

		smtp_reply_init(&reply);
		assert_int_equal(add(&reply, cases[i].line), SMTP_REPLY_COMPLETE);
		if (smtp_reply_blames_content(&reply) != cases[i].content)
			fail_msg("%s", cases[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_single_lines),
		cmocka_unit_test(joins_continuation_lines),
		cmocka_unit_test(bounds_lines_and_bytes),
		cmocka_unit_test(knows_when_a_reply_is_complete),
		cmocka_unit_test(parses_extensions),
		cmocka_unit_test(reads_limits),
		cmocka_unit_test(ignores_nonsense_extensions),
		cmocka_unit_test(tells_the_content_from_the_recipient_and_the_server),
	};

	return cmocka_run_group_tests_name("smtp-reply", tests, NULL, NULL);
}
