#include "supervisor/attendant.h"
#include "supervisor/herald.h"
#include "supervisor/metrics.h"

int attendant_recall_stock(struct attendant *attendant, struct error *err)
{
	struct mailbox_counts counts;

	if (state_undelivered(attendant->service->state, attendant->mailbox_state.id, &counts, err) < 0)
		return -1;
	attendant->held = counts.held;
	return 0;
}

void attendant_take_stock(struct attendant *attendant)
{
	struct mailbox_counts counts;

	if (attendant->mode != JOB_HAUL || state_undelivered(attendant->service->state, attendant->mailbox_state.id, &counts, NULL) < 0)
		return;
	herald_held(attendant->service, &attendant->log, attendant->held, counts.held);
	attendant->held = counts.held;
	metrics_note(attendant->service->metrics, attendant->mailbox->name, attendant->deliveries);
	attendant->deliveries = 0;
}
