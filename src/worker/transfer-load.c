#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "dest/dest.h"
#include "mail/envelope.h"
#include "mail/message.h"
#include "mail/received.h"
#include "worker/plan.h"
#include "worker/session.h"
#include "worker/transfer.h"

/* Messages that share their syncs and their commit, where the destinations can tell after a crash what they have; the next group is under way while one
 * waits for its commit. Elsewhere, see doubt.h. */
#define GROUP_CERTAIN 64
#define GROUP_BYTES (8u * 1024 * 1024)
/* RFC 5321 6.3: a mail loop is assumed at 100; our own mark three times is one for certain. */
#define RECEIVED_MAX 100
#define OWN_MARKS_MAX 3

void transfer_drop(struct transfer *transfer, struct haul *haul)
{
	const struct job *job = transfer->session->job;

	for (unsigned i = 0; i < haul->delivery_count; i++)
		if (haul->deliveries[i].verdict == 0)
			dest_discard(transfer->session->outlets[job->targets[haul->deliveries[i].target].dest].dest, &haul->deliveries[i]);
	if (haul->stage >= HAUL_SPOOLED && haul->message != NULL) {
		transfer->loaded.count--;
		transfer->loaded.bytes -= haul->announced;
	}
	haul_free(haul);
}

static const char *protocol_name(const struct mailbox_config *mailbox)
{
	bool tls = mailbox->server.endpoint.tls != TLS_NONE;

	if (mailbox->protocol == PROTOCOL_IMAP)
		return tls ? "IMAPS" : "IMAP";
	return tls ? "POP3S" : "POP3";
}

static void write_headers(const struct session *session, struct delivery *delivery, const struct dest_config *dest)
{
	bool local = dest->kind == DEST_MAILDIR;
	const struct mailbox_config *mailbox = session->job->mailbox;
	struct received received = {
		.source_host = mailbox->server.endpoint.host,
		.protocol = protocol_name(mailbox),
		.host = session->job->host,
		.id = delivery->id,
		.mailbox = mailbox->name,
		.folder = session->folder,
		.for_recipient = delivery->recipient,
		.sender = local ? delivery->sender : NULL,
		.recipient = local ? mailbox->server.user : NULL,
		.when = clock_wall_s(),
	};
	struct str out = {0};

	received_write(&out, &received);
	delivery->prepend = out.data;
	delivery->prepend_len = out.len;
}

static void fill_delivery(struct transfer *transfer, struct haul *haul, const struct message *message, struct delivery *delivery, unsigned target)
{
	const struct session *session = transfer->session;
	const struct job *job = session->job;
	const struct plan_item *item = haul->origin;
	const struct outlet *outlet = &session->outlets[job->targets[target].dest];

	*delivery = (struct delivery){
		.haul = haul,
		.message = message,
		.target = target,
		.recipient = job->targets[target].recipient,
		.sender = envelope_sender(job->mailbox, outlet->config, message),
		.doubtful = (item->doubtful >> target & 1) != 0,
	};
	delivery->needs_smtputf8 = envelope_needs_smtputf8(delivery->sender, delivery->recipient, message);
	received_make_id(delivery->id, session->own_mark, job->installation, job->mailbox->name, session->folder, item->origin, outlet->config->name,
		delivery->recipient);
	write_headers(session, delivery, outlet->config);
}

void transfer_fill_deliveries(struct transfer *transfer, struct haul *haul, const struct message *message)
{
	const struct job *job = transfer->session->job;
	const struct plan_item *item = haul->origin;
	uint64_t usable = transfer_usable(transfer, item->open);

	haul->deliveries = xcalloc(job->target_count, sizeof(*haul->deliveries));
	for (unsigned i = 0; i < job->target_count; i++)
		if ((usable >> i & 1) != 0)
			fill_delivery(transfer, haul, message, &haul->deliveries[haul->delivery_count++], i);
}

/* Writes it where it can still vanish. False: its destination is lost. */
static bool prepare_delivery(struct transfer *transfer, struct delivery *delivery)
{
	struct session *session = transfer->session;
	struct outlet *outlet = &session->outlets[session->job->targets[delivery->target].dest];
	struct error lost = {0};

	if (dest_prepare(outlet->dest, delivery, &lost) == 0) {
		outlet->unsynced = true;
		return true;
	}
	outlet_lost(outlet, &lost);
	if (session->trouble.kind == ERR_NONE)
		session->trouble = lost;
	free(delivery->prepend);
	return false;
}

bool transfer_is_looping(const struct message *message, struct error *why)
{
	if (message->own_marks >= OWN_MARKS_MAX)
		error_set(why, ERR_REFUSED, SCOPE_MESSAGE, "the message has been through this mailhaul %u times: a mail loop", message->own_marks);
	else if (message->received_count > RECEIVED_MAX)
		error_set(why, ERR_REFUSED, SCOPE_MESSAGE, "the message has %u Received fields: a mail loop", message->received_count);
	else
		return false;
	return true;
}

