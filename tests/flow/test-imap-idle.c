/* test-imap-idle.c - an IMAP session that waits for mail: what servers announce and when, and how they stop being there. RFC 2177. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mail/haul.h"
#include "tests/lib/imap-fixture.h"

#define SECONDS_ARE_5_MS 0.005
#define CAPS "CAPABILITY IMAP4rev1 IDLE"
#define LIST "UID FETCH 10:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"
#define GUESS "UID FETCH 10:10 (UID BODY.PEEK[])"

static const struct step selects[] = {
	C("%2 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%2 OK [READ-WRITE] done"), END};
static const struct step selected[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" CAPS "] in"), PLAY(selects), END};
static const struct step idles[] = {PLAY(selected), C("%3 IDLE"), QUIET, S("+ idling"), END};

struct fixture {
	struct imap_fixture imap;
	struct host_facts facts;
	struct folder_status seen[2];
	bool news[2];
	struct source_watch watch;
	struct str listed;
};

static char inbox[] = "INBOX", junk[] = "Junk";
static char *folders[] = {inbox, junk, NULL};

/* Logged in, and INBOX is open and known. */
static void begin(struct fixture *fixture, const struct step *script)
{
	*fixture = (struct fixture){.facts.idle_s = 120};
	imap_fixture_init(&fixture->imap);
	fixture->imap.mailbox.folders = folders;
	imap_fixture_start(&fixture->imap, script, PEER_WHOLE);
	fixture->imap.context.facts = &fixture->facts;
	fixture->imap.context.writable = true;
	imap_fixture_select(&fixture->imap);
	assert_true(source_can_wait(fixture->imap.source));
	fixture->seen[0] = fixture->imap.status;
	fixture->watch = (struct source_watch){.seen = fixture->seen, .news = fixture->news, .until = DEADLINE_NEVER};
}

static void end(struct fixture *fixture)
{
	imap_fixture_end(&fixture->imap);
	str_done(&fixture->listed);
	deadline_set_factor(1);
}

static int watch(struct fixture *fixture)
{
	return source_wait(fixture->imap.source, &fixture->watch, &fixture->imap.err);
}

static void expect_news(struct fixture *fixture)
{
	if (watch(fixture) != 1)
		fail_msg("no news, but: %s", fixture->imap.err.text);
	assert_true(fixture->news[0]);
}

static int note(void *context, const struct listed *entry, struct error *err)
{
	struct fixture *fixture = context;

	(void)err;
	str_addf(&fixture->listed, "%" PRIu32 " ", entry->uid);
	return 0;
}

/* What a session does next, without a word to the server before the listing. */
static void list(struct fixture *fixture, const char *uids)
{
	struct folder_status status;
	bool contradictory;

	assert_int_equal(source_select(fixture->imap.source, inbox, true, &status, &fixture->imap.err), 0);
	assert_int_equal(status.uidvalidity, 7);
	assert_int_equal(status.uidnext, 0);                 /* so that it is listed */
	assert_int_equal(status.exists - status.arrived, 3); /* what was known, so that not all of it is */
	assert_int_equal(source_list(fixture->imap.source, 9, note, fixture, &contradictory, &fixture->imap.err), 0);
	assert_false(contradictory);
	assert_string_equal(str_text(&fixture->listed), uids);
}

static void fetch(struct fixture *fixture, uint32_t uid, uint64_t size, const char *expected)
{
	struct haul *haul = haul_new(1, uid, size, 0);
	struct str got = {0};

	assert_int_equal(source_request(fixture->imap.source, haul, &fixture->imap.err), 0);
	assert_int_equal(source_flush(fixture->imap.source, &fixture->imap.err), 0);
	imap_receive_all(&fixture->imap, 1, &got);
	assert_string_equal(str_text(&got), expected);
	str_done(&got);
}

static void announced_mail_takes_one_round_trip(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5 FLAGS ())"), S("%4 OK"), S("* 4 FETCH (UID 10 BODY[] {5}"), RAW("hello"), S(")"), S("%5 OK"), END};
	struct fixture fixture;

	(void)state;
	begin(&fixture, script);
	expect_news(&fixture);
	list(&fixture, "10 ");
	fetch(&fixture, 10, 5, "10 <hello>\n");
	end(&fixture);
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
		struct fixture fixture;
		struct error ignored;

		begin(&fixture, scripts[i]);
		expect_news(&fixture);
		source_flush(fixture.imap.source, &ignored);
		end(&fixture);
	}
}

/* No IDLE is needed for what was heard already. */
static void mail_is_noticed_while_busy(void **state)
{
	static const struct step script[] = {PLAY(selected), C("%3 " LIST), S("* 4 EXISTS"), S("%3 OK"), END};
	struct fixture fixture;
	bool contradictory;

	(void)state;
	begin(&fixture, script);
	assert_int_equal(source_list(fixture.imap.source, 9, note, &fixture, &contradictory, &fixture.imap.err), 0);
	expect_news(&fixture);
	end(&fixture);
}

