/* test-imap-fetch.c - messages from an IMAP server: what counts as one, and what becomes of everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/imap-fixture.h"

#define SECONDS_ARE_5_MS 0.005
#define ANNOUNCED 10

static char filler[1001];

/* UIDs 5, 6 and 8 have been asked for, all at once. */
#define ASKED C("%3 UID FETCH 5:6,8 (UID BODY.PEEK[])")
#define GOT_5 S("* 1 FETCH (UID 5 BODY[] {3}"), RAW("abc)\r\n")
#define GOT_6 S("* 2 FETCH (UID 6 BODY[] {2}"), RAW("de)\r\n")
#define GOT_8 S("* 3 FETCH (UID 8 BODY[] {1}"), RAW("f)\r\n")
#define MISSING " temporary: server said OK but sent no message\n"
#define EMPTY " temporary: server sent an empty message where it had announced 10 bytes\n"
#define PROTO "lost protocol: server broke the IMAP protocol: "

static const struct {
	struct step script[20];
	const char *expected;
} cases[] = {
	{{ASKED, GOT_5, GOT_6, GOT_8, S("%3 OK"), END}, "5 <abc>\n6 <de>\n8 <f>\n"},
	/* any order, with news in between and items on both sides; a literal that looks like responses */
	{{ASKED, GOT_8, S("* 9 EXISTS"), S("* 1 EXPUNGE"), S("* VANISHED 1:3"), S("* 2 FETCH (FLAGS (\\Seen) BODY[] {27}"),
		 RAW("a1 OK done\r\n* BYE\r\n)\r\n\"\\{3} UID 6 X-LIST ((a) \"b\"))\r\n"), S("* OK [APPENDUID 1 1] [COPYUID x]"),
		 S("* LSUB (a) NIL \"../../x\""), S("* STATUS x (MESSAGES 1)"), GOT_5, S("%3 OK"), END},
		"5 <abc>\n6 <a1 OK done\r\n* BYE\r\n)\r\n\"\\{3}>\n8 <f>\n"},
	/* a quoted string is as good as a literal */
	{{ASKED, S("* 1 FETCH (UID 5 BODY[] \"a\\\"b\\\\c\")"), S("* 1 FETCH (BODY[] \"\" UID 6)"), S("* 1 FETCH (UID 8 BODY[] NIL)"), S("%3 OK"),
		 END},
		"5 <a\"b\\c>\n6" EMPTY "8" EMPTY},
	{{ASKED, S("* 1 FETCH (UID 5 BODY[] {0}"), S(")"), S("%3 OK"), END}, "5" EMPTY "6" MISSING "8" MISSING},
	/* OK, but where is it? */
	{{ASKED, S("%3 OK FETCH completed"), END}, "5" MISSING "6" MISSING "8" MISSING},
	{{ASKED, S("* 1 FETCH (UID 5 FLAGS (\\Seen))"), GOT_6, S("* 3 FETCH ()"), S("%3 OK"), END}, "5" MISSING "6 <de>\n8" MISSING},
	/* flags first, the message in a response of its own */
	{{ASKED, S("* 1 FETCH (UID 5 FLAGS ())"), GOT_5, GOT_6, GOT_8, S("* 1 FETCH (UID 5 FLAGS (\\Seen))"), S("%3 OK"), END},
		"5 <abc>\n6 <de>\n8 <f>\n"},
	/* what was not asked for: other UIDs, none, nonsense, twice */
	{{ASKED, S("* 4 FETCH (UID 7 BODY[] {1}"), RAW("x)\r\n"), S("* 4 FETCH (BODY[] {1}"), RAW("x)\r\n"),
		 S("* 4 FETCH (UID 4294967301 BODY[] {1}"), RAW("x)\r\n"), GOT_5, GOT_6, S("* 3 FETCH (UID 5 BODY[] {1}"), RAW("x)\r\n"), GOT_8,
		 S("%3 OK"), END},
		"5 <abc>\n6 <de>\n8 <f>\n"},
	/* larger than max_message: thrown away, and the session goes on */
	{{ASKED, GOT_5, S("* 2 FETCH (UID 6 BODY[] {1001}"), RAW("x"), BYTES(filler, 1000), S(")"), S("* 3 FETCH (BODY[] {1001}"),
		 BYTES(filler, 1001), S(" UID 8)"), S("%3 OK"), END},
		"6 oversized refused: message has 1001 bytes, more than the 1000 that max_message allows\n"
		"8 oversized refused: message has 1001 bytes, more than the 1000 that max_message allows\n5 <abc>\n"},
	{{ASKED, S("* 2 FETCH (UID 6 BODY[] {18446744073709551615}"), END},
		"6 oversized refused: message has 18446744073709551615 bytes, more than the 1000 that max_message allows\n"
		"lost protocol: server began to send a message of 18446744073709551615 bytes, which it had not announced\n"},
	{{ASKED, S("* 4 FETCH (UID 7 BODY[] {4294967296}"), END},
		"lost protocol: server began to send a message of 4294967296 bytes, which it had not announced\n"},
	{{ASKED, S("* 4 FETCH (UID 5 BODY[] {99999999999999999999999}"), END}, PROTO "a word, quoted string or literal that is not well-formed\n"},
	{{ASKED, S("* 4 FETCH (UID 5 BODY[] {-1}"), END}, PROTO "a word, quoted string or literal that is not well-formed\n"},
	/* a literal shorter than it said swallows what follows, and is found out by what comes then */
	{{ASKED, S("* 1 FETCH (UID 5 BODY[] {21}"), RAW("abc)\r\n* 2 FETCH (UID 6 BODY[] NIL)\r\n"), END},
		PROTO "a literal that is followed by something that cannot follow it; its length was wrong\n"},
	{{ASKED, S("* 1 FETCH (UID 5 BODY[] {3}"), RAW("abc) and more\r\n"), END}, PROTO "something behind the list of a FETCH response\n"},
	{{ASKED, S("* 1 FETCH (UID 5 BODY[] {3}"), RAW("abc\r\n"), END}, PROTO "an open parenthesis at the end of a response\n"},
	/* the connection ends */
	{{ASKED, GOT_5, S("* BYE overloaded"), END}, "lost temporary: server said goodbye: overloaded\n"},
	{{ASKED, GOT_5, CLOSE, END}, "lost temporary: the server closed the connection\n"},
	{{ASKED, GOT_5, GOT_6, GOT_8, S("x%3 OK"), END}, "lost protocol: server answered a command that was not sent\n"},
	{{ASKED, GOT_5, GOT_6, GOT_8, S("%2 OK"), END}, "lost protocol: server answered a command that was not sent\n"},
	{{ASKED, GOT_5, S("+ go on"), END}, "lost protocol: server asked us to go on when we had nothing more to say\n"},
	/* a set that is refused is asked for again, one by one; what had come with it does not count */
	{{ASKED, GOT_5, S("%3 NO [UNAVAILABLE] UID FETCH Server error"), C("%4 UID FETCH 5 (UID BODY.PEEK[])"), C("%5 UID FETCH 6 (UID BODY.PEEK[])"),
		 C("%6 UID FETCH 8 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 5 BODY[] {3}"), RAW("xyz)\r\n"), S("%4 OK"),
		 S("%5 NO [UNAVAILABLE] broken"), GOT_8, S("%6 BAD what"), END},
		"5 <xyz>\n6 temporary: server could not send the message: broken\n8 temporary: server could not send the message: what\n"},
	{{ASKED, GOT_5, S("%3 BAD Request is throttled. Suggested Backoff Time: 299939 milliseconds"), END},
		"5 temporary: server could not send the message: Request is throttled. Suggested Backoff Time: 299939 milliseconds\n"
		"6 temporary: server could not send the message: Request is throttled. Suggested Backoff Time: 299939 milliseconds\n"
		"8 temporary: server could not send the message: Request is throttled. Suggested Backoff Time: 299939 milliseconds\n"},
};

