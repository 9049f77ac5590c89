#include "worker/transfer.h"

#include <assert.h>
#include <poll.h>

#include "channel/wait.h"
#include "dest/dest.h"
#include "mail/message.h"
#include "net/wire.h"
#include "policy/doubt.h"
#include "source/source.h"
#include "worker/plan.h"
#include "worker/session.h"

/* Asked for and not arrived: waits in TCP and costs no memory, but less than twice bandwidth x delay would be the transfer time. */
#define WINDOW_COUNT 1000
#define WINDOW_BYTES (32u * 1024 * 1024)
/* Arrived and not settled: beyond this the source has to wait. Bounds the spool file, not memory (the spool sees to that). */
#define LOADED_COUNT 1000
#define LOADED_BYTES (64u * 1024 * 1024)
/* While a group waits, the next ones may arrive as far as they stay in memory: the sooner the source has nothing more to say, the sooner it can be left. */
#define AHEAD_BYTES (4u * 1024 * 1024)
/* Disposals are sent in batches: one STORE and EXPUNGE for all of them. */
#define DISPOSAL_BATCH 64
/* Sources and destinations keep their own deadlines; this is how often they get to look at them. */
#define TICK_S 5

uint64_t transfer_usable(struct transfer *transfer, uint64_t targets)
{
	const struct job *job = transfer->session->job;

	targets &= ~transfer->stopped;
	for (unsigned i = 0; i < job->target_count; i++)
		if ((targets >> i & 1) != 0 && !outlet_ready(&transfer->session->outlets[job->targets[i].dest]))
			targets &= ~(UINT64_C(1) << i);
	return targets;
}

/* Where a delivered message is moved to was frozen with it, whatever the configuration says now. */
static const char *disposal_folder(const struct transfer *transfer, const struct plan_item *item)
{
	return item->folder != 0 ? known_folder(&transfer->plan->known, item->folder) : transfer->session->job->mailbox->after_delivery.folder;
}

int transfer_dispose(struct transfer *transfer, const struct plan_item *item, struct error *err)
{
	const char *folder = disposal_folder(transfer, item);

	if (item->dispose == DISPOSE_MOVE && folder == NULL)
		return 0; /* nobody says where to: stays owed */
	if (source_dispose(transfer->session->source, item->id, item->uid, item->dispose, folder, err) < 0)
		return -1;
	transfer->queued_disposals++;
	transfer->session->open_disposals++;
	return 0;
}

static int request_fetch(struct transfer *transfer, const struct plan_item *item, struct error *err)
{
	/* One that is only to be looked at, since it was delivered, is no suspect if the server hangs up at it: 0. */
	struct haul *haul = haul_new(item->open != 0 ? item->id : 0, item->uid, item->size, item->date);

	haul->origin = item;
	if (source_request(transfer->session->source, haul, err) < 0)
		return -1;
	haul->stage = HAUL_REQUESTED;
	transfer->requested.count++;
	transfer->requested.bytes += item->size;
	return 1;
}

/* Delivered in an earlier session; only what it asks of the source is left. */
static int settle_debt(struct transfer *transfer, const struct plan_item *item, struct error *err)
{
	if (item->dispose == DISPOSE_KEEP || item->held_back) {
		transfer->done++;
		return 0;
	}
	if (item->unsure)
		return request_fetch(transfer, item, err); /* transfer_verify looks at it */
	transfer->done++;
	return transfer_dispose(transfer, item, err);
}

static int request_item(struct transfer *transfer, struct plan_item *item, struct error *err)
{
	const struct mailbox_config *mailbox = transfer->session->job->mailbox;
	struct error why;

	if (item->doubtful != 0 && transfer_resolve(transfer, item, err) < 0)
		return -1;
	if (item->open == 0)
		return settle_debt(transfer, item, err);
	if (item->size > mailbox->max_message) {
		error_set(&why, ERR_REFUSED, SCOPE_MESSAGE, "the message has %llu bytes, more than max_message (%llu)",
			(unsigned long long)item->size, (unsigned long long)mailbox->max_message);
		return transfer_unfetched(transfer, item, &why, err);
	}
	if (transfer_usable(transfer, item->open) == 0) {
		transfer->done++; /* stays open; session->trouble has the reason */
		return 0;
	}
	return request_fetch(transfer, item, err);
}

