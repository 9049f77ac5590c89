#include "dest/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "mail/address.h"
#include "net/wire.h"

#define GARBAGE_MAX 100 /* lines read in the hope of an answer to the dot */

static struct smtp *smtp_of(struct dest *dest)
{
	return (struct smtp *)(void *)dest; /* first member of the first member */
}

static void settle(struct smtp *smtp, struct delivery *delivery, enum verdict verdict, const struct error *error)
{
	delivery->verdict = verdict;
	if (error != NULL) {
		delivery->error = *error;
		delivery->code = error->code;
	}
	STAILQ_INSERT_TAIL(&smtp->settled, delivery, next);
}

/* What was agreed over this connection is void, an envelope that is out included; the answer to a dot that is out will never be known. */
static void drop(struct smtp *smtp)
{
	smtp_session_drop(&smtp->session);
	smtp->envelope = NULL;
	smtp->reset = false;
	if (smtp->awaiting != NULL) {
		struct error error;

		error_set(&error, ERR_TEMP, SCOPE_DESTINATION, "destination %s took the message; we left before it answered",
			smtp_session_name(&smtp->session));
		settle(smtp, smtp->awaiting, VERDICT_IN_DOUBT, &error);
		smtp->awaiting = NULL;
	}
}

static int lose(struct smtp *smtp, struct delivery *delivery, const struct error *err)
{
	drop(smtp);
	settle(smtp, delivery, VERDICT_RETRACTED, err);
	return -1;
}

/* The refusal in session->reply becomes the delivery's verdict. doubtful: replies were out of order, so nothing it says is for good. */
static void refuse(struct smtp *smtp, struct delivery *delivery, enum smtp_step step, bool doubtful)
{
	static const char *const what[] = {[SMTP_MAIL] = "refused the sender",
		[SMTP_RCPT] = "refused the recipient",
		[SMTP_DATA] = "refused the message",
		[SMTP_DOT] = "refused the message"};
	struct error error;

	refusal_judge(&smtp->refusals[delivery->target], step, smtp->session.reply.code, delivery->sender, &error.kind, &error.scope);
	if (doubtful)
		error.kind = ERR_TEMP;
	delivery->after_data = step >= SMTP_DATA && smtp_reply_blames_content(&smtp->session.reply);
	smtp_session_refused(&smtp->session, error.kind, error.scope, what[step], &error);
	settle(smtp, delivery, error.kind == ERR_REFUSED ? VERDICT_REFUSED : VERDICT_DEFERRED, &error);
}

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

/* 1: the server waits for the message. 0: refused, settled. -1: the connection is of no more use. */
static int agree_envelope(struct smtp *smtp, struct delivery *delivery, struct error *err)
{
	bool ahead = smtp->envelope == delivery, refused = false;
	int got = 1;

	smtp->envelope = NULL;
	if (!ahead && may_pipeline(smtp)) {
		struct str flight = {0};

		smtp_envelope_add_all(&smtp->session, &flight, delivery);
		if (write_text(smtp, &flight, err) < 0)
			return -1;
		ahead = true;
	}
	for (enum smtp_step step = SMTP_MAIL; step <= SMTP_DATA && got >= 0 && (ahead || !refused); step++) {
		got = take_step(smtp, step, delivery, ahead, err);
		if (got == 0 && !refused)
			refuse(smtp, delivery, step, false); /* the first refusal is the reason for those that follow */
		refused |= got == 0;
	}
	if (!refused)
		return got;
	smtp->reset = true;
	/* Lost, or it waits for a message that it has refused. RFC 2920 3.1 would send it a lone dot; hanging up cannot deliver an empty message. */
	if (got != 0)
		drop(smtp);
	return 0;
}

/* -- verdicts -- */

static void judge_answer(struct smtp *smtp, struct delivery *delivery)
{
	bool poisoned = smtp->garbage != 0;
	int code = smtp->session.reply.code;

	if (code < 300) {
		delivery->code = code;
		smtp_reply_words(&smtp->session.reply, delivery->reply, sizeof(delivery->reply));
		refusal_accepted(&smtp->refusals[delivery->target], delivery->sender);
		settle(smtp, delivery, VERDICT_ACCEPTED, NULL);
	} else {
		refuse(smtp, delivery, SMTP_DOT, poisoned);
	}
	if (poisoned || code == 421)
		drop(smtp);
}

/* The answer to the dot that is out. With nothing else outstanding, a well-formed reply after garbage can only be that answer. */
static void take_answer(struct smtp *smtp, bool wait)
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
	if (got > 0) {
		judge_answer(smtp, delivery);
		return;
	}
	drop(smtp);
	settle(smtp, delivery, VERDICT_IN_DOUBT, &error);
	smtp->lost = true;
	smtp->loss = error;
}

/* Between messages a server has nothing to say but 421: it wants to sleep. Anything else may be a second answer to what was answered before. */
static void drop_if_stale(struct smtp *smtp)
{
	struct wire *wire = smtp->session.dest.wire;
	struct error ignored;

	if (wire == NULL)
		return;
	wire_set_deadline(wire, DEADLINE_NEVER);
	if (!wire_has_input(wire) && wire_fill(wire, &ignored) == 0)
		return;
	if (smtp_session_reply(&smtp->session, false, &ignored) > 0 && smtp->session.reply.code != 421)
		smtp->session.lock_step = true;
	drop(smtp);
}

