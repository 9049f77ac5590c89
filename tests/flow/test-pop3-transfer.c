/* test-pop3-transfer.c - messages out of a POP3 mailbox and deletions in it, against servers that pipeline and servers that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "net/tls.h"
#include "tests/lib/pop3-fixture.h"

#define TEXT(literal) literal, sizeof(literal) - 1

/* What RETR sends behind its +OK, without the terminator, and the message that it means. */
static const struct {
	const char *sent;
	size_t sent_len;
	const char *message;
	size_t message_len;
} bodies[] = {
	{TEXT("Subject: x\r\n\r\nhello\r\n"), TEXT("Subject: x\r\n\r\nhello\r\n")},
	{TEXT(""), TEXT("")},
	{TEXT("\r\n"), TEXT("\r\n")},
	/* exactly one dot of a stuffed line goes */
	{TEXT("..\r\n...\r\n....x\r\n"), TEXT(".\r\n..\r\n...x\r\n")},
	{TEXT("..first\r\na.\r\n.. \r\n"), TEXT(".first\r\na.\r\n. \r\n")},
	/* nothing but CRLF.CRLF ends it, and what looks like replies is text */
	{TEXT("a\n.\n+OK 2 messages\n1 evil\n\r\n"), TEXT("a\n.\n+OK 2 messages\n1 evil\n\r\n")},
	{TEXT("a\n.\r\n+OK\r\n"), TEXT("a\n.\r\n+OK\r\n")},
	{TEXT("a\r.\r\n-ERR\r\n"), TEXT("a\r.\r\n-ERR\r\n")},
	{TEXT("a\r\n.\n.\r\r\n"), TEXT("a\r\n\n.\r\r\n")},
	{TEXT("a\0b\0\r\n\xff\r\n"), TEXT("a\0b\0\r\n\xff\r\n")},
	{TEXT("\r\r\n\n\r\r\n"), TEXT("\r\r\n\n\r\r\n")},
};

static void every_body_arrives_as_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		const struct step body[] = {S("+OK 10 octets"), BYTES(bodies[i].sent, bodies[i].sent_len), S("."), END};
		const struct step quick[] = {
			PLAY(pop3_enters_quickly),
			C("RETR 1"),
			C("RETR 2"),
			C("RETR 3"),
			PLAY(body),
			PLAY(body),
			S("-ERR gone"),
			END,
		};
		const struct step slow[] = {
			PLAY(pop3_enters_slowly),
			C("RETR 1"),
			QUIET,
			PLAY(body),
			C("RETR 2"),
			QUIET,
			PLAY(body),
			C("RETR 3"),
			S("-ERR gone"),
			END,
		};

		for (unsigned variant = 0; variant < 4; variant++) {
			struct pop3_fixture fixture;

			pop3_fixture_init(&fixture);
			pop3_fixture_enter(&fixture, variant & 2 ? slow : quick, variant & 1 ? PEER_BY_BYTE : PEER_WHOLE);
			pop3_fixture_request(&fixture, 1, 3);
			pop3_fixture_expect(&fixture, 1, bodies[i].message, bodies[i].message_len);
			pop3_fixture_expect(&fixture, 2, bodies[i].message, bodies[i].message_len);
			pop3_fixture_expect_failure(&fixture, 3, ERR_TEMP, "server did not hand the message out: gone");
			pop3_fixture_end(&fixture);
		}
	}
}

