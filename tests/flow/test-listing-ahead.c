/* test-listing-ahead.c - the listing of what is new, sent together with SELECT before anything is known of the folder: when it is the answer, and when
 * the folder is listed once more. A script that expects both commands before it answers the first shows that they came in one flight. RFC 9051 5.5 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"

#define OPENS(range) C("%2 EXAMINE \"INBOX\""), C("%3 UID FETCH " range " (UID RFC822.SIZE INTERNALDATE FLAGS)")
#define SELECTED(exists, uidnext) S("* " exists " EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT " uidnext "] ok"), S("%2 OK done")
#define ONE(uid) S("* 1 FETCH (UID " uid " RFC822.SIZE 1)")

struct ahead_case {
	const char *name;
	uint64_t mark, above;
	uint32_t above_mark;
	unsigned quirks;
	struct step script[16];
	const char *expected; /* the UIDs of the listing; then "!" if contradictory */
};

static const struct ahead_case cases[] = {
	{"the first time", 0, 0, 2, 0, {OPENS("1:50000"), SELECTED("2", "10"), ONE("9"), ONE("5"), S("%3 OK"), END}, "5 9 "},
	{"above a mark", 9, 9, 1, 0, {OPENS("10:50009"), SELECTED("3", "11"), ONE("10"), S("%3 OK"), END}, "10 "},
	{"nothing new", 9, 9, 0, 0, {OPENS("10:50009"), SELECTED("3", "10"), S("%3 OK"), END}, ""},
	{"news of another folder come before SELECT is answered", 9, 9, 1, 0,
		{OPENS("10:50009"), ONE("12"), SELECTED("3", "11"), ONE("10"), S("%3 OK"), END}, "10 "},
	{"more of it: on to the end of all UIDs", 9, 9, 1, 0,
		{OPENS("10:50009"), SELECTED("3", "60000"), ONE("10"), S("%3 OK"), C("%4 UID FETCH 50010:4294967295 *"), ONE("50010"), S("%4 OK"),
			END},
		"10 50010 "},
	{"the server does not say how much there is", 9, 9, 1, 0, {OPENS("10:50009"), S("* 2 EXISTS"), S("%2 OK"), ONE("10"), S("%3 OK"), END},
		"10 "},
	{"nor shows anything", 9, 9, 0, 0,
		{OPENS("10:50009"), S("* 2 EXISTS"), S("%2 OK"), S("%3 OK"), C("%4 UID FETCH 50010:4294967295 *"), S("%4 OK"), END}, ""},
	{"sparse UIDs of a new folder", 0, 0, 0, 0,
		{OPENS("1:50000"), SELECTED("2", "90001"), S("%3 OK"), C("%4 UID FETCH 50001:4294967295 *"), ONE("60000"), ONE("90000"), S("%4 OK"),
			END},
		"60000 90000 "},
	{"near the end of all UIDs", 4294967000, 4294967000, 1, 0,
		{OPENS("4294967001:4294967295"), SELECTED("2", "4294967002"), ONE("4294967001"), S("%3 OK"), END}, "4294967001 "},
	{"no UID is left", UINT32_MAX, 0, 0, 0,
		{C("%2 EXAMINE \"INBOX\""), SELECTED("1", "9"), C("%3 UID FETCH 1:4294967295 *"), ONE("5"), S("%3 OK"), END}, "5 "},
	{"asked for something else", 9, 0, 1, 0,
		{OPENS("10:50009"), SELECTED("2", "11"), ONE("10"), S("%3 OK"), C("%4 UID FETCH 1:4294967295 *"), ONE("5"), ONE("10"), S("%4 OK"),
			END},
		"5 10 "},
	{"refused", 9, 9, 0, 0,
		{OPENS("10:50009"), SELECTED("2", "11"), ONE("10"), S("%3 NO not so fast"), C("%4 UID FETCH 10:4294967295 *"), ONE("10"), S("%4 OK"),
			END},
		"10 "},
	{"more than the folder holds", 9, 9, 0, 0, {OPENS("10:50009"), SELECTED("1", "12"), ONE("10"), ONE("11"), S("%3 OK"), END}, "10 11 "},
	{"nonsense counts for nothing", 9, 9, 0, 0,
		{OPENS("10:50009"), SELECTED("3", "11"), ONE("10"), S("* 2 FETCH (UID 0 RFC822.SIZE 1)"), S("%3 OK"), END}, "10 !"},
	{"step by step", 9, 9, 0, QUIRK_NO_PIPELINING,
		{C("%2 EXAMINE \"INBOX\""), QUIET, SELECTED("1", "11"), C("%3 UID FETCH 10:4294967295 *"), ONE("10"), S("%3 OK"), END}, "10 "},
};

