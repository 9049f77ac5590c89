/* test-unkillable.c - a worker that does not die when it is killed, as one that waits for a dead network file system: its mailbox waits for it, somebody is
 * told, and the others go on. The kill is swallowed, and the worker is stopped. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"
#include "tests/lib/warp.h"

#define CAPS "CAPABILITY IMAP4rev1 IDLE"

static struct warp *warp;

static const struct step greets[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), END};
static const struct step logs_in[] = {PLAY(greets), S("%1 OK [" CAPS "] in"), END};
static const struct step logs_in_again[] = {PLAY(greets), C("%9 CAPABILITY"), S("%1 OK [" CAPS "] in"), S("* " CAPS), S("%9 OK"), END};
static const struct step finds_nothing[] = {
	C("%2 EXAMINE \"INBOX\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), S("%2 OK done"), C("%3 IDLE"), END};
static const struct step leaves[] = {C("DONE"), C("* LOGOUT"), END};

/* 60 seconds are 600 ms. The reload tells both to leave. One does so, and comes back within 5 seconds; the other gets 600 ms, then 4 seconds, then is killed. */
static void the_others_go_on(void **state)
{
	static const struct step well[] = {PLAY(logs_in), PLAY(finds_nothing), S("+ the first waits"), PLAY(leaves), NEXT, PLAY(logs_in_again),
		PLAY(finds_nothing), S("+ the first waits again"), C("DONE"), S("%3 OK"), C("%4 EXAMINE \"INBOX\""), S("* 0 EXISTS"),
		S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), S("%4 OK done"), C("%5 IDLE"), S("+ the first has looked"), PLAY(leaves),
		END};
	static const struct step stuck[] = {
		PLAY(logs_in), PLAY(finds_nothing), S("+"), HERE, DRAIN, NEXT, PLAY(logs_in_again), C("%2 EXAMINE \"INBOX\""), HANG, END};
	struct peer *first = peer_start(well, PEER_LISTEN), *second = peer_start(stuck, PEER_LISTEN);
	struct agent agent;
	pid_t worker;

	(void)state;
	agent_init(&agent);
	agent.deadline_factor = "0.01";
	agent_configure(&agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"defaults: {tls: none, user: anna, password: secret, deliver_to: home, push: yes, poll_every: 1h}\n"
		"mailboxes:\n  - {name: first, imap: \"127.0.0.1:%u\"}\n  - {name: second, imap: \"127.0.0.1:%u\"}\n",
		agent.dir, first->port, second->port);
	agent_start(&agent, (const char *const[]){"daemon", "-v", "--trace", "first", NULL});
	agent_await_text(&agent, "the first waits");
	peer_await_here(second);
	worker = agent_worker(&agent);
	warp->unkillable = worker;
	kill(worker, SIGSTOP);
	kill(agent.pid, SIGHUP);
	agent_await_text(&agent, "error event=worker_unkillable mailbox=second");
	agent_await_text(&agent, "the first waits again");
	kill(agent.pid, SIGUSR1);
	agent_await_text(&agent, "the first has looked");
	kill(worker, SIGKILL); /* the file system is back */
	peer_await_hang(second);
	kill(agent.pid, SIGTERM);
	agent_expect_end(&agent, 0);
	agent_done(&agent);
	peer_finish(first);
	kill(second->pid, SIGKILL);
	peer_free(second);
}

static unsigned count_in(const struct str *text, const char *word)
{
	unsigned count = 0;

	for (const char *at = strstr(text->data, word); at != NULL; at = strstr(at + 1, word))
		count++;
	return count;
}

/* A connection that only listens is a worker, too. The reload tells both to leave; only the session does. */
static void one_that_only_listens(void **state)
{
	static const struct step empty[] = {S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), END};
	static const struct step looks[] = {C("%2 EXAMINE \"INBOX\""), PLAY(empty), S("%2 OK"), C("%3 EXAMINE \"Junk\""), PLAY(empty), S("%3 OK"),
		C("%4 EXAMINE \"INBOX\""), PLAY(empty), S("%4 OK"), END};
	static const struct step stuck[] = {
		PLAY(logs_in_again), C("%3 EXAMINE \"Junk\""), PLAY(empty), S("%3 OK"), C("%4 IDLE"), S("+"), HERE, DRAIN, END};
	static const struct step script[] = {PLAY(logs_in), PLAY(looks), ALSO(stuck), C("%5 IDLE"), S("+ the first waits"), PLAY(leaves), NEXT,
		PLAY(greets), C("%9 CAPABILITY"), S("%1 OK [" CAPS "] in"), S("* " CAPS), S("%9 OK"), S("* OK back again"), DRAIN, END};
	struct peer *peer = peer_start(script, PEER_LISTEN);
	struct agent agent;
	char name[60];
	pid_t sentry;

	(void)state;
	agent_init(&agent);
	agent.deadline_factor = "0.01";
	agent_configure(&agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"mailboxes:\n  - {name: isp, imap: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home, push: yes,\n"
		"     poll_every: 1d, folders: [INBOX, Junk]}\n",
		agent.dir, peer->port);
	agent_start(&agent, (const char *const[]){"daemon", "-v", "--trace", "isp", NULL});
	peer_await_here(peer);
	sentry = agent_worker(&agent);
	warp->unkillable = sentry;
	kill(sentry, SIGSTOP);
	kill(agent.pid, SIGHUP);
	snprintf(name, sizeof(name), "process %ld was killed", (long)sentry);
	agent_await_text(&agent, name);
	kill(sentry, SIGKILL);
	agent_await_text(&agent, "back again");
	kill(agent.pid, SIGTERM);
	agent_expect_end(&agent, 0);
	assert_int_equal(count_in(&agent.err, "worker_unkillable"), 1);
	agent_done(&agent);
	peer_finish(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_others_go_on),
		cmocka_unit_test(one_that_only_listens),
	};
	int failed;

	warp_find();
	agents_prepare();
	warp = warp_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	warp_end();
	agents_remove();
	return failed;
}
