/* test-push.c - the daemon with a mailbox that is pushed, at servers that announce mail, stop doing so, hang up, or never did. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/scene.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

#define CAPS SCENE_CAPS
#define LIST " (UID RFC822.SIZE INTERNALDATE FLAGS)"

/* The first session asks for one thing at a time; later ones have seen the server before. Each tag has a number of its own. */
static const struct step logs_in_again[] = {
	S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), C("%8 CAPABILITY"), S("%1 OK [" CAPS "] in"), S("* " CAPS), S("%8 OK"), END};
static const struct step finds_nothing_again[] = {
	C("%4 EXAMINE \"INBOX\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), S("%4 OK done"), END};
static const struct step shows_one[] = {S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 2] ok"), END};
static const struct step finds_one[] = {C("%4 EXAMINE \"INBOX\""), PLAY(shows_one), S("%4 OK done"), C("%5 UID FETCH 1:4294967295" LIST),
	S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%5 OK"), C("%6 UID FETCH 1 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 1 BODY[] {55}"),
	RAW(LETTER ")\r\n"), S("%6 OK"), END};
static const struct step announces_one[] = {S("* 1 EXISTS"), C("DONE"), C("%4 UID FETCH 1:4294967295" LIST), C("%5 UID FETCH 1:1 (UID BODY.PEEK[])"),
	S("%3 OK"), S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%4 OK"), S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%5 OK"), END};
static const struct step idles[] = {C("%3 IDLE"), S("+ idling"), END};
static const struct step idles_again[] = {C("%7 IDLE"), S("+ until later"), END};

static void configure(struct scene *scene, struct agent *agent, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"mailboxes:\n  - {name: isp, imap: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home, push: yes%s}\n",
		scene->agent.dir, scene->peer->port, more);
}

static void begin(struct scene *scene, const struct step *script, const char *factor, const char *more)
{
	*scene = (struct scene){.peer = peer_start(script, PEER_LISTEN)};
	agent_init(&scene->agent);
	scene->agent.deadline_factor = factor;
	configure(scene, &scene->agent, more);
	agent_start(&scene->agent, (const char *const[]){"daemon", "-v", "--trace", "isp", NULL});
}

static void await_line(struct scene *scene, const char *line)
{
	agent_await_text(&scene->agent, line);
}

/* It is told to leave while it waits, and does not wait for the server to agree. */
static void announced_mail_is_hauled(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), PLAY(announces_one), PLAY(idles_again),
		PLAY(scene_leaves), SILENCE, END};
	struct scene scene;
	int64_t began_ns;

	(void)state;
	begin(&scene, script, NULL, "");
	await_line(&scene, "until later");
	began_ns = clock_monotonic_ns();
	scene_leave(&scene, 1);
	assert_true(clock_monotonic_ns() - began_ns < INT64_C(2000000000));
	scene_end(&scene);
}

/* Which has nothing to wait for. */
static void a_run_tells_of_one_session(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(finds_one), PLAY(scene_logs_out), END};
	struct scene scene = {.peer = peer_start(script, PEER_LISTEN)};
	const char *told;

	(void)state;
	agent_init(&scene.agent);
	configure(&scene, &scene.agent, "");
	agent_expect(&scene.agent, 0, "run", "-v");
	peer_finish(scene.peer);
	told = strstr(str_text(&scene.agent.err), "event=session mailbox=isp result=done hauled=1");
	assert_non_null(told);
	assert_null(strstr(told + 1, "event=session"));
	assert_false(agent_said(&scene.agent, "result=waiting"));
	scene_end(&scene);
}

/* 10 seconds are 100 ms; a server without IDLE is polled again and again. */
static void a_server_without_push_is_polled(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev1] ready"), C("%1 LOGIN \"anna\" \"secret\""),
		S("%1 OK [CAPABILITY IMAP4rev1] in"), PLAY(scene_finds_nothing), PLAY(scene_logs_out), NEXT, S("* OK [CAPABILITY IMAP4rev1] ready"),
		C("%1 LOGIN \"anna\" \"secret\""), C("%8 CAPABILITY"), S("%1 OK [CAPABILITY IMAP4rev1] in"), S("* CAPABILITY IMAP4rev1"), S("%8 OK"),
		PLAY(finds_one), PLAY(scene_logs_out), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", ", poll_every: 10s");
	await_line(&scene, "hauled=1");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* So does one that offers IDLE and then will not have it: it is not asked again at once. */
