#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "policy/policy.h"
#include "state/store.h"

static int count_undelivered(struct state *state, int64_t mailbox_id, struct mailbox_counts *counts, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT count(*) FILTER (WHERE NOT doubt AND NOT held), count(*) FILTER (WHERE doubt), count(*) FILTER (WHERE held),"
		" ifnull(min(next_try), -1) FROM"
		" (SELECT max(d.status = ?2) AS doubt, max(d.status = ?3) AS held,"
		"  min(CASE WHEN d." DELIVERY_IS_UNSETTLED
		" AND d.next_try >= 0 THEN max(d.next_try, m.next_try) END) AS next_try FROM folder f JOIN message m ON m.folder = f.id"
		"  JOIN delivery d ON d.message = m.id WHERE f.mailbox = ?1 AND m." MESSAGE_IS_UNDELIVERED " GROUP BY m.id)",
		SQL_NUMBER(mailbox_id), SQL_NUMBER(DELIVERY_INTENT), SQL_NUMBER(DELIVERY_HELD));

	if (sql_step(state, row, err) < 0)
		return -1;
	counts->open = (uint64_t)sqlite3_column_int64(row, 0);
	counts->in_doubt = (uint64_t)sqlite3_column_int64(row, 1);
	counts->held = (uint64_t)sqlite3_column_int64(row, 2);
	counts->next_try = sqlite3_column_int64(row, 3);
	return 0;
}

static int count_settled(struct state *state, int64_t mailbox_id, struct mailbox_counts *counts, struct error *err)
{
	/* The plus keeps SQLite off the index by key: in the order of the table this is several times faster. */
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT count(*) FILTER (WHERE stage IN (?2, ?3)), count(*) FILTER (WHERE stage = ?2 AND disposal <> 0 AND " MESSAGE_RETENTION_END
		" <= ?5), count(*) FILTER (WHERE stage = ?2 AND disposal <> 0 AND " MESSAGE_RETENTION_END " > ?5),"
		" count(*) FILTER (WHERE stage = ?4)"
		" FROM message WHERE +folder IN (SELECT id FROM folder WHERE mailbox = ?1)",
		SQL_NUMBER(mailbox_id), SQL_NUMBER(STAGE_DELIVERED), SQL_NUMBER(STAGE_DISPOSED), SQL_NUMBER(STAGE_BASELINE),
		SQL_NUMBER(state_least_s(state, clock_wall_s())));

	if (sql_step(state, row, err) < 0)
		return -1;
	counts->delivered = (uint64_t)sqlite3_column_int64(row, 0);
	counts->owed = (uint64_t)sqlite3_column_int64(row, 1);
	counts->retained = (uint64_t)sqlite3_column_int64(row, 2);
	counts->baseline = (uint64_t)sqlite3_column_int64(row, 3);
	return 0;
}

int state_undelivered(struct state *state, int64_t mailbox_id, struct mailbox_counts *ret_counts, struct error *err)
{
	struct mailbox_counts counts = {0};

	if (count_undelivered(state, mailbox_id, &counts, err) < 0)
		return -1;
	*ret_counts = counts;
	return 0;
}

int state_counts(struct state *state, int64_t mailbox_id, struct mailbox_counts *ret_counts, struct error *err)
{
	struct mailbox_counts counts = {0};

	if (count_undelivered(state, mailbox_id, &counts, err) < 0 || count_settled(state, mailbox_id, &counts, err) < 0)
		return -1;
	*ret_counts = counts;
	return 0;
}

/* -- What is held -- */

static void read_held(sqlite3_stmt *row, struct held_message *ret_held)
{
	bool unfetched = sqlite3_column_type(row, 13) != SQLITE_NULL;

	*ret_held = (struct held_message){
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.mailbox = sql_column_text(row, 1),
		.folder = sql_column_text(row, 2),
		.key = sqlite3_column_blob(row, 3),
		.key_len = (size_t)sqlite3_column_bytes(row, 3),
		.size = (uint64_t)sqlite3_column_int64(row, 4),
		.date = sqlite3_column_int64(row, 5),
		.held_at = sqlite3_column_int64(row, 6),
		.next_try = sqlite3_column_int64(row, 7),
		.attempts = (unsigned)sqlite3_column_int64(row, unfetched ? 12 : 8),
		/* By the hold clock its tries come first. */
		.in_doubt = !unfetched && sqlite3_column_int64(row, 14) + 1 >= DOUBT_ROUNDS_MAX && sqlite3_column_int64(row, 7) == NEXT_TRY_BY_HAND &&
			    sqlite3_column_int64(row, 15) == 0,
		.destination = unfetched ? NULL : sql_column_text(row, 9),
		.recipient = unfetched ? NULL : sql_column_text(row, 10),
		.reply = sql_column_text(row, unfetched ? 13 : 11),
	};
}

