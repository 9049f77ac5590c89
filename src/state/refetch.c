/* Hauled again by hand, and forgotten by hand. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "state/store.h"

/* -- Choosing -- */

#define IS_IN_DOUBT "EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status = 2)"
#define IS_HELD "EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d." DELIVERY_IS_HELD ")"
#define IS_WAITING "(m." MESSAGE_IS_UNDELIVERED " AND (" IS_IN_DOUBT " OR NOT " IS_HELD "))"
#define IS_LISTED "(m.gone_at = 0 AND m.epoch = f.epoch)"
_Static_assert(DELIVERY_INTENT == 2, "as in the condition above");

int state_refetch_begin(struct state *state, struct error *err)
{
	return sql_script(state, "DROP TABLE IF EXISTS temp.chosen; CREATE TABLE temp.chosen (id INTEGER PRIMARY KEY)", err);
}

static int choose(struct state *state, sqlite3_stmt *row, enum refetch *ret_what, struct error *err)
{
	int found = sql_step(state, row, err);

	if (found < 0)
		return -1;
	*ret_what = REFETCH_UNKNOWN;
	if (found == 0)
		return 0;
	*ret_what = sqlite3_column_int(row, 1) == 0 ? REFETCH_GONE : sqlite3_column_int(row, 2) != 0 ? REFETCH_WAITS : REFETCH_CHOSEN;
	if (*ret_what != REFETCH_CHOSEN)
		return 0;
	return sql_run(state, err, "INSERT OR IGNORE INTO temp.chosen (id) VALUES (?1)", SQL_NUMBER(sqlite3_column_int64(row, 0)));
}

int state_refetch_key(struct state *state, int64_t mailbox_id, const char *folder, const char *key, enum refetch *ret_what, struct error *err)
{
	uint8_t hash[SHA256_BYTES];

	sha256_of(key, strlen(key), hash);
	/* One that is there before those of its key that left. */
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id, " IS_LISTED ", " IS_WAITING " FROM folder f JOIN message m ON m.folder = f.id"
		" WHERE f.mailbox = ?1 AND f.name = ?2 AND m.epoch = f.epoch AND m.key_hash = ?3 ORDER BY m.gone_at <> 0, m.id DESC LIMIT 1",
		SQL_NUMBER(mailbox_id), SQL_TEXT(folder), SQL_BLOB(hash, KEY_HASH_BYTES));

	return choose(state, row, ret_what, err);
}

int state_refetch_id(struct state *state, int64_t mailbox_id, uint64_t message_id, enum refetch *ret_what, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id, " IS_LISTED ", " IS_WAITING " FROM message m JOIN folder f ON f.id = m.folder WHERE m.id = ?2 AND f.mailbox = ?1",
		SQL_NUMBER(mailbox_id), SQL_NUMBER(message_id));

	return choose(state, row, ret_what, err);
}

/* POP3 tells no dates: there it is when the message was hauled, or held. */
#define SINCE                                                                                    \
	"CASE b.protocol WHEN 2 THEN m.date <> 0 AND m.date >= ?2 ELSE m.delivered_at >= ?2 OR " \
	"EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d." DELIVERY_IS_HELD " AND d.held_at >= ?2) END"
_Static_assert(PROTOCOL_IMAP == 2, "as in the condition above");

int state_refetch_since(struct state *state, int64_t mailbox_id, int64_t since_s, struct refetch_counts *ret_counts, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT count(*) FILTER (WHERE NOT " IS_LISTED "), count(*) FILTER (WHERE " IS_LISTED " AND " IS_WAITING ")"
		" FROM mailbox b JOIN folder f ON f.mailbox = b.id JOIN message m ON m.folder = f.id WHERE b.id = ?1 AND " SINCE,
		SQL_NUMBER(mailbox_id), SQL_NUMBER(since_s));

	if (sql_step(state, row, err) < 0)
		return -1;
	ret_counts->gone = (uint64_t)sqlite3_column_int64(row, 0);
	ret_counts->waiting = (uint64_t)sqlite3_column_int64(row, 1);
	return sql_run(state, err,
		"INSERT OR IGNORE INTO temp.chosen SELECT m.id FROM mailbox b JOIN folder f ON f.mailbox = b.id JOIN message m ON m.folder = f.id"
		" WHERE b.id = ?1 AND " SINCE " AND " IS_LISTED " AND NOT " IS_WAITING,
		SQL_NUMBER(mailbox_id), SQL_NUMBER(since_s));
}