static void start(struct imap_fixture *fixture, const struct step *script, unsigned flags)
{
	const struct step whole[] = {PLAY(imap_selected), PLAY(script), END};

	imap_fixture_init(fixture);
	imap_fixture_start(fixture, whole, flags);
	imap_fixture_select(fixture);
}

static void request(struct imap_fixture *fixture, uint32_t uid, uint64_t announced)
{
	assert_int_equal(source_request(fixture->source, haul_new(100 + uid, uid, announced, 0), &fixture->err), 0);
}

static void request_three(struct imap_fixture *fixture)
{
	static const uint32_t uids[] = {5, 6, 8};

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++)
		request(fixture, uids[i], ANNOUNCED);
	assert_int_equal(source_flush(fixture->source, &fixture->err), 0);
}

static void fetches(void **state)
{
	(void)state;
	memset(filler, 'x', sizeof(filler));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			struct imap_fixture fixture;
			struct str got = {0};

			start(&fixture, cases[i].script, flags);
			request_three(&fixture);
			imap_receive_all(&fixture, 3, &got);
			if (strcmp(str_text(&got), cases[i].expected) != 0)
				fail_msg("case %zu\n  is: %s\n  should be: %s", i, str_text(&got), cases[i].expected);
			str_done(&got);
			imap_fixture_end(&fixture);
		}
	}
}

