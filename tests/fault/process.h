/* process.h - the processes of the traced program, and what part each plays. */
#ifndef MAILHAUL_TESTS_FAULT_PROCESS_H
#define MAILHAUL_TESTS_FAULT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum role { ROLE_NONE, ROLE_SUPERVISOR, ROLE_SPAWNER, ROLE_WORKER, ROLE_CONNECTOR, ROLE_HELPER, ROLE_SCRIBE, ROLE_ALL, ROLE_COUNT };
extern const char *const role_names[ROLE_COUNT];
/* Ends the program if there is no such role. */
enum role role_of(const char *name);

struct process {
	pid_t pid;
	enum role role;
	bool stopped_early; /* its first stop came before its parent's event, which says what it is */
	bool started;
	bool overridden; /* the call it is in is ours; result is what it shall return */
	bool killed;     /* by us: it only has to be let go of */
	long call;
	uint64_t argument;
	long result;
};

/* NULL: unknown. */
struct process *process_find(pid_t pid);
/* A known one changes its role. */
struct process *process_add(pid_t pid, enum role role);
void process_forget(struct process *process);
/* SIGKILL, by us. */
void process_kill(struct process *process);
void process_kill_all(void);
/* One line each for those that are still there. */
void process_report_late(FILE *report);
/* It is about to be ended by a signal: the line of its map that holds the instruction, and the offset in it; or the call that its sandbox forbids. */
void process_report_crash(FILE *report, const struct process *process, int signal);
void process_report_forbidden(FILE *report, const struct process *process);

#endif
