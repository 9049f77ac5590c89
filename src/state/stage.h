/* stage.h - the stages of a message and of a delivery, and which may follow which. Pure. The one place that knows the order of steps. */
#ifndef MAILHAUL_STATE_STAGE_H
#define MAILHAUL_STATE_STAGE_H

#include <stdbool.h>

/* Of a message: only forward, but for one that was gone and is listed again, one that a renumbering brought back and that turns out to be of the
 * baseline, and one that the operator wants again (refetch.c). */
enum stage { STAGE_BASELINE = 1, STAGE_OPEN, STAGE_INTENT, STAGE_DELIVERED, STAGE_DISPOSED, STAGE_GONE };
/* Of one delivery of it. In doubt is DELIVERY_INTENT of a session that is over. Both last ones were never made: DROPPED counts for nothing, DISCARDED as
 * if it had been made, since the operator's rule on refusals says so. */
enum delivery_stage { DELIVERY_OPEN = 1, DELIVERY_INTENT, DELIVERY_ACCEPTED, DELIVERY_DEFERRED, DELIVERY_HELD, DELIVERY_DROPPED, DELIVERY_DISCARDED };

bool stage_may_follow(enum stage next, enum stage now);
bool delivery_may_follow(enum delivery_stage next, enum delivery_stage now);

#endif
