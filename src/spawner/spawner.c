#include "spawner/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/user.h"
#include "net/tls.h"
#include "spawner/scribe.h"
#include "worker/seal.h"
#include "worker/worker.h"

/* argv and environment of a program; a longer command line belongs into a script. */
#define REQUEST_DATA_MAX 65536

/* Those of a child come first: tests/fault/inject.c knows them by their numbers. */
enum request_kind { SPAWN_BECOME = 1, SPAWN_WORKER, SPAWN_CONNECTOR, SPAWN_HELPER, SPAWN_SCRIBE, SPAWN_TRUST, SPAWN_EXPECT };

struct request {
	uint32_t kind;
	uint32_t port;
	uint32_t argc, envc; /* strings in data, one after the other */
	uint32_t loopback_only, is_path;
	uint32_t len;
	char data[REQUEST_DATA_MAX];
};

struct reply {
	int32_t pid;
	uint32_t len;
	char text[200];
};

/* -- the spawner's side -- */

/* The supervisor waits for it: where no answer can be given, the closed line is one. */
static void send_reply(int fd, const struct reply *reply, const int *fds, unsigned count)
{
	if (fdpass_send(fd, reply, sizeof(*reply), fds, count, 0) < 0)
		_exit(EX_OSERR);
}

static void reply_error(int fd, const char *text)
{
	struct reply reply = {.pid = -1};

	reply.len = (uint32_t)strlen(text);
	if (reply.len >= sizeof(reply.text))
		reply.len = sizeof(reply.text) - 1;
	memcpy(reply.text, text, reply.len);
	send_reply(fd, &reply, NULL, 0);
}

/* Like fork(2), but the child is the supervisor's. glibc's fork handlers do not run: there are no threads, and OpenSSL notices the new process id.
 * Not clone3: systemd's RestrictNamespaces= forbids it, because a filter cannot look into its arguments. */
static pid_t fork_sibling(int *ret_pidfd)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD, NULL, ret_pidfd, NULL, NULL);
}

/* What every worker needs. */
static int prepare(struct error *err)
{
	static bool prepared;

	if (!prepared && (tls_prepare(err) < 0 || seal_prepare(err) < 0))
		return -1;
	prepared = true;
	return 0;
}

/* What several of them can share. */
static int warm_up(struct error *err)
{
	static bool warm;

	if (!warm && (prepare(err) < 0 || tls_warm_up(err) < 0))
		return -1;
	warm = true;
	return 0;
}

/* The first worker gets what it needs; before the second one is born, what all further ones can share is made ready, if it is not by then. */
static int prepare_birth(struct error *err)
{
	static unsigned births;

	if ((births == 1 ? warm_up(err) : prepare(err)) < 0)
		return -1;
	if (births++ == 1)
		mem_fill_gaps();
	return 0;
}

static char **take_strings(const char **at, const char *end, uint32_t count)
{
	char **list = xcalloc((size_t)count + 1, sizeof(*list));

	for (uint32_t i = 0; i < count && *at < end; i++) {
		list[i] = (char *)(uintptr_t)*at;
		*at += strlen(*at) + 1;
	}
	return list;
}

static void run_child(const struct request *request, const int *fds) __attribute__((noreturn));
static void run_child(const struct request *request, const int *fds)
{
	const char *at = request->data, *end = request->data + request->len;

	if (request->kind == SPAWN_WORKER) {
		prctl(PR_SET_NAME, "mailhaul-worker"); /* for whoever looks at a list of processes; the kernel takes 15 bytes */
		worker_main(fds[0]);
	}
	if (request->kind == SPAWN_CONNECTOR) {
		struct connect_request connect = {
			.host = request->is_path ? NULL : at,
			.path = request->is_path ? at : NULL,
			.port = (uint16_t)request->port,
			.loopback_only = request->loopback_only != 0,
		};

		prctl(PR_SET_NAME, "mailhaul-conn");
		connector_main(fds[0], &connect);
	}
	if (request->kind == SPAWN_SCRIBE) {
		prctl(PR_SET_NAME, "mailhaul-scribe");
		scribe_main(fds[0], fds[1]);
	}
	char **argv = take_strings(&at, end, request->argc);
	char **environment = take_strings(&at, end, request->envc);

	helper_main(argv, environment, fds);
}

