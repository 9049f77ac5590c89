/* seal.h - the sandbox that a worker is born into: Landlock for files, seccomp for system calls, no new privileges, no core, no ptrace. */
#ifndef MAILHAUL_WORKER_SEAL_H
#define MAILHAUL_WORKER_SEAL_H

#include <stdbool.h>

#include "config/config.h"

struct error;

/* In the spawner, once: builds the filter program, which every worker then shares. */
int seal_prepare(struct error *err);

struct seal {
	const int *write_fds; /* directories beneath which files may be made, renamed and removed (Maildirs) */
	unsigned write_count;
	enum sandbox_mode mode;
};
/* In the worker, for good. SANDBOX_REQUIRE: -1 (ERR_CONFIG) if this kernel lacks a part of it; SANDBOX_BEST: does what the kernel can.
 * ret_level: what was done, in words for the log; borrowed. */
int seal_apply(const struct seal *seal, const char **ret_level, struct error *err);

#endif
