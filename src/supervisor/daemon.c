#include "supervisor/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/control.h"
#include "supervisor/credential.h"
#include "supervisor/destinations.h"
#include "supervisor/herald.h"
#include "supervisor/lock.h"
#include "supervisor/metrics.h"
#include "supervisor/notify.h"
#include "supervisor/reload.h"
#include "supervisor/roster.h"
#include "supervisor/schedule.h"
#include "supervisor/supervisor.h"

#define NS_PER_S INT64_C(1000000000)
#define TIMER_ACCURACY_US 50000 /* mailboxes that are due at nearly the same time cost one wake-up */
#define ROUND_S 60              /* how soon a password that was replaced is noticed, and that the machine has slept */
#define PUSHED_S 60             /* a session that waited for less was not pushed: the server did not mean it */
#define SUSPENDED_NS (5 * NS_PER_S)
#define NETWORK_RETURNS_S 3 /* after the machine woke up */
#define UNKILLABLE_S 10
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
	sd_event_source *timer, *round, *leave_deadline;
	int64_t armed_ns;  /* what timer is set to, CLOCK_BOOTTIME */
	int64_t asleep_ns; /* suspended so far, since the machine was booted */
	bool leaving, hurrying;
	int lock_fd;
};

static struct log log_of(const struct post *post)
{
	return (struct log){.key = "mailbox", .value = post->mailbox->name};
}

static uint32_t random_bits(void)
{
	uint32_t random;

	return getrandom(&random, sizeof(random), 0) == sizeof(random) ? random : (uint32_t)clock_boottime_ns();
}

static int64_t scaled_ns(int64_t seconds)
{
	return (int64_t)((double)(seconds * NS_PER_S) * deadline_factor());
}

static int64_t period_of(const struct post *post)
{
	return scaled_ns(post->mailbox->poll_every_s);
}

/* -- when -- */

static void arm(struct daemon *daemon, int64_t due_ns)
{
	daemon->armed_ns = due_ns;
	if (sd_event_source_set_time(daemon->timer, due_ns > 0 ? (uint64_t)due_ns / 1000 + 1 : 0) < 0 ||
		sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT) < 0)
		service_give_up(daemon->service, EX_SOFTWARE);
}

static void rest_until(struct daemon *daemon, struct post *post, int64_t due_ns)
{
	post->due_ns = due_ns;
	if (due_ns < daemon->armed_ns)
		arm(daemon, due_ns);
}

/* Of many that would be due at once, each in its turn. */
static void spread(struct daemon *daemon, struct post *post, int64_t from_ns)
{
	rest_until(daemon, post, from_ns + schedule_spread_ns(post->host->spread++, post->host->posts, period_of(post), random_bits()));
}

static void begin_spreading(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->roster.host_count; i++)
		daemon->roster.hosts[i]->spread = 0;
}

static void arm_for_next(struct daemon *daemon)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < daemon->roster.count; i++)
		if (daemon->roster.posts[i]->state == POST_RESTING && daemon->roster.posts[i]->due_ns < next)
			next = daemon->roster.posts[i]->due_ns;
	daemon->armed_ns = INT64_MAX;
	if (next != INT64_MAX)
		arm(daemon, next);
}

/* True once after each sleep. */
static bool has_slept(struct daemon *daemon)
{
	int64_t asleep = clock_boottime_ns() - clock_monotonic_ns(), before = daemon->asleep_ns;

	daemon->asleep_ns = asleep;
	return asleep - before > SUSPENDED_NS;
}

/* After a sleep of the machine: whoever is due waits for the network, each in its turn, and who is pushed finds out whether its connection lives. */
static void wake_up(struct daemon *daemon)
{
	int64_t now = clock_boottime_ns();

	if (!has_slept(daemon))
		return;
	roster_probe_pushed(&daemon->roster);
	begin_spreading(daemon);
	for (unsigned i = 0; i < daemon->roster.count; i++) {
		struct post *post = daemon->roster.posts[i];

		if (post->state == POST_RESTING && post->due_ns <= now)
			spread(daemon, post, now + NETWORK_RETURNS_S * NS_PER_S);
	}
}

