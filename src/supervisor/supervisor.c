#include "supervisor/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/connectors.h"
#include "supervisor/daemon.h"
#include "supervisor/herald.h"
#include "supervisor/ledger.h"
#include "supervisor/maildirs.h"
#include "supervisor/metrics.h"
#include "supervisor/once.h"
#include "supervisor/privileges.h"
#include "supervisor/scribes.h"

#define SHRINKS_AT_END 64 /* half a second */

struct supervisor {
	struct service service;
	const struct supervisor_options *options;
	struct once *once; /* what drives the roster: this, or the daemon */
	struct daemon *daemon;
	sd_event_source *spawner_event;
};

static void on_state_failure(void *context, const struct error *err)
{
	service_state_failed(context, err);
}

static void on_shortage(void *context)
{
	service_disk_is_full(context);
}

static int on_spawner_death(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	log_say(NULL, LEVEL_ERROR, "spawner_died", "the process that starts all others has died");
	service_give_up(context, EX_SOFTWARE);
	return 0;
}

/* -- the whole -- */

/* It is one of the steps that check tries; the others are tried all the same. */
static int check_state(struct supervisor *supervisor, struct error *err)
{
	struct service *service = &supervisor->service;

	if (service_open_state(service, false, err) == 0 && state_check(service->state, err) == 0) {
		snprintf(err->text, sizeof(err->text),
			service_has_state(service) ? "%s/state.db is in order" : "there is none in %s yet; the first run makes one",
			service->config->state_dir);
		once_report("state", REPORT_OK, err->text, strlen(err->text));
		return 0;
	}
	once_report("state", REPORT_FAILED, err->text, strlen(err->text));
	service_note_exit_code(service, policy_exit_code(err->kind, err->scope));
	state_close(service->state);
	service->state = state_open_scratch(err);
	return service->state != NULL ? 0 : -1;
}

static int open_state(struct supervisor *supervisor, struct error *err)
{
	if (supervisor->service.mode == JOB_CHECK)
		return check_state(supervisor, err);
	return service_open_state(&supervisor->service, supervisor->options->accept_duplicates, err);
}

/* A worker costs half a dozen descriptors, and the customary limit of 1024 would end at some 200 mailboxes. Programs that we start do not inherit it. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_loop(struct supervisor *supervisor, struct error *err)
{
	struct service *service = &supervisor->service;
	sigset_t blocked;

	raise_descriptor_limit();
	if (sd_event_new(&service->event) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make an event loop");
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD); /* sd-event insists, although it watches children by descriptor */
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_add_io(service->event, &supervisor->spawner_event, service->spawner->fd, EPOLLHUP, on_spawner_death, service) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch the spawner");
	service->ledger = ledger_new(service->event, service->state, on_state_failure, on_shortage, service);
	if (service->ledger == NULL)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make a timer");
	service->connectors = connectors_new(service->event, service->spawner);
	service->scribes = scribes_new(service);
	service->herald = herald_new(service);
	service->metrics = metrics_new(service);
	return 0;
}

static void take_down(struct supervisor *supervisor)
{
	struct service *service = &supervisor->service;

	once_free(supervisor->once);
	daemon_free(supervisor->daemon);
	connectors_free(service->connectors);
	scribes_free(service->scribes);
	maildirs_free(service->maildirs);
	herald_free(service->herald);
	metrics_free(service->metrics);
	ledger_free(service->ledger);
	/* Nobody waits for us any more. */
	if (service->state != NULL && service->mode == JOB_HAUL && !service->hurried && service->exit_code != EX_IOERR)
		service_shrink(service, SHRINKS_AT_END);
	sd_event_source_disable_unref(supervisor->spawner_event);
	sd_event_unref(service->event);
	state_close(service->state);
	free(service->host);
}

static char *own_name(void)
{
	char name[256];

	if (gethostname(name, sizeof(name)) < 0 || name[0] == '\0')
		return xstrdup("localhost");
	name[sizeof(name) - 1] = '\0';
	return xstrdup(name);
}

static int prepare(struct supervisor *supervisor, struct error *err)
{
	struct service *service = &supervisor->service;

	if (privileges_drop(service->config, service->spawner, err) < 0)
		return -1;
	if (service->config->mailbox_count > 1 && strv_length(supervisor->options->names) != 1)
		spawner_expect_many(service->spawner);
	if (open_state(supervisor, err) < 0 || open_loop(supervisor, err) < 0)
		return -1;
	if (supervisor->options->load != NULL)
		return daemon_new(service, supervisor->options, &supervisor->daemon, err);
	return once_new(service, supervisor->options, &supervisor->once, err);
}

static void work(struct supervisor *supervisor)
{
	int result;

	if (supervisor->daemon != NULL)
		daemon_start(supervisor->daemon);
	else
		once_start(supervisor->once);
	result = sd_event_loop(supervisor->service.event);
	if (result >= 0)
		return;
	log_say(NULL, LEVEL_ERROR, "loop_failed", "waiting for events failed, so nothing more is done: %s", strerror(-result));
	service_note_exit_code(&supervisor->service, EX_SOFTWARE);
}

int supervisor_run(const struct config *config, struct spawner *spawner, const struct supervisor_options *options)
{
	struct supervisor supervisor = {.options = options};
	struct service *service = &supervisor.service;
	struct error err = {0};

	*service = (struct service){
		.config = config,
		.spawner = spawner,
		.host = own_name(),
		.mode = options->mode,
		.trace = options->trace,
		.attended = options->attended,
		.maildirs = maildirs_new(),
	};
	if (prepare(&supervisor, &err) < 0) {
		log_say(NULL, LEVEL_ERROR, "cannot_start", "%s", err.text);
		service_note_exit_code(service, policy_exit_code(err.kind, SCOPE_PROGRAM));
	} else {
		work(&supervisor);
	}
	take_down(&supervisor);
	return service->exit_code;
}