static void a_refusal_of_idle_is_no_failure(void **state)
{
	static const struct step script[] = {
		PLAY(scene_logs_in), PLAY(finds_one), C("%3 IDLE"), S("%3 NO not today"), PLAY(scene_logs_out), SILENCE, END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, "");
	await_line(&scene, "event=not_pushed");
	await_line(&scene, "result=done");
	scene_leave(&scene, 1);
	assert_false(agent_said(&scene.agent, "mailbox_failed"));
	scene_end(&scene);
}

/* 60 seconds are 60 ms, after which a connection may end. */
static void the_connection_is_made_again(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), C("DONE"), S("%3 OK"),
		PLAY(finds_nothing_again), C("%7 IDLE"), S("+ for now"), S("* BYE enough of you"), NEXT, PLAY(logs_in_again), PLAY(finds_one),
		PLAY(idles_again), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.001", ", poll_every: 90s");
	await_line(&scene, "until later");
	scene_leave(&scene, 1);
	assert_false(agent_said(&scene.agent, "mailbox_failed"));
	scene_end(&scene);
}

/* A server that ends each session at once has a reason, which somebody should know. */
static void an_early_end_is_a_failure(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(finds_one), PLAY(idles), S("* BYE too many connections"), CLOSE, END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, "");
	await_line(&scene, "event=mailbox_failed");
	scene_leave(&scene, 1);
	assert_true(agent_said(&scene.agent, "too many connections"));
	scene_end(&scene);
}

/* SIGUSR1 while it waits: all folders are opened again, as the server may not have announced everything. */
static void it_looks_when_told_to(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), C("DONE"), S("%3 OK"), PLAY(finds_one),
		PLAY(idles_again), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, "");
	await_line(&scene, "+ idling");
	kill(scene.agent.pid, SIGUSR1);
	await_line(&scene, "until later");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* Without an announcement, when poll_every is over: 10 seconds, here 100 ms. What is found is listed at once; who finds nothing has said all in one flight. */
static void it_looks_from_time_to_time(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), C("DONE"), C("%4 EXAMINE \"INBOX\""),
		C("%5 IDLE"), S("%3 OK"), PLAY(shows_one), S("%4 OK"), S("+ for a moment"), C("DONE"), C("%6 UID FETCH 1:4294967295" LIST),
		S("%5 OK"), S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%6 OK"), C("%7 UID FETCH 1 (UID BODY.PEEK[])"),
		S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%7 OK"), C("%8 IDLE"), S("+ until later"), C("DONE"),
		C("%9 EXAMINE \"INBOX\""), C("* IDLE"), S("%8 OK"), PLAY(shows_one), S("%9 OK"), S("+ and on"), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", ", poll_every: 10s");
	await_line(&scene, "and on");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* The server has nothing new to say, but a message is to be deleted by now. */
static void a_look_is_not_enough_for_all(void **state)
{
	static const struct step opens[] = {C("%2 SELECT \"INBOX\""), PLAY(shows_one), S("%2 OK"), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(opens), C("%4 UID FETCH 1:4294967295" LIST),
		S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%4 OK"), C("%5 UID FETCH 1 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 1 BODY[] {55}"),
		RAW(LETTER ")\r\n"), S("%5 OK"), PLAY(idles), C("DONE"), C("%6 SELECT \"INBOX\""), C("%7 IDLE"), S("%3 OK"), PLAY(shows_one),
		S("%6 OK"), S("+ as before"), C("DONE"), S("%7 OK"), C("%8 SELECT \"INBOX\""), PLAY(shows_one), S("%8 OK"),
		C("%9 UID STORE 1 +FLAGS.SILENT (\\Deleted)"), C("* UID SEARCH DELETED"), S("* OK seen enough"), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", ", poll_every: 100s, after_delivery: {delete_after: 14d}");
	await_line(&scene, "+ idling");
	agent_change_state(&scene.agent, "UPDATE message SET delivered_clock = delivered_clock - 14 * 86400");
	await_line(&scene, "seen enough");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* A folder that holds less than was announced is opened once more, a little later. */
static void an_empty_announcement_is_looked_into_twice(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), S("* 1 EXISTS"), C("DONE"),
		C("%4 UID FETCH 1:4294967295" LIST), C("%5 UID FETCH 1:1 (UID BODY.PEEK[])"), S("%3 OK"), S("%4 OK"), S("%5 OK"), C("%7 IDLE"),
		S("+ once more"), C("DONE"), S("%7 OK"), C("%6 EXAMINE \"INBOX\""), PLAY(shows_one), S("%6 OK done"),
		C("%8 UID FETCH 1:4294967295" LIST), S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%8 OK"), C("%9 UID FETCH 1 (UID BODY.PEEK[])"),
		S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%9 OK"), C("* IDLE"), S("+ until later"), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.1", "");
	await_line(&scene, "until later");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* Seconds are ten: whoever waited for the second look would wait too long. */
static void an_empty_announcement_delays_no_other(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), S("* 1 EXISTS"), C("DONE"),
		C("%4 UID FETCH 1:4294967295" LIST), C("%5 UID FETCH 1:1 (UID BODY.PEEK[])"), S("%3 OK"), S("%4 OK"), S("%5 OK"), C("%6 IDLE"),
		S("+ and now"), S("* 2 EXISTS"), C("DONE"), C("%7 UID FETCH 1:4294967295" LIST), C("%8 UID FETCH 1:1 (UID BODY.PEEK[])"), S("%6 OK"),
		S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%7 OK"), S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%8 OK"), C("* IDLE"),
		S("+ until later"), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "10", "");
	await_line(&scene, "until later");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* The configuration is loaded anew: who waits begins anew with it. */
