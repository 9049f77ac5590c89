#include "tests/fault/call.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

/* The calls that are failed by name, and those that a report may name. */
static const struct {
	const char *name;
	long number;
} names[] = {
	{"read", SYS_read},
	{"write", SYS_write},
	{"readv", SYS_readv},
	{"writev", SYS_writev},
	{"pread64", SYS_pread64},
	{"pwrite64", SYS_pwrite64},
	{"close", SYS_close},
	{"fsync", SYS_fsync},
	{"fdatasync", SYS_fdatasync},
	{"syncfs", SYS_syncfs},
	{"ftruncate", SYS_ftruncate},
	{"fallocate", SYS_fallocate},
	{"openat", SYS_openat},
	{"renameat2", SYS_renameat2},
	{"linkat", SYS_linkat},
	{"unlinkat", SYS_unlinkat},
	{"mkdirat", SYS_mkdirat},
	{"memfd_create", SYS_memfd_create},
	{"mmap", SYS_mmap},
	{"mremap", SYS_mremap},
	{"munmap", SYS_munmap},
	{"brk", SYS_brk},
	{"clone", SYS_clone},
	{"ppoll", SYS_ppoll},
	{"epoll_pwait", SYS_epoll_pwait},
	{"epoll_ctl", SYS_epoll_ctl},
	{"sendmsg", SYS_sendmsg},
	{"recvmsg", SYS_recvmsg},
	{"sendto", SYS_sendto},
	{"recvfrom", SYS_recvfrom},
	{"connect", SYS_connect},
	{"socket", SYS_socket},
	{"socketpair", SYS_socketpair},
	{"fcntl", SYS_fcntl},
	{"fstat", SYS_fstat},
	{"newfstatat", SYS_newfstatat},
	{"statx", SYS_statx},
	{"getdents64", SYS_getdents64},
	{"lseek", SYS_lseek},
	{"getrandom", SYS_getrandom},
	{"mlock", SYS_mlock},
	{"prctl", SYS_prctl},
	{"seccomp", SYS_seccomp},
	{"waitid", SYS_waitid},
	{"wait4", SYS_wait4},
	{"execve", SYS_execve},
	{"exit_group", SYS_exit_group},
	{"timerfd_settime", SYS_timerfd_settime},
	{"timerfd_create", SYS_timerfd_create},
	{"clock_nanosleep", SYS_clock_nanosleep},
	{"dup3", SYS_dup3},
	{"pidfd_send_signal", SYS_pidfd_send_signal},
	{"utimensat", SYS_utimensat},
	{"setsockopt", SYS_setsockopt},
	{"getsockopt", SYS_getsockopt},
	{"shutdown", SYS_shutdown},
	{"close_range", SYS_close_range},
#ifdef __x86_64__
	{"open", SYS_open},
	{"poll", SYS_poll},
	{"epoll_wait", SYS_epoll_wait},
	{"rename", SYS_rename},
	{"unlink", SYS_unlink},
	{"mkdir", SYS_mkdir},
	{"fork", SYS_fork},
	{"stat", SYS_stat},
	{"lstat", SYS_lstat},
	{"access", SYS_access},
	{"dup2", SYS_dup2},
	{"link", SYS_link},
#endif
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

static const struct {
	const char *name;
	int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"EAGAIN", EAGAIN},
	{"ENOMEM", ENOMEM}, {"EROFS", EROFS}, {"EACCES", EACCES}, {"EPIPE", EPIPE}, {"ECONNRESET", ECONNRESET}, {"ENOBUFS", ENOBUFS},
	{"ENOLCK", ENOLCK}};

#if defined(__x86_64__)
static bool set_number(pid_t pid, long number)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), number) == 0;
}

static bool set_result(pid_t pid, int64_t result)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), result) == 0;
}

/* The length is the third argument of all calls that can be short. */
static bool set_length(pid_t pid, uint64_t length)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rdx), length) == 0;
}
#elif defined(__aarch64__)
static bool set_number(pid_t pid, long number)
{
	int value = (int)number;
	struct iovec part = {&value, sizeof(value)};

	return ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &part) == 0;
}

static bool set_register(pid_t pid, unsigned which, uint64_t value)
{
	struct user_regs_struct registers;
	struct iovec part = {&registers, sizeof(registers)};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &part) < 0)
		return false;
	registers.regs[which] = value;
	return ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &part) == 0;
}

