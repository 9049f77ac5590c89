#include "net/wire.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "channel/channel.h"
#include "channel/wait.h"
#include "net/buffer.h"
#include "net/pace.h"
#include "net/stream.h"
#include "net/trace.h"

#define IN_FIRST_BYTES (16U << 10) /* a TLS record; all of it is freed when nothing is left to read */
#define IN_LEAST_BYTES (2U << 10)  /* a read into less is not worth its system call */
#define IN_BURST_BYTES (64U << 10) /* then the caller gets a turn, however fast the peer is */
#define OUT_FIRST_BYTES 512U
#define OUT_IDLE_BYTES (4U << 10) /* more than this is not kept between requests */

struct wire {
	struct stream *stream;
	struct channel *channel;
	size_t max_line;
	struct deadline deadline;
	bool wary;
	int64_t heard_ns, said_ns; /* CLOCK_MONOTONIC: when bytes came, or left, last */
	struct buffer in, out;
	size_t scanned; /* bytes of in, from its start, among which is no LF */
	size_t looked;  /* bytes of in that the caller has seen and left */
	bool full;      /* in takes no more until something is taken */
	bool ends_on_stop;
	bool lost; /* nothing more will come */
	bool lost_told;
	struct error lost_err; /* why, unless the peer closed in order (ERR_NONE) */
	short read_want, write_want;
	struct pace pace;
	uint64_t bytes_in, bytes_out;
	struct trace trace;
	const struct secret *guarded; /* during a login */
	bool repeated;
};

struct wire *wire_new(struct stream *stream_take, struct channel *channel, size_t max_line)
{
	struct wire *wire = xcalloc(1, sizeof(*wire));

	assert(max_line <= WIRE_UNREAD_MAX / 4); /* else a line might not fit behind what is being moved out of its way */
	wire->channel = channel;
	wire->max_line = max_line;
	wire->deadline = DEADLINE_NEVER;
	wire->heard_ns = clock_monotonic_ns();
	wire_set_stream(wire, stream_take);
	return wire;
}

void wire_free(struct wire *wire)
{
	if (wire == NULL)
		return;
	stream_close(wire->stream);
	buffer_done(&wire->in);
	buffer_done(&wire->out);
	trace_done(&wire->trace);
	free(wire);
}

struct stream *wire_stream(struct wire *wire)
{
	return wire->stream;
}

void wire_set_stream(struct wire *wire, struct stream *stream_take)
{
	assert(buffer_length(&wire->in) == 0 && buffer_length(&wire->out) == 0);
	wire->stream = stream_take;
	wire->read_want = POLLIN;
	wire->write_want = POLLOUT;
}

void wire_set_trace(struct wire *wire, wire_trace_fn *trace, void *context)
{
	wire->trace.fn = trace;
	wire->trace.context = context;
}

void wire_guard(struct wire *wire, const struct secret *secret)
{
	wire->guarded = secret;
	wire->repeated = false;
}

void wire_guard_end(struct wire *wire, const char *who, struct error *err)
{
	wire->guarded = NULL;
	if (wire->repeated && err != NULL)
		error_code(err, err->kind, err->scope, err->code, "%s %s; its words are not shown, because they repeat the password", who,
			err->kind == ERR_AUTH ? "refused the login" : "did not finish the login");
}

void wire_set_deadline(struct wire *wire, struct deadline deadline)
{
	wire->deadline = deadline;
}

void wire_set_flowing(struct wire *wire, bool flowing)
{
	pace_set_flowing(&wire->pace, flowing, clock_monotonic_ns(), wire->bytes_in);
}

void wire_excuse(struct wire *wire)
{
	pace_excuse(&wire->pace, clock_monotonic_ns(), wire->bytes_in);
}

void wire_set_wary(struct wire *wire, bool wary)
{
	wire->wary = wary;
}

/* For a peer that has not been heard of since the machine woke up, and owes us a word, or takes none of ours; counted from the last that it took. */
static struct deadline woken_due(const struct wire *wire)
{
	bool owes = wire->deadline.ns != DEADLINE_NEVER.ns || wire->pace.flowing || buffer_length(&wire->out) != 0;
	int64_t since_ns;

	if (!wire->wary || !owes || wire->full || wire->channel == NULL || wire->channel->woke_ns <= wire->heard_ns)
		return DEADLINE_NEVER;
	since_ns = wire->channel->woke_ns > wire->said_ns ? wire->channel->woke_ns : wire->said_ns;
	return (struct deadline){since_ns + (int64_t)(WIRE_WOKEN_S * 1e9 * deadline_factor())};
}

