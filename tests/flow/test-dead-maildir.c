/* test-dead-maildir.c - a Maildir on a network file system whose server is dead: whoever touches it hangs. Its mailboxes wait, and nobody else does. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"
#include "tests/lib/warp.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

#define CAPS "CAPABILITY IMAP4rev1 IDLE"
#define LIST " (UID RFC822.SIZE INTERNALDATE FLAGS)"

static struct warp *warp;

static const struct step logs_in[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" CAPS "] in"), END};
static const struct step waits[] = {C("%2 EXAMINE \"INBOX\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 1] ok"),
	S("%2 OK done"), C("%3 IDLE"), S("+ near waits"), END};
static const struct step gets_one[] = {S("* 1 EXISTS"), C("DONE"), C("%4 UID FETCH 1:4294967295" LIST), C("%5 UID FETCH 1:1 (UID BODY.PEEK[])"),
	S("%3 OK"), S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%4 OK"), S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%5 OK"), END};
static const struct step waits_again[] = {C("%7 IDLE"), S("+ near has hauled"), END};
static const struct step looks[] = {C("DONE"), S("%7 OK"), C("%8 EXAMINE \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7] ok"),
	S("* OK [UIDNEXT 2] ok"), S("%8 OK done"), C("%9 IDLE"), S("+ near has looked"), END};
static const struct step leaves[] = {C("DONE"), C("* LOGOUT"), END};
/* POP3, with one message. */
static const struct step hands_out[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"),
	S("+OK"), C("STAT"), S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), S("+OK"),
	RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};

struct scene {
	struct agent agent;
	struct peer *near, *far;
};

/* A state that has been used, or nobody could tell whether one was lost. */
static void make_state(struct agent *agent)
{
	uint16_t port;
	int fd = port_take(false, &port);

	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"mailboxes:\n  - {name: near, pop3: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home}\n",
		agent->dir, port);
	agent_expect(agent, 75, "run");
	close(fd);
}

static void begin(struct scene *scene, const struct step *near, const char *near_is, const struct step *far, const char *far_goes_to)
{
	*scene = (struct scene){.near = peer_start(near, PEER_LISTEN), .far = peer_start(far, PEER_LISTEN)};
	agent_init(&scene->agent);
	make_state(&scene->agent);
	scene->agent.deadline_factor = "0.01";
	snprintf(warp->dead, sizeof(warp->dead), "%s/far", scene->agent.dir);
	agent_configure(&scene->agent,
		"destinations:\n  home: {maildir: %s/home}\n  far: {maildir: %s/far/Maildir}\n"
		"defaults: {tls: none, user: anna, password: secret, poll_every: 1h}\n"
		"mailboxes:\n  - {name: near, %s: \"127.0.0.1:%u\", deliver_to: home%s}\n"
		"  - {name: far, pop3: \"127.0.0.1:%u\", deliver_to: [%s], poll_every: 1m}\n",
		scene->agent.dir, scene->agent.dir, near_is, scene->near->port, strcmp(near_is, "imap") == 0 ? ", push: yes" : "", scene->far->port,
		far_goes_to);
	assert_int_equal(mkdir(warp->dead, 0700), 0);
	warp_die(true);
}

static unsigned mail_in(const struct scene *scene, const char *part)
{
	char command[200];
	int status;

	snprintf(command, sizeof(command), "exit $(ls %s/%s 2>/dev/null | wc -l)", scene->agent.dir, part);
	status = system(command);
	return (unsigned)WEXITSTATUS(status);
}

static void end(struct scene *scene)
{
	warp->is_dead = false;
	agent_done(&scene->agent);
	peer_finish(scene->near);
	peer_finish(scene->far);
}

/* -- the watchdog -- */

static int listen_for_notices(const struct agent *agent)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", agent->dir);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", "1000000", 1); /* a ping each half second; whoever reads none for long keeps the program waiting */
	return fd;
}

static unsigned count_pings(int fd)
{
	unsigned count = 0;
	char text[512];
	ssize_t len;

	while ((len = recv(fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[len] = '\0';
		count += strstr(text, "WATCHDOG=1") != NULL;
	}
	return count;
}

static void await_pings(int fd, unsigned count)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};

	while (count != 0) {
		unsigned more;

		assert_int_equal(poll(&input, 1, AGENT_DEADLINE_S * 1000), 1);
		more = count_pings(fd);
		count -= more < count ? more : count;
	}
}

/* Whoever asks the daemon for that mailbox is not kept waiting. */
static void run_beside(const struct scene *scene, const char *mailbox)
{
	struct agent beside = scene->agent;

	beside.pid = 0;
	beside.out = beside.err = (struct str){0};
	agent_expect(&beside, 75, "run", mailbox);
	assert_true(agent_said(&beside, "was killed and does not end"));
	agent_done(&beside);
}

