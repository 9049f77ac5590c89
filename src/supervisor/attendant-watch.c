#include "supervisor/attendant.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "channel/channel.h"
#include "supervisor/child.h"
#include "supervisor/ledger.h"
#include "supervisor/maildirs.h"

/* Datagrams taken from one worker in one turn of the loop, so that a chatty one does not keep the others waiting. */
#define BATCHES_PER_TURN 64
/* A worker that says nothing for so long hangs: one that waits for somebody says so every minute. What it does without waiting, it does to files, and to
 * those of a Maildir that is searched after a loss that may take long. */
#define SILENCE_S 3600
/* One that is at rest speaks when it asks its server for a sign of life, or looks for mail. */
#define REST_S (2 * 3600)
/* For each of its Maildirs, before that; a file system that is slower is of no use. */
#define OPENING_S 60
#define LOGIN_DELAY_MAX_S 86400 /* whoever runs the worker must not end the polls of a whole server */
#define BUSY_RETRY_MS 20

/* -- the end -- */

/* A worker that had no last word is judged by how it ended. */
static void judge_exit(struct attendant *attendant)
{
	if (attendant->over || attendant->result.kind != ERR_NONE)
		return;
	if (attendant->stopping)
		error_set(&attendant->result, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	else if (attendant->exited)
		error_set(&attendant->result, ERR_LOCAL, SCOPE_MAILBOX, "the worker left with status %d and without a word", attendant->exit_status);
	else
		error_set(&attendant->result, ERR_LOCAL, SCOPE_MAILBOX, "the worker was ended by signal %d", attendant->exit_status);
}

static void finish(struct attendant *attendant)
{
	judge_exit(attendant);
	attendant->over = true;
	attendant_tell_dropped(attendant);
	attendant->service->finished(attendant->service, attendant, &attendant->result);
}

void attendant_abandon(struct attendant *attendant)
{
	attendant->channel_event = sd_event_source_disable_unref(attendant->channel_event);
	attendant->unfinished = false; /* nobody else can have the mailbox now */
	attendant->exit_status = SIGKILL;
	finish(attendant);
}

static int on_worker_exit(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct attendant *attendant = context;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	attendant->worker.pid = 0;
	attendant->exited = info->si_code == CLD_EXITED;
	attendant->exit_status = info->si_status;
	/* What is left in the channel is read first; the end of it finishes us. */
	if (attendant->channel_event == NULL)
		finish(attendant);
	return 0;
}

/* -- what a worker says -- */

static void take_trace(struct attendant *attendant, const struct record *record)
{
	char line[4 * RECORD_TEXT_MAX + 1];

	if (!attendant->job.trace)
		return;
	escape_into(line, sizeof(line), record->text, record->len);
	fprintf(stderr, "trace %s %c %s\n", attendant->mailbox->name, record->index == '<' ? '<' : '>', line);
}

static void take_progress(struct attendant *attendant, const struct record *record)
{
	if ((record->flags & REC_WAITING) != 0) {
		ledger_commit_soon(attendant->service->ledger);
		return;
	}
	progress_take(&attendant->past_progress, &attendant->progress, record);
	if (attendant->service->progress != NULL)
		attendant->service->progress(attendant->service);
}

static int on_retry(sd_event_source *source, uint64_t when_us, void *context);

static void serve(struct attendant *attendant, const struct record *request, const int *fds, unsigned fd_count)
{
	struct error err;

	if (attendant_serve(attendant, request, fds, fd_count, &err) == 0)
		return;
	if (err.kind != ERR_TEMP || err.scope != SCOPE_PROGRAM) {
		attendant_refuse(attendant, &err);
		return;
	}
	/* Another mailhaul has the database for a moment: the same request again, later. The worker sleeps on it. */
	if (attendant->waiting_request == NULL) {
		attendant->waiting_request = xmalloc(sizeof(*request));
		memcpy(attendant->waiting_request, request, record_size(request));
		attendant->waiting_fd = fd_count != 0 ? fcntl(fds[0], F_DUPFD_CLOEXEC, 0) : -1;
	}
	attendant->retry_event = sd_event_source_unref(attendant->retry_event);
	if (sd_event_add_time_relative(
		    attendant->service->event, &attendant->retry_event, CLOCK_MONOTONIC, BUSY_RETRY_MS * 1000, 1000, on_retry, attendant) < 0)
		attendant_refuse(attendant, &err);
}

static int on_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;
	struct record *request = attendant->waiting_request;
	int fd = attendant->waiting_fd;

	(void)source;
	(void)when_us;
	attendant->waiting_request = NULL;
	attendant->waiting_fd = -1;
	serve(attendant, request, &fd, fd >= 0 ? 1 : 0);
	fs_close(fd);
	free(request);
	return 0;
}

