#include "state/marker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "config/config.h"
#include "state/store.h"

static void add(struct markers *markers, const char *dir, const char *form, const char *state_dir, bool in_maildir)
{
	uint8_t digest[SHA256_BYTES];
	char digits[9];

	sha256_of(state_dir, strlen(state_dir), digest);
	markers->list = xreallocarray(markers->list, markers->count + 1, sizeof(*markers->list));
	markers->list[markers->count++] =
		(struct marker){.dir = xstrdup(dir), .name = xasprintf("%s%s", form, hex_encode(digits, digest, 4)), .in_maildir = in_maildir};
}

/* In a Maildir nothing of ours begins with a dot: that is how its folders are called. */
void markers_init(struct markers *markers, const struct config *config)
{
	const char *slash = strrchr(config->file, '/');
	char *beside = slash != NULL && slash != config->file ? xstrndup(config->file, (size_t)(slash - config->file)) : xstrdup("/");

	*markers = (struct markers){0};
	add(markers, config->state_dir, "mailhaul-state-", config->state_dir, false);
	add(markers, beside, ".mailhaul-state-", config->state_dir, false);
	for (size_t i = 0; i < config->destination_count; i++)
		if (config->destinations[i].kind == DEST_MAILDIR)
			add(markers, config->destinations[i].path, "mailhaul-state-", config->state_dir, true);
	free(beside);
}

void markers_cut(struct markers *markers, size_t count)
{
	while (markers->count > count) {
		struct marker *last = &markers->list[--markers->count];

		free(last->dir);
		free(last->name);
	}
}

void markers_done(struct markers *markers)
{
	markers_cut(markers, 0);
	free(markers->list);
	*markers = (struct markers){0};
}

/* A directory of ours, or -1. */
static int open_place(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0)))
		fd = fs_close(fd);
	return fd;
}

static void read_text(struct marker *marker, int fd)
{
	char text[100];
	ssize_t len = read(fd, text, sizeof(text) - 1);

	text[len > 0 ? len : 0] = '\0';
	if (sscanf(text, "installation %32[0-9a-f] messages %18" SCNd64, marker->installation, &marker->messages) != 2)
		marker->installation[0] = '\0';
}

void marker_look(struct marker *marker)
{
	int dir_fd = open_place(marker->dir);
	int fd = dir_fd >= 0 ? openat(dir_fd, marker->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	struct stat st;

	marker->sight = MARKER_MISSING;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0)) {
		marker->sight = MARKER_FOUND;
		marker->written_at = st.st_mtim.tv_sec;
		read_text(marker, fd);
	}
	fs_close(fd);
	fs_close(dir_fd);
}

/* -- A state.db that is missing -- */

/* Made after state.db was, and by nothing else. */
static bool is_leftover(const char *name)
{
	return strcmp(name, "reserve") == 0 || strcmp(name, "state.db-wal") == 0 || strcmp(name, "state.db-journal") == 0 ||
	       strncmp(name, "lock.", 5) == 0;
}

/* Its path; NULL: the directory is empty, or not there. Owned by the caller. */
static char *find_leftover(const char *state_dir)
{
	DIR *dir = opendir(state_dir);
	const struct dirent *entry;
	char *path = NULL;

	if (dir == NULL)
		return NULL;
	while (path == NULL && (entry = readdir(dir)) != NULL)
		if (is_leftover(entry->d_name))
			path = xasprintf("%s/%s", state_dir, entry->d_name);
	closedir(dir);
	return path;
}

static const struct marker *find(const struct markers *markers, enum marker_sight sight)
{
	for (size_t i = 0; i < markers->count; i++)
		if (markers->list[i].sight == sight)
			return &markers->list[i];
	return NULL;
}

static bool is_missing(const struct config *config)
{
	char *database = xasprintf("%s/state.db", config->state_dir);
	struct stat st;
	bool missing = lstat(database, &st) < 0 && errno == ENOENT;

	free(database);
	return missing;
}

