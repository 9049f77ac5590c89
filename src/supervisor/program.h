/* program.h - a program of the operator's while it runs: a password command, an MDA, what notify_command names. Killed with its process group at its
 * deadline, reaped by the event loop. */
#ifndef MAILHAUL_SUPERVISOR_PROGRAM_H
#define MAILHAUL_SUPERVISOR_PROGRAM_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "spawner/spawner.h"

struct error;
struct service;

struct program {
	struct child child; /* pid 0: none is running */
	sd_event_source *exit_event, *deadline;
	int status;        /* exit status, 128 + signal once it has ended */
	bool ended, asked; /* asked: the worker waits for the answer */
	bool late;         /* it was killed at its deadline */
};

struct program_call {
	char *const *argv;
	const char *variables[4][2]; /* name, value: its environment beside what all programs get; borrowed, up to NULL */
	int stdio[3];                /* borrowed */
	double deadline_s;           /* 0: none */
	void (*ended)(void *context);
	void *context;
};

/* Nothing may be running in program. On failure it may have been born all the same: child.pid. */
int program_start(struct service *service, struct program *program, const struct program_call *call, struct error *err);
void program_kill(struct program *program); /* its whole process group */
void program_done(struct program *program); /* ended is not called any more */

#endif
