#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "dest/smtp.h"
#include "net/wire.h"

#define GARBAGE_MAX 100 /* lines read in the hope of an answer to the dot */

/* -- the envelope -- */

static bool may_pipeline(const struct smtp *smtp)
{
	return smtp->session.extensions.pipelining && !smtp->session.lock_step;
}

static int write_text(struct smtp *smtp, struct str *text, struct error *err)
{
	wire_add(smtp->session.dest.wire, text->data, text->len);
	str_done(text);
	wire_set_deadline(smtp->session.dest.wire, smtp_session_deadline(&smtp->session, SMTP_REPLY_S));
	return wire_flush(smtp->session.dest.wire, err) == 0 ? 0 : smtp_session_blame(&smtp->session, err);
}

/* 1: accepted. 0: refused by 4xx or 5xx. -1: everything else, which ends the connection. */
static int step_reply(struct smtp *smtp, enum smtp_step step, struct error *err)
{
	unsigned wait_s = step == SMTP_DATA ? SMTP_DATA_S : SMTP_REPLY_S;
	int code;

	wire_set_deadline(smtp->session.dest.wire, smtp_session_deadline(&smtp->session, wait_s));
	if (smtp_session_reply(&smtp->session, true, err) < 0)
		return -1;
	code = smtp->session.reply.code;
	if (code == 421)
		return smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, "takes no more mail now", err);
	if (code >= 400)
		return 0;
	if (step != SMTP_DATA && code < 300)
		smtp_bdat_vet(smtp, step);
	if (step == SMTP_DATA ? code == 354 : code < 300)
		return 1;
	smtp->session.lock_step = true;
	return smtp_session_refused(&smtp->session, ERR_PROTO, SCOPE_DESTINATION, "gave an answer that does not fit the question", err);
}

/* The next of MAIL, RCPT and DATA, sent if it is not out already, and what the server says to it: as step_reply. */
static int take_step(struct smtp *smtp, enum smtp_step step, const struct delivery *delivery, bool ahead, struct error *err)
{
	if (!ahead) {
		struct str command = {0};

		smtp_envelope_add(&smtp->session, &command, step, delivery);
		if (write_text(smtp, &command, err) < 0)
			return -1;
	}
	return step_reply(smtp, step, err);
}

static int send_flight(struct smtp *smtp, const struct delivery *delivery, struct error *err)
{
	struct str flight = {0};

	smtp_envelope_add_all(&smtp->session, &flight, delivery);
	return write_text(smtp, &flight, err);
}

/* 1: the server waits for the message. 0: refused, settled. -1: the connection is of no more use. */
static int agree_envelope(struct smtp *smtp, struct delivery *delivery, struct error *err)
{
	bool ahead = smtp->envelope == delivery, refused = false;
	int64_t asked_ns = 0;
	int got = 1;

	smtp->envelope = NULL;
	if (!ahead && may_pipeline(smtp)) {
		asked_ns = clock_monotonic_ns();
		if (send_flight(smtp, delivery, err) < 0)
			return -1;
		ahead = true;
	}
	for (enum smtp_step step = SMTP_MAIL; step <= SMTP_DATA && got >= 0 && (ahead || !refused); step++) {
		got = take_step(smtp, step, delivery, ahead, err);
		if (step == SMTP_MAIL && got >= 0 && asked_ns != 0)
			smtp_session_time(&smtp->session, asked_ns);
		if (got == 0 && !refused)
			smtp_refuse(smtp, delivery, step, false); /* the first refusal is the reason for those that follow */
		refused |= got == 0;
	}
	if (!refused)
		return got;
	smtp->reset = true;
	/* Lost, or it waits for a message that it has refused. RFC 2920 3.1 would send it a lone dot; hanging up cannot deliver an empty message. */
	if (got != 0)
		smtp_drop(smtp, NULL);
	return 0;
}

/* -- the answer -- */

static void judge_answer(struct smtp *smtp, struct delivery *delivery)
{
	bool poisoned = smtp->garbage != 0;
	int code = smtp->session.reply.code;

	if (code < 300) {
		smtp_bdat_vet(smtp, SMTP_DOT);
		smtp_accept(smtp, delivery);
	} else {
		smtp_refuse(smtp, delivery, SMTP_DOT, poisoned);
	}
	if (poisoned || code == 421)
		smtp_drop(smtp, NULL);
}