static int note(void *context, const struct listed *entry, struct error *err)
{
	(void)err;
	str_addf(context, "%" PRIu32 " ", entry->uid);
	return 0;
}

static char inbox[] = "INBOX", archive[] = "Archive";
static char *folders[] = {inbox, archive, NULL};

static void begin(struct imap_fixture *fixture, const struct step *script, const struct folder_facts *facts)
{
	imap_fixture_init(fixture);
	fixture->mailbox.folders = folders;
	imap_fixture_start(fixture, script, PEER_LISTS);
	fixture->context.folders = facts;
}

static void rides_with_select(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ahead_case *now = &cases[i];
		const struct step script[] = {PLAY(imap_logged_in), PLAY(now->script), END};
		const struct folder_facts facts[2] = {{.mark = now->mark}, {0}};
		struct imap_fixture fixture;
		bool contradictory = false;
		struct str got = {0};

		begin(&fixture, script, facts);
		fixture.mailbox.quirks = now->quirks;
		if (source_open(fixture.source, &fixture.err) < 0 ||
			source_select(fixture.source, "INBOX", false, &fixture.status, &fixture.err) < 0 ||
			source_list(fixture.source, now->above, note, &got, &contradictory, &fixture.err) < 0)
			fail_msg("%s: %s", now->name, fixture.err.text);
		str_add_text(&got, contradictory ? "!" : "");
		if (fixture.status.above_mark != now->above_mark || strcmp(str_text(&got), now->expected) != 0)
			fail_msg("%s: %u above the mark; %s", now->name, (unsigned)fixture.status.above_mark, str_text(&got));
		str_done(&got);
		imap_fixture_end(&fixture);
	}
}

