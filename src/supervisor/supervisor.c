#include "supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/user.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/ledger.h"
#include "supervisor/progress.h"
#include "supervisor/schedule.h"

#define BUSY_RETRY_MS 20

struct post {
	const struct mailbox_config *mailbox;
	struct attendant *attendant; /* NULL: not started, or over */
	bool started, named;
};

struct supervisor {
	struct service service;
	const struct supervisor_options *options;
	struct post *posts;
	unsigned post_count, next, running, places;
	int exit_code;
	unsigned interrupts;
	sd_event_source *spawner_event;
	int64_t started_ns;
	struct progress_total total;
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

/* -- how a session ended -- */

static bool is_trouble_of_the_mailbox(const struct error *err)
{
	return err->kind != ERR_NONE && err->scope != SCOPE_MESSAGE && err->scope != SCOPE_RECIPIENT && err->scope != SCOPE_FOLDER;
}

static void remember_failure(struct mailbox_state *mailbox, const struct error *err, int64_t now)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	mailbox->failures++;
	mailbox->clock = backoff_clock_of(err->kind);
	mailbox->retry_at = now + backoff_jittered(backoff_s((enum backoff_clock)mailbox->clock, mailbox->failures), random);
}

static void log_end_of_session(const struct mailbox_state *before, const struct supervisor *supervisor, const struct log *log, const struct error *err)
{
	bool news = strcmp(before->last_error, err->text) != 0 || supervisor->options->attended;

	if (err->kind != ERR_NONE)
		log_say(log, news ? LEVEL_WARNING : LEVEL_INFO, "mailbox_failed", "%s", err->text);
	else if (before->failures != 0)
		log_say(log, LEVEL_NOTICE, "mailbox_recovered", "works again; the last error was: %s", before->last_error);
}

/* Keeps in the state how it ended. 0, or -1 when the database is busy or broken. */
static int record_end(struct supervisor *supervisor, struct attendant *attendant, const struct error *err)
{
	struct mailbox_state *mailbox = &attendant->mailbox_state;
	struct mailbox_state before = *mailbox;
	struct error problem;
	int64_t now = clock_wall_s();

	if (is_trouble_of_the_mailbox(err)) {
		remember_failure(mailbox, err, now);
	} else {
		mailbox->failures = 0;
		mailbox->retry_at = 0;
		mailbox->last_success = now;
	}
	mailbox->last_error_kind = (int)err->kind;
	snprintf(mailbox->last_error, sizeof(mailbox->last_error), "%s", err->kind != ERR_NONE ? err->text : "");
	if (err->kind != ERR_NONE)
		mailbox->last_error_at = now;
	if (state_begin(supervisor->service.state, &problem) < 0) {
		*mailbox = before;
		return -1;
	}
	if (state_mailbox_store(supervisor->service.state, mailbox, &problem) < 0 || state_commit(supervisor->service.state, &problem) < 0) {
		state_rollback(supervisor->service.state);
		on_state_failure(supervisor, &problem);
	}
	log_end_of_session(&before, supervisor, &attendant->log, err);
	return 0;
}

static void start_posts(struct supervisor *supervisor);

static int on_ending_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;

	(void)when_us;
	sd_event_source_disable_unref(source);
	attendant->service->finished(attendant->service, attendant, &attendant->result);
	return 0;
}

static void retire(struct supervisor *supervisor, struct attendant *attendant)
{
	for (unsigned i = 0; i < supervisor->post_count; i++)
		if (supervisor->posts[i].attendant == attendant)
			supervisor->posts[i].attendant = NULL;
	attendant_free(attendant);
	supervisor->running--;
	start_posts(supervisor);
}

static void on_finished(struct service *service, struct attendant *attendant, const struct error *err)
{
	struct supervisor *supervisor = supervisor_of(service);
	bool hauling = service->mode == JOB_HAUL, canceled = err->kind == ERR_CANCELED;

	progress_clear();
	/* Its last outcomes before anything else; if another mailhaul has the database, a little later. */
	if (hauling && (ledger_commit(service->ledger, NULL) < 0 || (!canceled && record_end(supervisor, attendant, err) < 0))) {
		sd_event_source *retry;

		if (sd_event_add_time_relative(service->event, &retry, CLOCK_MONOTONIC, BUSY_RETRY_MS * 1000, 1000, on_ending_retry, attendant) < 0)
			give_up(supervisor, EX_SOFTWARE);
		return;
	}
	if (!canceled)
		note_exit_code(supervisor, policy_exit_code(err->kind, err->scope));
	retire(supervisor, attendant);
}

/* -- starting them -- */

static void start_post(struct supervisor *supervisor, struct post *post)
{
	struct error err = {0};
	struct log log = {.key = "mailbox", .value = post->mailbox->name};

	if (attendant_start(&supervisor->service, post->mailbox, &post->attendant, &err) == 0) {
		supervisor->running++;
		return;
	}
	post->attendant = NULL;
	progress_clear();
	log_say(&log, LEVEL_WARNING, "mailbox_failed", "%s", err.text);
	note_exit_code(supervisor, policy_exit_code(err.kind, err.scope));
}

static bool is_due(struct supervisor *supervisor, const struct post *post)
{
	const struct schedule_wish wish = {.named = post->named, .attended = supervisor->options->attended};
	struct mailbox_state mailbox;
	struct error err;

	if (supervisor->options->mode != JOB_HAUL)
		return true;
	if (state_mailbox_open(supervisor->service.state, supervisor->service.config, post->mailbox, &mailbox, &err) < 0)
		return true; /* starting it will say what is wrong */
	if (schedule_is_due(&mailbox, wish, clock_wall_s()))
		return true;
	note_exit_code(supervisor, policy_exit_code((enum error_kind)mailbox.last_error_kind, SCOPE_MAILBOX));
	log_say(&(struct log){.key = "mailbox", .value = post->mailbox->name}, LEVEL_INFO, "backing_off",
		"not tried now, because it failed before; name it on the command line to try at once");
	return false;
}

