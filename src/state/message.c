#include <assert.h>

#include "base/error.h"
#include "state/store.h"

enum {
	AT_MESSAGE = 0,
	AT_DELIVERY = 9,
};

static void read_message(sqlite3_stmt *row, struct message_row *ret_message)
{
	ret_message->folder = sqlite3_column_int64(row, AT_MESSAGE);
	ret_message->mailbox = sqlite3_column_int64(row, AT_MESSAGE + 1);
	ret_message->stage = (enum stage)sqlite3_column_int(row, AT_MESSAGE + 2);
	ret_message->disposal = (enum disposal)sqlite3_column_int(row, AT_MESSAGE + 3);
	ret_message->delivered_at = sqlite3_column_int64(row, AT_MESSAGE + 4);
	ret_message->first_failed_at = sqlite3_column_int64(row, AT_MESSAGE + 5);
	ret_message->attempts = (unsigned)sqlite3_column_int64(row, AT_MESSAGE + 6);
	ret_message->retention = sqlite3_column_int64(row, AT_MESSAGE + 7);
	ret_message->recognition = (enum recognition)sqlite3_column_int(row, AT_MESSAGE + 8);
}

static void read_delivery(sqlite3_stmt *row, struct delivery_row *ret_delivery)
{
	*ret_delivery = (struct delivery_row){
		.target = sqlite3_column_int64(row, AT_DELIVERY),
		.status = (enum delivery_stage)sqlite3_column_int(row, AT_DELIVERY + 1),
		.code = sqlite3_column_int64(row, AT_DELIVERY + 2),
		.attempts = (unsigned)sqlite3_column_int64(row, AT_DELIVERY + 3),
		.doubts = (unsigned)sqlite3_column_int64(row, AT_DELIVERY + 4),
		.first_failed_at = sqlite3_column_int64(row, AT_DELIVERY + 5),
		.next_try = sqlite3_column_int64(row, AT_DELIVERY + 6),
		.intent_at = sqlite3_column_int64(row, AT_DELIVERY + 7),
		.held_at = sqlite3_column_int64(row, AT_DELIVERY + 8),
		.held_tries = (unsigned)sqlite3_column_int64(row, AT_DELIVERY + 9),
		.intent_clock = sqlite3_column_int64(row, AT_DELIVERY + 10),
		.intent_place = sqlite3_column_int64(row, AT_DELIVERY + 11),
	};
}

int message_load(struct state *state, uint64_t message_id, struct message_row *ret_message, struct error *err)
{
	/* A row for each of its deliveries, or one with NULLs. */
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.folder, f.mailbox, m.stage, m.disposal, m.delivered_at, m.first_failed_at, m.attempts, m.retention, m.recognition,"
		" d.target, d.status, d.code, d.attempts, d.doubts, d.first_failed_at, d.next_try, d.intent_at, d.held_at, d.held_tries,"
		" d.intent_clock, d.intent_place"
		" FROM message m JOIN folder f ON f.id = m.folder LEFT JOIN delivery d ON d.message = m.id WHERE m.id = ?1",
		SQL_NUMBER(message_id));
	int found = sql_step(state, row, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return store_lie(err, "a step of message %llu, which there is not", (unsigned long long)message_id);
	ret_message->id = (int64_t)message_id;
	ret_message->delivery_count = 0;
	read_message(row, ret_message);
	for (; found > 0 && sqlite3_column_type(row, AT_DELIVERY) != SQLITE_NULL; found = sql_step(state, row, err)) {
		assert(ret_message->delivery_count < TARGETS_MAX); /* one for each bit of a mask at most */
		read_delivery(row, &ret_message->deliveries[ret_message->delivery_count++]);
	}
	return found < 0 ? -1 : 0;
}

int message_store_delivery(struct state *state, const struct message_row *message, const struct delivery_row *delivery, const char *reply,
	size_t reply_len, struct error *err)
{
	return sql_run(state, err,
		"UPDATE delivery SET status = ?3, code = ?4, attempts = ?5, doubts = ?6, first_failed_at = ?7, next_try = ?8, intent_at = ?9, "
		"held_at = ?10,"
		" held_tries = ?11, intent_clock = ?12, reply = coalesce(?13, reply), intent_place = ?14 WHERE message = ?1 AND target = ?2",
		SQL_NUMBER(message->id), SQL_NUMBER(delivery->target), SQL_NUMBER(delivery->status), SQL_NUMBER(delivery->code),
		SQL_NUMBER(delivery->attempts), SQL_NUMBER(delivery->doubts), SQL_NUMBER(delivery->first_failed_at), SQL_NUMBER(delivery->next_try),
		SQL_NUMBER(delivery->intent_at), SQL_NUMBER(delivery->held_at), SQL_NUMBER(delivery->held_tries), SQL_NUMBER(delivery->intent_clock),
		SQL_BLOB(reply, reply_len), SQL_NUMBER(delivery->intent_place));
}

int message_settle(struct state *state, struct message_row *message, int64_t now, struct error *err)
{
	bool accepted = false;

	for (unsigned i = 0; i < message->delivery_count; i++) {
		if (!delivery_is_settled(&message->deliveries[i]))
			return 0;
		accepted |= message->deliveries[i].status == DELIVERY_ACCEPTED || message->deliveries[i].status == DELIVERY_DISCARDED;
	}
	/* One that has left the server meanwhile stays a tombstone, of a delivered message now. */
	if (message->stage != STAGE_GONE) {
		assert(stage_may_follow(STAGE_DELIVERED, message->stage));
		message->stage = STAGE_DELIVERED;
	}
	if (!accepted)
		message->disposal = DISPOSE_KEEP;
	message->delivered_at = now;
	return sql_run(state, err, "UPDATE message SET stage = ?2, disposal = ?3, delivered_at = ?4, delivered_clock = ?5 WHERE id = ?1",
		SQL_NUMBER(message->id), SQL_NUMBER(message->stage), SQL_NUMBER(message->disposal), SQL_NUMBER(now),
		SQL_NUMBER(message->retention != 0 ? state_least_s(state, now) : 0));
}

int message_inherit(struct state *state, int64_t old_id, int64_t new_id, struct error *err)
{
	if (sql_run(state, err,
		    "UPDATE message SET (bytes, hash, trace, has_trace, disposal, disposal_folder, retention, delivered_at, delivered_clock, "
		    "attempts, first_failed_at, next_try, fetch_error, origin) ="
		    " (SELECT bytes, hash, trace, has_trace, disposal, disposal_folder, retention, delivered_at, delivered_clock, "
		    "attempts, first_failed_at, next_try, fetch_error, CASE origin WHEN 0 THEN id ELSE origin END"
		    "  FROM message WHERE id = ?1) WHERE id = ?2",
		    SQL_NUMBER(old_id), SQL_NUMBER(new_id)) < 0 ||
		sql_run(state, err, "DELETE FROM delivery WHERE message = ?1", SQL_NUMBER(new_id)) < 0 ||
		sql_run(state, err, "UPDATE delivery SET message = ?2 WHERE message = ?1", SQL_NUMBER(old_id), SQL_NUMBER(new_id)) < 0)
		return -1;
	/* DELIVERED, or INTENT once there was one, or OPEN as it was planned. */
	return sql_run(state, err,
		"UPDATE message SET stage = CASE WHEN delivered_at <> 0 THEN ?2 WHEN hash IS NOT NULL THEN ?3 ELSE stage END WHERE id = ?1",
		SQL_NUMBER(new_id), SQL_NUMBER(STAGE_DELIVERED), SQL_NUMBER(STAGE_INTENT));
}
