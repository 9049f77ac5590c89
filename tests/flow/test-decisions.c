/* test-decisions.c - what an operator decides: refetch, forget, held and status, as typed, with the real program and its state between scripted servers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"

/* -- POP3: one message, UIDL "a" -- */

#define ENTERS S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT")
#define LISTS(size) ENTERS, S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 " size), S("."), S("+OK"), S("1 a"), S(".")
#define HANDS_OUT C("RETR 1"), S("+OK"), RAW(LETTER), S(".")
#define LEAVES C("QUIT"), S("+OK bye"), END
static const struct step hauls[] = {LISTS("55"), HANDS_OUT, LEAVES};
static const struct step looks[] = {LISTS("55"), LEAVES};
static const struct step empty[] = {ENTERS, S("+OK 0 0"), C("LIST"), C("UIDL"), S("+OK"), S("."), S("+OK"), S("."), LEAVES};
static const struct step hauls_and_deletes[] = {LISTS("55"), HANDS_OUT, C("DELE 1"), S("+OK"), LEAVES};
static const struct step deletes[] = {LISTS("55"), HANDS_OUT, C("DELE 1"), S("+OK"), LEAVES};

static void configure(struct agent *agent, uint16_t port, const char *destination, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n  mta: {smtp: \"127.0.0.1:%s\", recipient: anna@home.example}\n"
		"mailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n    password: secret\n    deliver_to: %s\n    "
		"%s\n",
		agent->dir, strncmp(destination, "mta:", 4) == 0 ? destination + 4 : "9", port,
		strncmp(destination, "mta:", 4) == 0 ? "mta" : destination, more);
}

static void haul(struct agent *agent, const struct step *script, const char *more)
{
	struct peer *source = peer_start(script, PEER_LISTEN);

	configure(agent, source->port, "home", more);
	agent_expect(agent, 0, "run", "isp");
	peer_finish(source);
}

/* Everything that has arrived, which then is lost. */
static void lose_mail(struct agent *agent, unsigned expected, struct str *ret_mail)
{
	char *command = xasprintf("rm -rf '%s/home/new'", agent->dir);

	assert_int_equal(agent_mail(agent, "new", ret_mail), expected);
	assert_int_equal(system(command), 0);
	free(command);
}

static void mailhaul_id(const struct str *mail, char id[41])
{
	const char *at = strstr(str_text(mail), "\nX-Mailhaul-Id: ");

	assert_non_null(at);
	snprintf(id, 41, "%s", at + strlen("\nX-Mailhaul-Id: "));
}

/* -- refetch -- */

static void hauled_again_under_the_same_id(void **state)
{
	struct str first = {0}, second = {0};
	char first_id[41], second_id[41];
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, hauls, "after_delivery: keep");
	lose_mail(&agent, 1, &first);
	haul(&agent, looks, "after_delivery: delete");
	agent_expect(&agent, 0, "refetch", "isp", "a");
	assert_true(agent_printed(&agent, "1 message of isp will be hauled again"));
	agent_expect(&agent, 0, "refetch", "isp", "a");
	assert_true(agent_printed(&agent, "1 message is to be hauled anyway"));
	haul(&agent, hauls_and_deletes, "after_delivery: delete");
	lose_mail(&agent, 1, &second);
	mailhaul_id(&first, first_id);
	mailhaul_id(&second, second_id);
	assert_string_equal(first_id, second_id);
	agent_expect(&agent, 64, "refetch", "isp", "a");
	assert_true(agent_printed(&agent, "message a is no longer at the source"));
	haul(&agent, empty, "after_delivery: keep");
	str_done(&first);
	str_done(&second);
	agent_done(&agent);
}

/* What keep has left there is deleted now, since that is what is configured now. */
static void with_what_is_configured_now(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, hauls, "after_delivery: keep");
	lose_mail(&agent, 1, NULL);
	haul(&agent, looks, "after_delivery: delete");
	agent_expect(&agent, 64, "refetch", "isp", "2"); /* before the first poll that knows better, there is no such number */
	agent_expect(&agent, 0, "refetch", "isp", "1");
	haul(&agent, hauls_and_deletes, "after_delivery: delete");
	lose_mail(&agent, 1, NULL);
	agent_done(&agent);
}