/* Was it delivered before the server renumbered the folder, or under a UIDL that is in use again? Then it is credited, not delivered; and while that cannot be told, it is left alone. */
static bool is_old_acquaintance(struct transfer *transfer, struct haul *haul)
{
	struct session *session = transfer->session;
	struct record request = {.kind = REC_MATCH, .index = transfer->plan->folder_index, .id = haul->id, .has_trace = haul->message->has_trace},
		      answer;
	struct error problem;

	memcpy(request.hash, haul->message->hash, sizeof(request.hash));
	memcpy(request.trace, haul->message->trace, sizeof(request.trace));
	if (channel_call(session->channel, &request, NULL, 0, REC_MATCHED, &answer, NULL, 0, &problem) < 0) {
		if (session->trouble.kind == ERR_NONE)
			session->trouble = problem;
		return true;
	}
	if (answer.id == 0)
		return false;
	log_say(&session->log, LEVEL_INFO, "recognized", "message %llu is known from before; what is left to do with it, the next session does",
		(unsigned long long)haul->id);
	return true;
}

/* The same bytes, or what the state calls the same. */
static int ask_if_same(struct transfer *transfer, const struct haul *haul, bool *ret_same, struct error *err)
{
	const struct plan_item *item = haul->origin;
	struct record request = {.kind = REC_VERIFY, .index = transfer->plan->folder_index, .id = item->id, .has_trace = haul->message->has_trace},
		      answer;

	*ret_same = memcmp(item->hash, haul->message->hash, sizeof(haul->message->hash)) == 0;
	if (*ret_same)
		return 0;
	memcpy(request.hash, haul->message->hash, sizeof(request.hash));
	memcpy(request.trace, haul->message->trace, sizeof(request.trace));
	if (channel_call(transfer->session->channel, &request, NULL, 0, REC_MATCHED, &answer, NULL, 0, err) < 0)
		return -1;
	*ret_same = answer.id != 0;
	return 0;
}

int transfer_verify(struct transfer *transfer, struct haul *haul, struct error *err)
{
	struct session *session = transfer->session;
	const struct plan_item *item = haul->origin;
	bool same = false;
	int result = 0;

	transfer->done++;
	if (haul->error.kind == ERR_NONE) {
		result = ask_if_same(transfer, haul, &same, err);
		if (result == 0 && !same)
			log_say(&session->log, LEVEL_NOTICE, "reused",
				"the server shows another message in the place of message %llu, which was delivered; the next session hauls it",
				(unsigned long long)item->id);
	} else if (session->trouble.kind == ERR_NONE) {
		session->trouble = haul->error; /* stays owed */
	}
	if (result == 0 && same)
		result = transfer_dispose(transfer, item, err);
	haul_free(haul);
	return result;
}

/* A destination that was begun knows its delivery by its address. */
static void move_delivery(const struct session *session, struct delivery *to, struct delivery *from)
{
	if (to == from)
		return;
	if (from->begun)
		dest_discard(session->outlets[session->job->targets[from->target].dest].dest, from);
	from->begun = false;
	*to = *from;
}

static void prepare_deliveries(struct transfer *transfer, struct haul *haul)
{
	const struct plan_item *item = haul->origin;
	int64_t now = clock_wall_s(); /* one for all: the intent carries it, and Maildir names are made from it */
	unsigned count, kept = 0;

	if (haul->deliveries == NULL)
		transfer_fill_deliveries(transfer, haul, haul->message);
	count = haul->delivery_count;
	for (unsigned i = 0; i < count; i++) {
		haul->deliveries[i].intent_at = now;
		if (prepare_delivery(transfer, &haul->deliveries[i]))
			move_delivery(transfer->session, &haul->deliveries[kept++], &haul->deliveries[i]);
	}
	haul->delivery_count = kept;
	haul->unsettled = haul->delivery_count;
	haul->disposable = !item->held_back && (unsigned)__builtin_popcountll(item->open) == haul->delivery_count;
}

static void load(struct transfer *transfer, struct haul *haul)
{
	const struct plan_item *item = haul->origin;
	struct error why;

	if (transfer_is_looping(haul->message, &why)) {
		transfer_unfetched(transfer, item, &why, NULL);
		transfer_drop(transfer, haul);
		return;
	}
	if (item->match && is_old_acquaintance(transfer, haul)) {
		transfer->done++; /* what is still owed for it, the next session will be told */
		transfer_drop(transfer, haul);
		return;
	}
	prepare_deliveries(transfer, haul);
	if (haul->delivery_count == 0) {
		transfer->done++;
		transfer_drop(transfer, haul);
		return;
	}
	transfer->group.count++;
	transfer->group.bytes += haul->announced;
	STAILQ_INSERT_TAIL(&transfer->spooled, haul, next);
}

