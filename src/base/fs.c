#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

int fs_write_all(int fd, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len != 0) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

int fs_read_all(int fd, size_t max_bytes, struct str *out)
{
	for (;;) {
		ssize_t n = read(fd, str_reserve(out, 16384), 16384);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		out->len += (size_t)n;
		if (out->len > max_bytes) {
			errno = EFBIG;
			return -1;
		}
	}
	out->data[out->len] = '\0';
	return 0;
}

int fs_pread_all(int fd, void *bytes, size_t len, uint64_t offset)
{
	char *to = bytes;

	while (len != 0) {
		ssize_t n = pread(fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

bool fs_is_full(int code)
{
	return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

void fs_sync_parent(int dir_fd)
{
	int parent = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent >= 0)
		fsync(parent);
	fs_close(parent);
}

static int make_directory(const char *path, mode_t mode, struct error *err)
{
	int fd;

	if (mkdir(path, mode) < 0)
		return errno == EEXIST ? 0 : error_errno(err, SCOPE_PROGRAM, "cannot create directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fs_sync_parent(fd);
	fs_close(fd);
	return 0;
}

int fs_mkdir_parents(const char *path, mode_t mode, struct error *err)
{
	char *copy = xstrdup(path);
	int result = 0;

	for (char *slash = copy + 1; result == 0 && *slash != '\0'; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		result = make_directory(copy, mode, err);
		*slash = '/';
	}
	if (result == 0)
		result = make_directory(path, mode, err);
	free(copy);
	return result;
}

int fs_unnamed(int dir_fd, struct error *err)
{
	int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	for (unsigned try = 0; fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EEXIST) && try < 100; try++) {
		char name[40];

		snprintf(name, sizeof(name), ".spool-%ld-%u", (long)getpid(), try);
		fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			unlinkat(dir_fd, name, 0);
	}
	return fd >= 0 ? fd : error_errno(err, SCOPE_PROGRAM, "cannot create a temporary file in the state directory");
}

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int fs_sealed(const char *name, const void *bytes, size_t len, struct error *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || fs_write_all(fd, bytes, len) < 0 || lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		error_errno(err, SCOPE_PROGRAM, "cannot make a memory file of %zu bytes", len);
		fs_close(fd);
		return -1;
	}
	return fd;
}

int fs_map_sealed(int fd, size_t max_bytes, const void **ret_bytes, size_t *ret_len, struct error *err)
{
	struct stat st;
	void *bytes = NULL;
	int result = 0;

	if (fstat(fd, &st) < 0 || fcntl(fd, F_GET_SEALS) != SEALS)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "a passed descriptor is not a sealed memory file");
	else if ((uint64_t)st.st_size > max_bytes)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "a passed memory file is too large");
	else if (st.st_size != 0 && (bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		result = error_errno(err, SCOPE_PROGRAM, "cannot map a passed memory file");
	if (result == 0) {
		*ret_bytes = bytes;
		*ret_len = (size_t)st.st_size;
	}
	fs_close(fd);
	return result;
}

int fs_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

char *fs_expand_home(const char *path)
{
	const char *home;

	if (path[0] != '~' || (path[1] != '/' && path[1] != '\0'))
		return xstrdup(path);
	home = getenv("HOME");
	if (home == NULL || home[0] != '/') {
		const struct passwd *user = getpwuid(getuid());

		home = user != NULL ? user->pw_dir : NULL;
	}
	return home != NULL ? xasprintf("%s%s", home, path + 1) : NULL;
}
