#include "dest/smtp.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "mail/address.h"
#include "net/wire.h"

static struct smtp *smtp_of(struct dest *dest)
{
	return (struct smtp *)(void *)dest; /* first member of the first member */
}

/* -- what becomes of a delivery -- */

void smtp_settle(struct smtp *smtp, struct delivery *delivery, enum verdict verdict, const struct error *error)
{
	delivery->verdict = verdict;
	if (error != NULL) {
		delivery->error = *error;
		delivery->code = error->code;
	}
	STAILQ_INSERT_TAIL(&smtp->settled, delivery, next);
}

void smtp_accept(struct smtp *smtp, struct delivery *delivery)
{
	delivery->code = smtp->session.reply.code;
	smtp_reply_words(&smtp->session.reply, delivery->reply, sizeof(delivery->reply));
	refusal_accepted(&smtp->refusals[delivery->target], delivery->sender);
	smtp->taken++;
	smtp_settle(smtp, delivery, VERDICT_ACCEPTED, NULL);
}

bool smtp_has_had_enough(struct smtp *smtp)
{
	const struct smtp_reply *reply = &smtp->session.reply;

	smtp->spent |= smtp->taken != 0 && reply->enhanced[0] == 4 && reply->enhanced[1] == 5 && reply->enhanced[2] == 3;
	return smtp->spent;
}

void smtp_refuse(struct smtp *smtp, struct delivery *delivery, enum smtp_step step, bool doubtful)
{
	static const char *const what[] = {[SMTP_MAIL] = "refused the sender",
		[SMTP_RCPT] = "refused the recipient",
		[SMTP_DATA] = "refused the message",
		[SMTP_DOT] = "refused the message"};
	struct error error;

	if (step < SMTP_DATA && smtp_has_had_enough(smtp)) {
		smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, "takes no more mail over this connection", &error);
		smtp_settle(smtp, delivery, VERDICT_RETRACTED, &error);
		return;
	}
	refusal_judge(&smtp->refusals[delivery->target], step, smtp->session.reply.code, delivery->sender, &error.kind, &error.scope);
	if (doubtful)
		error.kind = ERR_TEMP;
	delivery->after_data = step >= SMTP_DATA && smtp_reply_blames_content(&smtp->session.reply);
	smtp_session_refused(&smtp->session, error.kind, error.scope, what[step], &error);
	smtp_settle(smtp, delivery, error.kind == ERR_REFUSED ? VERDICT_REFUSED : VERDICT_DEFERRED, &error);
}

void smtp_drop(struct smtp *smtp, const struct error *why)
{
	uint64_t sent = smtp->session.dest.wire != NULL ? wire_bytes_out(smtp->session.dest.wire) : 0;
	struct error left;
	struct smtp_slot *slot;

	if (why == NULL) {
		error_set(&left, ERR_TEMP, SCOPE_DESTINATION, "destination %s took the message; we left before it answered",
			smtp_session_name(&smtp->session));
		why = &left;
	}
	smtp_session_drop(&smtp->session);
	if (smtp->awaiting != NULL)
		smtp_settle(smtp, smtp->awaiting, VERDICT_IN_DOUBT, why);
	while ((slot = smtp_window_first(&smtp->window)) != NULL) {
		smtp_settle(smtp, slot->delivery, sent >= slot->end ? VERDICT_IN_DOUBT : VERDICT_RETRACTED, why);
		smtp_window_pop(&smtp->window);
	}
	smtp->awaiting = NULL;
	smtp->envelope = NULL;
	smtp->body.delivery = NULL;
	smtp->reset = smtp->spent = false;
	smtp->transactions = smtp->taken = 0;
	smtp->codes = 0;
}

int smtp_lose(struct smtp *smtp, struct delivery *delivery, const struct error *err)
{
	smtp_drop(smtp, NULL);
	smtp_settle(smtp, delivery, VERDICT_RETRACTED, err);
	return -1;
}

/* -- verdicts -- */

/* Between messages a server has nothing to say but 421: it wants to sleep. Anything else may be a second answer to what was answered before. */
static void drop_if_stale(struct smtp *smtp)
{
	struct wire *wire = smtp->session.dest.wire;
	struct error ignored;
	size_t unread;

	if (wire == NULL)
		return;
	wire_set_deadline(wire, DEADLINE_NEVER);
	wire_peek(wire, &unread);
	if (unread == 0 && wire_fill(wire, &ignored) == 0)
		return;
	if (smtp_session_reply(&smtp->session, false, &ignored) > 0 && smtp->session.reply.code != 421)
		smtp->session.lock_step = true;
	smtp_drop(smtp, NULL);
}

static bool smtp_has_room(struct dest *dest)
{
	const struct smtp *smtp = smtp_of(dest);

	if (smtp->awaiting != NULL)
		return false;
	return smtp->window.count == 0 || smtp_bdat_has_room(smtp);
}

/* One write for all that was gathered. */
static int smtp_flush(struct dest *dest, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	return smtp->window.count != 0 ? smtp_bdat_flush(smtp, err) : 0;
}

static void smtp_cut(struct dest *dest)
{
	struct smtp *smtp = smtp_of(dest);

	if (smtp->window.count != 0)
		smtp_bdat_cut(smtp);
}