static void start_posts(struct supervisor *supervisor)
{
	while (supervisor->interrupts == 0 && supervisor->next < supervisor->post_count && supervisor->running < supervisor->places) {
		struct post *post = &supervisor->posts[supervisor->next++];

		if (is_due(supervisor, post))
			start_post(supervisor, post);
	}
	if (supervisor->running == 0 && (supervisor->next == supervisor->post_count || supervisor->interrupts != 0))
		sd_event_exit(supervisor->service.event, 0);
}

/* -- for people -- */

static void on_progress(struct service *service, struct attendant *attendant, const struct record *record)
{
	struct supervisor *supervisor = supervisor_of(service);
	struct progress_total *total = &supervisor->total;

	attendant->progress_done = record->id;
	attendant->progress_total = record->count;
	attendant->progress_bytes = record->size;
	*total = (struct progress_total){0};
	for (unsigned i = 0; i < supervisor->post_count; i++) {
		const struct attendant *each = supervisor->posts[i].attendant;

		if (each == NULL)
			continue;
		total->mailboxes++;
		total->done += each->progress_done;
		total->messages += each->progress_total;
		total->done_bytes += each->progress_bytes;
	}
	total->bytes = (uint64_t)record->when > total->done_bytes ? (uint64_t)record->when : total->done_bytes;
	progress_draw(total, supervisor->started_ns);
}

static void on_report(struct service *service, struct attendant *attendant, enum report what, const char *text, size_t len)
{
	static const char *const words[] = {"ok", "warning", "FAILED", ""};
	char line[4 * RECORD_TEXT_MAX];

	(void)service;
	escape_into(line, sizeof(line), text, len);
	if (what == REPORT_ITEM)
		printf("%s\n", line);
	else
		printf("%-8s%s: %s\n", words[what], attendant->mailbox->name, line);
	fflush(stdout);
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

/* As root there is a user to become; its state directory may have to be made for it first. */
static int drop_privileges(const struct config *config, struct spawner *spawner, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return 0;
	if (user_find(config->run_as, &uid, &gid, err) < 0)
		return -1;
	if (access(config->state_dir, F_OK) < 0) {
		if (fs_mkdir_parents(config->state_dir, 0755, err) < 0)
			return -1;
		if (chmod(config->state_dir, 0700) < 0 || chown(config->state_dir, uid, gid) < 0)
			return error_errno(err, SCOPE_PROGRAM, "cannot make the state directory %s", config->state_dir);
	}
	log_say(NULL, LEVEL_NOTICE, "run_as", "started as root, running as %s from here on", config->run_as);
	return spawner_become(spawner, config->run_as, err);
}

static void choose_posts(struct supervisor *supervisor)
{
	const struct config *config = supervisor->service.config;
	size_t named = strv_length(supervisor->options->names);

	supervisor->posts = xcalloc(named + config->mailbox_count, sizeof(*supervisor->posts));
	for (size_t i = 0; i < named; i++) {
		const struct mailbox_config *mailbox = config_mailbox(config, supervisor->options->names[i]);

		supervisor->posts[supervisor->post_count++] = (struct post){.mailbox = mailbox, .named = true};
	}
	for (size_t i = 0; named == 0 && i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			supervisor->posts[supervisor->post_count++] = (struct post){.mailbox = &config->mailboxes[i]};
	supervisor->places = schedule_places(config->max_workers, supervisor->post_count);
}

static int open_state(struct supervisor *supervisor, struct error *err)
{
	bool is_new;

	supervisor->service.state = state_open(supervisor->service.config->state_dir, false, &is_new, err);
	if (supervisor->service.state == NULL)
		return -1;
	if (is_new)
		log_say(NULL, LEVEL_NOTICE, "state_new", "starting with an empty state in %s", supervisor->service.config->state_dir);
	return 0;
}

static int open_loop(struct supervisor *supervisor, struct error *err)
{
	static const int stopping[] = {SIGINT, SIGTERM};
	sigset_t blocked;
	sd_event *event;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD); /* sd-event insists, although it watches children by descriptor */
	for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
		sigaddset(&blocked, stopping[i]);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (sd_event_new(&event) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make an event loop");
	supervisor->service.event = event;
	for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
		if (sd_event_add_signal(event, NULL, stopping[i], on_interrupt, supervisor) < 0)
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch for signals");
	if (sd_event_add_io(event, &supervisor->spawner_event, supervisor->service.spawner->fd, EPOLLHUP, on_spawner_death, supervisor) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch the spawner");
	supervisor->service.ledger = ledger_new(event, supervisor->service.state, on_state_failure, supervisor);
	return 0;
}

static void take_down(struct supervisor *supervisor)
{
	struct service *service = &supervisor->service;

	progress_clear();
	for (unsigned i = 0; i < supervisor->post_count; i++)
		attendant_free(supervisor->posts[i].attendant);
	ledger_free(service->ledger);
	sd_event_source_disable_unref(supervisor->spawner_event);
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
	struct supervisor supervisor = {.options = options, .started_ns = clock_monotonic_ns()};
	struct error err = {0};
	int result;

	supervisor.service = (struct service){
		.config = config,
		.spawner = spawner,
		.host = own_name(),
		.mode = options->mode,
		.trace = options->trace,
		.finished = on_finished,
		.progress = options->show_progress ? on_progress : NULL,
		.report = on_report,
		.context = &supervisor,
	};
	result = drop_privileges(config, spawner, &err);
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
