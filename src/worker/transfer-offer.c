#include "base/clock.h"
#include "channel/job.h"
#include "dest/dest.h"
#include "policy/doubt.h"
#include "worker/session.h"
#include "worker/transfer.h"

static struct outlet *outlet_of(const struct transfer *transfer, const struct delivery *delivery)
{
	const struct session *session = transfer->session;

	return &session->outlets[session->job->targets[delivery->target].dest];
}

/* -- offering -- */

static void judge_disk(struct transfer *transfer)
{
	int64_t now = clock_monotonic_ns();
	bool kept_waiting = transfer->offered == 0 && transfer->session->hauled != 0;

	transfer->doubt_max = doubt_limit(transfer->doubt_max, now - transfer->intended_ns, kept_waiting);
	transfer->intended_ns = now;
}

/* Everything whose intent is on disk joins the queue of its destination, where one that is slow holds up no other. */
static void release(struct transfer *transfer, bool *moved)
{
	struct haul *haul = STAILQ_FIRST(&transfer->intended);

	if (haul == NULL || !channel_is_durable(transfer->session->channel, haul->seq))
		return;
	judge_disk(transfer);
	while ((haul = STAILQ_FIRST(&transfer->intended)) != NULL && channel_is_durable(transfer->session->channel, haul->seq)) {
		*moved = true;
		STAILQ_REMOVE_HEAD(&transfer->intended, next);
		haul->unoffered = haul->delivery_count;
		for (unsigned i = 0; i < haul->delivery_count; i++) {
			STAILQ_INSERT_TAIL(&outlet_of(transfer, &haul->deliveries[i])->ready, &haul->deliveries[i], next);
			transfer->offered++;
		}
	}
}

static int give_up(struct transfer *transfer, struct outlet *outlet, struct delivery *delivery, const struct error *why, struct error *err)
{
	dest_discard(outlet->dest, delivery);
	delivery->verdict = VERDICT_RETRACTED;
	delivery->error = *why;
	transfer->offered--;
	return transfer_settle(transfer, delivery, err);
}

static void take_off_intended(struct transfer *transfer, const struct delivery *delivery)
{
	if (!delivery->retracted && --delivery->haul->unoffered == 0)
		transfer->intended_count--;
}

static int offer_delivery(struct transfer *transfer, struct outlet *outlet, struct delivery *delivery, struct error *err)
{
	struct error lost = {0};

	take_off_intended(transfer, delivery);
	if ((transfer->stopped >> delivery->target & 1) != 0)
		return give_up(transfer, outlet, delivery, &transfer->session->trouble, err);
	if (!outlet_ready(outlet))
		return give_up(transfer, outlet, delivery, &outlet->error, err);
	outlet->outstanding++;
	if (dest_offer(outlet->dest, delivery, STAILQ_FIRST(&outlet->ready), &lost) < 0)
		outlet_lost(outlet, &lost);
	return 0;
}

static int serve(struct transfer *transfer, struct outlet *outlet, bool *moved, struct error *err)
{
	struct error lost = {0};
	struct delivery *delivery;

	while ((delivery = STAILQ_FIRST(&outlet->ready)) != NULL && (!outlet->open || dest_has_room(outlet->dest))) {
		*moved = true;
		STAILQ_REMOVE_HEAD(&outlet->ready, next);
		if (offer_delivery(transfer, outlet, delivery, err) < 0)
			return -1;
	}
	if (outlet->outstanding != 0 && dest_flush(outlet->dest, &lost) < 0)
		outlet_lost(outlet, &lost);
	return 0;
}

