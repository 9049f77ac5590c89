#include "state/stage.h"

bool stage_may_follow(enum stage next, enum stage now)
{
	switch (next) {
	case STAGE_BASELINE: /* recognised after a renumbering, or listed again */
		return now == STAGE_OPEN || now == STAGE_GONE;
	case STAGE_OPEN: /* where a message begins */
		return false;
	case STAGE_INTENT:
		return now == STAGE_OPEN || now == STAGE_INTENT;
	case STAGE_DELIVERED: /* from OPEN: all its deliveries were dropped, or it was recognised as one delivered before; from the last two: listed again */
		return now == STAGE_OPEN || now == STAGE_INTENT || now == STAGE_DISPOSED || now == STAGE_GONE;
	case STAGE_DISPOSED:
		return now == STAGE_DELIVERED;
	case STAGE_GONE:
		return now >= STAGE_BASELINE && now < STAGE_GONE;
	}
	return false;
}

bool delivery_may_follow(enum delivery_stage next, enum delivery_stage now)
{
	bool settled = now == DELIVERY_ACCEPTED || now == DELIVERY_DROPPED || now == DELIVERY_DISCARDED;

	switch (next) {
	case DELIVERY_OPEN: /* the intent was taken back, or an operator wants another try */
		return now == DELIVERY_INTENT || now == DELIVERY_HELD;
	case DELIVERY_INTENT: /* from INTENT: a round in doubt, delivered again */
	case DELIVERY_HELD:
	case DELIVERY_DROPPED:
		return now >= DELIVERY_OPEN && now <= DELIVERY_HELD && !settled;
	case DELIVERY_DISCARDED:
		return now == DELIVERY_HELD;
	case DELIVERY_ACCEPTED:
		return now == DELIVERY_INTENT;
	case DELIVERY_DEFERRED: /* from OPEN: it failed while it was being prepared; what is held once stays held */
		return now == DELIVERY_OPEN || now == DELIVERY_INTENT || now == DELIVERY_DEFERRED;
	}
	return false;
}
