#include "tests/fault/shadow.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/fault/call.h"

enum { ROOT_MAX = 8, KEY_MAX = 64 };

static const char *shadow;
static const char *roots[ROOT_MAX];
static unsigned root_count;

static void die(const char *what)
{
	perror(what);
	exit(97);
}

/* Inode numbers are used again; with the time of birth they name a file for good. */
static bool read_key(int fd, const char *name, char key[KEY_MAX], mode_t *ret_mode)
{
	struct statx file;

	if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MODE | STATX_BTIME, &file) < 0)
		return false;
	snprintf(key, KEY_MAX, "%llu-%llu.%09u", (unsigned long long)file.stx_ino, (unsigned long long)file.stx_btime.tv_sec, file.stx_btime.tv_nsec);
	*ret_mode = file.stx_mode;
	return true;
}

static FILE *begin_copy(const char *key, const char *kind, char *path)
{
	FILE *file;

	snprintf(path, PATH_MAX, "%s/%s.%s", shadow, key, kind);
	file = fopen(path, "we");
	if (file == NULL)
		die(path);
	return file;
}

static void copy_bytes(int fd, const char *key)
{
	char path[PATH_MAX], buffer[65536];
	FILE *to = begin_copy(key, "data", path);
	off_t at = 0;
	ssize_t got;

	while ((got = pread(fd, buffer, sizeof(buffer), at)) > 0) {
		if (fwrite(buffer, 1, (size_t)got, to) != (size_t)got)
			die(path);
		at += got;
	}
	if (fclose(to) != 0)
		die(path);
}

/* KIND: "names", what is on the disk, or "now", what a process sees. */
static void copy_names(int fd, const char *key, const char *kind)
{
	char path[PATH_MAX], entry_key[KEY_MAX];
	FILE *to = begin_copy(key, kind, path);
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;
	mode_t mode;

	if (directory == NULL)
		die(path);
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && read_key(fd, entry->d_name, entry_key, &mode))
			fprintf(to, "%s %c %s\n", entry_key, S_ISDIR(mode) ? 'd' : 'f', entry->d_name);
	closedir(directory);
	if (fclose(to) != 0)
		die(path);
}

static void copy_path(const char *path, const char *kind)
{
	char key[KEY_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	mode_t mode;

	if (fd < 0)
		return;
	if (read_key(fd, "", key, &mode) && S_ISDIR(mode)) {
		copy_names(fd, key, kind);
		return; /* closed with the directory */
	}
	if (S_ISREG(mode) && strcmp(kind, "now") != 0)
		copy_bytes(fd, key);
	close(fd);
}

static int copy_walked(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	copy_path(path, "names");
	return 0;
}

static int copy_walked_now(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)walk;
	if (type == FTW_D)
		copy_path(path, "now");
	return 0;
}

void shadow_open(const char *directory)
{
	shadow = directory;
}

void shadow_watch(const char *path)
{
	char list[PATH_MAX], key[KEY_MAX];
	mode_t mode;
	FILE *file;

	if (shadow == NULL || root_count == ROOT_MAX || !read_key(AT_FDCWD, path, key, &mode))
		die("inject: --root needs --shadow before it, and a directory");
	roots[root_count++] = path;
	nftw(path, copy_walked, 16, FTW_PHYS);
	snprintf(list, sizeof(list), "%s/roots", shadow);
	file = fopen(list, "ae");
	if (file == NULL)
		die(list);
	fprintf(file, "%s %s\n", key, path);
	fclose(file);
}

bool shadow_is_open(void)
{
	return shadow != NULL;
}

void shadow_close(void)
{
	for (unsigned i = 0; i < root_count; i++)
		nftw(roots[i], copy_walked_now, 16, FTW_PHYS);
}

static bool is_beneath_root(const char *path)
{
	for (unsigned i = 0; i < root_count; i++)
		if (strncmp(path, roots[i], strlen(roots[i])) == 0)
			return true;
	return false;
}

void shadow_after(pid_t pid, long number, uint64_t fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	if (root_count == 0 || !call_is_sync(number))
		return;
	if (number == SYS_syncfs) {
		for (unsigned i = 0; i < root_count; i++)
			nftw(roots[i], copy_walked, 16, FTW_PHYS);
		return;
	}
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)pid, (int)fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		die(link);
	path[len] = '\0';
	if (is_beneath_root(path))
		copy_path(path, "names");
}
