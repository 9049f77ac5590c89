#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "dest/smtp.h"
#include "mail/address.h"
#include "mail/message.h"

uint64_t smtp_envelope_size(const struct delivery *delivery)
{
	const struct message *message = delivery->message;
	bool hint = !message_is_complete(message) && delivery->haul->announced > message->size;

	return delivery->prepend_len + (hint ? delivery->haul->announced : message->size);
}

/* One that is still arriving may be. */
static bool is_eight_bit(const struct message *message)
{
	return message->eight_bit || !message_is_complete(message);
}

static bool is_international(const struct delivery *delivery)
{
	return !address_is_ascii(delivery->sender) || !address_is_ascii(delivery->recipient);
}

int smtp_envelope_check(const struct smtp_session *session, const struct delivery *delivery, struct error *err)
{
	const struct smtp_extensions *offered = &session->extensions;
	const char *name = smtp_session_name(session);

	if (delivery->sender[0] != '\0' && !address_is_valid(delivery->sender, strlen(delivery->sender)))
		return error_set(err, ERR_REFUSED, SCOPE_MESSAGE, "destination %s: the sender is not a valid address; set sender:", name);
	if (!address_is_valid(delivery->recipient, strlen(delivery->recipient)))
		return error_set(err, ERR_REFUSED, SCOPE_MESSAGE, "destination %s: the recipient is not a valid address; correct recipient:", name);
	if (is_international(delivery) && !offered->smtputf8)
		return error_set(err, ERR_REFUSED, SCOPE_MESSAGE, "destination %s takes no addresses beyond ASCII (it lacks SMTPUTF8)", name);
	if (offered->size_max != 0 && smtp_envelope_size(delivery) > offered->size_max)
		return error_set(err, ERR_REFUSED, SCOPE_MESSAGE, "destination %s takes at most %" PRIu64 " bytes, the message has %" PRIu64, name,
			offered->size_max, smtp_envelope_size(delivery));
	return 0;
}

void smtp_envelope_add(const struct smtp_session *session, struct str *out, enum smtp_step step, const struct delivery *delivery)
{
	const struct smtp_extensions *offered = &session->extensions;

	switch (step) {
	case SMTP_MAIL:
		str_addf(out, "MAIL FROM:<%s>", delivery->sender);
		if (offered->size_max != 0)
			str_addf(out, " SIZE=%" PRIu64, smtp_envelope_size(delivery));
		if (offered->eight_bit_mime && is_eight_bit(delivery->message))
			str_add_text(out, " BODY=8BITMIME");
		if (offered->smtputf8 && (delivery->needs_smtputf8 || is_international(delivery)))
			str_add_text(out, " SMTPUTF8");
		break;
	case SMTP_RCPT:
		str_addf(out, "RCPT TO:<%s>", delivery->recipient);
		if (offered->dsn && !session->lmtp)
			str_add_text(out, " NOTIFY=NEVER"); /* the mail was delivered once already; its sender is to hear nothing from us */
		break;
	default:
		str_add_text(out, "DATA");
	}
	str_add(out, "\r\n", 2);
}

void smtp_envelope_add_all(const struct smtp_session *session, struct str *out, const struct delivery *delivery)
{
	for (enum smtp_step step = SMTP_MAIL; step <= SMTP_DATA; step++)
		smtp_envelope_add(session, out, step, delivery);
}
