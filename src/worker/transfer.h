/* transfer.h - carries out a plan: fetches in a window, delivers, records, disposes, all at once and in one poll.
 * Each message goes through requested -> spooled -> intended -> settled -> recorded -> disposed; no step is taken before the one that it rests on is
 * acknowledged: no delivery without a durable intent, no disposal without durable outcomes. */
#ifndef MAILHAUL_WORKER_TRANSFER_H
#define MAILHAUL_WORKER_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "mail/haul.h"

struct message;
struct plan;
struct plan_item;
struct session;

/* -1: the source is lost or we were told to leave; everything acknowledged is safe, everything else stays open. A lost destination or a bad message is no
 * failure of the transfer: session->trouble tells. */
int transfer_run(struct plan *plan, struct session *session, struct error *err);

/* -- what its five files share -- */

struct transfer {
	struct session *session;
	struct plan *plan;
	size_t next; /* item of the plan */
	size_t done; /* items that came to an end, for the progress line */
	uint64_t done_bytes;
	struct {
		unsigned count;
		uint64_t bytes;     /* as announced */
	} requested, group, loaded; /* asked for; spooled but without intent; all that holds a message */
	struct haul_queue arrived;  /* for the next group */
	struct haul_queue spooled;  /* the group: deliveries prepared, intents not sent */
	struct haul_queue intended; /* waiting for the acknowledgement of their intent */
	unsigned intended_count;    /* hauls whose intent was sent and that were not offered everywhere: in doubt if we are killed now */
	bool certain;               /* the destinations can tell after a crash what they have */
	int64_t intended_ns;        /* monotonic clock: when the first of those that wait for it was intended, or the last one ceased to */
	unsigned doubt_max;         /* hauls that may be intended at once, where they cannot */
	unsigned offered;           /* deliveries with a durable intent and without verdict, most of them in the queues of the outlets */
	struct haul_queue recorded; /* all outcomes sent, to be disposed of; waiting for their acknowledgement */
	unsigned queued_disposals;
	uint64_t stopped;   /* targets that nothing more is offered to: their recipient is refused whatever the message */
	struct haul *begun; /* its message is passed on while it arrives; the source has it; NULL: none */
	struct deadline begun_until;
	bool fed; /* in this step some of it was passed on, if there was some: more will be, when a destination takes it */
	bool source_lost, stopping, source_idle, parted;
	struct deadline look_by; /* when the source would have been looked at again, had nothing else been in the way */
	struct error source_error;
};

/* transfer-load.c: from the arrival of a message to its durable intent. */
bool transfer_group_has_room(const struct transfer *transfer);
void transfer_fill_group(struct transfer *transfer, bool *moved);
int transfer_close_group(struct transfer *transfer, struct error *err);
void transfer_drop(struct transfer *transfer, struct haul *haul); /* as if it had never been asked for */
/* Queues what is to become of a delivered message at the source. */
int transfer_dispose(struct transfer *transfer, const struct plan_item *item, struct error *err);
/* An owed DELE needs the very message that was delivered. Frees the haul. */
int transfer_verify(struct transfer *transfer, struct haul *haul, struct error *err);
/* One for each target that is left, of a message of which at least the header is there. */
void transfer_fill_deliveries(struct transfer *transfer, struct haul *haul, const struct message *message);
bool transfer_is_looping(const struct message *message, struct error *why);
/* transfer-begin.c: what is arriving, if it is large, goes on to its destinations as it comes; but for the end of it, which has to wait for its intent. */
void transfer_begin(struct transfer *transfer);
/* The source has handed this one over, or its failure: what was begun of it goes on, or as if it had never been. */
void transfer_end_begun(struct transfer *transfer, struct haul *haul);
void transfer_give_up_begun(struct transfer *transfer);
/* transfer-offer.c: from the durable intent to the verdict. A destination that has no room waits for its answers, not we. */
int transfer_offer(struct transfer *transfer, bool *moved, struct error *err);
int transfer_take_verdicts(struct transfer *transfer, bool *moved, struct error *err);
/* transfer-settle.c: what came of it. */
int transfer_settle(struct transfer *transfer, struct delivery *delivery, struct error *err);
int report_unfetched(struct session *session, const struct plan_item *item, const struct error *why, struct error *err);
int transfer_unfetched(struct transfer *transfer, const struct plan_item *item, const struct error *why, struct error *err);
/* The source was lost while this message was to come: once may be the network's doing, twice is the message's (apply_unfetched). */
int report_suspect(struct session *session, uint64_t id, const struct error *why, struct error *err);
int transfer_resolve(struct transfer *transfer, struct plan_item *item, struct error *err);
void transfer_progress(struct transfer *transfer);
/* The targets among these that can be delivered to now; opens their destinations. */
uint64_t transfer_usable(struct transfer *transfer, uint64_t targets);

#endif