int state_held(struct state *state, int64_t mailbox_id, uint64_t message_id, void (*each)(void *, const struct held_message *), void *context,
	struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id, b.name, f.name, m.key, m.size, m.date, d.held_at, d.next_try, d.attempts, t.destination, t.recipient, d.reply, "
		"m.attempts, m.fetch_error, d.doubts, d.held_tries"
		" FROM folder f JOIN mailbox b ON b.id = f.mailbox JOIN message m ON m.folder = f.id JOIN delivery d ON d.message = m.id"
		" JOIN target t ON t.id = d.target WHERE (?1 = 0 OR f.mailbox = ?1) AND (?2 = 0 OR m.id = ?2)"
		" AND m." MESSAGE_IS_UNDELIVERED " AND d." DELIVERY_IS_HELD " ORDER BY m.id, d.target",
		SQL_NUMBER(mailbox_id), SQL_NUMBER(message_id));
	uint64_t last_unfetched = 0;
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		struct held_message held;

		read_held(row, &held);
		/* Held as a whole, not for each of its destinations. */
		if (held.destination == NULL && held.id == last_unfetched)
			continue;
		if (held.destination == NULL)
			last_unfetched = held.id;
		each(context, &held);
	}
	return found;
}

/* What an operator decides about every held delivery of one message. */
static int decide(struct state *state, int64_t message_id, enum delivery_stage next, unsigned *count, struct error *err)
{
	struct message_row message;

	if (message_load(state, (uint64_t)message_id, &message, err) < 0)
		return -1;
	for (unsigned i = 0; i < message.delivery_count; i++) {
		struct delivery_row *delivery = &message.deliveries[i];

		if (delivery->status != DELIVERY_HELD)
			continue;
		assert(delivery_may_follow(next, delivery->status));
		if (next == DELIVERY_OPEN)
			delivery_retry(delivery);
		delivery->status = next;
		if (message_store_delivery(state, &message, delivery, NULL, 0, err) < 0)
			return -1;
		(*count)++;
	}
	if (sql_run(state, err, "UPDATE message SET attempts = 0, first_failed_at = 0, next_try = 0, fetch_error = NULL WHERE id = ?1",
		    SQL_NUMBER(message_id)) < 0)
		return -1;
	return message_settle(state, &message, clock_wall_s(), err);
}

static int decide_all(struct state *state, int64_t mailbox_id, uint64_t message_id, enum delivery_stage next, unsigned *count, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id FROM folder f JOIN message m ON m.folder = f.id WHERE (?1 = 0 OR f.mailbox = ?1) AND (?2 = 0 OR m.id = ?2)"
		" AND m." MESSAGE_IS_UNDELIVERED " AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d." DELIVERY_IS_HELD ")",
		SQL_NUMBER(mailbox_id), SQL_NUMBER(message_id));
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (decide(state, sqlite3_column_int64(row, 0), next, count, err) < 0)
			return -1;
	return found;
}

static int end_transaction(struct state *state, int result, struct error *err)
{
	if (result == 0 && state_commit(state, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}

int state_held_retry(struct state *state, int64_t mailbox_id, uint64_t message_id, unsigned *ret_count, struct error *err)
{
	unsigned count = 0;

	if (state_begin(state, err) < 0 || end_transaction(state, decide_all(state, mailbox_id, message_id, DELIVERY_OPEN, &count, err), err) < 0)
		return -1;
	*ret_count = count;
	return 0;
}

static int drop(struct state *state, uint64_t message_id, bool delete_at_source, unsigned *count, struct error *err)
{
	if (decide_all(state, 0, message_id, DELIVERY_DROPPED, count, err) < 0)
		return -1;
	if (*count == 0)
		return 0;
	return sql_run(state, err, "UPDATE message SET disposal = ?2, retention = 0, delivered_clock = 0 WHERE id = ?1", SQL_NUMBER(message_id),
		SQL_NUMBER(delete_at_source ? DISPOSE_DELETE : DISPOSE_KEEP));
}

int state_held_drop(struct state *state, uint64_t message_id, bool delete_at_source, unsigned *ret_count, struct error *err)
{
	unsigned count = 0;

	assert(message_id != 0);
	if (state_begin(state, err) < 0 || end_transaction(state, drop(state, message_id, delete_at_source, &count, err), err) < 0)
		return -1;
	*ret_count = count;
	return 0;
}
