/* shadow.h - what a disk would still hold after the power was cut: at every successful fsync the file's bytes, or the directory's names, are copied.
 * The strictest reading of POSIX: a name is durable when its directory was synced, and not before. */
#ifndef MAILHAUL_TESTS_FAULT_SHADOW_H
#define MAILHAUL_TESTS_FAULT_SHADOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* An empty directory: gets KEY.data for every synced file, KEY.names for every synced directory (lines: KEY, f or d, name), KEY.now for every directory
 * as it is at the end, and "roots" (KEY, path). A key names a file for good. Nothing is watched before. */
void shadow_open(const char *directory);
/* Files and directories beneath PATH count; what is there now is on the disk already. */
void shadow_watch(const char *path);
bool shadow_is_open(void);
/* Everybody is dead. */
void shadow_close(void);
/* After a call that returned 0, while the process is stopped. */
void shadow_after(pid_t pid, long number, uint64_t fd);

#endif
