#include "state/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

#define NAME "reserve"

/* Stands behind the system's own file object, in the room that szOsFile asked for. Each kind of file has methods of its own. */
struct file_tail {
	sqlite3_io_methods methods;
	const sqlite3_io_methods *system;
	struct reserve *reserve;
};

static struct file_tail *tail_of(sqlite3_file *file)
{
	return (struct file_tail *)((char *)file + sqlite3_vfs_find("unix")->szOsFile);
}

static bool give_up(struct reserve *reserve)
{
	if (!reserve->armed || unlinkat(reserve->dir_fd, NAME, 0) < 0)
		return false;
	reserve->spent = true;
	return true;
}

static int write_twice(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
	struct file_tail *tail = tail_of(file);
	int result = tail->system->xWrite(file, bytes, len, offset);

	/* SQLITE_FULL is ENOSPC; a quota (EDQUOT) comes as a failed write. */
	if ((result == SQLITE_FULL || result == SQLITE_IOERR_WRITE) && give_up(tail->reserve))
		result = tail->system->xWrite(file, bytes, len, offset);
	return result;
}

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	sqlite3_vfs *system = sqlite3_vfs_find("unix");
	int result = system->xOpen(system, name, file, flags, ret_flags);

	if (file->pMethods != NULL) {
		struct file_tail *tail = tail_of(file);

		tail->reserve = (struct reserve *)vfs; /* its first member */
		tail->system = file->pMethods;
		tail->methods = *file->pMethods;
		tail->methods.xWrite = write_twice;
		file->pMethods = &tail->methods;
	}
	return result;
}

void reserve_init(struct reserve *reserve, int dir_fd)
{
	*reserve = (struct reserve){.vfs = *sqlite3_vfs_find("unix"), .dir_fd = dir_fd};
	snprintf(reserve->name, sizeof(reserve->name), "mailhaul-%p", (void *)reserve);
	reserve->vfs.pNext = NULL;
	reserve->vfs.zName = reserve->name;
	reserve->vfs.szOsFile += (int)sizeof(struct file_tail);
	reserve->vfs.xOpen = open_file;
	sqlite3_vfs_register(&reserve->vfs, 0);
}

/* Blocks, not a hole. 0, or an errno. */
static int allocate(int fd)
{
	int code;

	do
		code = posix_fallocate(fd, 0, RESERVE_BYTES);
	while (code == EINTR);
	return code;
}

int reserve_make(const struct reserve *reserve)
{
	struct stat st;
	int fd, code = 0;

	if (fstatat(reserve->dir_fd, NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (st.st_size == RESERVE_BYTES)
			return 0;
		unlinkat(reserve->dir_fd, NAME, 0);
	}
	fd = openat(reserve->dir_fd, NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		code = errno;
	else if ((code = allocate(fd)) != 0)
		unlinkat(reserve->dir_fd, NAME, 0);
	fs_close(fd);
	if (!fs_is_full(code))
		return 0;
	errno = code;
	return -1;
}

void reserve_done(struct reserve *reserve)
{
	sqlite3_vfs_unregister(&reserve->vfs);
}
