/* ledger.h - group commit: what workers report is gathered in memory, written in one transaction, and only then acknowledged.
 * A commit happens at once when a record is flagged WAITING, else LEDGER_DELAY_MS after the first, or when LEDGER_MAX have come together. Acknowledgements
 * are cumulative: one per worker and commit. */
#ifndef MAILHAUL_SUPERVISOR_LEDGER_H
#define MAILHAUL_SUPERVISOR_LEDGER_H

#include <stddef.h>

#include <systemd/sd-event.h>

#include "channel/record.h"

struct attendant;
struct error;
struct ledger;
struct state;

#define LEDGER_DELAY_MS 20 /* what a lone record waits; nobody waits for it but the next batch */
#define LEDGER_MAX 512

/* failed is called when state cannot be written: nothing was acknowledged, nothing will be. short_of_room: after each commit since the reserve is spent.
 * NULL: the event loop has no timer for it. */
struct ledger *ledger_new(
	sd_event *event, struct state *state, void (*failed)(void *, const struct error *), void (*short_of_room)(void *), void *context);
void ledger_free(struct ledger *ledger);
void ledger_add(struct ledger *ledger, struct attendant *attendant, const struct record *record);
/* Everything gathered so far. 0: done, nothing is left. -1: busy (ERR_TEMP; tried again by timer) or failed. */
int ledger_commit(struct ledger *ledger, struct error *err);
void ledger_commit_soon(struct ledger *ledger); /* at the end of this turn of the loop */
/* The attendant is going away: its records must have been committed. */
void ledger_forget(struct ledger *ledger, const struct attendant *attendant);
unsigned long long ledger_commits(const struct ledger *ledger);

#endif
