/* sentries.h - where a server tells of one folder at a time: further connections of a mailbox that is pushed, one for each of the folders that its session does not hear of, as far as
 * max_per_host allows. A sentry only listens. What it hears is told to the session of the mailbox, which alone hauls: so no folder is ever hauled by two,
 * and a sentry may end at any time, which it does when another mailbox needs the connection. A folder without one is polled. */
#ifndef MAILHAUL_SUPERVISOR_SENTRIES_H
#define MAILHAUL_SUPERVISOR_SENTRIES_H

#include <stdbool.h>
#include <stdint.h>

struct attendant;
struct error;
struct post;
struct roster;

struct sentry {
	struct attendant *attendant; /* NULL: nobody listens */
	uint32_t untold;             /* heard, and the session could not be told */
	/* As below, where the folder itself is the trouble: the others can be listened to. */
	unsigned failures;
	int64_t retry_ns;
};

/* Of one post. All-zero: there are none. */
struct sentries {
	struct sentry *list; /* one per folder; NULL: none were needed so far */
	unsigned count, running;
	unsigned failures; /* in a row: the server lets in no more of them, say */
	int64_t retry_ns;  /* CLOCK_BOOTTIME: none is started before */
};

/* Ends those that keep a connection from a post that waits for one. Then starts all that may be. */
void sentries_fill(struct roster *roster);
/* attendant is one of them, and listens now (count 0), or has heard of so many messages. */
void sentries_heard(struct roster *roster, const struct attendant *attendant, uint32_t count);
/* The session waits for mail again: it hears what it could not be told. */
void sentries_repeat(struct post *post);
/* One has ended, and is freed. Returns its post. */
struct post *sentries_ended(struct roster *roster, struct attendant *attendant, const struct error *err);
/* The session is over: so are they. True: they have all ended; false: sentries_ended will tell. */
bool sentries_dismiss(struct post *post);
/* Each looks whether its connection lives. */
void sentries_probe(const struct post *post);
void sentries_hurry(const struct post *post);
void sentries_kill(const struct post *post);
/* Bit i: somebody listens to folder i, be it the session. */
uint64_t sentries_mask(const struct post *post);
/* Frees, with those that run. */
void sentries_done(struct post *post);

#endif
