#include "dest/maildir.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "dest/dest.h"
#include "dest/maildir-adopt.h"
#include "dest/maildir-draft.h"
#include "mail/message.h"

struct maildir {
	struct dest dest;
	struct dest_context context;
	struct drafts drafts;
	struct delivery_queue offered; /* renamed; new/ is not synced since */
	struct delivery_queue settled;
	struct adoption adoption;
	bool adopted; /* one of the offered was found in new/ or cur/ instead */
};

static struct maildir *maildir_of(struct dest *dest)
{
	return (struct maildir *)(void *)dest;
}

static void settle_all(struct maildir *maildir, enum verdict verdict, const struct error *error)
{
	struct delivery *delivery;

	STAILQ_FOREACH(delivery, &maildir->offered, next) {
		delivery->verdict = verdict;
		if (error != NULL)
			delivery->error = *error;
	}
	STAILQ_CONCAT(&maildir->settled, &maildir->offered);
}

/* "seconds.KEY.HASH.host": the same for the same intent, whoever asks. In the host, '/' and ':' are spelled as Maildir does; it is cut if it is long. */
static void make_name(const struct maildir *maildir, const struct delivery *delivery, const uint8_t hash[SHA256_BYTES], char *out, size_t size)
{
	char digits[17];
	size_t used;

	assert(strlen(delivery->id) == 40);
	used = (size_t)snprintf(out, size, "%" PRId64 ".%.16s.%s.", delivery->intent_at, delivery->id + 8, hex_encode(digits, hash, 8));
	for (const char *host = maildir->context.host; *host != '\0' && used + sizeof("\\057") < size; host++) {
		if (*host == '/' || *host == ':')
			used += (size_t)snprintf(out + used, size - used, "\\%03o", (unsigned)*host);
		else
			out[used++] = *host;
	}
	out[used] = '\0';
}

/* "seconds.KEY." of a name: which intent it is, whatever else is known of it. */
static size_t length_of_intent(const char *name)
{
	size_t len = 0;

	for (unsigned dots = 0; dots < 2; dots++)
		len += strcspn(name + len, ".") + 1;
	return len;
}

static int failed(const struct maildir *maildir, const char *what, const char *part, struct error *err)
{
	return error_errno(
		err, SCOPE_DESTINATION, "destination %s: cannot %s %s/%s", maildir->context.config->name, what, maildir->context.config->path, part);
}

/* -- writing -- */

static int maildir_begin(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return drafts_begin(&maildir_of(dest)->drafts, delivery, err);
}

static int maildir_feed(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return drafts_feed(&maildir_of(dest)->drafts, delivery, err);
}

static int maildir_prepare(struct dest *dest, struct delivery *delivery, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);

	make_name(maildir, delivery, delivery->message->hash, delivery->name, sizeof(delivery->name));
	return drafts_add(&maildir->drafts, delivery, err);
}

static int maildir_sync(struct dest *dest, struct error *err)
{
	return drafts_sync(&maildir_of(dest)->drafts, err);
}

static void maildir_discard(struct dest *dest, struct delivery *delivery)
{
	struct maildir *maildir = maildir_of(dest);

	if (delivery->begun) {
		drafts_give_up(&maildir->drafts);
		return;
	}
	/* Once an intent is out, only NAME in tmp/ tells that it was not carried out: then it stays, to be replaced or to grow stale. */
	drafts_forget(&maildir->drafts, delivery->name, delivery->haul->stage < HAUL_INTENDED);
}

/* -- delivering -- */

