/* test-imap-notify.c - an IMAP session that is told of all its folders at once: what it hears of which, and what it does when it hears no more. RFC 5465. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/watch-fixture.h"

#define CAPS "CAPABILITY IMAP4rev1 IDLE NOTIFY"
#define ITEMS " (UID RFC822.SIZE INTERNALDATE FLAGS)"
#define NOTIFY "NOTIFY SET STATUS (SELECTED-DELAYED (MessageNew MessageExpunge)) (MAILBOXES (\"INBOX\" \"Junk\") (MessageNew MessageExpunge))"

/* Both folders were looked into; Junk is open. */
static const struct step looks_into_both[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" CAPS "] in"),
	C("%2 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%2 OK [READ-WRITE] done"),
	C("%3 SELECT \"Junk\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 8] ok"), S("* OK [UIDNEXT 1] ok"), S("%3 OK [READ-WRITE] done"), END};
static const struct step is_told[] = {PLAY(looks_into_both), C("%4 " NOTIFY), S("* STATUS INBOX (MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7)"),
	S("%4 OK done"), C("%9 IDLE"), QUIET, S("+ idling"), END};
static const struct step opens_inbox[] = {C("DONE"), C("%5 SELECT \"INBOX\""), C("%6 UID FETCH 10:4294967295" ITEMS),
	C("%7 UID FETCH 10:10 (UID BODY.PEEK[])"), S("%9 OK"), S("* 4 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 11] ok"),
	S("%5 OK [READ-WRITE] done"), END};

/* Both folders are known, and Junk is open. */
static void begin(struct watch_fixture *fixture, const struct step *script)
{
	watch_begin(fixture, script);
	watch_open(fixture, 0);
	watch_open(fixture, 1);
}

/* Wherever the message comes among the answers. */
static void another_folder_takes_one_round_trip(void **state)
{
	static const struct step in_order[] = {PLAY(is_told), S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11)"), PLAY(opens_inbox),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"), S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%7 OK"), END};
	static const struct step early[] = {PLAY(is_told), S("* STATUS \"INBOX\" (UIDNEXT 11 MESSAGES 4)"), PLAY(opens_inbox),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%6 OK"), S("%7 OK"), END};
	static const struct step very_early[] = {PLAY(is_told), S("* STATUS inbox (MESSAGES 4 UIDNEXT 11)"), PLAY(opens_inbox),
		S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%7 OK"), S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"), END};
	static const struct step *const scripts[] = {in_order, early, very_early};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		watch_expect_news(&fixture, true, false);
		watch_open(&fixture, 0);
		assert_int_equal(fixture.seen[0].exists - fixture.seen[0].above_mark, 3);
		watch_list(&fixture, 9, "10 ");
		watch_fetch(&fixture, 10, 5, "10 <hello>\n");
		watch_end(&fixture);
	}
}

/* The folder was renumbered meanwhile: what was asked for under the old numbers is not believed. */
static void the_early_listing_may_be_the_wrong_one(void **state)
{
	static const struct step script[] = {PLAY(is_told), S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11)"), C("DONE"), C("%5 SELECT \"INBOX\""),
		C("%6 UID FETCH 10:4294967295" ITEMS), C("%7 UID FETCH 10:10 (UID BODY.PEEK[])"), S("%9 OK"), S("* 1 EXISTS"),
		S("* OK [UIDVALIDITY 9] ok"), S("* OK [UIDNEXT 12] ok"), S("%5 OK done"), S("* 1 FETCH (UID 11 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"),
		S("%7 OK"), C("%8 UID FETCH 1:4294967295" ITEMS), S("* 1 FETCH (UID 11 RFC822.SIZE 5 FLAGS ())"), S("%8 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	watch_open(&fixture, 0);
	watch_list(&fixture, 0, "11 ");
	watch_end(&fixture);
}

