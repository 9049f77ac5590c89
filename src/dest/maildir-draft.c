#include "dest/maildir-draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "dest/local.h"
#include "mail/haul.h"

#define EXT4_MAGIC 0xEF53
#define SYNCFS_FILES_MIN 4 /* from here on one syncfs is cheaper than an fsync for each */
#define BESIDE "~"

struct draft {
	STAILQ_ENTRY(draft) next;
	char name[sizeof(((struct delivery *)0)->name)];
	int fd;        /* open until it is synced, so that a write error cannot be reported to somebody else */
	bool beside;   /* it lies in NAME~, because there is a NAME already */
	bool replaced; /* it was renamed over that NAME */
};

void drafts_init(struct drafts *drafts, int tmp_fd, const char *destination, const char *path)
{
	*drafts = (struct drafts){.tmp_fd = tmp_fd, .destination = destination, .path = path};
	STAILQ_INIT(&drafts->fresh);
	STAILQ_INIT(&drafts->durable);
}

static int failed(const struct drafts *drafts, const char *what, struct error *err)
{
	return error_errno(err, SCOPE_DESTINATION, "destination %s: cannot %s %s/tmp", drafts->destination, what, drafts->path);
}

static const char *file_name(const struct draft *draft, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s%s", draft->name, draft->beside ? BESIDE : "");
	return buffer;
}

#define FILE_NAME(draft) file_name(draft, (char[sizeof((draft)->name) + sizeof(BESIDE)]){0}, sizeof((draft)->name) + sizeof(BESIDE))

static int create(const struct drafts *drafts, struct draft *draft)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(drafts->tmp_fd, draft->name, flags, 0600);

	draft->beside = fd < 0 && errno == EEXIST;
	if (!draft->beside)
		return fd;
	if (unlinkat(drafts->tmp_fd, FILE_NAME(draft), 0) < 0 && errno != ENOENT)
		return -1;
	return openat(drafts->tmp_fd, FILE_NAME(draft), flags, 0600);
}

static void erase(const struct drafts *drafts, struct draft *draft)
{
	draft->fd = fs_close(draft->fd);
	if (draft->beside || !draft->replaced)
		unlinkat(drafts->tmp_fd, FILE_NAME(draft), 0);
}

/* The whole file, not yet synced. -1: nothing of it is left. */
static int write_draft(const struct drafts *drafts, struct draft *draft, const struct delivery *delivery, struct error *err)
{
	const struct haul *haul = delivery->haul;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = haul->date}};
	char where[160];

	draft->fd = create(drafts, draft);
	if (draft->fd < 0)
		return failed(drafts, "write to", err);
	snprintf(where, sizeof(where), "%s/tmp", drafts->path);
	if (local_write(draft->fd, delivery, where, err) < 0) {
		erase(drafts, draft);
		return -1;
	}
	if (haul->date > 0)
		futimens(draft->fd, times); /* a file system that keeps no times still keeps mail */
	return 0;
}

int drafts_add(struct drafts *drafts, const struct delivery *delivery, struct error *err)
{
	struct draft *draft = xcalloc(1, sizeof(*draft));

	memcpy(draft->name, delivery->name, sizeof(draft->name));
	if (write_draft(drafts, draft, delivery, err) < 0) {
		free(draft);
		return -1;
	}
	STAILQ_INSERT_TAIL(&drafts->fresh, draft, next);
	drafts->fresh_count++;
	return 0;
}

static bool is_ext4(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == EXT4_MAGIC;
}

static int sync_files(const struct drafts *drafts)
{
	const struct draft *draft;

	if (drafts->fresh_count >= SYNCFS_FILES_MIN && is_ext4(drafts->tmp_fd))
		return syncfs(drafts->tmp_fd);
	STAILQ_FOREACH(draft, &drafts->fresh, next)
		if (fsync(draft->fd) < 0)
			return -1;
	return 0;
}

/* Bytes first, then names: a name that is durable before its bytes could become a message of zeros. */
static int sync_all(const struct drafts *drafts)
{
	struct draft *draft;

	if (sync_files(drafts) < 0)
		return -1;
	STAILQ_FOREACH(draft, &drafts->fresh, next) {
		if (!draft->beside)
			continue;
		/* By number: the C library turns a renameat2 without flags into another call, which the sandbox does not know. */
		if (syscall(SYS_renameat2, drafts->tmp_fd, FILE_NAME(draft), drafts->tmp_fd, draft->name, 0) < 0)
			return -1;
		draft->beside = false;
		draft->replaced = true;
	}
	return fsync(drafts->tmp_fd);
}

static void remove_fresh(struct drafts *drafts)
{
	while (!STAILQ_EMPTY(&drafts->fresh)) {
		struct draft *draft = STAILQ_FIRST(&drafts->fresh);

		STAILQ_REMOVE_HEAD(&drafts->fresh, next);
		erase(drafts, draft);
		free(draft);
	}
	drafts->fresh_count = 0;
}

int drafts_sync(struct drafts *drafts, struct error *err)
{
	struct draft *draft;

	if (drafts->fresh_count == 0)
		return 0;
	/* The kernel reports an error once and then calls the pages clean: neither these files nor these descriptors can be trusted any more, that of the
	 * directory included. The next session has new ones of both. */
	if (sync_all(drafts) < 0) {
		failed(drafts, "sync", err);
		remove_fresh(drafts);
		return -1;
	}
	STAILQ_FOREACH(draft, &drafts->fresh, next)
		draft->fd = fs_close(draft->fd);
	STAILQ_CONCAT(&drafts->durable, &drafts->fresh);
	drafts->fresh_count = 0;
	return 0;
}

static struct draft *find(const struct draft_list *list, const char *name)
{
	struct draft *draft;

	STAILQ_FOREACH(draft, list, next)
		if (strcmp(draft->name, name) == 0)
			break;
	return draft;
}

void drafts_forget(struct drafts *drafts, const char *name, bool remove)
{
	struct draft *draft = find(&drafts->durable, name);

	if (draft != NULL) {
		STAILQ_REMOVE(&drafts->durable, draft, draft, next);
	} else {
		draft = find(&drafts->fresh, name);
		if (draft == NULL)
			return;
		STAILQ_REMOVE(&drafts->fresh, draft, draft, next);
		drafts->fresh_count--;
	}
	if (remove)
		erase(drafts, draft);
	fs_close(draft->fd);
	free(draft);
}

void drafts_done(struct drafts *drafts)
{
	remove_fresh(drafts);
	while (!STAILQ_EMPTY(&drafts->durable)) {
		struct draft *draft = STAILQ_FIRST(&drafts->durable);

		STAILQ_REMOVE_HEAD(&drafts->durable, next);
		free(draft);
	}
}
