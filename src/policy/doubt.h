/* doubt.h - how many messages may be intended at once for a destination that cannot tell after a crash what it has: all of them would be in doubt. The next
 * half of them is intended while the last one is delivered. Pure. */
#ifndef MAILHAUL_POLICY_DOUBT_H
#define MAILHAUL_POLICY_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

#define DOUBT_MIN 32
#define DOUBT_MAX 96 /* where a disk keeps the destination waiting */

/* How many from now on. commit_ns: from an intent to its acknowledgement. kept_waiting: when that came, all that was intended before had been delivered. */
unsigned doubt_limit(unsigned limit, int64_t commit_ns, bool kept_waiting);

#endif
