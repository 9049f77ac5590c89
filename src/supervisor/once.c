#include "supervisor/once.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/credential.h"
#include "supervisor/destinations.h"
#include "supervisor/herald.h"
#include "supervisor/metrics.h"
#include "supervisor/progress.h"
#include "supervisor/roster.h"
#include "supervisor/schedule.h"
#include "supervisor/scribes.h"
#include "supervisor/supervisor.h"

struct once {
	struct service *service;
	const struct supervisor_options *options;
	struct roster roster;
	unsigned interrupts;
	struct deadline wait_end; /* for mailboxes that somebody else is hauling */
	int64_t started_ns;
	struct progress_total past; /* what sessions that are over have brought */
	sd_event_source *look;
};

/* How often a run looks whether somebody does not die. */
#define LOOK_S 5

/* -- whose turn it is -- */

static bool refuse_turn(struct once *once, const struct post *post, int code, const char *why)
{
	service_note_exit_code(once->service, code);
	log_say(&(struct log){.key = "mailbox", .value = post->mailbox->name}, LEVEL_INFO, "backing_off", "%s", why);
	return false;
}

/* Said when it stopped; from then on only to a person who waits for it. */
static bool refuse_stopped(struct once *once, const struct post *post, const struct mailbox_state *mailbox)
{
	service_note_exit_code(once->service, EX_TEMPFAIL);
	log_say(&(struct log){.key = "mailbox", .value = post->mailbox->name}, once->options->attended ? LEVEL_WARNING : LEVEL_INFO, "stopped", "%s",
		mailbox->stopped);
	return false;
}

static bool may_start(void *context, struct post *post)
{
	struct once *once = context;
	struct mailbox_state mailbox;
	struct error err;
	int64_t until;

	if (once->service->mode != JOB_HAUL)
		return true;
	if (state_mailbox_look(once->service->state, post->mailbox, &mailbox, &err) < 0)
		return true; /* starting it will say what is wrong */
	if (mailbox.stopped[0] != '\0')
		return refuse_stopped(once, post, &mailbox);
	if (!schedule_is_due(&mailbox, post->insistent, clock_wall_s()) && !credential_was_replaced(once->service, post->mailbox, &mailbox))
		return refuse_turn(once, post, policy_exit_code((enum error_kind)mailbox.last_error_kind, SCOPE_MAILBOX),
			"not tried now, because it failed before; name it on the command line to try at once");
	if (!post->insistent && schedule_pause_s(&mailbox, service_login_delay_s(once->service, post->mailbox), clock_wall_s()) != 0)
		return refuse_turn(once, post, EX_OK, "not polled again yet, since its server wants more time between two logins");
	if (!post->insistent && destinations_all_rest(once->service, post->mailbox, &until))
		return refuse_turn(once, post, EX_TEMPFAIL,
			"not tried now, because all that it delivers to is down; name it on the command line to try at once");
	return true;
}

static bool waits_for(void *context, struct post *post, const struct error *why)
{
	const struct once *once = context;

	if (!once->options->wait || deadline_passed(once->wait_end))
		return false;
	if (!post->put_off)
		log_say(&(struct log){.key = "mailbox", .value = post->mailbox->name}, LEVEL_NOTICE, "waiting", "waiting: %s", why->text);
	return true;
}

/* -- for people -- */

void once_report(const char *mailbox, enum report what, const char *text, size_t len)
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

static void on_report(struct service *service, struct attendant *attendant, enum report what, const char *text, size_t len)
{
	(void)service;
	attendant->complained |= what == REPORT_FAILED;
	once_report(attendant->mailbox->name, what, text, len);
}

static void on_progress(struct service *service)
{
	struct once *once = service->roster->context;
	struct progress_total total = once->past;

	for (unsigned i = 0; i < once->roster.count; i++)
		if (once->roster.posts[i]->attendant != NULL) {
			total.mailboxes++;
			progress_add(&total, &once->roster.posts[i]->attendant->past_progress);
			progress_add(&total, &once->roster.posts[i]->attendant->progress);
		}
	progress_draw(&total, once->started_ns);
}

/* -- the end of one, and of all -- */

static void on_ended(void *context, struct post *post, const struct attendant *attendant, const struct error *err)
{
	struct once *once = context;
	struct service *service = once->service;

	/* Where there was no worker to say so. */
	if (service->mode != JOB_HAUL && err->kind != ERR_NONE && err->kind != ERR_CANCELED && (attendant == NULL || !attendant->complained))
		once_report(post->mailbox->name, REPORT_FAILED, err->text, strlen(err->text));
	service_note_exit_code(service, policy_exit_code(err->kind, err->scope));
	if (attendant == NULL)
		return;
	if (attendant->rested)
		service_note_exit_code(service, EX_TEMPFAIL); /* something was left for later */
	progress_add(&once->past, &attendant->past_progress);
	progress_add(&once->past, &attendant->progress);
	if (attendant->unfinished)
		roster_want(&once->roster, post, post->insistent && attendant->unopened == 0); /* what hangs is tried once */
}