struct deadline wire_due(const struct wire *wire)
{
	return deadline_min(deadline_min(wire->deadline, woken_due(wire)), pace_due(&wire->pace));
}

/* -- Out -- */

static void add(struct wire *wire, const void *bytes, size_t len)
{
	size_t room;

	memcpy(buffer_room(&wire->out, len, OUT_FIRST_BYTES, SIZE_MAX / 4, &room), bytes, len);
	wire->out.end += len;
}

void wire_add(struct wire *wire, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	add(wire, bytes, len);
	trace_sent(&wire->trace, bytes, len);
}

void wire_addf(struct wire *wire, const char *format, ...)
{
	struct str text = {0};
	va_list args;

	va_start(args, format);
	str_vaddf(&text, format, args);
	va_end(args);
	wire_add(wire, text.data, text.len);
	str_done(&text);
}

void wire_add_data(struct wire *wire, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	add(wire, bytes, len);
	trace_sent_data(&wire->trace, len);
}

void wire_add_secret(struct wire *wire, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	wire->out.wipe = true;
	add(wire, bytes, len);
	trace_sent_secret(&wire->trace);
}

size_t wire_unsent(const struct wire *wire)
{
	return buffer_length(&wire->out);
}

int wire_flush_some(struct wire *wire, struct error *err)
{
	trace_flush(&wire->trace);
	while (buffer_length(&wire->out) != 0) {
		ssize_t n = stream_write(wire->stream, buffer_bytes(&wire->out), buffer_length(&wire->out), err);

		if (n == STREAM_AGAIN) {
			wire->write_want = wire->stream->want;
			return 0;
		}
		if (n < 0)
			return -1;
		wire->bytes_out += (uint64_t)n;
		wire->said_ns = clock_monotonic_ns();
		buffer_take(&wire->out, (size_t)n);
	}
	wire->write_want = POLLOUT;
	if (wire->out.cap > OUT_IDLE_BYTES)
		buffer_shrink(&wire->out);
	return 1;
}

/* -- In -- */

/* True if something came. */
static bool take_in(struct wire *wire)
{
	uint64_t before = wire->bytes_in;
	ssize_t n = 0;

	if (wire->lost)
		return false;
	do {
		size_t room;
		char *to = buffer_room(&wire->in, IN_LEAST_BYTES, IN_FIRST_BYTES, WIRE_UNREAD_MAX, &room);

		wire->full = to == NULL;
		if (wire->full)
			break;
		n = stream_read(wire->stream, to, room, &wire->lost_err);
		if (n > 0) {
			wire->in.end += (size_t)n;
			wire->bytes_in += (uint64_t)n;
			wire->heard_ns = clock_monotonic_ns();
		}
		wire->read_want = n == STREAM_AGAIN ? wire->stream->want : POLLIN;
	} while (n > 0 && stream_pending(wire->stream) && wire->bytes_in - before < IN_BURST_BYTES);
	wire->lost = n < 0;
	if (wire->full)
		pace_excuse(&wire->pace, clock_monotonic_ns(), wire->bytes_in);
	else
		pace_read(&wire->pace, clock_monotonic_ns(), wire->bytes_in, wire->bytes_in != before);
	return wire->bytes_in != before;
}

static int tell_loss(struct wire *wire, struct error *err)
{
	wire->lost_told = true;
	if (wire->lost_err.kind == ERR_NONE)
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server closed the connection%s",
			buffer_length(&wire->in) != 0 ? " in the middle of a reply" : "");
	if (err != NULL)
		*err = wire->lost_err;
	return -1;
}

int wire_fill(struct wire *wire, struct error *err)
{
	bool came = take_in(wire);

	if (!wire->lost && pace_check(&wire->pace, err) < 0)
		return -1;
	if (came)
		return 1;
	buffer_shrink(&wire->in);
	if (wire->lost)
		return tell_loss(wire, err);
	if (wire->ends_on_stop && wire->channel != NULL && wire->channel->stop)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	if (deadline_passed(woken_due(wire)))
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server has said nothing since this machine woke up");
	if (!wire->full && deadline_passed(wire->deadline))
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server did not answer in time");
	return 0;
}

void wire_end_on_stop(struct wire *wire)
{
	wire->ends_on_stop = true;
}

/* Sleeps until the socket is ready for events, or until due. */
static int sleep_for(struct wire *wire, short events, struct deadline due, struct error *err)
{
	struct pollfd fd = {.fd = wire->stream->fd, .events = events};

	if (wire->channel != NULL && wire->channel->hurry)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	return wait_io(&fd, 1, due, wire->channel, err) < 0 ? -1 : 0;
}

