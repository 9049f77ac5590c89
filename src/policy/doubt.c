#include "policy/doubt.h"

#define SLOW_COMMIT_NS 3000000 /* a disk in order takes one or two milliseconds */
#define STEP 32

/* A destination that is done with one half before a slow disk is with the other waits for the disk each time; so more share a commit. That puts more in doubt,
 * and is done as far, and as long, as it is seen to be needed. */
unsigned doubt_limit(unsigned limit, int64_t commit_ns, bool kept_waiting)
{
	if (commit_ns <= SLOW_COMMIT_NS)
		return DOUBT_MIN;
	return kept_waiting && limit + STEP <= DOUBT_MAX ? limit + STEP : limit;
}
