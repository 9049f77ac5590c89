#include "supervisor/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"

static int say_who(pid_t pid, const char *name, struct error *err)
{
	if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
		return error_code(
			err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by what process %ld has left behind", name, (long)pid);
	if (pid > 0)
		return error_code(err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by process %ld", name, (long)pid);
	return error_code(err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by another process", name);
}

/* -1: somebody else has it, who is *ret_pid if known (0: not); or an error, then *ret_pid is -1. */
static int take(int state_dir_fd, const char *file, int *ret_fd, pid_t *ret_pid, struct error *err)
{
	int fd = openat(state_dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), len;
	char text[32] = "";

	*ret_pid = -1;
	if (fd < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot open %s in the state directory", file);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			error_errno(err, SCOPE_PROGRAM, "cannot lock %s in the state directory", file);
		else
			*ret_pid = pread(fd, text, sizeof(text) - 1, 0) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
		return fs_close(fd);
	}
	len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
		(void)0; /* only a courtesy to whoever finds it locked; a full disk must not stop mail */
	*ret_fd = fd;
	return 0;
}

#define FILE_BYTES 100

/* Names of mailboxes are plain words. */
static const char *file_name(char file[FILE_BYTES], const char *name)
{
	snprintf(file, FILE_BYTES, "lock.%s", name);
	return file;
}

bool lock_exists(int state_dir_fd, const char *name)
{
	char file[FILE_BYTES];

	return faccessat(state_dir_fd, file_name(file, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

int lock_mailbox(int state_dir_fd, const char *name, int *ret_fd, struct error *err)
{
	char file[FILE_BYTES];
	pid_t pid;

	if (take(state_dir_fd, file_name(file, name), ret_fd, &pid, err) == 0)
		return 0;
	return pid < 0 ? -1 : say_who(pid, name, err);
}

int lock_daemon(int state_dir_fd, int *ret_fd, struct error *err)
{
	pid_t pid;

	if (take(state_dir_fd, "daemon", ret_fd, &pid, err) == 0)
		return 0;
	if (pid < 0)
		return -1;
	return error_code(err, ERR_TEMP, SCOPE_PROGRAM, LOCK_HELD, "another daemon, process %ld, serves this state already", (long)pid);
}