static int smtp_verdicts(struct dest *dest, struct delivery **ret_delivery, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	if (!STAILQ_EMPTY(&smtp->settled))
		; /* enough to do without a look at the connection */
	else if (smtp->window.count != 0)
		smtp_bdat_poll(smtp);
	else if (smtp->awaiting != NULL)
		smtp_data_take(smtp, false);
	else if (smtp->envelope == NULL && smtp->body.delivery == NULL)
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

bool smtp_is_spent(const struct smtp *smtp)
{
	uint64_t most = smtp->session.extensions.mail_max;

	return smtp->spent || (most != 0 && smtp->transactions >= most);
}

static int reset(struct smtp *smtp, struct error *err)
{
	smtp->reset = false;
	if (smtp_session_command(&smtp->session, err, "RSET") < 0)
		return -1;
	if (smtp->session.reply.code / 100 != 2)
		return smtp_session_refused(&smtp->session, ERR_TEMP, SCOPE_DESTINATION, "refused RSET", err);
	return 0;
}

/* Nothing is out that has to be answered first; waits for that if need be. */
static int make_room(struct smtp *smtp, const struct delivery *delivery, struct error *err)
{
	if (smtp->awaiting != NULL)
		smtp_data_take(smtp, true);
	if (!smtp_bdat_suits(smtp, delivery))
		smtp_bdat_drain(smtp);
	else
		smtp_bdat_make_room(smtp);
	if (!smtp->lost)
		return 0;
	smtp->lost = false;
	*err = smtp->loss;
	return -1;
}

/* Its envelope may be out, but not for whatever will lie in its place in memory. */
static void smtp_discard(struct dest *dest, struct delivery *delivery)
{
	static const struct delivery nobody;
	struct smtp *smtp = smtp_of(dest);

	if (smtp->envelope == delivery)
		smtp->envelope = &nobody;
	if (smtp->body.delivery == delivery)
		smtp_drop(smtp, NULL); /* RFC 5321 4.1.1.4: only a dot ends a message, and without one there is none */
}

/* A connection that is ready for this delivery's envelope, or has it already. */
static int make_ready(struct smtp *smtp, const struct delivery *delivery, struct error *err)
{
	if (smtp->body.delivery != NULL)
		smtp_drop(smtp, NULL); /* half a message is out, and another one goes first */
	if (make_room(smtp, delivery, err) < 0)
		return -1;
	if (smtp->envelope != NULL && smtp->envelope != delivery)
		smtp_drop(smtp, NULL); /* the message that was announced does not come; an empty one in its place must not */
	if (smtp->envelope != NULL || smtp->window.count != 0)
		return 0;
	drop_if_stale(smtp);
	if (smtp->session.dest.wire != NULL && smtp_is_spent(smtp)) {
		smtp_session_quit(&smtp->session);
		smtp_drop(smtp, NULL);
	}
	if (smtp->session.dest.wire == NULL)
		return smtp_session_open(&smtp->session, err);
	return smtp->reset ? reset(smtp, err) : 0;
}

static int begin(struct smtp *smtp, struct delivery *delivery, struct error *err)
{
	if (make_ready(smtp, delivery, err) < 0 || smtp_envelope_check(&smtp->session, delivery, err) < 0)
		return -1;
	smtp->transactions++;
	if (smtp_data_begin(smtp, delivery, err) == 0)
		return 0;
	smtp_drop(smtp, NULL);
	return -1;
}

/* Nobody reads from the source meanwhile. What the server does not agree to soon waits until the message is there. */
static int smtp_begin(struct dest *dest, struct delivery *delivery, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);
	int result;

	smtp->session.latest = deadline_in_s(SMTP_BEGIN_S);
	result = begin(smtp, delivery, err);
	smtp->session.latest = DEADLINE_NEVER;
	return result;
}

static int smtp_feed(struct dest *dest, struct delivery *delivery, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	if (smtp->body.delivery != delivery)
		return error_set(err, ERR_TEMP, SCOPE_MESSAGE, "another message went first");
	if (smtp_data_feed(smtp, err) == 0)
		return 0;
	smtp_drop(smtp, NULL);
	return -1;
}

/* What was begun. RFC 1870 6.3: one that is larger than was promised may be refused for that, as it would not be with the right size. And a server that did
 * not wait, while another destination took its time, has done nothing wrong. */
static bool may_go_on(struct smtp *smtp, const struct delivery *delivery)
{
	return smtp_envelope_size(delivery) <= smtp->body.promised && smtp_body_is_awaited(&smtp->session);
}

static int smtp_offer(struct dest *dest, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);
	struct error refusal;

	if (smtp->body.delivery == delivery) {
		if (may_go_on(smtp, delivery))
			return smtp_data_offer(smtp, delivery, next, err);
		smtp_drop(smtp, NULL); /* and from the beginning */
	}
	if (make_ready(smtp, delivery, err) < 0)
		return smtp_lose(smtp, delivery, err);
	if (smtp->envelope == NULL && smtp_envelope_check(&smtp->session, delivery, &refusal) < 0) {
		smtp_settle(smtp, delivery, VERDICT_REFUSED, &refusal);
		return 0;
	}
	smtp->transactions++;
	if (smtp->envelope == NULL && smtp_bdat_suits(smtp, delivery))
		return smtp_bdat_offer(smtp, delivery, err);
	return smtp_data_offer(smtp, delivery, next, err);
}

/* -- the rest of a destination -- */

static int smtp_open(struct dest *dest, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	smtp_drop(smtp, NULL);
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
		smtp_drop(smtp, NULL);
	return result;
}

static int smtp_close(struct dest *dest, struct error *err)
{
	struct smtp *smtp = smtp_of(dest);

	(void)err;
	/* Never behind a dot or an envelope: its answer could be taken for theirs, and the server would take QUIT for the message. */
	if (smtp->window.count == 0 && smtp->awaiting == NULL && smtp->envelope == NULL && smtp->body.delivery == NULL)
		smtp_session_quit(&smtp->session);
	smtp_drop(smtp, NULL);
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
		.begin = smtp_begin,
		.feed = smtp_feed,
		.discard = smtp_discard,
		.has_room = smtp_has_room,
		.offer = smtp_offer,
		.flush = smtp_flush,
		.cut = smtp_cut,
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