static void give_birth(int fd, const struct request *request, const int *fds)
{
	struct reply reply = {0};
	struct error err = {0};
	int pidfd = -1;

	if (request->kind == SPAWN_WORKER && prepare_birth(&err) < 0) {
		reply_error(fd, err.text);
		return;
	}
	reply.pid = fork_sibling(&pidfd);
	if (reply.pid == 0)
		run_child(request, fds);
	if (reply.pid < 0) {
		reply_error(fd, strerror(errno));
		return;
	}
	send_reply(fd, &reply, &pidfd, 1);
	close(pidfd);
}

static int keep_trust(const char *pem, struct error *err)
{
	if (prepare(err) < 0)
		return -1;
	tls_trust_keep(pem);
	return 0;
}

static void reply_done(int fd, int result, const struct error *err)
{
	if (result < 0)
		reply_error(fd, err->text);
	else
		send_reply(fd, &(struct reply){0}, NULL, 0);
}

static void serve(int fd) __attribute__((noreturn));
static void serve(int fd)
{
	static struct request request;

	/* While the supervisor reads configuration and state. Not as root, who has yet to become somebody else. A failure is met again when it matters. */
	if (geteuid() != 0)
		(void)prepare(NULL);
	for (;;) {
		struct error err = {0};
		int fds[FDPASS_MAX] = {-1, -1, -1, -1};
		unsigned count;
		ssize_t got = fdpass_receive(fd, &request, sizeof(request) - 1, fds, &count, 0);

		if (got < (ssize_t)offsetof(struct request, data))
			_exit(0); /* the supervisor is gone */
		if ((size_t)got != offsetof(struct request, data) + request.len)
			_exit(70); /* not ours: only the supervisor holds the other end */
		request.data[request.len] = '\0';
		if (request.kind == SPAWN_BECOME)
			reply_done(fd, user_become(request.data, &err), &err);
		else if (request.kind == SPAWN_EXPECT)
			(void)warm_up(NULL);
		else if (request.kind == SPAWN_TRUST)
			reply_done(fd, keep_trust(request.data, &err), &err);
		else
			give_birth(fd, &request, fds);
		while (count != 0)
			fs_close(fds[--count]);
		explicit_bzero(request.data, request.len);
	}
}

/* Only what the dynamic linker and the libraries read; everything else may be a password ({env: VAR}). */
static void forget_environment(void)
{
	static const char *const kept[] = {
		"PATH=", "LD_LIBRARY_PATH=", "SSL_CERT_DIR=", "SSL_CERT_FILE=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LD_PRELOAD="};
	char **to = environ;

	for (char **from = environ; from != NULL && *from != NULL; from++) {
		bool keep = false;

		for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
			keep = keep || strncmp(*from, kept[i], strlen(kept[i])) == 0;
		if (keep)
			*to++ = *from;
		else
			explicit_bzero(*from, strlen(*from));
	}
	if (to != NULL)
		*to = NULL;
}

