#include "worker/outlet.h"

#include "channel/job.h"
#include "dest/dest.h"

void outlet_init(struct outlet *outlet, const struct job *job, unsigned index, struct channel *channel, struct secret *secret_take,
	const int directories[3], struct tls_summary *tls, void (*trace)(void *, char, const char *, size_t), void *trace_context)
{
	const struct dest_context context = {
		.channel = channel,
		.wire_fd = -1,
		.index = index,
		.config = &job->destinations[index],
		.secret = secret_take,
		.host = job->host,
		.tmp_fd = directories[0],
		.new_fd = directories[1],
		.cur_fd = directories[2],
		.trace = trace,
		.trace_context = trace_context,
		.tls = tls,
	};

	*outlet = (struct outlet){.dest = dest_new(&context), .config = &job->destinations[index]};
}

bool outlet_ready(struct outlet *outlet)
{
	if (outlet->down || outlet->open)
		return outlet->open;
	outlet->accepted = 0;
	if (dest_open(outlet->dest, &outlet->error) < 0)
		outlet->down = true;
	else
		outlet->open = true;
	return outlet->open;
}

void outlet_stop(struct outlet *outlet, const struct error *err)
{
	outlet->open = false;
	outlet->down = true;
	outlet->error = *err;
}

void outlet_lost(struct outlet *outlet, const struct error *err)
{
	if (outlet->accepted != 0 && err->kind == ERR_TEMP)
		outlet->open = false;
	else
		outlet_stop(outlet, err);
}

void outlet_close(struct outlet *outlet)
{
	if (outlet->open)
		dest_close(outlet->dest, NULL); /* all verdicts are in; a lost QUIT changes nothing */
	outlet->open = false;
}

void outlet_done(struct outlet *outlet)
{
	dest_free(outlet->dest);
	outlet->dest = NULL;
}
