#include <string.h>

#include "dest/dest.h"
#include "mail/message.h"
#include "mail/received.h"
#include "worker/plan.h"
#include "worker/session.h"
#include "worker/transfer.h"

static void log_outcome(const struct session *session, const struct delivery *delivery)
{
	static const struct {
		const char *event;
		enum log_level level;
	} kinds[] = {
		[VERDICT_ACCEPTED] = {"hauled", LEVEL_INFO},
		[VERDICT_DEFERRED] = {"deferred", LEVEL_NOTICE},
		[VERDICT_REFUSED] = {"refused", LEVEL_INFO}, /* what becomes of it, the supervisor says */
		[VERDICT_IN_DOUBT] = {"in_doubt", LEVEL_WARNING},
		[VERDICT_RETRACTED] = {"retracted", LEVEL_DEBUG},
	};
	const struct haul *haul = delivery->haul;
	struct log_entry entry;

	if (kinds[delivery->verdict].level > log_max_level())
		return; /* nobody reads it, and there is one for each message */
	log_begin(&entry, &session->log, kinds[delivery->verdict].level, kinds[delivery->verdict].event);
	log_text(&entry, "folder", session->folder);
	log_number(&entry, "uid", haul->uid);
	log_number(&entry, "size", (int64_t)haul->message->size);
	log_text(&entry, "destination", session->job->destinations[session->job->targets[delivery->target].dest].name);
	if (delivery->recipient[0] != '\0')
		log_text(&entry, "recipient", delivery->recipient);
	log_text(&entry, "id", delivery->id);
	log_number(&entry, "message", (int64_t)haul->id);
	if (delivery->doubtful && delivery->verdict == VERDICT_ACCEPTED)
		log_text(&entry, "note", "possible duplicate: an earlier attempt has no outcome");
	log_text(&entry, "reply", delivery->verdict == VERDICT_ACCEPTED ? delivery->reply : delivery->error.text);
	log_end(&entry);
}

static void note_trouble(struct session *session, const struct delivery *delivery)
{
	switch (delivery->verdict) {
	case VERDICT_ACCEPTED:
		break;
	case VERDICT_REFUSED:
		session->held++;
		break;
	case VERDICT_DEFERRED:
	case VERDICT_IN_DOUBT:
	case VERDICT_RETRACTED:
		session->deferred++;
		if (session->trouble.kind == ERR_NONE)
			session->trouble = delivery->error;
		break;
	}
}

int transfer_settle(struct transfer *transfer, struct delivery *delivery, struct error *err)
{
	struct session *session = transfer->session;
	struct haul *haul = delivery->haul;
	const struct plan_item *item = haul->origin;
	bool accepted = delivery->verdict == VERDICT_ACCEPTED;
	const char *text = accepted ? delivery->reply : delivery->error.text;
	struct record record = {
		.kind = REC_OUTCOME,
		.flags = delivery->after_data ? REC_AFTER_DATA : 0,
		.id = haul->id,
		.index = delivery->target,
		.verdict = (uint8_t)delivery->verdict,
		.error = accepted ? ERR_NONE : (uint8_t)delivery->error.kind,
		.scope = (uint8_t)delivery->error.scope,
		.code = (uint32_t)delivery->code,
	};

	record_set_text(&record, text, strlen(text));
	if (channel_send(session->channel, &record, NULL, 0, err) < 0)
		return -1;
	haul->seq = record.seq;
	haul->disposable = haul->disposable && accepted;
	log_outcome(session, delivery);
	note_trouble(session, delivery);
	if (--haul->unsettled != 0)
		return 0;
	haul->stage = HAUL_RECORDED;
	session->hauled += haul->disposable;
	session->bytes += haul->message->size;
	transfer->done++;
	transfer->done_bytes += haul->announced;
	transfer->loaded.count--;
	transfer->loaded.bytes -= haul->announced;
	if (!haul->disposable || item->dispose == DISPOSE_KEEP) { /* nothing rests on the acknowledgement */
		haul_free(haul);
		return 0;
	}
	message_free(haul->message);
	haul->message = NULL;
	STAILQ_INSERT_TAIL(&transfer->recorded, haul, next);
	return 0;
}

