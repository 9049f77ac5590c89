#include "supervisor/schedule.h"

#include <strings.h>

#include "base/mem.h"
#include "config/config.h"
#include "policy/policy.h"
#include "state/state.h"

#define WORKERS_MAX 1000
#define NS_PER_S INT64_C(1000000000)
/* What lies between two sessions of a mailbox that takes longer than its period. */
#define BREATH_PARTS 10
/* Of a mailbox that is pushed, where nobody hears of mail meanwhile. */
#define BREATH_MAX_NS (300 * NS_PER_S)
/* A connection that ended is made again at once. Nearly: others may have ended with it. */
#define RETURN_NS (5 * NS_PER_S)
/* Logins a second on one host. A provider takes a burst of them from one address for an attack. */
#define SPREAD_NS (NS_PER_S / 4)
/* So many failures in a row are no accident: from there on it is not tried more often than if it worked. */
#define ACCIDENTS_MAX 3

bool schedule_is_due(const struct mailbox_state *mailbox, bool insistent, int64_t now_s)
{
	if (insistent || mailbox->failures == 0)
		return true;
	return backoff_is_over((enum backoff_clock)mailbox->clock, mailbox->retry_at, now_s);
}

uint32_t schedule_pause_s(const struct mailbox_state *mailbox, uint32_t minimum_s, int64_t now_s)
{
	int64_t last_s = mailbox->last_success > mailbox->last_error_at ? mailbox->last_success : mailbox->last_error_at;

	if (minimum_s == 0 || last_s > now_s || now_s - last_s >= minimum_s)
		return 0;
	return (uint32_t)(last_s + minimum_s - now_s);
}

unsigned schedule_places(uint32_t max_workers, unsigned mailboxes)
{
	unsigned places = max_workers != 0 ? max_workers : mailboxes;

	if (places > WORKERS_MAX)
		places = WORKERS_MAX;
	return places != 0 ? places : 1;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* From 0 to span, evenly. Spans are at most some days, of which the nanoseconds leave room for 2^16 parts. */
static int64_t part_of(int64_t span, uint32_t random)
{
	return (span >> 16) * (int64_t)(random >> 16) + (((span & 0xFFFF) * (int64_t)(random >> 16)) >> 16);
}

int64_t schedule_next_ns(const struct schedule_past *past, int64_t period_ns, int64_t minimum_ns, uint32_t random)
{
	int64_t tenth = period_ns / 10;
	int64_t regular = past->started_ns + period_ns - tenth + part_of(2 * tenth, random);
	int64_t due = later(regular, past->ended_ns + period_ns / BREATH_PARTS);

	if (past->pushed)
		due = later(past->started_ns + sooner(period_ns / BREATH_PARTS, BREATH_MAX_NS), past->ended_ns + part_of(RETURN_NS, random) + 1);
	if (past->recalled)
		due = past->ended_ns + part_of(RETURN_NS, random) + 1;
	if (past->failures != 0) {
		int64_t again = past->ended_ns + past->back_off_ns;

		due = past->failures > ACCIDENTS_MAX ? later(due, again) : again;
	}
	/* From the end, since nobody knows when between the two the server saw the login; and jitter only adds. */
	if (minimum_ns != 0)
		due = later(due, past->ended_ns + minimum_ns + part_of(minimum_ns / 10, random));
	return due;
}

int64_t schedule_spread_ns(unsigned position, unsigned count, int64_t period_ns, uint32_t random)
{
	int64_t slot = SPREAD_NS;

	if (slot > period_ns / (count != 0 ? count : 1))
		slot = period_ns / (count != 0 ? count : 1);
	/* The first need not wait: on most machines it is the only one. */
	return position == 0 ? 0 : slot * position - part_of(slot / 2, random);
}

uint32_t schedule_provider_minimum_s(const struct mailbox_config *mailbox)
{
	/* As their help pages and the ISP database say: a login that comes too soon is refused like a wrong password. */
	static const struct {
		enum protocol protocol;
		const char *host;
		uint32_t minimum_s;
	} providers[] = {{PROTOCOL_POP3, "pop3.web.de", 15 * 60}};
	const char *host = mailbox->server.endpoint.host;

	for (size_t i = 0; host != NULL && i < ARRAY_SIZE(providers); i++)
		if (mailbox->protocol == providers[i].protocol && strcasecmp(host, providers[i].host) == 0)
			return providers[i].minimum_s;
	return 0;
}
