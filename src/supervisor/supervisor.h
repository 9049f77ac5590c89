/* supervisor.h - runs sessions for a list of mailboxes, in parallel, and leaves when they are done; or stays and does so on schedule. */
#ifndef MAILHAUL_SUPERVISOR_SUPERVISOR_H
#define MAILHAUL_SUPERVISOR_SUPERVISOR_H

#include <stdbool.h>
#include <stdio.h>

#include "channel/job.h"

struct config;
struct spawner;

struct supervisor_options {
	enum job_mode mode;
	char *const *names; /* NULL-terminated, all in the configuration; none: all that are enabled */
	const char *trace;  /* mailbox, or NULL */
	bool attended;      /* a terminal */
	bool show_progress;
	bool accept_duplicates; /* a state that is lost is begun anew */
	bool wait;              /* for mailboxes that somebody else is hauling */
	unsigned wait_s;        /* so long, 0: without a limit */
	/* Not NULL: stays, and hauls on schedule. The configuration anew, as it was loaded before; NULL after its errors are written. The supervisor frees. */
	struct config *(*load)(const void *context, FILE *errors);
	const void *load_context;
};

/* The exit code: 0, or as the manual lists them. As root it becomes run_as first, for good. */
int supervisor_run(const struct config *config, struct spawner *spawner, const struct supervisor_options *options);

#endif
