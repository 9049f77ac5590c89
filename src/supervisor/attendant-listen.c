#include "base/clock.h"
#include "supervisor/attendant.h"

/* One that only listens: its worker is told where its mailbox is and one folder of it, and no more. */

static int recall(struct attendant *attendant, struct error *err)
{
	struct service *service = attendant->service;

	if (state_mailbox_open(service->state, service->config, attendant->mailbox, &attendant->mailbox_state, err) < 0)
		return -1;
	return attendant_make_job(attendant, err);
}

int attendant_listen(struct service *service, const struct mailbox_config *mailbox, struct allowance *lines, unsigned folder,
	struct attendant **ret_attendant, struct error *err)
{
	struct attendant *attendant = attendant_new(service, mailbox, JOB_LISTEN, lines);

	attendant->folders[0] = mailbox->folders[folder];
	return attendant_bring_up(attendant, recall(attendant, err), ret_attendant, err);
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
