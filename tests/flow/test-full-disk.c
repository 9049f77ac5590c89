/* test-full-disk.c - a daemon whose state has no room left: it finishes and records what is on its way, and goes on when there is room again.
 * SQLite lets its system calls be replaced, so the program runs in a child of the test; the disk is full as long as there is a file "full" and the reserve
 * stands. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "command/command.h"
#include "spawner/spawner.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

static char full_path[96], reserve_path[96];
static ssize_t (*true_pwrite)(int, const void *, size_t, off_t);

static ssize_t pwrite_on_full_disk(int fd, const void *bytes, size_t len, off_t offset)
{
	if (access(full_path, F_OK) == 0 && access(reserve_path, F_OK) == 0) {
		errno = ENOSPC;
		return -1;
	}
	return true_pwrite(fd, bytes, len, offset);
}

static void be_the_daemon(const struct agent *agent)
{
	static const char *const calls[] = {"pwrite", "pwrite64"}; /* SQLite calls one or the other, as it was compiled */
	char name[] = "mailhaul", option[] = "--config", config[96], verbose[] = "-v", word[] = "daemon", err[96];
	char *argv[] = {name, option, config, verbose, word, NULL};
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
	struct spawner spawner = {.fd = -1};
	const struct command *command;
	struct options options = {0};
	struct error error;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(config, sizeof(config), "%s/config.yaml", agent->dir);
	snprintf(err, sizeof(err), "%s/err", agent->dir);
	fd = open(err, O_WRONLY | O_APPEND);
	dup2(fd, STDERR_FILENO);
	close_range(3, ~0U, 0);
	deadline_set_factor(0.01);
	if (options_parse(&options, 5, argv, &command) < 0 || spawner_start(&spawner, &error) < 0)
		_exit(99);
	true_pwrite = pwrite;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (vfs->xGetSystemCall(vfs, calls[i]) != NULL)
			vfs->xSetSystemCall(vfs, calls[i], (sqlite3_syscall_ptr)pwrite_on_full_disk);
	_exit(command->run(&options, &spawner));
}

static void make_file(const struct agent *agent, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%s", agent->dir, name);
	close(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
}

/* clang-format off */
static const struct step enters[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("UIDL"), S("."), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), C("CAPA"), S("+OK"), S("UIDL"), S("."), END};
static const struct step enters_again[] = {S("+OK ready"), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), END};
static const struct step is_empty[] = {C("STAT"), S("+OK 0 0"), C("LIST"), S("+OK"), S("."), C("UIDL"), S("+OK"), S("."), C("QUIT"), S("+OK bye"), END};
static const struct step has_one[] = {C("STAT"), S("+OK 1 55"), C("LIST"), S("+OK"), S("1 55"), S("."), C("UIDL"), S("+OK"), S("1 a"), S("."), END};
/* clang-format on */

/* What is found when there is no room any more is recorded, and ends the session; it is hauled when there is. */
static void it_goes_on_when_there_is_room_again(void **state)
{
	static const struct step script[] = {PLAY(enters), PLAY(is_empty), NEXT, PLAY(enters_again), PLAY(has_one), DRAIN, NEXT, PLAY(enters_again),
		PLAY(has_one), C("RETR 1"), S("+OK"), RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};
	struct agent agent;
	struct peer *server = peer_start(script, PEER_LISTEN);

	(void)state;
	agent_init(&agent);
	snprintf(full_path, sizeof(full_path), "%s/full", agent.dir);
	snprintf(reserve_path, sizeof(reserve_path), "%s/state/reserve", agent.dir);
	agent_configure(&agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home, poll_every: 1h, "
		"quirks: [no-pipelining]}\n",
		agent.dir, server->port);
	make_file(&agent, "err");
	make_file(&agent, "out");
	agent.pid = fork();
	assert_true(agent.pid >= 0);
	if (agent.pid == 0)
		be_the_daemon(&agent);
	agent_await_text(&agent, "event=session");
	make_file(&agent, "full");
	kill(agent.pid, SIGUSR1);
	agent_await_text(&agent, "event=disk_full");
	unlink(full_path);
	agent_await_text(&agent, "event=disk_has_room");
	peer_finish(server); /* long before the hour (36 s) is over */
	kill(agent.pid, SIGTERM);
	agent_expect_end(&agent, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(it_goes_on_when_there_is_room_again)};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
