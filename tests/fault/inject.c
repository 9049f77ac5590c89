/* inject.c - runs a program under ptrace and breaks it at the n-th system call of one of its processes.
 *
 *   inject [--role ROLE] [--report FILE] [--seconds N] [--shadow DIR --root DIR...]
 *          [--kill N | --fail ERRNO --calls LIST --at N [--lasting] | --short --calls LIST --at N [--lasting]] PROGRAM [ARGUMENT...]
 *
 * ROLE is supervisor, spawner, worker, connector, helper or all (which counts every call, and kills every process). Calls are counted from the
 * birth of the spawner on: what comes before is the dynamic linker's. --kill ends the process at the entry of its N-th call, so that the call is
 * not made; --fail lets the N-th call of LIST (all calls without it) fail instead of being made; --short lets it move one byte. The report says
 * how many calls each role made ("calls ROLE N") and what was done ("fired ROLE CALL"). Leaves with the program's exit code, 128 + signal, 98
 * if it did not end in time, 97 if tracing failed. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/call.h"
#include "tests/fault/shadow.h"

enum { EXIT_TRACE = 97, EXIT_LATE = 98, PROCESS_MAX = 4096 };
enum role { ROLE_NONE, ROLE_SUPERVISOR, ROLE_SPAWNER, ROLE_WORKER, ROLE_CONNECTOR, ROLE_HELPER, ROLE_ALL, ROLE_COUNT };
static const char *const role_names[ROLE_COUNT] = {"none", "supervisor", "spawner", "worker", "connector", "helper", "all"};

enum action { ACTION_COUNT, ACTION_KILL, ACTION_FAIL, ACTION_SHORT };

struct process {
	pid_t pid;
	enum role role;
	bool stopped_early; /* its first stop came before its parent's event, which says what it is */
	bool started;
	bool overridden; /* the call it is in is ours; result is what it shall return */
	bool inside;
	long call;
	uint64_t argument;
	long result;
};

static struct {
	enum role role;
	enum action action;
	unsigned long at;
	bool lasting;
	int error;
	struct call_set calls;
	unsigned seconds;
	const char *report;
} wanted = {.role = ROLE_ALL, .seconds = 60};

static struct process processes[PROCESS_MAX];
static unsigned process_count;
static unsigned long calls_made[ROLE_COUNT], matches;
static enum role next_role; /* of the spawner's next child */
static bool spawner_lives;
static FILE *report;
static volatile sig_atomic_t late;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_TRACE);
}

static struct process *find(pid_t pid)
{
	for (unsigned i = 0; i < process_count; i++)
		if (processes[i].pid == pid)
			return &processes[i];
	return NULL;
}

static struct process *add(pid_t pid, enum role role)
{
	struct process *process = find(pid);

	if (process == NULL) {
		if (process_count == PROCESS_MAX)
			die("too many processes");
		process = &processes[process_count++];
		*process = (struct process){.pid = pid};
	}
	process->role = role;
	return process;
}

static void forget(struct process *process)
{
	*process = processes[--process_count];
}

static void kill_all(void)
{
	for (unsigned i = 0; i < process_count; i++)
		kill(processes[i].pid, SIGKILL);
}

static void on_alarm(int number)
{
	(void)number;
	late = 1;
}

/* A process may be gone at any time, by our own SIGKILL. */
static void go_on(pid_t pid, int signal)
{
	if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal) < 0 && errno != ESRCH)
		die("PTRACE_SYSCALL");
}

