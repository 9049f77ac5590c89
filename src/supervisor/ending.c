#include "supervisor/ending.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "state/state.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"
#include "supervisor/health.h"
#include "supervisor/herald.h"
#include "supervisor/supervisor.h"

static int store_end(struct state *state, const struct mailbox_state *mailbox, struct attendant *attendant, struct error *err)
{
	/* Outcomes are in the ledger; this tells how things stand, and may be a session behind after a power cut. */
	if (state_begin_unsynced(state, err) < 0)
		return -1;
	if (state_mailbox_store(state, mailbox, err) == 0 &&
		(attendant == NULL ||
			(destinations_note_accepted(attendant, err) == 0 && attendant_store_facts(attendant, clock_wall_s(), err) == 0)) &&
		state_commit(state, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}

int ending_record(struct service *service, const struct mailbox_config *config, struct mailbox_state *mailbox, struct attendant *attendant,
	const struct error *err)
{
	const struct log log = {.key = "mailbox", .value = config->name};
	struct mailbox_state before = *mailbox;
	struct error problem;
	int64_t now = clock_wall_s();
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	health_note(mailbox, err, now, config->poll_every_s, random);
	if (err->kind == ERR_AUTH && err->scope == SCOPE_MAILBOX && attendant != NULL)
		mailbox->credential = attendant->credentials[0];
	if (store_end(service->state, mailbox, attendant, &problem) < 0) {
		if (problem.kind == ERR_TEMP) {
			*mailbox = before;
			return -1;
		}
		service_state_failed(service, &problem);
	}
	herald_mailbox(service, &log, &before, mailbox, err);
	if (attendant != NULL)
		destinations_log_accepted(attendant);
	return 0;
}

void ending_record_failed_start(struct service *service, const struct mailbox_config *config, const struct error *err)
{
	struct log log = {.key = "mailbox", .value = config->name};
	struct mailbox_state mailbox;
	struct error problem;

	if (err->kind != ERR_CONFIG || state_mailbox_open(service->state, service->config, config, &mailbox, &problem) < 0 ||
		ending_record(service, config, &mailbox, NULL, err) < 0)
		log_say(&log, LEVEL_WARNING, "mailbox_failed", "%s", err->text);
}
