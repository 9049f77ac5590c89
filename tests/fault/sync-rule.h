/* sync-rule.h - a sync that has failed may have thrown away what was to be written, and says so once: to sync the same descriptor again and to believe
 * the answer is to lose mail. Reports who does. state.db is SQLite's, which leaves a failed transaction behind. */
#ifndef MAILHAUL_TESTS_FAULT_SYNC_RULE_H
#define MAILHAUL_TESTS_FAULT_SYNC_RULE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

void sync_rule_failed(pid_t pid, uint64_t fd);
bool sync_rule_is_armed(void);
/* After a call that returned 0, while the process is stopped. */
void sync_rule_after(FILE *report, pid_t pid, long number, uint64_t fd);

#endif
