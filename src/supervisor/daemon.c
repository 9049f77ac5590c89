#include "supervisor/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/control.h"
#include "supervisor/destinations.h"
#include "supervisor/lock.h"
#include "supervisor/metrics.h"
#include "supervisor/notify.h"
#include "supervisor/reload.h"
#include "supervisor/roster.h"
#include "supervisor/round.h"
#include "supervisor/schedule.h"
#include "supervisor/supervisor.h"
#include "supervisor/timetable.h"

#define NS_PER_S INT64_C(1000000000)
#define ROUND_S 60  /* how soon a password that was replaced is noticed, that the machine has slept, and that there is room on the disk again */
#define PUSHED_S 60 /* a session that waited for less was not pushed: the server did not mean it */
#define CUT_SHORT_MAX \
	3 /* sessions in a row that ended so early are no accident: the mailbox is polled for a while, as if the server announced nothing */
/* Leaving takes 10 seconds at most: what service managers and people wait before they use force. In hand is finished what can be in so much of them; who
 * gives up what is left has HURRY_S of attendant.c until it is killed, and a moment to die. */
#define FINISH_S 4
#define DEATH_S 5

struct daemon {
	struct service *service;
	const struct supervisor_options *options;
	struct roster roster;
	struct control *control;
	const struct config *first; /* the caller's */
	struct config *loaded;      /* the service's, if it was loaded here */
	struct config **former;     /* with which sessions may still go on */
	unsigned former_count;
	struct timetable timetable;
	sd_event_source *round, *leave_deadline;
	bool leaving, hurrying;
	int lock_fd;
};

static struct log log_of(const struct post *post)
{
	return (struct log){.key = "mailbox", .value = post->mailbox->name};
}

/* Whoever leaves has said so, and that stands. */
static void show_status(const struct daemon *daemon)
{
	if (!daemon->leaving)
		notify_status(&daemon->roster);
}

/* Or would have been for longer, had there not been a reload. */
static bool was_pushed(const struct attendant *attendant)
{
	if (attendant == NULL || !attendant->idle)
		return false;
	return attendant->stopping || clock_monotonic_ns() - attendant->idle_since_ns >= timetable_scaled_ns(PUSHED_S);
}

/* What was learned of it was perhaps learned of another server. */
static void poll_first(void *context, struct post *post)
{
	struct daemon *daemon = context;

	post->cut_short = 0;
	post->push_again_ns = 0;
	timetable_first(&daemon->timetable, post);
}

static bool was_unfinished(const struct attendant *attendant)
{
	return attendant != NULL && attendant->unfinished;
}

/* -- what the roster asks and tells -- */

static bool may_start(void *context, struct post *post)
{
	struct daemon *daemon = context;
	struct log log = log_of(post);
	int64_t now = clock_boottime_ns(), until_s, wait_ns;
	struct mailbox_state mailbox;

	timetable_look(daemon->service, post, &mailbox);
	if (control_is_lent(daemon->control, post->mailbox->name)) { /* wanted again when it is given back */
		timetable_rest(&daemon->timetable, post, now + timetable_period_ns(post));
		return false;
	}
	if (mailbox.stopped[0] != '\0') { /* which was said when it stopped; "mailhaul accept" goes on */
		timetable_rest(&daemon->timetable, post, now + timetable_period_ns(post));
		control_not_started(daemon->control, post, EX_TEMPFAIL, mailbox.stopped);
		return false;
	}
	if (post->insistent || !destinations_all_rest(daemon->service, post->mailbox, &until_s)) {
		post->started_ns = now;
		return true;
	}
	wait_ns = timetable_scaled_ns(until_s - clock_wall_s() + 1);
	log_say(&log, LEVEL_DEBUG, "backing_off", "not polled, because all that it delivers to is down");
	timetable_rest(&daemon->timetable, post, now + (wait_ns > 0 ? wait_ns : NS_PER_S));
	control_not_started(daemon->control, post, EX_TEMPFAIL, "not tried now, because all that it delivers to is down");
	return false;
}