int spawner_start(struct spawner *spawner, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot make a socket pair");
	spawner->pid = fork();
	if (spawner->pid < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot fork");
	if (spawner->pid == 0) {
		close(pair[0]);
		/* Ctrl-C and systemd reach the whole group; it is for the supervisor to say when to leave. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		signal(SIGPIPE, SIG_IGN);
		forget_environment();
		serve(pair[1]);
	}
	close(pair[1]);
	spawner->fd = pair[0];
	return 0;
}

void spawner_stop(struct spawner *spawner)
{
	if (spawner->pid <= 0)
		return;
	spawner->fd = fs_close(spawner->fd);
	waitpid(spawner->pid, NULL, 0);
	spawner->pid = 0;
}

/* -- the supervisor's side -- */

/* One at a time, and not for the stack. */
static struct request request;

static int call(struct spawner *spawner, const int *fds, unsigned count, struct child *ret_child, struct error *err)
{
	struct reply reply;
	int got_fds[FDPASS_MAX];
	unsigned got_count;

	if (fdpass_send(spawner->fd, &request, offsetof(struct request, data) + request.len, fds, count, 0) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "the spawner process is gone");
	if (fdpass_receive(spawner->fd, &reply, sizeof(reply), got_fds, &got_count, 0) != (ssize_t)sizeof(reply)) {
		spawner->left_unanswered = true;
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "the spawner process is gone");
	}
	if (reply.pid < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot start a process: %.*s", (int)reply.len, reply.text);
	if (ret_child != NULL)
		*ret_child = (struct child){reply.pid, got_count == 1 ? got_fds[0] : -1};
	return 0;
}

static int add_string(const char *text, struct error *err)
{
	size_t len = strlen(text) + 1;

	if (len > sizeof(request.data) - 1 - request.len)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "a command line is longer than %d bytes; put it into a script", REQUEST_DATA_MAX);
	memcpy(request.data + request.len, text, len);
	request.len += (uint32_t)len;
	return 0;
}

int spawner_become(struct spawner *spawner, const char *user, struct error *err)
{
	request = (struct request){.kind = SPAWN_BECOME};
	if (add_string(user, err) < 0 || call(spawner, NULL, 0, NULL, err) < 0)
		return -1;
	return user_become(user, err);
}

void spawner_expect_many(struct spawner *spawner)
{
	request = (struct request){.kind = SPAWN_EXPECT};
	(void)fdpass_send(spawner->fd, &request, offsetof(struct request, data), NULL, 0, 0);
}

/* NULL: named for the first time, or there is no more room. */
static struct spawner_trust *named_before(struct spawner *spawner, const char *pem)
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(pem, strlen(pem), digest);
	for (unsigned i = 0; i < spawner->trust_count; i++)
		if (memcmp(spawner->trusts[i].digest, digest, sizeof(digest)) == 0)
			return &spawner->trusts[i];
	if (spawner->trust_count < ARRAY_SIZE(spawner->trusts))
		memcpy(spawner->trusts[spawner->trust_count++].digest, digest, sizeof(digest));
	return NULL;
}

void spawner_trust(struct spawner *spawner, const char *pem)
{
	struct spawner_trust *trust = named_before(spawner, pem);

	if (trust == NULL || trust->told)
		return;
	trust->told = true;
	request = (struct request){.kind = SPAWN_TRUST};
	/* Workers can do without, and say what is wrong with it. */
	if (add_string(pem, NULL) == 0)
		(void)call(spawner, NULL, 0, NULL, NULL);
}

int spawner_worker(struct spawner *spawner, int channel_fd, struct child *ret_child, struct error *err)
{
	request = (struct request){.kind = SPAWN_WORKER};
	return call(spawner, &channel_fd, 1, ret_child, err);
}

int spawner_connector(struct spawner *spawner, int result_fd, const struct connect_request *wanted, struct child *ret_child, struct error *err)
{
	request = (struct request){
		.kind = SPAWN_CONNECTOR, .port = wanted->port, .loopback_only = wanted->loopback_only, .is_path = wanted->host == NULL};
	if (add_string(wanted->host != NULL ? wanted->host : wanted->path, err) < 0)
		return -1;
	return call(spawner, &result_fd, 1, ret_child, err);
}

int spawner_scribe(struct spawner *spawner, int list_fd, int reply_fd, struct child *ret_child, struct error *err)
{
	const int fds[2] = {list_fd, reply_fd};

	request = (struct request){.kind = SPAWN_SCRIBE};
	return call(spawner, fds, 2, ret_child, err);
}

int spawner_helper(
	struct spawner *spawner, char *const *argv, char *const *environment, const int stdio[3], struct child *ret_child, struct error *err)
{
	request = (struct request){.kind = SPAWN_HELPER, .argc = (uint32_t)strv_length(argv), .envc = (uint32_t)strv_length(environment)};
	for (size_t i = 0; argv[i] != NULL; i++)
		if (add_string(argv[i], err) < 0)
			return -1;
	for (size_t i = 0; environment[i] != NULL; i++)
		if (add_string(environment[i], err) < 0)
			return -1;
	return call(spawner, stdio, 3, ret_child, err);
}
