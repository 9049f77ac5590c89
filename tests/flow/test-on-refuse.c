/* test-on-refuse.c - on_refuse in whole sessions: the real program between a POP3 server and an SMTP server that refuses, and what it leaves at the source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define GOOD "Return-Path: <ben@far.example>\r\nSubject: good\r\n\r\nfirst\r\n"
#define SPAM "Return-Path: <eve@far.example>\r\nSubject: spam\r\n\r\nother\r\n"

#define ENTERS S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT")
#define HANDS_OUT(letter) S("+OK"), RAW(letter), S(".")
#define LEAVES C("QUIT"), S("+OK bye"), END
static const struct step both[] = {
	ENTERS, S("+OK 2 112"), C("LIST"), C("UIDL"), S("+OK"), S("1 56"), S("2 56"), S("."), S("+OK"), S("1 a"), S("2 b"), S("."), END};
static const struct step one_left[] = {ENTERS, S("+OK 1 56"), C("LIST"), C("UIDL"), S("+OK"), S("1 56"), S("."), S("+OK"), S("1 b"), S("."), END};
/* The first is taken and deleted, the second refused. */
static const struct step first_session[] = {PLAY(both), C("RETR 1"), C("RETR 2"), HANDS_OUT(GOOD), HANDS_OUT(SPAM), C("DELE 1"), S("+OK"), LEAVES};
static const struct step leaves_it[] = {PLAY(one_left), LEAVES};
static const struct step deletes_it[] = {PLAY(one_left), C("RETR 1"), HANDS_OUT(SPAM), C("DELE 1"), S("+OK"), LEAVES};
static const struct step hauls_and_deletes_it[] = {PLAY(one_left), C("RETR 1"), HANDS_OUT(SPAM), C("DELE 1"), S("+OK"), LEAVES};

static const struct step greets[] = {S("220 mx"), C("EHLO *"), S("250 mx"), END};
static const struct step takes_one[] = {C("MAIL FROM:<ben@far.example>*"), S("250"), C("RCPT TO:<anna@home.example>*"), S("250"), C("DATA"), S("354"),
	DOT, S("250 2.0.0 taken"), END};
static const struct step mail_from[] = {C("MAIL FROM:<eve@far.example>*"), END};
static const struct step rcpt_to[] = {PLAY(mail_from), S("250"), C("RCPT TO:<anna@home.example>*"), END};
static const struct step data[] = {PLAY(rcpt_to), S("250"), C("DATA"), END};
static const struct step dot[] = {PLAY(data), S("354"), DOT, END};
static const struct step quits[] = {C("QUIT"), S("221 bye"), END};

static void configure(struct agent *agent, uint16_t source, uint16_t sink, const char *rule)
{
	agent_configure(agent,
		"destinations:\n  mta: {smtp: \"127.0.0.1:%u\", recipient: anna@home.example}\n  spam: {maildir: %s/home}\n"
		"mailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n    password: secret\n    deliver_to: mta\n"
		"    after_delivery: delete\n    on_refuse: %s\n",
		sink, agent->dir, source, rule);
}

static void haul(struct agent *agent, const struct step *source_script, const struct step *sink_script, const char *rule)
{
	struct peer *source = peer_start(source_script, PEER_LISTEN), *sink = sink_script != NULL ? peer_start(sink_script, PEER_LISTEN) : NULL;

	configure(agent, source->port, sink != NULL ? sink->port : 9, rule);
	agent_expect(agent, 0, "-v", "run", "isp");
	peer_finish(source);
	if (sink != NULL)
		peer_finish(sink);
}

static const struct step refuses_at_dot[] = {PLAY(greets), PLAY(takes_one), PLAY(dot), S("554 5.7.1 spam"), PLAY(quits), END};
static const struct step refuses_at_data[] = {PLAY(greets), PLAY(takes_one), PLAY(data), S("554 no"), PLAY(quits), END};

static void what_is_refused_goes_elsewhere(void **state)
{
	static const struct step *const sinks[] = {refuses_at_dot, refuses_at_data};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct str mail = {0};
		struct agent agent;

		agent_init(&agent);
		haul(&agent, first_session, sinks[i], "{deliver_to: spam}");
		assert_true(agent_said(&agent, "event=diverted"));
		assert_false(agent_said(&agent, "event=held"));
		assert_int_equal(agent_mail(&agent, "new", NULL), 0);
		assert_int_equal(agent_status(&agent, "open"), 1);
		haul(&agent, hauls_and_deletes_it, NULL, "{deliver_to: spam}");
		assert_int_equal(agent_mail(&agent, "new", &mail), 1);
		assert_non_null(strstr(str_text(&mail), "Subject: spam"));
		assert_int_equal(agent_status(&agent, "hauled"), 2);
		str_done(&mail);
		agent_done(&agent);
	}
}