static void a_reload_ends_the_wait(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), PLAY(scene_leaves), NEXT,
		PLAY(logs_in_again), PLAY(finds_one), PLAY(idles_again), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", "");
	await_line(&scene, "+ idling");
	kill(scene.agent.pid, SIGHUP);
	await_line(&scene, "until later");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* In step, with tags of its own. */
#define ENTERS(login, select)                                                                                                            \
	S("* OK [" CAPS "] ready"), C(login " LOGIN \"anna\" \"secret\""), S(login " OK [" CAPS "] in"), C(select " EXAMINE \"INBOX\""), \
		S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"), S(select " OK done")
#define IS_CUT_SHORT C("* IDLE"), S("+ for now"), S("* BYE that was long enough")

/* Each time it has hauled everything, so each failure is the first one; 10 seconds are 100 ms. */
static void who_is_cut_short_is_polled(void **state)
{
	static const struct step script[] = {ENTERS("%1", "%2"), IS_CUT_SHORT, NEXT, ENTERS("%3", "%4"), IS_CUT_SHORT, NEXT, ENTERS("%5", "%6"),
		IS_CUT_SHORT, NEXT, ENTERS("%7", "%8"), PLAY(scene_logs_out), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", ", quirks: [no-pipelining], poll_every: 1h");
	await_line(&scene, "event=not_pushed");
	await_line(&scene, "result=done");
	scene_leave(&scene, 0);
	scene_end(&scene);
}

/* It may have stood for a minute (600 ms) and be dead nevertheless, which shows when it is used: whoever asked waits for the next one. */
static void a_run_finds_the_connection_dead(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), PLAY(idles), C("DONE"), S("* BYE no more"), NEXT,
		PLAY(logs_in_again), PLAY(finds_one), PLAY(idles_again), PLAY(scene_leaves), END};
	struct agent command;
	struct scene scene;
	char state_dir[96];

	(void)state;
	begin(&scene, script, "0.01", ", poll_every: 1h");
	agent_init(&command);
	configure(&scene, &command, ", poll_every: 1h");
	snprintf(state_dir, sizeof(state_dir), "%s/state", scene.agent.dir);
	await_line(&scene, "+ idling");
	usleep(700000);
	agent_expect(&command, 0, "--state-dir", state_dir, "run", "isp");
	assert_int_equal(agent_mail(&scene.agent, "new", NULL), 1);
	scene_leave(&scene, 1);
	assert_false(agent_said(&scene.agent, "mailbox_failed"));
	agent_done(&command);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announced_mail_is_hauled),
		cmocka_unit_test(a_run_tells_of_one_session),
		cmocka_unit_test(a_server_without_push_is_polled),
		cmocka_unit_test(a_refusal_of_idle_is_no_failure),
		cmocka_unit_test(the_connection_is_made_again),
		cmocka_unit_test(an_early_end_is_a_failure),
		cmocka_unit_test(it_looks_when_told_to),
		cmocka_unit_test(it_looks_from_time_to_time),
		cmocka_unit_test(a_look_is_not_enough_for_all),
		cmocka_unit_test(an_empty_announcement_is_looked_into_twice),
		cmocka_unit_test(an_empty_announcement_delays_no_other),
		cmocka_unit_test(a_reload_ends_the_wait),
		cmocka_unit_test(who_is_cut_short_is_polled),
		cmocka_unit_test(a_run_finds_the_connection_dead),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
