#include "supervisor/roster.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/endpoint.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"
#include "supervisor/ending.h"
#include "supervisor/ledger.h"
#include "supervisor/lock.h"
#include "supervisor/places.h"
#include "supervisor/progress.h"

#define NS_PER_MS 1000000
#define BUSY_RETRY_MS 20
#define BUSY_RETRIES_MAX 3000 /* a minute: then the other one hangs, and somebody should know */
#define LOCK_RETRY_MS 1000

/* -- how a session ended -- */

static int on_ending_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;

	(void)source;
	(void)when_us;
	attendant->service->finished(attendant->service, attendant, &attendant->result);
	return 0;
}

static void finish_later(struct attendant *attendant)
{
	struct service *service = attendant->service;

	attendant->retry_event = sd_event_source_disable_unref(attendant->retry_event);
	if (sd_event_add_time_relative(
		    service->event, &attendant->retry_event, CLOCK_MONOTONIC, BUSY_RETRY_MS * 1000, 1000, on_ending_retry, attendant) < 0)
		service_give_up(service, EX_SOFTWARE);
}

static struct post *post_of(const struct roster *roster, const struct attendant *attendant)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant == attendant)
			return roster->posts[i];
	return NULL;
}

static void leave_place(struct roster *roster, struct post *post)
{
	if (post->state == POST_PUSHED) {
		roster->pushed--;
		post->host->pushed--;
	} else {
		roster->hauling--;
	}
}

static void begin_to_haul(struct roster *roster, struct post *post)
{
	leave_place(roster, post);
	post->state = POST_HAULING;
	roster->hauling++;
}

static void on_finished(struct service *service, struct attendant *attendant, const struct error *err);

/* The last sentry of a session that is over ends the whole. */
static void on_sentry_finished(struct roster *roster, struct attendant *attendant, const struct error *err)
{
	struct post *post = sentries_ended(roster, attendant, err);

	if (post->ending && post->sentries.running == 0)
		on_finished(roster->service, post->attendant, &post->attendant->result);
	else
		roster_fill(roster);
}

static void on_finished(struct service *service, struct attendant *attendant, const struct error *err)
{
	struct roster *roster = service->roster;
	bool hauling = service->mode == JOB_HAUL, canceled = err->kind == ERR_CANCELED;
	struct post *post;

	if (attendant->mode == JOB_LISTEN) {
		on_sentry_finished(roster, attendant, err);
		return;
	}
	post = post_of(roster, attendant);
	post->ending = true;
	if (!sentries_dismiss(post)) {
		begin_to_haul(roster, post); /* whoever wants it now wants another session */
		return;
	}
	progress_clear();
	/* Its last outcomes before anything else; if another mailhaul has the database, a little later. */
	if (hauling && (ledger_commit(service->ledger, NULL) < 0 ||
			       (!canceled && ending_record(service, attendant->mailbox, &attendant->mailbox_state, attendant, err) < 0))) {
		finish_later(attendant);
		return;
	}
	attendant_take_stock(attendant);
	attendant_unlock(attendant);
	leave_place(roster, post);
	post->attendant = NULL;
	post->ending = false;
	post->state = POST_RESTING;
	post->host->sessions--;
	post->host->stuck -= attendant->reported && attendant->unopened != 0;
	roster->driver->ended(roster->context, post, attendant, err);
	attendant_free(attendant);
	if (hauling)
		service_shrink(service, 1);
	roster_fill(roster);
}

static int on_retry(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	roster_fill(context);
	return 0;
}

static void fill_again_in(struct roster *roster, int64_t delay_ns)
{
	uint64_t delay_us = delay_ns > 0 ? (uint64_t)delay_ns / 1000 : 0;

	roster->retry = sd_event_source_disable_unref(roster->retry);
	if (sd_event_add_time_relative(
		    roster->service->event, &roster->retry, CLOCK_MONOTONIC, delay_us, delay_us != 0 ? 1000 : 1, on_retry, roster) < 0)
		service_give_up(roster->service, EX_SOFTWARE);
}

/* -- those that stay -- */

