#include "auth/bearer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

int bearer_check(const char *user, const struct secret *token, struct error *err)
{
	const char *bytes = secret_bytes(token);

	if (secret_length(token) == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the OAuth2 token is empty");
	for (size_t i = 0; i < secret_length(token); i++)
		if (bytes[i] <= 0x20 || bytes[i] > 0x7E)
			return error_set(err, ERR_CONFIG, SCOPE_MAILBOX,
				"the OAuth2 token holds blanks or other bytes that no token has: the command that prints it must print nothing else");
	for (; *user != '\0'; user++)
		if ((unsigned char)*user < 0x20)
			return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the user name holds a control character");
	return 0;
}

static char *append(char *to, const char *bytes, size_t len)
{
	memcpy(to, bytes, len);
	return to + len;
}

static struct secret *with_token(const char *head, size_t head_len, const struct secret *token)
{
	static const char tail[] = "\001\001";
	struct secret *message = secret_new_size(head_len + secret_length(token) + sizeof(tail) - 1);
	char *to = append(secret_buffer(message), head, head_len);

	to = append(to, secret_bytes(token), secret_length(token));
	append(to, tail, sizeof(tail) - 1);
	return message;
}

struct secret *bearer_xoauth2(const char *user, const struct secret *token)
{
	struct str head = {0};
	struct secret *message;

	str_addf(&head, "user=%s\001auth=Bearer ", user);
	message = with_token(head.data, head.len, token);
	str_done(&head);
	return message;
}

struct secret *bearer_oauthbearer(const char *user, const struct secret *token, const char *host, uint16_t port)
{
	struct str head = {0};
	struct secret *message;

	str_add_text(&head, "n,a=");
	for (; *user != '\0'; user++) { /* saslname, RFC 5801 4 */
		if (*user == '=')
			str_add_text(&head, "=3D");
		else if (*user == ',')
			str_add_text(&head, "=2C");
		else
			str_add_byte(&head, *user);
	}
	str_addf(&head, ",\001host=%s\001port=%u\001auth=Bearer ", host, (unsigned)port);
	message = with_token(head.data, head.len, token);
	str_done(&head);
	return message;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

/* Where the value of "status" begins, or end. */
static const char *status_value(const char *at, const char *end)
{
	static const char key[] = "\"status\"";

	while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1)) != NULL) {
		at = skip_blanks(at + sizeof(key) - 1, end);
		if (at < end && *at == ':')
			return skip_blanks(at + 1, end);
	}
	return end; /* none, or only as the value of something else */
}

void bearer_status(char *out, size_t size, const char *json, size_t len)
{
	const char *end = json + len, *from = status_value(json, end), *to;
	bool quoted = from < end && *from == '"';

	if (quoted)
		from++;
	for (to = from; to < end && *to != '"' && (quoted || (*to != ',' && *to != '}' && !is_blank(*to))); to++)
		;
	escape_into(out, size, from, (size_t)(to - from));
}
