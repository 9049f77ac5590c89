/* trace.h - the wire as a person wants to read it: whole lines, secrets as *, messages as a count of bytes.
 * Masks by construction: a secret never gets here, and what goes into a message is not looked at. */
#ifndef MAILHAUL_NET_TRACE_H
#define MAILHAUL_NET_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef void trace_fn(void *context, char direction, const char *bytes, size_t len);

/* All-zero is one that nobody listens to; then every call is free. */
struct trace {
	trace_fn *fn;
	void *context;
	struct str line;            /* what goes out, until its CRLF */
	uint64_t data_in, data_out; /* bytes of messages not yet told of */
};

void trace_sent(struct trace *trace, const char *bytes, size_t len);
void trace_sent_data(struct trace *trace, size_t len);
void trace_sent_secret(struct trace *trace);
/* Shows what was gathered, complete line or not: it is on its way now. */
void trace_flush(struct trace *trace);
void trace_line(struct trace *trace, const char *line, size_t len); /* received, without CRLF */
void trace_data(struct trace *trace, size_t len);                   /* received */
void trace_done(struct trace *trace);

#endif
