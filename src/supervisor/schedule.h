/* schedule.h - which mailboxes are due. Pure: the clock is passed in. */
#ifndef MAILHAUL_SUPERVISOR_SCHEDULE_H
#define MAILHAUL_SUPERVISOR_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct mailbox_state;

/* A back-off that is on record holds for timers and cron; whoever insists (names a mailbox, or sits at a terminal) wants it now. */
bool schedule_is_due(const struct mailbox_state *mailbox, bool insistent, int64_t now_s);

/* Workers at once: max_workers of the configuration, by default one per mailbox and at most 1000. */
unsigned schedule_places(uint32_t max_workers, unsigned mailboxes);

#endif
