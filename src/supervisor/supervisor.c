#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"
#include "supervisor/health.h"
#include "supervisor/ledger.h"
#include "supervisor/lock.h"
#include "supervisor/privileges.h"
#include "supervisor/progress.h"
#include "supervisor/schedule.h"

#define BUSY_RETRY_MS 20
#define SHRINKS_AT_END 64 /* half a second */
#define LOCK_RETRY_MS 1000
#define BUSY_RETRIES_MAX 3000 /* a minute: then the other one hangs, and somebody should know */

struct post {
	const struct mailbox_config *mailbox;
	struct attendant *attendant; /* NULL: not started, or over */
	bool started, named;
	bool put_off; /* somebody else is hauling it, which was said */
};

struct supervisor {
	struct service service;
	const struct supervisor_options *options;
	struct post *posts;
	unsigned post_count, next, running, places;
	int exit_code;
	unsigned interrupts, busy;
	unsigned put_off;         /* posts in a row, from next on, that somebody else is hauling */
	struct deadline wait_end; /* for these */
	sd_event_source *spawner_event, *start_retry;
	int64_t started_ns;
	struct progress_total past; /* what sessions and folders that are over have brought */
};

static struct supervisor *supervisor_of(struct service *service)
{
	return service->context;
}

/* The gravest code of all mailboxes counts. */
static void note_exit_code(struct supervisor *supervisor, int code)
{
	static const int order[] = {EX_OK, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, EX_IOERR, EX_SOFTWARE};
	unsigned rank = 0, current = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		rank = order[i] == code ? i : rank;
		current = order[i] == supervisor->exit_code ? i : current;
	}
	if (rank > current)
		supervisor->exit_code = code;
}

static void give_up(struct supervisor *supervisor, int code)
{
	note_exit_code(supervisor, code);
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].attendant != NULL)
			attendant_kill(supervisor->posts[i].attendant);
	sd_event_exit(supervisor->service.event, 0);
}

static void on_state_failure(void *context, const struct error *err)
{
	struct supervisor *supervisor = context;

	progress_clear();
	log_say(NULL, LEVEL_ERROR, "state_failed", "the state cannot be written, so nothing more is done: %s", err->text);
	give_up(supervisor, EX_IOERR);
}

/* What check and list find, for a person. */
static void print_report(const char *mailbox, enum report what, const char *text, size_t len)
{
	static const char *const words[] = {"ok", "warning", "FAILED", ""};
	char line[4 * RECORD_TEXT_MAX];

	printable_into(line, sizeof(line), text, len);
	if (what == REPORT_ITEM)
		printf("%s\n", line);
	else
		printf("%-8s%s: %s\n", words[what], mailbox, line);
	fflush(stdout);
}

/* -- how a session ended -- */

static int store_end(struct state *state, const struct mailbox_state *mailbox, struct attendant *attendant, struct error *err)
{
	if (state_begin(state, err) < 0)
		return -1;
	if (state_mailbox_store(state, mailbox, err) == 0 &&
		(attendant == NULL ||
			(destinations_note_accepted(attendant, err) == 0 && attendant_store_facts(attendant, clock_wall_s(), err) == 0)) &&
		state_commit(state, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}

/* Keeps in the state how it ended; attendant NULL: before it began. 0, or -1 when the database is busy. */
static int record_end(
	struct supervisor *supervisor, struct mailbox_state *mailbox, struct attendant *attendant, const struct log *log, const struct error *err)
{
	struct mailbox_state before = *mailbox;
	struct error problem;
	int64_t now = clock_wall_s();
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	health_note(mailbox, err, now, random);
	if (store_end(supervisor->service.state, mailbox, attendant, &problem) < 0) {
		if (problem.kind == ERR_TEMP) {
			*mailbox = before;
			return -1;
		}
		on_state_failure(supervisor, &problem);
	}
	health_log(&before, mailbox, supervisor->options->attended, log, err);
	if (attendant != NULL)
		destinations_log_accepted(attendant);
	return 0;
}

static void start_posts(struct supervisor *supervisor);

static int on_ending_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;

	(void)source;
	(void)when_us;
	attendant->service->finished(attendant->service, attendant, &attendant->result);
	return 0;
}

static void add_progress(struct progress_total *total, const struct progress_total *part)
{
	total->done += part->done;
	total->messages += part->messages;
	total->done_bytes += part->done_bytes;
	total->bytes += part->bytes;
}

static void retire(struct supervisor *supervisor, struct attendant *attendant)
{
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].attendant == attendant)
			supervisor->posts[i].attendant = NULL;
	add_progress(&supervisor->past, &attendant->progress);
	attendant_free(attendant);
	if (supervisor->service.mode == JOB_HAUL)
		service_shrink(&supervisor->service, 1);
	supervisor->running--;
	start_posts(supervisor);
}

