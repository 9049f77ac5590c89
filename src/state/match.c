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
 * connection, and is built from the messages that left the folder and would be recognised. Bytes, trace, and size with date of what was never fetched:
 * of the baseline, or still to be delivered; last those that were set aside. */
#define BASELINE_PRINT "'baseline ' || m.size || ' ' || m.date"
#define WAITING_PRINT "'waiting ' || m.size || ' ' || m.date"
#define FETCHED_PRINT "'fetched ' || m.size || ' ' || m.date"

static int make_index(struct state *state, struct error *err)
{
	if (state->prints_made)
		return 0;
	if (sql_script(state,
		    "DROP TABLE IF EXISTS temp.print; DROP TABLE IF EXISTS temp.printed;"
		    "CREATE TABLE temp.print (folder INTEGER NOT NULL, value BLOB NOT NULL, message INTEGER NOT NULL,"
		    " PRIMARY KEY (folder, value, message)) WITHOUT ROWID;"
		    "CREATE INDEX temp.print_message ON print (message);"
		    "CREATE TABLE temp.printed (folder INTEGER PRIMARY KEY)",
		    err) < 0)
		return -1;
	state->prints_made = true;
	return 0;
}

static int index_prints(struct state *state, int64_t folder_id, struct error *err)
{
#define OF_OLDER_EPOCH                                                                                 \
	" FROM message m JOIN folder f ON f.id = m.folder WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT \
	" AND m.epoch >= 0 AND m.epoch < f.epoch AND m.successor = 0"
	static const char *const inserts[] = {
		"INSERT INTO temp.print SELECT ?1, substr(m.hash, 1, 16), m.id" OF_OLDER_EPOCH " AND m.hash IS NOT NULL",
		"INSERT INTO temp.print SELECT ?1, substr(m.trace, 1, 16), m.id" OF_OLDER_EPOCH " AND m.has_trace",
		"INSERT INTO temp.print SELECT ?1, " FETCHED_PRINT ", m.id" OF_OLDER_EPOCH " AND m.hash IS NOT NULL AND m.date <> 0",
		"INSERT INTO temp.print SELECT ?1, " BASELINE_PRINT ", m.id" OF_OLDER_EPOCH
		" AND m.date <> 0 AND m.delivered_at = 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id)",
		"INSERT INTO temp.print SELECT ?1, " WAITING_PRINT ", m.id" OF_OLDER_EPOCH " AND m.date <> 0 AND " WAS_NEVER_FETCHED,
		"INSERT INTO temp.print SELECT ?1, " RANKED_PRINT ", m.id FROM message m WHERE m.folder = ?1 AND m." MESSAGE_HAS_LEFT
		" AND m.epoch < 0 AND m.successor = 0"
		" AND (m.hash IS NOT NULL OR instr(m.key, x'00') <> 0 OR NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id))",
		"INSERT INTO temp.printed VALUES (?1)",
	};
	int64_t done;

	if (make_index(state, err) < 0 ||
		sql_number(state, err, &done, "SELECT EXISTS (SELECT 1 FROM temp.printed WHERE folder = ?1)", SQL_NUMBER(folder_id)) < 0)
		return -1;
	for (unsigned i = 0; done == 0 && i < ARRAY_SIZE(inserts); i++)
		if (sql_run_values(state, err, inserts[i], &SQL_NUMBER(folder_id), 1) < 0)
			return -1;
	return 0;
}

int prints_forget(struct state *state, int64_t folder_id, struct error *err)
{
	if (!state->prints_made)
		return 0;
	if (sql_run(state, err, "DELETE FROM temp.print WHERE folder = ?1", SQL_NUMBER(folder_id)) < 0)
		return -1;
	return sql_run(state, err, "DELETE FROM temp.printed WHERE folder = ?1", SQL_NUMBER(folder_id));
}

/* What is known of a message that is listed now. */
struct prints_of {
	const uint8_t *hash, *trace; /* NULL: it was not fetched whole; it has no trace that is its own */
};

/* A message that left, and what is known of it. */
struct found {
	int64_t id;
	enum { FETCHED, BASELINE, WAITING, UNFETCHED } kind;
};

static int find_set_aside(
	struct state *state, const struct message_row *message, const uint8_t hash[SHA256_BYTES], struct found *ret_found, struct error *err)
{
	int found = 0;

