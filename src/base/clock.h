/* clock.h - clocks by what they are good for, and absolute deadlines.
 * Deadlines: CLOCK_MONOTONIC. Schedules: CLOCK_BOOTTIME. Wall clock: headers, logs, certificates, retention. */
#ifndef MAILHAUL_BASE_CLOCK_H
#define MAILHAUL_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct deadline {
	int64_t ns; /* absolute, CLOCK_MONOTONIC; INT64_MAX: never */
};

#define DEADLINE_NEVER ((struct deadline){INT64_MAX})

/* One factor for every deadline, so that tests need not wait for minutes. Set once, before any fork. 1.0 by default. */
void deadline_set_factor(double factor);
double deadline_factor(void);

struct deadline deadline_in_s(double seconds); /* scaled by the factor */
struct deadline deadline_min(struct deadline a, struct deadline b);
bool deadline_passed(struct deadline deadline);
int deadline_poll_ms(struct deadline deadline); /* for poll(2): rounded up, 0 if passed, -1 if never */

int64_t clock_monotonic_ns(void);
int64_t clock_boottime_s(void);
int64_t clock_boottime_ns(void);
int64_t clock_wall_s(void);
/* False for a time at which nobody runs this program, before 2026 or from 2046 on: the clock was never set, or was set wrongly. */
bool clock_is_credible(int64_t wall_s);

/* "Sat, 21 Nov 2026 23:08:16 +0000" (RFC 5322 3.3, UTC: a sealed worker has no time zone files). out: at least 40 bytes. */
char *clock_rfc5322(char *out, int64_t wall_s);
/* "2026-11-21T23:08:16Z". out: at least 24 bytes. */
char *clock_iso8601(char *out, int64_t wall_s);
/* Seconds since 1970 of a date in UTC; months and days count from 1. */
int64_t clock_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second);

#endif
