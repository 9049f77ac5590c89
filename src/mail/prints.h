/* prints.h - the two prints by which a message is known again: SHA-256 of its bytes, and of its trace, which survives a server that rewrites bodies
 * or line ends. The trace is Message-ID, Date, From and every Received field in their order, each canonical as in RFC 6376 3.4.2 ("relaxed"), so that
 * neither folding nor CRLF or LF nor the pieces in which it arrived matter. Only Received makes it unique: without one a trace proves nothing. */
#ifndef MAILHAUL_MAIL_PRINTS_H
#define MAILHAUL_MAIL_PRINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"

struct header_field;

struct prints {
	struct sha256 bytes, trace;
	bool has_trace; /* a Received field was among the fields */
};

void prints_init(struct prints *prints);
void prints_add_bytes(struct prints *prints, const void *bytes, size_t len);
/* Every field of the header, as header_scan finds it; those that are not part of the trace are passed over. */
void prints_add_field(struct prints *prints, const struct header_field *field);
void prints_end(struct prints *prints, uint8_t ret_hash[SHA256_BYTES], uint8_t ret_trace[SHA256_BYTES]);

#endif
