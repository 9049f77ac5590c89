#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "state/store.h"

/* Half a print finds the row, the whole one decides. */
#define PRINT_BYTES 16

/* Prints are looked for only after a renumbering, so there is no index on them: this one lives as long as the connection, and is built from the
 * messages that left the folder and would be recognised. Bytes, trace, and for the baseline, which was never fetched, size and date. */
static int index_prints(struct state *state, int64_t folder_id, struct error *err)
{
	static const char *const inserts[] = {
		"INSERT INTO temp.print SELECT substr(m.hash, 1, 16), m.id FROM message m WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT
		" AND m.successor = 0 AND m.hash IS NOT NULL"
		" AND (m.delivered_at <> 0 OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status IN (2, 3)))",
		"INSERT INTO temp.print SELECT substr(m.trace, 1, 16), m.id FROM message m WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT
		" AND m.successor = 0 AND m.has_trace"
		" AND (m.delivered_at <> 0 OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status IN (2, 3)))",
		"INSERT INTO temp.print SELECT m.size || ' ' || m.date, m.id FROM message m WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT
		" AND m.successor = 0 AND m.date <> 0 AND m.delivered_at = 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id)",
	};
	_Static_assert(DELIVERY_INTENT == 2 && DELIVERY_ACCEPTED == 3, "in the statements above: in doubt, or accepted by some");

	if (state->prints_folder == folder_id)
		return 0;
	if (sql_script(state,
		    "DROP TABLE IF EXISTS temp.print;"
		    "CREATE TABLE temp.print (value BLOB NOT NULL, message INTEGER NOT NULL, PRIMARY KEY (value, message)) WITHOUT ROWID",
		    err) < 0)
		return -1;
	for (unsigned i = 0; i < ARRAY_SIZE(inserts); i++)
		if (sql_run_values(state, err, inserts[i], &SQL_NUMBER(folder_id), 1) < 0)
			return -1;
	state->prints_folder = folder_id;
	return 0;
}

/* One message of an older epoch, and what it was recognised by. */
struct found {
	int64_t id;
	bool is_baseline;
};

static int find(struct state *state, const char *text, const struct sql_value *values, size_t count, bool is_baseline, struct found *ret_found,
	struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, text, values, count);
	int found = sql_step(state, row, err);

	if (found > 0)
		*ret_found = (struct found){sqlite3_column_int64(row, 0), is_baseline};
	return found;
}

static int find_old(struct state *state, const struct message_row *message, const uint8_t hash[SHA256_BYTES], const uint8_t trace[SHA256_BYTES],
	bool has_trace, struct found *ret_found, struct error *err)
{
	const struct sql_value by_hash[] = {SQL_BLOB(hash, PRINT_BYTES), SQL_BLOB(hash, SHA256_BYTES)};
	const struct sql_value by_trace[] = {SQL_BLOB(trace, PRINT_BYTES), SQL_BLOB(trace, SHA256_BYTES)};
	int found = find(state,
		"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.value = ?1 AND m.hash = ?2 ORDER BY p.message LIMIT 1",
		by_hash, 2, false, ret_found, err);

	if (found == 0 && has_trace)
		found = find(state,
			"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.value = ?1 AND m.trace = ?2"
			" ORDER BY p.message LIMIT 1",
			by_trace, 2, false, ret_found, err);
	if (found == 0)
		found = find(state,
			"SELECT p.message FROM message n JOIN temp.print p ON p.value = n.size || ' ' || n.date WHERE n.id = ?1 ORDER BY p.message "
			"LIMIT 1",
			&SQL_NUMBER(message->id), 1, true, ret_found, err);
	return found;
}

/* Each old message stands for one new one: a mailbox may hold two that are equal. */
static int use_up(struct state *state, int64_t old_id, int64_t new_id, struct error *err)
{
	if (sql_run(state, err,
		    "DELETE FROM temp.print WHERE message = ?1 AND value IN"
		    " (SELECT substr(hash, 1, 16) FROM message WHERE id = ?1 UNION ALL SELECT substr(trace, 1, 16) FROM message WHERE id = ?1"
		    "  UNION ALL SELECT size || ' ' || date FROM message WHERE id = ?1)",
		    SQL_NUMBER(old_id)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE message SET successor = ?2 WHERE id = ?1", SQL_NUMBER(old_id), SQL_NUMBER(new_id));
}

static int credit(struct state *state, const struct message_row *message, const struct found *old, struct error *err)
{
	if (use_up(state, old->id, message->id, err) < 0 || message_inherit(state, old->id, message->id, err) < 0)
		return -1;
	if (!old->is_baseline)
		return 0;
	return sql_run(state, err, "UPDATE message SET stage = ?2 WHERE id = ?1", SQL_NUMBER(message->id), SQL_NUMBER(STAGE_BASELINE));
}

int state_match(struct state *state, int64_t folder_id, int64_t mailbox_id, uint64_t message_id, const uint8_t hash[32], const uint8_t trace[32],
	bool has_trace, uint64_t *ret_old_id, struct error *err)
{
	struct message_row message;
	struct found old = {0};
	int found;

	if (message_load(state, message_id, &message, err) < 0)
		return -1;
	if (message.mailbox != mailbox_id || message.folder != folder_id || message.stage != STAGE_OPEN)
		return store_lie(err, "message %llu as one to be recognised", (unsigned long long)message_id);
	if (savepoint_begin(state, err) < 0)
		return -1;
	found = index_prints(state, folder_id, err);
	if (found == 0)
		found = find_old(state, &message, hash, trace, has_trace, &old, err);
	if (found > 0)
		found = credit(state, &message, &old, err);
	if (savepoint_end(state, found, err) < 0)
		return -1;
	*ret_old_id = (uint64_t)old.id;
	return 0;
}

int state_has_unmatched(struct state *state, int64_t folder_id, bool *ret_has, struct error *err)
{
	int64_t has;

	if (sql_number(state, err, &has,
		    "SELECT EXISTS (SELECT 1 FROM folder f JOIN message m ON m.folder = f.id"
		    " WHERE f.id = ?1 AND m." MESSAGE_HAS_LEFT " AND m.epoch < f.epoch AND m.successor = 0)",
		    SQL_NUMBER(folder_id)) < 0)
		return -1;
	*ret_has = has != 0;
	return 0;
}
