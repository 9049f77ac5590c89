#include <stdio.h>

#include "state/store.h"

int state_destination_load(struct state *state, const char *name, struct destination_state *ret_destination, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT failures, clock, retry_at, last_error, last_error_kind, last_error_at, down_since, accepted_at, credential FROM destination"
		" WHERE name = ?1",
		SQL_TEXT(name));
	int found = sql_step(state, row, err);

	if (found < 0)
		return -1;
	*ret_destination = (struct destination_state){0};
	if (found == 0)
		return 0;
	*ret_destination = (struct destination_state){
		.failures = (unsigned)sqlite3_column_int64(row, 0),
		.clock = (unsigned)sqlite3_column_int64(row, 1),
		.retry_at = sqlite3_column_int64(row, 2),
		.last_error_kind = sqlite3_column_int(row, 4),
		.last_error_at = sqlite3_column_int64(row, 5),
		.down_since = sqlite3_column_int64(row, 6),
		.accepted_at = sqlite3_column_int64(row, 7),
		.credential = (uint64_t)sqlite3_column_int64(row, 8),
	};
	snprintf(ret_destination->last_error, sizeof(ret_destination->last_error), "%s", sql_column_text(row, 3));
	return 0;
}

int state_destination_store(struct state *state, const char *name, const struct destination_state *destination, struct error *err)
{
	return sql_run(state, err,
		"INSERT OR REPLACE INTO destination (name, failures, clock, retry_at, last_error, last_error_kind, last_error_at, down_since, "
		"accepted_at, credential)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		SQL_TEXT(name), SQL_NUMBER(destination->failures), SQL_NUMBER(destination->clock), SQL_NUMBER(destination->retry_at),
		SQL_TEXT(destination->last_error), SQL_NUMBER(destination->last_error_kind), SQL_NUMBER(destination->last_error_at),
		SQL_NUMBER(destination->down_since), SQL_NUMBER(destination->accepted_at), SQL_NUMBER(destination->credential));
}

/* Its deliveries in doubt bore the old name in their ids, so a Maildir cannot be asked for them any more: they count as older than it can tell. */
static int rename_targets(struct state *state, const char *was, const char *name, struct error *err)
{
	if (sql_run(state, err,
		    "UPDATE delivery SET intent_clock = 0 WHERE " DELIVERY_IS_IN_DOUBT
		    " AND target IN (SELECT id FROM target WHERE destination = ?1)",
		    SQL_TEXT(was)) < 0)
		return -1;
	/* Where the new name has its own already, what is left of the old one is that of a destination that was removed. */
	return sql_run(state, err,
		"UPDATE target SET destination = ?2 WHERE destination = ?1"
		" AND NOT EXISTS (SELECT 1 FROM target t WHERE t.destination = ?2 AND t.recipient = target.recipient)",
		SQL_TEXT(was), SQL_TEXT(name));
}

int state_destination_rename(struct state *state, const char *was, const char *name, struct error *err)
{
	int64_t known;

	if (sql_number(state, err, &known,
		    "SELECT EXISTS (SELECT 1 FROM target WHERE destination = ?1) OR EXISTS (SELECT 1 FROM destination WHERE name = ?1)",
		    SQL_TEXT(was)) < 0)
		return -1;
	if (known == 0)
		return 0;
	if (rename_targets(state, was, name, err) < 0)
		return -1;
	return sql_run(state, err, "UPDATE OR REPLACE destination SET name = ?2 WHERE name = ?1", SQL_TEXT(was), SQL_TEXT(name));
}
