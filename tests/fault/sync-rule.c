#include "tests/fault/sync-rule.h"

#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/fault/call.h"

#define FAILED_MAX 256

static struct {
	pid_t pid;
	int fd;
	char path[PATH_MAX];
} failed[FAILED_MAX];
static unsigned failed_count;

void sync_rule_failed(pid_t pid, uint64_t fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0 || failed_count == FAILED_MAX)
		return;
	path[len] = '\0';
	if (strstr(path, "/state.db") != NULL)
		return;
	failed[failed_count].pid = pid;
	failed[failed_count].fd = (int)fd;
	strcpy(failed[failed_count++].path, path);
}

bool sync_rule_is_armed(void)
{
	return failed_count != 0;
}

void sync_rule_after(FILE *report, pid_t pid, long number, uint64_t fd)
{
	for (unsigned i = 0; i < failed_count; i++) {
		if (failed[i].pid != pid || failed[i].fd != (int)fd)
			continue;
		if (call_is_sync(number))
			fprintf(report, "resynced %s\n", failed[i].path);
		else if (number == SYS_close)
			failed[i] = failed[--failed_count];
		else
			continue;
		return;
	}
}
