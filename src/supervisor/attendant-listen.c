#include "base/clock.h"
#include "supervisor/attendant.h"

/* One that only listens: its worker is told where its mailbox is and one folder of it, and no more. */

int attendant_listen(
	struct service *service, const struct mailbox_config *mailbox, unsigned folder, struct attendant **ret_attendant, struct error *err)
{
	struct attendant *attendant = attendant_new(service, mailbox, JOB_LISTEN);
	int result;

	attendant->folders[0] = mailbox->folders[folder];
	result = state_mailbox_open(service->state, service->config, mailbox, &attendant->mailbox_state, err);
	if (result == 0)
		result = attendant_make_job(attendant, err);
	if (result == 0)
		result = attendant_bring_up(attendant, err);
	if (result < 0) {
		attendant_free(attendant);
		return -1;
	}
	*ret_attendant = attendant;
	return 0;
}

void attendant_take_heard(struct attendant *attendant, const struct record *record)
{
	if (!attendant->idle) {
		attendant->idle = true;
		attendant->idle_since_ns = clock_monotonic_ns();
		attendant->idle_since_s = clock_wall_s();
		attendant->service->heard(attendant->service, attendant, 0);
	}
	if (record->count != 0)
		attendant->service->heard(attendant->service, attendant, record->count);
}