	for (unsigned rank = 1; rank <= RANKS && found == 0; rank++) {
		sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
			"SELECT o.id, o.hash IS NOT NULL, EXISTS (SELECT 1 FROM delivery d WHERE d.message = o.id) FROM message m"
			" JOIN temp.print p ON p.folder = m.folder AND p.value = ?2 || ' ' || CASE ?2 WHEN 3 THEN m.size ELSE hex(?3) END || ' ' || "
			"hex(" UIDL ")"
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

/* By hash or by trace. */
static int find_print(struct state *state, const struct message_row *message, const char *text, const uint8_t print[SHA256_BYTES],
	struct found *ret_found, struct error *err)
{
	const struct sql_value values[] = {SQL_NUMBER(message->folder), SQL_BLOB(print, PRINT_BYTES), SQL_BLOB(print, SHA256_BYTES)};
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, text, values, ARRAY_SIZE(values));
	int found = sql_step(state, row, err);

	if (found > 0)
		*ret_found = (struct found){.id = sqlite3_column_int64(row, 0), .kind = FETCHED};
	return found;
}

/* By size and date, of those that were never fetched. One that was fetched may have the same: then only its bytes can tell. */
static int find_unfetched(struct state *state, const struct message_row *message, bool bytes_known, struct found *ret_found, struct error *err)
{
	static const char *const texts[] = {
		[FETCHED] = "SELECT p.message FROM message m JOIN temp.print p ON p.folder = m.folder AND p.value = " FETCHED_PRINT
			    " WHERE m.id = ?1 ORDER BY p.message LIMIT 1",
		[BASELINE] = "SELECT p.message FROM message m JOIN temp.print p ON p.folder = m.folder AND p.value = " BASELINE_PRINT
			     " WHERE m.id = ?1 ORDER BY p.message LIMIT 1",
		[WAITING] = "SELECT p.message FROM message m JOIN temp.print p ON p.folder = m.folder AND p.value = " WAITING_PRINT
			    " WHERE m.id = ?1 ORDER BY p.message LIMIT 1",
	};
	int64_t id = 0;

	for (unsigned kind = bytes_known ? BASELINE : FETCHED; kind <= WAITING && id == 0; kind++) {
		if (sql_number_values(state, err, &id, texts[kind], &SQL_NUMBER(message->id), 1) < 0)
			return -1;
		if (id != 0 && kind == FETCHED)
			return 0;
		if (id != 0)
			*ret_found = (struct found){.id = id, .kind = kind};
	}
	return id != 0;
}

static int find_old(
	struct state *state, const struct message_row *message, const struct prints_of *prints, struct found *ret_found, struct error *err)
{
	int found = index_prints(state, message->folder, err);

