#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "mail/haul.h"
#include "mail/message.h"
#include "mail/spool.h"

#define MARK "0123abcd"

static struct message *received(struct spool_file *file, const char *text, size_t len, size_t piece)
{
	struct message *message = message_new(file, MARK);
	struct error err = {0};

	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(message_add(message, text + at, len - at < piece ? len - at : piece, &err), 0);
	assert_int_equal(message_end(message, &err), 0);
	return message;
}

static void assert_holds(struct message *message, const char *text, size_t len)
{
	struct error err = {0};
	uint8_t hash[SHA256_BYTES];
	const char *bytes;
	size_t at = 0, n;

	assert_int_equal(message->size, len);
	for (; at < len; at += n) {
		assert_int_equal(spool_read(message->spool, at, &bytes, &n, &err), 0);
		assert_true(n != 0);
		assert_memory_equal(bytes, text + at, n);
	}
	sha256_of(text, len, hash);
	assert_memory_equal(message->hash, hash, SHA256_BYTES);
}

enum fact { EIGHT_BIT = 1, UTF8_HEADER = 2, HAS_NUL = 4, BARE_CR = 8, HAS_TRACE = 16 };

static const struct message_case {
	const char *text;
	size_t len; /* 0: strlen */
	unsigned facts;
	const char *return_path; /* NULL: none */
	unsigned received_count, own_marks;
} cases[] = {
	{.text = ""},
	{.text = "\r\n"},
	{.text = "Subject: x\r\n\r\nbody\r\n"},
	{.text = "Subject: only a header"},
	{.text = "no header at all\r\nReturn-Path: <a@b>\r\n"},
	{.text = "Return-Path: <a@b>\r\nReceived: x\r\nReceived: y\r\n\r\nReceived: z\r\n",
		.return_path = "a@b",
		.received_count = 2,
		.facts = HAS_TRACE},
	{.text = "Return-Path: <>\nReceived: x\n\n", .return_path = "", .received_count = 1, .facts = HAS_TRACE},
	{.text = "Return-Path: <a@b>\nReturn-Path: <c@d>\n\n", .return_path = "a@b"},
	{.text = "Return-Path: broken\nReturn-Path: <c@d>\n\n", .return_path = "c@d"},
	{.text = "Return-Path: <a@b\r\n\r\nRCPT TO:<evil@c>>\r\n"},
	{.text = "Return-Path: <a@b\r\n RCPT TO:<evil@c>>\r\n\r\n"},
	{.text = "Return-Path:\r\n <a@b>\r\n\r\n", .return_path = "a@b"},
	{.text = "From x\nReturn-Path: <a@b>\n\n", .return_path = "a@b"},
	{.text = "X-Mailhaul-Id: " MARK "ffff\nX-Mailhaul-Id: 99999999ffff\nX-MAILHAUL-ID: " MARK "\n\n", .own_marks = 2},
	{.text = "X-Mailhaul-Id: 0123abc\nX-Other-Id: " MARK "\n\nX-Mailhaul-Id: " MARK "\n"},
	{.text = "Subject: Gr\u00FC\u00DFe\r\n\r\n", .facts = EIGHT_BIT | UTF8_HEADER},
	{.text = "Subject: Gr\xFC\xDF"
		 "e\r\n\r\n",
		.facts = EIGHT_BIT},
	{.text = "Subject: Gr\u00FC\u00DFe\r\nFrom: \xFC\r\n\r\n", .facts = EIGHT_BIT},
	{.text = "Subject: Gr\xC3", .facts = EIGHT_BIT},
	{.text = "Subject: x\r\n\r\nGr\u00FC\u00DFe\r\n", .facts = EIGHT_BIT},
	{.text = "Gr\u00FC\u00DFe\r\n", .facts = EIGHT_BIT},
	{.text = "A: b\r\n\r\nx\0y\r\n", .len = 13, .facts = HAS_NUL},
	{.text = "A: b\r\n\r\nx\ry\r\n", .facts = BARE_CR},
	{.text = "A: b\r\n\r\nx\r\r\n", .facts = BARE_CR},
	{.text = "A: b\r\n\r\nx\r", .facts = BARE_CR},
	{.text = "A: b\r\n\r\na line that is longer than a word\rand goes on after it\r\n", .facts = BARE_CR},
	{.text = "A: b\r\n\r\na line that is longer than a word and ends\r\r\n", .facts = BARE_CR},
	{.text = "A: b\r\n\r\n\ta line that is longer than a word\f and has\x0Fnothing odd\r\n\r\n"},
	{.text = "A: b\r\n\r\na line that is longer\0 than a word\r\n", .len = 44, .facts = HAS_NUL},
	{.text = "A: b\r\n\r\na line that is longer than a w\u00F6rd\r\n", .facts = EIGHT_BIT},
	{.text = "\xEF\xBB\xBFSubject: x\r\n\r\n", .facts = EIGHT_BIT},
};

static unsigned facts_of(const struct message *message)
{
	return (message->eight_bit ? EIGHT_BIT : 0) | (message->utf8_header ? UTF8_HEADER : 0) | (message->has_nul ? HAS_NUL : 0) |
	       (message->has_bare_cr ? BARE_CR : 0) | (message->has_trace ? HAS_TRACE : 0);
}

