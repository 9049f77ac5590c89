#include "worker/outlet.h"

#include <string.h>

#include "channel/channel.h"
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
		.adopt_before = job->adopt_before,
		.trace = trace,
		.trace_context = trace_context,
		.tls = tls,
	};

	*outlet = (struct outlet){.dest = dest_new(&context), .config = &job->destinations[index], .index = index};
	STAILQ_INIT(&outlet->ready);
	if (job->mode == JOB_HAUL)
		outlet->channel = channel;
}

/* So that it backs off, for all mailboxes. What is no fault of its own (our disk, a stop) is told otherwise. */
static void tell_failure(const struct outlet *outlet)
{
	const struct error *why = &outlet->error;
	struct record report = {.kind = REC_DESTINATION,
			      .index = outlet->index,
			      .error = (uint8_t)why->kind,
			      .scope = SCOPE_DESTINATION,
			      .code = (uint32_t)why->code},
		      answer;

	if (outlet->channel == NULL || why->scope != SCOPE_DESTINATION)
		return;
	record_set_text(&report, why->text, strlen(why->text));
	(void)channel_call(outlet->channel, &report, NULL, 0, REC_NOTED, &answer, NULL, 0, NULL); /* unheard, it is tried more often than it should */
}

bool outlet_ready(struct outlet *outlet)
{
	struct error lost;

	if (outlet->down || outlet->open)
		return outlet->open;
	outlet->accepted = 0;
	if (dest_open(outlet->dest, &lost) < 0)
		outlet_stop(outlet, &lost);
	else
		outlet->open = true;
	return outlet->open;
}

void outlet_stop(struct outlet *outlet, const struct error *err)
{
	outlet->open = false;
	outlet->down = true;
	outlet->error = *err;
	tell_failure(outlet);
}

void outlet_rest(struct outlet *outlet, const struct error *err)
{
	outlet->down = outlet->rests = true;
	outlet->error = *err;
}

void outlet_lost(struct outlet *outlet, const struct error *err)
{
	if (outlet->accepted != 0 && (err->kind == ERR_TEMP || err->kind == ERR_PROTO))
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
