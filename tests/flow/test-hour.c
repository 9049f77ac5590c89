/* test-hour.c - a mailbox that takes more than an hour to haul: its session asks for no more, and another one goes on. The time passes while a
 * program takes a message in. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"
#include "tests/lib/warp.h"

#define MINUTES_NS (INT64_C(60) * 1000000000)
#define CAPS "CAPABILITY IMAP4rev1"
#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"

static struct warp *warp;

/* Announced as so large that two of them are loaded, and a third is asked for. */
#define LISTED(number) S("* " number " FETCH (UID " number " RFC822.SIZE 40000000)")
#define FETCHED(tag, number) \
	C(tag " UID FETCH " number " (UID BODY.PEEK[])"), S("* " number " FETCH (UID " number " BODY[] {55}"), RAW(LETTER ")\r\n"), S(tag " OK")
static const struct step greets[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), END};
static const struct step opens[] = {
	C("%2 EXAMINE \"INBOX\""), S("* 5 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 6] ok"), S("%2 OK done"), END};
static const struct step lists[] = {C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"), LISTED("1"), LISTED("2"), LISTED("3"),
	LISTED("4"), LISTED("5"), S("%3 OK"), END};
static const struct step leaves[] = {C("%9 LOGOUT"), S("* BYE see you"), S("%9 OK"), END};
static const struct step sends_two[] = {
	PLAY(greets), S("%1 OK [" CAPS "] in"), PLAY(opens), PLAY(lists), FETCHED("%4", "1"), FETCHED("%5", "2"), END};
static const struct step goes_on[] = {PLAY(leaves), NEXT, PLAY(greets), C("%8 CAPABILITY"), S("%1 OK [" CAPS "] in"), S("* " CAPS), S("%8 OK"),
	PLAY(opens), FETCHED("%4", "4"), FETCHED("%5", "5"), PLAY(leaves), END};
static const struct step script[] = {PLAY(sends_two), FETCHED("%6", "3"), PLAY(goes_on), END};

struct scene {
	struct agent agent;
	struct peer *peer;
};

/* Each message makes a directory, and waits for another; not for ever, should the test end before. */
static void begin(struct scene *scene, const struct step *steps, const char *command)
{
	*scene = (struct scene){.peer = peer_start(steps, PEER_LISTEN)};
	warp->passed_ns = 0;
	agent_init(&scene->agent);
	agent_configure(&scene->agent,
		"destinations:\n  home: {mda: [/bin/sh, -c, 'cd %s; n=$(ls | grep -c begun); mkdir begun$n; i=0; while ! [ -e go$n ] && [ $((i=i+1)) "
		"-lt 6000 ]; do sleep 0.01; done'],"
		" timeout: 1h}\n"
		"mailboxes:\n  - {name: isp, imap: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home}\n",
		scene->agent.dir, scene->peer->port);
	agent_start(&scene->agent, (const char *const[]){command, "-v", "--trace", "isp", NULL});
}

static void await_begin(const struct scene *scene, unsigned message)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/begun%u", scene->agent.dir, message);
	for (unsigned looks = 0; access(path, F_OK) < 0; looks++) {
		assert_true(looks < AGENT_DEADLINE_S * 500);
		poll(NULL, 0, 2);
	}
}

static void let_go(const struct scene *scene, unsigned message)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/go%u", scene->agent.dir, message);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void take_in(struct scene *scene, unsigned message, int64_t minutes)
{
	await_begin(scene, message);
	warp->passed_ns += minutes * MINUTES_NS;
	let_go(scene, message);
}

/* While the second is taken in the third is there already, and the fourth is not asked for any more. */
static void play_along(struct scene *scene)
{
	for (unsigned message = 0; message < 5; message++)
		take_in(scene, message, message < 2 ? 40 : 0);
}

static void a_run_goes_on(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, script, "run");
	play_along(&scene);
	agent_expect_end(&scene.agent, 0);
	peer_finish(scene.peer);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 5);
	agent_done(&scene.agent);
}

static void the_daemon_goes_on(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, script, "daemon");
	play_along(&scene);
	peer_finish(scene.peer);
	kill(scene.agent.pid, SIGTERM);
	agent_expect_end(&scene.agent, 0);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 5);
	agent_done(&scene.agent);
}

/* The worker sees both at once: that so much time has passed, and that the server has sent more. */
static void go_on_after(const struct scene *scene, int64_t minutes)
{
	pid_t worker = agent_worker(&scene->agent);

	kill(worker, SIGSTOP);
	warp->passed_ns += minutes * MINUTES_NS;
	peer_go_on(scene->peer);
	peer_await_here(scene->peer);
	kill(worker, SIGCONT);
}

static const struct step sends_a_part[] = {PLAY(sends_two), C("%6 UID FETCH 3 (UID BODY.PEEK[])"), PAUSE, S("* 3 FETCH (UID 3 BODY[] {55}"),
	BYTES(LETTER, 20), HERE, PAUSE, BYTES(LETTER + 20, 20), HERE, END};

/* What it was asked for within the hour a server may send in the ten minutes after it. */
static void what_is_under_way_may_take_a_little_longer(void **state)
{
	static const struct step late[] = {PLAY(sends_a_part), BYTES(LETTER + 40, 15), S(")"), S("%6 OK"), PLAY(goes_on), END};
	struct scene scene;

	(void)state;
	begin(&scene, late, "run");
	await_begin(&scene, 0);
	go_on_after(&scene, 40);
	let_go(&scene, 0);
	await_begin(&scene, 1);
	go_on_after(&scene, 28);
	for (unsigned message = 1; message < 5; message++)
		take_in(&scene, message, 0);
	agent_expect_end(&scene.agent, 0);
	peer_finish(scene.peer);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 5);
	agent_done(&scene.agent);
}

/* But no longer, although the server is still at it: the place is for somebody else. */
static void but_not_for_ever(void **state)
{
	static const struct step too_late[] = {PLAY(sends_a_part), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, too_late, "run");
	await_begin(&scene, 0);
	go_on_after(&scene, 40);
	let_go(&scene, 0);
	await_begin(&scene, 1);
	go_on_after(&scene, 32);
	let_go(&scene, 1);
	agent_expect_end(&scene.agent, 75);
	peer_finish(scene.peer);
	assert_true(agent_said(&scene.agent, "has not sent what it was asked for an hour after the session began"));
	assert_int_equal(agent_status(&scene.agent, "hauled"), 2);
	assert_int_equal(agent_status(&scene.agent, "open"), 3);
	agent_done(&scene.agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_goes_on),
		cmocka_unit_test(the_daemon_goes_on),
		cmocka_unit_test(what_is_under_way_may_take_a_little_longer),
		cmocka_unit_test(but_not_for_ever),
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