int wire_flush(struct wire *wire, struct error *err)
{
	struct deadline stall = deadline_in_s(WIRE_STALL_S), due;
	uint64_t moved = 0;

	for (;;) {
		int done = wire_flush_some(wire, err);

		if (done != 0)
			return done < 0 ? -1 : 0;
		take_in(wire);
		if (wire->bytes_in + wire->bytes_out != moved)
			stall = deadline_in_s(WIRE_STALL_S);
		moved = wire->bytes_in + wire->bytes_out;
		due = deadline_min(deadline_min(wire->deadline, woken_due(wire)), stall);
		if (deadline_passed(due))
			return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server stopped taking what we send");
		if (sleep_for(wire, wire_events(wire), due, err) < 0)
			return -1;
	}
}

const char *wire_peek(struct wire *wire, size_t *ret_len)
{
	*ret_len = wire->looked = buffer_length(&wire->in);
	return *ret_len != 0 ? buffer_bytes(&wire->in) : "";
}

static void take(struct wire *wire, size_t len)
{
	buffer_take(&wire->in, len);
	wire->scanned = wire->scanned > len ? wire->scanned - len : 0;
	wire->looked = 0;
	wire->full = false;
	pace_line_ended(&wire->pace);
}

void wire_consume(struct wire *wire, size_t len)
{
	trace_data(&wire->trace, len);
	take(wire, len);
}

static int too_long(const struct wire *wire, struct error *err)
{
	return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server sent a line of more than %zu bytes", wire->max_line);
}

static void trace_received(struct wire *wire, const char *line, size_t len)
{
	static const char instead[] = "(a line that repeats the password)";

	if (wire->guarded != NULL && secret_is_in(wire->guarded, line, len)) {
		wire->repeated = true;
		line = instead;
		len = sizeof(instead) - 1;
	}
	trace_line(&wire->trace, line, len);
}

int wire_peek_line(struct wire *wire, char **ret_line, size_t *ret_len, struct error *err)
{
	size_t have = buffer_length(&wire->in), len;
	char *line = have != 0 ? buffer_bytes(&wire->in) : NULL;
	char *lf = have > wire->scanned ? memchr(line + wire->scanned, '\n', have - wire->scanned) : NULL;

	if (lf == NULL) {
		wire->scanned = wire->looked = have;
		if (have > wire->max_line + 1) /* its CR may have come already */
			return too_long(wire, err);
		return have != 0 ? pace_line_begun(&wire->pace, err) : 0;
	}
	wire->scanned = (size_t)(lf - line);
	if (lf == line || lf[-1] != '\r')
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server ended a line with LF alone instead of CR and LF");
	len = (size_t)(lf - line) - 1;
	if (len > wire->max_line)
		return too_long(wire, err);
	if (memchr(line, '\0', len) != NULL)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server sent a NUL byte within a line");
	line[len] = '\0';
	trace_received(wire, line, len);
	take(wire, len + 2);
	*ret_line = line;
	*ret_len = len;
	return 1;
}

int wire_line(struct wire *wire, char **ret_line, size_t *ret_len, struct error *err)
{
	for (;;) {
		int got = wire_peek_line(wire, ret_line, ret_len, err);

		if (got != 0)
			return got < 0 ? -1 : 0;
		got = wire_fill(wire, err);
		if (got > 0)
			continue;
		if (got < 0 || wire_flush_some(wire, err) < 0 || sleep_for(wire, wire_events(wire), wire_due(wire), err) < 0)
			return -1;
	}
}

bool wire_has_input(struct wire *wire)
{
	if (buffer_length(&wire->in) == 0)
		take_in(wire);
	return buffer_length(&wire->in) != 0;
}

/* -- For whoever polls -- */

int wire_fd(const struct wire *wire)
{
	return wire->stream->fd;
}

short wire_events(const struct wire *wire)
{
	short events = wire->full || wire->lost ? 0 : wire->read_want;

	return wire_unsent(wire) != 0 ? (short)(events | wire->write_want) : events;
}

bool wire_is_ready(const struct wire *wire)
{
	return buffer_length(&wire->in) > wire->looked || (!wire->full && stream_pending(wire->stream)) || (wire->lost && !wire->lost_told);
}

uint64_t wire_bytes_in(const struct wire *wire)
{
	return wire->bytes_in;
}

uint64_t wire_bytes_out(const struct wire *wire)
{
	return wire->bytes_out;
}