static bool waits_for(void *context, struct post *post, const struct error *why)
{
	struct daemon *daemon = context;
	struct log log = log_of(post);

	if (!post->put_off)
		log_say(&log, LEVEL_NOTICE, "waiting", "waiting: %s", why->text);
	control_busy(daemon->control, post, why);
	return true;
}

/* One that has something else to do than before begins anew. */
static bool may_be_pushed(void *context, struct post *post)
{
	const struct daemon *daemon = context;

	return !daemon->leaving && !post->gone && post->later == NULL && !control_is_lent(daemon->control, post->mailbox->name) &&
	       post->push_again_ns <= clock_boottime_ns();
}

/* Each session that hauls everything and is then cut off begins anew with the shortest back-off, which would be a login every few seconds. */
static void note_wait(struct post *post, const struct attendant *attendant, const struct error *err)
{
	struct log log = log_of(post);

	if (attendant == NULL || !attendant->idle || attendant->stopping)
		return;
	post->cut_short = err->kind != ERR_NONE ? post->cut_short + 1 : was_pushed(attendant) ? 0 : post->cut_short;
	if (err->kind == ERR_NONE || post->cut_short < CUT_SHORT_MAX)
		return;
	post->push_again_ns = clock_boottime_ns() + timetable_scaled_ns(backoff_s(BACKOFF_LOGIN, post->cut_short));
	log_say(&log, post->cut_short == CUT_SHORT_MAX ? LEVEL_NOTICE : LEVEL_INFO, "not_pushed",
		"polled for the next hours, since the server does not let us wait for mail: %s", err->text);
}

/* A script that says so each minute would get the account locked. */
static bool may_be_polled_now(struct daemon *daemon, struct post *post)
{
	struct mailbox_state mailbox;

	timetable_look(daemon->service, post, &mailbox);
	return !post->refused && schedule_pause_s(&mailbox, service_login_delay_s(daemon->service, post->mailbox), clock_wall_s()) == 0;
}

/* Whoever hauls may have listed its messages already. */
static void poll_once_more(struct daemon *daemon, struct post *post)
{
	bool asked = post->asked;

	post->asked = false;
	if (asked && may_be_polled_now(daemon, post))
		roster_want(&daemon->roster, post, true);
}

static void on_turned(void *context, struct post *post)
{
	static const struct error well = {.kind = ERR_NONE};
	struct daemon *daemon = context;
	struct mailbox_state mailbox;

	if (post->state == POST_PUSHED) {
		timetable_look(daemon->service, post, &mailbox);
		control_ended(daemon->control, post, post->attendant, &well);
		post->attendant->progress = post->attendant->past_progress = (struct progress_total){0}; /* whoever comes next sees what is new */
		poll_once_more(daemon, post);
	}
	show_status(daemon);
}

static void drop_former(struct daemon *daemon)
{
	if (reload_is_under_way(&daemon->roster))
		return;
	while (daemon->former_count != 0)
		config_free(daemon->former[--daemon->former_count]);
}

static void on_ended(void *context, struct post *post, const struct attendant *attendant, const struct error *err)
{
	struct daemon *daemon = context;
	bool reloaded = post->later != NULL, changed;

	if (!reload_settle(&daemon->roster, post, &changed)) {
		control_reloaded(daemon->control);
	} else {
		note_wait(post, attendant, err);
		if (changed)
			poll_first(daemon, post);
		else
			timetable_next(&daemon->timetable, post, was_pushed(attendant) || was_unfinished(attendant), reloaded && post->mailbox->push);
		control_ended(daemon->control, post, attendant, err);
		poll_once_more(daemon, post);
	}
	show_status(daemon);
}

static void on_idle(void *context)
{
	struct daemon *daemon = context;

	drop_former(daemon);
	if (daemon->leaving)
		sd_event_exit(daemon->service->event, 0);
}

/* -- now and then -- */