static bool window_has_room(const struct transfer *transfer, uint64_t next_bytes)
{
	return transfer->requested.count == 0 || (transfer->requested.count < WINDOW_COUNT && transfer->requested.bytes + next_bytes <= WINDOW_BYTES);
}

/* Refills the window when it has run down to half; all requests leave in one write. */
static int top_up(struct transfer *transfer, bool *moved, struct error *err)
{
	struct plan *plan = transfer->plan;
	bool asked = false;

	if (transfer->requested.count > WINDOW_COUNT / 2 || transfer->requested.bytes > WINDOW_BYTES / 2)
		return 0;
	if (transfer->next < plan->count && session_is_over(transfer->session))
		transfer->next = plan->count;
	while (transfer->next < plan->count && window_has_room(transfer, plan->items[transfer->next].size)) {
		int result = request_item(transfer, &plan->items[transfer->next++], err);

		if (result < 0)
			return -1;
		asked = asked || result > 0;
		*moved = true;
	}
	return asked ? source_flush(transfer->session->source, err) : 0;
}

static int take_arrival(struct transfer *transfer, struct haul *haul, struct error *err)
{
	const struct plan_item *item = haul->origin;
	int result = 0;

	transfer->requested.count--;
	transfer->requested.bytes -= haul->announced;
	transfer_end_begun(transfer, haul);
	if (haul->error.kind == ERR_LOCAL) { /* our disk, not the message: nothing more can be fetched */
		*err = haul->error;
		haul_free(haul);
		return -1;
	}
	if (transfer->stopping)
		transfer_drop(transfer, haul);
	else if (item->open == 0)
		result = transfer_verify(transfer, haul, err);
	else if (haul->error.kind != ERR_NONE) {
		result = transfer_unfetched(transfer, item, &haul->error, err);
		haul_free(haul);
	} else {
		if (haul->message->size > haul->announced) /* what a server announces is no measure of what it sends */
			haul->announced = haul->message->size;
		transfer->loaded.count++;
		transfer->loaded.bytes += haul->announced;
		haul->stage = HAUL_SPOOLED;
		STAILQ_INSERT_TAIL(&transfer->arrived, haul, next);
	}
	return result;
}

static bool may_load(const struct transfer *transfer)
{
	return transfer->loaded.count < LOADED_COUNT && transfer->loaded.bytes < (transfer_group_has_room(transfer) ? LOADED_BYTES : AHEAD_BYTES);
}

static int receive(struct transfer *transfer, bool *moved, struct error *err)
{
	if (transfer->requested.count == 0 || !may_load(transfer))
		return 0;
	if (deadline_passed(transfer->look_by))
		wire_excuse(transfer->session->source->wire); /* a slow destination kept us away */
	transfer->look_by = deadline_in_s(2 * TICK_S);
	while (transfer->requested.count != 0 && may_load(transfer)) {
		struct haul *haul;
		int result = source_receive(transfer->session->source, &haul, err);

		transfer->source_idle = result == 0;
		if (result <= 0)
			return result;
		*moved = true;
		if (take_arrival(transfer, haul, err) < 0)
			return -1;
		transfer_fill_group(transfer, moved);
	}
	return 0;
}

/* Its farewell takes a round trip, in which what has arrived can be delivered. Not while it may be asked to delete something. */
static int part(struct transfer *transfer, struct error *err)
{
	if (transfer->parted || !transfer->session->last_folder || transfer->next < transfer->plan->count || transfer->requested.count != 0)
		return 0;
	transfer->parted = true;
	for (size_t i = 0; i < transfer->plan->count; i++)
		if (transfer->plan->items[i].dispose != DISPOSE_KEEP)
			return 0;
	return source_part(transfer->session->source, err);
}

