/* test-imap-idle.c - an IMAP session that waits for mail: what servers announce and when, and how they stop being there. RFC 2177. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "tests/lib/watch-fixture.h"

#define CAPS "CAPABILITY IMAP4rev1 IDLE"
#define LIST "UID FETCH 10:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"
#define GUESS "UID FETCH 10:10 (UID BODY.PEEK[])"

static const struct step selects[] = {
	C("%2 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%2 OK [READ-WRITE] done"), END};
static const struct step selected[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" CAPS "] in"), PLAY(selects), END};
static const struct step idles[] = {PLAY(selected), C("%3 IDLE"), QUIET, S("+ idling"), END};

/* INBOX is open and known. */
static void begin(struct watch_fixture *fixture, const struct step *script)
{
	watch_begin(fixture, script);
	watch_open(fixture, 0);
	assert_true(source_can_wait(fixture->imap.source));
}

/* What a session does next, without a word to the server before the listing. */
static void list(struct watch_fixture *fixture, const char *uids)
{
	const struct folder_status *status = &fixture->seen[0];

	watch_open(fixture, 0);
	assert_int_equal(status->uidvalidity, 7);
	assert_int_equal(status->uidnext, 0);                  /* so that it is listed */
	assert_int_equal(status->exists - status->arrived, 3); /* what was known, so that not all of it is */
	watch_list(fixture, 9, uids);
}

static void announced_mail_takes_one_round_trip(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%4 OK"), S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%5 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	list(&fixture, "10 ");
	watch_fetch(&fixture, 10, 5, "10 <hello>\n");
	watch_end(&fixture);
}

/* Each of these scripts has announced something when the client asks. */
static void mail_is_noticed_whenever_it_is_announced(void **state)
{
	static const struct step before[] = {PLAY(selected), C("%3 IDLE"), S("* 4 EXISTS"), S("+ idling"), C("DONE"), END};
	static const struct step replaced[] = {PLAY(idles), S("* 2 EXPUNGE"), S("* 3 EXISTS"), C("DONE"), END};
	static const struct step with_keepalive[] = {PLAY(idles), S("* OK Still here"), S("* 4 EXISTS"), C("DONE"), END};
	static const struct step *const scripts[] = {before, replaced, with_keepalive};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		watch_expect_news_and_leave(&fixture, true, false);
	}
}

/* No IDLE is needed for what was heard already. */
static void mail_is_noticed_while_busy(void **state)
{
	static const struct step script[] = {PLAY(selected), C("%3 " LIST), S("* 4 EXISTS"), S("%3 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_list(&fixture, 9, "");
	watch_expect_news(&fixture, true, false);
	watch_end(&fixture);
}

/* What one IDLE has shown, and what came between it and the next. */
static void mail_between_two_idles(void **state)
{
	static const struct step script[] = {PLAY(idles), C("DONE"), S("%3 OK done"), S("* 4 EXISTS"), C("%4 IDLE"), S("+"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, script);
	assert_int_equal(watch_once(&fixture), 0);
	watch_expect_news_and_leave(&fixture, true, false);
}

/* Who only listens hears one announcement after the other without a word of its own, and is asked once in a while whether it is there. */
static void listening_goes_on(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), S("* 6 EXISTS"), QUIET, S("* 5 EXPUNGE"), S("* OK Still here"),
		S("* 6 EXISTS"), C("DONE"), S("%3 OK done"), C("%4 IDLE"), S("+"), S("* 7 EXISTS"), END};
	struct watch_fixture fixture;
	uint32_t announced = 0;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, script);
	fixture.watch.listens = true;
	while (announced < 4) { /* whatever comes together */
		assert_int_equal(watch_once(&fixture), 1);
		announced += fixture.watch.announced;
	}
	assert_int_equal(announced, 4);
	assert_int_equal(watch_once(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127);
	assert_int_equal(watch_once(&fixture), 1);
	assert_int_equal(fixture.watch.announced, 1);
	watch_end(&fixture);
}

/* Somebody else listens to Junk. It was open before, so what is new in it comes in one round trip. */
static void what_others_have_heard(void **state)
{
	static const struct step script[] = {PLAY(selected), C("%3 SELECT \"Junk\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 8] ok"),
		S("* OK [UIDNEXT 5] ok"), S("%3 OK"), C("%4 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"),
		S("* OK [UIDNEXT 10] ok"), S("%4 OK"), C("%5 SELECT \"Junk\""), C("%6 UID FETCH 5:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"),
		C("%7 UID FETCH 5:6 (UID BODY.PEEK[])"), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 8] ok"), S("* OK [UIDNEXT 7] ok"), S("%5 OK"),
		S("* 2 FETCH (UID 5 RFC822.SIZE 5 FLAGS ())"), S("* 3 FETCH (UID 6 RFC822.SIZE 5 FLAGS ())"), S("%6 OK"),
		S("* 2 FETCH (UID 5 BODY[] {5}"), RAW("hello"), S(")"), S("* 3 FETCH (UID 6 BODY[] {5}"), RAW("world"), S(")"), S("%7 OK"), END};
	struct channel channel = {.fd = -1, .tipped = 2, .tips = {0, 2}};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_open(&fixture, 1);
	fixture.imap.context.channel = &channel;
	watch_expect_news(&fixture, false, true);
	channel_take_tip(&channel, 1);
	assert_int_equal(channel.tipped, 0);
	fixture.imap.context.channel = NULL;
	watch_open(&fixture, 1);
	watch_list(&fixture, 4, "5 6 ");
	watch_fetch(&fixture, 5, 5, "5 <hello>\n");
	watch_fetch(&fixture, 6, 5, "6 <world>\n");
	watch_end(&fixture);
}

