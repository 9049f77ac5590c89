#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "dest/maildir.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define NS_PER_S INT64_C(1000000000)
#define TIDY_EVERY_S 3600 /* little beside MAILDIR_STALE_S */

static const char *read_hex(const char *text, uint64_t *ret_value)
{
	size_t len = strspn(text, "0123456789abcdef");

	*ret_value = strtoull(text, NULL, 16);
	return len == 16 && text[len] == '.' ? text + len + 1 : NULL;
}

bool maildir_parse_name(const char *name, int64_t *ret_seconds, uint64_t *ret_hash)
{
	size_t digits = strspn(name, "0123456789");
	uint64_t key;

	if (digits == 0 || digits > 18 || name[digits] != '.')
		return false;
	*ret_seconds = strtoll(name, NULL, 10);
	name = read_hex(name + digits + 1, &key);
	return name != NULL && read_hex(name, ret_hash) != NULL;
}

static bool is_ours(const char *name)
{
	int64_t seconds;
	uint64_t hash;

	return maildir_parse_name(name, &seconds, &hash);
}

/* Which directory it is. By its birth, too: inodes are used again. */
struct identity {
	uint64_t device, inode;
	int64_t born_s; /* 0: the file system does not know */
	uint64_t born_ns;
};

static int look_at(int fd, const char *path, struct identity *ret_identity, struct error *err)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_UID | STATX_INO | STATX_BTIME, &st) < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot look at %s", path);
	if (st.stx_uid != geteuid())
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION,
			"%s belongs to user %u, not to the user that runs mailhaul (%u); deliver to other users by lmtp:", path, (unsigned)st.stx_uid,
			(unsigned)geteuid());
	*ret_identity = (struct identity){.device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor, .inode = st.stx_ino};
	if ((st.stx_mask & STATX_BTIME) != 0) {
		ret_identity->born_s = st.stx_btime.tv_sec;
		ret_identity->born_ns = st.stx_btime.tv_nsec;
	}
	return 0;
}

/* Of a Maildir: itself, tmp, new, cur. */
struct visit {
	struct identity directories[4];
	bool made;     /* some of it in this visit */
	int64_t at_ns; /* CLOCK_MONOTONIC; 0: never */
};

/* Makes the Maildir itself. A symbolic link in its place is the user's own choice of where mail lies; inside, none is followed. */
static int open_base(const char *path, struct visit *visit, struct error *err)
{
	bool made = mkdir(path, 0700) == 0;
	int fd;

	visit->made = made;
	if (!made && errno == ENOENT)
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION, "%s: parent directory does not exist; create it or correct maildir:", path);
	if (!made && errno != EEXIST)
		return error_errno(err, SCOPE_DESTINATION, "cannot make the Maildir %s", path);
	fd = open(path, DIRECTORY);
	if (fd < 0 && errno == ENOTDIR)
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION, "%s is not a directory; correct maildir:", path);
	if (fd < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot open the Maildir %s", path);
	return fd;
}

static int open_part(int base, const char *path, unsigned index, struct visit *visit, struct error *err)
{
	static const char *const names[] = {"tmp", "new", "cur"};
	const char *name = names[index];
	char part[4096];
	int fd;

	snprintf(part, sizeof(part), "%s/%s", path, name);
	fd = openat(base, name, DIRECTORY | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(base, name, 0700) < 0 && errno != EEXIST)
			return error_errno(err, SCOPE_DESTINATION, "cannot make %s", part);
		visit->made = true;
		fd = openat(base, name, DIRECTORY | O_NOFOLLOW);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION,
			"%s is not a directory (a symbolic link is not followed); remove it or correct maildir:", part);
	if (fd < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot open %s", part);
	if (look_at(fd, part, &visit->directories[1 + index], err) < 0)
		return fs_close(fd);
	return fd;
}

void maildir_clear_tmp(int tmp_fd, int64_t now_s)
{
	int copy = openat(tmp_fd, ".", DIRECTORY);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *entry;

	if (dir == NULL) {
		fs_close(copy);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;

		/* By the last change of the inode: the time of modification is the message's own. A clock that was not set then tells no age. */
		if (is_ours(entry->d_name) && fstatat(tmp_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_ctim.tv_sec < now_s - MAILDIR_STALE_S && clock_is_credible(st.st_ctim.tv_sec))
			unlinkat(tmp_fd, entry->d_name, 0);
	}
	closedir(dir);
}

/* Its inode and its birth. Not the device, which gets another number with each boot. */
int64_t maildir_place(int tmp_fd)
{
	struct statx st = {0};
	struct {
		uint64_t inode;
		int64_t seconds;
		uint64_t nanoseconds;
	} identity = {0};
	uint8_t digest[SHA256_BYTES];
	int64_t place = 0;

	if (statx(tmp_fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) == 0) {
		identity.inode = st.stx_ino;
		if ((st.stx_mask & STATX_BTIME) != 0) {
			identity.seconds = st.stx_btime.tv_sec;
			identity.nanoseconds = st.stx_btime.tv_nsec;
		}
	}
	sha256_of(&identity, sizeof(identity), digest);
	for (unsigned i = 0; i < 7; i++)
		place = place << 8 | digest[i];
	return place + MAILDIR_ELSEWHERE + 1;
}

/* A thousand sessions may deliver to one Maildir. What this process has put on disk is there, and tmp/ is as good as cleared for a while. */
static bool was_visited(const struct visit *last, const struct visit *now)
{
	return last->at_ns != 0 && !now->made && now->at_ns - last->at_ns < TIDY_EVERY_S * NS_PER_S && now->directories[0].born_s != 0 &&
	       memcmp(last->directories, now->directories, sizeof(now->directories)) == 0;
}

static int tidy(int base, const char *path, int tmp_fd, const struct visit *now, struct error *err)
{
	static struct visit visits[64];
	struct visit *last = &visits[now->directories[0].inode % ARRAY_SIZE(visits)];

	if (was_visited(last, now))
		return 0;
	if (fsync(base) < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot sync %s", path);
	fs_sync_parent(base); /* whoever made it may have been killed before */
	maildir_clear_tmp(tmp_fd, clock_wall_s());
	*last = *now;
	return 0;
}

int maildir_open_directories(const char *path, int ret_fds[3], struct error *err)
{
	struct visit visit = {.at_ns = clock_monotonic_ns()};
	int base = open_base(path, &visit, err), fds[3] = {-1, -1, -1};
	int result = base < 0 ? -1 : look_at(base, path, &visit.directories[0], err);

	for (unsigned i = 0; i < 3 && result == 0; i++) {
		fds[i] = open_part(base, path, i, &visit, err);
		if (fds[i] < 0)
			result = -1;
	}
	if (result == 0)
		result = tidy(base, path, fds[0], &visit, err);
	fs_close(base);
	if (result < 0) {
		for (unsigned i = 0; i < 3; i++)
			fs_close(fds[i]);
		return -1;
	}
	memcpy(ret_fds, fds, sizeof(fds));
	return 0;
}