static bool read_memory(pid_t pid, uint64_t at, void *to, size_t len)
{
	struct iovec here = {to, len}, there = {(void *)(uintptr_t)at, len};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* The spawner has received a request: its first number says what kind of child comes next (enum request_kind in spawner/spawner.c). */
static void read_request(pid_t pid, uint64_t message_at)
{
	static const enum role roles[] = {ROLE_NONE, ROLE_NONE, ROLE_WORKER, ROLE_CONNECTOR, ROLE_HELPER};
	struct msghdr message;
	struct iovec part;
	uint32_t kind;

	if (read_memory(pid, message_at, &message, sizeof(message)) && read_memory(pid, (uintptr_t)message.msg_iov, &part, sizeof(part)) &&
		read_memory(pid, (uintptr_t)part.iov_base, &kind, sizeof(kind)) && kind < sizeof(roles) / sizeof(roles[0]))
		next_role = roles[kind];
}

static void fire(struct process *process, const struct call *call)
{
	fprintf(report, "fired %s %s\n", role_names[process->role], call_name(call->number));
	fflush(report);
	if (wanted.action == ACTION_KILL && wanted.role == ROLE_ALL)
		kill_all();
	else if (wanted.action == ACTION_KILL)
		kill(process->pid, SIGKILL);
	else if (wanted.action == ACTION_SHORT)
		call_shorten(process->pid, call);
	else if (call_replace(process->pid)) {
		process->overridden = true;
		process->result = call->number == SYS_brk ? 0 : -wanted.error; /* brk has no error numbers: its failure is a break too low */
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
	return wanted.action == ACTION_KILL || call_set_has(&wanted.calls, call->number);
}

static void enter(struct process *process, const struct call *call)
{
	process->call = call->number;
	process->argument = call->arguments[0];
	if (call->number == SYS_recvmsg)
		process->argument = call->arguments[1];
	/* A process that is not dumpable hides its memory and its descriptors from a tracer who is not root. */
	if (call->number == SYS_prctl && call->arguments[0] == PR_SET_DUMPABLE && call_replace(process->pid)) {
		process->overridden = true;
		process->result = 0;
		return;
	}
	if (!spawner_lives)
		return;
	calls_made[process->role]++;
	calls_made[ROLE_ALL]++;
	if (!concerns(process, call))
		return;
	matches++;
	if (matches == wanted.at || (matches > wanted.at && wanted.lasting))
		fire(process, call);
}

static void leave(struct process *process, const struct call *call)
{
	if (process->overridden)
		call_set_result(process->pid, process->result);
	else if (process->role == ROLE_SPAWNER && process->call == SYS_recvmsg && call->result > 0)
		read_request(process->pid, process->argument);
	else if (call->result == 0)
		shadow_after(process->pid, process->call, process->argument);
	process->overridden = false;
}

static void on_call(struct process *process)
{
	struct call call;

	if (!call_read(process->pid, &call))
		return; /* killed meanwhile */
	if (call.entering)
		enter(process, &call);
	else
		leave(process, &call);
}

static void on_birth(struct process *parent)
{
	unsigned long pid;
	enum role role = parent->role;
	struct process *child;

	if (ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid) < 0)
		return;
	if (parent->role == ROLE_SUPERVISOR) {
		role = ROLE_SPAWNER;
		spawner_lives = true;
	} else if (parent->role == ROLE_SPAWNER) {
		role = next_role;
	}
	child = add((pid_t)pid, role);
	if (child->stopped_early)
		go_on(child->pid, 0);
	child->started = child->stopped_early;
}

/* Let go of at the door: a traced process that is dead is hidden from its parent until we have reaped it, but its pidfd is readable at once, and
 * sd-event looks once only. What it held (locks, connections) is gone when this returns. */
static void on_exit_of(struct process *process)
{
	struct pollfd gone = {.fd = (int)syscall(SYS_pidfd_open, process->pid, 0), .events = POLLIN};

	if (ptrace(PTRACE_DETACH, process->pid, NULL, NULL) < 0)
		fprintf(report, "not detached: %s\n", role_names[process->role]);
	if (gone.fd >= 0) {
		poll(&gone, 1, 5000);
		close(gone.fd);
	}
	forget(process);
}

/* Where a process crashes: the line of its map that holds the instruction, and the offset in it. */
static void report_crash(const struct process *process, int signal)
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

static void on_stop(pid_t pid, int status)
{
	struct process *process = find(pid);
	int signal = WSTOPSIG(status), event = status >> 16;

	if (process == NULL) {
		process = add(pid, ROLE_NONE);
		process->stopped_early = true;
		return;
	}
	if (!process->started && signal == SIGSTOP) {
		process->started = true;
		signal = 0;
	} else if (signal == (SIGTRAP | 0x80)) {
		on_call(process);
		signal = 0;
	} else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
		on_birth(process);
		signal = 0;
	} else if (event == PTRACE_EVENT_EXIT) {
		on_exit_of(process);
		return;
	} else if (event != 0) {
		signal = 0;
	} else if (signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGSYS) {
		report_crash(process, signal);
	}
	go_on(pid, signal);
}

