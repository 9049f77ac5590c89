#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "dest/smtp.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/spool.h"
#include "net/wire.h"

/* Closer than this a round trip costs less than what the server does with a message, and a window would only put more messages in doubt. */
#define FAR_NS INT64_C(2000000)
#define FAR_SAMPLES_MIN 3                /* one slow answer does not make a server distant */
#define CHUNK_MAX ((uint64_t)256 * 1024) /* a larger message is not sent before its envelope was accepted */
#define UNSENT_MAX ((size_t)64 * 1024)   /* nothing is added while the socket does not even take so much */
#define PIECE_BYTES ((size_t)8 * 1024)
#define CODES_VETTED (1U << SMTP_MAIL | 1U << SMTP_RCPT | 1U << SMTP_DOT)

unsigned smtp_bdat_size(const struct smtp *smtp)
{
	const struct smtp_session *session = &smtp->session;
	const struct smtp_extensions *offered = &session->extensions;
	unsigned most = session->context.config->window;

	if (most <= 1 || session->lock_step || smtp->odd_codes || !offered->chunking || !offered->pipelining || !offered->enhanced_codes)
		return 0;
	if (session->round_trip_ns < FAR_NS)
		return 0;
	return session->round_trips < FAR_SAMPLES_MIN ? 1 : most;
}

void smtp_bdat_vet(struct smtp *smtp, enum smtp_step step)
{
	if (smtp_reply_fits(&smtp->session.reply, step))
		smtp->codes |= 1U << step;
	else
		smtp->odd_codes = true;
}

bool smtp_bdat_suits(const struct smtp *smtp, const struct delivery *delivery)
{
	return smtp_bdat_size(smtp) != 0 && smtp->codes == CODES_VETTED && !delivery->retracted &&
	       delivery->prepend_len + delivery->message->size <= CHUNK_MAX;
}

bool smtp_bdat_has_room(const struct smtp *smtp)
{
	return smtp->window.count < smtp_bdat_size(smtp) && !smtp->reset && !smtp_is_spent(smtp) && wire_unsent(smtp->session.dest.wire) < UNSENT_MAX;
}

/* -- sending -- */

static void encode(struct smtp_encoder *encoder, struct str *out, const char *bytes, size_t len)
{
	while (len != 0) {
		size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;

		out->len += smtp_encode(encoder, bytes, piece, str_reserve(out, SMTP_ENCODED_MAX(piece)));
		bytes += piece;
		len -= piece;
	}
}

/* Encoded before a byte is sent, since its length goes first; no dots are stuffed (RFC 3030 2). */
static int encode_message(struct str *out, const struct delivery *delivery, struct error *err)
{
	struct smtp_encoder encoder;

	smtp_encoder_init(&encoder, false);
	encode(&encoder, out, delivery->prepend, delivery->prepend_len);
	for (uint64_t offset = 0;;) {
		const char *bytes;
		size_t len;

		if (spool_read(delivery->message->spool, offset, &bytes, &len, err) < 0)
			return -1;
		if (len == 0)
			break;
		encode(&encoder, out, bytes, len);
		offset += len;
	}
	out->len += smtp_encode_end(&encoder, str_reserve(out, SMTP_ENCODED_MAX(1)));
	return 0;
}

static void add_group(struct smtp *smtp, struct delivery *delivery, const struct str *message)
{
	struct wire *wire = smtp->session.dest.wire;
	uint64_t begin = wire_bytes_out(wire) + wire_unsent(wire);
	struct str envelope = {0};

	smtp_envelope_add(&smtp->session, &envelope, SMTP_MAIL, delivery);
	smtp_envelope_add(&smtp->session, &envelope, SMTP_RCPT, delivery);
	wire_add(wire, envelope.data, envelope.len);
	str_done(&envelope);
	wire_addf(wire, "BDAT %zu LAST\r\n", message->len);
	wire_add_data(wire, message->data, message->len);
	if (smtp->window.count == 0)
		smtp->answer_by = smtp_session_deadline(&smtp->session, SMTP_REPLY_S);
	wire_set_wary(wire, false); /* as after a dot */
	smtp_window_add(&smtp->window, delivery, begin, wire_bytes_out(wire) + wire_unsent(wire));
}

int smtp_bdat_offer(struct smtp *smtp, struct delivery *delivery, struct error *err)
{
	struct str message = {0};
	int result = encode_message(&message, delivery, err);

	if (result < 0)
		smtp_settle(smtp, delivery, VERDICT_RETRACTED, err);
	else
		add_group(smtp, delivery, &message);
	str_done(&message);
	return result;
}

static void lose(struct smtp *smtp, const struct error *why)
{
	smtp_drop(smtp, why);
	smtp->lost = true;
	smtp->loss = *why;
}

/* As much as the socket takes. */
static int send_some(struct smtp *smtp, struct error *err)
{
	struct smtp_slot *slot = smtp_window_first(&smtp->window);
	struct wire *wire = smtp->session.dest.wire;

	if (wire_unsent(wire) == 0)
		return 0;
	if (slot != NULL && slot->step == SMTP_MAIL && wire_bytes_out(wire) <= slot->begin)
		slot->asked_ns = clock_monotonic_ns();
	return wire_flush_some(wire, err) < 0 ? smtp_session_blame(&smtp->session, err) : 0;
}