/* One that nobody asks for is forgotten, and so is one of a folder that is not there; a folder that is selected again has another mark by then. */
static void once_for_each_folder(void **state)
{
	static const struct step script[] = {PLAY(imap_logged_in), OPENS("1:50000"), S("%2 NO no such folder"), S("%3 BAD nothing is selected"),
		C("%4 EXAMINE \"Archive\""), C("%5 UID FETCH 6:50005 *"), S("* 1 EXISTS"), S("%4 OK"), ONE("6"), S("%5 OK"),
		C("%6 EXAMINE \"Archive\""), QUIET, S("* 1 EXISTS"), S("%6 OK"), C("%7 UID FETCH 7:4294967295 *"), S("%7 OK"), END};
	static const struct folder_facts facts[2] = {{0}, {.mark = 5}};
	struct imap_fixture fixture;
	bool contradictory;
	struct str got = {0};

	(void)state;
	begin(&fixture, script, facts);
	assert_int_equal(source_open(fixture.source, &fixture.err), 0);
	assert_int_equal(source_select(fixture.source, "INBOX", false, &fixture.status, &fixture.err), -1);
	imap_expect_error(&fixture.err, ERR_REFUSED, SCOPE_FOLDER, "no such folder");
	assert_int_equal(source_select(fixture.source, "Archive", false, &fixture.status, &fixture.err), 0);
	assert_int_equal(fixture.status.above_mark, 1);
	assert_int_equal(source_select(fixture.source, "Archive", false, &fixture.status, &fixture.err), 0);
	assert_int_equal(fixture.status.above_mark, 0);
	assert_int_equal(source_list(fixture.source, 6, note, &got, &contradictory, &fixture.err), 0);
	assert_string_equal(str_text(&got), "");
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* --- the real program, several runs --- */

#define LETTER "Subject: one\r\n\r\nfirst\r\n"
#define LISTED(uid) S("* 1 FETCH (UID " uid " RFC822.SIZE 23 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" FLAGS ())")
#define SENDS(tag, uid) \
	C("%" tag " UID FETCH " uid " (UID BODY.PEEK[])"), S("* 1 FETCH (UID " uid " BODY[] {23}"), RAW(LETTER ")\r\n"), S("%" tag " OK")

static const struct step first_run[] = {PLAY(imap_logged_in), OPENS("1:50000"), SELECTED("2", "6"), LISTED("4"), LISTED("5"), S("%3 OK"),
	C("%4 UID FETCH 4:5 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 4 BODY[] {23}"), RAW(LETTER ")\r\n"), S("* 2 FETCH (UID 5 BODY[] {23}"),
	RAW(LETTER ")\r\n"), S("%4 OK"), PLAY(imap_logged_out), NEXT, END};

/* What is known of the host by now allows one command behind the login. */
static const struct step enters_again[] = {
	S("* OK"), C("%1 LOGIN \"anna\" \"secret\""), C("%8 CAPABILITY"), S("%1 OK in"), S("* " IMAP_CAPS), S("%8 OK"), END};

struct run_case {
	const char *name;
	struct step script[24];
	unsigned mail; /* in all */
};

static const struct run_case runs[] = {
	{"new mail explains the number of messages: no complete listing",
		{OPENS("6:50005"), SELECTED("3", "7"), LISTED("6"), S("%3 OK"), SENDS("4", "6")}, 3},
	{"UIDNEXT hides it", {OPENS("6:50005"), SELECTED("3", "6"), LISTED("6"), S("%3 OK"), SENDS("4", "6")}, 3},
	{"one is missing: everything is listed",
		{OPENS("6:50005"), SELECTED("2", "7"), LISTED("6"), S("%3 OK"), C("%4 UID FETCH 1:4294967295 *"), LISTED("5"), LISTED("6"),
			S("%4 OK"), SENDS("5", "6")},
		3},
	{"one becomes visible late: everything is listed",
		{OPENS("6:50005"), SELECTED("4", "7"), LISTED("6"), S("%3 OK"), C("%4 UID FETCH 1:4294967295 *"), LISTED("3"), LISTED("4"),
			LISTED("5"), LISTED("6"), S("%4 OK"), C("%5 UID FETCH 3,6 *"), S("* 1 FETCH (UID 3 BODY[] {23}"), RAW(LETTER ")\r\n"),
			S("* 4 FETCH (UID 6 BODY[] {23}"), RAW(LETTER ")\r\n"), S("%5 OK")},
		4},
};

static void counts_for_the_plan(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
		const struct step script[] = {PLAY(first_run), PLAY(enters_again), PLAY(runs[i].script), PLAY(imap_logged_out), END};
		struct peer *source = peer_start(script, PEER_LISTEN | PEER_LISTS);
		struct agent agent;

		agent_init(&agent);
		agent_configure(&agent,
			"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    imap: \"127.0.0.1:%u\"\n    tls: none\n"
			"    user: anna\n    password: secret\n    deliver_to: home\n",
			agent.dir, source->port);
		agent_expect(&agent, 0, "run", "isp");
		agent_expect(&agent, 0, "run", "isp");
		if (agent_mail(&agent, "new", NULL) != runs[i].mail)
			fail_msg("%s: %u messages", runs[i].name, agent_mail(&agent, "new", NULL));
		peer_finish(source);
		agent_done(&agent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rides_with_select),
		cmocka_unit_test(once_for_each_folder),
		cmocka_unit_test(counts_for_the_plan),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
