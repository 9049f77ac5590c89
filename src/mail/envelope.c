#include "mail/envelope.h"

#include <string.h>

#include "config/config.h"
#include "mail/address.h"
#include "mail/message.h"

static const char *configured_sender(const char *sender)
{
	return strcmp(sender, "<>") == 0 ? "" : sender;
}

/* A login name that is no address says nothing about who may send. */
static bool has_login_address(const struct dest_config *dest)
{
	const char *user = dest->server.user;

	return dest->kind == DEST_SMTP && user != NULL && strchr(user, '@') != NULL && address_is_valid(user, strlen(user));
}

const char *envelope_sender(const struct mailbox_config *mailbox, const struct dest_config *dest, const struct message *message)
{
	if (mailbox->sender != NULL)
		return configured_sender(mailbox->sender);
	if (dest->sender != NULL)
		return configured_sender(dest->sender);
	if (has_login_address(dest))
		return dest->server.user;
	return message->has_return_path ? message->return_path : "";
}

bool envelope_needs_smtputf8(const char *sender, const char *recipient, const struct message *message)
{
	return message->utf8_header || !address_is_ascii(sender) || !address_is_ascii(recipient);
}
