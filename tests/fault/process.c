#include "tests/fault/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "tests/fault/call.h"

enum { PROCESS_MAX = 4096 };

const char *const role_names[ROLE_COUNT] = {"none", "supervisor", "spawner", "worker", "connector", "helper", "scribe", "all"};

static struct process processes[PROCESS_MAX];
static unsigned process_count;
static bool all_are_killed;

enum role role_of(const char *name)
{
	for (unsigned i = ROLE_SUPERVISOR; i < ROLE_COUNT; i++)
		if (strcmp(role_names[i], name) == 0)
			return i;
	fprintf(stderr, "inject: no role \"%s\"\n", name);
	exit(97);
}

struct process *process_find(pid_t pid)
{
	for (unsigned i = 0; i < process_count; i++)
		if (processes[i].pid == pid)
			return &processes[i];
	return NULL;
}

struct process *process_add(pid_t pid, enum role role)
{
	struct process *process = process_find(pid);

	if (process == NULL) {
		if (process_count == PROCESS_MAX)
			exit(97);
		process = &processes[process_count++];
		*process = (struct process){.pid = pid};
		if (all_are_killed) /* its parent had just made it */
			process_kill(process);
	}
	process->role = role;
	return process;
}

void process_forget(struct process *process)
{
	*process = processes[--process_count];
}

void process_kill(struct process *process)
{
	process->killed = true;
	kill(process->pid, SIGKILL);
}

void process_kill_all(void)
{
	all_are_killed = true;
	for (unsigned i = 0; i < process_count; i++)
		process_kill(&processes[i]);
}

void process_report_late(FILE *report)
{
	for (unsigned i = 0; i < process_count; i++)
		fprintf(report, "late %s %d in %s\n", role_names[processes[i].role], (int)processes[i].pid, call_name(processes[i].call));
}

/* The sandbox forbids signals too, so abort() in a worker is a forbidden tgkill: it has given up, which is no crash. */
void process_report_forbidden(FILE *report, const struct process *process)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, process->pid, NULL, &info) == 0 && info.si_syscall != SYS_tgkill)
		fprintf(report, "forbidden %s %s\n", role_names[process->role], call_name(info.si_syscall));
}

void process_report_crash(FILE *report, const struct process *process, int signal)
{
	struct __ptrace_syscall_info info;
	char path[64], line[512];
	unsigned long from, to;
	FILE *maps;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, (void *)sizeof(info), &info) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)process->pid);
	maps = fopen(path, "re");
	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && info.instruction_pointer >= from && info.instruction_pointer < to)
			fprintf(report, "crash %s signal %d at +%llx of %s", role_names[process->role], signal,
				(unsigned long long)info.instruction_pointer - from, line);
	if (maps != NULL)
		fclose(maps);
}