/* Commands that wait for a session need not wait for a dead file system. */
static void dismiss_whoever_waits_in_vain(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->roster.count; i++) {
		struct post *post = daemon->roster.posts[i];

		if (post->attendant != NULL && post->attendant->reported)
			control_not_started(daemon->control, post, EX_TEMPFAIL,
				"its last worker was killed and does not end, often for a dead network file system");
	}
}

static int on_round(sd_event_source *source, uint64_t when_us, void *context)
{
	struct daemon *daemon = context;

	(void)when_us;
	timetable_wake(&daemon->timetable);
	round_make(&daemon->roster, &daemon->timetable, daemon->leaving);
	dismiss_whoever_waits_in_vain(daemon);
	drop_former(daemon);
	metrics_write(daemon->service->metrics);
	roster_fill(&daemon->roster);
	sd_event_source_set_time_relative(source, (uint64_t)timetable_scaled_ns(ROUND_S) / 1000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* -- signals -- */

static int on_poll_now(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct daemon *daemon = context;

	(void)source;
	(void)info;
	log_say(NULL, LEVEL_INFO, "poll_now",
		"polling all mailboxes now, but for those whose login was refused, or whose server wants more time between two");
	for (unsigned i = 0; i < daemon->roster.count; i++) {
		struct post *post = daemon->roster.posts[i];

		if (post->state == POST_HAULING)
			post->asked = true;
		else if (may_be_polled_now(daemon, post))
			roster_want(&daemon->roster, post, true);
	}
	roster_fill(&daemon->roster);
	return 0;
}

static int on_leave_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	struct daemon *daemon = context;

	(void)when_us;
	if (daemon->hurrying) {
		log_say(NULL, LEVEL_ERROR, "worker_unkillable", "leaving, although some workers were killed and have not ended");
		sd_event_exit(daemon->service->event, 0);
		return 0;
	}
	daemon->hurrying = true;
	roster_hurry(&daemon->roster);
	sd_event_source_set_time_relative(source, DEATH_S * 1000000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_leave(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct daemon *daemon = context;

	(void)source;
	(void)info;
	if (daemon->leaving) {
		service_give_up(daemon->service, EX_OK);
		return 0;
	}
	daemon->leaving = daemon->service->hurried = true;
	log_say(NULL, LEVEL_NOTICE, "leaving", "finishing the messages in hand");
	notify_stopping();
	if (sd_event_add_time_relative(
		    daemon->service->event, &daemon->leave_deadline, CLOCK_MONOTONIC, FINISH_S * 1000000, 10000, on_leave_deadline, daemon) < 0)
		service_give_up(daemon->service, EX_OK);
	roster_stop(&daemon->roster);
	roster_fill(&daemon->roster);
	return 0;
}

/* -- the configuration anew -- */

static void take_config(struct daemon *daemon, struct config *config)
{
	struct service *service = daemon->service;

	timetable_begin(&daemon->timetable);
	reload_roster(&daemon->roster, service->config, config, poll_first, daemon);
	roster_stop_pushed(&daemon->roster); /* what they began with may be out of date, and what replaces it would wait for ever */
	daemon->roster.places = schedule_places(config->max_workers, daemon->roster.count);
	daemon->roster.places_per_host = config->max_per_host;
	if (daemon->loaded != NULL) {
		daemon->former = xreallocarray(daemon->former, daemon->former_count + 1, sizeof(struct config *));
		daemon->former[daemon->former_count++] = daemon->loaded;
	}
	service->config = daemon->loaded = config;
	control_reloaded(daemon->control);
	drop_former(daemon);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct daemon *daemon = context;
	struct config *config;

	(void)source;
	(void)info;
	if (daemon->leaving)
		return 0;
	notify_reloading();
	config = reload_config(daemon->service->config, daemon->options);
	if (config != NULL) {
		take_config(daemon, config);
		sd_event_source_set_time(daemon->round, 0); /* passwords may be new */
		log_say(NULL, LEVEL_NOTICE, "reloaded", "%s is in force, with %u mailboxes", config->file, daemon->roster.count);
	} else {
		log_say(NULL, LEVEL_ERROR, "not_reloaded", "the configuration cannot be used, and the one from before stays in force");
	}
	notify_ready();
	roster_fill(&daemon->roster);
	show_status(daemon);
	return 0;
}

/* -- the whole -- */

static void on_polled(void *context)
{
	struct daemon *daemon = context;

	show_status(daemon);
}

static int watch(struct daemon *daemon, struct error *err)
{
	static const struct {
		int number;
		sd_event_signal_handler_t handler;
	} signals[] = {{SIGTERM, on_leave}, {SIGINT, on_leave}, {SIGHUP, on_reload}, {SIGUSR1, on_poll_now}};
	sd_event *event = daemon->service->event;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (service_watch_signal(daemon->service, signals[i].number, signals[i].handler, daemon, err) < 0)
			return -1;
	if (timetable_open(&daemon->timetable, daemon->service, &daemon->roster, on_polled, daemon, err) < 0)
		return -1;
	if (sd_event_add_time_relative(
		    event, &daemon->round, CLOCK_BOOTTIME, (uint64_t)timetable_scaled_ns(ROUND_S) / 1000, 1000000, on_round, daemon) < 0 ||
		sd_event_set_watchdog(event, true) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make a timer");
	return 0;
}

static void on_progress(struct service *service)
{
	const struct daemon *daemon = service->roster->context;

	control_progress(daemon->control);
}

/* Mail is hauled whether or not commands can ask for it. */
static void open_control(struct daemon *daemon)
{
	struct error err;

	if (control_open(&daemon->roster, &daemon->control, &err) < 0)
		log_say(NULL, LEVEL_WARNING, "no_control", "commands cannot talk to this daemon: %s", err.text);
	daemon->service->progress = on_progress;
}

int daemon_new(struct service *service, const struct supervisor_options *options, struct daemon **ret_daemon, struct error *err)
{
	static const struct roster_driver driver = {.may_start = may_start,
		.waits_for = waits_for,
		.may_be_pushed = may_be_pushed,
		.turned = on_turned,
		.ended = on_ended,
		.idle = on_idle};
	const struct config *config = service->config;
	struct daemon *daemon = xcalloc(1, sizeof(*daemon));

	daemon->service = service;
	daemon->options = options;
	daemon->first = config;
	roster_init(&daemon->roster, service, &driver, daemon);
	daemon->lock_fd = -1;
	*ret_daemon = daemon;
	if (lock_daemon(state_dir_fd(service->state), &daemon->lock_fd, err) < 0)
		return -1;
	open_control(daemon);
	for (size_t i = 0; i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			roster_add(&daemon->roster, &config->mailboxes[i]);
	daemon->roster.places = schedule_places(config->max_workers, daemon->roster.count);
	daemon->roster.places_per_host = config->max_per_host;
	return watch(daemon, err);
}

void daemon_start(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->roster.count; i++)
		poll_first(daemon, daemon->roster.posts[i]);
	log_say(NULL, LEVEL_NOTICE, "daemon_started", "%s is in force, with %u mailboxes", daemon->service->config->file, daemon->roster.count);
	metrics_write(daemon->service->metrics);
	notify_ready();
	show_status(daemon);
}

void daemon_free(struct daemon *daemon)
{
	if (daemon == NULL)
		return;
	control_close(daemon->control); /* whoever waits for something is left without it */
	roster_done(&daemon->roster);
	daemon->service->roster = NULL;
	timetable_close(&daemon->timetable);
	sd_event_source_disable_unref(daemon->round);
	sd_event_source_disable_unref(daemon->leave_deadline);
	while (daemon->former_count != 0)
		config_free(daemon->former[--daemon->former_count]);
	free(daemon->former);
	daemon->service->config = daemon->first;
	config_free(daemon->loaded);
	fs_close(daemon->lock_fd);
	free(daemon);
}
