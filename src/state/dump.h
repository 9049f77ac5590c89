/* dump.h - the state as text: a line is the name of a table and the columns of a row, each as name=value. Columns that hold their default are left out.
 * Numbers are decimal; text is "...", bytes are b"..." or, where that is shorter, x"...": in the first two, what is not printable ASCII, a quote or a
 * backslash is \xHH; the last is hexadecimal. */
#ifndef MAILHAUL_STATE_DUMP_H
#define MAILHAUL_STATE_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "state/sql.h"

struct error;
struct str;

#define DUMP_FORMAT 1
#define DUMP_COLUMNS_MAX 40
#define DUMP_LINE_MAX 65536 /* a key and a reply of one KiB each are the longest that a row holds */

struct dump_column {
	char name[32];
	enum { DUMP_ANY, DUMP_NUMBER, DUMP_TEXT, DUMP_BYTES } type;
	char initial[32]; /* what it holds when it is left out: SQL; "" is NULL */
	bool required;    /* cannot be left out */
	bool derived;     /* made from another one: in no text */
};

struct dump_table {
	char name[32];
	struct dump_column columns[DUMP_COLUMNS_MAX];
	unsigned column_count;
};

/* What the database says about a table, so that a column which is added there is in the text too. 1; 0: there is none of that name. */
int dump_describe(struct state *state, const char *name, struct dump_table *ret_table, struct error *err);

/* A value of a row, as text. */
void dump_add_value(struct str *out, sqlite3_stmt *row, int column);

/* One name=value of a line. The value borrows from the line, which is decoded in place. 1, or 0 at the end of the line; -1: *ret_wrong says why. */
struct dump_field {
	const char *name;
	size_t name_len;
	struct sql_value value;
};
int dump_next_field(char **at, struct dump_field *ret_field, const char **ret_wrong);

#endif
