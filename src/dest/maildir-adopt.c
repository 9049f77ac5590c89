#include "dest/maildir-adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "dest/maildir.h"

#define ADOPTABLE_MAX 500000 /* 8 MiB; of a Maildir with more, some messages may come twice */

struct adoptable {
	uint64_t hash;
	unsigned left;
};

static void add(struct adoption *adoption, const char *name)
{
	int64_t seconds;
	uint64_t hash;

	if (!maildir_parse_name(name, &seconds, &hash) || seconds > adoption->before || adoption->count == ADOPTABLE_MAX)
		return;
	if (adoption->count == adoption->capacity) {
		adoption->capacity = adoption->capacity != 0 ? 2 * adoption->capacity : 1024;
		adoption->list = xreallocarray(adoption->list, adoption->capacity, sizeof(*adoption->list));
	}
	adoption->list[adoption->count++] = (struct adoptable){hash, 1};
}

static int read_directory(struct adoption *adoption, int dir_fd)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *entry;
	int saved;

	if (dir == NULL)
		return fs_close(copy);
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		add(adoption, entry->d_name);
	saved = errno;
	closedir(dir);
	errno = saved;
	return saved == 0 ? 0 : -1;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = ((const struct adoptable *)left)->hash, b = ((const struct adoptable *)right)->hash;

	return (a > b) - (a < b);
}

/* Sorted, each hash once. */
static void arrange(struct adoption *adoption)
{
	size_t kept = 0;

	if (adoption->count == 0)
		return;
	qsort(adoption->list, adoption->count, sizeof(*adoption->list), compare);
	for (size_t i = 1; i < adoption->count; i++) {
		if (adoption->list[i].hash == adoption->list[kept].hash)
			adoption->list[kept].left++;
		else
			adoption->list[++kept] = adoption->list[i];
	}
	adoption->count = kept + 1;
}

int adoption_take(struct adoption *adoption, int new_fd, int cur_fd, const uint8_t hash[32])
{
	struct adoptable wanted = {0}, *found;

	if (adoption->before == 0)
		return 0;
	if (!adoption->loaded) {
		adoption->count = 0;
		if (read_directory(adoption, new_fd) < 0 || read_directory(adoption, cur_fd) < 0)
			return -1;
		arrange(adoption);
		adoption->loaded = true;
	}
	for (unsigned i = 0; i < 8; i++)
		wanted.hash = wanted.hash << 8 | hash[i];
	found = adoption->count != 0 ? bsearch(&wanted, adoption->list, adoption->count, sizeof(wanted), compare) : NULL;
	if (found == NULL || found->left == 0)
		return 0;
	found->left--;
	return 1;
}

void adoption_done(struct adoption *adoption)
{
	free(adoption->list);
	*adoption = (struct adoption){.before = adoption->before};
}
