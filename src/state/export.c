#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "state/dump.h"
#include "state/store.h"

/* The columns in the order of the table, and the rows in the order of its key. */
static char *make_query(const struct dump_table *table)
{
	struct str columns = {0};
	char *query;

	for (unsigned i = 0; i < table->column_count; i++)
		str_addf(&columns, "%s%s", i != 0 ? ", " : "", table->columns[i].name);
	/* The version is in the first line. */
	query = xasprintf("SELECT %s FROM %s %s ORDER BY 1, 2", str_text(&columns), table->name,
		strcmp(table->name, "meta") == 0 ? "WHERE key <> 'version'" : "");
	str_done(&columns);
	return query;
}

static bool holds_default(const struct dump_column *column, sqlite3_stmt *row, int i)
{
	char number[24];

	switch (sqlite3_column_type(row, i)) {
	case SQLITE_NULL:
		return true;
	case SQLITE_INTEGER:
		snprintf(number, sizeof(number), "%" PRId64, (int64_t)sqlite3_column_int64(row, i));
		return strcmp(column->initial, number) == 0;
	case SQLITE_TEXT:
		return sqlite3_column_bytes(row, i) == 0 && strcmp(column->initial, "''") == 0;
	default:
		return false;
	}
}

static void add_row(struct str *line, const struct dump_table *table, sqlite3_stmt *row)
{
	str_add_text(line, table->name);
	for (unsigned i = 0; i < table->column_count; i++) {
		const struct dump_column *column = &table->columns[i];

		if (column->derived || (!column->required && holds_default(column, row, (int)i)))
			continue;
		str_addf(line, " %s=", column->name);
		dump_add_value(line, row, (int)i);
	}
	str_add_byte(line, '\n');
}

static int write_failed(struct error *err)
{
	return error_errno(err, SCOPE_PROGRAM, "cannot write the exported state");
}

static int write_rows(struct state *state, const struct dump_table *table, FILE *to, struct error *err)
{
	char *query = make_query(table);
	struct str line = {0};
	sqlite3_stmt *row = NULL;
	int found;

	found = sqlite3_prepare_v2(state->db, query, -1, &row, NULL) == SQLITE_OK ? 0 : sql_failed(state, err);
	while (found == 0 && (found = sql_step(state, row, err)) > 0) {
		str_clear(&line);
		add_row(&line, table, row);
		found = fwrite(line.data, 1, line.len, to) == line.len ? 0 : write_failed(err);
	}
	sqlite3_finalize(row);
	str_done(&line);
	free(query);
	return found;
}

/* In the order in which they were made: what is referred to stands before what refers to it. */
static int write_tables(struct state *state, FILE *to, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(
		state, err, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid", NULL, 0);
	struct dump_table table;
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (dump_describe(state, sql_column_text(row, 0), &table, err) < 0 || write_rows(state, &table, to, err) < 0)
			return -1;
	return found;
}

static int write_all(struct state *state, FILE *to, struct error *err)
{
	int64_t last;

	if (sql_number(state, err, &last, "SELECT seq FROM sqlite_sequence WHERE name = ?1", SQL_TEXT("message")) < 0)
		return -1;
	if (fprintf(to, "mailhaul-state %d version=%d last_message=%" PRId64 "\n", DUMP_FORMAT, SCHEMA_VERSION, last) < 0)
		return write_failed(err);
	if (write_tables(state, to, err) < 0)
		return -1;
	return fputs("end\n", to) >= 0 && fflush(to) == 0 ? 0 : write_failed(err);
}

int state_export(struct state *state, FILE *to, struct error *err)
{
	int result;

	if (sql_run_values(state, err, "BEGIN", NULL, 0) < 0)
		return -1;
	result = write_all(state, to, err);
	state_rollback(state); /* nothing was changed */
	return result;
}
