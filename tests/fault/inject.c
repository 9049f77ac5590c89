/* inject.c - runs a program under ptrace and breaks it at the n-th system call of one of its processes.
 *
 *   inject [--role ROLE] [--report FILE] [--seconds N] [--shadow DIR --root DIR...]
 *          [--kill N | --fail ERRNO --at N | --short --at N] [--calls LIST] [--path PREFIX] [--times N | --lasting] [--until-unlinked NAME]
 *          PROGRAM [ARGUMENT...]
 *
 * ROLE is supervisor, spawner, worker, connector, helper, scribe or all (which counts every call, and kills every process). Calls are counted from the
 * birth of the spawner on: what comes before is the dynamic linker's, but for the fork that makes the spawner. --kill ends the process at the entry
 * of its N-th call, so that the call is not made; --fail lets the N-th call of LIST (all calls without it) that names a file at PREFIX fail instead
 * of being made; --short lets it move one byte. --times: N calls in a row; --lasting: all from then on, until a file of that name is unlinked.
 * The report says what was done ("fired ROLE CALL"), which failed sync was tried again on the same descriptor ("resynced PATH"), and, without a fault,
 * how many calls each role made ("made ROLE CALL N", "shortable ROLE N").
 * Leaves with the program's exit code, 128 + signal, 98 if it did not end in time, 97 if tracing failed. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
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
#include "tests/fault/fault.h"
#include "tests/fault/process.h"
#include "tests/fault/shadow.h"
#include "tests/fault/sync-rule.h"

enum { EXIT_TRACE = 97, EXIT_LATE = 98 };
static uint64_t request_at; /* the spawner's buffer, which says what kind its next child is; 0: not known yet */
static bool spawner_lives;
static FILE *report;
static unsigned seconds = 60; /* for all of it */
static volatile sig_atomic_t late;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_TRACE);
}

static void on_alarm(int number)
{
	(void)number;
	late = 1;
}

/* Two stops at every call are what tracing costs: only where somebody wants to know. */
static bool has_interesting_calls(const struct process *process)
{
	if (!spawner_lives || process->overridden || shadow_is_open() || sync_rule_is_armed())
		return true;
	if (process->role == ROLE_SPAWNER && request_at == 0)
		return true;
	return !fault_ignores(process->role);
}

/* A process may be gone at any time. One that we killed must not be touched: it may have reached its exit stop already, and would go on from there
 * as a traced process, hidden from its parent. */
static void go_on(const struct process *process, int signal)
{
	if (!process->killed &&
		ptrace(has_interesting_calls(process) ? PTRACE_SYSCALL : PTRACE_CONT, process->pid, NULL, (void *)(intptr_t)signal) < 0 &&
		errno != ESRCH)
		die("PTRACE_SYSCALL");
}

static bool read_memory(pid_t pid, uint64_t at, void *to, size_t len)
{
	struct iovec here = {to, len}, there = {(void *)(uintptr_t)at, len};

	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

/* The spawner receives all requests in one buffer. */
static void find_request(pid_t pid, uint64_t message_at)
{
	struct msghdr message;
	struct iovec part;

	if (read_memory(pid, message_at, &message, sizeof(message)) && read_memory(pid, (uintptr_t)message.msg_iov, &part, sizeof(part)))
		request_at = (uintptr_t)part.iov_base;
}

/* The first number of the request says what kind of child it is (enum request_kind in spawner/spawner.c). */
static enum role role_of_next_child(pid_t spawner)
{
	static const enum role roles[] = {ROLE_NONE, ROLE_NONE, ROLE_WORKER, ROLE_CONNECTOR, ROLE_HELPER, ROLE_SCRIBE};
	uint32_t kind;

	return read_memory(spawner, request_at, &kind, sizeof(kind)) && kind < sizeof(roles) / sizeof(roles[0]) ? roles[kind] : ROLE_NONE;
}

/* A process that is not dumpable hides its memory and its descriptors from a tracer who is not root. */
static bool keep_dumpable(struct process *process, const struct call *call)
{
	if (call->number != SYS_prctl || call->arguments[0] != PR_SET_DUMPABLE || !call_replace(process->pid))
		return false;
	process->overridden = true;
	process->result = 0;
	return true;
}

static void enter(struct process *process, const struct call *call)
{
	process->call = call->number;
	process->argument = call->arguments[0];
	if (process->role == ROLE_SPAWNER && call->number == SYS_recvmsg && request_at == 0)
		find_request(process->pid, call->arguments[1]);
	if (!keep_dumpable(process, call) && (spawner_lives || call->number == SYS_clone))
		fault_enter(report, process, call);
}

static void leave(struct process *process, const struct call *call)
{
	if (process->overridden) {
		call_set_result(process->pid, process->result);
	} else if (call->result == 0) {
		shadow_after(process->pid, process->call, process->argument);
		sync_rule_after(report, process->pid, process->call, process->argument);
	}
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
		role = role_of_next_child(parent->pid);
	}
	child = process_add((pid_t)pid, role);
	if (child->stopped_early)
		go_on(child, 0);
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
	process_forget(process);
}

static void on_stop(pid_t pid, int status)
{
	struct process *process = process_find(pid);
	int signal = WSTOPSIG(status), event = status >> 16;

	if (process == NULL) {
		process = process_add(pid, ROLE_NONE);
		process->stopped_early = true;
		return;
	}
	if (event == PTRACE_EVENT_EXIT) {
		on_exit_of(process);
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
	} else if (event != 0) {
		signal = 0;
	} else if (signal == SIGSYS) {
		process_report_forbidden(report, process);
	} else if (signal == SIGSEGV || signal == SIGBUS) {
		process_report_crash(report, process, signal);
	}
	go_on(process, signal);
}

static int trace(pid_t first)
{
	int status, code = EXIT_TRACE;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		struct process *process = pid > 0 ? process_find(pid) : NULL;

		if (late && code != EXIT_LATE) {
			process_report_late(report);
			process_kill_all();
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
			process_forget(process);
		}
	}
	return code;
}

static pid_t start(char **argv)
{
	struct process *first;
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
	first = process_add(pid, ROLE_SUPERVISOR);
	first->started = true;
	go_on(first, 0);
	return pid;
}

static void take_option(int letter, const char *value)
{
	switch (letter) {
	case 'o':
		report = fopen(value, "we");
		break;
	case 't':
		seconds = (unsigned)strtoul(value, NULL, 10);
		break;
	case 'd':
		shadow_open(value);
		break;
	case 'w':
		shadow_watch(value);
		break;
	default:
		if (!fault_take_option(letter, value))
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
		{"times", required_argument, NULL, 'n'},
		{"path", required_argument, NULL, 'p'},
		{"until-unlinked", required_argument, NULL, 'u'},
		{"report", required_argument, NULL, 'o'},
		{"seconds", required_argument, NULL, 't'},
		{"shadow", required_argument, NULL, 'd'},
		{"root", required_argument, NULL, 'w'},
		{0},
	};
	const struct sigaction action = {.sa_handler = on_alarm};
	int letter, code;

	report = stderr;
	while ((letter = getopt_long(argc, argv, "+", options, NULL)) >= 0)
		take_option(letter, optarg);
	if (report == NULL || optind == argc)
		die("inject: report or program");
	sigaction(SIGALRM, &action, NULL);
	alarm(seconds);
	code = trace(start(argv + optind));
	shadow_close();
	fault_report_counts(report);
	return code;
}
