#include <poll.h>

#include "base/error.h"
#include "channel/channel.h"
#include "channel/wait.h"
#include "dest/smtp.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/spool.h"
#include "net/wire.h"

#define PIECE_BYTES ((size_t)8 * 1024)   /* encoded at a time; twice this lies on the stack */
#define FLIGHT_BYTES ((size_t)64 * 1024) /* written at a time */
#define EARLY_REPLY_S 2                  /* for the rest of a reply that has begun */

/* A server that speaks before the dot has given up on the message, or its replies are shifted. Neither may get a dot. */
static enum body_result early_reply(struct smtp_session *session, struct error *err)
{
	wire_set_deadline(session->dest.wire, deadline_in_s(EARLY_REPLY_S));
	if (smtp_session_reply(session, true, err) < 0)
		return BODY_LOST;
	if (session->reply.code >= 400 && session->reply.code != 421)
		return BODY_REFUSED;
	session->lock_step |= session->reply.code != 421;
	smtp_session_refused(session, ERR_TEMP, SCOPE_DESTINATION, "answered before the message was complete", err);
	return BODY_LOST;
}

/* BODY_SENT: it is still there and has said nothing. */
static enum body_result listen_in(struct smtp_session *session, struct error *err)
{
	size_t unread;
	int got;

	wire_peek(session->dest.wire, &unread);
	got = unread != 0 ? 1 : wire_fill(session->dest.wire, err);
	if (got > 0)
		return early_reply(session, err);
	if (got == 0)
		return BODY_SENT;
	smtp_session_blame(session, err);
	return BODY_LOST;
}

static bool must_leave(const struct smtp_session *session)
{
	return session->context.channel != NULL && session->context.channel->hurry;
}

/* Sends all that was gathered, with an ear for the server. BODY_SENT: it is out. */
static enum body_result push(struct smtp_session *session, struct error *err)
{
	struct wire *wire = session->dest.wire;
	struct deadline deadline = smtp_session_deadline(session, SMTP_CHUNK_S);
	int sent = 0;

	wire_set_deadline(wire, DEADLINE_NEVER); /* it owes us no word yet */
	while (sent == 0) {
		struct pollfd ready = {.fd = wire_fd(wire)};
		enum body_result result = listen_in(session, err);

		if (result != BODY_SENT)
			return result;
		sent = wire_flush_some(wire, err);
		if (sent != 0)
			break;
		if (must_leave(session))
			sent = error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
		else if (deadline_passed(deadline))
			sent = error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server takes the message too slowly");
		ready.events = wire_events(wire);
		if (sent == 0 && wait_io(&ready, 1, deadline_min(deadline, wire_due(wire)), session->context.channel, err) < 0)
			sent = -1;
	}
	if (sent > 0)
		return BODY_SENT;
	if (wire_has_input(wire))
		return early_reply(session, err); /* it has hung up, but told us why */
	smtp_session_blame(session, err);
	return BODY_LOST;
}

static void add_encoded(struct smtp_session *session, struct smtp_body *body, const char *bytes, size_t len)
{
	while (len != 0) {
		char out[SMTP_ENCODED_MAX(PIECE_BYTES)];
		size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;

		wire_add_data(session->dest.wire, out, smtp_encode(&body->encoder, bytes, piece, out));
		bytes += piece;
		len -= piece;
	}
}

/* Gathers what is next of the message. 1: some; 0: there is no more; -1: our disk. */
static int add_some(struct smtp_session *session, struct smtp_body *body, struct error *err)
{
	const char *bytes;
	size_t len;

	if (spool_read(body->delivery->message->spool, body->offset, &bytes, &len, err) < 0)
		return -1;
	if (len > FLIGHT_BYTES)
		len = FLIGHT_BYTES;
	add_encoded(session, body, bytes, len);
	body->offset += len;
	return len != 0;
}

void smtp_body_begin(struct smtp_session *session, struct smtp_body *body, const struct delivery *delivery)
{
	*body = (struct smtp_body){.delivery = delivery};
	smtp_encoder_init(&body->encoder, true);
	add_encoded(session, body, delivery->prepend, delivery->prepend_len);
}

bool smtp_body_is_awaited(struct smtp_session *session)
{
	struct error ignored;

	wire_set_deadline(session->dest.wire, DEADLINE_NEVER);
	return listen_in(session, &ignored) == BODY_SENT;
}

enum body_result smtp_body_feed(struct smtp_session *session, struct smtp_body *body, struct error *err)
{
	struct wire *wire = session->dest.wire;
	enum body_result result;
	int more = 1;

	wire_set_deadline(wire, DEADLINE_NEVER);
	do {
		result = listen_in(session, err);
		if (result != BODY_SENT)
			return result;
		if (wire_flush_some(wire, err) < 0) {
			smtp_session_blame(session, err);
			return BODY_LOST;
		}
		if (wire_unsent(wire) < FLIGHT_BYTES)
			more = add_some(session, body, err);
	} while (more > 0 && wire_unsent(wire) < FLIGHT_BYTES);
	return more < 0 ? BODY_LOST : BODY_SENT;
}

static enum body_result add_rest(struct smtp_session *session, struct smtp_body *body, struct error *err)
{
	enum body_result result = BODY_SENT;
	int more = 1;

	while (result == BODY_SENT && more != 0) {
		if (wire_unsent(session->dest.wire) >= FLIGHT_BYTES)
			result = push(session, err);
		else
			more = add_some(session, body, err);
		if (more < 0)
			result = BODY_LOST;
	}
	return result;
}

enum body_result smtp_body_send(struct smtp_session *session, struct smtp_body *body, const char *tail, size_t tail_len, struct error *err)
{
	struct wire *wire = session->dest.wire;
	enum body_result result = add_rest(session, body, err);
	char end[8];

	if (result != BODY_SENT)
		return result;
	wire_add_data(wire, end, smtp_encode_end(&body->encoder, end));
	/* The last bytes of the message, the dot and the tail leave in one write: a dot of its own would cost a round trip (Nagle), and a connection that breaks
	 * between the two a duplicate. */
	wire_add(wire, ".\r\n", 3);
	wire_add(wire, tail, tail_len);
	wire_set_deadline(wire, DEADLINE_NEVER);
	result = listen_in(session, err);
	if (result != BODY_SENT)
		return result;
	wire_set_deadline(wire, smtp_session_deadline(session, SMTP_CHUNK_S));
	if (wire_flush(wire, err) == 0)
		return BODY_SENT;
	smtp_session_blame(session, err);
	return wire_unsent(wire) > tail_len ? BODY_LOST : BODY_IN_DOUBT;
}
