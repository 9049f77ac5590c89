#include "supervisor/places.h"

#include "base/clock.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"

/* Whoever has not said a word for so long waits for a server that takes its time, and costs nothing but memory; of which there has to be an end, too. */
#define SILENT_S 30
#define SESSIONS_MAX 1000

int64_t places_silent_from(const struct post *post)
{
	return post->attendant->heard_ns + (int64_t)(SILENT_S * deadline_factor() * 1e9);
}

static unsigned count_used(const struct roster *roster, bool by_failing, int64_t now)
{
	unsigned used = 0;

	for (unsigned i = 0; i < roster->count; i++)
		used += roster->posts[i]->state == POST_HAULING && places_silent_from(roster->posts[i]) > now &&
			(!by_failing || roster->posts[i]->failing);
	return used;
}

static bool has_place(const struct roster *roster, int64_t now)
{
	return roster->hauling < roster->places || (count_used(roster, false, now) < roster->places && roster->hauling < SESSIONS_MAX);
}

static bool host_has_place(const struct roster *roster, const struct roster_host *host)
{
	return host->is_local || roster->places_per_host == 0 || host->sessions - host->stuck < roster->places_per_host;
}

struct post *places_next(const struct roster *roster)
{
	int64_t now = clock_monotonic_ns();
	struct post *next = NULL;
	bool for_failing;

	if (roster->closed || !has_place(roster, now))
		return NULL;
	/* Who failed the last time may well keep a place for long and come to nothing; half of them are for those that work. */
	for_failing = count_used(roster, true, now) < (roster->places + 1) / 2;
	for (unsigned i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];

		if (post->state == POST_WAITING && post->not_before_ns <= now && (next == NULL || post->turn < next->turn) &&
			host_has_place(roster, post->host) && (for_failing || !post->failing || post->insistent))
			next = post;
	}
	return next;
}

bool places_has_room(const struct roster *roster, const struct roster_host *host)
{
	if (host->is_local || roster->places_per_host == 0)
		return true;
	return host->pushed + (host->posts > roster->places_per_host) < roster->places_per_host;
}
