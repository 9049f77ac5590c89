#include "state/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "state/store.h"

/* -- tables -- */

static int type_of(const char *declared)
{
	return strcmp(declared, "INTEGER") == 0 ? DUMP_NUMBER
	       : strcmp(declared, "TEXT") == 0  ? DUMP_TEXT
	       : strcmp(declared, "BLOB") == 0  ? DUMP_BYTES
						: DUMP_ANY;
}

int dump_describe(struct state *state, const char *name, struct dump_table *ret_table, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED =
		sql_query(state, err, "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)", SQL_TEXT(name));
	int found;

	*ret_table = (struct dump_table){0};
	snprintf(ret_table->name, sizeof(ret_table->name), "%s", name);
	if (strncmp(name, "sqlite", 6) == 0)
		return 0; /* its own */
	while ((found = sql_step(state, row, err)) > 0) {
		struct dump_column *column = &ret_table->columns[ret_table->column_count];

		if (ret_table->column_count++ == DUMP_COLUMNS_MAX)
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "%s/state.db holds no state of mailhaul", state->dir);
		snprintf(column->name, sizeof(column->name), "%s", sql_column_text(row, 0));
		snprintf(column->initial, sizeof(column->initial), "%s", sql_column_text(row, 3));
		column->type = type_of(sql_column_text(row, 1));
		column->derived = strcmp(column->name, "key_hash") == 0;
		column->required = sqlite3_column_int(row, 4) != 0 || (sqlite3_column_int(row, 2) != 0 && column->initial[0] == '\0');
	}
	return found < 0 ? -1 : ret_table->column_count != 0;
}

/* -- values out -- */

static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

static void add_bytes(struct str *out, const unsigned char *bytes, size_t len)
{
	size_t escaped = 0;

	for (size_t i = 0; i < len; i++)
		escaped += is_plain(bytes[i]) ? 1 : 4;
	if (escaped <= 2 * len) {
		str_add_text(out, "b\"");
		str_add_escaped(out, bytes, len, 4 * len);
	} else {
		str_add_text(out, "x\"");
		hex_encode(str_reserve(out, 2 * len), bytes, len);
		out->len += 2 * len;
	}
	str_add_byte(out, '"');
}

void dump_add_value(struct str *out, sqlite3_stmt *row, int column)
{
	size_t len;

	switch (sqlite3_column_type(row, column)) {
	case SQLITE_INTEGER:
		str_addf(out, "%" PRId64, (int64_t)sqlite3_column_int64(row, column));
		break;
	case SQLITE_BLOB:
		add_bytes(out, sqlite3_column_blob(row, column), (size_t)sqlite3_column_bytes(row, column));
		break;
	default:
		str_add_byte(out, '"');
		len = strlen(sql_column_text(row, column));
		str_add_escaped(out, sql_column_text(row, column), len, 4 * len);
		str_add_byte(out, '"');
		break;
	}
}

/* -- values in -- */

static int hex_digit(char digit)
{
	return digit >= '0' && digit <= '9'   ? digit - '0'
	       : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
	       : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
					      : -1;
}

static int hex_byte(const char *digits)
{
	int high = hex_digit(digits[0]), low = high >= 0 ? hex_digit(digits[1]) : -1;

	return low >= 0 ? high * 16 + low : -1;
}

/* From behind the opening quote to behind the closing one; the bytes end up where they began. */
static const char *read_escaped(char **at, struct sql_value *value)
{
	char *from = *at, *to = *at;

	value->bytes = to;
	for (; *from != '"'; to++) {
		int byte = (unsigned char)*from;

		if (byte == '\0')
			return "a value without a closing quote";
		if (byte != '\\' && !is_plain((unsigned char)byte))
			return "a byte that has to be written as \\xHH";
		if (byte == '\\' && (from[1] != 'x' || (byte = hex_byte(from + 2)) < 0))
			return "a backslash that is not followed by xHH";
		from += *from == '\\' ? 4 : 1;
		*to = (char)byte;
	}
	value->len = (size_t)(to - (char *)(uintptr_t)value->bytes);
	*to = '\0';
	*at = from + 1;
	return NULL;
}

static const char *read_hex(char **at, struct sql_value *value)
{
	char *from = *at, *to = *at;

	value->bytes = to;
	for (; *from != '"'; from += 2, to++) {
		int byte = hex_byte(from);

		if (byte < 0)
			return "a value that is not hexadecimal, or has no closing quote";
		*to = (char)byte;
	}
	value->len = (size_t)(to - (char *)(uintptr_t)value->bytes);
	*at = from + 1;
	return NULL;
}

static const char *read_number(char **at, struct sql_value *value)
{
	size_t len = strspn(*at + (**at == '-'), "0123456789") + (**at == '-');

	if (len == 0 || (len == 1 && **at == '-'))
		return "a value that is neither a number nor in quotes";
	errno = 0;
	*value = SQL_NUMBER(strtoll(*at, at, 10));
	return errno == 0 ? NULL : "a number that is too large";
}

static const char *read_value(char **at, struct sql_value *value)
{
	const char *wrong;

	if (**at == '"') {
		*value = SQL_TEXT(NULL);
		(*at)++;
		wrong = read_escaped(at, value);
		return wrong == NULL && memchr(value->bytes, '\0', value->len) != NULL ? "a NUL in a text" : wrong;
	}
	if ((**at != 'b' && **at != 'x') || (*at)[1] != '"')
		return read_number(at, value);
	*value = SQL_BLOB(NULL, 0);
	*at += 2;
	return (*at)[-2] == 'b' ? read_escaped(at, value) : read_hex(at, value);
}

int dump_next_field(char **at, struct dump_field *ret_field, const char **ret_wrong)
{
	if (**at == '\0')
		return 0;
	*ret_wrong = "a field that is not name=value";
	if (**at != ' ')
		return -1;
	(*at)++;
	ret_field->name = *at;
	ret_field->name_len = strspn(*at, "abcdefghijklmnopqrstuvwxyz_");
	*at += ret_field->name_len;
	if (ret_field->name_len == 0 || **at != '=')
		return -1;
	(*at)++;
	*ret_wrong = read_value(at, &ret_field->value);
	return *ret_wrong == NULL ? 1 : -1;
}
