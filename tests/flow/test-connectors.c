/* test-connectors.c - which process connects where: the credentials of a unix socket tell who it was. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/record.h"
#include "spawner/spawner.h"
#include "supervisor/connectors.h"

struct server {
	char path[100];
	int fd;
};

struct bench {
	char dir[40];
	struct spawner spawner;
	sd_event *event;
	struct connectors *connectors;
	struct server one, other;
	unsigned answers;
	enum record_kind kind;
	enum error_scope scope;
};

static void serve(struct server *server, const char *dir, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(server->path, sizeof(server->path), "%s/%s", dir, name);
	strcpy(address.sun_path, server->path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->fd, 10), 0);
}

static int begin(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	strcpy(bench->dir, "/tmp/mailhaul-test-XXXXXX");
	if (mkdtemp(bench->dir) == NULL || spawner_start(&bench->spawner, NULL) < 0 || sd_event_new(&bench->event) < 0)
		return -1;
	serve(&bench->one, bench->dir, "one");
	serve(&bench->other, bench->dir, "other");
	bench->connectors = connectors_new(bench->event, &bench->spawner);
	*state = bench;
	return 0;
}

static void end_server(struct server *server)
{
	close(server->fd);
	unlink(server->path);
}

static int end(void **state)
{
	struct bench *bench = *state;

	connectors_free(bench->connectors);
	sd_event_unref(bench->event);
	spawner_stop(&bench->spawner);
	end_server(&bench->one);
	end_server(&bench->other);
	rmdir(bench->dir);
	free(bench);
	return 0;
}

static void on_answer(void *context, struct record *answer, const int *fds, unsigned fd_count)
{
	struct bench *bench = context;

	(void)fds;
	assert_int_equal(fd_count, answer->kind == REC_CONNECTED ? 1 : 0);
	bench->answers++;
	bench->kind = answer->kind;
	bench->scope = answer->scope;
}

static void ask(struct bench *bench, const char *path)
{
	struct connector *connector;

	assert_int_equal(connectors_ask(bench->connectors, &(struct connect_request){.path = path}, on_answer, bench, &connector, NULL), 0);
}

static void await_answers(struct bench *bench, unsigned count)
{
	while (bench->answers < count)
		assert_true(sd_event_run(bench->event, 10 * 1000000) > 0);
}

/* The next in the server's queue. */
static pid_t who_connected(const struct server *server)
{
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd = accept(server->fd, NULL, NULL);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len), 0);
	close(fd);
	return who.pid;
}

static pid_t connect_to(struct bench *bench, const struct server *server)
{
	ask(bench, server->path);
	await_answers(bench, bench->answers + 1);
	assert_int_equal(bench->kind, REC_CONNECTED);
	return who_connected(server);
}

static void one_process_serves_one_server(void **state)
{
	struct bench *bench = *state;
	pid_t first = connect_to(bench, &bench->one);

	assert_int_not_equal(connect_to(bench, &bench->other), first);
	assert_int_equal(connect_to(bench, &bench->one), first);
	assert_int_equal(connect_to(bench, &bench->one), first);
}

static void who_connects_already_keeps_nobody_waiting(void **state)
{
	struct bench *bench = *state;
	pid_t first;

	ask(bench, bench->one.path);
	ask(bench, bench->one.path);
	await_answers(bench, 2);
	first = who_connected(&bench->one);
	assert_int_not_equal(who_connected(&bench->one), first);
}

static void one_that_died_is_replaced(void **state)
{
	struct bench *bench = *state;
	pid_t first = connect_to(bench, &bench->one);

	kill(first, SIGKILL);
	while (kill(first, 0) == 0) /* until it is reaped, and its end was heard */
		assert_true(sd_event_run(bench->event, 10 * 1000000) > 0);
	while (sd_event_run(bench->event, 0) > 0)
		;
	assert_int_not_equal(connect_to(bench, &bench->one), first);
	assert_int_equal(bench->answers, 2);
}

static void a_failure_is_answered_and_the_next_may_succeed(void **state)
{
	struct bench *bench = *state;

	end_server(&bench->one);
	ask(bench, bench->one.path);
	await_answers(bench, 1);
	assert_int_equal(bench->kind, REC_FAILED);
	assert_int_equal(bench->scope, SCOPE_MAILBOX);
	serve(&bench->one, bench->dir, "one");
	connect_to(bench, &bench->one);
}

/* A server that lets nobody in: its queue is full. */
static void who_has_a_deadline_is_answered_by_then(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);
	struct bench *bench = *state;
	struct connector *connector;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), clients[3];

	assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server, 0), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&address, &len), 0);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(clients[i], (struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(
		connectors_ask(bench->connectors, &(struct connect_request){.host = "127.0.0.1", .port = ntohs(address.sin_port), .within_s = 1},
			on_answer, bench, &connector, NULL),
		0);
	await_answers(bench, 1);
	assert_int_equal(bench->kind, REC_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	close(server);
}

/* Whoever was used again is not the longest idle. */
static void of_many_servers_the_last_stay(void **state)
{
	struct bench *bench = *state;
	pid_t one = connect_to(bench, &bench->one), other = connect_to(bench, &bench->other);
	struct server more;

	assert_int_equal(connect_to(bench, &bench->one), one);
	for (unsigned i = 0; i < CONNECTORS_IDLE_MAX - 1; i++) {
		char name[20];

		snprintf(name, sizeof(name), "more%u", i);
		serve(&more, bench->dir, name);
		connect_to(bench, &more);
		end_server(&more);
	}
	while (kill(other, 0) == 0)
		assert_true(sd_event_run(bench->event, 10 * 1000000) > 0);
	assert_int_equal(connect_to(bench, &bench->one), one);
}

static void who_is_forgotten_does_not_answer(void **state)
{
	struct bench *bench = *state;
	struct connector *connector;

	assert_int_equal(
		connectors_ask(bench->connectors, &(struct connect_request){.path = bench->one.path}, on_answer, bench, &connector, NULL), 0);
	connector_forget(connector);
	connector_forget(NULL);
	connect_to(bench, &bench->other);
	assert_int_equal(bench->answers, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_process_serves_one_server),
		TEST(who_connects_already_keeps_nobody_waiting),
		TEST(one_that_died_is_replaced),
		TEST(a_failure_is_answered_and_the_next_may_succeed),
		TEST(who_has_a_deadline_is_answered_by_then),
		TEST(of_many_servers_the_last_stay),
		TEST(who_is_forgotten_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