static void on_finished(struct service *service, struct attendant *attendant, const struct error *err)
{
	struct supervisor *supervisor = supervisor_of(service);
	bool hauling = service->mode == JOB_HAUL, canceled = err->kind == ERR_CANCELED;

	if (!hauling && !canceled && err->kind != ERR_NONE && !attendant->complained)
		print_report(attendant->mailbox->name, REPORT_FAILED, err->text, strlen(err->text)); /* there was no worker to say so */
	progress_clear();
	/* Its last outcomes before anything else; if another mailhaul has the database, a little later. */
	if (hauling && (ledger_commit(service->ledger, NULL) < 0 ||
			       (!canceled && record_end(supervisor, &attendant->mailbox_state, attendant, &attendant->log, err) < 0))) {
		attendant->retry_event = sd_event_source_disable_unref(attendant->retry_event);
		if (sd_event_add_time_relative(
			    service->event, &attendant->retry_event, CLOCK_MONOTONIC, BUSY_RETRY_MS * 1000, 1000, on_ending_retry, attendant) < 0)
			give_up(supervisor, EX_SOFTWARE);
		return;
	}
	note_exit_code(supervisor, policy_exit_code(err->kind, err->scope));
	if (attendant->rested)
		note_exit_code(supervisor, EX_TEMPFAIL); /* something was left for later */
	retire(supervisor, attendant);
}

/* -- starting them -- */

/* A mailbox that somebody else is hauling has not failed; one whose password cannot be read has. */
static void record_failed_start(struct supervisor *supervisor, const struct post *post, const struct error *err)
{
	struct log log = {.key = "mailbox", .value = post->mailbox->name};
	struct mailbox_state mailbox;
	struct error problem;

	if (err->kind != ERR_CONFIG ||
		state_mailbox_open(supervisor->service.state, supervisor->service.config, post->mailbox, &mailbox, &problem) < 0 ||
		record_end(supervisor, &mailbox, NULL, &log, err) < 0)
		log_say(&log, LEVEL_WARNING, "mailbox_failed", "%s", err->text);
}

/* A person wants it now. */
static bool is_insisted_on(const struct supervisor *supervisor, const struct post *post)
{
	return post->named || supervisor->options->attended;
}

/* Behind all others: they need not wait for whoever is hauling this one. */
static void put_off(struct supervisor *supervisor, const struct error *why)
{
	struct post *first = &supervisor->posts[supervisor->next], post = *first;
	unsigned others = supervisor->post_count - supervisor->next - 1;

	if (!post.put_off)
		log_say(&(struct log){.key = "mailbox", .value = post.mailbox->name}, LEVEL_NOTICE, "waiting", "waiting: %s", why->text);
	post.put_off = true;
	memmove(first, first + 1, others * sizeof(*first));
	first[others] = post;
	supervisor->put_off++;
}

/* 0: done with it; 1: put off. -1: another mailhaul has the database for a moment. */
static int start_post(struct supervisor *supervisor, struct post *post)
{
	struct error err = {0};

	if (attendant_start(&supervisor->service, post->mailbox, is_insisted_on(supervisor, post), &post->attendant, &err) == 0) {
		supervisor->running++;
		supervisor->busy = 0;
		return 0;
	}
	post->attendant = NULL;
	if (err.code == LOCK_HELD && err.scope == SCOPE_MAILBOX && supervisor->options->wait && !deadline_passed(supervisor->wait_end)) {
		put_off(supervisor, &err);
		return 1;
	}
	if (err.kind == ERR_TEMP && err.scope == SCOPE_PROGRAM && ++supervisor->busy < BUSY_RETRIES_MAX)
		return -1;
	progress_clear();
	if (supervisor->options->mode == JOB_HAUL)
		record_failed_start(supervisor, post, &err);
	else
		print_report(post->mailbox->name, REPORT_FAILED, err.text, strlen(err.text));
	note_exit_code(supervisor, policy_exit_code(err.kind, err.scope));
	return 0;
}