/* renameat2, or the older pair of calls where the file system has no RENAME_NOREPLACE. */
static int move_to_new(const struct maildir *maildir, const char *name)
{
	int tmp_fd = maildir->context.tmp_fd, new_fd = maildir->context.new_fd;

	if (renameat2(tmp_fd, name, new_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL || linkat(tmp_fd, name, new_fd, name, 0) < 0)
		return -1;
	unlinkat(tmp_fd, name, 0);
	return 0;
}

/* Of a regular file; -1: there is none. */
static off_t size_of(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* From tmp/ to new/. The name holds the message's hash: what bears it in new/ is this very delivery, made before, unless somebody planted it. */
static int deliver(const struct maildir *maildir, const char *name, struct error *err)
{
	off_t size = size_of(maildir->context.tmp_fd, name);

	if (size < 0)
		return error_set(err, ERR_LOCAL, SCOPE_DESTINATION, "destination %s: somebody removed or replaced %s/tmp/%.100s",
			maildir->context.config->name, maildir->context.config->path, name);
	if (move_to_new(maildir, name) == 0)
		return 0;
	if (errno != EEXIST)
		return failed(maildir, "move a message to", "new", err);
	if (size_of(maildir->context.new_fd, name) != size)
		return error_set(err, ERR_LOCAL, SCOPE_DESTINATION, "destination %s: something else bears the name %s/new/%.100s; remove it",
			maildir->context.config->name, maildir->context.config->path, name);
	unlinkat(maildir->context.tmp_fd, name, 0);
	return 0;
}

/* What was delivered before the state was lost is there under an older name. */
static int deliver_once(struct maildir *maildir, const struct delivery *delivery, struct error *err)
{
	int found = adoption_take(&maildir->adoption, maildir->context.new_fd, maildir->context.cur_fd, delivery->message->hash);

	if (found < 0)
		return failed(maildir, "search", "{new,cur}", err);
	if (found == 0)
		return deliver(maildir, delivery->name, err);
	maildir->adopted = true;
	unlinkat(maildir->context.tmp_fd, delivery->name, 0);
	return 0;
}

static int maildir_offer(struct dest *dest, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);

	(void)next;
	drafts_forget(&maildir->drafts, delivery->name, false);
	if (deliver_once(maildir, delivery, err) == 0) {
		STAILQ_INSERT_TAIL(&maildir->offered, delivery, next);
		return 0;
	}
	delivery->verdict = VERDICT_RETRACTED;
	delivery->error = *err;
	STAILQ_INSERT_TAIL(&maildir->settled, delivery, next);
	return -1;
}

/* A mail reader moves what it has seen to cur/, and does not sync. */
static int sync_names(struct maildir *maildir)
{
	if (fsync(maildir->context.new_fd) < 0 || (maildir->adopted && fsync(maildir->context.cur_fd) < 0))
		return -1;
	maildir->adopted = false;
	return 0;
}

static int maildir_flush(struct dest *dest, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);

	if (STAILQ_EMPTY(&maildir->offered))
		return 0;
	if (sync_names(maildir) == 0) {
		settle_all(maildir, VERDICT_ACCEPTED, NULL);
		return 0;
	}
	failed(maildir, "sync", maildir->adopted ? "{new,cur}" : "new", err);
	settle_all(maildir, VERDICT_IN_DOUBT, err);
	return -1;
}

static int maildir_verdicts(struct dest *dest, struct delivery **ret_delivery, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);

	(void)err;
	if (STAILQ_EMPTY(&maildir->settled))
		return 0;
	*ret_delivery = STAILQ_FIRST(&maildir->settled);
	STAILQ_REMOVE_HEAD(&maildir->settled, next);
	return 1;
}

/* -- after a crash -- */

/* Anything of that name: 1, 0, -1. */
static int exists(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	fs_close(fd);
	return 1;
}

/* Any name that begins so, whatever a mail reader has put behind it: 1, 0, -1. */
static int exists_beginning(int dir_fd, const char *name, size_t len)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *entry;

	if (dir == NULL)
		return fs_close(copy);
	errno = 0;
	while (result == 0 && (entry = readdir(dir)) != NULL)
		result = strncmp(entry->d_name, name, len) == 0;
	if (result == 0 && errno != 0)
		result = -1;
	closedir(dir);
	return result;
}

enum place { NOWHERE, IN_TMP, DELIVERED };

/* Where the file of this name is, or the one of the same intent: it was named otherwise if the host had another name then (one in a container has a new
 * one each time it is made), or if the source has handed out other bytes since, which went to another destination. Nobody but us uses this KEY. */
