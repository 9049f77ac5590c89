#include "state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "state/place.h"
#include "state/store.h"

/* A commit that makes the log longer than this many pages (16 MiB) copies it into the database; and what a longer one took is given back. */
#define CHECKPOINT_PAGES "4000"
#define LOG_MAX_BYTES "16777216"
/* While opening there is nothing else to do, and the other one is done within milliseconds. Later the event loop waits, not SQLite. */
#define OPEN_BUSY_MS 2000

/* Before SQLite is first used: there are no threads here, so nothing need be locked, and nobody asks how much memory it has; both together cost a
 * twentieth of all that the state does. A second call changes nothing. */
static void configure_sqlite(void)
{
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int database_open(struct state *state, const char *name, int flags, struct error *err)
{
	char *path = xasprintf("%s/%s", state->dir, name);
	int result = sqlite3_open_v2(path, &state->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, state->reserve.name);

	free(path);
	if (result != SQLITE_OK)
		return sql_failed(state, err);
	sqlite3_busy_timeout(state->db, OPEN_BUSY_MS);
	/* temp_store: a renumbering's index must not end up in /tmp. */
	return sql_script(state,
		"PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;"
		"PRAGMA journal_size_limit = " LOG_MAX_BYTES "; PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES,
		err);
}

static void database_close(struct state *state)
{
	sql_forget(state);
	sqlite3_close(state->db);
	state->db = NULL;
}

/* WAL needs shared memory, which hosts do not share. SQLite answers with the mode that it could have. */
static int choose_journal(struct state *state, struct error *err)
{
	if (!place_is_remote(state->dir_fd)) {
		sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "PRAGMA journal_mode = WAL", NULL, 0);

		if (sql_step(state, row, err) < 0)
			return -1;
		state->has_log = strcmp(sql_column_text(row, 0), "wal") == 0;
		if (state->has_log)
			return 0;
	}
	return sql_script(state, "PRAGMA journal_mode = TRUNCATE", err);
}

/* What was left by a database that is no more would be taken for the log of the new one. */
static void clear_leftovers(const struct state *state)
{
	static const char *const leftovers[] = {
		"state.db.new", "state.db.new-journal", "state.db.new-wal", "state.db.new-shm", "state.db-wal", "state.db-shm", "state.db-journal"};

	for (unsigned i = 0; i < ARRAY_SIZE(leftovers); i++)
		unlinkat(state->dir_fd, leftovers[i], 0);
}

/* -- the clock -- */

static int load_clock(struct state *state, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("clock"));
	int found = sql_step(state, row, err);

	state->clock = (struct state_clock){0};
	if (found > 0 && !clock_parse(sql_column_text(row, 0), &state->clock))
		return sql_damaged(state, "its clock cannot be read", err);
	state->clock_is_loaded = true;
	return found < 0 ? -1 : 0;
}

/* Moves the clock on; in a transaction also on disk, if it is time for that. */
static int advance_clock(struct state *state, bool keep, struct error *err)
{
	struct clock_reading reading;
	struct state_clock now;
	char text[CLOCK_TEXT_BYTES];

	if (!state->clock_is_loaded && load_clock(state, err) < 0)
		return -1;
	clock_read(&reading);
	now = clock_moved(&state->clock, &reading);
	if (!clock_is_worth_keeping(&state->clock, &now))
		return 0;
	state->clock = now;
	if (!keep)
		return 0;
	clock_print(text, &now);
	return sql_run(state, err, "INSERT OR REPLACE INTO meta (key, value) VALUES ('clock', ?1)", SQL_TEXT(text));
}

static int start_clock(struct state *state, bool read_only, struct error *err)
{
	if (read_only)
		return advance_clock(state, false, err);
	if (savepoint_begin(state, err) < 0)
		return -1;
	return savepoint_end(state, advance_clock(state, true, err), err);
}

/* -- making, opening and closing it -- */

