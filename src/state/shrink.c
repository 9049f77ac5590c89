#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "state/store.h"

#define ONCE_S 86400
/* Free pages up to this number (1 MiB) stay in the file: tomorrow's messages take them, and nothing has to be moved. */
#define SLACK_PAGES 256
#define VACUUM_PAGES "256" /* moved in one call, some milliseconds */

void shrink_prepare(struct state *state)
{
	int64_t mode;

	/* It takes 0.3 s for 200000 messages, once. No room, or somebody else at work: another time; it is only about room. */
	if (sql_number_values(state, NULL, &mode, "PRAGMA auto_vacuum", NULL, 0) == 0 && mode == 0)
		sql_script(state, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", NULL);
}

/* What left the server stays as long as anything can be recognised by it: by its key for the time of a tombstone (on POP3, where keys are used again,
 * by its bytes); and after a renumbering until all that is new has been fetched and compared. What was deleted by us is reported as gone on IMAP. */
int shrink_folder(struct state *state, int64_t folder_id, int64_t before, unsigned *ret_count, struct error *err)
{
	if (sql_run(state, err,
		    "DELETE FROM message WHERE id IN (SELECT m.id FROM folder f JOIN mailbox b ON b.id = f.mailbox JOIN message m ON m.folder = f.id"
		    " WHERE f.id = ?1 AND m." MESSAGE_HAS_LEFT " AND m.gone_at <= ?2 AND (m.stage = ?3 OR b.protocol = ?4)"
		    " AND (m.epoch < 0 OR m.epoch = f.epoch OR NOT EXISTS"
		    "  (SELECT 1 FROM message n WHERE n.folder = f.id AND n.stage IN (2, 3) AND n.hash IS NULL)) LIMIT ?5)",
		    SQL_NUMBER(folder_id), SQL_NUMBER(before), SQL_NUMBER(STAGE_GONE), SQL_NUMBER(PROTOCOL_POP3), SQL_NUMBER(SHRINK_ROWS)) < 0)
		return -1;
	*ret_count = (unsigned)sqlite3_changes(state->db);
	if (*ret_count != 0)
		state->prints_made = false; /* the index names what is no more */
	return 0;
}

static bool is_configured(const struct config *config, const char *mailbox_name, const char *folder_name)
{
	const struct mailbox_config *mailbox = config_mailbox(config, mailbox_name);

	if (mailbox == NULL)
		return false;
	for (char *const *folder = mailbox->folders; folder != NULL && *folder != NULL; folder++)
		if (strcmp(*folder, folder_name) == 0)
			return true;
	return mailbox->protocol == PROTOCOL_POP3;
}

/* Time alone forgets nothing: the folder must have been listed without the message for so long. One that left the configuration is listed no more. */
static int shrink_folders(struct state *state, const struct config *config, int64_t now, bool *more, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query_values(
		state, err, "SELECT f.id, b.name, f.name, f.listed_at FROM folder f JOIN mailbox b ON b.id = f.mailbox ORDER BY f.id", NULL, 0);
	int64_t least_s = state_least_s(state, now); /* gone_at is of that clock, listed_at of the wall clock */
	int found = 0;

	while (!*more && (found = sql_step(state, row, err)) > 0) {
		bool configured = is_configured(config, sql_column_text(row, 1), sql_column_text(row, 2));
		int64_t listed_at = state_least_s(state, sqlite3_column_int64(row, 3)), folder = sqlite3_column_int64(row, 0);
		unsigned count;

		if (shrink_folder(state, folder, (configured && listed_at < least_s ? listed_at : least_s) - TOMBSTONE_S, &count, err) < 0)
			return -1;
		*more = count == SHRINK_ROWS;
		if (!configured && sql_run(state, err, "DELETE FROM folder WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE folder = ?1)",
					   SQL_NUMBER(folder)) < 0)
			return -1;
	}
	return found < 0 ? -1 : 0;
}

static int give_back(struct state *state, bool *more, struct error *err)
{
	int64_t unused;

	if (sql_number_values(state, err, &unused, "PRAGMA freelist_count", NULL, 0) < 0)
		return -1;
	if (unused <= SLACK_PAGES)
		return 0;
	*more |= unused > 2 * SLACK_PAGES;
	/* Steps once for each page. */
	return sql_script(state, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")", err);
}

static int is_due(struct state *state, int64_t now, bool *ret_due, struct error *err)
{
	int64_t shrunk_at;

	if (sql_number(state, err, &shrunk_at, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("shrunk_at")) < 0)
		return -1;
	*ret_due = shrunk_at > now || now - shrunk_at >= ONCE_S;
	return 0;
}

static int shrink(struct state *state, const struct config *config, int64_t now, bool *more, struct error *err)
{
	if (shrink_folders(state, config, now, more, err) < 0)
		return -1;
	if (!*more && sql_run_values(state, err, "DELETE FROM target WHERE id NOT IN (SELECT target FROM delivery)", NULL, 0) < 0)
		return -1;
	if (give_back(state, more, err) < 0)
		return -1;
	if (*more)
		return 0;
	return sql_run(state, err, "INSERT OR REPLACE INTO meta (key, value) VALUES ('shrunk_at', ?1)", SQL_NUMBER(now));
}

int state_shrink(struct state *state, const struct config *config, int64_t now, bool *ret_more, struct error *err)
{
	bool due, more = false;

	if (is_due(state, now, &due, err) < 0)
		return -1;
	/* What a power cut brings back is forgotten again. */
	if (due && state_begin_unsynced(state, err) < 0)
		return -1;
	if (due && (shrink(state, config, now, &more, err) < 0 || state_commit(state, err) < 0)) {
		state_rollback(state);
		return -1;
	}
	*ret_more = more;
	return 0;
}