/* -- Again -- */

static int plan_again(
	struct state *state, const struct state_target *targets, unsigned target_count, const struct after_delivery *disposal, struct error *err)
{
	if (sql_run_values(state, err, "DELETE FROM delivery WHERE message IN (SELECT id FROM temp.chosen)", NULL, 0) < 0)
		return -1;
	for (unsigned i = 0; i < target_count; i++) {
		int64_t target;

		if (target_find(state, &targets[i], true, &target, err) < 0 ||
			sql_run(state, err, "INSERT INTO delivery (message, target, status) SELECT id, ?1, ?2 FROM temp.chosen", SQL_NUMBER(target),
				SQL_NUMBER(DELIVERY_OPEN)) < 0)
			return -1;
	}
	/* The row stays, and with it the number that X-Mailhaul-Id is made from. */
	return sql_run(state, err,
		"UPDATE message SET stage = ?1, disposal = ?2, disposal_folder = ?3, retention = ?4, delivered_at = 0, delivered_clock = 0, "
		"attempts = 0, first_failed_at = 0, next_try = 0, fetch_error = NULL WHERE id IN (SELECT id FROM temp.chosen)",
		SQL_NUMBER(STAGE_OPEN), SQL_NUMBER(disposal->what), SQL_TEXT(disposal->folder), SQL_NUMBER(disposal->retention_s));
}

int state_refetch(struct state *state, const struct state_target *targets, unsigned target_count, const struct after_delivery *disposal,
	uint64_t *ret_count, struct error *err)
{
	int64_t count;

	assert(target_count != 0 && target_count <= TARGETS_MAX);
	if (savepoint_begin(state, err) < 0 || savepoint_end(state, plan_again(state, targets, target_count, disposal, err), err) < 0 ||
		sql_number_values(state, err, &count, "SELECT count(*) FROM temp.chosen", NULL, 0) < 0)
		return -1;
	*ret_count = (uint64_t)count;
	return 0;
}

/* -- Forgetting -- */

int state_mailbox_find(struct state *state, const char *name, int64_t *ret_id, struct error *err)
{
	return sql_number(state, err, ret_id, "SELECT id FROM mailbox WHERE name = ?1", SQL_TEXT(name));
}

static int forget(struct state *state, int64_t mailbox_id, struct error *err)
{
	/* From the leaves, since each reference is checked as its row goes; deliveries go with their message. */
	if (sql_run(state, err, "DELETE FROM message WHERE folder IN (SELECT id FROM folder WHERE mailbox = ?1)", SQL_NUMBER(mailbox_id)) < 0 ||
		sql_run(state, err, "DELETE FROM folder WHERE mailbox = ?1", SQL_NUMBER(mailbox_id)) < 0)
		return -1;
	state->prints_made = false;
	return sql_run(state, err, "DELETE FROM mailbox WHERE id = ?1", SQL_NUMBER(mailbox_id));
}

int state_forget(struct state *state, int64_t mailbox_id, uint64_t *ret_messages, struct error *err)
{
	int64_t count;

	if (sql_number(state, err, &count, "SELECT count(*) FROM folder f JOIN message m ON m.folder = f.id WHERE f.mailbox = ?1",
		    SQL_NUMBER(mailbox_id)) < 0)
		return -1;
	if (savepoint_begin(state, err) < 0 || savepoint_end(state, forget(state, mailbox_id, err), err) < 0)
		return -1;
	*ret_messages = (uint64_t)count;
	return 0;
}