int report_unfetched(struct session *session, const struct plan_item *item, const struct error *why, struct error *err)
{
	struct record record = {
		.kind = REC_UNFETCHED, .id = item->id, .error = (uint8_t)why->kind, .scope = SCOPE_MESSAGE, .code = (uint32_t)why->code};
	struct log_entry entry;

	record_set_text(&record, why->text, strlen(why->text));
	if (why->kind == ERR_REFUSED)
		session->held++;
	else
		session->unfetched++;
	if (why->kind != ERR_REFUSED && session->trouble.kind == ERR_NONE)
		session->trouble = *why;
	log_begin(&entry, &session->log, LEVEL_WARNING, why->kind == ERR_REFUSED ? "held" : "not_fetched");
	log_text(&entry, "folder", session->folder);
	log_number(&entry, "uid", item->uid);
	log_number(&entry, "size", (int64_t)item->size);
	log_number(&entry, "message", (int64_t)item->id);
	log_text(&entry, "text", why->text);
	log_end(&entry);
	return channel_send(session->channel, &record, NULL, 0, err);
}

int report_suspect(struct session *session, uint64_t id, const struct error *why, struct error *err)
{
	struct record record = {.kind = REC_UNFETCHED, .id = id, .error = (uint8_t)why->kind, .scope = SCOPE_MAILBOX, .code = (uint32_t)why->code};

	record_set_text(&record, why->text, strlen(why->text));
	log_say(&session->log, LEVEL_INFO, "broken_off", "the connection broke when message %llu was to come", (unsigned long long)id);
	return channel_send(session->channel, &record, NULL, 0, err);
}

int transfer_unfetched(struct transfer *transfer, const struct plan_item *item, const struct error *why, struct error *err)
{
	transfer->done++;
	return report_unfetched(transfer->session, item, why, err);
}

/* What is found there is recorded as accepted, what is not as never intended: the next intent is the first again, and a doubt that it leaves behind its own. */
static int report_resolved(struct session *session, const struct plan_item *item, unsigned target, bool delivered, struct error *err)
{
	static const char found[] = "found after an interrupted session";
	struct record record = {.kind = REC_OUTCOME, .id = item->id, .index = target};

	record.verdict = delivered ? VERDICT_ACCEPTED : VERDICT_RETRACTED;
	if (delivered)
		record_set_text(&record, found, strlen(found));
	return channel_send(session->channel, &record, NULL, 0, err);
}

/* Asks the destinations that can tell. What is found there need not be fetched again; what is not is delivered anew. */
int transfer_resolve(struct transfer *transfer, struct plan_item *item, struct error *err)
{
	struct session *session = transfer->session;
	const struct job *job = session->job;

	for (unsigned i = 0; i < job->target_count; i++) {
		struct outlet *outlet = &session->outlets[job->targets[i].dest];
		struct delivery delivery = {
			.target = i, .recipient = job->targets[i].recipient, .intent_at = item->intent_at, .intent_age_s = item->intent_age_s};
		enum resolution resolution = RESOLVED_UNKNOWN;
		struct error lost;

		if ((item->doubtful >> i & 1) == 0 || !outlet_ready(outlet))
			continue;
		received_make_id(delivery.id, session->own_mark, job->installation, job->mailbox->name, session->folder, item->origin,
			outlet->config->name, delivery.recipient);
		if (dest_resolve(outlet->dest, &delivery, item->hash, &resolution, &lost) < 0) {
			outlet_lost(outlet, &lost);
			continue;
		}
		if (resolution == RESOLVED_UNKNOWN)
			continue;
		item->doubtful &= ~(UINT64_C(1) << i);
		if (resolution == RESOLVED_DELIVERED)
			item->open &= ~(UINT64_C(1) << i);
		if (report_resolved(session, item, i, resolution == RESOLVED_DELIVERED, err) < 0)
			return -1;
	}
	/* What is left to do with it rests on these outcomes, so they are made durable first; this happens once per message and crash. */
	return item->open == 0 ? channel_settle(session->channel, err) : 0;
}

/* At most ten a second: people watch it, nobody waits for it. */
void transfer_progress(struct transfer *transfer)
{
	static int64_t last_ns;
	int64_t now = clock_monotonic_ns();
	struct record record = {
		.kind = REC_PROGRESS,
		.id = transfer->done,
		.count = (uint32_t)transfer->plan->count,
		.size = transfer->done_bytes,
		.when = (int64_t)transfer->plan->fetch_bytes,
	};

	if (now - last_ns < 100000000 && transfer->done != transfer->plan->count)
		return;
	last_ns = now;
	record_send(transfer->session->channel->fd, &record, NULL, 0); /* may get lost when the channel is full */
}
