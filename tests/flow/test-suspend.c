/* test-suspend.c - the daemon after the machine has slept: connections that died meanwhile are found out, and what became due is polled. The sleep is played:
 * CLOCK_BOOTTIME and the wall clock jump ahead while the program runs, CLOCK_MONOTONIC does not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/scene.h"
#include "tests/lib/warp.h"

#define HOURS_NS (INT64_C(3600) * 1000000000)

static struct warp *warp;

/* What comes after the sleep does not get there any more. */
static const struct step is_dead[] = {C("DONE"), DRAIN, END};

/* Ten seconds are 150 ms; without the sleep nothing would happen for minutes. */
static void begin(struct scene *scene, const struct step *script, const char *mailbox)
{
	warp->slept_ns = 0;
	scene_begin(scene, script, "0.015", "127.0.0.1", mailbox, "");
}

static void end(struct scene *scene)
{
	scene_leave(scene, 0);
	scene_end(scene);
}

static void a_dead_connection_is_made_again(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), C("%3 IDLE"), S("+ good night"), PLAY(is_dead), NEXT,
		PLAY(scene_logs_in_again), PLAY(scene_finds_nothing), C("%4 IDLE"), S("+ good morning"), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "push: yes, poll_every: 7d");
	agent_await_text(&scene.agent, "good night");
	warp->slept_ns = HOURS_NS;
	agent_await_text(&scene.agent, "good morning");
	end(&scene);
}

/* Whoever answers keeps its connection, and has looked. */
static void one_that_lives_is_kept(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), C("%3 IDLE"), S("+ good night"), C("DONE"), S("%3 OK"),
		C("%4 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%4 OK done"), C("%5 IDLE"), S("+ good morning"), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "push: yes, poll_every: 7d");
	agent_await_text(&scene.agent, "good night");
	warp->slept_ns = HOURS_NS;
	agent_await_text(&scene.agent, "good morning");
	end(&scene);
}

/* Of two connections of a mailbox one has died. */
static void those_that_listen_are_tried_too(void **state)
{
	static const struct step opens_junk[] = {
		PLAY(scene_logs_in_again), C("%3 EXAMINE \"Junk\""), PLAY(scene_shows_nothing), S("%3 OK done"), C("%4 IDLE"), END};
	static const struct step sentry[] = {
		PLAY(opens_junk), S("+ good night"), PLAY(is_dead), NEXT, PLAY(opens_junk), S("+ good morning"), PLAY(scene_leaves), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), C("%3 EXAMINE \"Junk\""), PLAY(scene_shows_nothing),
		S("%3 OK"), C("%4 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%4 OK"), ALSO(sentry), C("%5 IDLE"), S("+"), C("DONE"),
		S("%5 OK"), C("%6 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%6 OK"), C("%7 EXAMINE \"Junk\""), PLAY(scene_shows_nothing),
		S("%7 OK"), C("%8 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%8 OK"), C("%9 IDLE"), S("+"), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "push: yes, poll_every: 7d, folders: [INBOX, Junk]");
	agent_await_text(&scene.agent, "good night");
	warp->slept_ns = HOURS_NS;
	agent_await_text(&scene.agent, "good morning");
	end(&scene);
}

/* When the network has had a moment to return. */
static void what_became_due_is_polled(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(scene_finds_nothing), C("%3 LOGOUT"), S("* BYE good night"), S("%3 OK"), NEXT,
		PLAY(scene_logs_in_again), PLAY(scene_finds_nothing), C("%3 LOGOUT"), S("* BYE good morning"), S("%3 OK"), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "poll_every: 2h");
	agent_await_text(&scene.agent, "good night");
	agent_await_text(&scene.agent, "result=done");
	warp->slept_ns = HOURS_NS;
	agent_await_text(&scene.agent, "good morning");
	end(&scene);
}

/* It owes a message, and has said nothing since: two minutes of silence would be too many. What it had sent comes again from the beginning. */
static void a_source_that_is_silent_is_left(void **state)
{
	static const struct step shows_one[] = {
		C("%2 EXAMINE \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 2] ok"), S("%2 OK"), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(shows_one),
		C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"), S("* 1 FETCH (UID 1 RFC822.SIZE 23)"), S("%3 OK"),
		C("%4 UID FETCH 1 (UID BODY.PEEK[])"), S("* OK good night"), S("* 1 FETCH (UID 1 BODY[] {23}"), RAW("Subject: on"), DRAIN, NEXT,
		PLAY(scene_logs_in_again), PLAY(shows_one), C("%5 UID FETCH 1 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 1 BODY[] {23}"),
		RAW("Subject: one\r\n\r\nfirst\r\n)\r\n"), S("%5 OK"), C("%6 LOGOUT"), S("* BYE good morning"), S("%6 OK"), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "poll_every: 1h");
	agent_await_text(&scene.agent, "good night");
	warp->slept_ns = HOURS_NS;
	agent_await_text(&scene.agent, "the server has said nothing since this machine woke up");
	agent_await_text(&scene.agent, "good morning");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_connection_is_made_again),
		cmocka_unit_test(one_that_lives_is_kept),
		cmocka_unit_test(those_that_listen_are_tried_too),
		cmocka_unit_test(what_became_due_is_polled),
		cmocka_unit_test(a_source_that_is_silent_is_left),
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
