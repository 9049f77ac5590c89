/* call.h - system calls of a traced process: reading, replacing and naming them. x86-64 and AArch64. */
#ifndef MAILHAUL_TESTS_FAULT_CALL_H
#define MAILHAUL_TESTS_FAULT_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call {
	bool entering;
	long number;           /* entering */
	uint64_t arguments[6]; /* entering */
	int64_t result;        /* leaving */
};

#define CALL_NUMBER_MAX 512 /* system calls have lower numbers */
#define CALL_SET_MAX 32
/* Empty: every call. */
struct call_set {
	long numbers[CALL_SET_MAX];
	unsigned count;
};

/* False: the process is gone, or not in a system call. */
bool call_read(pid_t pid, struct call *ret_call);
/* At the entry: getpid is made instead, the one call that every sandbox allows and that changes nothing. The result is set when it leaves. */
bool call_replace(pid_t pid);
void call_set_result(pid_t pid, int64_t result);

/* Reads and writes of more than one byte where a stream or a file is at the other end. */
bool call_can_be_short(const struct call *call);
/* At the entry: one byte only. */
void call_shorten(pid_t pid, const struct call *call);

bool call_is_sync(long number);
/* At the entry: does it name, or use a descriptor of, a file whose path begins with prefix? */
bool call_concerns_path(pid_t pid, const struct call *call, const char *prefix);
/* At the entry: does it unlink a file whose last component is name? */
bool call_unlinks(pid_t pid, const struct call *call, const char *name);

const char *call_name(long number);
/* Names, separated by commas. An unknown one ends the program. */
void call_set_parse(struct call_set *set, const char *names);
bool call_set_has(const struct call_set *set, long number);
/* Of a name like "ENOSPC". */
int call_errno(const char *name);

#endif