static bool set_result(pid_t pid, int64_t result)
{
	return set_register(pid, 0, (uint64_t)result);
}

static bool set_length(pid_t pid, uint64_t length)
{
	return set_register(pid, 2, length);
}
#else
#error "inject knows the registers of x86-64 and AArch64 only"
#endif

bool call_read(pid_t pid, struct call *ret_call)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) < 0)
		return false;
	*ret_call = (struct call){0};
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		ret_call->entering = true;
		ret_call->number = (long)info.entry.nr;
		memcpy(ret_call->arguments, info.entry.args, sizeof(ret_call->arguments));
		return true;
	}
	ret_call->result = info.exit.rval;
	return info.op == PTRACE_SYSCALL_INFO_EXIT;
}

bool call_replace(pid_t pid)
{
	return set_number(pid, SYS_getpid);
}

void call_set_result(pid_t pid, int64_t result)
{
	set_result(pid, result);
}

bool call_can_be_short(const struct call *call)
{
	static const long numbers[] = {SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_sendto, SYS_recvfrom};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i] == call->number)
			return call->arguments[2] > 1;
	return false;
}

void call_shorten(pid_t pid, const struct call *call)
{
	(void)call;
	set_length(pid, 1);
}

bool call_is_sync(long number)
{
	return number == SYS_fsync || number == SYS_fdatasync || number == SYS_syncfs;
}

static bool read_string(pid_t pid, uint64_t at, char *text, size_t size)
{
	struct iovec here = {text, size - 1}, there = {(void *)(uintptr_t)at, size - 1};
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);

	if (got < 0) { /* it may end shortly before memory that is not there */
		here.iov_len = there.iov_len = 4096 - at % 4096 < size - 1 ? 4096 - at % 4096 : size - 1;
		got = process_vm_readv(pid, &here, 1, &there, 1, 0);
	}
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/* Which argument is a path: the first, the second (of those that take a directory), or none. */
static int path_argument(long number)
{
	static const long at_calls[] = {SYS_openat, SYS_mkdirat, SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_newfstatat, SYS_statx};

	for (size_t i = 0; i < sizeof(at_calls) / sizeof(at_calls[0]); i++)
		if (at_calls[i] == number)
			return 1;
#ifdef __x86_64__
	static const long plain_calls[] = {SYS_open, SYS_mkdir, SYS_unlink, SYS_rename, SYS_link, SYS_stat, SYS_lstat, SYS_access};

	for (size_t i = 0; i < sizeof(plain_calls) / sizeof(plain_calls[0]); i++)
		if (plain_calls[i] == number)
			return 0;
#endif
	return -1;
}

bool call_concerns_path(pid_t pid, const struct call *call, const char *prefix)
{
	char link[64], path[PATH_MAX];
	int argument = path_argument(call->number);
	ssize_t len;

	if (argument >= 0 && read_string(pid, call->arguments[argument], path, sizeof(path)) && path[0] == '/')
		return strncmp(path, prefix, strlen(prefix)) == 0;
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)call->arguments[0]);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return strncmp(path, prefix, strlen(prefix)) == 0;
}

bool call_unlinks(pid_t pid, const struct call *call, const char *name)
{
	char path[PATH_MAX];
	const char *last;

	if (call->number != SYS_unlinkat || !read_string(pid, call->arguments[1], path, sizeof(path)))
		return false;
	last = strrchr(path, '/');
	return strcmp(last != NULL ? last + 1 : path, name) == 0;
}

const char *call_name(long number)
{
	static char unnamed[24];

	for (size_t i = 0; i < NAME_COUNT; i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(unnamed, sizeof(unnamed), "call-%ld", number);
	return unnamed;
}

static long number_of(const char *name, size_t len)
{
	for (size_t i = 0; i < NAME_COUNT; i++)
		if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0)
			return names[i].number;
	fprintf(stderr, "inject: no system call \"%.*s\"\n", (int)len, name);
	exit(97);
}

void call_set_parse(struct call_set *set, const char *list)
{
	while (*list != '\0' && set->count < CALL_SET_MAX) {
		size_t len = strcspn(list, ",");

		set->numbers[set->count++] = number_of(list, len);
		list += len + (list[len] == ',');
	}
}

bool call_set_has(const struct call_set *set, long number)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->numbers[i] == number)
			return true;
	return set->count == 0;
}

int call_errno(const char *name)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].number;
	fprintf(stderr, "inject: no error \"%s\"\n", name);
	exit(97);
}