/* Wherever the connection ends, there is a whole message or none. */
static void a_cut_message_never_comes(void **state)
{
	static const char answer[] = "+OK\r\nSubject: x\r\n\r\n..a\r\n.\r\n";
	static const char message[] = "Subject: x\r\n\r\n.a\r\n";

	(void)state;
	for (size_t cut = 0; cut < sizeof(answer); cut++) {
		const struct step script[] = {PLAY(pop3_enters_quickly), C("RETR 1"), C("RETR 2"), BYTES(answer, cut), CLOSE, END};

		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			struct pop3_fixture fixture;

			pop3_fixture_init(&fixture);
			pop3_fixture_enter(&fixture, script, flags);
			pop3_fixture_request(&fixture, 1, 2);
			if (cut == sizeof(answer) - 1)
				pop3_fixture_expect(&fixture, 1, TEXT(message));
			assert_null(pop3_fixture_next(&fixture));
			assert_int_equal(fixture.err.kind, ERR_TEMP);
			assert_non_null(strstr(fixture.err.text, "closed the connection"));
			assert_int_equal(source_close(fixture.source, &fixture.err), -1);
			pop3_fixture_end(&fixture);
		}
	}
}

/* An end of TCP without TLS's own may be anybody's doing; the message counts all the same once its end has come. */
static void a_cut_tls_connection_ends_nothing(void **state)
{
	static const struct step whole[] = {TLS, PLAY(pop3_enters_quickly), C("RETR 1"), RAW("+OK\r\na\r\n.\r\n"), CUT, END};
	static const struct step half[] = {TLS, PLAY(pop3_enters_quickly), C("RETR 1"), RAW("+OK\r\na\r\n.\r"), CUT, END};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		fixture.mailbox.server.endpoint.tls = TLS_IMPLICIT;
		pop3_fixture_enter(&fixture, i == 0 ? whole : half, PEER_WHOLE);
		pop3_fixture_request(&fixture, 1, 1);
		if (i == 0)
			pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
		assert_null(pop3_fixture_next(&fixture));
		assert_int_equal(fixture.err.kind, ERR_TEMP);
		pop3_fixture_end(&fixture);
	}
}

/* One message's failure is no other's. */
static void refused_messages_leave_the_others_alone(void **state)
{
	static const struct step script[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("RETR 2"),
		C("RETR 3"),
		RAW("-ERR [SYS/TEMP] later\r\n-ERR [SYS/PERM] \x07\r\n+OK\r\na\r\n.\r\n"),
		C("QUIT"),
		S("+OK"),
		END,
	};
	struct pop3_fixture fixture;

	(void)state;
	pop3_fixture_init(&fixture);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	pop3_fixture_request(&fixture, 1, 3);
	pop3_fixture_expect_failure(&fixture, 1, ERR_TEMP, "server did not hand the message out: [SYS/TEMP] later");
	pop3_fixture_expect_failure(&fixture, 2, ERR_TEMP, "server did not hand the message out: [SYS/PERM] \\x07");
	pop3_fixture_expect(&fixture, 3, TEXT("a\r\n"));
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	pop3_fixture_end(&fixture);
}

/* Whatever LIST said, the limit holds for what comes. */
static void oversized_messages_are_read_past(void **state)
{
	static const struct step script[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("RETR 2"),
		C("RETR 3"),
		RAW("+OK\r\n12345678\r\n.\r\n"),
		RAW("+OK\r\n123456789\r\n+OK\r\n.\r\n"),
		RAW("+OK\r\n..\r\n.\r\n"),
		END,
	};
	struct pop3_fixture fixture;

	(void)state;
	for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
		struct haul *haul;

		pop3_fixture_init(&fixture);
		fixture.mailbox.max_message = 10;
		pop3_fixture_enter(&fixture, script, flags);
		pop3_fixture_request(&fixture, 1, 3);
		pop3_fixture_expect(&fixture, 1, TEXT("12345678\r\n"));
		haul = pop3_fixture_next(&fixture);
		assert_non_null(haul);
		assert_true(haul->oversized);
		assert_int_equal(haul->error.kind, ERR_REFUSED);
		assert_int_equal(haul->error.scope, SCOPE_MESSAGE);
		assert_null(haul->message);
		haul_free(haul);
		pop3_fixture_expect(&fixture, 3, TEXT(".\r\n"));
		pop3_fixture_end(&fixture);
	}
}