static void what_is_refused_is_deleted(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, first_session, refuses_at_dot, "delete");
	assert_true(agent_said(&agent, "event=discarded"));
	assert_int_equal(agent_status(&agent, "owed"), 1);
	haul(&agent, deletes_it, NULL, "delete");
	assert_int_equal(agent_status(&agent, "owed"), 0);
	assert_int_equal(agent_status(&agent, "held"), 0);
	agent_done(&agent);
}

/* The rule must not apply: the message is held, and stays. */
static void held_all_the_same(void **state)
{
	static const struct {
		struct step script[5];
		const char *rule;
	} cases[] = {
		{{PLAY(greets), PLAY(takes_one), PLAY(dot), S("554 5.7.1 spam"), PLAY(quits)}, "hold"},
		{{PLAY(greets), PLAY(takes_one), PLAY(mail_from), S("550 5.7.1 not you"), PLAY(quits)}, "delete"},
		{{PLAY(greets), PLAY(takes_one), PLAY(rcpt_to), S("550 5.7.1 not for her"), PLAY(quits)}, "delete"},
		{{PLAY(greets), PLAY(takes_one), PLAY(dot), S("552 5.2.2 mailbox full"), PLAY(quits)}, "delete"},
		{{PLAY(greets), PLAY(takes_one), PLAY(dot), S("552 full or large"), PLAY(quits)}, "{deliver_to: spam}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct step script[sizeof(cases[i].script) / sizeof(cases[i].script[0]) + 1] = {END};
		struct agent agent;

		memcpy(script, cases[i].script, sizeof(cases[i].script));
		agent_init(&agent);
		haul(&agent, first_session, script, cases[i].rule);
		assert_true(agent_said(&agent, "event=held"));
		assert_int_equal(agent_status(&agent, "held"), 1);
		haul(&agent, leaves_it, NULL, cases[i].rule);
		assert_int_equal(agent_status(&agent, "held"), 1);
		assert_int_equal(agent_mail(&agent, "new", NULL), 0);
		agent_done(&agent);
	}
}

/* A server that takes nothing may be broken: what it refuses first stays, and goes its way when it has been seen to take another. */
static void held_until_other_mail_is_accepted(void **state)
{
	static const struct step spam_first[] = {
		PLAY(both), C("RETR 1"), C("RETR 2"), HANDS_OUT(SPAM), HANDS_OUT(GOOD), C("DELE 2"), S("+OK"), LEAVES};
	static const struct step refuses_first[] = {PLAY(greets), PLAY(dot), S("554 5.7.1 spam"), PLAY(takes_one), PLAY(quits), END};
	static const struct step left[] = {ENTERS, S("+OK 1 56"), C("LIST"), C("UIDL"), S("+OK"), S("1 56"), S("."), S("+OK"), S("1 a"), S("."), END};
	static const struct step again[] = {PLAY(left), C("RETR 1"), HANDS_OUT(SPAM), LEAVES};
	static const struct step deletes[] = {PLAY(left), C("RETR 1"), HANDS_OUT(SPAM), C("DELE 1"), S("+OK"), LEAVES};
	static const struct step refuses_again[] = {PLAY(greets), PLAY(dot), S("554 5.7.1 spam"), PLAY(quits), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul(&agent, spam_first, refuses_first, "delete");
	assert_int_equal(agent_status(&agent, "held"), 1);
	agent_let_time_pass(&agent);
	haul(&agent, again, refuses_again, "delete");
	assert_int_equal(agent_status(&agent, "held"), 0);
	haul(&agent, deletes, NULL, "delete");
	assert_int_equal(agent_status(&agent, "owed"), 0);
	agent_done(&agent);
}

static void a_mail_loop_is_held(void **state)
{
	static const struct step taken_over[] = {PLAY(both), C("RETR 1"), C("RETR 2"), HANDS_OUT(GOOD), S("+OK"), END};
	static const struct step accepts[] = {PLAY(greets), PLAY(takes_one), PLAY(quits), END};
	struct step script[110];
	struct agent agent;
	unsigned count = 0;

	(void)state;
	script[count++] = (struct step)PLAY(taken_over);
	for (unsigned i = 0; i < 101; i++)
		script[count++] = (struct step)S("Received: by far.example");
	script[count++] = (struct step)S("");
	script[count++] = (struct step)S(".");
	script[count++] = (struct step)C("DELE 1");
	script[count++] = (struct step)S("+OK");
	script[count++] = (struct step)C("QUIT");
	script[count++] = (struct step)S("+OK");
	script[count++] = (struct step)END;
	agent_init(&agent);
	haul(&agent, script, accepts, "delete");
	assert_int_equal(agent_status(&agent, "held"), 1);
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused_goes_elsewhere),
		cmocka_unit_test(what_is_refused_is_deleted),
		cmocka_unit_test(held_all_the_same),
		cmocka_unit_test(held_until_other_mail_is_accepted),
		cmocka_unit_test(a_mail_loop_is_held),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