static int on_idle_worker(struct service *service, struct attendant *attendant, const struct error *trouble, bool *ret_stays, struct error *err)
{
	struct roster *roster = service->roster;
	struct post *post = post_of(roster, attendant);

	*ret_stays = false;
	if (roster->closed || roster->driver->may_be_pushed == NULL || !places_has_room(roster, post->host) ||
		!roster->driver->may_be_pushed(roster->context, post))
		return 0; /* how it ended is recorded when it has */
	if (ending_record(service, attendant->mailbox, &attendant->mailbox_state, attendant, trouble) < 0)
		return error_set(err, ERR_TEMP, SCOPE_PROGRAM, "another mailhaul has the state");
	*ret_stays = true;
	return 0;
}

/* Who waits gives its place back. Who has mail does not wait for one with its connection half used: that there may be too many for a moment costs nobody
 * anything. */
static void on_turned(struct service *service, struct attendant *attendant)
{
	struct roster *roster = service->roster;
	struct post *post = post_of(roster, attendant);

	if (attendant->idle) {
		leave_place(roster, post);
		post->state = POST_PUSHED;
		roster->pushed++;
		post->host->pushed++;
		sentries_repeat(post);
		fill_again_in(roster, 0); /* not from within its request */
	} else {
		begin_to_haul(roster, post);
	}
	roster->driver->turned(roster->context, post);
}

static void on_looked(struct service *service, struct attendant *attendant)
{
	static const struct error well = {.kind = ERR_NONE};

	/* Nothing rests on it: if another mailhaul has the state, the next look is recorded. */
	(void)ending_record(service, attendant->mailbox, &attendant->mailbox_state, attendant, &well);
}

static void on_heard(struct service *service, struct attendant *attendant, uint32_t count)
{
	sentries_heard(service->roster, attendant, count);
	if (count == 0)
		fill_again_in(service->roster, 0); /* the next one may start */
}

/* -- starting them -- */

/* Behind all others: they need not wait for whoever is hauling this one. */
static void put_off(struct roster *roster, struct post *post)
{
	post->put_off = true;
	post->turn = ++roster->turns;
	post->not_before_ns = clock_monotonic_ns() + (int64_t)(LOCK_RETRY_MS * deadline_factor() * NS_PER_MS);
}

/* -1: another mailhaul has the database for a moment. */
static int start(struct roster *roster, struct post *post)
{
	struct error err = {0};

	if (attendant_start(roster->service, post->mailbox, &post->lines, post->insistent, &post->attendant, &err) == 0) {
		post->state = POST_HAULING;
		roster->hauling++;
		post->host->sessions++;
		roster->busy = 0;
		return 0;
	}
	post->attendant = NULL;
	if (err.kind == ERR_TEMP && err.scope == SCOPE_PROGRAM && ++roster->busy < BUSY_RETRIES_MAX)
		return -1;
	if (err.code == LOCK_HELD && err.scope == SCOPE_MAILBOX && roster->driver->waits_for(roster->context, post, &err)) {
		put_off(roster, post);
		return 0;
	}
	post->state = POST_RESTING;
	progress_clear();
	if (roster->service->mode == JOB_HAUL)
		ending_record_failed_start(roster->service, post->mailbox, &err);
	roster->driver->ended(roster->context, post, NULL, &err);
	return 0;
}

/* When someone may start who may not now, or a session falls silent. */
static void fill_again_when_due(struct roster *roster)
{
	int64_t earliest = INT64_MAX, now = clock_monotonic_ns();

	for (unsigned i = 0; i < roster->count; i++) {
		const struct post *post = roster->posts[i];
		int64_t when = post->state == POST_WAITING && post->not_before_ns != 0 ? post->not_before_ns
			       : post->state == POST_HAULING                           ? places_silent_from(post)
										       : 0;

		if (when > now && when < earliest)
			earliest = when;
	}
	if (earliest != INT64_MAX)
		fill_again_in(roster, earliest - now);
}

void roster_fill(struct roster *roster)
{
	struct post *post;

	while ((post = places_next(roster)) != NULL) {
		if (!roster->driver->may_start(roster->context, post)) {
			post->state = POST_RESTING;
		} else if (start(roster, post) < 0) {
			fill_again_in(roster, BUSY_RETRY_MS * NS_PER_MS);
			return;
		} else if (post->state == POST_HAULING) {
			/* To start one takes a millisecond: what those that have been started want comes in between. */
			fill_again_in(roster, 0);
			return;
		}
	}
	sentries_fill(roster);
	if (!roster->closed && roster_has_waiting(roster))
		fill_again_when_due(roster);
	if (roster->hauling + roster->pushed == 0 && (roster->closed || !roster_has_waiting(roster)))
		roster->driver->idle(roster->context);
}

