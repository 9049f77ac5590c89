/* test-poison.c - one message that cannot be fetched or is refused, at the first, middle and last place of three: the other two arrive and are deleted, and
 * the next session leaves the poison alone until its time has come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
#define EVIL "Return-Path: <eve@far.example>\r\nSubject: two\r\n\r\nother\r\n"
#define COUNT 3

/* A script that is put together; what it points to is static. */
struct script {
	struct step steps[80];
	unsigned count;
};

static void add(struct script *script, struct step step)
{
	assert_true(script->count < ARRAY_SIZE(script->steps));
	script->steps[script->count++] = step;
}
#define ADD(script, ...) add(script, (struct step)__VA_ARGS__)

static void configure(struct agent *agent, const char *protocol, uint16_t source, const char *destination, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {%s}\nmailboxes:\n  - name: isp\n    %s: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n    password: "
		"secret\n"
		"    deliver_to: home\n    after_delivery: delete\n%s",
		destination, protocol, source, more);
}

static void haul_home(struct agent *agent, const char *protocol, const struct step *script, const char *more, int status)
{
	struct peer *source = peer_start(script, PEER_LISTEN);
	char destination[128];

	snprintf(destination, sizeof(destination), "maildir: %s/home", agent->dir);
	configure(agent, protocol, source->port, destination, more);
	agent_expect(agent, status, "run", "isp");
	peer_finish(source);
}

/* -- POP3 -- */

