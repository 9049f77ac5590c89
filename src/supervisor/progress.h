/* progress.h - one line on a terminal: messages, bytes, rate, time left. */
#ifndef MAILHAUL_SUPERVISOR_PROGRESS_H
#define MAILHAUL_SUPERVISOR_PROGRESS_H

#include <stdint.h>

struct progress_total {
	unsigned mailboxes; /* in hand now */
	uint64_t done, messages, done_bytes, bytes;
};

struct record;

void progress_add(struct progress_total *total, const struct progress_total *part);
/* What a worker reports of the folder in hand; when that is another one than now was of, now is added to past before. */
void progress_take(struct progress_total *past, struct progress_total *now, const struct record *record);

/* Draws over the last line. started_ns: clock_monotonic_ns() when the run began. */
void progress_draw(const struct progress_total *total, int64_t started_ns);
void progress_clear(void); /* before anything else is written to the terminal */

/* What stays on the terminal when all is done; nothing if there was nothing to do. */
void progress_finish(const struct progress_total *total, int64_t started_ns);

#endif
