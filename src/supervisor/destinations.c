#include "supervisor/destinations.h"

#include <sys/random.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"
#include "supervisor/credential.h"
#include "supervisor/health.h"
#include "supervisor/herald.h"

static bool has_new_credential(const struct service *service, const char *name, const struct destination_state *destination)
{
	const struct dest_config *config = config_destination(service->config, name);

	return config != NULL && credential_of_destination_was_replaced(service, config, destination);
}

bool destination_rests(struct service *service, const char *name, int64_t *ret_until_s)
{
	struct destination_state destination;

	if (state_destination_load(service->state, name, &destination, NULL) < 0 || destination.failures == 0 ||
		backoff_is_over((enum backoff_clock)destination.clock, destination.retry_at, clock_wall_s()) ||
		has_new_credential(service, name, &destination))
		return false;
	*ret_until_s = destination.retry_at;
	return true;
}

bool destinations_all_rest(struct service *service, const struct mailbox_config *mailbox, int64_t *ret_until_s)
{
	int64_t first = INT64_MAX, until;

	for (size_t i = 0; mailbox->deliver_to[i] != NULL; i++) {
		if (!destination_rests(service, mailbox->deliver_to[i], &until))
			return false;
		first = until < first ? until : first;
	}
	*ret_until_s = first;
	return true;
}

bool destination_forgive(struct service *service, const struct dest_config *config)
{
	struct state *state = service->state;
	struct destination_state destination;
	int64_t now = clock_wall_s();

	if (state_destination_load(state, config->name, &destination, NULL) < 0 || destination.retry_at <= now ||
		!credential_of_destination_was_replaced(service, config, &destination) || state_begin_unsynced(state, NULL) < 0)
		return false;
	destination.retry_at = now;
	if (state_destination_store(state, config->name, &destination, NULL) == 0 && state_commit(state, NULL) == 0)
		return true;
	state_rollback(state);
	return false;
}

bool destination_is_left_out(struct attendant *attendant, unsigned index)
{
	const struct job *job = &attendant->job;

	if (job->mode != JOB_HAUL)
		return false;
	if ((job->closed >> index & 1) != 0)
		return true;
	/* Whoever insists tries each once. */
	return (!attendant->insistent || (attendant->failed >> index & 1) != 0) &&
	       destination_rests(attendant->service, job->destinations[index].name, &(int64_t){0});
}

static int store_failure(struct attendant *attendant, unsigned index, const struct error *why, struct destination_state *ret_before,
	struct destination_state *ret_after, struct error *err)
{
	const char *name = attendant->job.destinations[index].name;
	struct state *state = attendant->service->state;
	int64_t now = clock_wall_s();
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)now;
	if (state_begin(state, err) < 0)
		return -1;
	if (state_destination_load(state, name, ret_before, err) == 0) {
		*ret_after = *ret_before;
		health_note_destination(ret_after, why, now, random);
		if (why->kind == ERR_AUTH)
			ret_after->credential = attendant->credentials[1 + index];
		if (state_destination_store(state, name, ret_after, err) == 0 && state_commit(state, err) == 0)
			return 0;
	}
	state_rollback(state);
	return -1;
}

int destinations_note_failure(struct attendant *attendant, unsigned index, const struct error *why, struct error *err)
{
	const char *name = attendant->job.destinations[index].name;
	struct destination_state before, after;

	/* It backs off for what this worker said before. One that is run by its server must not drive the mail of all others away, step by step. */
	if ((attendant->failed >> index & 1) != 0 && destination_rests(attendant->service, name, &(int64_t){0}))
		return 0;
	if (store_failure(attendant, index, why, &before, &after, err) < 0)
		return -1;
	attendant->failed |= UINT64_C(1) << index;
	herald_destination_failed(attendant->service, name, &before, &after);
	return 0;
}

int destinations_note_accepted(struct attendant *attendant, struct error *err)
{
	struct state *state = attendant->service->state;
	const struct error well = {0};
	uint64_t accepted = attendant->accepted & ~attendant->failed;

	attendant->recovered = attendant->relieved = 0;
	for (unsigned i = 0; i < attendant->job.destination_count; i++) {
		const char *name = attendant->job.destinations[i].name;
		struct destination_state destination, before;

		if ((accepted >> i & 1) == 0)
			continue;
		if (state_destination_load(state, name, &destination, err) < 0)
			return -1;
		if (destination.failures != 0)
			attendant->recovered |= UINT64_C(1) << i;
		before = destination;
		health_note_destination(&destination, &well, clock_wall_s(), 0);
		if (health_destination_news(&before, &destination) == NEWS_BETTER)
			attendant->relieved |= UINT64_C(1) << i;
		if (state_destination_store(state, name, &destination, err) < 0)
			return -1;
	}
	return 0;
}

void destinations_log_accepted(struct attendant *attendant)
{
	for (unsigned i = 0; i < attendant->job.destination_count; i++) {
		const char *name = attendant->job.destinations[i].name;
		struct destination_state destination;

		if ((attendant->recovered >> i & 1) != 0 && state_destination_load(attendant->service->state, name, &destination, NULL) == 0)
			herald_destination_recovered(attendant->service, name, &destination, (attendant->relieved >> i & 1) != 0);
	}
	attendant->recovered = 0;
	attendant->accepted = 0;
}
