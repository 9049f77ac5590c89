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

static const char *where(const struct drafts *drafts, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s/tmp", drafts->path);
	return buffer;
}

#define WHERE(drafts) where(drafts, (char[160]){0}, 160)

/* -- while the message arrives -- */

/* Its name is one of ours to whoever clears tmp/ of old files, but no intent's: none was of the second 0. What a crash has left of that name makes room. */
int drafts_begin(struct drafts *drafts, const struct delivery *delivery, struct error *err)
{
	struct draft *draft = xcalloc(1, sizeof(*draft));

	snprintf(draft->name, sizeof(draft->name), "0.%.16s.0000000000000000.arriving", delivery->id + 8);
	unlinkat(drafts->tmp_fd, draft->name, 0);
	draft->fd = create(drafts, draft);
	drafts->begun = draft;
	if (draft->fd >= 0 && local_begin(&drafts->file, draft->fd, delivery, WHERE(drafts), err) == 0)
		return 0;
	if (draft->fd < 0)
		failed(drafts, "write to", err);
	drafts_give_up(drafts);
	return -1;
}

int drafts_feed(struct drafts *drafts, const struct delivery *delivery, struct error *err)
{
	if (local_add(&drafts->file, delivery, WHERE(drafts), err) == 0)
		return 0;
	drafts_give_up(drafts);
	return -1;
}

void drafts_give_up(struct drafts *drafts)
{
	if (drafts->begun == NULL)
		return;
	erase(drafts, drafts->begun);
	free(drafts->begun);
	drafts->begun = NULL;
}

/* Now it has a NAME, where there may be one already. -1: it is still where it was. */
static int rename_begun(const struct drafts *drafts, struct draft *draft, const struct delivery *delivery)
{
	struct draft named = {.beside = false};

	memcpy(named.name, delivery->name, sizeof(named.name));
	if (syscall(SYS_renameat2, drafts->tmp_fd, FILE_NAME(draft), drafts->tmp_fd, named.name, RENAME_NOREPLACE) < 0) {
		named.beside = true;
		if (syscall(SYS_renameat2, drafts->tmp_fd, FILE_NAME(draft), drafts->tmp_fd, FILE_NAME(&named), 0) < 0)
			return -1;
	}
	memcpy(draft->name, named.name, sizeof(draft->name));
	draft->beside = named.beside;
	return 0;
}

/* -- once it has -- */

static int finish_begun(const struct drafts *drafts, struct draft *draft, const struct delivery *delivery, struct error *err)
{
	struct local_file file = drafts->file;

	if (local_end(&file, delivery, WHERE(drafts), err) < 0)
		return -1;
	return rename_begun(drafts, draft, delivery) < 0 ? failed(drafts, "write to", err) : 0;
}

static int write_new(const struct drafts *drafts, struct draft *draft, const struct delivery *delivery, struct error *err)
{
	memcpy(draft->name, delivery->name, sizeof(draft->name));
	draft->fd = create(drafts, draft);
	return draft->fd < 0 ? failed(drafts, "write to", err) : local_write(draft->fd, delivery, WHERE(drafts), err);
}

int drafts_add(struct drafts *drafts, struct delivery *delivery, struct error *err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = delivery->haul->date}};
	bool begun = delivery->begun;
	struct draft *draft = begun ? drafts->begun : xcalloc(1, sizeof(*draft));

	if (begun)
		drafts->begun = NULL;
	delivery->begun = false;
	if ((begun ? finish_begun : write_new)(drafts, draft, delivery, err) < 0) {
		if (draft->fd >= 0)
			erase(drafts, draft);
		free(draft);
		return -1;
	}
	if (delivery->haul->date > 0)
		futimens(draft->fd, times); /* a file system that keeps no times still keeps mail */
	STAILQ_INSERT_TAIL(&drafts->fresh, draft, next);
	drafts->fresh_count++;
	return 0;
}

/* -- syncing -- */

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
	drafts_give_up(drafts);
	remove_fresh(drafts);
	while (!STAILQ_EMPTY(&drafts->durable)) {
		struct draft *draft = STAILQ_FIRST(&drafts->durable);

		STAILQ_REMOVE_HEAD(&drafts->durable, next);
		free(draft);
	}
}
