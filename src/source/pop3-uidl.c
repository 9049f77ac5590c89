#include "source/pop3-session.h"

#include <poll.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "channel/wait.h"
#include "net/wire.h"
#include "source/pop3-listing.h"

/* The answer to UIDL is taken in as it comes, and looked at only if it is not the same as last time: of a mailbox in which mail is kept it is nearly all
 * that a poll has to do. */

#define PIECE_BYTES 16384
#define EXCESS_LINES 1000                                     /* servers may count a message that arrives while they list */
#define TEXT_MAX (POP3_UIDL_TEXT_MAX + 16 * POP3_LISTING_MAX) /* with numbers and line ends */

static int wait_for_bytes(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	int got;

	wire_set_deadline(wire, pop3_patience(pop3));
	while ((got = wire_fill(wire, err)) == 0) {
		struct pollfd poll = {.fd = wire_fd(wire), .events = wire_events(wire)};

		if (wait_io(&poll, 1, wire_due(wire), pop3->context->channel, err) < 0)
			return -1;
	}
	return got < 0 ? -1 : 0;
}

/* How long the answer may be: no longer than the number of messages allows. */
static size_t max_text(const struct pop3 *pop3)
{
	uint64_t max = ((uint64_t)pop3->exists + EXCESS_LINES) * (POP3_LINE_MAX + 2);

	return max < TEXT_MAX ? (size_t)max : TEXT_MAX;
}

static int add_text(struct pop3 *pop3, const char *bytes, size_t len, struct error *err)
{
	if (len > max_text(pop3) - pop3->uidl.len)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX,
			"the unique ids of the mailbox (UIDL) are far too long for %u messages: that is no sane server", (unsigned)pop3->exists);
	str_add(&pop3->uidl, bytes, len);
	for (const char *end = bytes + len, *next; bytes < end; bytes = next) {
		const char *line_end = memchr(bytes, '\n', (size_t)(end - bytes));

		next = line_end != NULL ? line_end + 1 : end;
		pop3->uidl_line += (size_t)(next - bytes);
		if (pop3->uidl_line > POP3_LINE_MAX + 2)
			return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server sent a line of more than %d bytes", POP3_LINE_MAX);
		if (line_end != NULL)
			pop3->uidl_line = 0;
	}
	return 0;
}

/* Up to the line with nothing but a dot. */
static int read_text(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct dot_decoder dots;

	dot_decoder_init(&dots);
	while (!dots.ended) {
		char piece[PIECE_BYTES + 4];
		size_t len, used;
		const char *bytes = wire_peek(wire, &len);

		if (len == 0) {
			if (wait_for_bytes(pop3, err) < 0)
				return -1;
			continue;
		}
		len = dot_decode(&dots, bytes, len < PIECE_BYTES ? len : PIECE_BYTES, piece, &used);
		wire_consume(wire, used);
		if (add_text(pop3, piece, len, err) < 0)
			return -1;
	}
	return 0;
}

int pop3_uidl_read(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;
	int done;

	wire_set_deadline(pop3->source.wire, pop3_patience(pop3));
	if (pop3_ask(pop3, "UIDL", &reply, err) < 0)
		return -1;
	pop3->ahead.uidl = false;
	pop3->has_uidl = reply.status == POP3_OK;
	if (!pop3->has_uidl)
		return 0;
	str_clear(&pop3->uidl);
	pop3->uidl_line = 0;
	wire_set_flowing(pop3->source.wire, true);
	done = read_text(pop3, err);
	wire_set_flowing(pop3->source.wire, false);
	return done;
}

bool pop3_uidl_is(const struct pop3 *pop3, const uint8_t listing[32])
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(str_text(&pop3->uidl), pop3->uidl.len, digest);
	return memcmp(digest, listing, sizeof(digest)) == 0;
}

static int add_lines(const char *at, size_t left, struct pop3_listing *listing, struct error *err)
{
	while (left != 0) {
		const char *end = memchr(at, '\n', left);
		size_t len = (size_t)(end - at); /* with its CR; the text ends with CRLF */

		if (len == 0 || end[-1] != '\r' || memchr(at, '\0', len) != NULL) /* no UIDL may hold a NUL: keys of copies do (pop3-listing.h) */
			return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server ended a line with LF alone, or put a NUL into it");
		if (pop3_listing_add_uidl(listing, at, len - 1, err) < 0)
			return -1;
		at += len + 1;
		left -= len + 1;
	}
	return 0;
}

int pop3_uidl_each(struct pop3 *pop3, struct pop3_listing *listing, struct error *err)
{
	int done = add_lines(str_text(&pop3->uidl), pop3->uidl.len, listing, err);

	sha256_of(str_text(&pop3->uidl), pop3->uidl.len, pop3->source.listing);
	str_done(&pop3->uidl);
	return done;
}