/* Mail came in a folder after it was listed, and before it was left. */
static void nothing_is_left_behind(void **state)
{
	static const struct step script[] = {PLAY(selected), C("%3 SELECT \"Junk\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 8] ok"),
		S("* OK [UIDNEXT 5] ok"), S("%3 OK"), C("%4 UID FETCH 5:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"), S("* 2 EXISTS"),
		S("%4 OK"), C("%5 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%5 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_open(&fixture, 1);
	watch_list(&fixture, 4, "");
	watch_expect_news(&fixture, false, true);
	watch_end(&fixture);
}

/* What was deleted since makes room for what has come: UIDNEXT tells. */
static void a_folder_that_was_emptied_meanwhile(void **state)
{
	static const struct step script[] = {PLAY(selected), C("%3 SELECT \"Junk\""), S("* 0 EXISTS"), S("%3 OK"), C("%4 SELECT \"INBOX\""),
		S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 11] ok"), S("%4 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_open(&fixture, 1);
	fixture.seen[0].uidnext = 0; /* as after an announcement */
	watch_expect_news(&fixture, true, false);
	watch_end(&fixture);
}

static void another_folder_is_open(void **state)
{
	static const struct step leaves[] = {PLAY(selected), C("%3 SELECT \"Junk\""), S("* 0 EXISTS"), S("%3 OK"), C("%4 SELECT \"INBOX\""), END};
	static const struct step same[] = {PLAY(leaves), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%4 OK"),
		C("%5 IDLE"), S("+"), S("* 4 EXISTS"), C("DONE"), END};
	static const struct step more[] = {PLAY(leaves), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 11] ok"), S("%4 OK"), END};
	static const struct step other[] = {PLAY(leaves), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 8] ok"), S("* OK [UIDNEXT 10] ok"), S("%4 OK"), END};
	static const struct step *const scripts[] = {same, more, other};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		watch_open(&fixture, 1);
		watch_expect_news_and_leave(&fixture, true, false);
	}
}

static void a_wrong_guess_costs_nothing_but_bytes(void **state)
{
	static const struct step announces[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"), END};
	static const struct step elsewhere[] = {PLAY(announces), S("* 4 FETCH (UID 12 RFC822.SIZE 5 FLAGS ())"), S("%4 OK"), S("%5 OK"),
		C("%6 UID FETCH 12 (UID BODY.PEEK[])"), S("* 4 FETCH (UID 12 BODY[] {5}"), RAW("hello"), S(")"), S("%6 OK"), END};
	static const struct step refused[] = {PLAY(announces), S("* 4 FETCH (UID 12 RFC822.SIZE 5 FLAGS ())"), S("%4 OK"), S("%5 NO no such message"),
		C("%6 UID FETCH 12 (UID BODY.PEEK[])"), S("* 4 FETCH (UID 12 BODY[] {5}"), RAW("hello"), S(")"), S("%6 OK"), END};
	static const struct step *const scripts[] = {elsewhere, refused};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		watch_expect_news(&fixture, true, false);
		list(&fixture, "12 ");
		watch_fetch(&fixture, 12, 5, "12 <hello>\n");
		watch_end(&fixture);
	}
}

/* The guess was refused: its message is asked for again, alone. */
static void a_refused_guess_is_no_verdict(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%4 OK"), S("%5 NO not yet"),
		C("%6 "
		  "UID FETCH 10 (UID BODY.PEEK[])"),
		S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%6 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	list(&fixture, "10 ");
	watch_fetch(&fixture, 10, 5, "10 <hello>\n");
	watch_end(&fixture);
}

/* max_message is 1000. What nobody asked for by then is read and thrown away, and the session goes on. */
static void a_guess_may_be_too_large(void **state)
{
	static char body[5000];
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5000 FLAGS ())"), S("%4 OK"), S("* 4 FETCH (UID 10 BODY[] {5000}"), BYTES(body, sizeof(body)),
		S(")"), S("%5 OK"), C("%6 IDLE"), S("+"), S("* 5 EXISTS"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	memset(body, 'x', sizeof(body));
	begin(&fixture, script);
	watch_expect_news(&fixture, true, false);
	list(&fixture, "10 ");
	watch_fetch(&fixture, 10, 5000, "10 oversized refused: message has 5000 bytes, more than the 1000 that max_message allows\n");
	watch_expect_news_and_leave(&fixture, true, false);
}

static void ends_in_many_ways(void **state)
{
	static const struct {
		struct step script[6];
		enum error_kind kind;
		enum error_scope scope;
		const char *text;
		uint32_t idle_s; /* from 240 */
		bool waits;      /* it may be asked again */
	} cases[] = {
		{{PLAY(idles), S("* BYE see you"), END}, ERR_TEMP, SCOPE_MAILBOX, "goodbye: see you", 240, true},
		{{PLAY(idles), CLOSE, END}, ERR_TEMP, SCOPE_MAILBOX, "closed the connection", 240, true},
		{{PLAY(idles), C("DONE"), SILENCE, END}, ERR_TEMP, SCOPE_MAILBOX, "did not answer in time", 120, true},
		{{PLAY(idles), C("DONE"), CLOSE, END}, ERR_TEMP, SCOPE_MAILBOX, "closed the connection", 120, true},
		{{PLAY(selected), C("%3 IDLE"), SILENCE, END}, ERR_TEMP, SCOPE_MAILBOX, "did not answer in time", 240, true},
		{{PLAY(selected), C("%3 IDLE"), S("%3 NO not now"), END}, ERR_REFUSED, SCOPE_FOLDER, "refused IDLE", 240, false},
		{{PLAY(selected), C("%3 IDLE"), S("%3 BAD what?"), END}, ERR_PROTO, SCOPE_FOLDER, "refused IDLE", 240, false},
		{{PLAY(idles), S("%3 OK enough"), END}, ERR_REFUSED, SCOPE_FOLDER, "refused IDLE", 240, false},
		{{PLAY(idles), S("+ and again"), END}, ERR_PROTO, SCOPE_MAILBOX, "nothing more to say", 240, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct watch_fixture fixture;

		deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
		begin(&fixture, cases[i].script);
		fixture.facts.idle_s = 240;
		fixture.watch.until = deadline_in_s(120);
		if (watch_once(&fixture) != -1)
			fail_msg("case %zu does not fail", i);
		imap_expect_error(&fixture.imap.err, cases[i].kind, cases[i].scope, cases[i].text);
		if (fixture.facts.idle_s != cases[i].idle_s)
			fail_msg("case %zu: %" PRIu32 " seconds", i, fixture.facts.idle_s);
		assert_int_equal(source_can_wait(fixture.imap.source), cases[i].waits);
		watch_end(&fixture);
	}
}

/* A whole span of silence, survived. */
static void asks_whether_the_server_is_there(void **state)
{
	static const struct step script[] = {PLAY(idles), C("DONE"), S("%3 OK"), C("%4 IDLE"), S("+"), C("DONE"), S("%4 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, script);
	assert_int_equal(watch_once(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127);
	fixture.watch.until = deadline_in_s(10);
	assert_int_equal(watch_once(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127); /* that was too short to show anything */
	watch_end(&fixture);
}

/* Announcements that came to nothing before do not wake at once. */
static void hushed_announcements_wait(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	begin(&fixture, script);
	fixture.watch.hush = deadline_in_s(20);
	watch_expect_news(&fixture, true, false);
	assert_true(deadline_passed(fixture.watch.hush));
	source_flush(fixture.imap.source, &fixture.imap.err);
	watch_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announced_mail_takes_one_round_trip),
		cmocka_unit_test(mail_is_noticed_whenever_it_is_announced),
		cmocka_unit_test(mail_is_noticed_while_busy),
		cmocka_unit_test(mail_between_two_idles),
		cmocka_unit_test(listening_goes_on),
		cmocka_unit_test(what_others_have_heard),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(a_folder_that_was_emptied_meanwhile),
		cmocka_unit_test(another_folder_is_open),
		cmocka_unit_test(a_wrong_guess_costs_nothing_but_bytes),
		cmocka_unit_test(a_refused_guess_is_no_verdict),
		cmocka_unit_test(a_guess_may_be_too_large),
		cmocka_unit_test(ends_in_many_ways),
		cmocka_unit_test(asks_whether_the_server_is_there),
		cmocka_unit_test(hushed_announcements_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
