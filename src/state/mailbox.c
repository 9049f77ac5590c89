#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "state/store.h"

struct identity {
	int64_t id;
	int64_t protocol;
	const char *host, *user;
};

static struct identity identity_of(const struct mailbox_config *mailbox)
{
	const struct server *server = &mailbox->server;

	return (struct identity){
		.protocol = mailbox->protocol,
		.host = server->endpoint.host != NULL ? server->endpoint.host : server->endpoint.path,
		.user = server->user != NULL ? server->user : "",
	};
}

/* A row whose name left the configuration, but whose account did not: it was renamed. */
static int adopt(struct state *state, const struct config *config, const struct mailbox_config *mailbox, const struct identity *now,
	bool *ret_adopted, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED =
		sql_query(state, err, "SELECT id, name FROM mailbox WHERE protocol = ?1 AND host = ?2 AND user = ?3 ORDER BY id",
			SQL_NUMBER(now->protocol), SQL_TEXT(now->host), SQL_TEXT(now->user));
	int64_t id = 0;
	int found;

	while ((found = sql_step(state, row, err)) > 0 && id == 0)
		if (config_mailbox(config, sql_column_text(row, 1)) == NULL)
			id = sqlite3_column_int64(row, 0);
	if (found < 0)
		return -1;
	*ret_adopted = id != 0;
	if (id == 0)
		return 0;
	return sql_run(state, err, "UPDATE mailbox SET name = ?2 WHERE id = ?1", SQL_NUMBER(id), SQL_TEXT(mailbox->name));
}

static int make(struct state *state, const struct config *config, const struct mailbox_config *mailbox, const struct identity *now, struct error *err)
{
	bool adopted = false;

	if (config != NULL && adopt(state, config, mailbox, now, &adopted, err) < 0)
		return -1;
	if (adopted)
		return 0;
	return sql_run(state, err, "INSERT INTO mailbox (name, protocol, host, user) VALUES (?1, ?2, ?3, ?4)", SQL_TEXT(mailbox->name),
		SQL_NUMBER(now->protocol), SQL_TEXT(now->host), SQL_TEXT(now->user));
}

/* The same name for another account: its keys mean nothing there, so its folders count as renumbered. */
static int move(struct state *state, int64_t mailbox_id, const struct identity *now, struct error *err)
{
	if (sql_run(state, err, "UPDATE folder SET uidvalidity = ?2 WHERE mailbox = ?1 AND uidvalidity <> ?3", SQL_NUMBER(mailbox_id),
		    SQL_NUMBER(FOLDER_MOVED), SQL_NUMBER(FOLDER_UNPLANNED)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE mailbox SET protocol = ?2, host = ?3, user = ?4 WHERE id = ?1", SQL_NUMBER(mailbox_id),
		SQL_NUMBER(now->protocol), SQL_TEXT(now->host), SQL_TEXT(now->user));
}

static void read_row(sqlite3_stmt *row, struct mailbox_state *ret_mailbox)
{
	*ret_mailbox = (struct mailbox_state){
		.id = sqlite3_column_int64(row, 0),
		.failures = (unsigned)sqlite3_column_int64(row, 1),
		.clock = (unsigned)sqlite3_column_int64(row, 2),
		.retry_at = sqlite3_column_int64(row, 3),
		.last_success = sqlite3_column_int64(row, 4),
		.last_mail = sqlite3_column_int64(row, 5),
		.last_error_kind = sqlite3_column_int(row, 7),
		.last_error_at = sqlite3_column_int64(row, 8),
		.credential = (uint64_t)sqlite3_column_int64(row, 9),
		.error_since = sqlite3_column_int64(row, 11),
	};
	snprintf(ret_mailbox->last_error, sizeof(ret_mailbox->last_error), "%s", sql_column_text(row, 6));
	snprintf(ret_mailbox->stopped, sizeof(ret_mailbox->stopped), "%s", sql_column_text(row, 12));
}

/* 1: found; 0: there is none. *ret_moved: it was for another account. */
static int load(
	struct state *state, const char *name, const struct identity *now, struct mailbox_state *ret_mailbox, bool *ret_moved, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT id, failures, clock, retry_at, last_success, last_mail, last_error, last_error_kind, last_error_at, credential,"
		" protocol = ?2 AND host = ?3 AND user = ?4, error_since, stopped FROM mailbox WHERE name = ?1",
		SQL_TEXT(name), SQL_NUMBER(now->protocol), SQL_TEXT(now->host), SQL_TEXT(now->user));
	int found = sql_step(state, row, err);

	if (found > 0) {
		read_row(row, ret_mailbox);
		*ret_moved = sqlite3_column_int(row, 10) == 0;
	}
	return found;
}

static int open_row(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err)
{
	struct identity now = identity_of(mailbox);
	bool moved = false;
	int found = load(state, mailbox->name, &now, ret_mailbox, &moved, err);

	if (sqlite3_db_readonly(state->db, "main") > 0)
		return found < 0 ? -1 : 0; /* to look at: a mailbox that was never hauled has an id of 0 and nothing to show */
	if (found == 0) {
		if (make(state, config, mailbox, &now, err) < 0)
			return -1;
		found = load(state, mailbox->name, &now, ret_mailbox, &moved, err);
	}
	if (found > 0 && moved)
		return move(state, ret_mailbox->id, &now, err);
	return found < 0 ? -1 : 0;
}

int state_mailbox_open(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err)
{
	struct mailbox_state found = {0};

	if (savepoint_begin(state, err) < 0)
		return -1;
	if (savepoint_end(state, open_row(state, config, mailbox, &found, err), err) < 0)
		return -1;
	*ret_mailbox = found;
	return 0;
}

int state_mailbox_store(struct state *state, const struct mailbox_state *mailbox, struct error *err)
{
	return sql_run(state, err,
		"UPDATE mailbox SET failures = ?2, clock = ?3, retry_at = ?4, last_success = ?5, last_mail = ?6, last_error = ?7, last_error_kind = "
		"?8,"
		" last_error_at = ?9, credential = ?10, error_since = ?11 WHERE id = ?1",
		SQL_NUMBER(mailbox->id), SQL_NUMBER(mailbox->failures), SQL_NUMBER(mailbox->clock), SQL_NUMBER(mailbox->retry_at),
		SQL_NUMBER(mailbox->last_success), SQL_NUMBER(mailbox->last_mail), SQL_TEXT(mailbox->last_error),
		SQL_NUMBER(mailbox->last_error_kind), SQL_NUMBER(mailbox->last_error_at), SQL_NUMBER(mailbox->credential),
		SQL_NUMBER(mailbox->error_since));
}