static void what_first_run_skipped(void **state)
{
	struct peer *source;
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, looks, "first_run: new");
	source = peer_start(looks, PEER_LISTEN);
	configure(&agent, source->port, "home", "first_run: new");
	agent_expect(&agent, 0, "list", "isp");
	peer_finish(source);
	assert_true(agent_printed(&agent, "\n1 ")); /* the number that refetch takes */
	assert_true(agent_printed(&agent, "nothing to do"));
	agent_expect(&agent, 0, "refetch", "isp", "1");
	haul(&agent, hauls, "first_run: new");
	lose_mail(&agent, 1, NULL);
	agent_expect(&agent, 0, "refetch", "isp", "--since", "2026-01-01");
	assert_true(agent_printed(&agent, "1 message of isp"));
	haul(&agent, hauls, "first_run: new");
	lose_mail(&agent, 1, NULL);
	agent_done(&agent);
}

#define EXAMINED(tag, name, uidvalidity) \
	C(tag " EXAMINE \"" name "\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY " uidvalidity "]"), S("* OK [UIDNEXT 6]"), S(tag " OK")
#define LISTED(tag) \
	C(tag " UID FETCH 1:4294967295 *"), S("* 1 FETCH (UID 5 RFC822.SIZE 55 INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())"), S(tag " OK")
#define FETCHED(tag) C(tag " UID FETCH 5 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 5 BODY[] {55}"), RAW(LETTER ")\r\n"), S(tag " OK")

static void haul_folders(struct agent *agent, const struct step *script)
{
	struct peer *source = peer_start(script, PEER_LISTEN);

	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    imap: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n"
		"    password: secret\n    deliver_to: home\n    folders: [INBOX, a/b]\n",
		agent->dir, source->port);
	agent_expect(agent, 0, "run", "isp");
	peer_finish(source);
}

static void of_one_folder(void **state)
{
	static const struct step first[] = {PLAY(imap_logged_in), EXAMINED("%2", "INBOX", "7"), LISTED("%3"), FETCHED("%4"),
		EXAMINED("%5", "a/b", "8"), LISTED("%6"), FETCHED("%7"), PLAY(imap_logged_out), END};
	static const struct step second[] = {
		PLAY(imap_logged_in), EXAMINED("%2", "INBOX", "7"), EXAMINED("%5", "a/b", "8"), FETCHED("%7"), PLAY(imap_logged_out), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_folders(&agent, first);
	lose_mail(&agent, 2, NULL);
	agent_expect(&agent, 64, "refetch", "isp", "5");
	assert_true(agent_said(&agent, "several folders; write FOLDER/5"));
	agent_expect(&agent, 64, "refetch", "isp", "a/5");
	assert_true(agent_said(&agent, "hauls no folder \"a\""));
	agent_expect(&agent, 64, "refetch", "isp", "a/b/6");
	agent_expect(&agent, 64, "refetch", "isp", "a/b/five");
	agent_expect(&agent, 64, "refetch", "isp", "a/b/5", "INBOX/9"); /* all or nothing */
	agent_expect(&agent, 0, "refetch", "isp", "a/b/5");
	haul_folders(&agent, second);
	lose_mail(&agent, 1, NULL);
	agent_expect(&agent, 0, "refetch", "isp", "--since", "2026-02-01");
	assert_true(agent_printed(&agent, "2 messages of isp"));
	agent_expect(&agent, 64, "refetch", "isp", "--since", "2026-02-30");
	agent_done(&agent);
}

/* -- forget -- */

static void forgotten_is_new(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, hauls, "after_delivery: keep");
	lose_mail(&agent, 1, NULL);
	agent_expect(&agent, 64, "forget", "isp"); /* nobody is there to say yes */
	assert_true(agent_said(&agent, "--yes"));
	agent_expect(&agent, 64, "forget", "isq", "--yes");
	haul(&agent, looks, "after_delivery: keep");
	agent_expect(&agent, 0, "forget", "isp", "--yes");
	assert_true(agent_printed(&agent, "first_run"));
	agent_expect(&agent, 64, "forget", "isp", "--yes");
	haul(&agent, hauls, "after_delivery: keep");
	lose_mail(&agent, 1, NULL);
	agent_expect(&agent, 0, "forget", "isp", "--yes");
	haul(&agent, looks, "first_run: new");
	agent_done(&agent);
}

