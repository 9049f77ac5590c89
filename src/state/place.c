#include "state/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"

static int check_directory(int fd, const char *dir, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot look at state directory %s", dir);
	if (st.st_uid != geteuid())
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"state directory %s belongs to user %u, but mailhaul runs as user %u: run it as its owner, or chown it", dir,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 0777) != 0700)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "state directory %s has mode %04o, but nobody else may enter it: chmod 0700 %s", dir,
			st.st_mode & 0777, dir);
	return 0;
}

int place_open(const char *dir, bool make, struct error *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(dir, flags);

	if (fd < 0 && errno == ENOENT) {
		if (!make)
			return error_set(err, ERR_NONE, SCOPE_PROGRAM, "there is no state in %s yet", dir);
		if (fs_mkdir_parents(dir, 0700, err) < 0)
			return -1;
		fd = open(dir, flags);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"state directory %s is a symbolic link or no directory: name the directory itself in state_dir", dir);
	if (fd < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot open state directory %s", dir);
	if (check_directory(fd, dir, err) < 0)
		return fs_close(fd);
	return fd;
}

static int check_file(int dir_fd, const char *dir, const char *name, bool *ret_found, struct error *err)
{
	struct stat st;

	*ret_found = false;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_errno(err, SCOPE_PROGRAM, "cannot look at %s/%s", dir, name);
	}
	*ret_found = true;
	if (S_ISLNK(st.st_mode))
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"%s/%s is a symbolic link: put the file itself there, or name its directory in state_dir", dir, name);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "%s/%s is not a regular file: move it away", dir, name);
	if (st.st_uid != geteuid())
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"%s/%s belongs to user %u, but mailhaul runs as user %u: run it as its owner, or chown it", dir, name, (unsigned)st.st_uid,
			(unsigned)geteuid());
	if (st.st_nlink != 1)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "%s/%s has another hard link to it: remove that one, or copy the file to its place",
			dir, name);
	if ((st.st_mode & 0777) != 0600)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "%s/%s has mode %04o, but nobody else may read it: chmod 0600 %s/%s", dir, name,
			st.st_mode & 0777, dir, name);
	return 0;
}

int place_check_files(int dir_fd, const char *dir, bool *ret_found, struct error *err)
{
	static const char *const others[] = {"state.db-wal", "state.db-shm", "state.db-journal", "reserve"};
	bool found;

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		if (check_file(dir_fd, dir, others[i], &found, err) < 0)
			return -1;
	return check_file(dir_fd, dir, "state.db", ret_found, err);
}

bool place_is_remote(int dir_fd)
{
	static const unsigned remote[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,
		V9FS_MAGIC, AFS_SUPER_MAGIC, AFS_FS_MAGIC, CODA_SUPER_MAGIC};
	struct statfs fs;

	if (fstatfs(dir_fd, &fs) < 0)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(remote); i++)
		if ((unsigned)fs.f_type == remote[i])
			return true;
	return false;
}