static bool is_due(struct supervisor *supervisor, const struct post *post)
{
	const struct schedule_wish wish = {.named = post->named, .attended = supervisor->options->attended};
	const struct log log = {.key = "mailbox", .value = post->mailbox->name};
	struct mailbox_state mailbox;
	struct error err;

	if (supervisor->options->mode != JOB_HAUL)
		return true;
	if (state_mailbox_look(supervisor->service.state, post->mailbox, &mailbox, &err) < 0)
		return true; /* starting it will say what is wrong */
	if (!schedule_is_due(&mailbox, wish, clock_wall_s())) {
		note_exit_code(supervisor, policy_exit_code((enum error_kind)mailbox.last_error_kind, SCOPE_MAILBOX));
		log_say(&log, LEVEL_INFO, "backing_off", "not tried now, because it failed before; name it on the command line to try at once");
		return false;
	}
	if (is_insisted_on(supervisor, post) || !destinations_all_rest(&supervisor->service, post->mailbox))
		return true;
	note_exit_code(supervisor, EX_TEMPFAIL);
	log_say(&log, LEVEL_INFO, "backing_off",
		"not tried now, because all that it delivers to is down; name it on the command line to try at once");
	return false;
}

static int on_start_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	start_posts(context);
	return 0;
}

static void start_later(struct supervisor *supervisor, uint64_t delay_ms)
{
	supervisor->start_retry = sd_event_source_disable_unref(supervisor->start_retry);
	if (sd_event_add_time_relative(
		    supervisor->service.event, &supervisor->start_retry, CLOCK_MONOTONIC, delay_ms * 1000, 1000, on_start_retry, supervisor) < 0)
		give_up(supervisor, EX_SOFTWARE);
}

static void start_posts(struct supervisor *supervisor)
{
	while (supervisor->interrupts == 0 && supervisor->next < supervisor->post_count && supervisor->running < supervisor->places) {
		struct post *post = &supervisor->posts[supervisor->next];
		int result = is_due(supervisor, post) ? start_post(supervisor, post) : 0;

		if (result < 0) {
			start_later(supervisor, BUSY_RETRY_MS);
			return;
		}
		if (result == 0) {
			supervisor->put_off = 0;
			supervisor->next++;
		} else if (supervisor->put_off == supervisor->post_count - supervisor->next) { /* all that are left */
			supervisor->put_off = 0;
			start_later(supervisor, (uint64_t)(LOCK_RETRY_MS * deadline_factor()));
			return;
		}
	}
	if (supervisor->running != 0)
		return;
	if (supervisor->next != supervisor->post_count)
		note_exit_code(supervisor, EX_TEMPFAIL); /* interrupted before these had their turn */
	sd_event_exit(supervisor->service.event, 0);
}

/* -- for people -- */

static void on_progress(struct service *service, struct attendant *attendant, const struct record *record)
{
	struct supervisor *supervisor = supervisor_of(service);
	struct progress_total now = {0, record->id, record->count, record->size, (uint64_t)record->when}, total;

	if (now.done < attendant->progress.done || now.messages != attendant->progress.messages || now.bytes != attendant->progress.bytes)
		add_progress(&supervisor->past, &attendant->progress); /* that was another folder */
	attendant->progress = now;
	total = supervisor->past;
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].attendant != NULL) {
			total.mailboxes++;
			add_progress(&total, &supervisor->posts[i].attendant->progress);
		}
	progress_draw(&total, supervisor->started_ns);
}

static void on_report(struct service *service, struct attendant *attendant, enum report what, const char *text, size_t len)
{
	(void)service;
	attendant->complained |= what == REPORT_FAILED;
	print_report(attendant->mailbox->name, what, text, len);
}

/* -- signals and the spawner -- */

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct supervisor *supervisor = context;

	(void)source;
	(void)info;
	if (++supervisor->interrupts > 1) {
		give_up(supervisor, EX_TEMPFAIL);
		return 0;
	}
	progress_clear();
	if (supervisor->options->attended)
		fputs("finishing the message in hand; once more to leave at once\n", stderr);
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].attendant != NULL)
			attendant_stop(supervisor->posts[i].attendant);
	start_posts(supervisor);
	return 0;
}

static int on_spawner_death(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source;
	(void)fd;
	(void)events;
	log_say(NULL, LEVEL_ERROR, "spawner_died", "the process that starts all others has died");
	give_up(context, EX_SOFTWARE);
	return 0;
}

/* -- the whole -- */

static bool is_chosen(const struct supervisor *supervisor, const struct mailbox_config *mailbox)
{
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].mailbox == mailbox)
			return true;
	return false;
}

