#include "supervisor/attendant.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "supervisor/allowance.h"
#include "supervisor/connectors.h"
#include "supervisor/ledger.h"

void attendant_send(struct attendant *attendant, const struct record *record, const int *fds, unsigned fd_count)
{
	/* Never blocks. What a worker gets is little (answers, acknowledgements), so a full channel means that it does not read: it is broken. One that misses
	 * an answer for any other reason would wait for ever. */
	if (record_send(attendant->channel_fd, record, fds, fd_count) <= 0)
		attendant_kill(attendant);
}

void attendant_refuse(struct attendant *attendant, const struct error *why)
{
	struct record record = {.kind = REC_FAILED, .error = (uint8_t)why->kind, .scope = (uint8_t)why->scope, .code = (uint32_t)why->code};

	record_set_text(&record, why->text, strlen(why->text));
	attendant_send(attendant, &record, NULL, 0);
}

/* -- for the ledger -- */

static bool is_acceptance(const struct record *record)
{
	return record->kind == REC_OUTCOME && record->verdict == VERDICT_ACCEPTED;
}

int attendant_apply(struct attendant *attendant, const struct record *record, int64_t now, enum refusal_end *ret_end, struct error *err)
{
	struct state_target targets[TARGETS_MAX];
	unsigned count = attendant_targets(attendant, targets);

	if (state_apply(attendant->service->state, attendant->mailbox_state.id, record, targets, count, now, err) < 0)
		return -1;
	if (is_acceptance(record)) { /* both stored when the session ends */
		attendant->mailbox_state.last_mail = now;
		attendant->accepted |= UINT64_C(1) << attendant->job.targets[record->index].dest;
	}
	return attendant_refusal(attendant, record, now, ret_end, err);
}

/* While the database is busy a record is applied more than once. */
void attendant_committed(struct attendant *attendant, const struct record *record, enum refusal_end end)
{
	if (is_acceptance(record)) {
		attendant->deliveries++;
		allowance_earn(attendant->lines);
	}
	attendant_tell_refusal(attendant, record, end);
}

void attendant_acknowledge(struct attendant *attendant, uint32_t seq)
{
	attendant->acknowledged = seq;
	if (attendant->channel_event == NULL)
		return;
	attendant_send(attendant, &(struct record){.kind = REC_ACK, .seq = seq}, NULL, 0);
	sd_event_source_set_enabled(attendant->channel_event, SD_EVENT_ON); /* it may have been over its window */
}

void attendant_condemn(struct attendant *attendant, const struct error *why)
{
	log_say(&attendant->log, LEVEL_ERROR, "worker_condemned", "the worker broke the order of steps and was ended: %s", why->text);
	error_set(&attendant->result, ERR_LOCAL, SCOPE_MAILBOX, "the worker broke the order of steps: %s", why->text);
	attendant->condemned = true;
	if (attendant->channel_event != NULL)
		sd_event_source_set_enabled(attendant->channel_event, SD_EVENT_ON); /* no acknowledgement will do it, and its end has to be heard */
	attendant_kill(attendant);
}

/* -- the beginning and the end of it -- */

struct attendant *attendant_new(struct service *service, const struct mailbox_config *mailbox, enum job_mode mode, struct allowance *lines)
{
	struct attendant *attendant = xcalloc(1, sizeof(*attendant));

	attendant->service = service;
	attendant->config = service->config;
	attendant->mailbox = mailbox;
	attendant->mode = mode;
	attendant->lines = lines;
	attendant->started_s = clock_wall_s();
	attendant->heard_ns = clock_monotonic_ns();
	attendant->log = (struct log){.key = "mailbox", .value = mailbox->name};
	attendant->lock_fd = attendant->old_lock_fd = attendant->channel_fd = attendant->command_output = attendant->waiting_fd = -1;
	attendant->worker.pidfd = -1;
	memset(attendant->secret_fds, -1, sizeof(attendant->secret_fds));
	return attendant;
}

int attendant_start(struct service *service, const struct mailbox_config *mailbox, struct allowance *lines, bool insistent,
	struct attendant **ret_attendant, struct error *err)
{
	struct attendant *attendant = attendant_new(service, mailbox, service->mode, lines);

	attendant->insistent = insistent;
	return attendant_bring_up(attendant, attendant_prepare(attendant, err), ret_attendant, err);
}

static void free_job(struct attendant *attendant)
{
	struct job *job = &attendant->job;

	for (unsigned i = 0; i < job->target_count; i++)
		free(job->targets[i].recipient);
	for (unsigned i = 0; i < job->destination_count; i++)
		free(job->destinations[i].server.ca_pem);
	free(job->destinations);
	free(job->folder_facts);
	if (job->mailbox != NULL)
		free(job->mailbox->server.ca_pem);
	free(job->mailbox);
}

int attendant_store_facts(const struct attendant *attendant, int64_t now, struct error *err)
{
	if (host_facts_equal(&attendant->host_facts, &attendant->job.host_facts))
		return 0;
	return state_host_store(attendant->service->state, attendant->mailbox, &attendant->host_facts, now, err);
}

void attendant_unlock(struct attendant *attendant)
{
	attendant->lock_fd = fs_close(attendant->lock_fd);
	attendant->old_lock_fd = fs_close(attendant->old_lock_fd);
}

void attendant_free(struct attendant *attendant)
{
	if (attendant == NULL)
		return;
	if (attendant->service->ledger != NULL)
		ledger_forget(attendant->service->ledger, attendant);
	attendant_kill(attendant);
	/* Event sources before the descriptors they watch: sd-event insists. */
	attendant->channel_event = sd_event_source_disable_unref(attendant->channel_event);
	attendant->worker_event = sd_event_source_disable_unref(attendant->worker_event);
	attendant->kill_event = sd_event_source_disable_unref(attendant->kill_event);
	attendant->retry_event = sd_event_source_disable_unref(attendant->retry_event);
	attendant->silence = sd_event_source_disable_unref(attendant->silence);
	connector_forget(attendant->connector);
	program_done(&attendant->command);
	for (size_t i = 0; i < ARRAY_SIZE(attendant->secret_fds); i++)
		fs_close(attendant->secret_fds[i]);
	fs_close(attendant->command_output);
	fs_close(attendant->waiting_fd);
	fs_close(attendant->channel_fd);
	attendant_unlock(attendant);
	fs_close(attendant->worker.pidfd);
	free(attendant->waiting_request);
	free_job(attendant);
	free(attendant);
}
