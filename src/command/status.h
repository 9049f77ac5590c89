/* status.h - what "status" shows: gathered in status.c from the state and from the daemon, printed in one of two forms. */
#ifndef MAILHAUL_COMMAND_STATUS_H
#define MAILHAUL_COMMAND_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "state/state.h"

struct outlook;
struct outlook_mailbox;

/* One mailbox. */
struct status_line {
	const struct mailbox_config *config;
	const struct outlook_mailbox *outlook; /* NULL: no daemon serves it */
	struct mailbox_state mailbox;
	struct mailbox_counts counts;
	bool backing_off;
	int64_t now;
	int64_t held_at; /* of what was held last; 0: nothing is */
	char held_destination[65], held_reply[200];
};

/* In this order; begin: outlook is NULL without a daemon. */
struct status_form {
	void (*begin)(FILE *to, const struct config *config, const struct outlook *outlook);
	void (*mailbox)(FILE *to, const struct status_line *line, bool first);
	void (*destinations)(FILE *to); /* the mailboxes are done */
	void (*destination)(FILE *to, const char *name, const struct destination_state *destination, bool first);
	void (*end)(FILE *to);
};

extern const struct status_form status_text, status_json;

#endif
