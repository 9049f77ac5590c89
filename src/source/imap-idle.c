#include "source/imap.h"

#include <poll.h>
#include <string.h>

#include "base/error.h"
#include "channel/channel.h"
#include "channel/wait.h"
#include "policy/idle.h"

/* IDLE, RFC 2177, tells of one folder; after NOTIFY (imap-notify.c) of all. Who only listens hears one announcement after the other in one IDLE. Never trusted alone: whoever waits looks into the folders from time to time whatever was announced, since servers go stale, and what
 * stands in between lets silent connections die. */

#define ANSWER_S 30     /* to IDLE and DONE: a server that is there has nothing to think about */
#define ENDED_SOON_S 60 /* whoever ends IDLE by itself so early does not mean it */

bool imap_can_wait(const struct source *source)
{
	const struct imap *imap = (const struct imap *)source;

	return imap->context->mailbox->folders != NULL && ((imap->capabilities & IMAP_CAP_IDLE) != 0 || imap_notify_pays(imap));
}

bool imap_tells_of_all(const struct source *source)
{
	return imap_notify_pays((const struct imap *)source);
}

static bool is_wanted(const struct imap *imap)
{
	const struct channel *channel = imap->context->channel;

	return channel != NULL && (channel->stop || channel->poll);
}

/* What is known of the host, for whoever comes after us; nothing in tests that do not care. */
static uint32_t known_s(const struct imap *imap)
{
	return imap->context->facts != NULL ? imap->context->facts->idle_s : 0;
}

static void learn(struct imap *imap, uint32_t idle_s)
{
	if (imap->context->facts != NULL)
		imap->context->facts->idle_s = idle_s;
}

/* The answers to all that was sent before. */
static int settle_commands(struct imap *imap, struct error *err)
{
	int rc = imap_send(imap, err);

	while (rc == 0 && imap->outstanding != 0)
		rc = imap_wait_one(imap, err);
	return rc;
}

/* 1: mail came while another folder was looked into. */
static int enter_watched(struct imap *imap, const struct source_watch *watch, struct error *err)
{
	const char *folder = imap->context->mailbox->folders[watch->folder];
	struct folder_status status;

	if (imap->selected != NULL && strcmp(imap->selected, folder) == 0)
		return 0;
	if (imap->source.ops->select(&imap->source, folder, imap->context->writable, &status, err) < 0)
		return -1;
	return imap_place_has_more(imap_place_of(imap, folder), &watch->seen[watch->folder], &status) ? 1 : 0;
}

/* --- one IDLE --- */

static int not_offered(struct imap *imap, struct error *err)
{
	imap->capabilities &= ~(unsigned)IMAP_CAP_IDLE;
	return imap_refused(err, &imap->idle, ERR_REFUSED, SCOPE_FOLDER, "server refused IDLE, which it had offered");
}

void imap_idle_add(struct imap *imap)
{
	imap->idle = (struct imap_answer){0};
	imap->idle_command = imap_begin(imap, imap_keep_answer, &imap->idle);
	wire_addf(imap->source.wire, "IDLE\r\n");
}

static int begin_idle(struct imap *imap, struct error *err)
{
	int rc;

	imap_set_deadline(imap, ANSWER_S);
	imap_idle_add(imap);
	rc = imap_wait_continuation(imap, &imap->idle, err);
	if (rc > 0)
		imap->idling = true;
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	return not_offered(imap, err);
}

/* The next command may ride behind DONE. wait: only if there is somebody to hear it. */
static int end_idle(struct imap *imap, bool wait, struct error *err)
{
	imap->idling = false;
	wire_addf(imap->source.wire, "DONE\r\n");
	imap_set_deadline(imap, wait ? ANSWER_S : 0);
	if (!wait && !imap_goes_step_by_step(imap))
		return 0;
	return imap_wait(imap, &imap->idle.done, err);
}

static bool has_heard(struct imap *imap, const struct source_watch *watch)
{
	return imap->arrived != 0 || imap_places_have_news(imap, watch);
}

static bool has_news(struct imap *imap, const struct source_watch *watch)
{
	return has_heard(imap, watch) && deadline_passed(watch->hush);
}

/* Is anybody there? */
static int say_noop(struct imap *imap, struct error *err)
{
	struct imap_answer answer = {0};

	imap_set_deadline(imap, ANSWER_S);
	imap_begin(imap, imap_keep_answer, &answer);
	wire_addf(imap->source.wire, "NOOP\r\n");
	return imap_wait(imap, &answer.done, err);
}

/* Until there is news, or it is time to say something. A server that ends IDLE by itself has to be asked again. */
static int sleep_until_news(struct imap *imap, const struct source_watch *watch, struct deadline until, struct error *err)
{
	while (!has_news(imap, watch) && !is_wanted(imap) && !deadline_passed(until) && !(imap->idling && imap->idle.done)) {
		struct pollfd fd = {.fd = wire_fd(imap->source.wire), .events = wire_events(imap->source.wire)};
		struct error why = {0};
		int rc;

		imap->read_until = UINT64_MAX;
		rc = imap_pump(imap, err);
		if (rc < 0)
			return -1;
		if (rc == 0 && !has_news(imap, watch) &&
			wait_io(&fd, 1, has_heard(imap, watch) ? deadline_min(until, watch->hush) : until, imap->context->channel, &why) < 0)
			return imap_lose(imap, &why, err);
	}
	return 0;
}