static int trace(pid_t first)
{
	int status, code = EXIT_TRACE;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		struct process *process = pid > 0 ? find(pid) : NULL;

		if (late) {
			for (unsigned i = 0; code != EXIT_LATE && i < process_count; i++)
				fprintf(report, "late %s %d in %s\n", role_names[processes[i].role], (int)processes[i].pid,
					call_name(processes[i].call));
			kill_all();
			code = EXIT_LATE;
		}
		if (pid <= 0)
			continue;
		if (WIFSTOPPED(status)) {
			on_stop(pid, status);
			continue;
		}
		if (pid == first && !late)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (process != NULL) {
			if (pid != first)
				fprintf(report, "died traced: %s\n", role_names[process->role]);
			forget(process);
		}
	}
	return code;
}

static pid_t start(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(argv[0], argv);
		perror(argv[0]);
		_exit(EXIT_TRACE);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("waitpid");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		    (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
			     PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)) < 0)
		die("PTRACE_SETOPTIONS");
	add(pid, ROLE_SUPERVISOR)->started = true;
	go_on(pid, 0);
	return pid;
}

static enum role role_of(const char *name)
{
	for (unsigned i = ROLE_SUPERVISOR; i < ROLE_COUNT; i++)
		if (strcmp(role_names[i], name) == 0)
			return i;
	fprintf(stderr, "inject: no role \"%s\"\n", name);
	exit(EXIT_TRACE);
}

static void take_option(int letter, const char *value)
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
		wanted.lasting = true;
		break;
	case 'o':
		wanted.report = value;
		break;
	case 't':
		wanted.seconds = (unsigned)strtoul(value, NULL, 10);
		break;
	case 'd':
		shadow_open(value);
		break;
	case 'w':
		shadow_watch(value);
		break;
	default:
		exit(EXIT_TRACE);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"role", required_argument, NULL, 'r'},
		{"kill", required_argument, NULL, 'k'},
		{"fail", required_argument, NULL, 'f'},
		{"short", no_argument, NULL, 's'},
		{"calls", required_argument, NULL, 'c'},
		{"at", required_argument, NULL, 'a'},
		{"lasting", no_argument, NULL, 'l'},
		{"report", required_argument, NULL, 'o'},
		{"seconds", required_argument, NULL, 't'},
		{"shadow", required_argument, NULL, 'd'},
		{"root", required_argument, NULL, 'w'},
		{0},
	};
	const struct sigaction action = {.sa_handler = on_alarm};
	int letter, code;

	while ((letter = getopt_long(argc, argv, "+", options, NULL)) >= 0)
		take_option(letter, optarg);
	report = wanted.report != NULL ? fopen(wanted.report, "we") : stderr;
	if (report == NULL || optind == argc)
		die("inject: report or program");
	sigaction(SIGALRM, &action, NULL);
	alarm(wanted.seconds);
	code = trace(start(argv + optind));
	for (unsigned i = ROLE_SUPERVISOR; i < ROLE_COUNT; i++)
		fprintf(report, "calls %s %lu\n", role_names[i], calls_made[i]);
	fprintf(report, "matches %lu\n", matches);
	return code;
}
