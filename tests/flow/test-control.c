/* test-control.c - commands beside a daemon: they ask it, instead of finding its mailboxes locked. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervisor/control.h"
#include "supervisor/visitor.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

/* clang-format off */
static const struct step enters[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("UIDL"), S("."), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), C("CAPA"), S("+OK"), S("UIDL"), S("."), END};
static const struct step enters_again[] = {S("+OK ready"), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), END};
static const struct step is_empty[] = {C("STAT"), S("+OK 0 0"), C("LIST"), S("+OK"), S("."), C("UIDL"), S("+OK"), S("."), C("QUIT"), S("+OK bye"), END};
static const struct step has_one[] = {C("STAT"), S("+OK 1 55"), C("LIST"), S("+OK"), S("1 55"), S("."), C("UIDL"), S("+OK"), S("1 a"), S("."), END};
static const struct step hands_it_out[] = {C("RETR 1"), S("+OK"), RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};
/* clang-format on */

/* The daemon, and a command of the same user beside it. */
struct scene {
	struct agent daemon, command;
	struct peer *server;
	char state[96];
	const char *defaults; /* further ones */
};

static void configure(struct scene *scene, struct agent *agent, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"defaults: {tls: none, user: anna, password: secret, deliver_to: home, poll_every: 1h, quirks: [no-pipelining]%s}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\"}\n%s",
		scene->daemon.dir, scene->defaults, scene->server->port, more);
}

/* more: mailboxes that only the command knows. */
static void begin_with(struct scene *scene, const struct step *script, const char *until, const char *more, const char *defaults)
{
	*scene = (struct scene){.defaults = defaults};
	agent_init(&scene->daemon);
	agent_init(&scene->command);
	snprintf(scene->state, sizeof(scene->state), "%s/state", scene->daemon.dir);
	scene->server = peer_start(script, PEER_LISTEN);
	configure(scene, &scene->daemon, "");
	configure(scene, &scene->command, more);
	agent_start(&scene->daemon, (const char *const[]){"daemon", "-v", NULL});
	agent_await_text(&scene->daemon, until);
}

static void begin(struct scene *scene, const struct step *script, const char *until, const char *more)
{
	begin_with(scene, script, until, more, "");
}

#define command(scene, status, ...) agent_expect(&(scene)->command, status, "--state-dir", (scene)->state, __VA_ARGS__)

/* Until the daemon has written down what its session has found. */
static void await_status(struct scene *scene, const char *text)
{
	for (unsigned i = 0; i < 1000; i++) {
		agent_run(&scene->command, "--state-dir", scene->state, "status", "--json");
		if (agent_printed(&scene->command, text))
			return;
	}
	fail_msg("status never said %s, but %s", text, str_text(&scene->command.out));
}

static void stop(struct scene *scene)
{
	peer_finish(scene->server);
	kill(scene->daemon.pid, SIGTERM);
	agent_expect_end(&scene->daemon, 0);
}

static void end(struct scene *scene)
{
	if (scene->daemon.pid != 0)
		stop(scene);
	agent_done(&scene->daemon);
	agent_done(&scene->command);
}

static void a_run_wakes_the_daemon(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(has_one), PLAY(hands_it_out), NEXT,
		PLAY(enters_again), PLAY(has_one), C("QUIT"), S("+OK"), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "event=session", "");
	command(&scene, 0, "run", "isp");
	assert_int_equal(agent_mail(&scene.daemon, "new", NULL), 1); /* it was there when the command left */
	assert_false(agent_said(&scene.command, "locked"));
	command(&scene, 0, "run");
	end(&scene);
	assert_false(agent_said(&scene.daemon, "error"));
}

/* The session that is under way has listed its messages before: the run waits for the next one. */
static void a_run_during_a_session(void **state)
{
	static const struct step script[] = {PLAY(enters), C("STAT"), S("+OK 0 0"), C("LIST"), S("+OK"), S("."), C("UIDL"), S("+OK"), S("."),
		C("QUIT"), NEXT, PLAY(enters_again), PLAY(has_one), PLAY(hands_it_out), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "event=daemon_started", "");
	command(&scene, 0, "run", "isp");
	assert_int_equal(agent_mail(&scene.daemon, "new", NULL), 1);
	end(&scene);
}

