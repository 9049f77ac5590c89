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

#include "tests/lib/scene.h"
#include "tests/lib/warp.h"

static struct warp *warp;

static const struct step finds_nothing[] = {PLAY(scene_finds_nothing), C("%3 IDLE"), END};

/* 60 seconds are 600 ms. The reload tells both to leave. One does so, and comes back within 5 seconds; the other gets 600 ms, then 4 seconds, then is killed. */
static void the_others_go_on(void **state)
{
	static const struct step well[] = {PLAY(scene_logs_in), PLAY(finds_nothing), S("+ the first waits"), PLAY(scene_leaves), NEXT,
		PLAY(scene_logs_in_again), PLAY(finds_nothing), S("+ the first waits again"), C("DONE"), S("%3 OK"), C("%4 EXAMINE \"INBOX\""),
		S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), S("%4 OK done"), C("%5 IDLE"), S("+ the first has looked"),
		PLAY(scene_leaves), END};
	static const struct step stuck[] = {
		PLAY(scene_logs_in), PLAY(finds_nothing), S("+"), HERE, DRAIN, NEXT, PLAY(scene_logs_in_again), C("%2 EXAMINE \"INBOX\""), HANG, END};
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
	static const struct step looks[] = {C("%2 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%2 OK"), C("%3 EXAMINE \"Junk\""),
		PLAY(scene_shows_nothing), S("%3 OK"), C("%4 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%4 OK"), END};
	static const struct step stuck[] = {
		PLAY(scene_logs_in_again), C("%3 EXAMINE \"Junk\""), PLAY(scene_shows_nothing), S("%3 OK"), C("%4 IDLE"), S("+"), HERE, DRAIN, END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(looks), ALSO(stuck), C("%5 IDLE"), S("+ the first waits"), PLAY(scene_leaves),
		NEXT, PLAY(scene_logs_in_again), S("* OK back again"), DRAIN, END};
	struct scene scene;
	char name[60];
	pid_t sentry;

	(void)state;
	scene_begin(&scene, script, "0.01", "127.0.0.1", "push: yes, poll_every: 1d, folders: [INBOX, Junk]", "");
	peer_await_here(scene.peer);
	sentry = agent_worker(&scene.agent);
	warp->unkillable = sentry;
	kill(sentry, SIGSTOP);
	kill(scene.agent.pid, SIGHUP);
	snprintf(name, sizeof(name), "process %ld was killed", (long)sentry);
	agent_await_text(&scene.agent, name);
	kill(sentry, SIGKILL);
	agent_await_text(&scene.agent, "back again");
	scene_leave(&scene, 0);
	assert_int_equal(count_in(&scene.agent.err, "worker_unkillable"), 1);
	scene_end(&scene);
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
