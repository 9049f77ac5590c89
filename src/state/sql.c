#include "state/sql.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/fs.h"
#include "state/store.h"

/* What another mailhaul does takes a moment, and callers try again every 20 ms. One that is in the way for a minute hangs, or locks do not work here. */
#define BUSY_MAX_S 60
#define BUSY_PAUSE_NS 1000000000 /* after so long it is another occasion */

static bool is_busy_for_too_long(struct state *state)
{
	int64_t now = clock_monotonic_ns();

	if (now - state->busy_at > BUSY_PAUSE_NS)
		state->busy_until = deadline_in_s(BUSY_MAX_S);
	state->busy_at = now;
	return deadline_passed(state->busy_until);
}

int sql_damaged(const struct state *state, const char *what, struct error *err)
{
	return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
		"%s/state.db is damaged: %.60s; restore it from a backup, or save what \"mailhaul state export\" can read of it and import that",
		state->dir, what);
}

int sql_disk_is_full(const struct state *state, int code, struct error *err)
{
	if (code == ENOSPC)
		return error_code(err, ERR_LOCAL, SCOPE_PROGRAM, code, "the disk that holds %s is full: make room, and mailhaul goes on", state->dir);
	return error_code(err, ERR_LOCAL, SCOPE_PROGRAM, code,
		"no more may be written into %s (%s): make room or raise that limit, and mailhaul goes on", state->dir, strerror(code));
}

/* One sentence each, with the way out. The names: of the directory, or of SQLite's own words. */
int sql_failed(struct state *state, struct error *err)
{
	const char *words = sqlite3_errmsg(state->db), *dir = state->dir;

	switch (sqlite3_extended_errcode(state->db) & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		if (is_busy_for_too_long(state))
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
				"another program keeps the state in %s locked, or its file system cannot lock files; end that program, or move the "
				"state "
				"to a local disk",
				dir);
		return error_set(err, ERR_TEMP, SCOPE_PROGRAM, "another mailhaul is using the state in %s just now; try again in a moment", dir);
	case SQLITE_FULL:
		return sql_disk_is_full(state, ENOSPC, err);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return sql_damaged(state, words, err);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot write the state in %s: %s; check owner, modes and mount options", dir, words);
	default:
		if (fs_is_full(sqlite3_system_errno(state->db)))
			return sql_disk_is_full(state, sqlite3_system_errno(state->db), err);
		return error_code(err, ERR_LOCAL, SCOPE_PROGRAM, sqlite3_system_errno(state->db), "the state in %s failed: %s", dir, words);
	}
}

static sqlite3_stmt *prepare(struct state *state, const char *text, struct error *err)
{
	struct sql_kept *kept = state->kept;
	unsigned i = (unsigned)((uintptr_t)text / 8 % SQL_KEPT_MAX), tries = 0;

	for (; kept[i].text != NULL && kept[i].text != text; i = (i + 1) % SQL_KEPT_MAX, tries++)
		assert(tries < SQL_KEPT_MAX); /* more literals than there are places: raise it */
	if (kept[i].text == NULL) {
		if (sqlite3_prepare_v3(state->db, text, -1, SQLITE_PREPARE_PERSISTENT, &kept[i].statement, NULL) != SQLITE_OK) {
			if (sqlite3_errcode(state->db) ==
				SQLITE_ERROR) /* what our own words name is not there: the description of a table is damaged */
				sql_damaged(state, sqlite3_errmsg(state->db), err);
			else
				sql_failed(state, err);
			return NULL;
		}
		kept[i].text = text;
	}
	assert(!sqlite3_stmt_busy(kept[i].statement));
	return kept[i].statement;
}

int sql_bind(sqlite3_stmt *statement, int index, const struct sql_value *value)
{
	switch (value->kind) {
	case SQL_KIND_NUMBER:
		return sqlite3_bind_int64(statement, index, value->number);
	case SQL_KIND_TEXT:
		return sqlite3_bind_text(statement, index, value->bytes, -1, SQLITE_STATIC);
	case SQL_KIND_BLOB:
		return sqlite3_bind_blob64(statement, index, value->bytes, value->len, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

sqlite3_stmt *sql_query_values(struct state *state, struct error *err, const char *text, const struct sql_value *values, size_t count)
{
	sqlite3_stmt *statement = prepare(state, text, err);

	if (statement == NULL)
		return NULL;
	assert(sqlite3_bind_parameter_count(statement) == (int)count);
	for (size_t i = 0; i < count; i++) {
		if (sql_bind(statement, (int)i + 1, &values[i]) != SQLITE_OK) {
			sql_failed(state, err);
			return NULL;
		}
	}
	return statement;
}

int sql_step(struct state *state, sqlite3_stmt *statement, struct error *err)
{
	if (statement == NULL)
		return -1;
	switch (sqlite3_step(statement)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return sql_failed(state, err);
	}
}

void sql_reset(sqlite3_stmt **statement)
{
	if (*statement != NULL)
		sqlite3_reset(*statement);
}

int sql_run_values(struct state *state, struct error *err, const char *text, const struct sql_value *values, size_t count)
{
	sqlite3_stmt *statement SQL_SCOPED = sql_query_values(state, err, text, values, count);

	return sql_step(state, statement, err) < 0 ? -1 : 0;
}

int sql_number_values(struct state *state, struct error *err, int64_t *ret_number, const char *text, const struct sql_value *values, size_t count)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, text, values, count);
	int found = sql_step(state, row, err);

	if (found < 0)
		return -1;
	*ret_number = found > 0 ? sqlite3_column_int64(row, 0) : 0;
	return 0;
}

int sql_script(struct state *state, const char *text, struct error *err)
{
	return sqlite3_exec(state->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : sql_failed(state, err);
}

void sql_forget(struct state *state)
{
	for (unsigned i = 0; i < SQL_KEPT_MAX; i++) {
		sqlite3_finalize(state->kept[i].statement);
		state->kept[i] = (struct sql_kept){0};
	}
}

const char *sql_column_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text != NULL ? (const char *)text : "";
}

void sql_column_bytes(sqlite3_stmt *statement, int column, void *out, size_t len)
{
	const void *bytes = sqlite3_column_blob(statement, column);

	if (bytes != NULL && (size_t)sqlite3_column_bytes(statement, column) == len)
		memcpy(out, bytes, len);
	else
		memset(out, 0, len);
}