/* We are to leave: what nobody has seen anything of is as if never intended. */
static int put_back(struct transfer *transfer, struct outlet *outlet, bool *moved, struct error *err)
{
	struct delivery *delivery;
	struct error stopped;

	error_set(&stopped, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	while ((delivery = STAILQ_FIRST(&outlet->ready)) != NULL) {
		*moved = true;
		STAILQ_REMOVE_HEAD(&outlet->ready, next);
		take_off_intended(transfer, delivery);
		if (give_up(transfer, outlet, delivery, &stopped, err) < 0)
			return -1;
	}
	return 0;
}

/* At once: the same goes for what nobody has seen all of, so that nothing is in doubt but what waits for its answer. */
static int abandon(struct transfer *transfer, struct outlet *outlet, bool *moved, struct error *err)
{
	if (put_back(transfer, outlet, moved, err) < 0)
		return -1;
	if (outlet->outstanding != 0)
		dest_cut(outlet->dest);
	return 0;
}

/* After the message in hand. A group that is prepared already takes no time, and is written. */
static int leave(struct transfer *transfer, struct outlet *outlet, bool *moved, struct error *err)
{
	if (outlet->dest->ops->prepare == NULL && put_back(transfer, outlet, moved, err) < 0)
		return -1;
	return serve(transfer, outlet, moved, err);
}

int transfer_offer(struct transfer *transfer, bool *moved, struct error *err)
{
	struct session *session = transfer->session;
	int (*go_on)(struct transfer *, struct outlet *, bool *, struct error *) = session->channel->hurry ? abandon
										   : transfer->stopping    ? leave
													   : serve;

	release(transfer, moved);
	for (unsigned i = 0; i < session->job->destination_count; i++)
		if (go_on(transfer, &session->outlets[i], moved, err) < 0)
			return -1;
	return 0;
}

/* -- verdicts -- */

/* Three refusals in a row, a full disk: nothing more is offered there, and nothing more is fetched for it. A recipient that is refused whatever the message
 * stops alone, as long as its destination takes mail for others. */
static void stop_target(struct transfer *transfer, struct outlet *outlet, const struct delivery *delivery)
{
	const struct job *job = transfer->session->job;
	uint64_t others = 0;

	transfer->stopped |= UINT64_C(1) << delivery->target;
	for (unsigned i = 0; i < job->target_count; i++)
		if (job->targets[i].dest == job->targets[delivery->target].dest)
			others |= UINT64_C(1) << i;
	others &= ~transfer->stopped;
	if (delivery->error.kind == ERR_LOCAL || others == 0)
		outlet_stop(outlet, &delivery->error);
	else if (transfer->session->trouble.kind == ERR_NONE || transfer->session->trouble.scope == SCOPE_MESSAGE)
		transfer->session->trouble = delivery->error;
}

static int settle(struct transfer *transfer, struct outlet *outlet, struct delivery *delivery, struct error *err)
{
	outlet->accepted += delivery->verdict == VERDICT_ACCEPTED;
	transfer->offered--;
	if (delivery->verdict == VERDICT_DEFERRED && delivery->error.scope == SCOPE_DESTINATION)
		stop_target(transfer, outlet, delivery);
	return transfer_settle(transfer, delivery, err);
}

/* Its intent still stands, and its last byte never left: over a new connection, or alone, it may do better. What was prepared before is gone, though. */
static bool may_return(const struct transfer *transfer, const struct outlet *outlet, const struct delivery *delivery)
{
	return !delivery->retracted && !outlet->down && !transfer->stopping && outlet->dest->ops->prepare == NULL;
}

static int take_back(struct transfer *transfer, struct outlet *outlet, struct delivery_queue *retracted, struct error *err)
{
	struct delivery *delivery;

	while ((delivery = STAILQ_FIRST(retracted)) != NULL) {
		STAILQ_REMOVE_HEAD(retracted, next);
		if (may_return(transfer, outlet, delivery)) {
			delivery->retracted = true;
			delivery->verdict = 0;
			delivery->code = 0;
			delivery->error = (struct error){0};
			STAILQ_INSERT_TAIL(&outlet->ready, delivery, next);
		} else if (settle(transfer, outlet, delivery, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int take_verdicts_of(struct transfer *transfer, struct outlet *outlet, bool *moved, struct error *err)
{
	struct delivery_queue retracted = STAILQ_HEAD_INITIALIZER(retracted);
	bool more = outlet->outstanding != 0, was_lost = false;

	while (more) {
		struct delivery *delivery;
		struct error lost = {0};
		int result = dest_verdicts(outlet->dest, &delivery, &lost);

		if (result < 0 && !was_lost) {
			outlet_lost(outlet, &lost);
			was_lost = true;
			continue; /* those that were offered still come, in doubt or retracted */
		}
		if (result <= 0)
			break;
		*moved = true;
		outlet->outstanding--;
		/* Behind a delivery that came to nothing may be the news that the destination is lost. */
		more = outlet->outstanding != 0 || delivery->verdict == VERDICT_IN_DOUBT || delivery->verdict == VERDICT_RETRACTED;
		if (delivery->verdict == VERDICT_RETRACTED)
			STAILQ_INSERT_TAIL(&retracted, delivery, next);
		else if (settle(transfer, outlet, delivery, err) < 0)
			return -1;
	}
	return take_back(transfer, outlet, &retracted, err);
}

int transfer_take_verdicts(struct transfer *transfer, bool *moved, struct error *err)
{
	struct session *session = transfer->session;

	for (unsigned i = 0; i < session->job->destination_count; i++)
		if (take_verdicts_of(transfer, &session->outlets[i], moved, err) < 0)
			return -1;
	return 0;
}
