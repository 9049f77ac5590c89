#include "supervisor/scribes.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "dest/maildir.h"
#include "spawner/scribe.h"
#include "state/marker.h"
#include "supervisor/attendant.h"
#include "supervisor/child.h"
#include "supervisor/maildirs.h"

/* At the start: what one Maildir gets to answer, and how many may not. */
#define ANSWER_S 10
#define SILENT_MAX 2
#define DEATH_S 1      /* what is killed dies at once, or with its file system */
#define FACTOR_MIN 0.1 /* of tests: a process has to be born within that time */
/* Later, for all of a session. */
#define MARK_S 60
#define TRY_AGAIN_S 3600 /* after it could not be written */

/* One at work for a session. */
struct scribe {
	struct scribes *scribes;
	LIST_ENTRY(scribe) next;
	struct markers markers; /* copies of what it was given */
	struct child child;
	int reply_fd;
	bool killed;
	sd_event_source *exit, *deadline;
};

struct scribes {
	struct service *service;
	LIST_HEAD(, scribe) list;
	void (*idle)(void *);
	void *idle_context;
};

/* -- one process -- */

/* *ret_fd: its replies. */
static int send_out(
	struct service *service, const struct marker *list, size_t count, const char *text, struct child *ret_child, int *ret_fd, struct error *err)
{
	int list_fd = scribe_encode(list, count, text, err), ends[2], result;

	if (list_fd < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		fs_close(list_fd);
		return error_errno(err, SCOPE_PROGRAM, "cannot make a socket pair");
	}
	result = spawner_scribe(service->spawner, list_fd, ends[1], ret_child, err);
	close(list_fd);
	close(ends[1]);
	*ret_fd = result == 0 ? ends[0] : fs_close(ends[0]);
	return result;
}

/* 1; 0: there is none yet; -1: there will be none. */
static int take_reply(int fd, struct marker *marker)
{
	struct scribe_reply reply;
	ssize_t len = recv(fd, &reply, sizeof(reply), MSG_DONTWAIT);

	if (len < 0)
		return 0;
	if (len != sizeof(reply))
		return -1;
	marker->sight = reply.sight == MARKER_FOUND ? MARKER_FOUND : MARKER_MISSING;
	memcpy(marker->installation, reply.installation, sizeof(marker->installation));
	marker->installation[sizeof(marker->installation) - 1] = '\0';
	marker->messages = reply.messages;
	marker->written_at = reply.written_at;
	return 1;
}

/* -- at the start -- */

static bool await(int fd, struct deadline deadline)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};

	while (!deadline_passed(deadline))
		if (poll(&input, 1, deadline_poll_ms(deadline)) > 0)
			return true;
	return false;
}

static struct deadline patience(double seconds)
{
	double factor = deadline_factor();

	return deadline_in_s(factor < FACTOR_MIN ? seconds * FACTOR_MIN / factor : seconds);
}

/* One that does not even die is left behind. */
static void end_process(struct child *child)
{
	kill(child->pid, SIGKILL);
	if (await(child->pidfd, patience(DEATH_S)))
		waitpid(child->pid, NULL, 0);
	fs_close(child->pidfd);
}

/* How many of them have answered. */
static size_t ask(struct service *service, struct marker *list, size_t count, const char *text, int *ret_result, struct error *err)
{
	struct child child;
	size_t answered = 0;
	int fd;

	*ret_result = send_out(service, list, count, text, &child, &fd, err);
	if (*ret_result < 0)
		return 0;
	while (answered < count && await(fd, patience(ANSWER_S)) && take_reply(fd, &list[answered]) > 0)
		answered++;
	close(fd);
	end_process(&child);
	return answered;
}

static int ask_all(struct service *service, struct marker *list, size_t count, const char *text, struct error *err)
{
	unsigned silent = 0;
	int result = 0;

	for (size_t i = 0; i < count && silent < SILENT_MAX; i++) {
		i += ask(service, &list[i], count - i, text, &result, err);
		if (result < 0)
			return -1;
		if (i == count)
			break;
		silent++;
		log_say(NULL, LEVEL_WARNING, "maildir_silent", "the file system of %s does not answer; is it on a network, and its server down?",
			list[i].dir);
	}
	return 0;
}

int scribes_survey(struct service *service, struct markers *markers, const char *text, struct error *err)
{
	size_t here = 0;

	for (; here < markers->count && !markers->list[here].in_maildir; here++) {
		if (text != NULL)
			marker_write(&markers->list[here], text);
		marker_look(&markers->list[here]);
	}
	return ask_all(service, &markers->list[here], markers->count - here, text, err);
}

static void trust(struct service *service, const struct marker *marker)
{
	if (marker->in_maildir && marker->sight == MARKER_FOUND && marker->installation[0] != '\0')
		maildirs_put_off_marker(service->maildirs, marker->dir, marker->written_at + MARKER_REFRESH_S);
}

void scribes_trust(struct service *service, const struct markers *markers)
{
	for (size_t i = 0; i < markers->count; i++)
		trust(service, &markers->list[i]);
}

/* -- later -- */