static uint32_t seconds_since(int64_t then_ns)
{
	return (uint32_t)((double)(clock_monotonic_ns() - then_ns) / 1e9 / deadline_factor());
}

/* What was slept in comes to its end. wait: only if there is somebody to hear it. */
static int wake_up(struct imap *imap, bool wait, struct error *err)
{
	if (imap->idling)
		return end_idle(imap, wait, err);
	return wait ? say_noop(imap, err) : 0;
}

static void note_sleep(struct imap *imap)
{
	imap->speak_at = deadline_in_s(idle_span_s(known_s(imap)));
	imap->slept_ns = clock_monotonic_ns();
}

static int begin_sleep(struct imap *imap, struct error *err)
{
	note_sleep(imap);
	/* Under NOTIFY it should not be needed, but without it Dovecot 2.3 does not tell of the first message in the folder that is open. */
	return (imap->capabilities & IMAP_CAP_IDLE) != 0 ? begin_idle(imap, err) : 0;
}

/* Instead of waking up. What is different, or was announced meanwhile, is for the caller, who needs the folder without IDLE. */
static int look(struct imap *imap, struct source_watch *watch, struct error *err)
{
	int same = imap_glance(imap, watch, err);

	if (same < 0)
		return -1;
	if ((imap->capabilities & IMAP_CAP_IDLE) != 0 && !imap->idling)
		return not_offered(imap, err);
	note_sleep(imap);
	watch->looked = same > 0 && !has_heard(imap, watch);
	imap->current = !watch->looked && imap->selected != NULL && imap->has_exists; /* it was opened just now */
	return watch->looked ? 0 : wake_up(imap, false, err);
}

static int speak(struct imap *imap, struct source_watch *watch, struct error *err)
{
	const struct channel *channel = imap->context->channel;

	if (watch->looks && deadline_passed(watch->until) && !has_heard(imap, watch) && !is_wanted(imap) && imap_may_glance(imap))
		return look(imap, watch, err);
	return wake_up(imap, !has_news(imap, watch) && (channel == NULL || !channel->stop), err);
}

static int sleep_once(struct imap *imap, struct source_watch *watch, struct error *err)
{
	bool overdue;

	if (!imap->idling && begin_sleep(imap, err) < 0)
		return -1;
	if (sleep_until_news(imap, watch, deadline_min(watch->until, imap->speak_at), err) < 0) {
		if (err->kind != ERR_CANCELED)
			learn(imap, idle_after_close_s(known_s(imap), seconds_since(imap->slept_ns)));
		return -1;
	}
	if (imap->idling && imap->idle.done) {
		imap->idling = false;
		return seconds_since(imap->slept_ns) < ENDED_SOON_S ? not_offered(imap, err) : 0;
	}
	if (watch->listens && has_news(imap, watch))
		return 0;
	overdue = deadline_passed(imap->speak_at);
	if (speak(imap, watch, err) < 0) {
		if (err->kind != ERR_CANCELED && !is_wanted(imap)) /* who asks out of turn has a reason to: the machine slept, say */
			learn(imap, idle_after_death_s(known_s(imap)));
		return -1;
	}
	if (overdue)
		learn(imap, idle_after_success_s(known_s(imap)));
	return 0;
}

/* 1: the server tells of all folders. */
static int be_notified(struct imap *imap, struct error *err)
{
	if (!imap_notify_pays(imap))
		return 0;
	imap_set_deadline(imap, ANSWER_S);
	return imap_notify_begin(imap, err);
}

/* Where something has come, or may have. */
static void collect(struct imap *imap, struct source_watch *watch)
{
	const struct imap_place *open = imap_place_of(imap, imap->selected);

	imap_places_collect(imap, watch);
	if (imap->current)
		watch->news[open != NULL ? (unsigned)(open - imap->places) : watch->folder] = true;
}

/* Whoever hauls it has a connection of its own. */
static void count_announced(struct imap *imap, struct source_watch *watch)
{
	watch->announced = imap->arrived;
	imap->arrived = 0;
}

int imap_watch(struct source *source, struct source_watch *watch, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	int notified, came = 0;

	watch->looked = false;
	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	if (!imap->idling && settle_commands(imap, err) < 0)
		return -1;
	imap_guess_drop(imap);
	notified = be_notified(imap, err);
	if (notified == 0)
		came = enter_watched(imap, watch, err);
	if (notified < 0 || came < 0 || (came == 0 && !has_news(imap, watch) && sleep_once(imap, watch, err) < 0))
		return -1;
	imap_set_deadline(imap, 0);
	if (came == 0 && !has_news(imap, watch))
		return 0;
	imap->current = came > 0 || imap->arrived != 0;
	if (watch->listens)
		count_announced(imap, watch);
	else
		collect(imap, watch);
	return 1;
}