/* What one IDLE has shown, and what came between it and the next. */
static void mail_between_two_idles(void **state)
{
	static const struct step script[] = {PLAY(idles), C("DONE"), S("%3 OK done"), S("* 4 EXISTS"), C("%4 IDLE"), S("+"), C("DONE"), END};
	struct fixture fixture;
	struct error ignored;

	(void)state;
	deadline_set_factor(SECONDS_ARE_5_MS);
	begin(&fixture, script);
	assert_int_equal(watch(&fixture), 0);
	expect_news(&fixture);
	source_flush(fixture.imap.source, &ignored);
	end(&fixture);
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
		struct fixture fixture;
		struct folder_status status;
		struct error ignored;

		begin(&fixture, scripts[i]);
		assert_int_equal(source_select(fixture.imap.source, junk, true, &status, &fixture.imap.err), 0);
		expect_news(&fixture);
		source_flush(fixture.imap.source, &ignored);
		end(&fixture);
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
		struct fixture fixture;

		begin(&fixture, scripts[i]);
		expect_news(&fixture);
		list(&fixture, "12 ");
		fetch(&fixture, 12, 5, "12 <hello>\n");
		end(&fixture);
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
	struct fixture fixture;

	(void)state;
	begin(&fixture, script);
	expect_news(&fixture);
	list(&fixture, "10 ");
	fetch(&fixture, 10, 5, "10 <hello>\n");
	end(&fixture);
}

/* max_message is 1000. What nobody asked for by then is read and thrown away, and the session goes on. */
static void a_guess_may_be_too_large(void **state)
{
	static char body[5000];
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), C("%4 " LIST), C("%5 " GUESS), S("%3 OK done"),
		S("* 4 FETCH (UID 10 RFC822.SIZE 5000 FLAGS ())"), S("%4 OK"), S("* 4 FETCH (UID 10 BODY[] {5000}"), BYTES(body, sizeof(body)),
		S(")"), S("%5 OK"), C("%6 IDLE"), S("+"), S("* 5 EXISTS"), C("DONE"), END};
	struct fixture fixture;
	struct error ignored;

	(void)state;
	memset(body, 'x', sizeof(body));
	begin(&fixture, script);
	expect_news(&fixture);
	list(&fixture, "10 ");
	fetch(&fixture, 10, 5000, "10 oversized refused: message has 5000 bytes, more than the 1000 that max_message allows\n");
	expect_news(&fixture);
	source_flush(fixture.imap.source, &ignored);
	end(&fixture);
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
		struct fixture fixture;

		deadline_set_factor(SECONDS_ARE_5_MS);
		begin(&fixture, cases[i].script);
		fixture.facts.idle_s = 240;
		fixture.watch.until = deadline_in_s(120);
		if (watch(&fixture) != -1)
			fail_msg("case %zu does not fail", i);
		imap_expect_error(&fixture.imap.err, cases[i].kind, cases[i].scope, cases[i].text);
		if (fixture.facts.idle_s != cases[i].idle_s)
			fail_msg("case %zu: %" PRIu32 " seconds", i, fixture.facts.idle_s);
		assert_int_equal(source_can_wait(fixture.imap.source), cases[i].waits);
		end(&fixture);
	}
}

/* A whole span of silence, survived. */
static void asks_whether_the_server_is_there(void **state)
{
	static const struct step script[] = {PLAY(idles), C("DONE"), S("%3 OK"), C("%4 IDLE"), S("+"), C("DONE"), S("%4 OK"), END};
	struct fixture fixture;

	(void)state;
	deadline_set_factor(SECONDS_ARE_5_MS);
	begin(&fixture, script);
	assert_int_equal(watch(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127);
	fixture.watch.until = deadline_in_s(10);
	assert_int_equal(watch(&fixture), 0);
	assert_int_equal(fixture.facts.idle_s, 127); /* that was too short to show anything */
	end(&fixture);
}

/* Announcements that came to nothing before do not wake at once. */
static void hushed_announcements_wait(void **state)
{
	static const struct step script[] = {PLAY(idles), S("* 4 EXISTS"), C("DONE"), END};
	struct fixture fixture;
	struct error ignored;

	(void)state;
	deadline_set_factor(SECONDS_ARE_5_MS);
	begin(&fixture, script);
	fixture.watch.hush = deadline_in_s(20);
	expect_news(&fixture);
	assert_true(deadline_passed(fixture.watch.hush));
	source_flush(fixture.imap.source, &ignored);
	end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announced_mail_takes_one_round_trip),
		cmocka_unit_test(mail_is_noticed_whenever_it_is_announced),
		cmocka_unit_test(mail_is_noticed_while_busy),
		cmocka_unit_test(mail_between_two_idles),
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