void roster_want(struct roster *roster, struct post *post, bool insistent)
{
	post->insistent |= insistent;
	if (post->state == POST_PUSHED)
		attendant_poll(post->attendant, insistent);
	if (post->state != POST_RESTING)
		return;
	post->insistent = insistent;
	post->state = POST_WAITING;
	post->put_off = false;
	post->not_before_ns = 0;
	post->turn = ++roster->turns;
}

bool roster_has_waiting(const struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->state == POST_WAITING)
			return true;
	return false;
}

/* -- the whole -- */

void roster_init(struct roster *roster, struct service *service, const struct roster_driver *driver, void *context)
{
	*roster = (struct roster){.service = service, .driver = driver, .context = context, .places = 1};
	service->roster = roster;
	service->finished = on_finished;
	service->idle = on_idle_worker;
	service->turned = on_turned;
	service->looked = on_looked;
	service->heard = on_heard;
}

static struct roster_host *host_of(struct roster *roster, const struct mailbox_config *mailbox)
{
	const struct endpoint *endpoint = &mailbox->server.endpoint;
	const char *name = endpoint->host != NULL ? endpoint->host : endpoint->path;
	struct roster_host *host;

	for (unsigned i = 0; i < roster->host_count; i++)
		if (strcmp(roster->hosts[i]->name, name) == 0)
			return roster->hosts[i];
	host = xcalloc(1, sizeof(*host));
	host->name = xstrdup(name);
	host->is_local = endpoint_is_local(endpoint);
	roster->hosts = xreallocarray(roster->hosts, roster->host_count + 1, sizeof(struct roster_host *));
	roster->hosts[roster->host_count++] = host;
	return host;
}

void roster_assign(struct roster *roster, struct post *post, const struct mailbox_config *mailbox)
{
	if (post->host != NULL)
		post->host->posts--;
	sentries_done(post);
	post->mailbox = mailbox;
	post->host = host_of(roster, mailbox);
	post->host->posts++;
}

void roster_remove(struct roster *roster, struct post *post)
{
	unsigned i = 0;

	while (roster->posts[i] != post)
		i++;
	memmove(&roster->posts[i], &roster->posts[i + 1], (roster->count - i - 1) * sizeof(struct post *));
	roster->count--;
	post->host->posts--;
	sentries_done(post);
	free(post);
}

struct post *roster_add(struct roster *roster, const struct mailbox_config *mailbox)
{
	struct post *post = xcalloc(1, sizeof(*post));

	roster_assign(roster, post, mailbox);
	roster->posts = xreallocarray(roster->posts, roster->count + 1, sizeof(struct post *));
	roster->posts[roster->count++] = post;
	return post;
}

struct post *roster_find(const struct roster *roster, const char *name)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (strcmp(roster->posts[i]->mailbox->name, name) == 0)
			return roster->posts[i];
	return NULL;
}

void roster_probe(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL) {
			attendant_probe(roster->posts[i]->attendant);
			sentries_probe(roster->posts[i]);
		}
}

void roster_stop_pushed(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->state == POST_PUSHED)
			attendant_stop(roster->posts[i]->attendant);
}

void roster_stop(struct roster *roster)
{
	roster->closed = true;
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL)
			attendant_stop(roster->posts[i]->attendant);
}

void roster_open(struct roster *roster)
{
	roster->closed = false;
}

void roster_hurry(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL) {
			attendant_hurry(roster->posts[i]->attendant);
			sentries_hurry(roster->posts[i]);
		}
}

void roster_kill(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL) {
			attendant_kill(roster->posts[i]->attendant);
			sentries_kill(roster->posts[i]);
		}
}

void roster_done(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++) {
		attendant_free(roster->posts[i]->attendant);
		sentries_done(roster->posts[i]);
		free(roster->posts[i]);
	}
	for (unsigned i = 0; i < roster->host_count; i++) {
		free(roster->hosts[i]->name);
		free(roster->hosts[i]);
	}
	free(roster->hosts);
	free(roster->posts);
	sd_event_source_disable_unref(roster->retry);
	*roster = (struct roster){0};
}