/* -- two at once -- */

static void nothing_is_decided_while_it_is_hauled(void **state)
{
	static const struct step dribbles[] = {LISTS("55"), C("RETR 1"), S("+OK here it comes"), RAW("Return-Path: <ben@far.ex"), SILENCE, END};
	struct peer *source = peer_start(dribbles, PEER_LISTEN);
	struct agent agent, other;

	(void)state;
	agent_init(&agent);
	configure(&agent, source->port, "home", "after_delivery: keep");
	agent_start(&agent, (const char *const[]){"run", "--trace", "isp", NULL});
	agent_await_text(&agent, "here it comes");
	other = agent;
	other.out = other.err = (struct str){0};
	agent_expect(&other, 75, "forget", "isp", "--yes");
	assert_true(agent_said(&other, "isp is being hauled by process"));
	agent_expect(&other, 75, "refetch", "isp", "a");
	assert_true(agent_said(&other, "isp is being hauled by process"));
	str_done(&other.out);
	str_done(&other.err);
	kill(agent.pid, SIGTERM);
	agent_expect_end(&agent, 75);
	peer_finish(source);
	agent_done(&agent);
}

/* -- held, status -- */

static const struct step refuses[] = {S("220 mx"), C("EHLO *"), S("250 mx"), C("MAIL FROM:<ben@far.example>*"), S("250"),
	C("RCPT TO:<anna@home.example>*"), S("250"), C("DATA"), S("354"), DOT, S("554 5.7.1 looks bad"), C("QUIT"), S("221"), END};
static const struct step never_answers[] = {S("220 mx"), C("EHLO *"), S("250 mx"), C("MAIL FROM:<ben@far.example>*"), S("250"),
	C("RCPT TO:<anna@home.example>*"), S("250"), C("DATA"), S("354"), DOT, CLOSE, END};

static void send_on(struct agent *agent, const struct step *sink_script, int status)
{
	struct peer *source = peer_start(hauls, PEER_LISTEN), *sink = peer_start(sink_script, PEER_LISTEN);
	char destination[16];

	snprintf(destination, sizeof(destination), "mta:%u", sink->port);
	configure(agent, source->port, destination, "after_delivery: keep");
	agent_expect(agent, status, "run", "isp");
	peer_finish(source);
	peer_finish(sink);
}

