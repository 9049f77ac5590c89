/* schedule.h - when a mailbox is due. Pure: clocks and random bits are passed in. Spans and times in nanoseconds are of CLOCK_BOOTTIME, which goes on
 * while the machine sleeps and cannot be set. */
#ifndef MAILHAUL_SUPERVISOR_SCHEDULE_H
#define MAILHAUL_SUPERVISOR_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct mailbox_config;
struct mailbox_state;

/* For run: a back-off that is on record holds for timers and cron; whoever insists (names a mailbox, or sits at a terminal) wants it now. */
bool schedule_is_due(const struct mailbox_state *mailbox, bool insistent, int64_t now_s);

/* Seconds that are left until another login is allowed, if minimum_s have to lie between two; by the wall clock, which may have been set: no longer than that. */
uint32_t schedule_pause_s(const struct mailbox_state *mailbox, uint32_t minimum_s, int64_t now_s);

/* Workers at once: max_workers of the configuration, by default one per mailbox and at most 1000. */
unsigned schedule_places(uint32_t max_workers, unsigned mailboxes);

/* Of a mailbox that had a session. */
struct schedule_past {
	int64_t started_ns, ended_ns;
	unsigned failures;   /* sessions in a row that failed; 0: the last one was well */
	int64_t back_off_ns; /* after these, counted from the end, jitter included */
	bool pushed;         /* it waited for mail, until its connection ended */
	bool recalled;       /* it would wait for mail, but was ended to begin anew */
};
/* period_ns: poll_every, on average between the beginnings of two sessions. minimum_ns: what has to lie between two logins. random: 32 random bits. */
int64_t schedule_next_ns(const struct schedule_past *past, int64_t period_ns, int64_t minimum_ns, uint32_t random);

/* How long number position (0, 1, ...) of so many mailboxes on one host waits when all would be due at once: after a start, a reload, or when the machine
 * wakes up. No longer than period_ns. */
int64_t schedule_spread_ns(unsigned position, unsigned count, int64_t period_ns, uint32_t random);

/* Seconds between two logins that the provider is known to insist on; else 0. */
uint32_t schedule_provider_minimum_s(const struct mailbox_config *mailbox);

#endif
