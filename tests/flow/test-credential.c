/* test-credential.c - a login that was refused rests for long; what the operator mends is tried at once, by the daemon and by a run. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

static const struct step greets[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("UIDL"), S("."), END};
static const struct step refuses[] = {PLAY(greets), C("USER anan"), S("+OK"), C("PASS secret"), S("-ERR [AUTH] no such user"), END};
static const struct step lists_one[] = {C("STAT"), S("+OK 1 55"), C("LIST"), S("+OK"), S("1 55"), S("."), C("UIDL"), S("+OK"), S("1 a"), S("."), END};
static const struct step enters[] = {PLAY(greets), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), C("CAPA"), S("+OK"), S("UIDL"), S("."), END};
static const struct step enters_again[] = {S("+OK ready"), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), END};
static const struct step hands_it_out[] = {C("RETR 1"), S("+OK"), RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};

#define GREETS S("220 mx"), C("EHLO *"), S("250-mx"), S("250 AUTH PLAIN")
static const struct step refuses_wrong[] = {GREETS, C("AUTH PLAIN AG1lAHdyb25n"), S("535 5.7.8 no such luck"), END};
static const struct step takes_right[] = {GREETS, C("AUTH PLAIN AG1lAHJpZ2h0"), S("235 in"), C("MAIL FROM:<*>*"), S("250 ok"),
	C("RCPT TO:<anna@home.example>*"), S("250 ok"), C("DATA"), S("354 go on"), DOT, S("250 2.0.0 taken"), C("QUIT"), S("221 bye"), END};

static void configure(struct agent *agent, uint16_t port, const char *user, const char *destination)
{
	agent_configure(agent,
		"destinations: {away: {%s}}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", tls: none, user: %s, password: secret, deliver_to: away, poll_every: 1h, "
		"quirks: [no-pipelining]}\n",
		destination, port, user);
}

static void stop(struct agent *agent)
{
	kill(agent->pid, SIGTERM);
	agent_expect_end(agent, 0);
}

static void a_user_name(void **state)
{
	static const struct step script[] = {PLAY(refuses), NEXT, PLAY(enters), PLAY(lists_one), PLAY(hands_it_out), END};
	struct peer *server = peer_start(script, PEER_LISTEN);
	struct agent agent;
	char home[96];

	(void)state;
	agent_init(&agent);
	snprintf(home, sizeof(home), "maildir: %s/home", agent.dir);
	configure(&agent, server->port, "anan", home);
	agent_start(&agent, (const char *const[]){"daemon", "-v", NULL});
	agent_await_text(&agent, "no such user");
	configure(&agent, server->port, "anna", home);
	kill(agent.pid, SIGHUP);
	peer_finish(server);
	stop(&agent);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

static void describe_sink(char out[128], uint16_t port, const char *password)
{
	snprintf(out, 128, "smtp: \"127.0.0.1:%u\", tls: none, user: me, password: %s, recipient: anna@home.example", port, password);
}

/* Nothing is fetched before it is known that it can be delivered. */
static void a_password_of_a_destination(void **state)
{
	static const struct step source_script[] = {
		PLAY(enters), PLAY(lists_one), C("QUIT"), S("+OK bye"), NEXT, PLAY(enters_again), PLAY(lists_one), PLAY(hands_it_out), END};
	static const struct step sink_script[] = {PLAY(refuses_wrong), NEXT, PLAY(takes_right), END};

	(void)state;
	for (unsigned with_daemon = 0; with_daemon < 2; with_daemon++) {
		struct peer *source = peer_start(source_script, PEER_LISTEN), *sink = peer_start(sink_script, PEER_LISTEN);
		char away[128];
		struct agent agent;

		agent_init(&agent);
		describe_sink(away, sink->port, "wrong");
		configure(&agent, source->port, "anna", away);
		if (with_daemon) {
			agent_start(&agent, (const char *const[]){"daemon", "-v", NULL});
			agent_await_text(&agent, "event=mailbox_failed");
		} else {
			agent_expect(&agent, 77, "run");
			agent_expect(&agent, 75, "run"); /* it rests, and nobody is asked */
		}
		describe_sink(away, sink->port, "right");
		configure(&agent, source->port, "anna", away);
		if (with_daemon)
			kill(agent.pid, SIGHUP);
		else
			agent_expect(&agent, 0, "run");
		peer_finish(source);
		peer_finish(sink);
		if (with_daemon)
			stop(&agent);
		agent_done(&agent);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_name),
		cmocka_unit_test(a_password_of_a_destination),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
