#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "supervisor/attendant.h"
#include "supervisor/ledger.h"
#include "supervisor/progress.h"

/* What a worker may do that waits for mail: nothing, until it has said that it works again. It keeps the lock of its mailbox; whoever wants that asks the
 * daemon, and the worker leaves at once. */

int attendant_let_idle(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct service *service = attendant->service;
	struct error trouble = {0};
	bool stays = false;

	if (attendant->mode != JOB_HAUL)
		return attendant_nonsense(err, "to wait when it should only look");
	if (ledger_commit(service->ledger, err) < 0)
		return -1;
	if (request->error != ERR_NONE)
		error_code(&trouble, request->error, request->scope, (int)request->code, "%.*s", (int)request->len, request->text);
	if (!attendant->stopping && service->idle != NULL && service->idle(service, attendant, &trouble, &stays, err) < 0)
		return -1;
	attendant->idle = stays;
	attendant->heard = request->count;
	attendant->idle_since_ns = clock_monotonic_ns();
	attendant->idle_since_s = clock_wall_s();
	if ((request->flags & REC_COMPLETE) != 0)
		attendant->looked_s = attendant->idle_since_s;
	attendant_expect_word(attendant);
	attendant_send(attendant, &(struct record){.kind = REC_WATCH, .count = stays}, NULL, 0);
	if (stays)
		service->turned(service, attendant);
	return 0;
}

void attendant_take_busy(struct attendant *attendant)
{
	if (!attendant->idle)
		return;
	attendant->idle = attendant->rested = false;
	attendant_expect_word(attendant);
	attendant->progress = attendant->past_progress = (struct progress_total){0};
	attendant->service->turned(attendant->service, attendant);
}

/* A message to be delivered again, or deleted by now, or a complete listing takes more than a look. What cannot be known now is tried. */
static bool has_work(const struct attendant *attendant)
{
	size_t count = strv_length(attendant->job.mailbox->folders);
	struct folder_facts *facts = xcalloc(count + 1, sizeof(*facts));
	bool has = attendant_recall_folders(attendant, clock_wall_s(), facts, NULL) < 0;

	for (size_t i = 0; i < count; i++)
		has = has || !facts[i].settled;
	free(facts);
	return has;
}

void attendant_take_look(struct attendant *attendant)
{
	if (attendant->stopping)
		return;
	if (has_work(attendant)) {
		attendant_send(attendant, &(struct record){.kind = REC_POLL}, NULL, 0);
		return;
	}
	attendant->looked_s = clock_wall_s();
	attendant->service->looked(attendant->service, attendant);
}

bool attendant_may_say(const struct attendant *attendant, enum record_kind kind)
{
	switch (kind) {
	case REC_HEARD:
		return attendant->mode == JOB_LISTEN;
	case REC_CONNECT:
		return !attendant->idle && attendant->unopened == 0;
	case REC_BUSY:
		return attendant->mode == JOB_HAUL;
	case REC_LOOKED:
		return attendant->mode == JOB_HAUL && attendant->idle;
	case REC_MAILDIR:
	case REC_ALIVE:
	case REC_HOST:
	case REC_LOG:
	case REC_TRACE:
	case REC_END:
		return true;
	default:
		return !attendant->idle && attendant->mode != JOB_LISTEN && attendant->unopened == 0;
	}
}

void attendant_poll(struct attendant *attendant, bool insistent)
{
	attendant->insistent |= insistent;
	if (attendant->idle && !attendant->stopping)
		attendant_send(attendant, &(struct record){.kind = REC_POLL}, NULL, 0);
}

/* Whoever waits for mail asks whether its server is still there; whoever hauls does not wait for one that is not for long. */
void attendant_probe(struct attendant *attendant)
{
	if (attendant->channel_fd >= 0)
		(void)record_send(attendant->channel_fd, &(struct record){.kind = REC_WOKE}, NULL, 0);
	attendant_poll(attendant, false);
}

/* It is not lost on one that is busy, but may not fit into the channel of one that has not listened for long. */
bool attendant_tip(struct attendant *attendant, unsigned folder, uint32_t count)
{
	struct record record = {.kind = REC_POLL, .index = folder + 1, .count = count};

	return attendant->channel_fd >= 0 && record_send(attendant->channel_fd, &record, NULL, 0) > 0;
}
