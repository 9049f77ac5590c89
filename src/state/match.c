#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "state/store.h"

/* Half a print finds the row, the whole one decides. */
#define PRINT_BYTES 16

/* What one is recognised by that was set aside, on POP3: its UIDL without the number of a copy, its bytes or, if it was never fetched, its size, and
 * before these its rank. Several may fit a message that is listed now:
 * 1 fetched and not delivered, so that its deliveries go on;
 * 2 delivered, and somebody else deleted one with this UIDL, perhaps another copy;
 * 3 never fetched: of the baseline, or a copy that was still to be delivered, and if the other one was deleted by us, this is what is left;
 * 4 delivered, and the server said that it had deleted it. */
#define RANKS 4
#define UIDL "CASE instr(m.key, x'00') WHEN 0 THEN m.key ELSE substr(m.key, 1, instr(m.key, x'00') - 1) END"
#define RANKED_PRINT                                                                                    \
	"CASE WHEN m.hash IS NULL THEN '3 ' || m.size WHEN m.delivered_at = 0 THEN '1 ' || hex(m.hash)" \
	" WHEN m.stage = 5 THEN '4 ' || hex(m.hash) ELSE '2 ' || hex(m.hash) END || ' ' || hex(" UIDL ")"
_Static_assert(STAGE_DISPOSED == 5, "as in the print above");

/* Prints are looked for only after a renumbering, or where a UIDL was used again, so there is no index on them: this one lives as long as the
 * connection, and is built from the messages that left the folder and would be recognised. Bytes, trace, and for the baseline, which was never
 * fetched, size and date; last those that were set aside. */
static int index_prints(struct state *state, int64_t folder_id, struct error *err)
{
#define OF_OLDER_EPOCH                                                                                 \
	" FROM message m JOIN folder f ON f.id = m.folder WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT \
	" AND m.epoch >= 0 AND m.epoch < f.epoch AND m.successor = 0"
	static const char *const inserts[] = {
		"INSERT INTO temp.print SELECT substr(m.hash, 1, 16), m.id" OF_OLDER_EPOCH " AND m.hash IS NOT NULL"
		" AND (m.delivered_at <> 0 OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status IN (2, 3)))",
		"INSERT INTO temp.print SELECT substr(m.trace, 1, 16), m.id" OF_OLDER_EPOCH " AND m.has_trace"
		" AND (m.delivered_at <> 0 OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status IN (2, 3)))",
		"INSERT INTO temp.print SELECT m.size || ' ' || m.date, m.id" OF_OLDER_EPOCH
		" AND m.date <> 0 AND m.delivered_at = 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id)",
		"INSERT INTO temp.print SELECT " RANKED_PRINT ", m.id FROM message m WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT
		" AND m.epoch < 0 AND m.successor = 0"
		" AND (m.hash IS NOT NULL OR instr(m.key, x'00') <> 0 OR NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id))",
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

/* A message that left, and what is known of it. */
struct found {
	int64_t id;
	enum { FETCHED, BASELINE, UNFETCHED } kind;
};

static int find(struct state *state, const char *text, const struct sql_value *values, size_t count, struct found *ret_found, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, text, values, count);
	int found = sql_step(state, row, err);

	if (found > 0)
		*ret_found = (struct found){.id = sqlite3_column_int64(row, 0)};
	return found;
}

static int find_set_aside(
	struct state *state, const struct message_row *message, const uint8_t hash[SHA256_BYTES], struct found *ret_found, struct error *err)
{
	int found = 0;

	for (unsigned rank = 1; rank <= RANKS && found == 0; rank++) {
		sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
			"SELECT o.id, o.hash IS NOT NULL, EXISTS (SELECT 1 FROM delivery d WHERE d.message = o.id) FROM message m"
			" JOIN temp.print p ON p.value = ?2 || ' ' || CASE ?2 WHEN 3 THEN m.size ELSE hex(?3) END || ' ' || hex(" UIDL ")"
			" JOIN message o ON o.id = p.message WHERE m.id = ?1 ORDER BY p.message LIMIT 1",
			SQL_NUMBER(message->id), SQL_NUMBER(rank), SQL_BLOB(hash, SHA256_BYTES));

		found = sql_step(state, row, err);
		if (found <= 0)
			continue;
		*ret_found = (struct found){.id = sqlite3_column_int64(row, 0)};
		if (sqlite3_column_int(row, 1) == 0)
			ret_found->kind = sqlite3_column_int(row, 2) != 0 ? UNFETCHED : BASELINE;
	}
	return found;
}

static int find_old(struct state *state, const struct message_row *message, const uint8_t hash[SHA256_BYTES], const uint8_t trace[SHA256_BYTES],
	bool has_trace, struct found *ret_found, struct error *err)
{
	const struct sql_value by_hash[] = {SQL_BLOB(hash, PRINT_BYTES), SQL_BLOB(hash, SHA256_BYTES)};
	const struct sql_value by_trace[] = {SQL_BLOB(trace, PRINT_BYTES), SQL_BLOB(trace, SHA256_BYTES)};
	int found = find(state,
		"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.value = ?1 AND m.hash = ?2 ORDER BY p.message LIMIT 1",
		by_hash, 2, ret_found, err);

	if (found == 0 && has_trace)
		found = find(state,
			"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.value = ?1 AND m.trace = ?2"
			" ORDER BY p.message LIMIT 1",
			by_trace, 2, ret_found, err);
	if (found == 0) {
		found = find(state,
			"SELECT p.message FROM message n JOIN temp.print p ON p.value = n.size || ' ' || n.date WHERE n.id = ?1 ORDER BY p.message "
			"LIMIT 1",
			&SQL_NUMBER(message->id), 1, ret_found, err);
		if (found > 0)
			ret_found->kind = BASELINE;
	}
	return found;
}

/* Each old message stands for one new one: a mailbox may hold two that are equal. */
static int use_up(struct state *state, int64_t old_id, int64_t new_id, struct error *err)
{
	if (sql_run(state, err,
		    "DELETE FROM temp.print WHERE message = ?1 AND value IN"
		    " (SELECT substr(hash, 1, 16) FROM message WHERE id = ?1 UNION ALL SELECT substr(trace, 1, 16) FROM message WHERE id = ?1"
		    "  UNION ALL SELECT size || ' ' || date FROM message WHERE id = ?1"
		    "  UNION ALL SELECT " RANKED_PRINT " FROM message m WHERE id = ?1)",
		    SQL_NUMBER(old_id)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE message SET successor = ?2 WHERE id = ?1", SQL_NUMBER(old_id), SQL_NUMBER(new_id));
}

static int credit(struct state *state, const struct message_row *message, struct found *old, struct error *err)
{
	if (use_up(state, old->id, message->id, err) < 0)
		return -1;
	if (old->kind == UNFETCHED) {
		*old = (struct found){0}; /* nothing was done about it: it is as good as new */
		return 0;
	}
	if (message_inherit(state, old->id, message->id, err) < 0)
		return -1;
	if (old->kind != BASELINE)
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
	if (message.mailbox != mailbox_id || message.folder != folder_id || (message.stage != STAGE_OPEN && message.stage != STAGE_INTENT))
		return store_lie(err, "message %llu as one to be recognised", (unsigned long long)message_id);
	if (message.stage == STAGE_INTENT) {
		*ret_old_id = 0; /* it was asked about before it was intended */
		return 0;
	}
	if (savepoint_begin(state, err) < 0)
		return -1;
	found = index_prints(state, folder_id, err);
	if (found == 0)
		found = find_set_aside(state, &message, hash, &old, err);
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
