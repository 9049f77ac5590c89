#include "worker/recognize.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "channel/wait.h"
#include "mail/message.h"
#include "net/wire.h"
#include "source/source.h"
#include "worker/plan.h"
#include "worker/session.h"
#include "worker/transfer.h"

/* Asked for and not arrived. A header is some KiB; of whole messages no more than transfer.c asks for. */
#define WINDOW_COUNT 500
#define WINDOW_BYTES (8u * 1024 * 1024)
#define TICK_S 5

/* One pass over the plan: all that are to be known by their headers, or all that are to be known by their bytes. */
struct pass {
	struct session *session;
	struct plan *plan;
	enum recognition by;
	size_t next; /* item of the plan */
	unsigned requested;
	uint64_t requested_bytes;
};

static int tell(struct pass *pass, const struct plan_item *item, const struct message *message, struct error *err)
{
	struct record record = {.kind = REC_RECOGNIZE, .id = item->id, .flags = pass->by == RECOGNITION_BY_HEADER ? REC_HEADER : 0};

	/* A header that could not be had says nothing; the whole message may still come. */
	if (message != NULL) {
		record.has_trace = message->has_trace;
		memcpy(record.hash, message->hash, sizeof(record.hash));
		memcpy(record.trace, message->trace, sizeof(record.trace));
	}
	return channel_send(pass->session->channel, &record, NULL, 0, err);
}

static int take(struct pass *pass, struct haul *haul, struct error *err)
{
	const struct plan_item *item = haul->origin;

	pass->requested--;
	pass->requested_bytes -= haul->announced;
	if (haul->error.kind == ERR_LOCAL) { /* our disk, not the message */
		*err = haul->error;
		return -1;
	}
	if (haul->error.kind != ERR_NONE && pass->by == RECOGNITION_BY_BYTES)
		return report_unfetched(pass->session, item, &haul->error, err);
	return tell(pass, item, haul->message, err);
}

static int receive(struct pass *pass, bool *moved, struct error *err)
{
	while (pass->requested != 0) {
		struct haul *haul;
		int result = source_receive(pass->session->source, &haul, err);

		if (result <= 0)
			return result;
		*moved = true;
		result = take(pass, haul, err);
		haul_free(haul);
		if (result < 0)
			return -1;
	}
	return 0;
}

/* 1: asked for. 0: there is nothing to be asked. */
static int request(struct pass *pass, const struct plan_item *item, struct error *err)
{
	bool header = pass->by == RECOGNITION_BY_HEADER;
	struct haul *haul;

	if (item->recognition != pass->by)
		return 0;
	haul = haul_new(item->id, item->uid, header ? 0 : item->size, item->date);
	haul->header_only = header;
	haul->origin = item;
	if (source_request(pass->session->source, haul, err) < 0) {
		haul_free(haul);
		return -1;
	}
	pass->requested++;
	pass->requested_bytes += haul->announced;
	return 1;
}

static int top_up(struct pass *pass, bool *moved, struct error *err)
{
	bool asked = false;

	if (pass->requested > WINDOW_COUNT / 2 || pass->requested_bytes > WINDOW_BYTES / 2)
		return 0;
	while (pass->next < pass->plan->count && pass->requested < WINDOW_COUNT && pass->requested_bytes < WINDOW_BYTES) {
		int result = request(pass, &pass->plan->items[pass->next++], err);

		if (result < 0)
			return -1;
		asked = asked || result > 0;
		*moved = true;
	}
	return asked ? source_flush(pass->session->source, err) : 0;
}

static int rest(struct pass *pass, struct error *err)
{
	struct wire *wire = pass->session->source->wire;
	struct pollfd input = {.fd = wire_fd(wire), .events = wire_events(wire)};
	struct deadline wake = deadline_min(deadline_in_s(wire_is_ready(wire) ? 0 : TICK_S), wire_due(wire));

	return wait_io(&input, 1, wake, pass->session->channel, err) < 0 ? -1 : 0;
}

/* A server that hangs up at one message each time must not keep us from knowing the others. */
static int leave(struct pass *pass, const struct error *why)
{
	uint64_t suspect = pass->session->source->suspect;

	if (suspect == 0 || why->kind == ERR_CANCELED || report_suspect(pass->session, suspect, why, NULL) < 0)
		return -1;
	(void)channel_settle(pass->session->channel, NULL);
	return -1;
}

static int run_pass(struct plan *plan, struct session *session, enum recognition by, struct error *err)
{
	struct pass pass = {.session = session, .plan = plan, .by = by};

	while (pass.next < plan->count || pass.requested != 0) {
		bool moved = false;

		if (session->channel->stop)
			return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
		if (top_up(&pass, &moved, err) < 0 || receive(&pass, &moved, err) < 0)
			return leave(&pass, err);
		if (!moved && rest(&pass, err) < 0)
			return -1;
	}
	/* What the supervisor makes of it decides about the next step. */
	return channel_settle(session->channel, err) < 0 ? -1 : plan_refresh(plan, session, err);
}

static int judge(struct plan *plan, struct session *session, struct error *err)
{
	struct record question = {.kind = REC_JUDGE, .index = plan->folder_index}, answer;

	return channel_call(session->channel, &question, NULL, 0, REC_JUDGED, &answer, NULL, 0, err);
}

int recognize_run(struct plan *plan, struct session *session, struct error *err)
{
	size_t asked = plan->questions;

	if (asked == 0)
		return 0;
	if (run_pass(plan, session, RECOGNITION_BY_HEADER, err) < 0 || run_pass(plan, session, RECOGNITION_BY_BYTES, err) < 0 ||
		judge(plan, session, err) < 0)
		return -1;
	plan_drop_questions(plan);
	log_say(&session->log, LEVEL_NOTICE, "recognized",
		"%s was renumbered by the server: %zu messages were compared with those from before, %zu are to be hauled",
		session->folder != NULL ? session->folder : "the mailbox", asked, plan->fetch_count);
	return 0;
}
