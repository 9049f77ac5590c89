#include "base/error.h"
#include "policy/renumbering.h"
#include "state/store.h"

/* Of older renumberings nothing is kept that can say no more: what was found again, and what was never fetched. */
static int forget_older(struct state *state, const struct folder_row *folder, struct error *err)
{
	if (sql_run(state, err, "DELETE FROM message WHERE folder = ?1 AND successor <> 0", SQL_NUMBER(folder->id)) < 0)
		return -1;
	/* One that waits to be recognised stands for one that is older still. */
	return sql_run(state, err,
		"DELETE FROM message AS m WHERE folder = ?1 AND epoch >= 0 AND (epoch < ?2 OR (epoch = ?2 AND recognition <> ?3)) "
		"AND " WAS_NEVER_FETCHED,
		SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(RECOGNITION_NONE));
}

/* Nothing that was listed can be asked for any more. */
static int start_epoch(struct state *state, struct folder_row *folder, int64_t now, struct error *err)
{
	if (forget_older(state, folder, err) < 0 ||
		sql_run(state, err, "UPDATE message SET stage = ?3, gone_at = ?4 WHERE folder = ?1 AND epoch = ?2 AND stage <> ?3",
			SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(STAGE_GONE), SQL_NUMBER(now)) < 0)
		return -1;
	folder->epoch++;
	folder->mark = 0;
	folder->present = 0;
	folder->listed_at = 0;
	return 0;
}

/* A new UIDVALIDITY, or none at all, which promises nothing from one session to the next. Only a server that changes its promise is counted. */
int epoch_begin(struct state *state, struct folder_row *folder, int64_t uidvalidity, int64_t now, struct error *err)
{
	int64_t before = folder->uidvalidity;
	bool unstable = uidvalidity == 0 && folder->protocol == PROTOCOL_IMAP;

	folder->uidvalidity = uidvalidity;
	if (before == FOLDER_UNPLANNED || (before == uidvalidity && !unstable))
		return 0;
	if (before > 0 && !unstable)
		renumbering_count(&folder->renumberings, &folder->renumbered_at, now);
	return start_epoch(state, folder, now, err);
}

/* POP3 has no UIDVALIDITY: where a complete listing shows messages, but none of those that were there, all may have got new UIDLs. */
int epoch_begin_of_uidls(struct state *state, struct folder_row *folder, int64_t now, struct error *err)
{
	int64_t stay, gone;

	if (sql_number(state, err, &stay, "SELECT EXISTS (SELECT 1 FROM message WHERE folder = ?1 AND epoch = ?2 AND gone_at = 0)",
		    SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch)) < 0 ||
		sql_number(state, err, &gone,
			"SELECT EXISTS (SELECT 1 FROM message m WHERE folder = ?1 AND epoch = ?2 AND " MESSAGE_HAS_LEFT " AND stage = ?3"
			" AND gone_at = ?4 AND NOT (" WAS_NEVER_FETCHED "))",
			SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(STAGE_GONE), SQL_NUMBER(now)) < 0)
		return -1;
	return stay == 0 && gone != 0 ? start_epoch(state, folder, now, err) : 0;
}

/* By what the new messages are to be recognised; not at all, if there is nothing that they could be, or if it has been decided about what is new. */
int epoch_recognition(struct state *state, const struct folder_row *folder, enum recognition *ret_recognition, struct error *err)
{
	int64_t any;

	*ret_recognition = RECOGNITION_NONE;
	if (folder->epoch == 0 || folder->accepted_epoch == folder->epoch)
		return 0;
	if (sql_number(state, err, &any,
		    "SELECT EXISTS (SELECT 1 FROM message m WHERE folder = ?1 AND epoch >= 0 AND epoch < ?2 AND NOT (" WAS_NEVER_FETCHED "))",
		    SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch)) < 0)
		return -1;
	if (any != 0)
		*ret_recognition = folder->protocol == PROTOCOL_IMAP ? RECOGNITION_BY_HEADER : RECOGNITION_BY_BYTES;
	return 0;
}