static void end(struct scribe *scribe)
{
	LIST_REMOVE(scribe, next);
	sd_event_source_disable_unref(scribe->deadline);
	sd_event_source_disable_unref(scribe->exit);
	fs_close(scribe->reply_fd);
	markers_done(&scribe->markers);
	free(scribe);
}

static void look_whether_idle(struct scribes *scribes)
{
	if (scribes->idle != NULL && !scribes_are_busy(scribes))
		scribes->idle(scribes->idle_context);
}

static int on_exit_of_scribe(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct scribe *scribe = context;
	struct scribes *scribes = scribe->scribes;

	(void)source;
	(void)info;
	for (size_t i = 0; i < scribe->markers.count && take_reply(scribe->reply_fd, &scribe->markers.list[i]) > 0; i++)
		trust(scribes->service, &scribe->markers.list[i]);
	end(scribe);
	look_whether_idle(scribes);
	return 0;
}

/* Nobody waits for it any more, but its end is waited for. */
static int on_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	struct scribe *scribe = context;

	(void)source;
	(void)when_us;
	scribe->killed = true;
	kill(scribe->child.pid, SIGKILL);
	look_whether_idle(scribe->scribes);
	return 0;
}

static int watch(struct scribe *scribe, struct error *err)
{
	sd_event *event = scribe->scribes->service->event;

	if (child_watch(event, &scribe->exit, scribe->child.pidfd, on_exit_of_scribe, scribe) < 0 ||
		sd_event_add_time_relative(
			event, &scribe->deadline, CLOCK_MONOTONIC, (uint64_t)(MARK_S * deadline_factor() * 1e6), 100000, on_deadline, scribe) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a process");
	return 0;
}

/* What cannot be written is tried again, but not each time. */
static void start(struct scribes *scribes, struct markers *markers_take, const char *text, int64_t now)
{
	struct scribe *scribe = xcalloc(1, sizeof(*scribe));
	struct error err;

	scribe->scribes = scribes;
	scribe->markers = *markers_take;
	scribe->reply_fd = -1;
	LIST_INSERT_HEAD(&scribes->list, scribe, next);
	for (size_t i = 0; i < scribe->markers.count; i++)
		maildirs_put_off_marker(scribes->service->maildirs, scribe->markers.list[i].dir, now + TRY_AGAIN_S);
	if (send_out(scribes->service, scribe->markers.list, scribe->markers.count, text, &scribe->child, &scribe->reply_fd, &err) == 0 &&
		watch(scribe, &err) == 0)
		return;
	log_say(NULL, LEVEL_WARNING, "not_marked", "cannot write down in a Maildir that mail was hauled: %s", err.text);
	end(scribe);
}

static bool is_due(const struct attendant *attendant, const struct marker *marker, int64_t now)
{
	const struct job *job = &attendant->job;

	for (unsigned i = 0; i < job->destination_count; i++)
		if (job->destinations[i].kind == DEST_MAILDIR && attendant->places[i] != 0 && strcmp(job->destinations[i].path, marker->dir) == 0)
			return maildirs_marker_is_due(attendant->service->maildirs, marker->dir, now);
	return false;
}

/* What a scribe is to write is left in the list. */
static void mark_here(struct attendant *attendant, struct markers *markers, const struct marker_note *note, int64_t now)
{
	size_t left = 0;

	for (size_t i = 0; i < markers->count; i++) {
		struct marker *marker = &markers->list[i], kept = markers->list[left];

		if (!marker->in_maildir) {
			marker_look(marker);
			if (!marker_is_current(marker, note, now))
				marker_write(marker, note->text);
		} else if (is_due(attendant, marker, now)) {
			markers->list[left++] = *marker;
			*marker = kept;
		}
	}
	markers_cut(markers, left);
}

void scribes_mark(struct attendant *attendant)
{
	struct service *service = attendant->service;
	int64_t now = clock_wall_s();
	struct markers markers;
	struct marker_note note;

	if (attendant->marked || marker_compose(attendant->config, service->state, &note, NULL) < 0)
		return;
	attendant->marked = true;
	markers_init(&markers, attendant->config);
	mark_here(attendant, &markers, &note, now);
	if (markers.count != 0)
		start(service->scribes, &markers, note.text, now);
	else
		markers_done(&markers);
}

/* -- the whole -- */

bool scribes_are_busy(const struct scribes *scribes)
{
	const struct scribe *scribe;

	LIST_FOREACH(scribe, &scribes->list, next)
	if (!scribe->killed)
		return true;
	return false;
}

void scribes_when_idle(struct scribes *scribes, void (*idle)(void *), void *context)
{
	scribes->idle = idle;
	scribes->idle_context = context;
}

struct scribes *scribes_new(struct service *service)
{
	struct scribes *scribes = xcalloc(1, sizeof(*scribes));

	scribes->service = service;
	LIST_INIT(&scribes->list);
	return scribes;
}

void scribes_free(struct scribes *scribes)
{
	struct scribe *scribe;

	if (scribes == NULL)
		return;
	while ((scribe = LIST_FIRST(&scribes->list)) != NULL)
		end(scribe);
	free(scribes);
}
