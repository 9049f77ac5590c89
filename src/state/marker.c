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

#define REFRESH_S 86400 /* the number of messages in a marker is for recognising old backups, which are days old */
#define TEXT_MAX 8192

/* Where markers are. Found ones are filled in by read_marker. */
struct marker {
	char *dir, *name;
	bool found;
	char installation[33]; /* "": it cannot be read any more */
	int64_t messages;      /* highest number of a message when it was written */
	int64_t written_at;
};

struct markers {
	struct marker *list;
	size_t count;
};

static void add(struct markers *markers, const char *dir, const char *form, const char *state_dir)
{
	uint8_t digest[SHA256_BYTES];
	char digits[9];

	sha256_of(state_dir, strlen(state_dir), digest);
	markers->list = xreallocarray(markers->list, markers->count + 1, sizeof(*markers->list));
	markers->list[markers->count++] = (struct marker){.dir = xstrdup(dir), .name = xasprintf("%s%s", form, hex_encode(digits, digest, 4))};
}

/* In a Maildir nothing of ours begins with a dot: that is how its folders are called. */
static struct markers places(const struct config *config)
{
	const char *slash = strrchr(config->file, '/');
	char *beside = slash != NULL && slash != config->file ? xstrndup(config->file, (size_t)(slash - config->file)) : xstrdup("/");
	struct markers markers = {0};

	add(&markers, config->state_dir, "mailhaul-state-", config->state_dir);
	add(&markers, beside, ".mailhaul-state-", config->state_dir);
	for (size_t i = 0; i < config->destination_count; i++)
		if (config->destinations[i].kind == DEST_MAILDIR)
			add(&markers, config->destinations[i].path, "mailhaul-state-", config->state_dir);
	free(beside);
	return markers;
}

static void done(struct markers *markers)
{
	for (size_t i = 0; i < markers->count; i++) {
		free(markers->list[i].dir);
		free(markers->list[i].name);
	}
	free(markers->list);
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

static void read_marker(struct marker *marker)
{
	int dir_fd = open_place(marker->dir);
	int fd = dir_fd >= 0 ? openat(dir_fd, marker->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	char text[100];
	struct stat st;
	ssize_t len;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0)) {
		marker->found = true;
		marker->written_at = st.st_mtim.tv_sec;
		len = read(fd, text, sizeof(text) - 1);
		text[len > 0 ? len : 0] = '\0';
		if (sscanf(text, "installation %32[0-9a-f] messages %18" SCNd64, marker->installation, &marker->messages) != 2)
			marker->installation[0] = '\0';
	}
	fs_close(fd);
	fs_close(dir_fd);
}

static struct markers find(const struct config *config)
{
	struct markers markers = places(config);

	for (size_t i = 0; i < markers.count; i++)
		read_marker(&markers.list[i]);
	return markers;
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

static char *find_evidence(const struct config *config)
{
	struct markers markers = find(config);
	char *path = NULL;

	for (size_t i = 0; i < markers.count && path == NULL; i++)
		if (markers.list[i].found)
			path = xasprintf("%s/%s", markers.list[i].dir, markers.list[i].name);
	done(&markers);
	return path != NULL ? path : find_leftover(config->state_dir);
}

int marker_expect(const struct config *config, struct error *err)
{
	char *database = xasprintf("%s/state.db", config->state_dir), *evidence = NULL;
	struct stat st;
	int result = 0;

	if (lstat(database, &st) < 0 && errno == ENOENT)
		evidence = find_evidence(config);
	/* Once more: another first start may have made it, and what else is there, in between. */
	if (evidence != NULL && lstat(database, &st) < 0 && errno == ENOENT)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"%s is missing, but %s says that there was one: restore it from a backup, or run once with --accept-duplicates", database,
			evidence);
	free(evidence);
	free(database);
	return result;
}

/* -- A state.db that is another one -- */

static int last_message(struct state *state, int64_t *ret_id, struct error *err)
{
	return sql_number(state, err, ret_id, "SELECT seq FROM sqlite_sequence WHERE name = ?1", SQL_TEXT("message"));
}

int marker_compare(const struct config *config, struct state *state, bool *ret_behind, struct error *err)
{
	struct markers markers = find(config);
	bool behind = false;
	int64_t last;
	int result = last_message(state, &last, err);

	for (size_t i = 0; i < markers.count && result == 0; i++) {
		const struct marker *marker = &markers.list[i];

		if (!marker->found || marker->installation[0] == '\0')
			continue;
		if (strcmp(marker->installation, state_installation(state)) != 0)
			result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
				"%s/state.db is not the one that %s/%s tells of: restore the right one, or run once with --accept-duplicates",
				config->state_dir, marker->dir, marker->name);
		behind |= marker->messages > last;
	}
	done(&markers);
	if (result == 0)
		*ret_behind = behind;
	return result;
}

/* -- Writing -- */

static bool is_current(const struct marker *marker, const struct state *state, int64_t last, int64_t now)
{
	return marker->found && strcmp(marker->installation, state_installation(state)) == 0 && marker->messages <= last &&
	       marker->written_at <= now && now - marker->written_at < REFRESH_S;
}

static void write_marker(const struct marker *marker, const char *text, size_t len)
{
	char *draft = xasprintf("%s.new", marker->name);
	int dir_fd = open_place(marker->dir), fd;

	if (dir_fd >= 0) {
		unlinkat(dir_fd, draft, 0);
		fd = openat(dir_fd, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 && fs_write_all(fd, text, len) == 0 && fsync(fd) == 0)
			renameat(dir_fd, draft, dir_fd, marker->name);
		else if (fd >= 0)
			unlinkat(dir_fd, draft, 0);
		fs_close(fd);
		fs_close(dir_fd);
	}
	free(draft);
}

void marker_write(const struct config *config, struct state *state, int64_t now)
{
	struct markers markers = find(config);
	char text[TEXT_MAX];
	int64_t last;
	int len;

	if (last_message(state, &last, NULL) == 0) {
		len = snprintf(text, sizeof(text),
			"installation %s messages %" PRId64 "\n"
			"mailhaul has hauled mail with the state in %.4096s.\n"
			"This file lets it notice when that state is lost, rather than haul everything again. It may be deleted when mailhaul is.\n",
			state_installation(state), last, config->state_dir);
		for (size_t i = 0; i < markers.count; i++)
			if (!is_current(&markers.list[i], state, last, now))
				write_marker(&markers.list[i], text, (size_t)len);
	}
	done(&markers);
}
