#include "supervisor/schedule.h"

#include "policy/policy.h"
#include "state/state.h"

#define WORKERS_MAX 1000

bool schedule_is_due(const struct mailbox_state *mailbox, bool insistent, int64_t now_s)
{
	if (insistent || mailbox->failures == 0)
		return true;
	return backoff_is_over((enum backoff_clock)mailbox->clock, mailbox->retry_at, now_s);
}

unsigned schedule_places(uint32_t max_workers, unsigned mailboxes)
{
	unsigned places = max_workers != 0 ? max_workers : mailboxes;

	if (places > WORKERS_MAX)
		places = WORKERS_MAX;
	return places != 0 ? places : 1;
}