/* Cut at any byte, a session has delivered all of a command's messages or none, and never a part of one. */
static void cut_anywhere(void **state)
{
	static const char answer[] =
		"* 1 FETCH (UID 5 BODY[] {3}\r\nabc)\r\n* 2 FETCH (BODY[] \"de\" UID 6)\r\n* 3 FETCH (UID 8 BODY[] {1}\r\nf)\r\n";

	(void)state;
	for (size_t len = 0; len < sizeof(answer); len++) {
		const struct step script[] = {ASKED, BYTES(answer, len), CLOSE, END};
		struct imap_fixture fixture;
		struct str got = {0};

		start(&fixture, script, PEER_WHOLE);
		request_three(&fixture);
		imap_receive_all(&fixture, 3, &got);
		assert_memory_equal(str_text(&got), "lost temporary: ", 16);
		str_done(&got);
		imap_fixture_end(&fixture);
	}
}

/* What was complete before the end is handed out before the end is told. */
static void complete_groups_survive_the_session(void **state)
{
	static const struct step script[] = {C("%3 UID FETCH 5 *"), C("%4 UID FETCH 6 *"), GOT_6, S("%4 OK"), GOT_5, RAW("%3 O"), CLOSE, END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	start(&fixture, script, PEER_WHOLE);
	request(&fixture, 5, ANNOUNCED);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	request(&fixture, 6, ANNOUNCED);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 2, &got);
	assert_string_equal(str_text(&got), "6 <de>\nlost temporary: the server closed the connection in the middle of a reply\n");
	assert_int_equal(source_flush(fixture.source, &fixture.err), -1);
	assert_int_equal(source_settle(fixture.source, &fixture.err), -1);
	assert_int_equal(source_select(fixture.source, "INBOX", true, &fixture.status, &fixture.err), -1);
	assert_int_equal(source_close(fixture.source, &fixture.err), -1);
	str_done(&got);
	imap_fixture_end(&fixture);
}

static void silence_ends_it(void **state)
{
	static const struct step scripts[][6] = {
		{ASKED, SILENCE, END},
		{ASKED, GOT_5, SILENCE, END},
		{ASKED, S("* 1 FETCH (UID 5 BODY[] {3}"), RAW("ab"), SILENCE, END},
		{ASKED, RAW("* 1 FETCH (UID 5 BO"), SILENCE, END},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct imap_fixture fixture;
		struct str got = {0};

		start(&fixture, scripts[i], PEER_WHOLE);
		fixture.mailbox.server.timeout_s = 40;
		deadline_set_factor(SECONDS_ARE_5_MS);
		request_three(&fixture);
		imap_receive_all(&fixture, 3, &got);
		deadline_set_factor(1);
		assert_string_equal(str_text(&got), "lost temporary: the server did not answer in time\n");
		str_done(&got);
		imap_fixture_end(&fixture);
	}
}

