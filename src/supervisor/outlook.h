/* outlook.h - what the daemon is doing with each mailbox now and will do next: what "status" shows beside what is in the state.
 * As text, one line each, with tabs between: "daemon", process id, running since; then for each mailbox "mailbox", its name, one of lent (to a command), resting, waiting (for a place), hauling, pushing,
 * since when, next poll. Times are wall clock seconds, 0: none. */
#ifndef MAILHAUL_SUPERVISOR_OUTLOOK_H
#define MAILHAUL_SUPERVISOR_OUTLOOK_H

#include <stdbool.h>
#include <stdint.h>

struct roster;
struct str;

#define OUTLOOK_MAX (1024u * 1024) /* bytes: of many more mailboxes than can be served */

/* is_lent: has a command claimed this mailbox? */
void outlook_write(const struct roster *roster, int64_t started_s, bool (*is_lent)(void *, const char *name), void *context, struct str *out);

#endif
