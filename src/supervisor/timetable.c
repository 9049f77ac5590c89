#include "supervisor/timetable.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/error.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/credential.h"
#include "supervisor/roster.h"
#include "supervisor/schedule.h"

#define NS_PER_S INT64_C(1000000000)
#define TIMER_ACCURACY_US 50000 /* mailboxes that are due at nearly the same time cost one wake-up */
#define SUSPENDED_NS (5 * NS_PER_S)
#define NETWORK_RETURNS_S 3 /* after the machine woke up */

static uint32_t random_bits(void)
{
	uint32_t random;

	return getrandom(&random, sizeof(random), 0) == sizeof(random) ? random : (uint32_t)clock_boottime_ns();
}

int64_t timetable_scaled_ns(int64_t seconds)
{
	return (int64_t)((double)(seconds * NS_PER_S) * deadline_factor());
}

int64_t timetable_period_ns(const struct post *post)
{
	return timetable_scaled_ns(post->mailbox->poll_every_s);
}

static void arm(struct timetable *timetable, int64_t due_ns)
{
	timetable->armed_ns = due_ns;
	if (sd_event_source_set_time(timetable->timer, due_ns > 0 ? (uint64_t)due_ns / 1000 + 1 : 0) < 0 ||
		sd_event_source_set_enabled(timetable->timer, SD_EVENT_ONESHOT) < 0)
		service_give_up(timetable->service, EX_SOFTWARE);
}

void timetable_rest(struct timetable *timetable, struct post *post, int64_t due_ns)
{
	post->due_ns = due_ns;
	if (due_ns < timetable->armed_ns)
		arm(timetable, due_ns);
}

/* Of many that would be due at once, each in its turn. */
static void spread(struct timetable *timetable, struct post *post, int64_t from_ns)
{
	timetable_rest(
		timetable, post, from_ns + schedule_spread_ns(post->host->spread++, post->host->posts, timetable_period_ns(post), random_bits()));
}

void timetable_begin(struct timetable *timetable)
{
	for (unsigned i = 0; i < timetable->roster->host_count; i++)
		timetable->roster->hosts[i]->spread = 0;
}

static void arm_for_next(struct timetable *timetable)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < timetable->roster->count; i++)
		if (timetable->roster->posts[i]->state == POST_RESTING && timetable->roster->posts[i]->due_ns < next)
			next = timetable->roster->posts[i]->due_ns;
	timetable->armed_ns = INT64_MAX;
	if (next != INT64_MAX)
		arm(timetable, next);
}

/* True once after each sleep. */
static bool has_slept(struct timetable *timetable)
{
	int64_t asleep = clock_boottime_ns() - clock_monotonic_ns(), before = timetable->asleep_ns;

	timetable->asleep_ns = asleep;
	return asleep - before > SUSPENDED_NS;
}

void timetable_wake(struct timetable *timetable)
{
	int64_t now = clock_boottime_ns();

	if (!has_slept(timetable))
		return;
	roster_probe(timetable->roster);
	timetable_begin(timetable);
	for (unsigned i = 0; i < timetable->roster->count; i++) {
		struct post *post = timetable->roster->posts[i];

		if (post->state == POST_RESTING && post->due_ns <= now)
			spread(timetable, post, now + NETWORK_RETURNS_S * NS_PER_S);
	}
}

static int on_timer(sd_event_source *source, uint64_t when_us, void *context)
{
	struct timetable *timetable = context;
	int64_t now = clock_boottime_ns();

	(void)source;
	(void)when_us;
	timetable_wake(timetable);
	for (unsigned i = 0; i < timetable->roster->count; i++) {
		struct post *post = timetable->roster->posts[i];

		if (post->state == POST_RESTING && post->due_ns <= now)
			roster_want(timetable->roster, post, false);
	}
	arm_for_next(timetable);
	roster_fill(timetable->roster);
	timetable->polled(timetable->context);
	return 0;
}

/* What is left of a back-off; nothing if the wall clock makes nonsense of it. */
static int64_t left_ns(enum backoff_clock clock, int64_t until_s)
{
	int64_t now = clock_wall_s();

	return backoff_is_over(clock, until_s, now) ? 0 : timetable_scaled_ns(until_s - now);
}

void timetable_look(struct service *service, struct post *post, struct mailbox_state *ret_mailbox)
{
	*ret_mailbox = (struct mailbox_state){0};
	if (state_mailbox_look(service->state, post->mailbox, ret_mailbox, NULL) < 0)
		*ret_mailbox = (struct mailbox_state){0}; /* busy: then it is polled as if all was well */
	post->failing = ret_mailbox->failures != 0 || ret_mailbox->stopped[0] != '\0';
	post->refused = ret_mailbox->failures != 0 && ret_mailbox->clock == BACKOFF_LOGIN;
}

void timetable_first(struct timetable *timetable, struct post *post)
{
	struct mailbox_state mailbox;
	int64_t wait_ns, back_off_ns;

	timetable_look(timetable->service, post, &mailbox);
	wait_ns = timetable_scaled_ns(schedule_pause_s(&mailbox, service_login_delay_s(timetable->service, post->mailbox), clock_wall_s()));
	if (mailbox.failures != 0 && !credential_was_replaced(timetable->service, post->mailbox, &mailbox)) {
		back_off_ns = left_ns((enum backoff_clock)mailbox.clock, mailbox.retry_at);
		wait_ns = back_off_ns > wait_ns ? back_off_ns : wait_ns;
	}
	spread(timetable, post, clock_boottime_ns() + wait_ns);
}

void timetable_next(struct timetable *timetable, struct post *post, bool pushed, bool recalled)
{
	struct schedule_past past = {.started_ns = post->started_ns, .ended_ns = clock_boottime_ns(), .pushed = pushed, .recalled = recalled};
	struct mailbox_state mailbox;

	timetable_look(timetable->service, post, &mailbox);
	past.failures = mailbox.failures;
	past.back_off_ns = mailbox.failures != 0 ? left_ns((enum backoff_clock)mailbox.clock, mailbox.retry_at) : 0;
	timetable_rest(timetable, post,
		schedule_next_ns(&past, timetable_period_ns(post), timetable_scaled_ns(service_login_delay_s(timetable->service, post->mailbox)),
			random_bits()));
}

/* -- the whole -- */

int timetable_open(
	struct timetable *timetable, struct service *service, struct roster *roster, void (*polled)(void *), void *context, struct error *err)
{
	*timetable = (struct timetable){.service = service, .roster = roster, .polled = polled, .context = context, .armed_ns = INT64_MAX};
	has_slept(timetable);
	if (sd_event_add_time(service->event, &timetable->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY_US, on_timer, timetable) < 0 ||
		sd_event_source_set_enabled(timetable->timer, SD_EVENT_OFF) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot make a timer");
	return 0;
}

void timetable_close(struct timetable *timetable)
{
	timetable->timer = sd_event_source_disable_unref(timetable->timer);
}
