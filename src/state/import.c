#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "state/dump.h"
#include "state/store.h"

struct reading {
	struct state *state;
	const struct import *import;
	struct str line;
	unsigned long number; /* of the line */
	int64_t version, last_message;
	struct dump_table table; /* the one of the last line */
	sqlite3_stmt *insert;    /* the one of the last line, into the columns that it had */
	struct str insert_text;
};

static int wrong_line(const struct reading *reading, struct error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int wrong_line(const struct reading *reading, struct error *err, const char *format, ...)
{
	char what[160];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s:%lu: %s", reading->import->name, reading->number, what);
}

/* 1: a line without its end; 0: there are no more. */
static int read_line(struct reading *reading, struct error *err)
{
	int byte;

	str_clear(&reading->line);
	reading->number++;
	while ((byte = getc_unlocked(reading->import->from)) != EOF && byte != '\n') {
		if (reading->line.len == DUMP_LINE_MAX)
			return wrong_line(reading, err, "the line is longer than any can be");
		if (byte == '\0')
			return wrong_line(reading, err, "there is a NUL in the line");
		str_add_byte(&reading->line, (char)byte);
	}
	if (ferror(reading->import->from))
		return error_errno(err, SCOPE_PROGRAM, "cannot read %s", reading->import->name);
	if (byte == EOF && reading->line.len != 0)
		return wrong_line(reading, err, "the last line is cut short");
	return byte != EOF;
}

static int read_header(struct reading *reading, struct error *err)
{
	int found = read_line(reading, err), format, end = 0;

	if (found < 0)
		return -1;
	if (found == 0 ||
		sscanf(str_text(&reading->line), "mailhaul-state %9d version=%9" SCNd64 " last_message=%18" SCNd64 "%n", &format, &reading->version,
			&reading->last_message, &end) != 3 ||
		str_text(&reading->line)[end] != '\0' || reading->version < 1 || reading->last_message < 0)
		return wrong_line(reading, err, "this is not what \"mailhaul state export\" writes: its first line begins with \"mailhaul-state\"");
	if (format != DUMP_FORMAT || reading->version > SCHEMA_VERSION)
		return wrong_line(reading, err, "this was written by a newer mailhaul: import it with that one");
	return 0;
}

/* -- one row -- */

struct row {
	const struct dump_column *columns[DUMP_COLUMNS_MAX];
	struct sql_value values[DUMP_COLUMNS_MAX];
	unsigned count;
	uint8_t key_hash[SHA256_BYTES];
};

static const char *kind_name(const struct sql_value *value)
{
	return value->kind == SQL_KIND_NUMBER ? "a number" : value->kind == SQL_KIND_TEXT ? "a text" : "bytes";
}

static bool has_type(const struct dump_column *column, const struct sql_value *value)
{
	switch (column->type) {
	case DUMP_NUMBER:
		return value->kind == SQL_KIND_NUMBER;
	case DUMP_TEXT:
		return value->kind == SQL_KIND_TEXT;
	case DUMP_BYTES:
		return value->kind == SQL_KIND_BLOB;
	case DUMP_ANY:
		break;
	}
	return true;
}

static const struct dump_column *find_column(const struct dump_table *table, const struct dump_field *field)
{
	for (unsigned i = 0; i < table->column_count; i++)
		if (strlen(table->columns[i].name) == field->name_len && memcmp(table->columns[i].name, field->name, field->name_len) == 0)
			return table->columns[i].derived ? NULL : &table->columns[i];
	return NULL;
}

static int take_field(const struct reading *reading, struct row *row, const struct dump_field *field, struct error *err)
{
	const struct dump_column *column = find_column(&reading->table, field);

	if (column == NULL)
		return wrong_line(reading, err, "a %s has no \"%.*s\"", reading->table.name, (int)field->name_len, field->name);
	for (unsigned i = 0; i < row->count; i++)
		if (row->columns[i] == column)
			return wrong_line(reading, err, "\"%s\" stands there twice", column->name);
	if (!has_type(column, &field->value))
		return wrong_line(reading, err, "\"%s\" cannot be %s", column->name, kind_name(&field->value));
	row->columns[row->count] = column;
	row->values[row->count++] = field->value;
	return 0;
}

static const struct sql_value *value_of(const struct row *row, const char *name)
{
	for (unsigned i = 0; i < row->count; i++)
		if (strcmp(row->columns[i]->name, name) == 0)
			return &row->values[i];
	return NULL;
}

static int complete(const struct reading *reading, struct row *row, struct error *err)
{
	for (unsigned i = 0; i < reading->table.column_count; i++) {
		const struct dump_column *column = &reading->table.columns[i];

		if (!column->derived && (!column->required || value_of(row, column->name) != NULL))
			continue;
		if (!column->derived)
			return wrong_line(reading, err, "\"%s\" is missing", column->name);
		const struct sql_value *key = value_of(row, "key");
		if (key == NULL)
			return wrong_line(reading, err, "\"key\" is missing");
		sha256_of(key->bytes, key->len, row->key_hash);
		row->columns[row->count] = column;
		row->values[row->count++] = SQL_BLOB(row->key_hash, KEY_HASH_BYTES);
	}
	return 0;
}

/* Neighbours have the same columns nearly always. */
static int prepare(struct reading *reading, const struct row *row, struct error *err)
{
	struct str text = {0};
	int result = 0;

	str_addf(&text, "INSERT INTO %s (", reading->table.name);
	for (unsigned i = 0; i < row->count; i++)
		str_addf(&text, "%s%s", i != 0 ? ", " : "", row->columns[i]->name);
	str_add_text(&text, ") VALUES (?1");
	for (unsigned i = 1; i < row->count; i++)
		str_addf(&text, ", ?%u", i + 1);
	str_add_text(&text, ")");
	if (strcmp(str_text(&text), str_text(&reading->insert_text)) != 0) {
		sqlite3_finalize(reading->insert);
		reading->insert = NULL;
		if (sqlite3_prepare_v2(reading->state->db, str_text(&text), -1, &reading->insert, NULL) != SQLITE_OK)
			result = sql_failed(reading->state, err);
		str_done(&reading->insert_text);
		reading->insert_text = text;
		return result;
	}
	str_done(&text);
	return 0;
}

static int insert(struct reading *reading, const struct row *row, struct error *err)
{
	int result;

	if (prepare(reading, row, err) < 0)
		return -1;
	for (unsigned i = 0; i < row->count; i++)
		sql_bind(reading->insert, (int)i + 1, &row->values[i]);
	result = sqlite3_step(reading->insert);
	sqlite3_reset(reading->insert);
	if (result == SQLITE_DONE)
		return 0;
	if ((result & 0xff) != SQLITE_CONSTRAINT)
		return sql_failed(reading->state, err);
	return wrong_line(reading, err, "the record does not fit those before it: %s", sqlite3_errmsg(reading->state->db));
}

static int read_row(struct reading *reading, struct error *err)
{
	char *at = reading->line.data, name[sizeof(reading->table.name)];
	size_t len = strcspn(at, " ");
	struct row row = {0};
	struct dump_field field;
	const char *wrong;
	int found;

	if (len >= sizeof(name))
		return wrong_line(reading, err, "there is no such kind of record");
	memcpy(name, at, len);
	name[len] = '\0';
	if (strcmp(reading->table.name, name) != 0 && (found = dump_describe(reading->state, name, &reading->table, err)) <= 0)
		return found < 0 ? -1 : wrong_line(reading, err, "there is no record called \"%s\"", escape_into((char[100]){0}, 100, name, len));
	at += len;
	while ((found = dump_next_field(&at, &field, &wrong)) > 0)
		if (take_field(reading, &row, &field, err) < 0)
			return -1;
	if (found < 0)
		return wrong_line(reading, err, "there is %s", wrong);
	return complete(reading, &row, err) < 0 ? -1 : insert(reading, &row, err);
}

/* -- the whole -- */

static int read_rows(struct reading *reading, struct error *err)
{
	int found;

	while ((found = read_line(reading, err)) > 0 && strcmp(str_text(&reading->line), "end") != 0)
		if (reading->line.len == 0 ? wrong_line(reading, err, "an empty line") < 0 : read_row(reading, err) < 0)
			return -1;
	if (found == 0)
		return wrong_line(reading, err, "the file is cut short: its last line has to be \"end\"");
	found = found > 0 ? read_line(reading, err) : -1;
	return found > 0 ? wrong_line(reading, err, "there is more behind the end") : found;
}

static int refuse_contradiction(const struct reading *reading, struct error *err)
{
	char what[120];
	int found = sound_contradiction(reading->state, what, sizeof(what), err);

	return found > 0 ? error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s contradicts itself: it has %s", reading->import->name, what) : found;
}

/* What no single line tells. */
static int finish(struct reading *reading, struct error *err)
{
	struct state *state = reading->state;
	int64_t installations;

	if (sql_number(state, err, &installations, "SELECT count(*) FROM meta WHERE key = ?1 AND length(value) = 32", SQL_TEXT("installation")) < 0 ||
		sql_run(state, err, "DELETE FROM sqlite_sequence WHERE name = ?1", SQL_TEXT("message")) < 0 ||
		sql_run(state, err, "INSERT INTO sqlite_sequence (name, seq) SELECT 'message', ?1 WHERE ?1 <> 0", SQL_NUMBER(reading->last_message)) <
			0)
		return -1;
	if (installations != 1)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s has no record meta key=\"installation\" with a value of 32 digits",
			reading->import->name);
	if (schema_take_steps(state, reading->version, SCHEMA_VERSION, err) < 0)
		return -1;
	return refuse_contradiction(reading, err);
}

static int fill(struct reading *reading, struct error *err)
{
	if (schema_take_steps(reading->state, 0, reading->version, err) < 0 ||
		sql_script(reading->state, "PRAGMA defer_foreign_keys = ON", err) < 0 || read_rows(reading, err) < 0)
		return -1;
	return finish(reading, err);
}

int import_fill(struct state *state, void *context, struct error *err)
{
	struct reading reading = {.state = state, .import = context};
	int result = read_header(&reading, err);

	if (result == 0 && (sql_script(state, "PRAGMA auto_vacuum = INCREMENTAL", err) < 0 || savepoint_begin(state, err) < 0))
		result = -1;
	else if (result == 0)
		result = savepoint_end(state, fill(&reading, err), err);
	sqlite3_finalize(reading.insert);
	str_done(&reading.insert_text);
	str_done(&reading.line);
	return result;
}
