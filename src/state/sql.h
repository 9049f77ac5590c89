/* sql.h - SQLite as this folder uses it: statements are prepared once and kept, values carry their type, errors become sentences.
 * A statement is written where it is run:  sql_run(state, err, "UPDATE folder SET mark = ?2 WHERE id = ?1", SQL_NUMBER(id), SQL_NUMBER(mark)) */
#ifndef MAILHAUL_STATE_SQL_H
#define MAILHAUL_STATE_SQL_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct state;

struct sql_value {
	enum { SQL_KIND_NUMBER, SQL_KIND_TEXT, SQL_KIND_BLOB } kind;
	int64_t number;
	const void *bytes; /* borrowed until the statement is reset; NULL is NULL */
	size_t len;
};
#define SQL_NUMBER(value) ((struct sql_value){.kind = SQL_KIND_NUMBER, .number = (int64_t)(value)})
#define SQL_TEXT(value) ((struct sql_value){.kind = SQL_KIND_TEXT, .bytes = (value)})
#define SQL_BLOB(value, length) ((struct sql_value){.kind = SQL_KIND_BLOB, .bytes = (value), .len = (length)})

/* Resets a statement at the end of its scope, so that no early return leaves a read transaction open. */
#define SQL_SCOPED __attribute__((cleanup(sql_reset)))
void sql_reset(sqlite3_stmt **statement);

/* An SQLite code. */
int sql_bind(sqlite3_stmt *statement, int index, const struct sql_value *value);
/* The statement with its values bound, kept under the address of its text: text must be a literal. NULL: *err says why. */
sqlite3_stmt *sql_query_values(struct state *state, struct error *err, const char *text, const struct sql_value *values, size_t count);
/* 1: a row is there; 0: no more; -1: failed (a NULL statement included, which leaves *err alone). */
int sql_step(struct state *state, sqlite3_stmt *statement, struct error *err);
/* Runs a statement that returns no rows. */
int sql_run_values(struct state *state, struct error *err, const char *text, const struct sql_value *values, size_t count);
/* The one number that a query returns; 0 if it returns no row. */
int sql_number_values(struct state *state, struct error *err, int64_t *ret_number, const char *text, const struct sql_value *values, size_t count);

#define SQL_VALUES(...) (const struct sql_value[]){__VA_ARGS__}, sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)
#define sql_query(state, err, text, ...) sql_query_values(state, err, text, SQL_VALUES(__VA_ARGS__))
#define sql_run(state, err, text, ...) sql_run_values(state, err, text, SQL_VALUES(__VA_ARGS__))
#define sql_number(state, err, ret_number, text, ...) sql_number_values(state, err, ret_number, text, SQL_VALUES(__VA_ARGS__))

/* Several statements without values, not kept: pragmas, schema. */
int sql_script(struct state *state, const char *text, struct error *err);
/* What SQLite's last failure on this database means to an operator. Returns -1. */
int sql_failed(struct state *state, struct error *err);
int sql_disk_is_full(const struct state *state, int code, struct error *err);    /* -1. code: see fs_is_full */
int sql_damaged(const struct state *state, const char *what, struct error *err); /* -1 */
void sql_forget(struct state *state);                                            /* finalizes all kept statements, before the database is closed */

/* Never NULL; valid until the next step. */
const char *sql_column_text(sqlite3_stmt *statement, int column);
/* Copies a blob of exactly len bytes; zeros if it is NULL or has another length. */
void sql_column_bytes(sqlite3_stmt *statement, int column, void *out, size_t len);

#endif