	if (found == 0 && prints->hash != NULL)
		found = find_set_aside(state, message, prints->hash, ret_found, err);
	if (found == 0 && prints->hash != NULL)
		found = find_print(state, message,
			"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.folder = ?1 AND p.value = ?2 AND m.hash = ?3"
			" ORDER BY p.message LIMIT 1",
			prints->hash, ret_found, err);
	if (found == 0 && prints->trace != NULL)
		found = find_print(state, message,
			"SELECT m.id FROM temp.print p JOIN message m ON m.id = p.message WHERE p.folder = ?1 AND p.value = ?2 AND m.trace = ?3"
			" ORDER BY p.message LIMIT 1",
			prints->trace, ret_found, err);
	if (found == 0)
		found = find_unfetched(state, message, prints->hash != NULL, ret_found, err);
	return found;
}

/* Each old message stands for one new one: a mailbox may hold two that are equal. */
static int use_up(struct state *state, int64_t old_id, int64_t new_id, struct error *err)
{
	if (sql_run(state, err, "DELETE FROM temp.print WHERE message = ?1", SQL_NUMBER(old_id)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE message SET successor = ?2 WHERE id = ?1", SQL_NUMBER(old_id), SQL_NUMBER(new_id));
}

static int credit(struct state *state, const struct message_row *message, const struct found *old, struct error *err)
{
	if (use_up(state, old->id, message->id, err) < 0)
		return -1;
	if (old->kind != UNFETCHED && message_inherit(state, old->id, message->id, err) < 0)
		return -1;
	if (old->kind != BASELINE)
		return 0;
	return sql_run(state, err, "UPDATE message SET stage = ?2 WHERE id = ?1", SQL_NUMBER(message->id), SQL_NUMBER(STAGE_BASELINE));
}

int state_match(struct state *state, int64_t folder_id, int64_t mailbox_id, uint64_t message_id, const uint8_t hash[32], const uint8_t trace[32],
	bool has_trace, uint64_t *ret_old_id, struct error *err)
{
	const struct prints_of prints = {.hash = hash, .trace = has_trace ? trace : NULL};
	struct message_row message;
	struct found old = {0};
	int found;

	if (message_load(state, message_id, &message, err) < 0)
		return -1;
	if (message.mailbox != mailbox_id || message.folder != folder_id || (message.stage != STAGE_OPEN && message.stage != STAGE_INTENT))
		return store_lie(err, "a message to be recognised that is settled, or of another folder");
	*ret_old_id = 0;
	if (message.stage == STAGE_INTENT) /* it was about to be delivered before, so it was found to be new then */
		return 0;
	if (savepoint_begin(state, err) < 0)
		return -1;
	found = find_old(state, &message, &prints, &old, err);
	if (found > 0)
		found = credit(state, &message, &old, err);
	if (savepoint_end(state, found, err) < 0)
		return -1;
	/* Nothing was done about one that was never fetched: it is as good as new. */
	*ret_old_id = old.kind != UNFETCHED && old.kind != WAITING ? (uint64_t)old.id : 0;
	return 0;
}

int message_recognize(struct state *state, const struct message_row *message, const struct record *record, struct error *err)
{
	bool by_header = (record->flags & REC_HEADER) != 0;
	const struct prints_of prints = {.hash = by_header ? NULL : record->hash, .trace = record->has_trace != 0 ? record->trace : NULL};
	enum recognition next = by_header ? RECOGNITION_BY_BYTES : RECOGNITION_NEW;
	struct found old = {0};
	int found;

	if (message->stage != STAGE_OPEN || message->recognition != (by_header ? RECOGNITION_BY_HEADER : RECOGNITION_BY_BYTES))
		return store_lie(err, "a message to be recognised that is not in question");
	found = find_old(state, message, &prints, &old, err);
	if (found > 0) {
		next = RECOGNITION_NONE;
		found = credit(state, message, &old, err);
	}
	if (found < 0)
		return -1;
	return sql_run(state, err, "UPDATE message SET recognition = ?2 WHERE id = ?1", SQL_NUMBER(message->id), SQL_NUMBER(next));
}

/* -- What is owed to a message on POP3 -- */

static int is_same(struct state *state, const struct message_row *message, const uint8_t hash[32], const uint8_t trace[32], bool has_trace,
	bool *ret_same, struct error *err)
{
	int64_t same;

	if (sql_number(state, err, &same, "SELECT coalesce(hash = ?2 OR (?4 AND has_trace AND trace = ?3), 0) FROM message WHERE id = ?1",
		    SQL_NUMBER(message->id), SQL_BLOB(hash, SHA256_BYTES), SQL_BLOB(trace, SHA256_BYTES), SQL_NUMBER(has_trace)) < 0)
		return -1;
	*ret_same = same != 0;
	return 0;
}

int state_verify(struct state *state, int64_t folder_id, uint64_t message_id, const uint8_t hash[32], const uint8_t trace[32], bool has_trace,
	int64_t now, bool *ret_same, struct error *err)
{
	struct message_row message;

	if (message_load(state, message_id, &message, err) < 0)
		return -1;
	if (message.folder != folder_id || message.stage != STAGE_DELIVERED)
		return store_lie(err, "a message to be verified that was not delivered, or is of another folder");
	if (is_same(state, &message, hash, trace, has_trace, ret_same, err) < 0)
		return -1;
	if (*ret_same)
		return 0;
	if (sql_run(state, err, "UPDATE message SET stage = ?2, gone_at = ?3, epoch = " EPOCH_ASIDE " WHERE id = ?1", SQL_NUMBER(message.id),
		    SQL_NUMBER(STAGE_GONE), SQL_NUMBER(state_least_s(state, now))) < 0 ||
		sql_run(state, err, "UPDATE folder SET present = present - 1 WHERE id = ?1", SQL_NUMBER(folder_id)) < 0)
		return -1;
	return prints_forget(state, folder_id, err);
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