/* An empty message that was announced as one is a message; one beyond the limit is not even asked for. */
static void announced_sizes(void **state)
{
	static const struct step script[] = {C("%3 UID FETCH 5:8 *"), S("* 1 FETCH (UID 5 BODY[] {0}"), S(")"), S("* 2 FETCH (UID 6 BODY[] \"\")"),
		S("* 3 FETCH (UID 7 BODY[] NIL)"), S("* 4 FETCH (UID 8 BODY[] {1000}"), BYTES(filler, 1000), S(")"), S("%3 OK"), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	start(&fixture, script, PEER_WHOLE);
	for (uint32_t uid = 5; uid <= 7; uid++)
		request(&fixture, uid, 0);
	request(&fixture, 8, 1000);
	request(&fixture, 9, 1001);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 4, &got);
	assert_string_equal(str_text(&got), "9 oversized refused: message has 1001 bytes, more than the 1000 that max_message allows\n"
					    "5 <>\n6 <>\n7 temporary: server sent an empty message where it had announced 0 bytes\n");
	str_clear(&got);
	imap_receive_all(&fixture, 1, &got);
	assert_int_equal(got.len, 2 + 1 + 1000 + 2);
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* Commands of 64 messages or 1 MiB, a flight of 25, topped up as they are answered. */
static void windows(void **state)
{
	static const struct step script[] = {C("%3 UID FETCH 1:64 (UID BODY.PEEK[])"), C("%4 UID FETCH 65:66,68:70 (UID BODY.PEEK[])"), QUIET,
		S("%4 OK"), S("%3 OK"), C("%5 UID FETCH 100:101 *"), C("%6 UID FETCH 102 *"), QUIET, S("%5 OK"), S("%6 OK"), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	start(&fixture, script, PEER_WHOLE);
	fixture.mailbox.max_message = 1024 * 1024;
	for (uint32_t uid = 1; uid <= 70; uid++)
		if (uid != 67)
			request(&fixture, uid, 0);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 69, &got);
	for (uint32_t uid = 100; uid < 103; uid++)
		request(&fixture, uid, 512 * 1024);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 3, &got);
	str_done(&got);
	imap_fixture_end(&fixture);
}

static void at_most_25_commands_at_once(void **state)
{
	struct step script[40] = {C("%3 *")};
	struct imap_fixture fixture;
	struct str got = {0};
	size_t used = 1;

	(void)state;
	while (used < 24)
		script[used++] = (struct step)C("*");
	script[used++] = (struct step)C("%4 *");
	script[used++] = (struct step)QUIET;
	script[used++] = (struct step)S("%4 OK");
	script[used++] = (struct step)C("%5 UID FETCH 52 *");
	script[used++] = (struct step)QUIET;
	script[used++] = (struct step)S("%3 OK");
	script[used++] = (struct step)C("%6 UID FETCH 54 *");
	script[used++] = (struct step)QUIET;
	script[used++] = (struct step)S("%6 OK");
	script[used] = (struct step)END;
	start(&fixture, script, PEER_WHOLE);
	fixture.mailbox.max_message = 1024 * 1024;
	for (uint32_t uid = 2; uid <= 54; uid += 2)
		request(&fixture, uid, 1024 * 1024);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 3, &got);
	assert_string_equal(str_text(&got), "50" MISSING "2" MISSING "54" MISSING);
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* Hauls that are still on their way when another folder is opened come back first, as its UIDs are others. */
static void changing_folders_waits(void **state)
{
	static const struct step script[] = {
		ASKED, GOT_5, GOT_6, QUIET, S("%3 OK"), C("%4 EXAMINE \"b\""), S("* 1 EXISTS"), S("%4 OK [READ-ONLY]"), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	start(&fixture, script, PEER_WHOLE);
	request_three(&fixture);
	assert_int_equal(source_select(fixture.source, "b", false, &fixture.status, &fixture.err), 0);
	imap_receive_all(&fixture, 3, &got);
	assert_string_equal(str_text(&got), "5 <abc>\n6 <de>\n8" MISSING);
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* Whatever is queued, under way or complete when a session is given up is freed with it. */
static void closes_in_the_middle(void **state)
{
	static const struct step script[] = {ASKED, GOT_5, S("* 2 FETCH (UID 6 BODY[] {9}"), RAW("half"), DRAIN, END};
	struct imap_fixture fixture;
	struct haul *haul;

	(void)state;
	start(&fixture, script, PEER_WHOLE);
	request_three(&fixture);
	request(&fixture, 9, 5000);
	request(&fixture, 10, ANNOUNCED);
	assert_int_equal(source_receive(fixture.source, &haul, &fixture.err), 1);
	haul_free(haul);
	while (source_receive(fixture.source, &haul, &fixture.err) == 0 &&
		memmem(str_text(&fixture.trace), fixture.trace.len, "BODY[] {9}", 10) == NULL)
		continue;
	imap_fixture_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetches),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(complete_groups_survive_the_session),
		cmocka_unit_test(silence_ends_it),
		cmocka_unit_test(announced_sizes),
		cmocka_unit_test(windows),
		cmocka_unit_test(at_most_25_commands_at_once),
		cmocka_unit_test(changing_folders_waits),
		cmocka_unit_test(closes_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