/* One line of megabytes goes through the spool like any other; where there is no room for it, the next message still comes. */
static void huge_lines_and_full_spools(void **state)
{
	enum { HUGE_LINE = 3 * 1024 * 1024 };
	char *line = xmalloc(HUGE_LINE);
	const struct step script[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("RETR 2"),
		S("+OK"),
		BYTES(line, HUGE_LINE),
		RAW("\r\n.\r\n+OK\r\na\r\n.\r\n"),
		END,
	};
	struct pop3_fixture fixture;
	struct haul *haul;

	(void)state;
	memset(line, 'x', HUGE_LINE);
	memcpy(line + HUGE_LINE - 2, "\r\n", 2);
	pop3_fixture_init(&fixture);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	pop3_fixture_request(&fixture, 1, 2);
	haul = pop3_fixture_next(&fixture);
	assert_non_null(haul);
	assert_int_equal(haul->stage, HAUL_SPOOLED);
	haul_free(haul);
	pop3_fixture_expect(&fixture, 2, TEXT("a\r\n"));
	pop3_fixture_end(&fixture);

	pop3_fixture_init(&fixture);
	fixture.spool_fd = fs_close(fixture.spool_fd);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	pop3_fixture_request(&fixture, 1, 2);
	haul = pop3_fixture_next(&fixture);
	assert_non_null(haul);
	assert_int_equal(haul->error.kind, ERR_LOCAL);
	assert_null(haul->message);
	haul_free(haul);
	pop3_fixture_expect(&fixture, 2, TEXT("a\r\n"));
	pop3_fixture_end(&fixture);
	free(line);
}

static void dispose(struct pop3_fixture *fixture, unsigned number)
{
	assert_int_equal(source_dispose(fixture->source, 100 + number, number, DISPOSE_DELETE, NULL, &fixture->err), 0);
}

static void expect_disposed(struct pop3_fixture *fixture, const uint64_t *ids, size_t count)
{
	uint64_t id = 0;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(source_disposed(fixture->source, &id), 1);
		assert_int_equal(id, ids[i]);
	}
	assert_int_equal(source_disposed(fixture->source, &id), 0);
}

/* Replies come in the order of the commands, whatever these are; a refused DELE is owed further. */
static void fetches_and_deletions_share_a_queue(void **state)
{
	static const struct step quick[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("DELE 1"),
		C("RETR 2"),
		C("DELE 2"),
		C("DELE 3"),
		RAW("+OK\r\na\r\n.\r\n+OK\r\n+OK\r\nb\r\n.\r\n"),
		S("-ERR locked"),
		S("+OK"),
		C("QUIT"),
		S("+OK bye"),
		CLOSE,
		END,
	};
	static const struct step slow[] = {
		PLAY(pop3_enters_slowly),
		C("RETR 1"),
		QUIET,
		RAW("+OK\r\na\r\n.\r\n"),
		C("DELE 1"),
		QUIET,
		S("+OK"),
		C("RETR 2"),
		QUIET,
		RAW("+OK\r\nb\r\n.\r\n"),
		C("DELE 2"),
		QUIET,
		S("-ERR locked"),
		C("DELE 3"),
		QUIET,
		S("+OK"),
		C("QUIT"),
		S("+OK bye"),
		CLOSE,
		END,
	};

	(void)state;
	for (unsigned variant = 0; variant < 4; variant++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		pop3_fixture_enter(&fixture, variant & 2 ? slow : quick, variant & 1 ? PEER_BY_BYTE : PEER_WHOLE);
		assert_int_equal(source_request(fixture.source, haul_new(101, 1, 3, 0), &fixture.err), 0);
		dispose(&fixture, 1);
		assert_int_equal(source_request(fixture.source, haul_new(102, 2, 3, 0), &fixture.err), 0);
		dispose(&fixture, 2);
		dispose(&fixture, 3);
		assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
		pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
		pop3_fixture_expect(&fixture, 2, TEXT("b\r\n"));
		/* Said once; or the mailbox would fill up without a word. */
		assert_int_equal(source_settle(fixture.source, &fixture.err), -1);
		assert_int_equal(fixture.err.scope, SCOPE_FOLDER);
		assert_int_equal(fixture.err.kind, ERR_REFUSED);
		assert_string_equal(fixture.err.text, "server refused to delete a message that was delivered: locked");
		assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
		expect_disposed(&fixture, NULL, 0);
		assert_int_equal(source_close(fixture.source, &fixture.err), 0);
		expect_disposed(&fixture, (const uint64_t[]){101, 103}, 2);
		pop3_fixture_end(&fixture);
	}
}

