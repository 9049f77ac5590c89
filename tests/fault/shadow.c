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

enum { ROOT_MAX = 8 };

static const char *shadow;
static const char *roots[ROOT_MAX];
static unsigned root_count;

static void die(const char *what)
{
	perror(what);
	exit(97);
}

/* Written beside and renamed: the runner may be stopped at any time, and a copy is whole or not there. */
static FILE *begin_copy(ino_t inode, const char *kind, char *path)
{
	FILE *file;

	snprintf(path, PATH_MAX, "%s/%lu.%s", shadow, (unsigned long)inode, kind);
	file = fopen(path, "we");
	if (file == NULL)
		die(path);
	return file;
}

static void copy_bytes(int fd, ino_t inode)
{
	char path[PATH_MAX], buffer[65536];
	FILE *to = begin_copy(inode, "data", path);
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

static void copy_names(int fd, ino_t inode)
{
	char path[PATH_MAX];
	FILE *to = begin_copy(inode, "names", path);
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (directory == NULL)
		die(path);
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			fprintf(to, "%lu %c %s\n", (unsigned long)entry->d_ino, entry->d_type == DT_DIR ? 'd' : 'f', entry->d_name);
	closedir(directory);
	if (fclose(to) != 0)
		die(path);
}

static void copy_path(const char *path)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	if (fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode)) {
		copy_names(fd, stat.st_ino);
		return; /* closed with the directory */
	}
	if (S_ISREG(stat.st_mode))
		copy_bytes(fd, stat.st_ino);
	close(fd);
}

static int copy_walked(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	copy_path(path);
	return 0;
}

void shadow_open(const char *directory)
{
	shadow = directory;
}

void shadow_watch(const char *path)
{
	char list[PATH_MAX];
	struct stat stat_of_root;
	FILE *file;

	if (shadow == NULL || root_count == ROOT_MAX || stat(path, &stat_of_root) < 0)
		die("inject: --root needs --shadow before it, and a directory");
	roots[root_count++] = path;
	nftw(path, copy_walked, 16, FTW_PHYS);
	snprintf(list, sizeof(list), "%s/roots", shadow);
	file = fopen(list, "ae");
	if (file == NULL)
		die(list);
	fprintf(file, "%lu %s\n", (unsigned long)stat_of_root.st_ino, path);
	fclose(file);
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

	if (root_count == 0 || (number != SYS_fsync && number != SYS_fdatasync && number != SYS_syncfs))
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
		copy_path(path);
}
