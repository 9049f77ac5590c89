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
static const struct step script[] = {PLAY(greets), S("%1 OK [" CAPS "] in"), PLAY(opens), PLAY(lists), FETCHED("%4", "1"), FETCHED("%5", "2"),
	FETCHED("%6", "3"), PLAY(leaves), NEXT, PLAY(greets), C("%8 CAPABILITY"), S("%1 OK [" CAPS "] in"), S("* " CAPS), S("%8 OK"), PLAY(opens),
	FETCHED("%4", "4"), FETCHED("%5", "5"), PLAY(leaves), END};

struct scene {
	struct agent agent;
	struct peer *peer;
};

/* Each message makes a directory, and waits for another; not for ever, should the test end before. */
static void begin(struct scene *scene, const char *command)
{
	*scene = (struct scene){.peer = peer_start(script, PEER_LISTEN)};
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

/* While the second is taken in the third is there already, and the fourth is not asked for any more. */
static void play_along(struct scene *scene)
{
	for (unsigned message = 0; message < 5; message++) {
		await_begin(scene, message);
		warp->passed_ns += message < 2 ? 40 * MINUTES_NS : 0;
		let_go(scene, message);
	}
}

static void a_run_goes_on(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, "run");
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
	begin(&scene, "daemon");
	play_along(&scene);
	peer_finish(scene.peer);
	kill(scene.agent.pid, SIGTERM);
	agent_expect_end(&scene.agent, 0);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 5);
	agent_done(&scene.agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_goes_on),
		cmocka_unit_test(the_daemon_goes_on),
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
