/* wire.h - lines and counted bytes over a stream, with buffers, limits and deadlines. RFC 5321 2.3.8, RFC 3501 2.2, RFC 1939 3.
 * Reading calls come in two kinds: wire_fill and the wire_peek family never block; wire_line and wire_flush sleep (in wait_io) until the deadline, or until
 * the supervisor wants us to leave at once (ERR_CANCELED). */
#ifndef MAILHAUL_NET_WIRE_H
#define MAILHAUL_NET_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct channel;
struct error;
struct secret;
struct stream;
struct wire;

#define WIRE_STALL_S 120         /* nothing moved for so long while it should: the peer is gone (NAT, tarpit) */
#define WIRE_WOKEN_S 15          /* nothing came for so long after the machine had slept */
#define WIRE_LINE_S 60           /* a line is complete so long after its first byte */
#define WIRE_MIN_BYTES_PER_S 128 /* below this over WIRE_STALL_S while it should flow: aborted */
#define WIRE_UNREAD_MAX (256U << 10)

typedef void wire_trace_fn(void *context, char direction, const char *bytes, size_t len); /* direction: '<' from, '>' to the peer */

/* Takes the stream. channel may be NULL. max_line: longest line without its CRLF, at most a quarter of WIRE_UNREAD_MAX.
 * Errors have SCOPE_MAILBOX; a destination puts its own scope in. */
struct wire *wire_new(struct stream *stream_take, struct channel *channel, size_t max_line);
void wire_free(struct wire *wire); /* closes the stream; NULL is fine */
struct stream *wire_stream(struct wire *wire);
/* Swaps the stream, for STARTTLS; both buffers must be empty (asserted) so that nothing from before is believed after (CVE-2021-22947). The old
 * stream is not closed: the new one owns it. */
void wire_set_stream(struct wire *wire, struct stream *stream_take);
/* For --trace: every line sent and received; secrets appear as *, counted bytes as their number. */
void wire_set_trace(struct wire *wire, wire_trace_fn *trace, void *context);
/* During a login, secret borrowed: a line that repeats it, as some servers do with what they do not understand, is traced without its words. */
void wire_guard(struct wire *wire, const struct secret *secret);
/* The login is over. err, of a login that failed, else NULL: said without the server's words if they repeat the secret. who: "server". */
void wire_guard_end(struct wire *wire, const char *who, struct error *err);
/* From now on wire_fill fails (ERR_CANCELED) when the supervisor has said STOP and nothing came: for a source, which owes us nothing worth waiting for. */
void wire_end_on_stop(struct wire *wire);
/* While this holds, a peer that owes us something is given up soon if it is silent after the machine has slept: the connection has most likely died meanwhile.
 * Not in a new wire, since where the answer decides about a message it is worth waiting for. */
void wire_set_wary(struct wire *wire, bool wary);
/* The caller has been busy elsewhere: that nothing was read meanwhile is not held against the peer. */
void wire_excuse(struct wire *wire);
/* Whoever reads or flushes must be done by then; wire_fill fails too when it has passed and nothing came. Each protocol step sets its own;
 * DEADLINE_NEVER (as in a new wire) while the peer owes nothing. */
void wire_set_deadline(struct wire *wire, struct deadline deadline);
/* True while the peer owes us a stream of bytes (messages asked for, a long listing): then stalls and trickles end the session. False (as in a
 * new wire) while it may think in silence, as over a final dot or in IDLE. */
void wire_set_flowing(struct wire *wire, bool flowing);
/* Whoever polls must call wire_fill by then even if nothing came, so that a passed deadline or a stall is noticed. */
struct deadline wire_due(const struct wire *wire);

/* Out: gathered in memory; nothing is sent before wire_flush. */
void wire_add(struct wire *wire, const void *bytes, size_t len);
void wire_addf(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wire_add_data(struct wire *wire, const void *bytes, size_t len);   /* of a message: traced as a number of bytes */
void wire_add_secret(struct wire *wire, const void *bytes, size_t len); /* traced as *, wiped once sent */
size_t wire_unsent(const struct wire *wire);
/* Takes in what the peer says meanwhile, so that two who write cannot block each other. */
int wire_flush(struct wire *wire, struct error *err);
/* Sends what the socket takes now. 1: all gone, 0: some left, -1. */
int wire_flush_some(struct wire *wire, struct error *err);

/* In. Reads what has arrived, never blocks. 1: new bytes. 0: none now. -1: lost or ended (ERR_TEMP, "... closed the connection"), too late, stalled.
 * Reads no more while WIRE_UNREAD_MAX lie unread, so that a peer cannot fill our memory. What came before the end can still be taken. */
int wire_fill(struct wire *wire, struct error *err);
const char *wire_peek(struct wire *wire, size_t *ret_len); /* what lies in the buffer; valid until the next call */
void wire_consume(struct wire *wire, size_t len);
/* A complete line if one lies in the buffer: 1 and the line without CRLF, NUL put behind it, valid until the next call; it is consumed. 0: not yet.
 * -1: longer than max_line, ended by LF alone, or holding a NUL (ERR_PROTO). Never blocks, does not read. */
int wire_peek_line(struct wire *wire, char **ret_line, size_t *ret_len, struct error *err);
/* The next line, waiting for it. 0, or -1: deadline, end, stall, or as above. */
int wire_line(struct wire *wire, char **ret_line, size_t *ret_len, struct error *err);
/* True if bytes lie in the buffer, in the TLS layer, or in the socket: something the peer sent before it was asked. Reads them into the buffer. */
bool wire_has_input(struct wire *wire);

int wire_fd(const struct wire *wire);       /* for poll */
short wire_events(const struct wire *wire); /* what to poll for now: POLLIN, and POLLOUT while bytes are unsent; 0: leave it out of the poll */
/* Something to do that poll does not see: bytes in the TLS layer, bytes in the buffer that nobody has looked at since they came or since something
 * before them was taken (half a line that was looked at and left does not count), or an end that wire_fill has not told of yet. */
bool wire_is_ready(const struct wire *wire);
uint64_t wire_bytes_in(const struct wire *wire);
uint64_t wire_bytes_out(const struct wire *wire);

#endif
