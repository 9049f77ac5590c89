/* clock.h - a clock for what a jump of the wall clock could delete early or lose: retention, tombstones, and how old an intent is.
 * Within a boot it runs with CLOCK_BOOTTIME, which counts suspended time and cannot be set. How long the machine was off nobody knows but the wall
 * clock, which may be wrong on either side, so the clock has two hands:
 * least - what has passed for certain: of the time between two boots at most a day is believed, and nothing if the clock was not set then or now.
 * most  - what may have passed: all that any clock shows, so also what a step of the wall clock makes other programs believe, be it from 1970.
 * Both begin as the wall clock, never go back, and are kept as what has to be added to it. The core is pure. */
#ifndef MAILHAUL_STATE_CLOCK_H
#define MAILHAUL_STATE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define BOOT_ID_BYTES 37 /* a UUID and its NUL */

/* What the machine shows at one moment. */
struct clock_reading {
	int64_t wall_s, boottime_s;
	char boot[BOOT_ID_BYTES]; /* "": unknown */
};

struct state_clock {
	struct clock_reading at; /* wall_s 0: never set */
	int64_t least_ahead, most_ahead;
};

/* The clock as it is now, from any earlier moment of it; clock itself stays. */
struct state_clock clock_moved(const struct state_clock *clock, const struct clock_reading *now);
/* Must the later one be kept, so that nothing is lost should the machine go down at any moment from now on? Rarely: after a boot, after a step of the
 * wall clock, else once an hour. */
bool clock_is_worth_keeping(const struct state_clock *kept, const struct state_clock *now);
void clock_read(struct clock_reading *ret_now);

/* As text, for the meta table. */
#define CLOCK_TEXT_BYTES 128
void clock_print(char out[CLOCK_TEXT_BYTES], const struct state_clock *clock);
bool clock_parse(const char *text, struct state_clock *ret_clock);

#endif
