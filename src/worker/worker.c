#include "worker/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "channel/channel.h"
#include "channel/job.h"
#include "channel/wait.h"
#include "worker/birth.h"
#include "worker/listen.h"
#include "worker/seal.h"
#include "worker/session.h"

#define CHANNEL_FD 3

#ifdef __SANITIZE_ADDRESS__
enum { FIRST_CLOSED = 0, LAST_CLOSED = 1 }; /* reports go to stderr */
#else
enum { FIRST_CLOSED = 0, LAST_CLOSED = 2 };
#endif

static void close_descriptors(int channel_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = FIRST_CLOSED; fd <= LAST_CLOSED; fd++)
		dup2(null, fd);
	dup2(channel_fd, CHANNEL_FD);
	syscall(SYS_close_range, CHANNEL_FD + 1U, ~0U, 0U);
}

static void log_to_channel(const struct log_entry *entry, void *context)
{
	struct channel *channel = context;
	struct record record = {.kind = REC_LOG, .index = entry->level, .count = entry->fields};
	struct str text = {0};

	str_add(&text, entry->event, strlen(entry->event) + 1);
	str_add(&text, entry->data, entry->len);
	record_set_text(&record, text.data, text.len);
	str_done(&text);
	(void)channel_send(channel, &record, NULL, 0, NULL);
}

static void send_end(bool unfinished, const struct error *err)
{
	struct record record = {
		.kind = REC_END, .count = unfinished, .error = (uint8_t)err->kind, .scope = (uint8_t)err->scope, .code = (uint32_t)err->code};
	struct channel channel;

	record_set_text(&record, err->text, strnlen(err->text, sizeof(err->text)));
	channel_init(&channel, CHANNEL_FD);
	(void)channel_send(&channel, &record, NULL, 0, NULL);
}

/* The sandbox trapped a system call: say which, and leave. The call was not made. It forbids signals too, so abort() (a failed assertion, no memory)
 * ends here. */
static void on_forbidden_call(int number, siginfo_t *info, void *context) __attribute__((noreturn));
static void on_forbidden_call(int number, siginfo_t *info, void *context)
{
	struct record record = {.kind = REC_END, .error = ERR_LOCAL, .scope = SCOPE_MAILBOX, .code = (uint32_t)info->si_syscall};
	static const char forbidden[] = "the sandbox stopped the worker at a system call that it must not make";
	static const char aborted[] = "the worker has given up: out of memory, or an error in mailhaul";
	bool is_abort = info->si_syscall == SYS_tgkill;

	(void)number;
	(void)context;
	record_set_text(&record, is_abort ? aborted : forbidden, is_abort ? sizeof(aborted) - 1 : sizeof(forbidden) - 1);
	record_send(CHANNEL_FD, &record, NULL, 0);
	_exit(70);
}

static int seal(const struct birth *birth, struct error *err)
{
	int write_fds[3 * TARGETS_MAX];
	struct seal wanted = {.write_fds = write_fds, .mode = birth->job->sandbox};
	const struct sigaction action = {.sa_sigaction = on_forbidden_call, .sa_flags = SA_SIGINFO};
	const char *level;

	for (unsigned i = 0; i < birth->job->destination_count; i++)
		for (int k = 0; k < 3 && birth->directories[i][k] >= 0; k++)
			write_fds[wanted.write_count++] = birth->directories[i][k];
	sigaction(SIGSYS, &action, NULL);
	if (seal_apply(&wanted, &level, err) < 0)
		return -1;
	log_say(NULL, LEVEL_DEBUG, "sealed", "sandbox: %s", level);
	return 0;
}

static int run(struct session *session, struct error *err)
{
	switch (session->job->mode) {
	case JOB_HAUL:
		return session_run(session, err);
	case JOB_LISTEN:
		return session_listen(session, err);
	default:
		return session_inspect(session, err);
	}
}

static int work(struct birth *birth, bool *ret_unfinished, struct error *err)
{
	struct channel channel;
	struct session session;
	int result;

	channel_init(&channel, CHANNEL_FD);
	if (birth_await(birth, &channel, err) < 0)
		return -1;
	log_to(log_to_channel, &channel, birth->job->log_level);
	if (seal(birth, err) < 0)
		return -1;
	session_init(&session, birth->job, &channel, birth->secrets, (const int(*)[3])birth->directories, birth->refusals);
	result = run(&session, err);
	(void)channel_flush(&channel, NULL);
	*ret_unfinished = session.unfinished;
	if (!channel.closed) /* else messages may be under way still, and nobody is left to tidy up for */
		session_done(&session);
	return result;
}

void worker_main(int channel_fd)
{
	static struct birth birth;
	struct error err = {0};
	bool unfinished = false;

	close_descriptors(channel_fd);
	signal(SIGPIPE, SIG_IGN);
	work(&birth, &unfinished, &err);
	send_end(unfinished, &err);
	_exit(0);
}
