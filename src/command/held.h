/* held.h - how held messages are shown: a line each, everything known, or JSON. */
#ifndef MAILHAUL_COMMAND_HELD_H
#define MAILHAUL_COMMAND_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct state;

struct held_show {
	struct state *state; /* NULL: mailhaul has not run yet, so nothing is held */
	bool json;
	unsigned shown;
};

void held_show_begin(struct held_show *show);
/* mailbox_id 0: of all mailboxes. */
int held_show_lines(struct held_show *show, int64_t mailbox_id, struct error *err);
int held_show_whole(struct held_show *show, uint64_t message_id, struct error *err);
void held_show_end(const struct held_show *show);

#endif