static void take_end(struct attendant *attendant, const struct record *record)
{
	bool deserts = record->error == ERR_CANCELED && !attendant->stopping; /* it lost its channel: nobody had told it to stop */

	attendant->over = true;
	attendant->unfinished = record->count != 0 && record->error == ERR_NONE;
	if (attendant->result.kind == ERR_NONE && record->error != ERR_NONE)
		error_code(&attendant->result, deserts ? ERR_LOCAL : record->error, deserts ? SCOPE_MAILBOX : record->scope, (int)record->code,
			"%.*s", (int)record->len, record->text);
}

void attendant_expect_word(struct attendant *attendant)
{
	int seconds = attendant->unopened != 0 ? OPENING_S : attendant->idle || attendant->mode == JOB_LISTEN ? REST_S : SILENCE_S;

	sd_event_source_set_time_relative(attendant->silence, (uint64_t)(seconds * deadline_factor() * 1e6));
	sd_event_source_set_enabled(attendant->silence, SD_EVENT_ONESHOT);
}

/* What is wrong with a record, or NULL. */
static const char *find_fault(struct attendant *attendant, const struct record *record, unsigned fd_count)
{
	const char *wrong = record_check(record, record_size(record), fd_count, true);

	if (wrong != NULL)
		return wrong;
	if (record_is_durable(record->kind) && record->seq != attendant->received + 1)
		return "out of sequence";
	if (record_is_durable(record->kind) && attendant->mode != JOB_HAUL)
		return "from one that should only look";
	if (!attendant_may_say(attendant, record->kind))
		return attendant->mode == JOB_LISTEN ? "from one that should only listen"
		       : attendant->unopened != 0    ? "from one that should open its Maildirs first"
						     : "from one that should wait for mail";
	return record->kind == REC_MAILDIR ? maildirs_take(attendant, record) : NULL;
}

static void take_host(struct attendant *attendant, const struct record *record)
{
	attendant->host_facts = (struct host_facts){
		.known = record->code != 0,
		.before = record->index,
		.after = record->count,
		.mechanisms = (uint32_t)record->targets,
		.boundary = record->verdict,
		.idle_s = (uint32_t)record->size,
		.login_delay_s = record->when > 0 && record->when <= LOGIN_DELAY_MAX_S ? (uint32_t)record->when : 0,
	};
}