static void its_exit_code_is_that_of_a_run(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, S("+OK ready"), C("USER anna"), S("+OK"), C("PASS secret"),
		S("-ERR [AUTH] no such luck"), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "event=session", "");
	command(&scene, 77, "run", "isp");
	assert_true(agent_said(&scene.command, "no such luck"));
	command(&scene, 77, "run"); /* from a timer it rests, as without a daemon */
	assert_false(agent_said(&scene.command, "no such luck"));
	end(&scene);
}

static void what_the_daemon_does_not_serve(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), END};
	struct scene scene;
	uint16_t port;
	int idle = port_take(false, &port);
	char more[96];

	(void)state;
	snprintf(more, sizeof(more), "  - {name: other, pop3: \"127.0.0.1:%u\"}\n", port);
	begin(&scene, script, "event=session", more);
	command(&scene, 75, "run", "other"); /* by itself */
	assert_true(agent_said(&scene.command, "mailbox=other"));
	command(&scene, 75, "run", "other", "isp");
	assert_true(agent_said(&scene.command, "does not serve all"));
	close(idle);
	end(&scene);
}

static void a_trace_borrows_the_mailbox(void **state)
{
	static const struct step script[] = {
		PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(is_empty), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "event=session", "");
	command(&scene, 64, "run", "--trace", "isp");
	command(&scene, 0, "run", "--trace", "isp", "isp");
	assert_true(agent_said(&scene.command, "trace isp > STAT"));
	end(&scene);
}

/* In the middle of a message the server falls silent; the session of the daemon makes room all the same, and then the mailbox is hauled again. */
static void what_changes_a_mailbox_has_it_alone(void **state)
{
	static const struct {
		const char *words[6];
		const char *says;
	} cases[] = {
		{{"forget", "isp", "--yes"}, "isp is forgotten (1 message)"},
		{{"refetch", "isp", "a"}, "1 message is to be hauled anyway"},
	};
	static const struct step script[] = {PLAY(enters), PLAY(has_one), C("RETR 1"), S("+OK here it comes"), RAW("Return-Path: <ben@far.ex"), DRAIN,
		NEXT, PLAY(enters), PLAY(has_one), PLAY(hands_it_out), END};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *words[10] = {"--state-dir"};
		struct scene scene;

		begin(&scene, script, "event=daemon_started", "");
		await_status(&scene, "\"open\":1");
		words[1] = scene.state;
		memcpy(words + 2, cases[i].words, sizeof(cases[i].words));
		agent_expect_at(&scene.command, 0, words, __FILE__, __LINE__);
		assert_true(agent_printed(&scene.command, cases[i].says));
		end(&scene); /* when the script is over */
		assert_int_equal(agent_mail(&scene.daemon, "new", NULL), 1);
	}
}

/* What waits for the next run is hauled at once; nobody waits for it. */
static void what_is_to_be_tried_again(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(has_one), C("QUIT"), S("+OK"), NEXT, PLAY(enters_again), PLAY(has_one), C("QUIT"),
		S("+OK"), NEXT, PLAY(enters_again), PLAY(has_one), C("QUIT"), S("+OK"), END};
	struct scene scene;

	(void)state;
	begin_with(&scene, script, "event=session", "", ", max_message: 10");
	await_status(&scene, "\"doing\":\"resting\"");
	command(&scene, 0, "held", "retry", "isp");
	await_status(&scene, "\"held\":1"); /* once more */
	command(&scene, 0, "held", "drop", "1");
	end(&scene); /* when the script is over */
}

/* Timers obey, with and without a daemon, and say nothing; a person does not have to. */
static void a_server_that_wants_time_between_logins(void **state)
{
	static const struct step script[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("UIDL"), S("LOGIN-DELAY 900 USER"), S("."), C("USER anna"),
		S("+OK"), C("PASS secret"), S("+OK"), C("CAPA"), S("+OK"), S("UIDL"), S("LOGIN-DELAY 600"), S("."), PLAY(is_empty), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "event=session", "");
	assert_null(peer_problem(scene.server)); /* from here on nobody listens */
	await_status(&scene, "\"doing\":\"resting\"");
	command(&scene, 0, "run");
	kill(scene.daemon.pid, SIGUSR1);
	agent_await_text(&scene.daemon, "event=poll_now");
	command(&scene, 75, "run", "isp");
	stop(&scene);
	command(&scene, 75, "run", "isp");
	agent_change_state(&scene.daemon, "UPDATE mailbox SET failures = 0, last_error = '', last_error_kind = 0");
	command(&scene, 0, "run");
	assert_false(agent_said(&scene.command, "cannot connect"));
	agent_change_state(&scene.daemon, "UPDATE mailbox SET last_success = last_success - 700, last_error_at = last_error_at - 700");
	command(&scene, 75, "run");
	assert_true(agent_said(&scene.command, "cannot connect"));
	end(&scene);
}