static void facts_are_found_in_any_pieces(void **state)
{
	struct spool_file *file = spool_file_new(-1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = cases[i].len != 0 ? cases[i].len : strlen(cases[i].text);

		for (size_t piece = len + 1; piece > 0; piece--) {
			struct message *message = received(file, cases[i].text, len, piece);

			assert_holds(message, cases[i].text, len);
			if (facts_of(message) != cases[i].facts)
				fail_msg("case %zu: facts %u", i, facts_of(message));
			assert_int_equal(message->received_count, cases[i].received_count);
			assert_int_equal(message->own_marks, cases[i].own_marks);
			if (message->has_return_path != (cases[i].return_path != NULL))
				fail_msg("case %zu: return path", i);
			assert_string_equal(message->return_path, message->has_return_path ? cases[i].return_path : "");
			message_free(message);
		}
	}
	spool_file_free(file);
}

/* Whoever goes by them before the end, since the header is there, is not told otherwise at the end. */
static void facts_of_the_header_are_known_with_it(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	unsigned early = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = cases[i].len != 0 ? cases[i].len : strlen(cases[i].text), at = 0;
		struct message *message = message_new(file, MARK);
		struct message then;
		struct error err;

		while (at < len && !message_has_header(message))
			assert_int_equal(message_add(message, cases[i].text + at++, 1, &err), 0);
		early += message_has_header(message);
		assert_false(message_is_complete(message));
		then = *message;
		assert_int_equal(message_add(message, cases[i].text + at, len - at, &err), 0);
		assert_int_equal(message_end(message, &err), 0);
		assert_true(message_is_complete(message) && message_has_header(message));
		if (at != len) {
			assert_string_equal(then.return_path, message->return_path);
			assert_int_equal(then.has_return_path, message->has_return_path);
			assert_int_equal(then.received_count, message->received_count);
			assert_int_equal(then.own_marks, message->own_marks);
			assert_int_equal(then.utf8_header, message->utf8_header);
		}
		message_free(message);
	}
	assert_true(early > ARRAY_SIZE(cases) / 2);
	spool_file_free(file);
}

static void truncated_messages_are_messages_too(void **state)
{
	struct spool_file *file = spool_file_new(-1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].text); len++) {
			struct message *message = received(file, cases[i].text, len, len + 1);

			assert_holds(message, cases[i].text, len);
			message_free(message);
		}
	}
	spool_file_free(file);
}

static void over_long_return_path_is_not_cut_to_a_valid_one(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	struct message *message;
	struct str text = {0};

	(void)state;
	str_add_text(&text, "Return-Path: <a@b> ");
	while (text.len < 10240)
		str_add_byte(&text, ' ');
	str_add_text(&text, "<evil@c>\r\nReturn-Path: <c@d>\r\n\r\n");
	message = received(file, text.data, text.len, 1000);
	assert_string_equal(message->return_path, "c@d");
	message_free(message);
	str_done(&text);
	spool_file_free(file);
}

static void large_messages_go_through_the_file(void **state)
{
	struct spool_file *file = spool_file_new(memfd_create("spool", MFD_CLOEXEC));
	struct message *message;
	struct str text = {0};

	(void)state;
	str_add_text(&text, "Received: x\r\n\r\n");
	for (unsigned i = 0; text.len < 3 * SPOOL_MEMORY_MAX; i++)
		str_addf(&text, "line %u\r\n", i);
	message = received(file, text.data, text.len, 16384);
	assert_holds(message, text.data, text.len);
	assert_true(message->has_trace);
	message_free(message);
	str_done(&text);
	spool_file_free(file);
}

static void a_full_disk_fails_the_message(void **state)
{
	struct spool_file *file = spool_file_new(open("/dev/full", O_RDWR | O_CLOEXEC));
	struct message *message = message_new(file, MARK);
	struct error err = {0};
	static const char zeros[100000];
	int result = 0;

	(void)state;
	for (unsigned i = 0; result == 0 && i < 20; i++)
		result = message_add(message, zeros, sizeof(zeros), &err);
	assert_int_equal(result, -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_MAILBOX);
	message_free(message);
	message_free(NULL);
	spool_file_free(file);
}

/* A haul owns its message and its deliveries' header fields; the leak checker looks. */
static void a_haul_frees_what_it_owns(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	struct haul *haul = haul_new(UINT64_MAX, 7, 1000, -1);

	(void)state;
	assert_int_equal(haul->id, UINT64_MAX);
	assert_int_equal(haul->uid, 7);
	assert_int_equal(haul->announced, 1000);
	assert_int_equal(haul->date, -1);
	assert_int_equal(haul->stage, HAUL_PLANNED);
	assert_int_equal(haul->error.kind, ERR_NONE);
	haul->message = message_new(file, MARK);
	haul->delivery_count = 2;
	haul->deliveries = xcalloc(2, sizeof(*haul->deliveries));
	haul->deliveries[0].prepend = xstrdup("Received: x\r\n");
	haul_free(haul);
	haul_free(NULL);
	spool_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_are_found_in_any_pieces),
		cmocka_unit_test(facts_of_the_header_are_known_with_it),
		cmocka_unit_test(truncated_messages_are_messages_too),
		cmocka_unit_test(over_long_return_path_is_not_cut_to_a_valid_one),
		cmocka_unit_test(large_messages_go_through_the_file),
		cmocka_unit_test(a_full_disk_fails_the_message),
		cmocka_unit_test(a_haul_frees_what_it_owns),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
