/* fuzz-imap-parse.c - any bytes as what an IMAP server says: lines go to the parser, literals are passed over. */
#include "source/imap-parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_inside(const struct imap_response *response)
{
	const char *text = response->text;
	size_t len = response->text_len;
	uint64_t number;

	while (imap_next_number(&text, &len, &number))
		continue;
	imap_parse_capabilities(response->text, response->text_len);
	if (response->code != NULL)
		imap_code_number(response);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imap_parser parser = {0};
	const char *at = (const char *)data, *end = at + size, *line_end;
	int rc = IMAP_COMPLETE;

	while (rc != IMAP_BROKEN && at < end && (line_end = memmem(at, (size_t)(end - at), "\r\n", 2)) != NULL) {
		size_t len = (size_t)(line_end - at);
		char *line = xmalloc(len); /* of its own, so that the sanitizer sees where it ends */
		struct error err;

		memcpy(line, at, len);
		at = line_end + 2;
		rc = imap_parse_line(&parser, line, len, &err);
		if (rc == IMAP_COMPLETE && parser.response.kind != IMAP_FETCH)
			look_inside(&parser.response);
		free(line);
		if (rc == IMAP_LITERAL)
			at = parser.literal < (size_t)(end - at) ? at + parser.literal : end;
	}
	imap_parser_done(&parser);
	return 0;
}