int markers_expect(const struct markers *markers, const struct config *config, struct error *err)
{
	const struct marker *found = find(markers, MARKER_FOUND), *unseen = find(markers, MARKER_UNSEEN);
	const char *dir = config->state_dir;
	char *evidence = found != NULL ? xasprintf("%s/%s", found->dir, found->name) : find_leftover(dir);
	int result = 0;

	/* It may be there, or another first start may have made it just now, and what else is there. */
	if ((evidence != NULL || unseen != NULL) && !is_missing(config))
		result = 0;
	else if (evidence != NULL)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"%s/state.db is missing, but %s says that there was one: restore it from a backup, or run once with --accept-duplicates", dir,
			evidence);
	else if (unseen != NULL)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"%s/state.db is missing, and the file system of %s, which would show whether there was one, does not answer: wait until it "
			"does, or run once with --accept-duplicates",
			dir, unseen->dir);
	free(evidence);
	return result;
}

int markers_expect_state(const struct config *config, struct error *err)
{
	struct markers markers;
	int result;

	if (!is_missing(config))
		return 0;
	markers_init(&markers, config);
	for (size_t i = 0; i < markers.count; i++)
		marker_look(&markers.list[i]);
	result = markers_expect(&markers, config, err);
	markers_done(&markers);
	return result;
}

/* -- A state.db that is another one -- */

static int last_message(struct state *state, int64_t *ret_id, struct error *err)
{
	return sql_number(state, err, ret_id, "SELECT seq FROM sqlite_sequence WHERE name = ?1", SQL_TEXT("message"));
}

int markers_compare(const struct markers *markers, const struct config *config, struct state *state, bool *ret_behind, struct error *err)
{
	bool behind = false;
	int64_t last;

	if (last_message(state, &last, err) < 0)
		return -1;
	for (size_t i = 0; i < markers->count; i++) {
		const struct marker *marker = &markers->list[i];

		if (marker->sight != MARKER_FOUND || marker->installation[0] == '\0')
			continue;
		if (strcmp(marker->installation, state_installation(state)) != 0)
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
				"%s/state.db is not the one that %s/%s tells of: restore the right one, or run once with --accept-duplicates",
				config->state_dir, marker->dir, marker->name);
		behind |= marker->messages > last;
	}
	*ret_behind = behind;
	return 0;
}

/* -- Writing -- */

int marker_compose(const struct config *config, struct state *state, struct marker_note *ret_note, struct error *err)
{
	if (last_message(state, &ret_note->messages, err) < 0)
		return -1;
	ret_note->installation = state_installation(state);
	snprintf(ret_note->text, sizeof(ret_note->text),
		"installation %s messages %" PRId64 "\n"
		"mailhaul has hauled mail with the state in %.4096s.\n"
		"This file lets it notice when that state is lost, rather than haul everything again. It may be deleted when mailhaul is.\n",
		ret_note->installation, ret_note->messages, config->state_dir);
	return 0;
}

bool marker_is_current(const struct marker *marker, const struct marker_note *note, int64_t now)
{
	return marker->sight == MARKER_FOUND && strcmp(marker->installation, note->installation) == 0 && marker->messages <= note->messages &&
	       marker->written_at <= now && now - marker->written_at < MARKER_REFRESH_S;
}

void marker_write(const struct marker *marker, const char *text)
{
	char *draft = xasprintf("%s.new", marker->name);
	int dir_fd = open_place(marker->dir), fd;

	if (dir_fd >= 0) {
		unlinkat(dir_fd, draft, 0);
		fd = openat(dir_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 && fs_write_all(fd, text, strlen(text)) == 0 && fsync(fd) == 0)
			renameat(dir_fd, draft, dir_fd, marker->name);
		else if (fd >= 0)
			unlinkat(dir_fd, draft, 0);
		fs_close(fd);
		fs_close(dir_fd);
	}
	free(draft);
}
