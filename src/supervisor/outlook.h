/* outlook.h - what the daemon is doing with each mailbox now and will do next: what "status" shows beside what is in the state.
 * As text, one line each, with tabs between: "daemon", process id, running since; then for each mailbox "mailbox", its name, one of lent (to a command), resting, waiting (for a place), hauling, pushing,
 * since when, next poll, in which folders mail is heard of. Times are wall clock seconds, 0: none; folders are bits in hex, the first of the mailbox is the lowest. */
#ifndef MAILHAUL_SUPERVISOR_OUTLOOK_H
#define MAILHAUL_SUPERVISOR_OUTLOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct roster;
struct str;

struct outlook_mailbox {
	char name[NAME_BYTES], doing[16];
	int64_t since_s, next_s;
	uint64_t pushed;
};
struct outlook {
	long pid;
	int64_t started_s;
	struct outlook_mailbox *mailboxes;
	size_t count;
};

void outlook_write(const struct roster *roster, int64_t started_s, bool (*is_lent)(void *, const char *name), void *context, struct str *out);

/* A sealed memory file of such lines; takes fd. False: there is none (-1), or it is nonsense. outlook_done in any case. */
bool outlook_read(int fd_take, struct outlook *ret_outlook);
/* Is mail heard of in folder i? */
bool outlook_is_pushed(const struct outlook_mailbox *mailbox, size_t i);
/* NULL: the daemon does not serve it. */
const struct outlook_mailbox *outlook_find(const struct outlook *outlook, const char *name);
void outlook_done(struct outlook *outlook);

#endif