#define ENTERS S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT")
static const struct step pop3_lists_three[] = {ENTERS, S("+OK 3 165"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("2 55"), S("3 55"), S("."),
	S("+OK"), S("1 a"), S("2 b"), S("3 c"), S("."), END};
static const struct step pop3_lists_first[] = {
	ENTERS, S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step pop3_lists_second[] = {
	ENTERS, S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 b"), S("."), END};
static const struct step pop3_lists_third[] = {
	ENTERS, S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 c"), S("."), END};
static const struct step *const pop3_lists_one[COUNT] = {pop3_lists_first, pop3_lists_second, pop3_lists_third};
static const struct step retr[COUNT] = {C("RETR 1"), C("RETR 2"), C("RETR 3")}, dele[COUNT] = {C("DELE 1"), C("DELE 2"), C("DELE 3")};
static const struct step hands_out[] = {S("+OK"), RAW(LETTER), S("."), END};
static const struct step pop3_leaves[] = {C("QUIT"), S("+OK bye"), END};

static void refused_by_retr(void **state)
{
	(void)state;
	for (unsigned place = 0; place < COUNT; place++) {
		const struct step again[] = {PLAY(pop3_lists_one[place]), PLAY(pop3_leaves), END};
		const struct step at_last[] = {
			PLAY(pop3_lists_one[place]), C("RETR 1"), PLAY(hands_out), C("DELE 1"), S("+OK"), PLAY(pop3_leaves), END};
		struct script first = {0};
		struct agent agent;

		ADD(&first, PLAY(pop3_lists_three));
		for (unsigned i = 0; i < COUNT; i++)
			add(&first, retr[i]);
		for (unsigned i = 0; i < COUNT; i++)
			if (i == place)
				ADD(&first, S("-ERR [SYS/TEMP] disk trouble"));
			else
				ADD(&first, PLAY(hands_out));
		for (unsigned i = 0; i < COUNT; i++)
			if (i != place)
				add(&first, dele[i]);
		ADD(&first, S("+OK"));
		ADD(&first, S("+OK"));
		ADD(&first, PLAY(pop3_leaves));
		ADD(&first, END);
		agent_init(&agent);
		haul_home(&agent, "pop3", first.steps, "", 75);
		assert_int_equal(agent_mail(&agent, "new", NULL), 2);
		assert_int_equal(agent_status(&agent, "open"), 1);
		haul_home(&agent, "pop3", again, "", 0); /* not yet */
		assert_int_equal(agent_mail(&agent, "new", NULL), 2);
		agent_let_time_pass(&agent);
		haul_home(&agent, "pop3", at_last, "", 0);
		assert_int_equal(agent_mail(&agent, "new", NULL), 3);
		agent_done(&agent);
	}
}

/* -- IMAP -- */

#define DATED(number, uid) S("* " number " FETCH (UID " uid " RFC822.SIZE 55 INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())")
#define SELECTED(exists) \
	PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), S("* " exists " EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 8]"), S("%2 OK")
static const struct step imap_lists_three[] = {
	SELECTED("3"), C("%3 UID FETCH 1:4294967295 *"), DATED("1", "5"), DATED("2", "6"), DATED("3", "7"), S("%3 OK"), END};
static const struct step gives[COUNT][4] = {
	{S("* 1 FETCH (UID 5 BODY[] {55}"), RAW(LETTER ")\r\n"), END},
	{S("* 2 FETCH (UID 6 BODY[] {55}"), RAW(LETTER ")\r\n"), END},
	{S("* 3 FETCH (UID 7 BODY[] {55}"), RAW(LETTER ")\r\n"), END},
};
static const struct step gives_nil[COUNT] = {S("* 1 FETCH (UID 5 BODY[] NIL)"), S("* 2 FETCH (UID 6 BODY[] NIL)"), S("* 3 FETCH (UID 7 BODY[] NIL)")};
static const struct step deletions[COUNT] = {DELETES("6:7"), DELETES("5,7"), DELETES("5:6")};
static const struct step left_alone[] = {SELECTED("1"), PLAY(imap_logged_out), END};

/* The tag of LOGOUT is of no interest: there are only nine. */
static void add_imap_end(struct script *script, unsigned place)
{
	add(script, deletions[place]);
	ADD(script, C("* LOGOUT"));
	ADD(script, CLOSE);
	ADD(script, END);
}

static void expect_one_left(struct agent *agent)
{
	assert_int_equal(agent_mail(agent, "new", NULL), 2);
	assert_int_equal(agent_status(agent, "open"), 1);
	haul_home(agent, "imap", left_alone, "", 0);
	assert_int_equal(agent_mail(agent, "new", NULL), 2);
}

static void fetched_as_nil(void **state)
{
	(void)state;
	for (unsigned place = 0; place < COUNT; place++) {
		struct script first = {0};
		struct agent agent;

		ADD(&first, PLAY(imap_lists_three));
		ADD(&first, C("%6 UID FETCH 5:7 (UID BODY.PEEK[])"));
		for (unsigned i = 0; i < COUNT; i++)
			if (i == place)
				add(&first, gives_nil[i]);
			else
				ADD(&first, PLAY(gives[i]));
		ADD(&first, S("%6 OK"));
		add_imap_end(&first, place);
		agent_init(&agent);
		haul_home(&agent, "imap", first.steps, "", 75);
		expect_one_left(&agent);
		agent_done(&agent);
	}
}

/* One broken message makes some servers refuse the whole command: then it is asked for alone. */
static void refused_by_fetch(void **state)
{
	static const struct step asks[COUNT] = {
		C("%6 UID FETCH 5 (UID BODY.PEEK[])"), C("%7 UID FETCH 6 (UID BODY.PEEK[])"), C("%8 UID FETCH 7 (UID BODY.PEEK[])")};
	static const struct step well[COUNT] = {S("%6 OK"), S("%7 OK"), S("%8 OK")};
	static const struct step broken[COUNT] = {S("%6 NO [SERVERBUG] cannot"), S("%7 NO [SERVERBUG] cannot"), S("%8 NO [SERVERBUG] cannot")};

	(void)state;
	for (unsigned place = 0; place < COUNT; place++) {
		struct script first = {0};
		struct agent agent;

		ADD(&first, PLAY(imap_lists_three));
		ADD(&first, C("%9 UID FETCH 5:7 (UID BODY.PEEK[])"));
		ADD(&first, S("%9 NO [SERVERBUG] cannot"));
		for (unsigned i = 0; i < COUNT; i++)
			add(&first, asks[i]);
		for (unsigned i = 0; i < COUNT; i++) {
			if (i != place)
				ADD(&first, PLAY(gives[i]));
			add(&first, i == place ? broken[i] : well[i]);
		}
		add_imap_end(&first, place);
		agent_init(&agent);
		haul_home(&agent, "imap", first.steps, "", 75);
		expect_one_left(&agent);
		agent_done(&agent);
	}
}

/* More than max_message, and no end of it: the session is given up, the message held, and the next one hauls the others. */
static void without_end(void **state)
{
	static char filler[4 * 1024 * 1024];
	static const struct step first[] = {PLAY(imap_lists_three), C("%6 UID FETCH 5:7 (UID BODY.PEEK[])"),
		S("* 1 FETCH (UID 5 BODY[] {4294967295}"), POUR(filler, sizeof(filler)), CLOSE, END};
	static const struct step second[] = {SELECTED("3"), C("%6 UID FETCH 6:7 (UID BODY.PEEK[])"), PLAY(gives[1]), PLAY(gives[2]), S("%6 OK"),
		DELETES("6:7"), PLAY(imap_logged_out), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "imap", first, "    max_message: 1MiB\n", 75);
	assert_int_equal(agent_mail(&agent, "new", NULL), 0);
	haul_home(&agent, "imap", second, "    max_message: 1MiB\n", 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	agent_done(&agent);
}

/* A server that hangs up at one message each time, with or without a word: twice may be the network, then the others are hauled without it. */
static void broken_off_at_one_message(void **state)
{
	static const struct step selected[] = {SELECTED("3"), END};
	static const struct step ends[] = {S("* BYE FETCH failed: internal error"), CUT};
	static const struct step others[COUNT] = {
		C("%6 UID FETCH 6:7 (UID BODY.PEEK[])"), C("%6 UID FETCH 5,7 (UID BODY.PEEK[])"), C("%6 UID FETCH 5:6 (UID BODY.PEEK[])")};

	(void)state;
	for (unsigned i = 0; i < 2 * COUNT; i++) {
		unsigned place = i / 2;
		struct script broken[2] = {0}, whole = {0};
		struct agent agent;

		ADD(&broken[0], PLAY(imap_lists_three));
		ADD(&broken[1], PLAY(selected));
		for (unsigned k = 0; k < 2; k++) {
			ADD(&broken[k], C("%6 UID FETCH 5:7 (UID BODY.PEEK[])"));
			for (unsigned m = 0; m < place; m++)
				ADD(&broken[k], PLAY(gives[m]));
			add(&broken[k], ends[i % 2]);
			if (i % 2 == 0)
				ADD(&broken[k], CLOSE);
			ADD(&broken[k], END);
		}
		ADD(&whole, PLAY(selected));
		add(&whole, others[place]);
		for (unsigned m = 0; m < COUNT; m++)
			if (m != place)
				ADD(&whole, PLAY(gives[m]));
		ADD(&whole, S("%6 OK"));
		add_imap_end(&whole, place);
		agent_init(&agent);
		haul_home(&agent, "imap", broken[0].steps, "", 75);
		haul_home(&agent, "imap", broken[1].steps, "", 75);
		assert_int_equal(agent_mail(&agent, "new", NULL), 0);
		haul_home(&agent, "imap", whole.steps, "", 0);
		expect_one_left(&agent);
		agent_done(&agent);
	}
}

static void broken_off_at_one_retr(void **state)
{
	static const struct step broken[] = {
		PLAY(pop3_lists_three), C("RETR 1"), C("RETR 2"), C("RETR 3"), S("+OK"), RAW("Return-Path: <"), CLOSE, END};
	static const struct step whole[] = {PLAY(pop3_lists_three), C("RETR 2"), C("RETR 3"), PLAY(hands_out), PLAY(hands_out), C("DELE 2"),
		C("DELE 3"), S("+OK"), S("+OK"), PLAY(pop3_leaves), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", broken, "", 75);
	haul_home(&agent, "pop3", broken, "", 75);
	haul_home(&agent, "pop3", whole, "", 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	assert_int_equal(agent_status(&agent, "open"), 1);
	agent_done(&agent);
}

/* -- refused by the destination -- */

static const struct step greets[] = {S("220 mx"), C("EHLO *"), S("250 mx"), END};
static const struct step takes[] = {
	C("MAIL FROM:<ben@far.example>*"), S("250"), C("RCPT TO:<anna@home.example>*"), S("250"), C("DATA"), S("354"), DOT, S("250 taken"), END};
static const struct step evil_from[] = {C("MAIL FROM:<eve@far.example>*"), END};
static const struct step evil_to[] = {PLAY(evil_from), S("250"), C("RCPT TO:<anna@home.example>*"), END};
static const struct step evil_data[] = {PLAY(evil_to), S("250"), C("DATA"), END};
static const struct step evil_dot[] = {PLAY(evil_data), S("354"), DOT, END};
static const struct step hands_out_evil[] = {S("+OK"), RAW(EVIL), S("."), END};
static const struct step quits[] = {C("QUIT"), S("221 bye"), END};

static const struct refusal {
	struct step steps[5];
	const char *key; /* of status: what it is then */
	int status;
} refusals[] = {
	{{PLAY(evil_from), S("550 5.1.8 no such domain"), END}, "held", 0},
	{{PLAY(evil_to), S("550 5.7.1 not from you"), END}, "held", 0},
	{{PLAY(evil_to), S("450 4.1.8 who is that"), END}, "open", 75},
	{{PLAY(evil_data), S("554 no"), END}, "held", 0},
	{{PLAY(evil_data), S("451 greylisted"), END}, "open", 75},
	{{PLAY(evil_dot), S("554 5.6.0 malformed"), END}, "held", 0},
	{{PLAY(evil_dot), S("451 4.7.1 later"), END}, "open", 75},
};

static void one_refusal(unsigned place, const struct refusal *refusal)
{
	const struct step taking[] = {PLAY(greets), PLAY(evil_dot), S("250 now"), PLAY(quits), END};
	const struct step again[] = {PLAY(pop3_lists_one[place]), C("RETR 1"), PLAY(hands_out_evil), C("DELE 1"), S("+OK"), PLAY(pop3_leaves), END};
	struct script source_script = {0}, sink_script = {0};
	struct agent agent;

	ADD(&source_script, PLAY(pop3_lists_three));
	for (unsigned i = 0; i < COUNT; i++)
		add(&source_script, retr[i]);
	ADD(&sink_script, PLAY(greets));
	for (unsigned i = 0; i < COUNT; i++) {
		if (i == place) {
			ADD(&source_script, PLAY(hands_out_evil));
			ADD(&sink_script, PLAY(refusal->steps));
		} else {
			ADD(&source_script, PLAY(hands_out));
			/* A refused envelope is reset, if anything follows. */
			if (i == place + 1 && refusal->steps[0].steps != evil_dot) {
				ADD(&sink_script, C("RSET"));
				ADD(&sink_script, S("250"));
			}
			ADD(&sink_script, PLAY(takes));
		}
	}
	for (unsigned i = 0; i < COUNT; i++)
		if (i != place)
			add(&source_script, dele[i]);
	ADD(&source_script, S("+OK"));
	ADD(&source_script, S("+OK"));
	ADD(&source_script, PLAY(pop3_leaves));
	ADD(&source_script, END);
	ADD(&sink_script, PLAY(quits));
	ADD(&sink_script, END);
	agent_init(&agent);
	for (unsigned run = 0; run < 2; run++) {
		struct peer *source = peer_start(run == 0 ? source_script.steps : again, PEER_LISTEN);
		struct peer *sink = peer_start(run == 0 ? sink_script.steps : taking, PEER_LISTEN);
		char destination[80];

		snprintf(destination, sizeof(destination), "smtp: \"127.0.0.1:%u\", recipient: anna@home.example", sink->port);
		configure(&agent, "pop3", source->port, destination, "");
		agent_expect(&agent, run == 0 ? refusal->status : 0, "run", "isp");
		peer_finish(source);
		peer_finish(sink);
		assert_int_equal(agent_status(&agent, refusal->key), 1 - run);
		assert_int_equal(agent_status(&agent, "hauled"), 2 + run);
		agent_let_time_pass(&agent);
	}
	agent_done(&agent);
}

static void refused_by_the_destination(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		for (unsigned place = 0; place < COUNT; place++)
			one_refusal(place, &refusals[i]);
}

/* Nobody gets mail there: that is no fault of the messages. */
static void refused_altogether(void **state)
{
	static const struct {
		struct step steps[12];
		unsigned held;
	} cases[] = {
		/* a recipient that is not there */
		{{PLAY(greets), PLAY(evil_to), S("550 no such user"), C("RSET"), S("250"), PLAY(evil_to), S("550 no such user"), C("RSET"), S("250"),
			 PLAY(evil_to), S("550 no such user")},
			0},
		/* a login that is missing */
		{{PLAY(greets), PLAY(evil_from), S("530 5.7.0 log in"), C("RSET"), S("250"), PLAY(evil_from), S("530 5.7.0 log in"), C("RSET"),
			 S("250"), PLAY(evil_from), S("530 5.7.0 log in")},
			0},
		/* three in a row, but for now */
		{{PLAY(greets), PLAY(evil_dot), S("451 later"), PLAY(evil_dot), S("451 later"), PLAY(evil_dot), S("451 later")}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct step source_script[] = {PLAY(pop3_lists_three), C("RETR 1"), C("RETR 2"), C("RETR 3"), PLAY(hands_out_evil),
			PLAY(hands_out_evil), PLAY(hands_out_evil), PLAY(pop3_leaves), END};
		struct step sink_script[ARRAY_SIZE(cases[i].steps) + 1] = {END};
		struct peer *source = peer_start(source_script, PEER_LISTEN), *sink;
		struct agent agent;
		char destination[80];

		memcpy(sink_script, cases[i].steps, sizeof(cases[i].steps));
		sink = peer_start(sink_script, PEER_LISTEN);
		agent_init(&agent);
		snprintf(destination, sizeof(destination), "smtp: \"127.0.0.1:%u\", recipient: anna@home.example", sink->port);
		configure(&agent, "pop3", source->port, destination, "");
		agent_expect(&agent, 75, "run", "isp");
		peer_finish(source);
		peer_finish(sink);
		assert_int_equal(agent_status(&agent, "held"), cases[i].held);
		assert_int_equal(agent_status(&agent, "open"), COUNT);
		agent_done(&agent);
	}
}

/* One of two recipients has a full mailbox: the other gets the mail, and the source keeps it for the first. */
static void a_quota_of_one_recipient(void **state)
{
	static const struct step source_script[] = {PLAY(pop3_lists_first), C("RETR 1"), PLAY(hands_out), PLAY(pop3_leaves), END};
	static const struct step sink_script[] = {S("220 mx"), C("LHLO *"), S("250 mx"), C("MAIL FROM:<ben@far.example>*"), S("250"),
		C("RCPT TO:<anna@home.example>*"), S("250"), C("DATA"), S("354"), DOT, S("552 5.2.2 anna's mailbox is full"),
		C("MAIL FROM:<ben@far.example>*"), S("250"), C("RCPT TO:<bert@home.example>*"), S("250"), C("DATA"), S("354"), DOT,
		S("250 2.1.5 bert has it"), PLAY(quits), END};
	struct peer *source = peer_start(source_script, PEER_LISTEN), *sink = peer_start(sink_script, PEER_LISTEN);
	struct agent agent;
	char destination[96];

	(void)state;
	agent_init(&agent);
	snprintf(destination, sizeof(destination), "lmtp: \"127.0.0.1:%u\", recipient: [anna@home.example, bert@home.example]", sink->port);
	configure(&agent, "pop3", source->port, destination, "    on_refuse: delete\n");
	agent_expect(&agent, 0, "run", "isp");
	peer_finish(source);
	peer_finish(sink);
	assert_int_equal(agent_status(&agent, "held"), 1);
	assert_int_equal(agent_status(&agent, "owed"), 0);
	agent_expect(&agent, 0, "held", "list");
	assert_true(agent_printed(&agent, "anna's mailbox is full"));
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_by_retr),
		cmocka_unit_test(fetched_as_nil),
		cmocka_unit_test(refused_by_fetch),
		cmocka_unit_test(without_end),
		cmocka_unit_test(broken_off_at_one_message),
		cmocka_unit_test(broken_off_at_one_retr),
		cmocka_unit_test(refused_by_the_destination),
		cmocka_unit_test(refused_altogether),
		cmocka_unit_test(a_quota_of_one_recipient),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
