#include "supervisor/roster.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/endpoint.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"
#include "supervisor/health.h"
#include "supervisor/herald.h"
#include "supervisor/ledger.h"
#include "supervisor/lock.h"
#include "supervisor/progress.h"

#define NS_PER_MS 1000000
#define BUSY_RETRY_MS 20
#define BUSY_RETRIES_MAX 3000 /* a minute: then the other one hangs, and somebody should know */
#define LOCK_RETRY_MS 1000
/* Whoever has not said a word for so long waits for a server that takes its time, and costs nothing but memory; of which there has to be an end, too. */
#define SILENT_S 30
#define SESSIONS_MAX 1000

/* -- how a session ended -- */

static int store_end(struct state *state, const struct mailbox_state *mailbox, struct attendant *attendant, struct error *err)
{
	/* Outcomes are in the ledger; this tells how things stand, and may be a session behind after a power cut. */
	if (state_begin_unsynced(state, err) < 0)
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
static int record_end(struct service *service, const struct mailbox_config *config, struct mailbox_state *mailbox, struct attendant *attendant,
	const struct error *err)
{
	const struct log log = {.key = "mailbox", .value = config->name};
	struct mailbox_state before = *mailbox;
	struct error problem;
	int64_t now = clock_wall_s();
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	health_note(mailbox, err, now, config->poll_every_s, random);
	if (err->kind == ERR_AUTH && err->scope == SCOPE_MAILBOX && attendant != NULL)
		mailbox->credential = attendant->credentials[0];
	if (store_end(service->state, mailbox, attendant, &problem) < 0) {
		if (problem.kind == ERR_TEMP) {
			*mailbox = before;
			return -1;
		}
		service_state_failed(service, &problem);
	}
	herald_mailbox(service, &log, &before, mailbox, err);
	if (attendant != NULL)
		destinations_log_accepted(attendant);
	return 0;
}

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
			       (!canceled && record_end(service, attendant->mailbox, &attendant->mailbox_state, attendant, err) < 0))) {
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
	roster->retry = sd_event_source_disable_unref(roster->retry);
	if (sd_event_add_time_relative(roster->service->event, &roster->retry, CLOCK_MONOTONIC, delay_ns > 0 ? (uint64_t)delay_ns / 1000 : 0, 1000,
		    on_retry, roster) < 0)
		service_give_up(roster->service, EX_SOFTWARE);
}

/* -- those that stay -- */

/* Whoever is polled on that host needs a connection now and then. */
static bool host_has_room(const struct roster *roster, const struct roster_host *host)
{
	if (host->is_local || roster->places_per_host == 0)
		return true;
	return host->pushed + (host->posts > roster->places_per_host) < roster->places_per_host;
}

static int on_idle_worker(struct service *service, struct attendant *attendant, const struct error *trouble, bool *ret_stays, struct error *err)
{
	struct roster *roster = service->roster;
	struct post *post = post_of(roster, attendant);

	*ret_stays = false;
	if (roster->closed || roster->driver->may_be_pushed == NULL || !host_has_room(roster, post->host) ||
		!roster->driver->may_be_pushed(roster->context, post))
		return 0; /* how it ended is recorded when it has */
	if (record_end(service, attendant->mailbox, &attendant->mailbox_state, attendant, trouble) < 0)
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

static void on_heard(struct service *service, struct attendant *attendant, uint32_t count)
{
	sentries_heard(service->roster, attendant, count);
	if (count == 0)
		fill_again_in(service->roster, 0); /* the next one may start */
}

/* -- starting them -- */

/* A mailbox that somebody else is hauling has not failed; one whose password cannot be read has. */
static void record_failed_start(struct service *service, const struct post *post, const struct error *err)
{
	struct log log = {.key = "mailbox", .value = post->mailbox->name};
	struct mailbox_state mailbox;
	struct error problem;

	if (err->kind != ERR_CONFIG || state_mailbox_open(service->state, service->config, post->mailbox, &mailbox, &problem) < 0 ||
		record_end(service, post->mailbox, &mailbox, NULL, err) < 0)
		log_say(&log, LEVEL_WARNING, "mailbox_failed", "%s", err->text);
}

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

	if (attendant_start(roster->service, post->mailbox, post->insistent, &post->attendant, &err) == 0) {
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
		record_failed_start(roster->service, post, &err);
	roster->driver->ended(roster->context, post, NULL, &err);
	return 0;
}

static int64_t silent_from(const struct post *post)
{
	return post->attendant->heard_ns + (int64_t)(SILENT_S * deadline_factor() * 1000 * NS_PER_MS);
}

static unsigned places_used(const struct roster *roster, bool by_failing, int64_t now)
{
	unsigned used = 0;

	for (unsigned i = 0; i < roster->count; i++)
		used += roster->posts[i]->state == POST_HAULING && silent_from(roster->posts[i]) > now && (!by_failing || roster->posts[i]->failing);
	return used;
}

static bool has_place(const struct roster *roster, int64_t now)
{
	return roster->hauling < roster->places || (places_used(roster, false, now) < roster->places && roster->hauling < SESSIONS_MAX);
}

static bool host_has_place(const struct roster *roster, const struct roster_host *host)
{
	return host->is_local || roster->places_per_host == 0 || host->sessions < roster->places_per_host;
}

static struct post *next_to_start(const struct roster *roster)
{
	int64_t now = clock_monotonic_ns();
	struct post *next = NULL;
	bool for_failing;

	if (roster->closed || !has_place(roster, now))
		return NULL;
	/* Who failed the last time may well keep a place for long and come to nothing; half of them are for those that work. */
	for_failing = places_used(roster, true, now) < (roster->places + 1) / 2;
	for (unsigned i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];

		if (post->state == POST_WAITING && post->not_before_ns <= now && (next == NULL || post->turn < next->turn) &&
			host_has_place(roster, post->host) && (for_failing || !post->failing || post->insistent))
			next = post;
	}
	return next;
}

/* When someone may start who may not now, or a session falls silent. */
static void fill_again_when_due(struct roster *roster)
{
	int64_t earliest = INT64_MAX, now = clock_monotonic_ns();

	for (unsigned i = 0; i < roster->count; i++) {
		const struct post *post = roster->posts[i];
		int64_t when = post->state == POST_WAITING && post->not_before_ns != 0 ? post->not_before_ns
			       : post->state == POST_HAULING                           ? silent_from(post)
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

	while ((post = next_to_start(roster)) != NULL) {
		if (!roster->driver->may_start(roster->context, post)) {
			post->state = POST_RESTING;
		} else if (start(roster, post) < 0) {
			fill_again_in(roster, BUSY_RETRY_MS * NS_PER_MS);
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

void roster_probe_pushed(struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL) {
			attendant_poll(roster->posts[i]->attendant, false);
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
