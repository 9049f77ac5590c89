#include <assert.h>

#include "base/clock.h"
#include "base/error.h"
#include "state/store.h"

int state_folder_find(struct state *state, int64_t mailbox_id, const char *name, int64_t *ret_folder_id, struct error *err)
{
	return sql_number(
		state, err, ret_folder_id, "SELECT id FROM folder WHERE mailbox = ?1 AND name = ?2", SQL_NUMBER(mailbox_id), SQL_TEXT(name));
}

int state_folder_open(struct state *state, int64_t mailbox_id, const char *name, int64_t *ret_folder_id, struct error *err)
{
	int64_t id;

	if (state_folder_find(state, mailbox_id, name, &id, err) < 0)
		return -1;
	if (id == 0) {
		if (sql_run(state, err, "INSERT INTO folder (mailbox, name) VALUES (?1, ?2)", SQL_NUMBER(mailbox_id), SQL_TEXT(name)) < 0)
			return -1;
		id = sqlite3_last_insert_rowid(state->db);
	}
	*ret_folder_id = id;
	return 0;
}

int folder_load(struct state *state, int64_t folder_id, struct folder_row *ret_folder, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT f.id, f.mailbox, f.mark, f.present, f.listed_at, f.epoch, f.uidvalidity, m.protocol, f.accepted_epoch, f.renumbered_at, "
		"f.renumberings"
		" FROM folder f JOIN mailbox m ON m.id = f.mailbox WHERE f.id = ?1",
		SQL_NUMBER(folder_id));
	int found = sql_step(state, row, err);

	if (found < 0)
		return -1;
	assert(found > 0); /* ids come from state_folder_open, never from a worker */
	*ret_folder = (struct folder_row){
		.id = sqlite3_column_int64(row, 0),
		.mailbox = sqlite3_column_int64(row, 1),
		.mark = sqlite3_column_int64(row, 2),
		.present = sqlite3_column_int64(row, 3),
		.listed_at = sqlite3_column_int64(row, 4),
		.epoch = sqlite3_column_int64(row, 5),
		.uidvalidity = sqlite3_column_int64(row, 6),
		.protocol = (enum protocol)sqlite3_column_int(row, 7),
		.accepted_epoch = sqlite3_column_int64(row, 8),
		.renumbered_at = sqlite3_column_int64(row, 9),
		.renumberings = (unsigned)sqlite3_column_int64(row, 10),
	};
	return 0;
}

int target_find(struct state *state, const struct state_target *target, bool make, int64_t *ret_target, struct error *err)
{
	int64_t id;

	if (target->destination == state->recent.destination && target->recipient == state->recent.recipient) {
		*ret_target = state->recent.target;
		return 0;
	}
	if (sql_number(state, err, &id, "SELECT id FROM target WHERE destination = ?1 AND recipient = ?2", SQL_TEXT(target->destination),
		    SQL_TEXT(target->recipient)) < 0)
		return -1;
	if (id == 0 && make) {
		if (sql_run(state, err, "INSERT INTO target (destination, recipient) VALUES (?1, ?2)", SQL_TEXT(target->destination),
			    SQL_TEXT(target->recipient)) < 0)
			return -1;
		id = sqlite3_last_insert_rowid(state->db);
	}
	if (id != 0 && !sqlite3_get_autocommit(state->db)) {
		state->recent.destination = target->destination;
		state->recent.recipient = target->recipient;
		state->recent.target = id;
	}
	*ret_target = id;
	return 0;
}

int state_open_targets(struct state *state, int64_t mailbox_id, void (*each)(void *, const char *destination, const char *recipient), void *context,
	struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT t.destination, t.recipient FROM target t WHERE t.id IN"
		" (SELECT d.target FROM folder f JOIN message m ON m.folder = f.id JOIN delivery d ON d.message = m.id"
		"  WHERE f.mailbox = ?1 AND m." MESSAGE_IS_UNDELIVERED " AND d." DELIVERY_IS_UNSETTLED ")",
		SQL_NUMBER(mailbox_id));
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		each(context, sql_column_text(row, 0), sql_column_text(row, 1));
	return found;
}

static int drop_delivery(struct state *state, int64_t message_id, int64_t target, struct error *err)
{
	struct message_row message;

	if (message_load(state, (uint64_t)message_id, &message, err) < 0)
		return -1;
	for (unsigned i = 0; i < message.delivery_count; i++) {
		struct delivery_row *delivery = &message.deliveries[i];

		if (delivery->target != target)
			continue;
		assert(delivery_may_follow(DELIVERY_DROPPED, delivery->status)); /* the search found it unsettled */
		delivery->status = DELIVERY_DROPPED;
		if (message_store_delivery(state, &message, delivery, NULL, 0, err) < 0)
			return -1;
	}
	return message_settle(state, &message, clock_wall_s(), err);
}

static int drop_target(struct state *state, int64_t mailbox_id, int64_t target, unsigned *dropped, struct error *err)
{
	/* Each message leaves the index as it is dropped, behind the point where this search stands. */
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id FROM folder f JOIN message m ON m.folder = f.id JOIN delivery d ON d.message = m.id"
		" WHERE f.mailbox = ?1 AND m." MESSAGE_IS_UNDELIVERED " AND d.target = ?2 AND d." DELIVERY_IS_UNSETTLED,
		SQL_NUMBER(mailbox_id), SQL_NUMBER(target));
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		if (drop_delivery(state, sqlite3_column_int64(row, 0), target, err) < 0)
			return -1;
		(*dropped)++;
	}
	return found;
}

int state_has_removed_targets(struct state *state, const struct config *config, bool *ret_has, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "SELECT destination FROM target", NULL, 0);
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (config_destination(config, sql_column_text(row, 0)) == NULL)
			break;
	*ret_has = found > 0;
	return found < 0 ? -1 : 0;
}

static int drop_removed(struct state *state, int64_t mailbox_id, const struct config *config, unsigned *dropped, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(state, err, "SELECT id, destination FROM target", NULL, 0);
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (config_destination(config, sql_column_text(row, 1)) == NULL &&
			drop_target(state, mailbox_id, sqlite3_column_int64(row, 0), dropped, err) < 0)
			return -1;
	return found;
}

int state_drop_removed_targets(struct state *state, int64_t mailbox_id, const struct config *config, unsigned *ret_dropped, struct error *err)
{
	unsigned dropped = 0;

	if (savepoint_begin(state, err) < 0 || savepoint_end(state, drop_removed(state, mailbox_id, config, &dropped, err), err) < 0)
		return -1;
	*ret_dropped = dropped;
	return 0;
}
