/* delivery.h - one delivery of a message, and what each event makes of it: attempts, next try, doubt, holding. Pure.
 * The caller has asked delivery_may_follow first. Times are wall clock seconds. */
#ifndef MAILHAUL_STATE_DELIVERY_H
#define MAILHAUL_STATE_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "state/stage.h"

#define NEXT_TRY_BY_HAND (-1)

struct delivery_row {
	int64_t target;
	enum delivery_stage status;
	int64_t code;            /* the peer's number of the last failure */
	unsigned attempts;       /* that failed for the message's own sake */
	unsigned doubts;         /* intents without outcome, before the one that is under way */
	int64_t first_failed_at; /* 0: never */
	int64_t next_try;        /* 0: at once */
	int64_t intent_at;       /* as the worker gave it */
	int64_t intent_clock;    /* the same by the most that may have passed (clock.h) */
	int64_t intent_place;    /* where its destination put mail then; 0: not known */
	int64_t held_at;         /* 0: was never held */
	unsigned held_tries;     /* automatic tries since then */
};

void delivery_intend(struct delivery_row *delivery, int64_t intent_at, int64_t intent_clock, int64_t intent_place);
void delivery_accept(struct delivery_row *delivery);
void delivery_defer(struct delivery_row *delivery, int64_t now);
/* Its destination failed, not the message: due again as soon as the destination is. */
void delivery_postpone(struct delivery_row *delivery);
void delivery_refuse(struct delivery_row *delivery, int64_t now);
/* Without an attempt of its own: its message cannot be fetched. */
void delivery_hold(struct delivery_row *delivery, int64_t now);
/* The last byte went out and no answer came: stays in doubt, after DOUBT_ROUNDS_MAX rounds held until somebody decides. */
void delivery_doubt(struct delivery_row *delivery, int64_t now);
/* The last byte never went out: as before the intent, so an older doubt is still one. */
void delivery_retract(struct delivery_row *delivery);
void delivery_retry(struct delivery_row *delivery); /* by hand: as if new */

bool delivery_is_settled(const struct delivery_row *delivery);
/* Its rounds in doubt are used up, but the last ended in a crash, not in a verdict. */
bool delivery_is_exhausted(const struct delivery_row *delivery);
bool delivery_is_due(const struct delivery_row *delivery, int64_t now);

#endif
