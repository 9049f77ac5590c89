/* birth.h - everything that a worker is handed, and what it opens for itself, before it is sealed and talks to anybody. */
#ifndef MAILHAUL_WORKER_BIRTH_H
#define MAILHAUL_WORKER_BIRTH_H

#include <stdbool.h>

#include "base/error.h"
#include "channel/record.h"

struct channel;
struct job;
struct secret;

struct birth {
	struct job *job;
	int lock_fd; /* of its mailbox, held for as long as it lives; or -1 */
	struct secret *secrets[1 + TARGETS_MAX];
	int directories[TARGETS_MAX][3];    /* of Maildirs: tmp, new, cur; or -1 */
	struct error refusals[TARGETS_MAX]; /* of destinations that are not there; else ERR_NONE */
	bool ready;
};

/* On all-zero. May hang as long as the file system of a Maildir does; the supervisor sees to that. */
int birth_await(struct birth *birth, struct channel *channel, struct error *err);

#endif
