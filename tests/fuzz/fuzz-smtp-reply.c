/* fuzz-smtp-reply.c - lines of any bytes as replies; the limits and the class of the enhanced code must hold whatever comes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dest/smtp-reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct smtp_reply *reply)
{
	struct smtp_extensions extensions;
	char words[64];

	if (reply->code < 200 || reply->code > 599 || reply->lines == 0 || reply->lines > SMTP_REPLY_LINES_MAX || reply->len > SMTP_REPLY_BYTES_MAX)
		abort();
	if (reply->enhanced[0] != 0 && reply->enhanced[0] != (unsigned)reply->code / 100)
		abort();
	smtp_extensions_parse(&extensions, reply);
	smtp_reply_words(reply, words, sizeof(words));
	for (const char *at = words; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7E)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct smtp_reply reply;

	smtp_reply_init(&reply);
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((lf != NULL ? lf : end) - at);
		enum smtp_reply_state state = smtp_reply_line(&reply, at, len);

		if (state != SMTP_REPLY_MALFORMED)
			check(&reply);
		if (state != SMTP_REPLY_MORE)
			smtp_reply_init(&reply);
		at += len + (lf != NULL);
	}
	return 0;
}
