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

/* A directory for good: inodes are used again, but not born at the same time. */
struct identity {
	uint64_t device, inode;
	int64_t born_s; /* 0: the file system does not know */
	uint64_t born_ns;
};

/* Of a Maildir: itself, tmp, new, cur. */
enum { BASE, TMP, DIRECTORIES = 4 };

struct opening {
	const char *path;
	int fds[DIRECTORIES]; /* or -1 */
	struct identity identities[DIRECTORIES];
	bool made; /* some of it, just now */
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

/* Makes the Maildir itself. A symbolic link in its place is the user's own choice of where mail lies; inside, none is followed. */
static int open_base(struct opening *opening, struct error *err)
{
	const char *path = opening->path;
	int fd;

	opening->made = mkdir(path, 0700) == 0;
	if (!opening->made && errno == ENOENT)
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION, "%s: parent directory does not exist; create it or correct maildir:", path);
	if (!opening->made && errno != EEXIST)
		return error_errno(err, SCOPE_DESTINATION, "cannot make the Maildir %s", path);
	opening->fds[BASE] = fd = open(path, DIRECTORY);
	if (fd < 0 && errno == ENOTDIR)
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION, "%s is not a directory; correct maildir:", path);
	if (fd < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot open the Maildir %s", path);
	return look_at(fd, path, &opening->identities[BASE], err);
}

static int open_part(struct opening *opening, unsigned index, struct error *err)
{
	static const char *const names[DIRECTORIES] = {"", "tmp", "new", "cur"};
	const char *name = names[index];
	int base = opening->fds[BASE], fd;
	char part[4096];

	snprintf(part, sizeof(part), "%s/%s", opening->path, name);
	fd = openat(base, name, DIRECTORY | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(base, name, 0700) < 0 && errno != EEXIST)
			return error_errno(err, SCOPE_DESTINATION, "cannot make %s", part);
		opening->made = true;
		fd = openat(base, name, DIRECTORY | O_NOFOLLOW);
	}
	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION,
			"%s is not a directory (a symbolic link is not followed); remove it or correct maildir:", part);
	if (fd < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot open %s", part);
	opening->fds[index] = fd;
	return look_at(fd, part, &opening->identities[index], err);
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

int64_t maildir_place(const struct maildir_sight *sight)
{
	const struct {
		uint64_t inode;
		int64_t seconds;
		uint64_t nanoseconds;
	} identity = {sight->inode, sight->born_s, sight->born_ns};
	uint8_t digest[SHA256_BYTES];
	int64_t place = 0;

	sha256_of(&identity, sizeof(identity), digest);
	for (unsigned i = 0; i < 7; i++)
		place = place << 8 | digest[i];
	return place + MAILDIR_ELSEWHERE + 1;
}

/* FNV-1a: nobody gains from two that are alike. */
static uint64_t number_of(const struct identity identities[DIRECTORIES])
{
	const unsigned char *bytes = (const unsigned char *)identities;
	uint64_t number = UINT64_C(0xcbf29ce484222325);

	if (identities[BASE].born_s == 0)
		return MAILDIR_UNKNOWN;
	for (size_t i = 0; i < DIRECTORIES * sizeof(*identities); i++)
		number = (number ^ bytes[i]) * UINT64_C(0x100000001b3);
	return number != MAILDIR_UNKNOWN ? number : 1;
}

static int tidy(const struct opening *opening, struct error *err)
{
	if (fsync(opening->fds[BASE]) < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot sync %s", opening->path);
	fs_sync_parent(opening->fds[BASE]); /* whoever made it may have been killed before */
	maildir_clear_tmp(opening->fds[TMP], clock_wall_s());
	return 0;
}

/* One that was made in the place of another, in the same tick of the clock, may have the same number. */
static int open_all(struct opening *opening, uint64_t tidied, uint64_t *ret_number, struct error *err)
{
	if (open_base(opening, err) < 0)
		return -1;
	for (unsigned i = TMP; i < DIRECTORIES; i++)
		if (open_part(opening, i, err) < 0)
			return -1;
	*ret_number = number_of(opening->identities);
	if (!opening->made && *ret_number != MAILDIR_UNKNOWN && *ret_number == tidied)
		return 0;
	return tidy(opening, err);
}

int maildir_open_directories(const char *path, uint64_t tidied, int ret_fds[3], struct maildir_sight *ret_sight, struct error *err)
{
	struct opening opening = {.path = path, .fds = {-1, -1, -1, -1}};
	const struct identity *tmp = &opening.identities[TMP];
	uint64_t number;
	int result = open_all(&opening, tidied, &number, err);

	fs_close(opening.fds[BASE]);
	if (result < 0) {
		for (unsigned i = TMP; i < DIRECTORIES; i++)
			fs_close(opening.fds[i]);
		return -1;
	}
	memcpy(ret_fds, &opening.fds[TMP], 3 * sizeof(int));
	*ret_sight = (struct maildir_sight){.inode = tmp->inode, .born_s = tmp->born_s, .born_ns = tmp->born_ns, .number = number};
	return 0;
}