static unsigned group_max(const struct transfer *transfer)
{
	return transfer->certain ? GROUP_CERTAIN : transfer->doubt_max;
}

static unsigned intended_max(const struct transfer *transfer)
{
	return transfer->certain ? 2 * GROUP_CERTAIN : transfer->doubt_max;
}

bool transfer_group_has_room(const struct transfer *transfer)
{
	return transfer->group.count < group_max(transfer) && transfer->group.bytes < GROUP_BYTES;
}

void transfer_fill_group(struct transfer *transfer, bool *moved)
{
	struct haul *haul;

	while (transfer_group_has_room(transfer) && (haul = STAILQ_FIRST(&transfer->arrived)) != NULL) {
		*moved = true;
		STAILQ_REMOVE_HEAD(&transfer->arrived, next);
		load(transfer, haul);
	}
}

/* Takes the deliveries to destinations that were lost while syncing out of a haul; they were never intended. */
static void remove_lost(struct transfer *transfer, struct haul *haul)
{
	const struct session *session = transfer->session;
	unsigned kept = 0;

	for (unsigned i = 0; i < haul->delivery_count; i++) {
		struct delivery *delivery = &haul->deliveries[i];
		const struct outlet *outlet = &session->outlets[session->job->targets[delivery->target].dest];

		if (outlet->down) {
			dest_discard(outlet->dest, delivery);
			free(delivery->prepend);
		} else {
			move_delivery(session, &haul->deliveries[kept++], delivery);
		}
	}
	haul->disposable = haul->disposable && kept == haul->delivery_count;
	haul->delivery_count = haul->unsettled = kept;
}

static int send_intent(struct transfer *transfer, struct haul *haul, bool last, struct error *err)
{
	struct record record = {
		.kind = REC_INTENT,
		.flags = last ? REC_WAITING : 0,
		.id = haul->id,
		.size = haul->message->size,
		.when = haul->deliveries[0].intent_at,
		.has_trace = haul->message->has_trace,
	};

	for (unsigned i = 0; i < haul->delivery_count; i++)
		record.targets |= UINT64_C(1) << haul->deliveries[i].target;
	memcpy(record.hash, haul->message->hash, sizeof(record.hash));
	memcpy(record.trace, haul->message->trace, sizeof(record.trace));
	/* First: a record that could not be sent may still go with the session's last words, and then its draft must be in tmp/. */
	haul->stage = HAUL_INTENDED;
	if (channel_send(transfer->session->channel, &record, NULL, 0, err) < 0)
		return -1;
	haul->seq = record.seq;
	return 0;
}

static void sync_outlets(struct transfer *transfer)
{
	struct session *session = transfer->session;

	for (unsigned i = 0; i < session->job->destination_count; i++) {
		struct outlet *outlet = &session->outlets[i];
		struct error lost = {0};

		if (outlet->unsynced && dest_sync(outlet->dest, &lost) < 0) {
			outlet_stop(outlet, &lost);
			if (session->trouble.kind == ERR_NONE)
				session->trouble = lost;
		}
		outlet->unsynced = false;
	}
}

static bool group_is_complete(const struct transfer *transfer)
{
	return transfer->group.count != 0 && (!transfer_group_has_room(transfer) || transfer->source_idle || transfer->requested.count == 0);
}

/* As many of the group as may be intended at once; the next go when half of them are offered, so that a destination never runs out of them. */
int transfer_close_group(struct transfer *transfer, struct error *err)
{
	unsigned most = intended_max(transfer);
	struct haul *haul;

	if (!group_is_complete(transfer) || transfer->intended_count > most / 2)
		return 0;
	sync_outlets(transfer);
	if (STAILQ_EMPTY(&transfer->intended))
		transfer->intended_ns = clock_monotonic_ns();
	while (transfer->intended_count < most && (haul = STAILQ_FIRST(&transfer->spooled)) != NULL) {
		STAILQ_REMOVE_HEAD(&transfer->spooled, next);
		transfer->group.count--;
		transfer->group.bytes -= haul->announced;
		remove_lost(transfer, haul);
		if (haul->delivery_count == 0) {
			transfer_drop(transfer, haul);
			continue;
		}
		transfer->intended_count++;
		if (send_intent(transfer, haul, transfer->intended_count == most || STAILQ_EMPTY(&transfer->spooled), err) < 0) {
			transfer_drop(transfer, haul);
			return -1;
		}
		STAILQ_INSERT_TAIL(&transfer->intended, haul, next);
	}
	return 0;
}
