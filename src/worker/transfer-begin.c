#include <stdlib.h>

#include "base/clock.h"
#include "dest/dest.h"
#include "mail/message.h"
#include "source/source.h"
#include "worker/plan.h"
#include "worker/session.h"
#include "worker/transfer.h"

/* No destination is kept waiting for a source that dribbles: a message is begun when the rest of it should be here within REST_S_MAX, going by what came before,
 * and given up when it is not within BEGUN_S_MAX. RFC 5321 4.5.3.2.5 lets a server leave after 3 minutes. */
#define REST_S_MAX 20
#define BEGUN_S_MAX 60

static struct outlet *outlet_of(const struct transfer *transfer, const struct delivery *delivery)
{
	const struct session *session = transfer->session;

	return &session->outlets[session->job->targets[delivery->target].dest];
}

static double rest_s(const struct haul *haul, const struct message *message)
{
	uint64_t rest = haul->announced > message->size ? haul->announced - message->size : 0;

	return (double)(clock_monotonic_ns() - message->begun_ns) / 1e9 * (double)rest / (double)message->size;
}

/* Nothing else is under way, nor asked for: it has the destinations to itself until it is there, in whatever order the source may answer. And nothing that is
 * known of it forbids to deliver it. */
static bool may_begin(const struct transfer *transfer, const struct haul *haul, const struct message *message)
{
	const struct plan_item *item = haul->origin;
	struct error why;

	if (item->open == 0 || item->match || transfer->stopping || message->passed_on)
		return false;
	if (transfer->requested.count != 1 || !STAILQ_EMPTY(&transfer->arrived) || !STAILQ_EMPTY(&transfer->spooled) ||
		!STAILQ_EMPTY(&transfer->intended) || transfer->offered != 0)
		return false;
	return message_has_header(message) && !transfer_is_looping(message, &why) && rest_s(haul, message) <= REST_S_MAX;
}

/* What cannot be begun is delivered later, and what is wrong with it is found out then. */
static void begin_delivery(struct transfer *transfer, struct delivery *delivery)
{
	struct outlet *outlet = outlet_of(transfer, delivery);
	struct error ignored;

	if (outlet->begun != NULL || dest_begin(outlet->dest, delivery, &ignored) < 0)
		return;
	delivery->begun = true;
	outlet->begun = delivery;
}

static void begin(struct transfer *transfer, struct haul *haul, struct message *message)
{
	struct deadline patience = deadline_in_s(REST_S_MAX); /* of the source, which nobody reads meanwhile */

	message->passed_on = true;
	transfer->begun = haul;
	transfer->begun_until = deadline_in_s(BEGUN_S_MAX);
	transfer_fill_deliveries(transfer, haul, message);
	for (unsigned i = 0; i < haul->delivery_count && !deadline_passed(patience); i++)
		begin_delivery(transfer, &haul->deliveries[i]);
}

static void feed(struct transfer *transfer)
{
	const struct session *session = transfer->session;

	for (unsigned i = 0; i < session->job->destination_count; i++) {
		struct outlet *outlet = &session->outlets[i];
		struct error ignored;

		if (outlet->begun == NULL || dest_feed(outlet->dest, outlet->begun, &ignored) == 0)
			continue;
		outlet->begun->begun = false;
		outlet->begun = NULL;
	}
}

void transfer_begin(struct transfer *transfer)
{
	struct message *message;
	struct haul *haul;

	transfer->fed = false;
	if (transfer->begun != NULL && deadline_passed(transfer->begun_until))
		transfer_give_up_begun(transfer);
	if (transfer->source_lost || source_arriving(transfer->session->source, &haul, &message) == 0)
		return;
	if (transfer->begun == haul && !message->passed_on) /* it comes once more, and may be another one */
		transfer_give_up_begun(transfer);
	if (transfer->begun == NULL && may_begin(transfer, haul, message))
		begin(transfer, haul, message);
	if (transfer->begun != haul)
		return;
	feed(transfer);
	transfer->fed = true;
}

static void let_go(struct transfer *transfer)
{
	transfer->begun = NULL;
	for (unsigned i = 0; i < transfer->session->job->destination_count; i++)
		transfer->session->outlets[i].begun = NULL;
}

static void drop_deliveries(const struct transfer *transfer, struct haul *haul)
{
	for (unsigned i = 0; i < haul->delivery_count; i++) {
		dest_discard(outlet_of(transfer, &haul->deliveries[i])->dest, &haul->deliveries[i]);
		free(haul->deliveries[i].prepend);
	}
	free(haul->deliveries);
	haul->deliveries = NULL;
	haul->delivery_count = 0;
}

void transfer_give_up_begun(struct transfer *transfer)
{
	struct haul *haul = transfer->begun;

	if (haul == NULL)
		return;
	let_go(transfer);
	drop_deliveries(transfer, haul);
}

void transfer_end_begun(struct transfer *transfer, struct haul *haul)
{
	if (transfer->begun != haul)
		return;
	let_go(transfer);
	if (haul->error.kind != ERR_NONE || !haul->message->passed_on)
		drop_deliveries(transfer, haul);
}