static void choose_posts(struct supervisor *supervisor)
{
	const struct config *config = supervisor->service.config;
	size_t named = strv_length(supervisor->options->names);

	supervisor->posts = xcalloc(named + config->mailbox_count, sizeof(*supervisor->posts));
	for (size_t i = 0; i < named; i++) {
		const struct mailbox_config *mailbox = config_mailbox(config, supervisor->options->names[i]);

		if (!is_chosen(supervisor, mailbox))
			supervisor->posts[supervisor->post_count++] = (struct post){.mailbox = mailbox, .named = true};
	}
	for (size_t i = 0; named == 0 && i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			supervisor->posts[supervisor->post_count++] = (struct post){.mailbox = &config->mailboxes[i]};
	supervisor->places = schedule_places(config->max_workers, supervisor->post_count);
}

/* It is one of the steps that check tries; the others are tried all the same. */
static int check_state(struct supervisor *supervisor, struct error *err)
{
	struct service *service = &supervisor->service;

	if (service_open_state(service, false, err) == 0 && state_check(service->state, err) == 0) {
		snprintf(err->text, sizeof(err->text),
			service_has_state(service) ? "%s/state.db is in order" : "there is none in %s yet; the first run makes one",
			service->config->state_dir);
		print_report("state", REPORT_OK, err->text, strlen(err->text));
		return 0;
	}
	print_report("state", REPORT_FAILED, err->text, strlen(err->text));
	note_exit_code(supervisor, policy_exit_code(err->kind, err->scope));
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

/* What the shell told us to ignore (nohup, a job in the background) stays ignored. */
static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int watch_signals(struct supervisor *supervisor, struct error *err)
{
	static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD); /* sd-event insists, although it watches children by descriptor */
	for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
		if (!is_ignored(stopping[i]))
			sigaddset(&blocked, stopping[i]);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
		if (sigismember(&blocked, stopping[i]) == 1 &&
			sd_event_add_signal(supervisor->service.event, NULL, stopping[i], on_interrupt, supervisor) < 0)
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch for signals");
	return 0;
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
	sd_event *event;

	raise_descriptor_limit();
	if (sd_event_new(&event) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make an event loop");
	supervisor->service.event = event;
	if (watch_signals(supervisor, err) < 0)
		return -1;
	if (sd_event_add_io(event, &supervisor->spawner_event, supervisor->service.spawner->fd, EPOLLHUP, on_spawner_death, supervisor) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch the spawner");
	supervisor->service.ledger = ledger_new(event, supervisor->service.state, on_state_failure, supervisor);
	return 0;
}

static void take_down(struct supervisor *supervisor)
{
	struct service *service = &supervisor->service;

	progress_clear();
	if (service->progress != NULL)
		progress_finish(&supervisor->past, supervisor->started_ns);
	for (unsigned i = 0; i < supervisor->post_count; i++)
		attendant_free(supervisor->posts[i].attendant);
	ledger_free(service->ledger);
	/* Nobody waits for us any more. */
	if (service->state != NULL && service->mode == JOB_HAUL && supervisor->interrupts == 0 && supervisor->exit_code != EX_IOERR)
		service_shrink(service, SHRINKS_AT_END);
	sd_event_source_disable_unref(supervisor->spawner_event);
	sd_event_source_disable_unref(supervisor->start_retry);
	sd_event_unref(service->event);
	state_close(service->state);
	free(supervisor->posts);
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

int supervisor_run(const struct config *config, struct spawner *spawner, const struct supervisor_options *options)
{
	struct supervisor supervisor = {
		.options = options,
		.started_ns = clock_monotonic_ns(),
		.wait_end = options->wait_s != 0 ? deadline_in_s(options->wait_s) : DEADLINE_NEVER,
	};
	struct error err = {0};
	int result;

	supervisor.service = (struct service){
		.config = config,
		.spawner = spawner,
		.host = own_name(),
		.mode = options->mode,
		.trace = options->trace,
		.attended = options->attended,
		.finished = on_finished,
		.progress = options->show_progress ? on_progress : NULL,
		.report = options->mode != JOB_HAUL ? on_report : NULL,
		.context = &supervisor,
	};
	result = privileges_drop(config, spawner, &err);
	choose_posts(&supervisor);
	if (result == 0)
		result = open_state(&supervisor, &err);
	if (result == 0)
		result = open_loop(&supervisor, &err);
	if (result < 0) {
		log_say(NULL, LEVEL_ERROR, "cannot_start", "%s", err.text);
		note_exit_code(&supervisor, policy_exit_code(err.kind, SCOPE_PROGRAM));
	} else {
		start_posts(&supervisor);
		sd_event_loop(supervisor.service.event);
	}
	take_down(&supervisor);
	return supervisor.exit_code;
}