/* -1: the worker talks nonsense. */
static int take_record(struct attendant *attendant, const struct record *record, const int *fds, unsigned fd_count)
{
	const char *wrong;
	struct error err;

	if (attendant->condemned)
		return 0;
	if (record->kind != REC_ALIVE)
		attendant->heard_ns = clock_monotonic_ns();
	wrong = find_fault(attendant, record, fd_count);
	if (wrong != NULL) {
		error_set(&err, ERR_PROTO, SCOPE_MAILBOX, "%s: %s", record_kind_name(record->kind), wrong);
		attendant_condemn(attendant, &err);
		return -1;
	}
	if (record_is_durable(record->kind)) {
		attendant->received = record->seq;
		ledger_add(attendant->service->ledger, attendant, record);
		return 0;
	}
	switch (record->kind) {
	case REC_LOG:
		attendant_take_log(attendant, record);
		break;
	case REC_TRACE:
		take_trace(attendant, record);
		break;
	case REC_PROGRESS:
		take_progress(attendant, record);
		break;
	case REC_REPORT:
		if (attendant->service->report != NULL && record->index <= REPORT_ITEM)
			attendant->service->report(attendant->service, attendant, record->index, record->text, record->len);
		break;
	case REC_HOST:
		take_host(attendant, record);
		break;
	case REC_BUSY:
		attendant_take_busy(attendant);
		break;
	case REC_LOOKED:
		attendant_take_look(attendant);
		break;
	case REC_HEARD:
		attendant_take_heard(attendant, record);
		break;
	case REC_ALIVE:
		break;
	case REC_MAILDIR:
		attendant_expect_word(attendant); /* the next one may be longer in coming */
		break;
	case REC_END:
		take_end(attendant, record);
		break;
	default:
		serve(attendant, record, fds, fd_count);
		break;
	}
	return 0;
}

/* Of a batch that has come and has not been read yet. */
static bool has_word(const struct attendant *attendant)
{
	struct pollfd input = {.fd = attendant->channel_fd, .events = POLLIN};

	return attendant->channel_event != NULL && poll(&input, 1, 0) > 0;
}

static int on_silence(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;

	(void)source;
	(void)when_us;
	if (has_word(attendant)) { /* it is we who were busy, or have the disk to wait for */
		attendant_expect_word(attendant);
		return 0;
	}
	if (attendant->unopened != 0)
		maildirs_give_up(attendant);
	else
		error_set(&attendant->result, ERR_LOCAL, SCOPE_MAILBOX, "the worker said nothing for too long and was ended");
	attendant_kill(attendant);
	return 0;
}

/* As batch_receive, and -1 if it was nonsense. */
static int take_batch(struct attendant *attendant, int fd)
{
	static struct batch_reader reader;
	const struct record *record;
	int fds[RECORD_FDS_MAX], result;
	unsigned fd_count;
	bool first = true, broken = false;

	result = batch_receive(&reader, fd, fds, &fd_count);
	while (result > 0 && (record = batch_next(&reader, &broken)) != NULL) {
		if (take_record(attendant, record, fds, first ? fd_count : 0) < 0)
			result = -1;
		first = false;
	}
	while (fd_count != 0)
		fs_close(fds[--fd_count]);
	return broken ? -1 : result;
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct attendant *attendant = context;
	int result = 1;

	(void)events;
	attendant_expect_word(attendant);
	for (int i = 0; i < BATCHES_PER_TURN && result > 0; i++) {
		if (!attendant->condemned && attendant->received - attendant->acknowledged > CHANNEL_WINDOW) {
			sd_event_source_set_enabled(source, SD_EVENT_OFF); /* until its records are on disk */
			return 0;
		}
		result = take_batch(attendant, fd);
	}
	if (result >= 0)
		return 0;
	attendant_kill(attendant); /* it has left, or talks nonsense: nobody listens to it any more */
	attendant->channel_event = sd_event_source_disable_unref(attendant->channel_event);
	if (attendant->worker.pid == 0)
		finish(attendant);
	return 0;
}

/* -- all of it -- */

int attendant_watch(struct attendant *attendant, struct error *err)
{
	sd_event *event = attendant->service->event;
	int pidfd = attendant->worker.pidfd;

	attendant->worker.pidfd = -1;
	if (child_watch(event, &attendant->worker_event, pidfd, on_worker_exit, attendant) < 0 ||
		sd_event_add_io(event, &attendant->channel_event, attendant->channel_fd, EPOLLIN, on_channel, attendant) < 0 ||
		sd_event_add_time_relative(event, &attendant->silence, CLOCK_MONOTONIC, 0, 1000000, on_silence, attendant) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a worker");
	attendant->heard_ns = clock_monotonic_ns();
	attendant_expect_word(attendant);
	return 0;
}
