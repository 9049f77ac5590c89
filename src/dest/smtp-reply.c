#include "dest/smtp-reply.h"

#include <stdio.h>
#include <string.h>

#include "auth/sasl.h"
#include "base/str.h"

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

void smtp_reply_init(struct smtp_reply *reply)
{
	reply->code = 0;
	reply->lines = 0;
	memset(reply->enhanced, 0, sizeof(reply->enhanced));
	reply->complete = false;
	reply->len = 0;
	reply->text[0] = '\0';
}

/* RFC 3463 2: class "." subject "." detail, the latter of one to three digits each. */
static void parse_enhanced(struct smtp_reply *reply, const char *text, size_t len)
{
	unsigned number[3] = {0};
	size_t at = 0;

	for (unsigned part = 0; part < 3; part++) {
		size_t digits = 0;

		for (; at < len && is_digit(text[at]) && digits < 3; digits++)
			number[part] = number[part] * 10 + (unsigned)(text[at++] - '0');
		if (digits == 0 || (part < 2 && (at == len || text[at++] != '.')))
			return;
	}
	if ((at == len || text[at] == ' ') && number[0] == (unsigned)reply->code / 100)
		memcpy(reply->enhanced, number, sizeof(number));
}

static bool add_text(struct smtp_reply *reply, const char *text, size_t len)
{
	size_t separator = reply->lines != 0;

	if (reply->lines >= SMTP_REPLY_LINES_MAX || len + separator > SMTP_REPLY_BYTES_MAX - reply->len)
		return false;
	if (separator != 0)
		reply->text[reply->len++] = '\n';
	memcpy(reply->text + reply->len, text, len);
	reply->len += len;
	reply->text[reply->len] = '\0';
	reply->lines++;
	return true;
}

enum smtp_reply_state smtp_reply_line(struct smtp_reply *reply, const char *line, size_t len)
{
	size_t text_at = len > 3 ? 4 : 3;
	int code;

	if (len < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
		return SMTP_REPLY_MALFORMED;
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (code < 200 || code > 599 || (len > 3 && line[3] != ' ' && line[3] != '-'))
		return SMTP_REPLY_MALFORMED;
	if (reply->lines != 0 && code != reply->code)
		return SMTP_REPLY_MALFORMED;
	reply->code = code;
	if (!add_text(reply, line + text_at, len - text_at))
		return SMTP_REPLY_MALFORMED;
	if (reply->enhanced[0] == 0)
		parse_enhanced(reply, line + text_at, len - text_at);
	if (len > 3 && line[3] == '-')
		return SMTP_REPLY_MORE;
	reply->complete = true;
	return SMTP_REPLY_COMPLETE;
}

char *smtp_reply_words(const struct smtp_reply *reply, char *out, size_t size)
{
	char words[256];
	size_t used = (size_t)snprintf(words, sizeof(words), "%d%s", reply->code, reply->len != 0 ? " " : "");

	for (size_t i = 0; i < reply->len && used < sizeof(words); i++)
		words[used++] = reply->text[i] == '\n' ? ' ' : reply->text[i];
	return escape_into(out, size, words, used);
}

/* The parameters of a keyword, if the line begins with it; "AUTH=PLAIN" is how some servers of old spell "AUTH PLAIN". */
static const char *parameters(const char *line, size_t len, const char *keyword)
{
	size_t end = strlen(keyword);

	if (!ascii_prefix_nocase(line, len, keyword))
		return NULL;
	if (len == end)
		return line + end;
	return line[end] == ' ' || line[end] == '=' ? line + end + 1 : NULL;
}

/* RFC 9422 3: NAME=VALUE, separated by spaces. RCPTMAX and RCPTDOMAINMAX cannot be exceeded by one recipient. */
static void parse_limits(struct smtp_extensions *extensions, const char *text, size_t len)
{
	static const char name[] = "MAILMAX=";
	const char *end = text + len;

	while (text < end) {
		const char *space = memchr(text, ' ', (size_t)(end - text));
		const char *word_end = space != NULL ? space : end;
		unsigned long long value;

		if (ascii_prefix_nocase(text, (size_t)(word_end - text), name) &&
			parse_u64(text + strlen(name), (size_t)(word_end - text) - strlen(name), UINT64_MAX, &value))
			extensions->mail_max = value;
		text = space != NULL ? space + 1 : end;
	}
}

static void parse_extension(struct smtp_extensions *extensions, const char *line, size_t len)
{
	const struct {
		const char *keyword;
		bool *offered;
	} plain[] = {
		{"PIPELINING", &extensions->pipelining},
		{"8BITMIME", &extensions->eight_bit_mime},
		{"SMTPUTF8", &extensions->smtputf8},
		{"DSN", &extensions->dsn},
		{"CHUNKING", &extensions->chunking},
		{"ENHANCEDSTATUSCODES", &extensions->enhanced_codes},
		{"STARTTLS", &extensions->starttls},
	};
	unsigned long long size;
	const char *rest;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (parameters(line, len, plain[i].keyword) != NULL)
			*plain[i].offered = true;
	rest = parameters(line, len, "SIZE");
	if (rest != NULL && parse_u64(rest, len - (size_t)(rest - line), UINT64_MAX, &size))
		extensions->size_max = size;
	rest = parameters(line, len, "LIMITS");
	if (rest != NULL)
		parse_limits(extensions, rest, len - (size_t)(rest - line));
	rest = parameters(line, len, "AUTH");
	if (rest != NULL)
		sasl_offer_list(&extensions->logins, rest, len - (size_t)(rest - line));
}

void smtp_extensions_parse(struct smtp_extensions *extensions, const struct smtp_reply *reply)
{
	const char *end = reply->text + reply->len;
	const char *line = memchr(reply->text, '\n', reply->len); /* the first line is a greeting */

	memset(extensions, 0, sizeof(*extensions));
	while (line != NULL) {
		const char *next = memchr(line + 1, '\n', (size_t)(end - line - 1));

		parse_extension(extensions, line + 1, (size_t)((next != NULL ? next : end) - line - 1));
		line = next;
	}
}

bool smtp_reply_blames_content(const struct smtp_reply *reply)
{
	enum { OTHER, ADDRESS, MAILBOX, SYSTEM, NETWORK }; /* RFC 3463 3; behind these: protocol, content, policy */

	if (reply->code / 100 != 5)
		return false;
	if (reply->enhanced[0] == 0)
		return reply->code != 552;
	return reply->enhanced[1] == OTHER || reply->enhanced[1] > NETWORK;
}