static int find(const struct maildir *maildir, const char *name, enum place *ret_place)
{
	const struct dest_context *context = &maildir->context;
	const struct {
		int fd;
		enum place place;
		bool whole;
	} steps[] = {
		{context->new_fd, DELIVERED, true}, /* two that cost little, and mostly tell */
		{context->tmp_fd, IN_TMP, true},
		{context->cur_fd, DELIVERED, false},
		{context->new_fd, DELIVERED, false},
		{context->tmp_fd, IN_TMP, false},
	};
	size_t len = length_of_intent(name);
	int found = 0;

	*ret_place = NOWHERE;
	for (unsigned i = 0; found == 0 && i < ARRAY_SIZE(steps); i++) {
		found = steps[i].whole ? exists(steps[i].fd, name) : exists_beginning(steps[i].fd, name, len);
		if (found > 0)
			*ret_place = steps[i].place;
	}
	return found < 0 ? -1 : 0;
}

static int maildir_resolve(
	struct dest *dest, const struct delivery *delivery, const uint8_t hash[32], enum resolution *ret_resolution, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);
	bool old = delivery->intent_age_s >= MAILDIR_CERTAIN_S;
	char name[sizeof(delivery->name)];
	enum place place;

	make_name(maildir, delivery, hash, name, sizeof(name));
	if (find(maildir, name, &place) < 0)
		return failed(maildir, "search", "{new,tmp,cur}", err);
	/* What lies in tmp/ stays there until it is replaced: were it removed now, and we after it, the next one to ask would find it gone and delivered. */
	if (place == IN_TMP || (place == NOWHERE && old)) {
		*ret_resolution = RESOLVED_ABSENT;
		return 0;
	}
	/* It was renamed, but nobody has said yet that this is on disk. The copy at the source may go once we say "delivered". */
	if (fsync(maildir->context.new_fd) < 0 || fsync(maildir->context.cur_fd) < 0)
		return failed(maildir, "sync", "{new,cur}", err);
	*ret_resolution = RESOLVED_DELIVERED;
	return 0;
}

/* -- the rest of a destination -- */

static int maildir_open(struct dest *dest, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);

	if (maildir->context.tmp_fd < 0 || maildir->context.new_fd < 0 || maildir->context.cur_fd < 0)
		return error_set(err, ERR_LOCAL, SCOPE_DESTINATION, "destination %s: the directories of %s are not open",
			maildir->context.config->name, maildir->context.config->path);
	return 0;
}

static int maildir_probe(struct dest *dest, const char *sender, const char *recipient, struct error *err)
{
	struct maildir *maildir = maildir_of(dest);
	char name[64];
	int fd;

	(void)sender;
	(void)recipient;
	snprintf(name, sizeof(name), "%" PRId64 ".check.%ld", clock_wall_s(), (long)getpid());
	fd = openat(maildir->context.tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(maildir, "write to", "tmp", err);
	fs_close(fd);
	unlinkat(maildir->context.tmp_fd, name, 0);
	return 0;
}

static int maildir_close(struct dest *dest, struct error *err)
{
	(void)dest;
	(void)err;
	return 0; /* its directories cannot be had again, should it be opened again */
}

static void maildir_free(struct dest *dest)
{
	struct maildir *maildir = maildir_of(dest);

	drafts_done(&maildir->drafts);
	adoption_done(&maildir->adoption);
	fs_close(maildir->context.tmp_fd);
	fs_close(maildir->context.new_fd);
	fs_close(maildir->context.cur_fd);
	secret_free(maildir->context.secret);
	free(maildir);
}

struct dest *maildir_new(const struct dest_context *context)
{
	static const struct dest_ops ops = {
		.name = "maildir",
		.certain = true,
		.open = maildir_open,
		.begin = maildir_begin,
		.feed = maildir_feed,
		.prepare = maildir_prepare,
		.sync = maildir_sync,
		.discard = maildir_discard,
		.offer = maildir_offer,
		.flush = maildir_flush,
		.verdicts = maildir_verdicts,
		.resolve = maildir_resolve,
		.probe = maildir_probe,
		.close = maildir_close,
		.free = maildir_free,
	};
	struct maildir *maildir = xcalloc(1, sizeof(*maildir));

	maildir->dest.ops = &ops;
	maildir->context = *context;
	drafts_init(&maildir->drafts, context->tmp_fd, context->config->name, context->config->path);
	maildir->adoption.before = context->adopt_before;
	STAILQ_INIT(&maildir->offered);
	STAILQ_INIT(&maildir->settled);
	return &maildir->dest;
}
