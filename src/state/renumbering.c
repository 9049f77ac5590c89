#include "base/error.h"
#include "policy/renumbering.h"
#include "state/store.h"

_Static_assert(RECOGNITION_BY_HEADER == 1 && RECOGNITION_BY_BYTES == 2, "as in the statement below");

/* *pending: how many could have been judged and were not, since nothing can be delivered now. */
static int count_rows(struct state *state, const struct folder_row *folder, struct renumbering *renumbering, int64_t *pending, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT count(*), count(*) FILTER (WHERE recognition = ?3), count(*) FILTER (WHERE recognition IN (1, 2) AND attempts = 0),"
		" (SELECT count(*) FROM message WHERE folder = ?1 AND successor <> 0 AND epoch >= 0) FROM message WHERE folder = ?1 AND epoch = ?2",
		SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(RECOGNITION_NEW));

	if (sql_step(state, row, err) < 0)
		return -1;
	renumbering->listed = (uint64_t)sqlite3_column_int64(row, 0);
	renumbering->fresh = (uint64_t)sqlite3_column_int64(row, 1);
	*pending = sqlite3_column_int64(row, 2);
	renumbering->recognized = (uint64_t)sqlite3_column_int64(row, 3);
	return 0;
}

/* What waited to be delivered before is no surprise now. On POP3, where nothing else is known of it, its size has to do; and there one that is new
 * can have been delivered before only if one that was delivered is missing. */
static int subtract_expected(struct state *state, const struct folder_row *folder, struct renumbering *renumbering, struct error *err)
{
	int64_t waiting, missing;

	if (sql_number(state, err, &waiting,
		    "SELECT coalesce(sum(min(n.count, o.count)), 0) FROM"
		    " (SELECT size, date, count(*) AS count FROM message WHERE folder = ?1 AND epoch = ?2 AND recognition = ?3 GROUP BY size, date) "
		    "n JOIN"
		    " (SELECT size, date, count(*) AS count FROM message m WHERE folder = ?1 AND epoch >= 0 AND epoch < ?2 AND successor = 0 "
		    "AND " WAS_NEVER_FETCHED " GROUP BY size, date) o ON n.size = o.size AND n.date = o.date",
		    SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(RECOGNITION_NEW)) < 0 ||
		sql_number(state, err, &missing,
			"SELECT count(*) FROM message m WHERE folder = ?1 AND epoch >= 0 AND epoch < ?2 AND successor = 0 AND NOT (" WAS_NEVER_FETCHED
			")",
			SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch)) < 0)
		return -1;
	renumbering->fresh -= (uint64_t)waiting;
	if (folder->protocol == PROTOCOL_POP3 && renumbering->fresh > (uint64_t)missing)
		renumbering->fresh = (uint64_t)missing;
	return 0;
}

int state_renumbering(struct state *state, int64_t folder_id, struct renumbering *ret_renumbering, struct error *err)
{
	struct folder_row folder;
	int64_t pending;

	if (folder_load(state, folder_id, &folder, err) < 0)
		return -1;
	*ret_renumbering = (struct renumbering){
		.accepted = folder.accepted_epoch == folder.epoch,
		.by_uidl = folder.protocol == PROTOCOL_POP3,
	};
	if (count_rows(state, &folder, ret_renumbering, &pending, err) < 0)
		return -1;
	ret_renumbering->complete = folder.listed_at != 0 && pending == 0;
	return subtract_expected(state, &folder, ret_renumbering, err);
}

int state_renumbering_accept(struct state *state, int64_t folder_id, struct error *err)
{
	if (sql_run(state, err,
		    "UPDATE message SET recognition = ?2 WHERE folder = ?1 AND recognition = ?3 AND epoch = (SELECT epoch FROM folder WHERE id = ?1)",
		    SQL_NUMBER(folder_id), SQL_NUMBER(RECOGNITION_NONE), SQL_NUMBER(RECOGNITION_NEW)) < 0 ||
		sql_run(state, err, "UPDATE folder SET accepted_epoch = epoch WHERE id = ?1", SQL_NUMBER(folder_id)) < 0)
		return -1;
	return prints_forget(state, folder_id, err);
}

int state_renumbering_count(struct state *state, int64_t folder_id, int64_t now, unsigned *ret_count, struct error *err)
{
	struct folder_row folder;

	if (folder_load(state, folder_id, &folder, err) < 0)
		return -1;
	renumbering_count(&folder.renumberings, &folder.renumbered_at, state_least_s(state, now));
	*ret_count = folder.renumberings;
	return sql_run(state, err, "UPDATE folder SET renumberings = ?2, renumbered_at = ?3 WHERE id = ?1", SQL_NUMBER(folder_id),
		SQL_NUMBER(folder.renumberings), SQL_NUMBER(folder.renumbered_at));
}

int state_mailbox_stop(struct state *state, int64_t mailbox_id, const char *why, struct error *err)
{
	return sql_run(state, err, "UPDATE mailbox SET stopped = ?2 WHERE id = ?1", SQL_NUMBER(mailbox_id), SQL_TEXT(why));
}

static int accept_folders(struct state *state, int64_t mailbox_id, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err, "SELECT id FROM folder WHERE mailbox = ?1", SQL_NUMBER(mailbox_id));
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (state_renumbering_accept(state, sqlite3_column_int64(row, 0), err) < 0)
			return -1;
	return found;
}

static int accept_all(struct state *state, int64_t mailbox_id, struct error *err)
{
	if (accept_folders(state, mailbox_id, err) < 0 ||
		sql_run(state, err, "UPDATE folder SET renumberings = 0, renumbered_at = 0 WHERE mailbox = ?1", SQL_NUMBER(mailbox_id)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE mailbox SET stopped = '', failures = 0, retry_at = 0 WHERE id = ?1", SQL_NUMBER(mailbox_id));
}

int state_mailbox_accept(struct state *state, int64_t mailbox_id, struct error *err)
{
	if (state_begin(state, err) < 0)
		return -1;
	if (accept_all(state, mailbox_id, err) == 0 && state_commit(state, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}
