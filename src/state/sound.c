#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "state/store.h"

/* What no order of steps can lead to; each finds one message, folder or mailbox, by its number. Numbers of enumerators as in stage.h, config.h. */
static const struct {
	const char *what, *query;
} contradictions[] = {
	{"a mailbox with an unknown protocol", "SELECT id FROM mailbox WHERE protocol NOT IN (1, 2)"},
	{"a mailbox with an unknown back-off", "SELECT id FROM mailbox WHERE clock NOT BETWEEN 0 AND 3"},
	{"a destination with an unknown back-off", "SELECT 0 FROM destination WHERE clock NOT BETWEEN 0 AND 3"},
	{"a server that answers in an unknown way", "SELECT 0 FROM host WHERE boundary NOT BETWEEN 0 AND 2"},
	{"a message with an unknown stage or disposal", "SELECT id FROM message WHERE stage NOT BETWEEN 1 AND 6 OR disposal NOT BETWEEN 0 AND 3"},
	{"a delivery with an unknown status", "SELECT message FROM delivery WHERE status NOT BETWEEN 1 AND 7"},
	{"a message that is delivered, with a delivery that is not",
		"SELECT m.id FROM message m JOIN delivery d ON d.message = m.id WHERE m.stage IN (4, 5) AND d." DELIVERY_IS_UNSETTLED},
	{"a message that waits for no delivery", "SELECT id FROM message m WHERE m." MESSAGE_IS_UNDELIVERED
						 " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d." DELIVERY_IS_UNSETTLED ")"},
	{"a message with more destinations than there can be", "SELECT message FROM delivery GROUP BY message HAVING count(*) > 64"},
	{"a message that has left and has not", "SELECT id FROM message WHERE (stage < 5 AND gone_at <> 0) OR (stage = 6 AND gone_at = 0)"},
	{"a message of a numbering that is yet to come", "SELECT m.id FROM message m JOIN folder f ON f.id = m.folder WHERE m.epoch > f.epoch"},
	{"a folder with another number of messages than it has",
		"SELECT f.id FROM folder f WHERE f.present <>"
		" (SELECT count(*) FROM message m WHERE m.folder = f.id AND m.epoch = f.epoch AND m.gone_at = 0)"},
	{"a number of a message that may be given again",
		"SELECT max(id) FROM message HAVING max(id) > (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message')"},
};
_Static_assert(TARGETS_MAX == 64 && STAGE_GONE == 6 && DELIVERY_DISCARDED == 7 && DISPOSE_MOVE == 3, "as in the queries above");

/* 1: *ret_what says what is wrong. id 0: it has no number. */
static int found_wrong(char *ret_what, size_t size, const char *what, int64_t id)
{
	if (id != 0)
		snprintf(ret_what, size, "%s (number %lld)", what, (long long)id);
	else
		snprintf(ret_what, size, "%s", what);
	return 1;
}

/* Bits that turn over inside a row are nothing that SQLite could notice, but a key and its hash give each other away. */
static int find_wrong_key(struct state *state, char *ret_what, size_t size, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "SELECT id, key, key_hash FROM message", NULL, 0);
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		uint8_t digest[SHA256_BYTES], stored[KEY_HASH_BYTES];

		sha256_of(sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1), digest);
		sql_column_bytes(row, 2, stored, sizeof(stored));
		if (memcmp(stored, digest, sizeof(stored)) != 0)
			return found_wrong(ret_what, size, "a message whose key was changed", sqlite3_column_int64(row, 0));
	}
	return found;
}

static int find_orphan(struct state *state, char *ret_what, size_t size, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "PRAGMA foreign_key_check", NULL, 0);
	int found = sql_step(state, row, err);

	if (found > 0)
		snprintf(ret_what, size, "a %s that belongs to no %s", sql_column_text(row, 0), sql_column_text(row, 2));
	return found;
}

static int find_wrong_clock(struct state *state, char *ret_what, size_t size, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("clock"));
	int found = sql_step(state, row, err);
	struct state_clock clock;

	if (found <= 0 || clock_parse(sql_column_text(row, 0), &clock))
		return found < 0 ? -1 : 0;
	snprintf(ret_what, size, "a clock that cannot be read");
	return 1;
}

int sound_contradiction(struct state *state, char *ret_what, size_t size, struct error *err)
{
	int found = find_orphan(state, ret_what, size, err);

	if (found == 0)
		found = find_wrong_clock(state, ret_what, size, err);
	if (found == 0)
		found = find_wrong_key(state, ret_what, size, err);
	for (unsigned i = 0; i < ARRAY_SIZE(contradictions) && found == 0; i++) {
		sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, contradictions[i].query, NULL, 0);

		found = sql_step(state, row, err);
		if (found > 0)
			found_wrong(ret_what, size, contradictions[i].what, sqlite3_column_int64(row, 0));
	}
	return found;
}

int state_check_file(struct state *state, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "PRAGMA quick_check(1)", NULL, 0);

	if (sql_step(state, row, err) < 0)
		return -1;
	if (strcmp(sql_column_text(row, 0), "ok") == 0)
		return 0;
	return sql_damaged(state, sql_column_text(row, 0), err);
}

int state_check(struct state *state, struct error *err)
{
	char what[120];
	int found;

	if (state_check_file(state, err) < 0)
		return -1;
	found = sound_contradiction(state, what, sizeof(what), err);
	if (found <= 0)
		return found;
	return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
		"%s/state.db contradicts itself: it has %s; restore it from a backup, or correct what \"mailhaul state export\" writes and import "
		"that",
		state->dir, what);
}
