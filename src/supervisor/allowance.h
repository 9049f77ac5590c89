/* allowance.h - how many lines the workers of a mailbox may write into the log: each message that is delivered brings some, so that a large haul is told in
 * full; whatever else there is to tell has a stock that grows back slowly. A worker that somebody else has taken over cannot fill the disk. Pure. */
#ifndef MAILHAUL_SUPERVISOR_ALLOWANCE_H
#define MAILHAUL_SUPERVISOR_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

/* A line is a KiB at most, so in the long run this is 15 MB a day. More than a worker tells of messages that are on their way (CHANNEL_WINDOW). */
#define ALLOWANCE_LINES 1000
#define ALLOWANCE_LINE_S 6
#define ALLOWANCE_PER_DELIVERY 2
/* Once there is no line left there is none until so many are there again: else a flood would go on as a trickle. */
#define ALLOWANCE_AGAIN 250

/* Of one mailbox, for all of its sessions. All-zero: the stock is full. */
struct allowance {
	unsigned spent;
	bool dry;
	uint64_t dropped;
	int64_t counted_ns;
};

/* One line; false: it has to be dropped, and is counted. now_ns: CLOCK_MONOTONIC. */
bool allowance_take(struct allowance *allowance, int64_t now_ns);
/* A destination has taken a message, and that is on disk. */
void allowance_earn(struct allowance *allowance);
/* Lines that were dropped since this was last asked. */
uint64_t allowance_dropped(struct allowance *allowance);

#endif
