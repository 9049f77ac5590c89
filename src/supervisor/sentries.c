#include "supervisor/sentries.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "channel/record.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"

#define NS_PER_S INT64_C(1000000000)
#define SENTRIES_MAX 1000 /* of all mailboxes; elsewhere max_per_host is the limit, but not for servers on this machine */
#define STABLE_S 300   /* a connection that lived for so long was wanted by the server; ten that are ended each minute would be a flood of logins */
#define GIVEN_UP_S 600 /* a connection that somebody else needed will be needed again */

static int64_t scaled_ns(int64_t seconds)
{
	return (int64_t)((double)(seconds * NS_PER_S) * deadline_factor());
}

static const char *folder_of(const struct post *post, const struct sentry *sentry)
{
	return post->mailbox->folders[sentry - post->sentries.list];
}

/* -- how they end -- */

static int64_t later_ns(int64_t seconds)
{
	return clock_boottime_ns() + scaled_ns(seconds);
}

static uint32_t random_bits(void)
{
	uint32_t random;

	return getrandom(&random, sizeof(random), 0) == sizeof(random) ? random : (uint32_t)clock_boottime_ns();
}

/* Servers count connections, and not all say so: whoever is not let in, or not for long, comes back as seldom as after a refused login. */
static void put_off_after(struct sentries *sentries, bool was_stable)
{
	sentries->failures = was_stable ? 0 : sentries->failures + 1;
	sentries->retry_ns =
		later_ns(backoff_delay_s(was_stable ? BACKOFF_NETWORK : BACKOFF_LOGIN, was_stable ? 1 : sentries->failures, random_bits()));
}

/* It cannot be opened, say because it does not exist. */
static void put_off_one(struct sentry *sentry)
{
	sentry->retry_ns = later_ns(backoff_delay_s(BACKOFF_LOGIN, ++sentry->failures, random_bits()));
}

/* Nobody has to do anything: its folder is polled. */
static void tell_failure(const struct post *post, const struct sentry *sentry, const struct error *err)
{
	struct log log = {.key = "mailbox", .value = post->mailbox->name};

	if (sentry->failures != 0)
		log_say(&log, sentry->failures == 1 ? LEVEL_INFO : LEVEL_DEBUG, "folder_not_pushed", "nobody can listen to %.60s: %s",
			folder_of(post, sentry), err->text);
	else
		log_say(&log, post->sentries.failures <= 1 ? LEVEL_INFO : LEVEL_DEBUG, "folder_not_pushed",
			"%.60s is polled, as the server does not keep a connection more: %s", folder_of(post, sentry), err->text);
}

/* A session that breaks soon after a sentry came may have been broken for its sake: some servers close the eldest connection. */
static bool was_in_the_way(const struct post *post, const struct attendant *attendant)
{
	enum error_kind why = post->attendant != NULL ? post->attendant->result.kind : ERR_NONE;

	return !attendant->stopping || (post->ending && why != ERR_NONE && why != ERR_CANCELED);
}

static struct sentry *sentry_of(const struct post *post, const struct attendant *attendant)
{
	for (unsigned i = 0; i < post->sentries.count; i++)
		if (post->sentries.list[i].attendant == attendant)
			return &post->sentries.list[i];
	return NULL;
}

static struct post *post_of(const struct roster *roster, const struct attendant *attendant)
{
	unsigned i = 0;

	while (sentry_of(roster->posts[i], attendant) == NULL)
		i++;
	return roster->posts[i];
}

static void remove_attendant(struct roster *roster, struct post *post, struct sentry *sentry)
{
	post->sentries.running--;
	post->host->sessions--;
	post->host->sentries--;
	roster->sentries--;
	sentry->attendant = NULL;
}

struct post *sentries_ended(struct roster *roster, struct attendant *attendant, const struct error *err)
{
	struct post *post = post_of(roster, attendant);
	struct sentry *sentry = sentry_of(post, attendant);

	sentry->failures = err->scope == SCOPE_FOLDER ? sentry->failures : 0;
	if (!attendant->stopping && err->scope == SCOPE_FOLDER) {
		put_off_one(sentry);
		tell_failure(post, sentry, err);
	} else if (was_in_the_way(post, attendant)) {
		put_off_after(&post->sentries, attendant->idle && clock_monotonic_ns() - attendant->idle_since_ns >= scaled_ns(STABLE_S));
		if (!attendant->stopping)
			tell_failure(post, sentry, err);
	}
	remove_attendant(roster, post, sentry);
	attendant_free(attendant);
	return post;
}

/* -- who gets one -- */

static struct sentry *next_free(const struct post *post, int64_t now)
{
	const struct sentries *sentries = &post->sentries;

	for (unsigned i = 0; i < sentries->count; i++)
		if (i + 1 != post->attendant->heard && sentries->list[i].attendant == NULL && sentries->list[i].retry_ns <= now)
			return &sentries->list[i];
	return NULL;
}

static bool wants_more(const struct post *post, int64_t now)
{
	const struct attendant *attendant = post->attendant;

	if (post->state != POST_PUSHED || attendant->heard == 0 || attendant->stopping || post->gone || post->later != NULL)
		return false;
	/* The first has been counted when it becomes pushed. */
	return post->sentries.retry_ns <= now && next_free(post, now) != NULL;
}

/* One after the other: if the server refuses one, the next need not ask. */
static bool is_starting_one(const struct post *post)
{
	for (unsigned i = 0; i < post->sentries.count; i++)
		if (post->sentries.list[i].attendant != NULL && !post->sentries.list[i].attendant->idle)
			return true;
	return false;
}