static void news_and_what_is_none(void **state)
{
	static const struct {
		struct step script[8];
		bool of_inbox, of_junk;
	} cases[] = {
		{{PLAY(is_told), S("* 1 EXISTS"), END}, false, true},
		{{PLAY(is_told), S("* STATUS INBOX (MESSAGES 2 UIDNEXT 10)"), S("* STATUS Other (MESSAGES 9 UIDNEXT 99)"), S("* 1 EXISTS"), END},
			false, true},
		{{PLAY(is_told), S("* STATUS INBOX (MESSAGES 3 UIDNEXT 10 UIDVALIDITY 9)"), END}, true, false},
		{{PLAY(looks_into_both), C("%4 " NOTIFY), S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11 UIDVALIDITY 7)"), S("%4 OK done"), END}, true,
			false},
		{{PLAY(is_told), S("* OK [NOTIFICATIONOVERFLOW] too much"), END}, true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct watch_fixture fixture;

		begin(&fixture, cases[i].script);
		watch_expect_news(&fixture, cases[i].of_inbox, cases[i].of_junk);
		watch_end(&fixture);
	}
}

/* Mail came in a folder after it was listed, and before it was left. */
static void nothing_is_left_behind(void **state)
{
	static const struct step script[] = {PLAY(is_told), S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11)"), PLAY(opens_inbox),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"), S("* 5 EXISTS"), S("%7 OK"), C("%8 SELECT \"Junk\""), S("* 0 EXISTS"),
		S("* OK [UIDVALIDITY 8] ok"), S("* OK [UIDNEXT 1] ok"), S("%8 OK done"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	watch_open(&fixture, 0);
	watch_list(&fixture, 9, "10 ");
	watch_open(&fixture, 1);
	watch_expect_news(&fixture, true, false);
	watch_end(&fixture);
}

/* What the server had heard of a folder and not told when it was left. */
static void a_folder_that_was_left_is_asked_about(void **state)
{
	static const struct step script[] = {PLAY(is_told), S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11)"), PLAY(opens_inbox),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"), S("%7 OK"), C("%8 STATUS \"Junk\" (MESSAGES UIDNEXT UIDVALIDITY)"),
		S("* STATUS Junk (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 8)"), S("%8 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	watch_open(&fixture, 0);
	watch_list(&fixture, 9, "10 ");
	watch_expect_news(&fixture, false, true);
	watch_end(&fixture);
}

/* After an overflow it is asked for again, but not for ever. */
static void overflow_upon_overflow(void **state)
{
	static const struct step script[] = {PLAY(is_told), S("* OK [NOTIFICATIONOVERFLOW] too much"), C("DONE"), S("%9 OK"), C("%5 " NOTIFY),
		S("* OK [NOTIFICATIONOVERFLOW] too much"), S("%5 OK"), C("%6 " NOTIFY), S("* OK [NOTIFICATIONOVERFLOW] too much"), S("%6 OK"),
		C("%7 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%7 OK"), C("%8 IDLE"),
		S("+ idling"), S("* 4 EXISTS"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	for (unsigned i = 0; i < 3; i++)
		watch_expect_news(&fixture, true, true);
	watch_expect_news_and_leave(&fixture, true, false);
}

static void a_server_that_refuses_has_idle(void **state)
{
	static const struct step script[] = {PLAY(looks_into_both), C("%4 " NOTIFY), S("%4 NO [BADEVENT (FlagChange)] not here"),
		C("%5 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%5 OK"), C("%6 IDLE"),
		S("+ idling"), S("* 4 EXISTS"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news_and_leave(&fixture, true, false);
}

static void silence_is_questioned(void **state)
{
	static const struct step alive[] = {PLAY(is_told), C("DONE"), S("%9 OK"), END};
	static const struct step dead[] = {PLAY(is_told), C("DONE"), SILENCE, END};
	struct watch_fixture fixture;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, alive);
	assert_int_equal(watch_once(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127);
	watch_end(&fixture);
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, dead);
	fixture.facts.idle_s = 300;
	fixture.watch.until = deadline_in_s(60);
	assert_int_equal(watch_once(&fixture), -1);
	imap_expect_error(&fixture.imap.err, ERR_TEMP, SCOPE_MAILBOX, "did not answer in time");
	assert_int_equal(fixture.facts.idle_s, 150);
	watch_end(&fixture);
}

/* NOTIFY alone makes it speak. */
static void a_server_without_idle(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev1 NOTIFY] ready"), C("%1 LOGIN \"anna\" \"secret\""),
		S("%1 OK [CAPABILITY IMAP4rev1 NOTIFY] in"), C("%2 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"),
		S("* OK [UIDNEXT 10] ok"), S("%2 OK"), C("%3 SELECT \"Junk\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 8] ok"),
		S("* OK [UIDNEXT 1] ok"), S("%3 OK"), C("%4 " NOTIFY), S("%4 OK"), C("%5 NOOP"), S("%5 OK"),
		S("* STATUS INBOX (MESSAGES 4 UIDNEXT 11)"), END};
	struct watch_fixture fixture;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, script);
	assert_int_equal(watch_once(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127);
	watch_expect_news(&fixture, true, false);
	watch_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_folder_takes_one_round_trip),
		cmocka_unit_test(the_early_listing_may_be_the_wrong_one),
		cmocka_unit_test(news_and_what_is_none),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(a_folder_that_was_left_is_asked_about),
		cmocka_unit_test(overflow_upon_overflow),
		cmocka_unit_test(a_server_that_refuses_has_idle),
		cmocka_unit_test(silence_is_questioned),
		cmocka_unit_test(a_server_without_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
