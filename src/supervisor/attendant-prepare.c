#include "supervisor/attendant.h"
#include "supervisor/lock.h"

/* What is known of a mailbox before its session: locks first, so that nobody else changes it, then all of it in one transaction. */

static int rename_destinations(struct service *service, struct error *err)
{
	for (size_t i = 0; i < service->config->destination_count; i++) {
		const struct dest_config *dest = &service->config->destinations[i];

		if (dest->was != NULL && state_destination_rename(service->state, dest->was, dest->name, err) < 0)
			return -1;
	}
	return 0;
}

/* Its own lock, and while its state is still somebody else's, that one's: an older configuration may be hauling it. */
static int take_locks(struct attendant *attendant, struct error *err)
{
	struct service *service = attendant->service;
	char predecessor[NAME_BYTES];

	if (service->mode == JOB_HAUL && lock_mailbox(state_dir_fd(service->state), attendant->mailbox->name, &attendant->lock_fd, err) < 0)
		return -1;
	if (state_mailbox_predecessor(service->state, service->config, attendant->mailbox, predecessor, err) < 0)
		return -1;
	return predecessor[0] != '\0' ? lock_mailbox(state_dir_fd(service->state), predecessor, &attendant->old_lock_fd, err) : 0;
}

/* A destination that left the configuration no longer keeps its messages open. */
static int drop_removed_targets(struct attendant *attendant, unsigned *ret_dropped, struct error *err)
{
	struct service *service = attendant->service;

	if (rename_destinations(service, err) < 0)
		return -1;
	return state_drop_removed_targets(service->state, attendant->mailbox_state.id, service->config, ret_dropped, err);
}

static int recall(struct attendant *attendant, unsigned *ret_dropped, struct error *err)
{
	struct service *service = attendant->service;
	bool hauls = service->mode == JOB_HAUL;

	if (take_locks(attendant, err) < 0 ||
		state_mailbox_open(service->state, service->config, attendant->mailbox, &attendant->mailbox_state, err) < 0)
		return -1;
	/* Whoever asks has looked before, but not at a mailbox that was renamed since. */
	if (hauls && attendant->mailbox_state.stopped[0] != '\0')
		return error_set(err, ERR_REFUSED, SCOPE_MAILBOX, "%s", attendant->mailbox_state.stopped);
	if (hauls && drop_removed_targets(attendant, ret_dropped, err) < 0)
		return -1;
	return attendant_recall_stock(attendant, err) < 0 ? -1 : attendant_make_job(attendant, err);
}

/* What it changes follows from the configuration, and would be changed again: that need not be synced. But what lost its last open delivery to a
 * destination that was removed may be disposed of, and is synced as an outcome is. */
static int begin(struct attendant *attendant, struct error *err)
{
	struct service *service = attendant->service;
	bool removed;

	if (state_has_removed_targets(service->state, service->config, &removed, err) < 0)
		return -1;
	return removed ? state_begin(service->state, err) : state_begin_unsynced(service->state, err);
}

int attendant_prepare(struct attendant *attendant, struct error *err)
{
	struct state *state = attendant->service->state;
	unsigned dropped = 0;

	if (attendant->service->mode != JOB_HAUL) /* the state may be one that can only be read */
		return recall(attendant, &dropped, err);
	if (begin(attendant, err) < 0)
		return -1;
	if (recall(attendant, &dropped, err) < 0 || state_commit(state, err) < 0) {
		state_rollback(state);
		return -1;
	}
	if (dropped != 0)
		log_say(&attendant->log, LEVEL_WARNING, "destination_removed",
			"%u deliveries to destinations that left the configuration are given up", dropped);
	return 0;
}
