/* fuzz-pop3-reply.c - everything a POP3 server may say, as lines of a reply, of LIST and of UIDL. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "source/pop3-listing.h"
#include "source/pop3-reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int check(void *context, const struct listed *entry, struct error *err)
{
	uint32_t *last = context;

	(void)err;
	if (entry->uid <= *last || (entry->key != NULL && (entry->key_len == 0 || entry->key_len > KEY_MAX)))
		abort();
	*last = entry->uid;
	return 0;
}

/* The first half of the input is LIST's answer, the second UIDL's. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct pop3_listing *listing = pop3_listing_new(100);
	const char *at = (const char *)bytes, *half = at + len / 2, *end = at + len;
	bool contradictory, sized = false;
	struct error err;
	uint32_t last = 0;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t line_len = (size_t)((lf != NULL ? lf : end) - at);
		uint32_t count;

		(void)pop3_reply_parse(at, line_len);
		(void)pop3_capa_is(at, line_len, "PIPELINING");
		(void)pop3_stat_parse(at, line_len, &count);
		if (at < half) {
			(void)pop3_listing_add_size(listing, at, line_len, &err);
		} else {
			if (!sized)
				pop3_listing_sized(listing);
			sized = true;
			(void)pop3_listing_add_uidl(listing, at, line_len, &err);
		}
		at += line_len + 1;
	}
	if (!sized)
		pop3_listing_sized(listing);
	(void)pop3_listing_each(listing, true, check, &last, &contradictory, &err);
	pop3_listing_free(listing);
	return 0;
}