static int on_timer(sd_event_source *source, uint64_t when_us, void *context)
{
	struct daemon *daemon = context;
	int64_t now = clock_boottime_ns();

	(void)source;
	(void)when_us;
	wake_up(daemon);
	for (unsigned i = 0; i < daemon->roster.count; i++) {
		struct post *post = daemon->roster.posts[i];

		if (post->state == POST_RESTING && post->due_ns <= now)
			roster_want(&daemon->roster, post, false);
	}
	arm_for_next(daemon);
	roster_fill(&daemon->roster);
	notify_status(&daemon->roster);
	return 0;
}

/* What is left of a back-off; nothing if the wall clock makes nonsense of it. */
static int64_t left_ns(enum backoff_clock clock, int64_t until_s)
{
	int64_t now = clock_wall_s();

	return backoff_is_over(clock, until_s, now) ? 0 : scaled_ns(until_s - now);
}

static void load_health(struct daemon *daemon, struct post *post, struct mailbox_state *ret_mailbox)
{
	*ret_mailbox = (struct mailbox_state){0};
	if (state_mailbox_look(daemon->service->state, post->mailbox, ret_mailbox, NULL) < 0)
		*ret_mailbox = (struct mailbox_state){0}; /* busy: then it is polled as if all was well */
	post->failing = ret_mailbox->failures != 0 || ret_mailbox->stopped[0] != '\0';
	post->refused = ret_mailbox->failures != 0 && ret_mailbox->clock == BACKOFF_LOGIN;
}

/* After a start or a reload. */
static void schedule_first(void *context, struct post *post)
{
	struct daemon *daemon = context;
	struct mailbox_state mailbox;
	int64_t now = clock_boottime_ns();

	load_health(daemon, post, &mailbox);
	if (mailbox.failures != 0 && !credential_was_replaced(daemon->service, post->mailbox, &mailbox))
		now += left_ns((enum backoff_clock)mailbox.clock, mailbox.retry_at);
	spread(daemon, post, now);
}

/* Or would have been for longer, had there not been a reload. */
static bool was_pushed(const struct attendant *attendant)
{
	if (attendant == NULL || !attendant->idle)
		return false;
	return attendant->stopping || clock_monotonic_ns() - attendant->idle_since_ns >= scaled_ns(PUSHED_S);
}

static void schedule_next(struct daemon *daemon, struct post *post, bool pushed)
{
	struct schedule_past past = {.started_ns = post->started_ns, .ended_ns = clock_boottime_ns(), .pushed = pushed};
	struct mailbox_state mailbox;

	load_health(daemon, post, &mailbox);
	past.failures = mailbox.failures;
	past.back_off_ns = mailbox.failures != 0 ? left_ns((enum backoff_clock)mailbox.clock, mailbox.retry_at) : 0;
	rest_until(daemon, post, schedule_next_ns(&past, period_of(post), scaled_ns(schedule_provider_minimum_s(post->mailbox)), random_bits()));
}

/* -- what the roster asks and tells -- */

static bool may_start(void *context, struct post *post)
{
	struct daemon *daemon = context;
	struct log log = log_of(post);
	int64_t now = clock_boottime_ns(), until_s, wait_ns;
	struct mailbox_state mailbox;

	load_health(daemon, post, &mailbox);
	if (control_is_lent(daemon->control, post->mailbox->name)) { /* wanted again when it is given back */
		rest_until(daemon, post, now + period_of(post));
		return false;
	}
	if (mailbox.stopped[0] != '\0') { /* which was said when it stopped; "mailhaul accept" goes on */
		rest_until(daemon, post, now + period_of(post));
		control_not_started(daemon->control, post, EX_TEMPFAIL, mailbox.stopped);
		return false;
	}
	if (post->insistent || !destinations_all_rest(daemon->service, post->mailbox, &until_s)) {
		post->started_ns = now;
		return true;
	}
	wait_ns = scaled_ns(until_s - clock_wall_s() + 1);
	log_say(&log, LEVEL_DEBUG, "backing_off", "not polled, because all that it delivers to is down");
	rest_until(daemon, post, now + (wait_ns > 0 ? wait_ns : NS_PER_S));
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

	return !daemon->leaving && !post->gone && post->later == NULL && !control_is_lent(daemon->control, post->mailbox->name);
}

static void on_turned(void *context, struct post *post)
{
	static const struct error well = {.kind = ERR_NONE};
	struct daemon *daemon = context;
	struct mailbox_state mailbox;

	if (post->state == POST_PUSHED) {
		load_health(daemon, post, &mailbox);
		control_ended(daemon->control, post, post->attendant, &well);
	}
	notify_status(&daemon->roster);
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
	bool changed;

	if (!reload_settle(&daemon->roster, post, &changed)) {
		control_reloaded(daemon->control);
	} else {
		if (changed)
			schedule_first(daemon, post);
		else
			schedule_next(daemon, post, was_pushed(attendant));
		control_ended(daemon->control, post, attendant, err);
	}
	notify_status(&daemon->roster);
}

