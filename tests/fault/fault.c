#include "tests/fault/fault.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "tests/fault/call.h"
#include "tests/fault/sync-rule.h"

enum action { ACTION_COUNT, ACTION_KILL, ACTION_FAIL, ACTION_SHORT };

static struct {
	enum role role;
	enum action action;
	unsigned long at, times;
	int error;
	struct call_set calls;
	const char *path;           /* NULL: wherever */
	const char *until_unlinked; /* NULL: for good */
} wanted = {.role = ROLE_ALL, .times = 1};

static unsigned long calls_made[ROLE_COUNT][CALL_NUMBER_MAX], shortable[ROLE_COUNT], matches;
static bool released; /* the condition of a lasting fault is gone */

bool fault_take_option(int letter, const char *value)
{
	switch (letter) {
	case 'r':
		wanted.role = role_of(value);
		break;
	case 'k':
		wanted.action = ACTION_KILL;
		wanted.at = strtoul(value, NULL, 10);
		break;
	case 'f':
		wanted.action = ACTION_FAIL;
		wanted.error = call_errno(value);
		break;
	case 's':
		wanted.action = ACTION_SHORT;
		break;
	case 'c':
		call_set_parse(&wanted.calls, value);
		break;
	case 'a':
		wanted.at = strtoul(value, NULL, 10);
		break;
	case 'l':
		wanted.times = ULONG_MAX;
		break;
	case 'n':
		wanted.times = strtoul(value, NULL, 10);
		break;
	case 'p':
		wanted.path = value;
		break;
	case 'u':
		wanted.until_unlinked = value;
		break;
	default:
		return false;
	}
	return true;
}

static bool is_over(void)
{
	return released || (wanted.action != ACTION_COUNT && wanted.times != ULONG_MAX && matches >= wanted.at + wanted.times - 1);
}

bool fault_ignores(enum role role)
{
	if (wanted.until_unlinked != NULL)
		return false;
	return is_over() || (wanted.role != ROLE_ALL && wanted.role != role);
}

static void fire(FILE *report, struct process *process, const struct call *call)
{
	fprintf(report, "fired %s %s\n", role_names[process->role], call_name(call->number));
	fflush(report);
	if (wanted.action == ACTION_KILL && wanted.role == ROLE_ALL)
		process_kill_all();
	else if (wanted.action == ACTION_KILL)
		process_kill(process);
	else if (wanted.action == ACTION_SHORT)
		call_shorten(process->pid, call);
	else if (call->number == SYS_close || call_replace(process->pid)) { /* a close that fails has closed all the same */
		process->overridden = true;
		process->result = call->number == SYS_brk ? 0 : -wanted.error; /* brk has no error numbers: its failure is a break too low */
		if (call_is_sync(call->number))
			sync_rule_failed(process->pid, call->arguments[0]);
	}
}

static bool concerns(const struct process *process, const struct call *call)
{
	if (wanted.action == ACTION_COUNT || (wanted.role != ROLE_ALL && wanted.role != process->role))
		return false;
	if (wanted.action == ACTION_SHORT && !call_can_be_short(call))
		return false;
	if (wanted.action == ACTION_FAIL && call->number == SYS_futex)
		return false; /* the C library ends the program */
	if (!call_set_has(&wanted.calls, call->number))
		return false;
	return wanted.path == NULL || call_concerns_path(process->pid, call, wanted.path);
}

static void count(const struct process *process, const struct call *call)
{
	if (call->number >= 0 && call->number < CALL_NUMBER_MAX)
		calls_made[process->role][call->number]++;
	shortable[process->role] += call_can_be_short(call);
}

void fault_enter(FILE *report, struct process *process, const struct call *call)
{
	if (wanted.until_unlinked != NULL && call_unlinks(process->pid, call, wanted.until_unlinked))
		released = true;
	count(process, call);
	if (released || !concerns(process, call))
		return;
	matches++;
	if (matches >= wanted.at && matches - wanted.at < wanted.times)
		fire(report, process, call);
}

void fault_report_counts(FILE *report)
{
	if (wanted.action != ACTION_COUNT)
		return;
	for (unsigned role = ROLE_SUPERVISOR; role < ROLE_ALL; role++) {
		for (long number = 0; number < CALL_NUMBER_MAX; number++)
			if (calls_made[role][number] != 0)
				fprintf(report, "made %s %s %lu\n", role_names[role], call_name(number), calls_made[role][number]);
		fprintf(report, "shortable %s %lu\n", role_names[role], shortable[role]);
	}
}
