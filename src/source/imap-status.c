#include <string.h>

#include "source/imap.h"

/* An untagged STATUS, RFC 9051 7.3.4: as answer to a survey, or as news. */

/* INBOX is the one name that may come in another case (RFC 9051 5.1). */
bool imap_is_folder(const struct imap_token *token, const char *name)
{
	size_t len = strlen(name), at = 0;

	if (token->kind != IMAP_TOKEN_ATOM && token->kind != IMAP_TOKEN_QUOTED)
		return false;
	if (len == strlen("INBOX") && strcasecmp(name, "INBOX") == 0)
		return token->len == len && strncasecmp(token->text, name, len) == 0;
	for (size_t i = 0; i < token->len; i++) {
		if (token->kind == IMAP_TOKEN_QUOTED && token->text[i] == '\\')
			i++;
		if (at == len || token->text[i] != name[at++])
			return false;
	}
	return at == len;
}

bool imap_read_status(struct imap_cursor *cursor, struct folder_status *ret_status)
{
	struct imap_token item, value;
	uint64_t messages = UINT64_MAX, uidnext = 0, uidvalidity = 0;

	if (!imap_take_token(cursor, &item) || item.kind != IMAP_TOKEN_OPEN)
		return false;
	while (imap_take_token(cursor, &item) && item.kind == IMAP_TOKEN_ATOM) {
		uint64_t number;

		if (!imap_take_token(cursor, &value) || !imap_token_number(&value, &number))
			return false;
		if (imap_token_is(&item, "MESSAGES"))
			messages = number;
		else if (imap_token_is(&item, "UIDNEXT"))
			uidnext = number;
		else if (imap_token_is(&item, "UIDVALIDITY"))
			uidvalidity = number;
	}
	if (messages > UINT32_MAX || uidnext == 0)
		return false;
	*ret_status = (struct folder_status){.exists = (uint32_t)messages, .uidnext = uidnext, .uidvalidity = uidvalidity};
	return true;
}
