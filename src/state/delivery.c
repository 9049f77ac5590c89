#include "state/delivery.h"

#include "policy/policy.h"

void delivery_intend(struct delivery_row *delivery, int64_t intent_at, int64_t intent_clock, int64_t intent_place)
{
	if (delivery->status == DELIVERY_INTENT)
		delivery->doubts++;
	delivery->status = DELIVERY_INTENT;
	delivery->intent_at = intent_at;
	delivery->intent_clock = intent_clock;
	delivery->intent_place = intent_place;
	delivery->next_try = 0;
}

void delivery_accept(struct delivery_row *delivery)
{
	delivery->status = DELIVERY_ACCEPTED;
	delivery->next_try = 0;
}

void delivery_defer(struct delivery_row *delivery, int64_t now)
{
	delivery->attempts++;
	if (delivery->first_failed_at == 0)
		delivery->first_failed_at = now;
	if (delivery->held_at != 0 || now - delivery->first_failed_at > DEFERRED_MAX_S) {
		delivery_hold(delivery, now);
	} else {
		delivery->status = DELIVERY_DEFERRED;
		delivery->next_try = now + backoff_s(BACKOFF_MESSAGE, delivery->attempts);
	}
}

void delivery_postpone(struct delivery_row *delivery)
{
	delivery->status = delivery->held_at != 0 ? DELIVERY_HELD : DELIVERY_DEFERRED;
	delivery->next_try = 0;
}

void delivery_refuse(struct delivery_row *delivery, int64_t now)
{
	delivery->attempts++;
	delivery_hold(delivery, now);
}

void delivery_hold(struct delivery_row *delivery, int64_t now)
{
	if (delivery->held_at == 0)
		delivery->held_at = now;
	else
		delivery->held_tries++;
	delivery->status = DELIVERY_HELD;
	delivery->next_try = delivery->held_tries < HELD_TRIES_MAX ? now + backoff_s(BACKOFF_HELD, delivery->held_tries + 1) : NEXT_TRY_BY_HAND;
}

void delivery_doubt(struct delivery_row *delivery, int64_t now)
{
	delivery->attempts++;
	delivery->next_try = 0;
	if (delivery->doubts + 1 < DOUBT_ROUNDS_MAX)
		return;
	delivery->status = DELIVERY_HELD;
	if (delivery->held_at == 0)
		delivery->held_at = now;
	/* Not by the hold clock: each try may be one more copy. */
	delivery->next_try = NEXT_TRY_BY_HAND;
}

void delivery_retract(struct delivery_row *delivery)
{
	delivery->next_try = 0;
	if (delivery->doubts != 0)
		delivery->doubts--;
	else
		delivery->status = delivery->held_at != 0 ? DELIVERY_HELD : DELIVERY_OPEN;
}

void delivery_retry(struct delivery_row *delivery)
{
	*delivery = (struct delivery_row){.target = delivery->target, .status = DELIVERY_OPEN};
}

bool delivery_is_settled(const struct delivery_row *delivery)
{
	return delivery->status == DELIVERY_ACCEPTED || delivery->status == DELIVERY_DROPPED || delivery->status == DELIVERY_DISCARDED;
}

bool delivery_is_exhausted(const struct delivery_row *delivery)
{
	return delivery->status == DELIVERY_INTENT && delivery->doubts + 1 >= DOUBT_ROUNDS_MAX;
}

bool delivery_is_due(const struct delivery_row *delivery, int64_t now)
{
	switch (delivery->status) {
	case DELIVERY_OPEN:
	case DELIVERY_INTENT:
		return true;
	case DELIVERY_DEFERRED:
		return backoff_is_over(BACKOFF_MESSAGE, delivery->next_try, now);
	case DELIVERY_HELD:
		return delivery->next_try != NEXT_TRY_BY_HAND && backoff_is_over(BACKOFF_HELD, delivery->next_try, now);
	case DELIVERY_ACCEPTED:
	case DELIVERY_DROPPED:
	case DELIVERY_DISCARDED:
		break;
	}
	return false;
}
