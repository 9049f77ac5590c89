#include "net/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A longer line of ours is cut; none of our commands comes near. */
#define LINE_BYTES_MAX 4096

static void show_data(struct trace *trace, char direction, uint64_t *count)
{
	char text[48];
	int len;

	if (*count == 0)
		return;
	len = snprintf(text, sizeof(text), "(%" PRIu64 " bytes of data)", *count);
	*count = 0;
	trace->fn(trace->context, direction, text, (size_t)len);
}

static void show_sent(struct trace *trace)
{
	if (trace->line.len != 0)
		trace->fn(trace->context, '>', trace->line.data, trace->line.len);
	str_clear(&trace->line);
}

void trace_sent(struct trace *trace, const char *bytes, size_t len)
{
	if (trace->fn == NULL)
		return;
	show_data(trace, '>', &trace->data_out);
	while (len != 0) {
		const char *lf = memchr(bytes, '\n', len);
		size_t piece = lf != NULL ? (size_t)(lf - bytes) : len, room = LINE_BYTES_MAX - trace->line.len;
		size_t text = lf != NULL && piece != 0 && lf[-1] == '\r' ? piece - 1 : piece;

		str_add(&trace->line, bytes, text < room ? text : room);
		if (lf != NULL) {
			show_sent(trace);
			piece++;
		}
		bytes += piece;
		len -= piece;
	}
}

void trace_sent_secret(struct trace *trace)
{
	trace_sent(trace, "*", 1);
}

void trace_sent_data(struct trace *trace, size_t len)
{
	if (trace->fn == NULL)
		return;
	show_sent(trace);
	trace->data_out += len;
}

void trace_flush(struct trace *trace)
{
	if (trace->fn == NULL)
		return;
	show_sent(trace);
	show_data(trace, '>', &trace->data_out);
}

void trace_line(struct trace *trace, const char *line, size_t len)
{
	if (trace->fn == NULL)
		return;
	show_data(trace, '<', &trace->data_in);
	trace->fn(trace->context, '<', line, len);
}

void trace_data(struct trace *trace, size_t len)
{
	if (trace->fn != NULL)
		trace->data_in += len;
}

void trace_done(struct trace *trace)
{
	if (trace->fn != NULL)
		show_data(trace, '<', &trace->data_in);
	str_done(&trace->line);
}