/* Those that are polled need a connection now and then, one after the other if need be. */
static bool host_has_room(const struct roster *roster, const struct roster_host *host)
{
	unsigned polled = host->posts - (host->sessions - host->sentries);

	if (host->is_local || roster->places_per_host == 0)
		return true;
	return host->sessions + (polled != 0) < roster->places_per_host;
}

static struct post *next_to_get_one(const struct roster *roster)
{
	int64_t now = clock_boottime_ns();
	struct post *next = NULL;

	if (roster->closed || roster->sentries >= SENTRIES_MAX)
		return NULL;
	for (unsigned i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];

		if (wants_more(post, now) && (next == NULL || post->sentries.running < next->sentries.running) && !is_starting_one(post) &&
			host_has_room(roster, post->host))
			next = post;
	}
	return next;
}

static void start_one(struct roster *roster, struct post *post)
{
	struct sentry *sentry = next_free(post, clock_boottime_ns());
	struct error err;

	if (attendant_listen(roster->service, post->mailbox, &post->lines, (unsigned)(sentry - post->sentries.list), &sentry->attendant, &err) < 0) {
		put_off_after(&post->sentries, false);
		tell_failure(post, sentry, &err);
		return;
	}
	sentry->untold = 0;
	post->sentries.running++;
	post->host->sessions++;
	post->host->sentries++;
	roster->sentries++;
}

/* -- who has to give one up -- */

static unsigned leaving(const struct post *post)
{
	unsigned count = 0;

	for (unsigned i = 0; i < post->sentries.count; i++)
		count += post->sentries.list[i].attendant != NULL && post->sentries.list[i].attendant->stopping;
	return count;
}

/* The last one of whoever has most. */
static void end_one(const struct roster *roster, const struct roster_host *host)
{
	struct post *richest = NULL;
	unsigned i;

	for (i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];

		if (post->host == host && post->sentries.running > leaving(post) &&
			(richest == NULL || post->sentries.running > richest->sentries.running))
			richest = post;
	}
	for (i = richest != NULL ? richest->sentries.count : 0; i-- != 0;) {
		struct attendant *attendant = richest->sentries.list[i].attendant;

		if (attendant != NULL && !attendant->stopping) {
			richest->sentries.retry_ns = later_ns(GIVEN_UP_S);
			attendant_hurry(attendant);
			return;
		}
	}
}

static void give_way(const struct roster *roster)
{
	int64_t now = clock_monotonic_ns();

	for (unsigned h = 0; h < roster->host_count; h++) {
		const struct roster_host *host = roster->hosts[h];
		unsigned wanted = 0, given = 0;

		if (host->sentries == 0 || host->is_local || roster->places_per_host == 0 || host->sessions < roster->places_per_host)
			continue;
		for (unsigned i = 0; i < roster->count; i++) {
			const struct post *post = roster->posts[i];

			wanted += post->host == host && post->state == POST_WAITING && post->not_before_ns <= now;
			given += post->host == host ? leaving(post) : 0;
		}
		for (; given < wanted; given++)
			end_one(roster, host);
	}
}

/* Once the session has said that it hears of one folder only. */
static void prepare(struct post *post)
{
	size_t count = strv_length(post->mailbox->folders);

	if (post->sentries.list != NULL || post->state != POST_PUSHED || post->attendant->heard == 0 || count < 2)
		return;
	post->sentries.count = (unsigned)(count < TIPS_MAX ? count : TIPS_MAX);
	post->sentries.list = xcalloc(post->sentries.count, sizeof(*post->sentries.list));
}

void sentries_fill(struct roster *roster)
{
	struct post *post;

	give_way(roster);
	for (unsigned i = 0; i < roster->count; i++)
		prepare(roster->posts[i]);
	while ((post = next_to_get_one(roster)) != NULL)
		start_one(roster, post);
}

/* -- what they hear -- */

static void tip(struct post *post, struct sentry *sentry)
{
	if (sentry->untold != 0 && attendant_tip(post->attendant, (unsigned)(sentry - post->sentries.list), sentry->untold))
		sentry->untold = 0;
}

void sentries_heard(struct roster *roster, const struct attendant *attendant, uint32_t count)
{
	struct post *post = post_of(roster, attendant);
	struct sentry *sentry = sentry_of(post, attendant);

	sentry->untold = count < UINT32_MAX - sentry->untold ? sentry->untold + count : UINT32_MAX;
	if (!post->ending)
		tip(post, sentry);
}

void sentries_repeat(struct post *post)
{
	for (unsigned i = 0; i < post->sentries.count; i++)
		tip(post, &post->sentries.list[i]);
}

/* -- all of a post -- */

static void tell_all(const struct post *post, void (*tell)(struct attendant *))
{
	for (unsigned i = 0; i < post->sentries.count; i++)
		if (post->sentries.list[i].attendant != NULL)
			tell(post->sentries.list[i].attendant);
}

bool sentries_dismiss(struct post *post)
{
	tell_all(post, attendant_hurry);
	return post->sentries.running == 0;
}

void sentries_probe(const struct post *post)
{
	tell_all(post, attendant_probe);
}

void sentries_hurry(const struct post *post)
{
	tell_all(post, attendant_hurry);
}

void sentries_kill(const struct post *post)
{
	tell_all(post, attendant_kill);
}

uint64_t sentries_mask(const struct post *post)
{
	uint64_t mask = post->attendant->heard <= TIPS_MAX ? UINT64_C(1) << (post->attendant->heard - 1) : 0;

	for (unsigned i = 0; i < post->sentries.count; i++)
		if (post->sentries.list[i].attendant != NULL && post->sentries.list[i].attendant->idle)
			mask |= UINT64_C(1) << i;
	return mask;
}

void sentries_done(struct post *post)
{
	tell_all(post, attendant_free);
	free(post->sentries.list);
	post->sentries = (struct sentries){0};
}