static int dispose(struct transfer *transfer, bool *moved, struct error *err)
{
	struct session *session = transfer->session;
	struct haul *haul;
	uint64_t id;

	while ((haul = STAILQ_FIRST(&transfer->recorded)) != NULL && channel_is_durable(session->channel, haul->seq)) {
		const struct plan_item *item = haul->origin;
		int result = 0;

		*moved = true;
		STAILQ_REMOVE_HEAD(&transfer->recorded, next);
		if (!transfer->source_lost) {
			/* The promise rests on this line: the source is touched only after the outcome is on disk. */
			assert(haul->stage == HAUL_RECORDED && channel_is_durable(session->channel, haul->seq));
			result = transfer_dispose(transfer, item, err);
		}
		haul_free(haul);
		if (result < 0)
			return -1;
	}
	if (transfer->source_lost)
		return 0;
	if (transfer->queued_disposals >= DISPOSAL_BATCH || (transfer->queued_disposals != 0 && !*moved)) {
		transfer->queued_disposals = 0;
		*moved = true;
		if (source_flush(session->source, err) < 0)
			return -1;
	}
	while (source_disposed(session->source, &id) > 0) {
		struct record record = {.kind = REC_DISPOSED, .id = id};

		*moved = true;
		session->open_disposals--;
		if (channel_send(session->channel, &record, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

static bool has_work(const struct transfer *transfer)
{
	return transfer->next < transfer->plan->count || transfer->requested.count != 0 || !STAILQ_EMPTY(&transfer->arrived) ||
	       !STAILQ_EMPTY(&transfer->spooled) || !STAILQ_EMPTY(&transfer->intended) || transfer->offered != 0 ||
	       !STAILQ_EMPTY(&transfer->recorded) || transfer->queued_disposals != 0;
}

static void add_wire(struct wire *wire, struct pollfd *fds, unsigned *count, struct deadline *wake)
{
	*wake = deadline_min(*wake, wire_is_ready(wire) ? deadline_in_s(0) : wire_due(wire));
	if (wire_events(wire) != 0)
		fds[(*count)++] = (struct pollfd){.fd = wire_fd(wire), .events = wire_events(wire)};
}

/* The only sleep: source, destinations that owe an answer, and the channel. */
static int rest(struct transfer *transfer, struct error *err)
{
	struct session *session = transfer->session;
	struct pollfd fds[TARGETS_MAX + 1];
	struct deadline wake = deadline_in_s(TICK_S);
	unsigned count = 0;

	if (transfer->requested.count != 0 && may_load(transfer))
		add_wire(session->source->wire, fds, &count, &wake);
	for (unsigned i = 0; i < session->job->destination_count; i++) {
		const struct outlet *outlet = &session->outlets[i];

		if ((outlet->outstanding != 0 || (outlet->begun != NULL && transfer->fed)) && outlet->dest->wire != NULL)
			add_wire(outlet->dest->wire, fds, &count, &wake);
	}
	if (count == 0 && session->channel->sent != session->channel->acked) {
		struct record nudge = {.kind = REC_PROGRESS, .flags = REC_WAITING}; /* nothing else will happen before the commit */

		if (channel_send(session->channel, &nudge, NULL, 0, err) < 0)
			return -1;
	}
	return wait_io(fds, count, wake, session->channel, err);
}

static void free_queue(struct transfer *transfer, struct haul_queue *queue)
{
	struct haul *haul;

	while ((haul = STAILQ_FIRST(queue)) != NULL) {
		STAILQ_REMOVE_HEAD(queue, next);
		transfer_drop(transfer, haul);
	}
}

/* The source is lost or to be left: what it still owes us is given up, what has arrived goes on. That may end the loop, so there is no rest before. */
static void leave_source(struct transfer *transfer, bool *moved)
{
	*moved = true;
	transfer_give_up_begun(transfer);
	transfer->source_lost = true;
	transfer->next = transfer->plan->count;
	transfer->requested.count = 0;
	transfer->requested.bytes = 0;
	transfer->queued_disposals = 0;
	if (transfer->stopping) {
		free_queue(transfer, &transfer->arrived);
		free_queue(transfer, &transfer->spooled);
	}
}

/* Everything that touches the source; its failure does not end what is under way to the destinations. */
static int serve_source(struct transfer *transfer, bool *moved, struct error *err)
{
	uint64_t suspect;

	if (transfer->source_lost)
		return 0;
	if (top_up(transfer, moved, &transfer->source_error) == 0 && receive(transfer, moved, &transfer->source_error) == 0 &&
		part(transfer, &transfer->source_error) == 0)
		return 0;
	suspect = transfer->session->source->suspect;
	leave_source(transfer, moved);
	if (suspect == 0 || transfer->source_error.kind == ERR_CANCELED)
		return 0;
	return report_suspect(transfer->session, suspect, &transfer->source_error, err);
}

static int step(struct transfer *transfer, bool *moved, struct error *err)
{
	if (transfer->session->channel->stop && !transfer->stopping) {
		transfer->stopping = true;
		error_set(&transfer->source_error, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
		leave_source(transfer, moved);
	}
	if (transfer->requested.count != 0 && deadline_passed(transfer->session->give_up_at)) {
		error_set(&transfer->source_error, ERR_TEMP, SCOPE_MAILBOX,
			"server has not sent what it was asked for an hour after the session began");
		leave_source(transfer, moved);
	}
	if (serve_source(transfer, moved, err) < 0)
		return -1;
	transfer_fill_group(transfer, moved);
	transfer_begin(transfer);
	if (transfer_close_group(transfer, err) < 0 || transfer_offer(transfer, moved, err) < 0 || transfer_take_verdicts(transfer, moved, err) < 0)
		return -1;
	if (channel_flush(transfer->session->channel, err) < 0) /* a verdict that is lost with us is a delivery in doubt */
		return -1;
	if (dispose(transfer, moved, &transfer->source_error) < 0)
		leave_source(transfer, moved);
	if (transfer->session->channel->closed)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "the supervisor is gone");
	return 0;
}

static int finish_disposals(struct transfer *transfer, struct error *err)
{
	bool moved = true;

	if (transfer->source_lost)
		return 0;
	if (source_settle(transfer->session->source, err) < 0) {
		if (err->scope != SCOPE_FOLDER)
			return -1;
		/* The server refused some of them: they stay owed, and the session goes on. */
		log_say(&transfer->session->log, LEVEL_WARNING, "not_disposed", "%s", err->text);
		if (transfer->session->trouble.kind == ERR_NONE)
			transfer->session->trouble = *err;
	}
	return dispose(transfer, &moved, err);
}

static bool is_certain(const struct session *session)
{
	for (unsigned i = 0; i < session->job->destination_count; i++)
		if (!session->outlets[i].dest->ops->certain)
			return false;
	return true;
}

int transfer_run(struct plan *plan, struct session *session, struct error *err)
{
	struct transfer transfer = {.session = session, .plan = plan, .certain = is_certain(session), .doubt_max = DOUBT_MIN};
	int result = 0;

	STAILQ_INIT(&transfer.arrived);
	STAILQ_INIT(&transfer.spooled);
	STAILQ_INIT(&transfer.intended);
	STAILQ_INIT(&transfer.recorded);
	while (result == 0 && has_work(&transfer)) {
		bool moved = false;

		result = step(&transfer, &moved, err);
		if (result == 0 && !moved && rest(&transfer, err) < 0)
			result = -1;
		transfer_progress(&transfer);
	}
	if (result == 0 && !transfer.source_lost && finish_disposals(&transfer, &transfer.source_error) < 0)
		transfer.source_lost = true;
	if (result == 0 && transfer.source_lost) {
		*err = transfer.source_error;
		result = -1;
	}
	transfer_give_up_begun(&transfer);
	free_queue(&transfer, &transfer.arrived);
	free_queue(&transfer, &transfer.spooled);
	free_queue(&transfer, &transfer.intended);
	free_queue(&transfer, &transfer.recorded);
	return result;
}