static void on_idle(void *context)
{
	struct once *once = context;

	if (roster_has_waiting(&once->roster))
		service_note_exit_code(once->service, EX_TEMPFAIL); /* interrupted before these had their turn */
	if (herald_is_busy(once->service->herald))
		herald_when_idle(once->service->herald, on_idle, once);
	else if (scribes_are_busy(once->service->scribes))
		scribes_when_idle(once->service->scribes, on_idle, once);
	else
		sd_event_exit(once->service->event, 0);
}

/* A daemon waits for it; here somebody waits for the end of it all. */
static void leave_behind(struct post *post)
{
	progress_clear();
	log_say(&(struct log){.key = "mailbox", .value = post->mailbox->name}, LEVEL_ERROR, "worker_unkillable",
		"process %ld was killed and does not end, which is a matter of the kernel, often of a dead network file system; nobody can haul "
		"the mailbox before it has",
		(long)post->attendant->worker.pid);
	attendant_abandon(post->attendant);
}

static int on_look(sd_event_source *source, uint64_t when_us, void *context)
{
	struct once *once = context;

	(void)when_us;
	for (unsigned i = 0; i < once->roster.count; i++) {
		struct post *post = once->roster.posts[i];

		if (post->attendant != NULL && !post->ending && attendant_is_unkillable(post->attendant))
			leave_behind(post);
	}
	sd_event_source_set_time_relative(source, (uint64_t)(LOOK_S * deadline_factor() * 1e6));
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct once *once = context;

	(void)source;
	(void)info;
	if (++once->interrupts > 2)
		service_give_up(once->service, EX_TEMPFAIL);
	else if (once->interrupts == 2)
		roster_hurry(&once->roster);
	if (once->interrupts > 1)
		return 0;
	progress_clear();
	if (once->options->attended)
		fputs("finishing the message in hand; once more to leave at once\n", stderr);
	once->service->hurried = true;
	roster_stop(&once->roster);
	roster_fill(&once->roster);
	return 0;
}

/* -- the whole -- */

static void choose_posts(struct once *once)
{
	const struct config *config = once->service->config;
	size_t named = strv_length(once->options->names);

	for (size_t i = 0; i < named; i++)
		if (roster_find(&once->roster, once->options->names[i]) == NULL)
			roster_add(&once->roster, config_mailbox(config, once->options->names[i]));
	for (size_t i = 0; named == 0 && i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			roster_add(&once->roster, &config->mailboxes[i]);
	for (unsigned i = 0; i < once->roster.count; i++)
		roster_want(&once->roster, once->roster.posts[i], named != 0 || once->options->attended); /* a person wants it now */
	once->roster.places = schedule_places(config->max_workers, once->roster.count);
	once->roster.places_per_host = config->max_per_host;
}

int once_new(struct service *service, const struct supervisor_options *options, struct once **ret_once, struct error *err)
{
	static const struct roster_driver driver = {.may_start = may_start, .waits_for = waits_for, .ended = on_ended, .idle = on_idle};
	static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
	struct once *once = xcalloc(1, sizeof(*once));

	once->service = service;
	once->options = options;
	once->started_ns = clock_monotonic_ns();
	once->wait_end = options->wait_s != 0 ? deadline_in_s(options->wait_s) : DEADLINE_NEVER;
	roster_init(&once->roster, service, &driver, once);
	service->progress = options->show_progress ? on_progress : NULL;
	service->report = service->mode != JOB_HAUL ? on_report : NULL;
	*ret_once = once;
	for (size_t i = 0; i < ARRAY_SIZE(stopping); i++)
		if (service_watch_signal(service, stopping[i], on_interrupt, once, err) < 0)
			return -1;
	if (sd_event_add_time_relative(
		    service->event, &once->look, CLOCK_MONOTONIC, (uint64_t)(LOOK_S * deadline_factor() * 1e6), 1000000, on_look, once) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make a timer");
	choose_posts(once);
	return 0;
}

void once_start(struct once *once)
{
	roster_fill(&once->roster);
}

void once_free(struct once *once)
{
	if (once == NULL)
		return;
	progress_clear();
	if (once->service->mode == JOB_HAUL)
		metrics_write(once->service->metrics);
	if (once->service->progress != NULL)
		progress_finish(&once->past, once->started_ns);
	roster_done(&once->roster);
	sd_event_source_disable_unref(once->look);
	once->service->roster = NULL;
	free(once);
}