static int smtp_verdicts(struct dest *dest, struct delivery **ret_delivery, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	if (smtp->awaiting != NULL)
		take_answer(smtp, false);
	else if (smtp->envelope == NULL)
		drop_if_stale(smtp);
	if (!STAILQ_EMPTY(&smtp->settled)) {
		*ret_delivery = STAILQ_FIRST(&smtp->settled);
		STAILQ_REMOVE_HEAD(&smtp->settled, next);
		return 1;
	}
	if (!smtp->lost)
		return 0;
	smtp->lost = false;
	*err = smtp->loss;
	return -1;
}

/* -- one message -- */

/* A connection that is ready for this delivery's envelope, or has it already. */
static int make_ready(struct smtp *smtp, const struct delivery *delivery, struct error *err)
{
	if (smtp->awaiting != NULL)
		take_answer(smtp, true);
	if (smtp->lost) {
		smtp->lost = false;
		*err = smtp->loss;
		return -1;
	}
	if (smtp->envelope != NULL && smtp->envelope != delivery)
		drop(smtp); /* the message that was announced does not come; an empty one in its place must not */
	if (smtp->envelope == NULL)
		drop_if_stale(smtp);
	if (smtp->session.dest.wire == NULL)
		return smtp_session_open(&smtp->session, err);
	if (!smtp->reset)
		return 0;
	smtp->reset = false;
	if (smtp_session_command(&smtp->session, err, "RSET") < 0)
		return -1;
	if (smtp->session.reply.code / 100 != 2)
		return smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, "refused RSET", err);
	return 0;
}

static int send_message(struct smtp *smtp, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct str tail = {0};
	enum body_result result;

	if (next != NULL && may_pipeline(smtp) && smtp_envelope_check(&smtp->session, next, NULL) == 0)
		smtp_envelope_add_all(&smtp->session, &tail, next);
	result = smtp_body_send(&smtp->session, delivery, str_text(&tail), tail.len, err);
	if (result == BODY_SENT) {
		smtp->awaiting = delivery;
		smtp->answer_by = smtp_session_deadline(&smtp->session, SMTP_DOT_S);
		smtp->garbage = 0;
		smtp->envelope = tail.len != 0 ? next : NULL;
	}
	str_done(&tail);
	switch (result) {
	case BODY_SENT:
		return 0;
	case BODY_REFUSED:
		refuse(smtp, delivery, SMTP_DOT, true);
		drop(smtp);
		return 0;
	case BODY_IN_DOUBT:
		drop(smtp);
		settle(smtp, delivery, VERDICT_IN_DOUBT, err);
		return -1;
	default:
		return lose(smtp, delivery, err);
	}
}

static int smtp_offer(struct dest *dest, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);
	struct error refusal;
	int agreed;

	if (make_ready(smtp, delivery, err) < 0)
		return lose(smtp, delivery, err);
	if (smtp->envelope == NULL && smtp_envelope_check(&smtp->session, delivery, &refusal) < 0) {
		settle(smtp, delivery, VERDICT_REFUSED, &refusal);
		return 0;
	}
	agreed = agree_envelope(smtp, delivery, err);
	if (agreed < 0)
		return lose(smtp, delivery, err);
	return agreed == 0 ? 0 : send_message(smtp, delivery, next, err);
}

/* -- the rest of a destination -- */

static int smtp_open(struct dest *dest, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	drop(smtp);
	smtp->lost = false;
	return smtp_session_open(&smtp->session, err);
}

static int smtp_probe(struct dest *dest, const char *sender, const char *recipient, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);
	struct smtp_session *session = &smtp->session;
	struct error ignored;
	int result = 0;

	if (!address_is_valid(recipient, strlen(recipient)))
		return error_set(
			err, ERR_CONFIG, SCOPE_RECIPIENT, "destination %s: the recipient is not a valid address", smtp_session_name(session));
	if (session->dest.wire == NULL && smtp_session_open(session, err) < 0)
		return -1;
	if (smtp_session_command(session, err, "MAIL FROM:<%s>", sender) < 0)
		return -1;
	if (session->reply.code >= 300)
		result = smtp_session_refused(
			session, session->reply.code < 500 ? ERR_TEMP : ERR_REFUSED, SCOPE_DESTINATION, "refused the sender", err);
	else if (smtp_session_command(session, err, "RCPT TO:<%s>", recipient) < 0)
		return -1;
	else if (session->reply.code >= 300)
		result = smtp_session_refused(
			session, session->reply.code < 500 ? ERR_TEMP : ERR_REFUSED, SCOPE_RECIPIENT, "refused the recipient", err);
	if (smtp_session_command(session, &ignored, "RSET") < 0)
		drop(smtp);
	return result;
}

static int smtp_close(struct dest *dest, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	(void)err;
	/* Never behind a dot or an envelope: its answer could be taken for theirs, and the server would take QUIT for the message. */
	if (smtp->awaiting == NULL && smtp->envelope == NULL)
		smtp_session_quit(&smtp->session);
	drop(smtp);
	return 0;
}

static void smtp_free(struct dest *dest)
{
	struct smtp *smtp = smtp_of(dest);

	smtp_session_drop(&smtp->session);
	secret_free(smtp->session.context.secret);
	free(smtp);
}

struct dest *smtp_new(const struct dest_context *context)
{
	static const struct dest_ops ops = {
		.name = "smtp",
		.open = smtp_open,
		.offer = smtp_offer,
		.verdicts = smtp_verdicts,
		.probe = smtp_probe,
		.close = smtp_close,
		.free = smtp_free,
	};
	struct smtp *smtp = xcalloc(1, sizeof(*smtp));

	smtp_session_init(&smtp->session, context);
	smtp->session.dest.ops = &ops;
	STAILQ_INIT(&smtp->settled);
	return &smtp->session.dest;
}