static void on_idle(void *context)
{
	struct daemon *daemon = context;

	drop_former(daemon);
	if (daemon->leaving)
		sd_event_exit(daemon->service->event, 0);
}

/* -- now and then -- */

static void report_unkillable(struct post *post)
{
	struct log log = log_of(post);
	struct attendant *attendant = post->attendant;
	char text[200];

	if (attendant->killed_ns == 0 || attendant->reported || clock_monotonic_ns() - attendant->killed_ns < scaled_ns(UNKILLABLE_S))
		return;
	attendant->reported = true;
	snprintf(text, sizeof(text),
		"process %ld was killed and does not end, which is a matter of the kernel, often of a dead network file system; the mailbox waits "
		"for it",
		(long)attendant->worker.pid);
	log_say(&log, LEVEL_ERROR, "worker_unkillable", "%s", text);
	herald_tell(attendant->service, "worker_unkillable", post->mailbox->name, NULL, text);
}

static void try_new_password(struct daemon *daemon, struct post *post)
{
	struct mailbox_state mailbox;

	load_health(daemon, post, &mailbox);
	if (credential_was_replaced(daemon->service, post->mailbox, &mailbox))
		roster_want(&daemon->roster, post, false);
}

static int on_round(sd_event_source *source, uint64_t when_us, void *context)
{
	struct daemon *daemon = context;

	(void)when_us;
	wake_up(daemon);
	for (unsigned i = 0; i < daemon->roster.count; i++) {
		struct post *post = daemon->roster.posts[i];

		if (post->attendant != NULL) {
			report_unkillable(post);
			attendant_take_stock(post->attendant);
		} else if (post->state == POST_RESTING && post->refused)
			try_new_password(daemon, post);
	}
	drop_former(daemon);
	metrics_write(daemon->service->metrics);
	roster_fill(&daemon->roster);
	sd_event_source_set_time_relative(source, (uint64_t)scaled_ns(ROUND_S) / 1000);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* -- signals -- */

static int on_poll_now(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct daemon *daemon = context;

	(void)source;
	(void)info;
	log_say(NULL, LEVEL_INFO, "poll_now", "polling all mailboxes now, but for those whose login was refused");
	for (unsigned i = 0; i < daemon->roster.count; i++)
		if (!daemon->roster.posts[i]->refused) /* a script that says so each minute would get the account locked */
			roster_want(&daemon->roster, daemon->roster.posts[i], true);
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

	begin_spreading(daemon);
	reload_roster(&daemon->roster, service->config, config, schedule_first, daemon);
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
		log_say(NULL, LEVEL_NOTICE, "reloaded", "%s is in force, with %u mailboxes", config->file, daemon->roster.count);
	} else {
		log_say(NULL, LEVEL_ERROR, "not_reloaded", "the configuration cannot be used, and the one from before stays in force");
	}
	notify_ready();
	roster_fill(&daemon->roster);
	notify_status(&daemon->roster);
	return 0;
}

/* -- the whole -- */

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
	if (sd_event_add_time(event, &daemon->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY_US, on_timer, daemon) < 0 ||
		sd_event_source_set_enabled(daemon->timer, SD_EVENT_OFF) < 0 ||
		sd_event_add_time_relative(event, &daemon->round, CLOCK_BOOTTIME, (uint64_t)scaled_ns(ROUND_S) / 1000, 1000000, on_round, daemon) <
			0 ||
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
	daemon->armed_ns = INT64_MAX;
	has_slept(daemon);
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
		schedule_first(daemon, daemon->roster.posts[i]);
	log_say(NULL, LEVEL_NOTICE, "daemon_started", "%s is in force, with %u mailboxes", daemon->service->config->file, daemon->roster.count);
	metrics_write(daemon->service->metrics);
	notify_ready();
	notify_status(&daemon->roster);
}

void daemon_free(struct daemon *daemon)
{
	if (daemon == NULL)
		return;
	control_close(daemon->control); /* whoever waits for something is left without it */
	roster_done(&daemon->roster);
	daemon->service->roster = NULL;
	sd_event_source_disable_unref(daemon->timer);
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
