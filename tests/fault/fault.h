/* fault.h - which system calls are broken, and how; and the count of all that are made. */
#ifndef MAILHAUL_TESTS_FAULT_FAULT_H
#define MAILHAUL_TESTS_FAULT_FAULT_H

#include <stdbool.h>
#include <stdio.h>

#include "tests/fault/process.h"

struct call;

/* One option of the command line, as inject.c names them. False: not one of these. */
bool fault_take_option(int letter, const char *value);
/* Nothing more will be broken, or no call of this role: its calls need not be looked at. */
bool fault_ignores(enum role role);
/* At the entry of every call. The report gets what is done. */
void fault_enter(FILE *report, struct process *process, const struct call *call);
/* The counts, if nothing was to be broken. */
void fault_report_counts(FILE *report);

#endif