/* Until it is complete nobody misses it, so that one sync at the end is enough. */
static int fill_new(struct state *state, int (*fill)(struct state *, void *, struct error *), void *context, struct error *err)
{
	int result = database_open(state, "state.db.new", SQLITE_OPEN_READWRITE, err);

	if (result == 0)
		result = sql_script(state, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF", err);
	if (result == 0)
		result = fill(state, context, err);
	if (result == 0)
		result = choose_journal(state, err);
	database_close(state);
	return result;
}

/* A new database is built beside its place and renamed when it is complete and on disk: a state.db that is empty or half made is damage, never a
 * beginning. */
static int build(struct state *state, int (*fill)(struct state *, void *, struct error *), void *context, struct error *err)
{
	int fd, result;

	clear_leftovers(state);
	/* Made by us, so that the mode is right from the first moment. */
	fd = openat(state->dir_fd, "state.db.new", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot create %s/state.db.new", state->dir);
	result = fill_new(state, fill, context, err);
	if (result == 0 && (fsync(fd) < 0 || renameat(state->dir_fd, "state.db.new", state->dir_fd, "state.db") < 0 || fsync(state->dir_fd) < 0))
		result = error_errno(err, SCOPE_PROGRAM, "cannot put %s/state.db in its place", state->dir);
	fs_close(fd);
	if (result < 0)
		unlinkat(state->dir_fd, "state.db.new", 0);
	else
		fs_sync_parent(state->dir_fd); /* whoever made the directory may have been killed before it did */
	return result;
}

static int fill_empty(struct state *state, void *context, struct error *err)
{
	(void)context;
	return schema_create(state, err) < 0 ? -1 : start_clock(state, false, err); /* here it needs no sync of its own */
}

/* The last one to close the database takes the log away with it. One that is there was left by a crash, or belongs to another mailhaul. */
static bool has_log(const struct state *state)
{
	struct stat st;

	return fstatat(state->dir_fd, "state.db-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size != 0;
}

/* To read even a database that nobody has open, SQLite makes a file beside it, which a full disk has no room for. Without a log there is nothing that
 * the file would be needed for, as long as nobody begins to write. */
static int open_unchanging(struct state *state, struct error *err)
{
	struct str uri = {0};
	int result;

	str_add_text(&uri, "file:");
	for (const char *at = state->dir; *at != '\0'; at++)
		str_addf(&uri, strchr("?#%", *at) != NULL ? "%%%02X" : "%c", (unsigned char)*at);
	str_add_text(&uri, "/state.db?immutable=1");
	database_close(state);
	result = sqlite3_open_v2(
		uri.data, &state->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, state->reserve.name);
	str_done(&uri);
	if (result != SQLITE_OK)
		return sql_failed(state, err);
	return schema_upgrade(state, true, err) < 0 ? -1 : start_clock(state, true, err);
}

static int open_to_read(struct state *state, struct error *err)
{
	bool opened = database_open(state, "state.db", SQLITE_OPEN_READONLY, err) == 0 && schema_upgrade(state, true, err) == 0 &&
		      start_clock(state, true, err) == 0;

	if (!opened && (has_log(state) || open_unchanging(state, err) < 0))
		return -1;
	sqlite3_busy_timeout(state->db, 0);
	return 0;
}

static int open_to_write(struct state *state, struct error *err)
{
	bool suspect = has_log(state);

	if (database_open(state, "state.db", SQLITE_OPEN_READWRITE, err) < 0 || choose_journal(state, err) < 0)
		return -1;
	/* 0.1 s for 200000 messages: after a crash that is well spent, at every start it is not. */
	if (suspect && state_check_file(state, err) < 0)
		return -1;
	if (schema_upgrade(state, false, err) < 0 || start_clock(state, false, err) < 0)
		return -1;
	shrink_prepare(state);
	sqlite3_busy_timeout(state->db, 0);
	return 0;
}

static int open_or_build(struct state *state, bool read_only, bool *ret_new, struct error *err)
{
	bool found;

	if (place_check_files(state->dir_fd, state->dir, &found, err) < 0)
		return -1;
	if (!found && read_only)
		return error_set(err, ERR_NONE, SCOPE_PROGRAM, "there is no state in %s yet", state->dir);
	if (!found && build(state, fill_empty, NULL, err) < 0)
		return -1;
	/* Without it what is accepted while the disk fills up could not be recorded, and would be delivered again. */
	if (!read_only && reserve_make(&state->reserve) < 0)
		return sql_disk_is_full(state, errno, err);
	if ((read_only ? open_to_read(state, err) : open_to_write(state, err)) < 0)
		return -1;
	state->reserve.armed = true;
	*ret_new = !found;
	return 0;
}

/* Not yet opened; takes the descriptor. */
static struct state *state_new(const char *dir, int dir_fd_take)
{
	struct state *state = xcalloc(1, sizeof(*state));

	state->dir = xstrdup(dir);
	state->dir_fd = dir_fd_take;
	configure_sqlite();
	reserve_init(&state->reserve, state->dir_fd);
	return state;
}

struct state *state_open(const char *dir, bool read_only, bool *ret_new, struct error *err)
{
	int dir_fd = place_open(dir, !read_only, err);
	struct state *state;
	int result;

	if (dir_fd < 0)
		return NULL;
	state = state_new(dir, dir_fd);
	/* Two first starts at the same moment: one builds, the other finds it. */
	if (!read_only && flock(dir_fd, LOCK_EX) < 0)
		result = error_errno(err, SCOPE_PROGRAM, "cannot lock state directory %s", dir);
	else
		result = open_or_build(state, read_only, ret_new, err);
	flock(dir_fd, LOCK_UN);
	if (result < 0) {
		state_close(state);
		return NULL;
	}
	return state;
}

struct state *state_open_scratch(struct error *err)
{
	int dir_fd = open(P_tmpdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct state *state;

	if (dir_fd < 0) {
		error_errno(err, SCOPE_PROGRAM, "cannot open " P_tmpdir);
		return NULL;
	}
	state = state_new("memory", dir_fd);
	if (sqlite3_open_v2(":memory:", &state->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK) {
		sql_failed(state, err);
	} else if (schema_create(state, err) == 0 && schema_upgrade(state, false, err) == 0) {
		return state;
	}
	state_close(state);
	return NULL;
}

static int build_from(struct state *state, struct import *import, struct error *err)
{
	bool found;

	if (flock(state->dir_fd, LOCK_EX) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot lock state directory %s", state->dir);
	if (place_check_files(state->dir_fd, state->dir, &found, err) < 0)
		return -1;
	if (found)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
			"there is a state in %s already, and two cannot be mixed: move its state.db away first", state->dir);
	return build(state, import_fill, import, err);
}

int state_import(const char *dir, FILE *from, const char *from_name, struct error *err)
{
	struct import import = {.from = from, .name = from_name};
	int dir_fd = place_open(dir, true, err), result;
	struct state *state;

	if (dir_fd < 0)
		return -1;
	state = state_new(dir, dir_fd);
	result = build_from(state, &import, err);
	state_close(state);
	return result;
}

void state_close(struct state *state)
{
	if (state == NULL)
		return;
	if (state->db != NULL)
		state_checkpoint(state);
	database_close(state);
	reserve_done(&state->reserve);
	fs_close(state->dir_fd);
	free(state->dir);
	free(state);
}

int state_dir_fd(const struct state *state)
{
	return state->dir_fd;
}

const char *state_installation(const struct state *state)
{
	return state->installation;
}

int state_begin_anew(struct state *state, int64_t now, struct error *err)
{
	return sql_run(state, err, "INSERT OR REPLACE INTO meta (key, value) VALUES ('begun_anew_at', ?1)", SQL_NUMBER(now));
}

int state_begun_anew_at(struct state *state, int64_t now, int64_t *ret_at, struct error *err)
{
	if (sql_number(state, err, ret_at, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("begun_anew_at")) < 0)
		return -1;
	if (now - *ret_at > ADOPT_S)
		*ret_at = 0;
	return 0;
}

/* Between transactions. As a script: SQLite takes such a pragma when it is compiled, not when it is run. */
static int set_unsynced(struct state *state, bool unsynced, struct error *err)
{
	if (state->unsynced == unsynced)
		return 0;
	if (sql_script(state, unsynced ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL", err) < 0)
		return -1;
	state->unsynced = unsynced;
	return 0;
}

static void forget_recent(struct state *state)
{
	memset(&state->recent, 0, sizeof(state->recent));
}

static int begin(struct state *state, struct error *err)
{
	if (sql_run_values(state, err, "BEGIN IMMEDIATE", NULL, 0) < 0)
		return -1;
	if (advance_clock(state, true, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}

int state_begin(struct state *state, struct error *err)
{
	return set_unsynced(state, false, err) < 0 ? -1 : begin(state, err);
}

int state_begin_unsynced(struct state *state, struct error *err)
{
	return set_unsynced(state, state->has_log, err) < 0 ? -1 : begin(state, err);
}

int state_commit(struct state *state, struct error *err)
{
	forget_recent(state);
	if (sql_run_values(state, err, "COMMIT", NULL, 0) < 0)
		return -1;
	(void)set_unsynced(state, false, NULL); /* if that fails, the next transaction does not begin */
	state->busy_at = 0;
	return 0;
}

void state_rollback(struct state *state)
{
	forget_recent(state);
	/* After some errors SQLite has done so itself. */
	if (!sqlite3_get_autocommit(state->db))
		sql_run_values(state, NULL, "ROLLBACK", NULL, 0);
	(void)set_unsynced(state, false, NULL);
	state->prints_made = false;
	state->clock_is_loaded = false;
}

bool state_is_short_of_room(const struct state *state)
{
	return state->reserve.spent;
}

bool state_has_room_again(struct state *state)
{
	if (reserve_make(&state->reserve) < 0)
		return false;
	state->reserve.spent = false;
	return true;
}

void state_checkpoint(struct state *state)
{
	/* It can wait for room; an outcome could not. */
	state->reserve.armed = false;
	sqlite3_wal_checkpoint_v2(state->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	state->reserve.armed = true;
}

int savepoint_begin(struct state *state, struct error *err)
{
	/* The outermost is a transaction of its own. */
	if (sqlite3_get_autocommit(state->db) && set_unsynced(state, false, err) < 0)
		return -1;
	return sql_run_values(state, err, "SAVEPOINT part", NULL, 0);
}

int savepoint_end(struct state *state, int result, struct error *err)
{
	forget_recent(state);
	/* The outermost is a transaction, which RELEASE commits, and which stays open when that fails. */
	if (result >= 0 && sql_run_values(state, err, "RELEASE part", NULL, 0) == 0)
		return result;
	sql_run_values(state, NULL, "ROLLBACK TO part", NULL, 0);
	sql_run_values(state, NULL, "RELEASE part", NULL, 0);
	state->prints_made = false;
	return -1;
}

int store_lie(struct error *err, const char *format, ...)
{
	char what[160];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the worker was stopped, since it reported what cannot be: %s", what);
}
