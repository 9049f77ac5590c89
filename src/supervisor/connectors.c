#include "supervisor/connectors.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "channel/record.h"
#include "spawner/spawner.h"
#include "supervisor/child.h"

/* It gives up by itself after 30 s of connecting; a resolver may take longer than that, and has no deadline of its own. */
#define ANSWER_S 60
#define IDLE_S 5 /* and as long it keeps what it has resolved */

struct connector {
	struct connectors *connectors;
	TAILQ_ENTRY(connector) next; /* while it is idle */
	char *host, *path;           /* one of them is NULL */
	uint16_t port;
	bool loopback_only;
	struct child child;
	int fd;
	sd_event_source *input, *deadline;
	connected_fn *answered; /* NULL: idle */
	void *context;
};

struct connectors {
	sd_event *event;
	struct spawner *spawner;
	TAILQ_HEAD(idle_list, connector) idle; /* for the shortest time first */
	unsigned idle_count;
};

struct connectors *connectors_new(sd_event *event, struct spawner *spawner)
{
	struct connectors *connectors = xcalloc(1, sizeof(*connectors));

	connectors->event = event;
	connectors->spawner = spawner;
	TAILQ_INIT(&connectors->idle);
	return connectors;
}

static void take_from_idle(struct connector *connector)
{
	TAILQ_REMOVE(&connector->connectors->idle, connector, next);
	connector->connectors->idle_count--;
}

static void end(struct connector *connector)
{
	if (connector->child.pid > 0)
		kill(connector->child.pid, SIGKILL);
	sd_event_source_disable_unref(connector->input);
	sd_event_source_disable_unref(connector->deadline);
	fs_close(connector->fd);
	free(connector->host);
	free(connector->path);
	free(connector);
}

void connectors_free(struct connectors *connectors)
{
	struct connector *connector;

	if (connectors == NULL)
		return;
	while ((connector = TAILQ_FIRST(&connectors->idle)) != NULL) {
		take_from_idle(connector);
		end(connector);
	}
	free(connectors);
}

void connector_forget(struct connector *connector)
{
	if (connector != NULL)
		end(connector);
}

static void set_deadline(struct connector *connector, double seconds)
{
	sd_event_source_set_time_relative(connector->deadline, (uint64_t)(seconds * deadline_factor() * 1e6));
	sd_event_source_set_enabled(connector->deadline, SD_EVENT_ONESHOT);
}

static void end_longest_idle(struct connectors *connectors)
{
	struct connector *connector = TAILQ_LAST(&connectors->idle, idle_list);

	take_from_idle(connector);
	end(connector);
}

static void rest(struct connector *connector)
{
	struct connectors *connectors = connector->connectors;

	connector->answered = NULL;
	TAILQ_INSERT_HEAD(&connectors->idle, connector, next);
	set_deadline(connector, IDLE_S);
	if (++connectors->idle_count > CONNECTORS_IDLE_MAX)
		end_longest_idle(connectors);
}

static void fail(struct connector *connector, const char *text)
{
	struct record answer = {.kind = REC_FAILED, .error = ERR_TEMP, .scope = SCOPE_MAILBOX};
	connected_fn *answered = connector->answered;
	void *context = connector->context;

	if (answered == NULL)
		take_from_idle(connector);
	end(connector);
	record_set_text(&answer, text, strlen(text));
	if (answered != NULL)
		answered(context, &answer, NULL, 0);
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct connector *connector = context;
	connected_fn *answered = connector->answered;
	struct record answer;
	int fds[RECORD_FDS_MAX];
	unsigned fd_count = 0;
	int result = record_receive(fd, &answer, fds, &fd_count);

	(void)source;
	(void)events;
	if (result == 0)
		return 0;
	if (result > 0 && answered != NULL && record_check(&answer, record_size(&answer), fd_count, false) == NULL &&
		(answer.kind == REC_CONNECTED || answer.kind == REC_FAILED)) {
		rest(connector);
		answered(connector->context, &answer, fds, fd_count);
	} else {
		fail(connector, "the process that connects has died");
	}
	while (fd_count != 0)
		fs_close(fds[--fd_count]);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	fail(context, "no connection in time: the name server or the server does not answer");
	return 0;
}

/* Reaps; what it had to say came through its socket. */
static int on_exit_of_connector(sd_event_source *source, const siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	sd_event_source_set_floating(source, false); /* gives up the last reference */
	return 0;
}

static int watch(struct connector *connector, struct error *err)
{
	sd_event *event = connector->connectors->event;
	sd_event_source *reaper;

	if (child_watch(event, &reaper, connector->child.pidfd, on_exit_of_connector, NULL) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a connector");
	/* It outlives the connector: the event loop owns it. */
	sd_event_source_set_floating(reaper, true);
	sd_event_source_unref(reaper);
	if (sd_event_add_io(event, &connector->input, connector->fd, EPOLLIN, on_input, connector) < 0 ||
		sd_event_add_time_relative(event, &connector->deadline, CLOCK_MONOTONIC, 0, 100000, on_deadline, connector) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a connector");
	sd_event_source_set_priority(connector->input, SD_EVENT_PRIORITY_IMPORTANT); /* before others ask: this one may serve them */
	return 0;
}

/* Its first request is what it is born with. */
static struct connector *start(struct connectors *connectors, const struct connect_request *request, struct error *err)
{
	struct connector *connector;
	int ends[2], result;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		error_errno(err, SCOPE_PROGRAM, "cannot make a socket pair");
		return NULL;
	}
	connector = xcalloc(1, sizeof(*connector));
	connector->connectors = connectors;
	connector->host = request->host != NULL ? xstrdup(request->host) : NULL;
	connector->path = request->host == NULL ? xstrdup(request->path) : NULL;
	connector->port = request->port;
	connector->loopback_only = request->loopback_only;
	connector->fd = ends[0];
	result = spawner_connector(connectors->spawner, ends[1], request, &connector->child, err);
	close(ends[1]);
	if (result < 0 || watch(connector, err) < 0) {
		end(connector);
		return NULL;
	}
	return connector;
}

static bool serves(const struct connector *connector, const struct connect_request *request)
{
	if (request->host == NULL || connector->host == NULL)
		return request->host == connector->host && strcmp(request->path, connector->path) == 0;
	return strcmp(request->host, connector->host) == 0 && request->port == connector->port && request->loopback_only == connector->loopback_only;
}

/* One that is there, and has been told to do it again; or NULL. */
static struct connector *wake(struct connectors *connectors, const struct connect_request *request)
{
	struct connector *connector;

	TAILQ_FOREACH(connector, &connectors->idle, next)
	if (serves(connector, request) && send(connector->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
		take_from_idle(connector);
		return connector;
	}
	return NULL;
}

int connectors_ask(struct connectors *connectors, const struct connect_request *request, connected_fn *answered, void *context,
	struct connector **ret_connector, struct error *err)
{
	struct connector *connector = wake(connectors, request);

	if (connector == NULL)
		connector = start(connectors, request, err);
	if (connector == NULL)
		return -1;
	connector->answered = answered;
	connector->context = context;
	set_deadline(connector, request->within_s != 0 && request->within_s < ANSWER_S ? request->within_s : ANSWER_S);
	*ret_connector = connector;
	return 0;
}