/* What settle had to read on its way to the deletions is not lost. */
static void settling_keeps_messages(void **state)
{
	static const struct step script[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("DELE 3"),
		RAW("+OK\r\na\r\n.\r\n+OK\r\n"),
		C("QUIT"),
		S("+OK"),
		END,
	};
	struct pop3_fixture fixture;

	(void)state;
	pop3_fixture_init(&fixture);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	pop3_fixture_request(&fixture, 1, 1);
	dispose(&fixture, 3);
	assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
	pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	expect_disposed(&fixture, (const uint64_t[]){103}, 1);
	pop3_fixture_end(&fixture);
}

/* RFC 1939 6: without the answer to QUIT nothing is deleted, or nobody knows. */
static void nothing_is_disposed_without_an_answer_to_quit(void **state)
{
	static const struct step deletes[] = {PLAY(pop3_enters_quickly), C("DELE 1"), S("+OK"), END};
	static const struct step scripts[][8] = {
		{PLAY(deletes), C("QUIT"), S("-ERR some deleted messages not removed"), END},
		{PLAY(deletes), C("QUIT"), CLOSE, END},
		{PLAY(deletes), C("QUIT"), RAW("+OK\r"), CLOSE, END},
		{PLAY(deletes), CLOSE, END},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		pop3_fixture_enter(&fixture, scripts[i], PEER_WHOLE);
		dispose(&fixture, 1);
		assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
		assert_int_equal(source_close(fixture.source, &fixture.err), -1);
		assert_int_equal(fixture.err.kind, ERR_TEMP);
		expect_disposed(&fixture, NULL, 0);
		pop3_fixture_end(&fixture);
	}
}

/* Deletions count even when the session is left in the middle of a window: bodies on their way are read past, those not asked for yet are not. */
static void leaving_early_still_deletes(void **state)
{
	static const struct step quick[] = {
		PLAY(pop3_enters_quickly),
		C("RETR 1"),
		C("RETR 2"),
		RAW("+OK\r\na\r\n.\r\n+OK\r\nhalf"),
		C("DELE 1"),
		RAW("\r\n.\r\n+OK\r\n"),
		C("QUIT"),
		S("+OK"),
		END,
	};
	static const struct step slow[] = {
		PLAY(pop3_enters_slowly),
		C("RETR 1"),
		RAW("+OK\r\na\r\n.\r\n"),
		C("RETR 2"),
		RAW("+OK\r\nhalf\r\n.\r\n"),
		C("DELE 1"),
		S("+OK"),
		C("QUIT"),
		S("+OK"),
		END,
	};

	(void)state;
	for (unsigned variant = 0; variant < 2; variant++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		pop3_fixture_enter(&fixture, variant == 0 ? quick : slow, PEER_WHOLE);
		pop3_fixture_request(&fixture, 1, variant == 0 ? 2 : 3);
		pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
		dispose(&fixture, 1);
		assert_int_equal(source_close(fixture.source, &fixture.err), 0);
		expect_disposed(&fixture, (const uint64_t[]){101}, 1);
		pop3_fixture_end(&fixture);
	}
}