/* -- bad visitors -- */

static int visit(const struct scene *scene)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/" CONTROL_FILE, scene->state);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* However soon it is over: the last word before the end is the whole. */
static void a_run_is_told_all_that_was_hauled(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(has_one), PLAY(hands_it_out), END};
	static const char request[] = "run\0i\0isp";
	char replies[2][200] = {{0}};
	struct scene scene;
	int fd;

	(void)state;
	begin(&scene, script, "event=session", "");
	fd = visit(&scene);
	assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
	do {
		memcpy(replies[0], replies[1], sizeof(replies[0]));
		memset(replies[1], 0, sizeof(replies[1]));
		assert_true(recv(fd, replies[1], sizeof(replies[1]) - 1, 0) > 0);
	} while (replies[1][0] != VISIT_END);
	assert_int_equal(replies[0][0], VISIT_PROGRESS);
	assert_string_equal(replies[0] + 1, "0 1 1 55 55");
	assert_string_equal(replies[1] + 1, "0");
	close(fd);
	end(&scene);
}

static void bad_visitors_cost_nothing(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(is_empty), END};
	static const struct {
		const char *bytes;
		size_t len;
		char answer; /* 0: the line is closed */
	} cases[] = {
		{"", 1, 'R'},
		{"run", 3, 0},
		{"run", 4, 'R'},
		{"run\0i\0nobody", 13, 'U'},
		{"claim", 6, 'R'},
		{"claim\0a\0b", 10, 'R'},
		{"dance\0isp", 10, 'R'},
		{"outlook\0isp", 12, 'R'},
		{"claim\0", 7, 'R'},
	};
	struct scene scene;
	struct stat st;
	char answer[2000], path[128];

	(void)state;
	begin(&scene, script, "event=session", "");
	snprintf(path, sizeof(path), "%s/" CONTROL_FILE, scene.state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = visit(&scene);
		ssize_t got;

		assert_int_equal(send(fd, cases[i].bytes, cases[i].len, 0), cases[i].len);
		got = recv(fd, answer, sizeof(answer), 0);
		if (cases[i].answer == 0 ? got > 0 : (got <= 0 || answer[0] != cases[i].answer))
			fail_msg("case %zu: %zd, %c", i, got, answer[0]);
		assert_int_equal(recv(fd, answer, sizeof(answer), 0) > 0, 0);
		close(fd);
	}
	command(&scene, 0, "run", "isp");
	end(&scene);
}

static void too_many_visitors(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(is_empty), END};
	static char flood[100000];
	struct scene scene;
	int fds[CONTROL_VISITORS_MAX];
	char answer;

	(void)state;
	begin(&scene, script, "event=session", "");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = visit(&scene);
	command(&scene, 75, "run", "isp");
	assert_true(agent_said(&scene.command, "too many commands"));
	assert_int_equal(send(fds[0], flood, sizeof(flood), 0), sizeof(flood)); /* more than any request: it is left */
	assert_int_equal(recv(fds[0], &answer, 1, 0) > 0, 0);
	command(&scene, 0, "run", "isp");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fs_close(fds[i]);
	end(&scene);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_wakes_the_daemon),
		cmocka_unit_test(a_run_during_a_session),
		cmocka_unit_test(its_exit_code_is_that_of_a_run),
		cmocka_unit_test(what_the_daemon_does_not_serve),
		cmocka_unit_test(a_trace_borrows_the_mailbox),
		cmocka_unit_test(what_changes_a_mailbox_has_it_alone),
		cmocka_unit_test(what_is_to_be_tried_again),
		cmocka_unit_test(a_server_that_wants_time_between_logins),
		cmocka_unit_test(a_run_is_told_all_that_was_hauled),
		cmocka_unit_test(bad_visitors_cost_nothing),
		cmocka_unit_test(too_many_visitors),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