void smtp_bdat_cut(struct smtp *smtp)
{
	struct error stopped;

	if (wire_unsent(smtp->session.dest.wire) == 0)
		return;
	error_set(&stopped, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	lose(smtp, &stopped);
}

/* -- what comes back -- */

static void shifted(struct smtp *smtp)
{
	struct error error;

	smtp->session.lock_step = true;
	smtp_session_refused(&smtp->session, ERR_PROTO, SCOPE_DESTINATION, "gave an answer that does not fit the question", &error);
	lose(smtp, &error);
}

/* RFC 5321 3.8: it closes after 421, so it has looked at nothing that came later, and takes nothing of it. */
static void closing(struct smtp *smtp)
{
	struct error error;
	struct smtp_slot *slot;

	smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, "takes no more mail now", &error);
	while ((slot = smtp_window_first(&smtp->window)) != NULL) {
		smtp_settle(smtp, slot->delivery, VERDICT_RETRACTED, &error);
		smtp_window_pop(&smtp->window);
	}
	lose(smtp, &error);
}

/* A group is complete. */
static void settle_first(struct smtp *smtp)
{
	struct smtp_slot *slot = smtp_window_first(&smtp->window);
	struct delivery *delivery = slot->delivery;
	bool refused = slot->refused;

	smtp_window_pop(&smtp->window);
	if (!refused) {
		smtp_accept(smtp, delivery);
		return;
	}
	smtp->reset = true; /* RFC 3030 2: after a refused BDAT the state is indeterminate */
	smtp_settle(smtp, delivery, VERDICT_RETRACTED, &delivery->error);
}

static void take_reply(struct smtp *smtp)
{
	static const char *const what[] = {
		[SMTP_MAIL] = "refused the sender", [SMTP_RCPT] = "refused the recipient", [SMTP_DOT] = "refused the message"};
	struct smtp_slot *slot = smtp_window_first(&smtp->window);
	enum smtp_step step = slot->step;
	enum smtp_fit fit;

	if (smtp->session.reply.code == 421) {
		closing(smtp);
		return;
	}
	fit = smtp_window_take(&smtp->window, &smtp->session.reply, wire_bytes_out(smtp->session.dest.wire));
	if (fit == SMTP_FIT_NOT) {
		shifted(smtp);
		return;
	}
	if (step == SMTP_MAIL && slot->asked_ns != 0)
		smtp_session_time(&smtp->session, slot->asked_ns);
	if (fit == SMTP_FIT_REFUSES && !slot->refused) {
		slot->refused = true; /* the first refusal is the reason for those that follow */
		smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, what[step], &slot->delivery->error);
		if (step != SMTP_DOT)
			smtp_has_had_enough(smtp);
	}
	if (step == SMTP_DOT)
		settle_first(smtp);
	slot = smtp_window_first(&smtp->window);
	if (slot == NULL && smtp->session.dest.wire != NULL)
		wire_set_wary(smtp->session.dest.wire, true);
	if (slot != NULL)
		smtp->answer_by = smtp_session_deadline(&smtp->session, slot->step == SMTP_DOT ? SMTP_DOT_S : SMTP_REPLY_S);
}

/* wait: until one has come; then what else is there. False: the connection is lost. */
static bool take_replies(struct smtp *smtp, bool wait)
{
	struct error error = {0};

	while (smtp->window.count != 0) {
		int got;

		wire_set_deadline(smtp->session.dest.wire, smtp->answer_by);
		got = smtp_session_reply(&smtp->session, wait, &error);
		if (got < 0)
			lose(smtp, &error);
		else if (got > 0)
			take_reply(smtp);
		if (got <= 0 || smtp->session.dest.wire == NULL)
			return got == 0;
		wait = false;
	}
	return true;
}

int smtp_bdat_flush(struct smtp *smtp, struct error *err)
{
	if (send_some(smtp, err) == 0)
		return 0;
	if (take_replies(smtp, false)) /* it has hung up, but may have answered before */
		lose(smtp, err);
	smtp->lost = false;
	return -1;
}

static bool poll_replies(struct smtp *smtp)
{
	struct error error;

	if (smtp_bdat_flush(smtp, &error) == 0)
		return take_replies(smtp, false);
	lose(smtp, &error);
	return false;
}

void smtp_bdat_poll(struct smtp *smtp)
{
	poll_replies(smtp);
}

void smtp_bdat_make_room(struct smtp *smtp)
{
	while (smtp->window.count != 0 && !smtp_bdat_has_room(smtp))
		if (!poll_replies(smtp) || smtp->window.count == 0 || smtp_bdat_has_room(smtp) || !take_replies(smtp, true))
			break;
}

void smtp_bdat_drain(struct smtp *smtp)
{
	if (smtp->window.count != 0 && poll_replies(smtp))
		while (smtp->window.count != 0 && take_replies(smtp, true))
			;
}