/* A reply too many is no reply to what will be asked next. */
static void unsolicited_replies_end_the_session(void **state)
{
	static const struct step too_many[] = {PLAY(pop3_enters_quickly), C("RETR 1"), RAW("+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n"), END};
	static const struct step farewell[] = {PLAY(pop3_enters_quickly), C("RETR 1"), RAW("+OK\r\na\r\n.\r\n-ERR idle too long\r\n"), CLOSE, END};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		pop3_fixture_enter(&fixture, i == 0 ? too_many : farewell, PEER_WHOLE);
		pop3_fixture_request(&fixture, 1, 1);
		pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
		assert_null(pop3_fixture_next(&fixture));
		assert_int_equal(fixture.err.kind, i == 0 ? ERR_PROTO : ERR_TEMP);
		assert_string_equal(
			fixture.err.text, i == 0 ? "server sent a reply that nobody asked for" : "server ended the session: idle too long");
		/* lost: nothing more is sent */
		assert_int_equal(source_dispose(fixture.source, 101, 1, DISPOSE_DELETE, NULL, &fixture.err), -1);
		assert_int_equal(source_flush(fixture.source, &fixture.err), -1);
		assert_int_equal(source_settle(fixture.source, &fixture.err), -1);
		assert_int_equal(source_close(fixture.source, &fixture.err), -1);
		pop3_fixture_end(&fixture);
	}
}

/* Else it would be taken for the answer to the next command, and its text for another message. */
static void nothing_is_asked_while_a_reply_too_many_lies_there(void **state)
{
	static const struct step slow[] = {PLAY(pop3_enters_slowly), C("RETR 1"), RAW("+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n"), END};
	static const struct step quick[] = {PLAY(pop3_enters_quickly), C("RETR 1"), RAW("+OK\r\na\r\n.\r\n+O"), END};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		pop3_fixture_enter(&fixture, i == 0 ? slow : quick, PEER_WHOLE);
		pop3_fixture_request(&fixture, 1, i == 0 ? 2 : 1);
		if (i == 1) {
			pop3_fixture_expect(&fixture, 1, TEXT("a\r\n"));
			dispose(&fixture, 1);
			assert_int_equal(source_flush(fixture.source, &fixture.err), -1);
		} else {
			assert_null(pop3_fixture_next(&fixture));
		}
		assert_int_equal(fixture.err.kind, ERR_PROTO);
		pop3_fixture_end(&fixture);
	}
}

static void requests_wait_for_flush(void **state)
{
	static const struct step script[] = {PLAY(pop3_enters_quickly), END};
	struct pop3_fixture fixture;
	struct haul *haul;

	(void)state;
	pop3_fixture_init(&fixture);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	assert_int_equal(source_request(fixture.source, haul_new(101, 1, 3, 0), &fixture.err), 0);
	assert_int_equal(source_receive(fixture.source, &haul, &fixture.err), 0);
	assert_int_equal(source_dispose(fixture.source, 102, 2, DISPOSE_MARK_SEEN, NULL, &fixture.err), -1);
	assert_int_equal(fixture.err.kind, ERR_CONFIG);
	pop3_fixture_end(&fixture);
}

static int warm_up(void **state)
{
	struct error err;

	(void)state;
	return tls_warm_up(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_body_arrives_as_it_is),
		cmocka_unit_test(a_cut_message_never_comes),
		cmocka_unit_test(a_cut_tls_connection_ends_nothing),
		cmocka_unit_test(refused_messages_leave_the_others_alone),
		cmocka_unit_test(oversized_messages_are_read_past),
		cmocka_unit_test(huge_lines_and_full_spools),
		cmocka_unit_test(fetches_and_deletions_share_a_queue),
		cmocka_unit_test(settling_keeps_messages),
		cmocka_unit_test(nothing_is_disposed_without_an_answer_to_quit),
		cmocka_unit_test(leaving_early_still_deletes),
		cmocka_unit_test(unsolicited_replies_end_the_session),
		cmocka_unit_test(nothing_is_asked_while_a_reply_too_many_lies_there),
		cmocka_unit_test(requests_wait_for_flush),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