/* 60 seconds are 600 ms. */
static void the_daemon_goes_on(void **state)
{
	static const struct step near[] = {PLAY(logs_in), PLAY(waits), PLAY(gets_one), PLAY(waits_again), PLAY(looks), PLAY(leaves), END};
	struct scene scene;
	int notices;

	(void)state;
	begin(&scene, near, "imap", hands_out, "far");
	notices = listen_for_notices(&scene.agent);
	agent_start(&scene.agent, (const char *const[]){"daemon", "-v", "--trace", "near", NULL});
	agent_await_text(&scene.agent, "event=daemon_started");
	warp_await_stuck(1); /* who looked for a marker there */
	warp_await_stuck(2);
	agent_await_text(&scene.agent, "near has hauled");
	count_pings(notices);
	assert_int_equal(mail_in(&scene, "home/new"), 1);
	agent_await_text(&scene.agent, "error event=worker_unkillable mailbox=far");
	count_pings(notices);
	await_pings(notices, 3);
	run_beside(&scene, "far");
	warp->is_dead = false;
	agent_await_text(&scene.agent, "event=mailbox_failed mailbox=far text=\"destination far: the file system of ");
	kill(scene.agent.pid, SIGUSR1); /* or it would rest for some seconds */
	agent_await_text(&scene.agent, "event=hauled mailbox=far");
	agent_await_text(&scene.agent, "near has looked");
	kill(scene.agent.pid, SIGTERM);
	agent_expect_end(&scene.agent, 0);
	assert_int_equal(mail_in(&scene, "far/Maildir/new"), 1);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	close(notices);
	end(&scene);
}

static void run_with(struct scene *scene, bool dies_hard)
{
	begin(scene, hands_out, "pop3", hands_out, "far");
	warp_die(dies_hard);
	agent_expect(&scene->agent, 75, "run", "near", "far");
	assert_true(agent_said(&scene->agent, "event=destination_down destination=far text=\"destination far: the file system of "));
	assert_int_equal(agent_said(&scene->agent, "error event=worker_unkillable mailbox=far"), dies_hard);
	assert_int_equal(mail_in(scene, "home/new"), 1);
	assert_int_equal(mail_in(scene, "far/Maildir/new"), 0);
	if (dies_hard) {
		agent_expect(&scene->agent, 75, "run", "far"); /* it is still there, and nobody may come between */
		assert_true(agent_said(&scene->agent, "has left behind"));
	}
	warp->is_dead = false;
	agent_await_unlocked(&scene->agent, "far");
	agent_expect(&scene->agent, 0, "run", "far");
	assert_int_equal(mail_in(scene, "far/Maildir/new"), 1);
	end(scene);
}

static void a_run_ends(void **state)
{
	struct scene scene;

	(void)state;
	run_with(&scene, false);
}

static void a_run_leaves_behind_what_cannot_be_killed(void **state)
{
	struct scene scene;

	(void)state;
	run_with(&scene, true);
}

/* One that delivers elsewhere, too, does so: in a session of its own, without the Maildir that hangs. */
static void other_destinations_are_served(void **state)
{
	static const struct step nobody[] = {END};
	struct scene scene;

	(void)state;
	begin(&scene, nobody, "pop3", hands_out, "far, home");
	warp_die(false);
	agent_expect(&scene.agent, 75, "run", "far");
	assert_int_equal(mail_in(&scene, "home/new"), 1);
	assert_int_equal(mail_in(&scene, "far/Maildir/new"), 0);
	assert_false(agent_said(&scene.agent, "not tried now")); /* which is no news */
	agent_done(&scene.agent);
	peer_free(scene.near);
	peer_finish(scene.far);
}

/* A person who waits for that insists on the Maildir once, not for ever. */
static void whoever_asks_a_daemon_for_it_is_not_kept_waiting(void **state)
{
	static const struct step nobody[] = {END};
	static const struct step far[] = {PLAY(hands_out), NEXT, S("-ERR [SYS/TEMP] later"), END};
	struct agent beside;
	struct scene scene;

	(void)state;
	begin(&scene, nobody, "pop3", far, "far, home");
	warp_die(false);
	agent_start(&scene.agent, (const char *const[]){"daemon", "-v", NULL});
	agent_await_text(&scene.agent, "event=hauled mailbox=far");
	beside = scene.agent;
	beside.pid = 0;
	beside.out = beside.err = (struct str){0};
	agent_expect(&beside, 75, "run", "far");
	agent_done(&beside);
	kill(scene.agent.pid, SIGTERM);
	agent_expect_end(&scene.agent, 0);
	agent_done(&scene.agent);
	peer_free(scene.near);
	peer_finish(scene.far);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_daemon_goes_on),
		cmocka_unit_test(a_run_ends),
		cmocka_unit_test(a_run_leaves_behind_what_cannot_be_killed),
		cmocka_unit_test(other_destinations_are_served),
		cmocka_unit_test(whoever_asks_a_daemon_for_it_is_not_kept_waiting),
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
