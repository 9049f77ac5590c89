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

static int say_who(int fd, const char *name, struct error *err)
{
	char text[32] = "";
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	long pid = len > 0 ? strtol(text, NULL, 10) : 0;

	fs_close(fd);
	if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return error_code(
			err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by what process %ld has left behind", name, pid);
	if (pid > 0)
		return error_code(err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by process %ld", name, pid);
	return error_code(err, ERR_TEMP, SCOPE_MAILBOX, LOCK_HELD, "mailbox %s is being hauled by another process", name);
}

int lock_mailbox(int state_dir_fd, const char *name, int *ret_fd, struct error *err)
{
	char file[100], text[32];
	int fd, len;

	snprintf(file, sizeof(file), "lock.%s", name); /* names of mailboxes are plain words */
	fd = openat(state_dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot open %s in the state directory", file);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return say_who(fd, name, err);
		error_errno(err, SCOPE_PROGRAM, "cannot lock %s in the state directory", file);
		return fs_close(fd);
	}
	len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
		(void)0; /* only a courtesy to whoever finds it locked; a full disk must not stop mail */
	*ret_fd = fd;
	return 0;
}
