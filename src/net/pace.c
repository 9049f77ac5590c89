#include "net/pace.h"

#include "base/error.h"
#include "net/wire.h"

#define NS_PER_S 1e9

static int64_t scaled_ns(double seconds)
{
	return (int64_t)(seconds * deadline_factor() * NS_PER_S);
}

static void begin(struct pace *pace, int64_t now_ns, uint64_t bytes)
{
	pace->slow = false;
	pace->came_ns = pace->window_ns = now_ns;
	pace->window_at = bytes;
}

void pace_set_flowing(struct pace *pace, bool flowing, int64_t now_ns, uint64_t bytes)
{
	if (flowing && !pace->flowing)
		begin(pace, now_ns, bytes);
	pace->flowing = flowing;
}

void pace_excuse(struct pace *pace, int64_t now_ns, uint64_t bytes)
{
	pace->read_ns = now_ns;
	begin(pace, now_ns, bytes);
}

void pace_read(struct pace *pace, int64_t now_ns, uint64_t bytes, bool came)
{
	pace->read_ns = now_ns;
	if (!pace->flowing)
		return;
	if (came)
		pace->came_ns = now_ns;
	pace->benign = came && !pace->slow;
	if (now_ns - pace->window_ns >= scaled_ns(WIRE_STALL_S)) {
		double least = WIRE_MIN_BYTES_PER_S * (double)(now_ns - pace->window_ns) / NS_PER_S;

		pace->slow |= (double)(bytes - pace->window_at) < least;
		pace->window_ns = now_ns;
		pace->window_at = bytes;
	}
}

int pace_check(const struct pace *pace, struct error *err)
{
	if (!pace->flowing)
		return 0;
	if (pace->read_ns - pace->came_ns >= scaled_ns(WIRE_STALL_S))
		return error_set(
			err, ERR_TEMP, SCOPE_MAILBOX, "the server has sent nothing for %d seconds in the middle of a transfer", WIRE_STALL_S);
	if (pace->slow && !pace->benign)
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server sends fewer than %d bytes a second", WIRE_MIN_BYTES_PER_S);
	return 0;
}

int pace_line_begun(struct pace *pace, struct error *err)
{
	if (!pace->in_line) {
		pace->in_line = true;
		pace->line_ns = pace->read_ns;
	}
	if (pace->read_ns - pace->line_ns < scaled_ns(WIRE_LINE_S))
		return 0;
	return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server has not finished a line within %d seconds", WIRE_LINE_S);
}

void pace_line_ended(struct pace *pace)
{
	pace->in_line = false;
}

struct deadline pace_due(const struct pace *pace)
{
	struct deadline due = DEADLINE_NEVER;

	if (pace->flowing) {
		due = deadline_min(due, (struct deadline){pace->came_ns + scaled_ns(WIRE_STALL_S)});
		due = deadline_min(due, (struct deadline){pace->window_ns + scaled_ns(WIRE_STALL_S)});
	}
	if (pace->in_line)
		due = deadline_min(due, (struct deadline){pace->line_ns + scaled_ns(WIRE_LINE_S)});
	return due;
}