/* The answer to the dot that is out. With nothing else outstanding, a well-formed reply after garbage can only be that answer. */
void smtp_data_take(struct smtp *smtp, bool wait)
{
	struct delivery *delivery = smtp->awaiting;
	struct error error = {0};
	int got;

	wire_set_deadline(smtp->session.dest.wire, smtp->answer_by);
	do {
		got = smtp_session_reply(&smtp->session, wait, &error);
		if (got > 0 && smtp->session.reply.code / 100 == 3) {
			smtp->session.lock_step = true;
			got = smtp_session_refused(&smtp->session, ERR_PROTO, SCOPE_DESTINATION, "answered the message with a question", &error);
		}
	} while (got < 0 && error.kind == ERR_PROTO && smtp->envelope == NULL && ++smtp->garbage < GARBAGE_MAX);
	if (got == 0)
		return;
	smtp->awaiting = NULL;
	wire_set_wary(smtp->session.dest.wire, true);
	if (got > 0) {
		judge_answer(smtp, delivery);
		return;
	}
	smtp_drop(smtp, NULL);
	smtp_settle(smtp, delivery, VERDICT_IN_DOUBT, &error);
	smtp->lost = true;
	smtp->loss = error;
}

/* -- the message -- */

/* Not while a window may open after this message: an envelope that ends with DATA would keep the next one out of it. */
static bool may_announce(const struct smtp *smtp)
{
	return may_pipeline(smtp) && smtp_bdat_size(smtp) == 0 && !smtp_is_spent(smtp);
}

static int send_message(struct smtp *smtp, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct str tail = {0};
	enum body_result result;

	if (smtp->body.delivery == NULL)
		smtp_body_begin(&smtp->session, &smtp->body, delivery);
	if (next != NULL && may_announce(smtp) && smtp_envelope_check(&smtp->session, next, NULL) == 0)
		smtp_envelope_add_all(&smtp->session, &tail, next);
	result = smtp_body_send(&smtp->session, &smtp->body, str_text(&tail), tail.len, err);
	smtp->body.delivery = NULL;
	if (result == BODY_SENT) {
		smtp->awaiting = delivery;
		wire_set_wary(smtp->session.dest.wire, false); /* the answer may still come, and without it the message is in doubt */
		smtp->answer_by = smtp_session_deadline(&smtp->session, SMTP_DOT_S);
		smtp->garbage = 0;
		smtp->envelope = tail.len != 0 ? next : NULL;
	}
	str_done(&tail);
	switch (result) {
	case BODY_SENT:
		return 0;
	case BODY_REFUSED:
		smtp_refuse(smtp, delivery, SMTP_DOT, true);
		smtp_drop(smtp, NULL);
		return 0;
	case BODY_IN_DOUBT:
		smtp_drop(smtp, NULL);
		smtp_settle(smtp, delivery, VERDICT_IN_DOUBT, err);
		return -1;
	default:
		return smtp_lose(smtp, delivery, err);
	}
}

int smtp_data_offer(struct smtp *smtp, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	int agreed = smtp->body.delivery != NULL ? 1 : agree_envelope(smtp, delivery, err);

	if (agreed < 0)
		return smtp_lose(smtp, delivery, err);
	return agreed == 0 ? 0 : send_message(smtp, delivery, next, err);
}

/* -- a message that is still arriving -- */

/* Whatever the server has against it, it says once more when the message is offered: nothing is judged here, and no refusal counted twice. */
int smtp_data_begin(struct smtp *smtp, const struct delivery *delivery, struct error *err)
{
	bool ahead = may_pipeline(smtp);
	int got = 1;

	if (ahead && send_flight(smtp, delivery, err) < 0)
		return -1;
	for (enum smtp_step step = SMTP_MAIL; step <= SMTP_DATA && got > 0; step++)
		got = take_step(smtp, step, delivery, ahead, err);
	if (got == 0)
		return smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_MESSAGE, "does not wait for the message", err);
	if (got < 0)
		return -1;
	smtp_body_begin(&smtp->session, &smtp->body, delivery);
	smtp->body.promised = smtp->session.extensions.size_max != 0 ? smtp_envelope_size(delivery) : UINT64_MAX;
	return 0;
}

int smtp_data_feed(struct smtp *smtp, struct error *err)
{
	switch (smtp_body_feed(&smtp->session, &smtp->body, err)) {
	case BODY_SENT:
		return 0;
	case BODY_REFUSED:
		return smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_MESSAGE, "does not want the rest of the message", err);
	default:
		return -1;
	}
}