static void held_is_shown_and_decided(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	send_on(&agent, refuses, 0);
	agent_expect(&agent, 0, "held");
	assert_true(agent_printed(&agent, "mta: "));
	agent_expect(&agent, 0, "held", "list", "isp", "--json");
	assert_true(agent_printed(&agent, "\"destination\":\"mta\",\"recipient\":\"anna@home.example\""));
	assert_true(agent_printed(&agent, "\"attempts\":1,\"in_doubt\":false,\"by_hand\":false,\"next_try\":\"20"));
	agent_expect(&agent, 0, "held", "show", "1");
	assert_true(agent_printed(&agent, "5.7.1 looks bad"));
	assert_true(agent_printed(&agent, "held retry 1"));
	agent_expect(&agent, 64, "held", "show", "1", "2");
	agent_expect(&agent, 1, "status");
	assert_true(agent_printed(&agent, "held          1 message, the latest since 20"));
	assert_true(agent_printed(&agent, ": mta: "));
	assert_true(agent_printed(&agent, "next try      20"));
	agent_expect(&agent, 64, "held", "retry");
	agent_expect(&agent, 64, "held", "retry", "isp", "--all");
	agent_expect(&agent, 0, "held", "retry", "--all");
	agent_expect(&agent, 64, "held", "retry", "--all");
	agent_expect(&agent, 0, "status");
	assert_true(agent_printed(&agent, "next try      by the next run"));
	send_on(&agent, refuses, 0);
	agent_expect(&agent, 64, "held", "drop", "1", "--delete");
	assert_true(agent_said(&agent, "--yes"));
	assert_int_equal(agent_status(&agent, "held"), 1);
	agent_expect(&agent, 0, "held", "drop", "1", "--delete", "--yes");
	assert_int_equal(agent_status(&agent, "held"), 0);
	haul(&agent, deletes, "after_delivery: delete");
	assert_int_equal(agent_status(&agent, "owed"), 0);
	agent_done(&agent);
}

static void three_rounds_in_doubt_are_explained(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	for (unsigned i = 0; i < 3; i++)
		send_on(&agent, never_answers, 75);
	agent_expect(&agent, 0, "held", "show", "1");
	assert_true(agent_printed(&agent, "it was sent 3 times and no answer came"));
	assert_true(agent_printed(&agent, "X-Mailhaul-Id: "));
	assert_true(agent_printed(&agent, "next try     by hand"));
	agent_expect(&agent, 0, "held", "list");
	assert_true(agent_printed(&agent, "sent, never answered"));
	agent_expect(&agent, 1, "status");
	agent_done(&agent);
}

static void trouble_is_dated(void **state)
{
	static const struct step refuses_login[] = {S("+OK"), C("CAPA"), S("-ERR"), C("USER anna"), S("+OK"), C("PASS secret"), S("-ERR wrong"), END};
	struct agent agent;
	struct peer *source;

	(void)state;
	agent_init(&agent);
	source = peer_start(refuses_login, PEER_LISTEN);
	configure(&agent, source->port, "home", "after_delivery: keep");
	agent_expect(&agent, 77, "run");
	peer_finish(source);
	agent_expect(&agent, 1, "status");
	assert_true(agent_printed(&agent, "wrong\n                since 20"));
	haul(&agent, hauls, "after_delivery: keep");
	agent_expect(&agent, 0, "status");
	assert_false(agent_printed(&agent, "since"));
	agent_done(&agent);
}

static void an_option_without_meaning_is_refused(void **state)
{
	static const char *const cases[][4] = {
		{"run", "--json"},
		{"run", "--delete"},
		{"check", "--no-progress"},
		{"status", "--trace", "isp"},
		{"held", "--delete"},
		{"held", "list", "--delete"},
		{"held", "retry", "1", "--delete"},
		{"held", "drop", "1", "--json"},
		{"held", "drop", "1", "--all"},
		{"forget", "isp", "--all"},
		{"refetch", "isp", "--yes"},
		{"list", "isp", "--since=2026-01-01"},
	};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	configure(&agent, 9, "home", "after_delivery: keep");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		agent_expect(&agent, 64, cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
		if (!agent_said(&agent, "has no meaning for"))
			fail_msg("case %zu: %s", i, str_text(&agent.err));
	}
	agent_expect(&agent, 0, "held", "--json");
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hauled_again_under_the_same_id),
		cmocka_unit_test(with_what_is_configured_now),
		cmocka_unit_test(what_first_run_skipped),
		cmocka_unit_test(of_one_folder),
		cmocka_unit_test(forgotten_is_new),
		cmocka_unit_test(nothing_is_decided_while_it_is_hauled),
		cmocka_unit_test(held_is_shown_and_decided),
		cmocka_unit_test(three_rounds_in_doubt_are_explained),
		cmocka_unit_test(trouble_is_dated),
		cmocka_unit_test(an_option_without_meaning_is_refused),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
