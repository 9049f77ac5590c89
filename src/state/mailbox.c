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

/* The first row of the query whose name has left the configuration. */
static int find_vanished(sqlite3_stmt *row, struct state *state, const struct config *config, char ret_name[NAME_BYTES], struct error *err)
{
	int found;

	while ((found = sql_step(state, row, err)) > 0)
		if (config_mailbox(config, sql_column_text(row, 0)) == NULL) {
			snprintf(ret_name, NAME_BYTES, "%s", sql_column_text(row, 0));
			return 1;
		}
	return found;
}

/* Only for a mailbox that has no row yet. The operator's word counts more than an account that is the same. */
static int find_predecessor(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, char ret_name[NAME_BYTES], struct error *err)
{
	struct identity now = identity_of(mailbox);
	sqlite3_stmt *named SQL_SCOPED = sql_query(state, err, "SELECT name FROM mailbox WHERE name = ?1", SQL_TEXT(mailbox->was));
	sqlite3_stmt *same SQL_SCOPED = sql_query(state, err, "SELECT name FROM mailbox WHERE protocol = ?1 AND host = ?2 AND user = ?3 ORDER BY id",
		SQL_NUMBER(now.protocol), SQL_TEXT(now.host), SQL_TEXT(now.user));
	int found = mailbox->was != NULL ? find_vanished(named, state, config, ret_name, err) : 0;

	return found != 0 ? found : find_vanished(same, state, config, ret_name, err);
}

int state_mailbox_predecessor(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, char ret_name[NAME_BYTES], struct error *err)
{
	int64_t exists;

	ret_name[0] = '\0';
	if (sql_number(state, err, &exists, "SELECT EXISTS (SELECT 1 FROM mailbox WHERE name = ?1)", SQL_TEXT(mailbox->name)) < 0)
		return -1;
	return exists == 0 && find_predecessor(state, config, mailbox, ret_name, err) < 0 ? -1 : 0;
}

/* Deliveries in doubt bore the old name in their ids, so a Maildir cannot be asked for them any more: they count as older than it can tell. */
static int rename_row(struct state *state, const char *from, const char *to, struct error *err)
{
	if (sql_run(state, err,
		    "UPDATE delivery SET intent_clock = 0 WHERE " DELIVERY_IS_IN_DOUBT " AND message IN (SELECT m.id FROM mailbox b"
		    " JOIN folder f ON f.mailbox = b.id JOIN message m ON m.folder = f.id WHERE b.name = ?1 AND m." MESSAGE_IS_UNDELIVERED ")",
		    SQL_TEXT(from)) < 0)
		return -1;
	return sql_run(state, err, "UPDATE mailbox SET name = ?2 WHERE name = ?1", SQL_TEXT(from), SQL_TEXT(to));
}

static int make(struct state *state, const struct config *config, const struct mailbox_config *mailbox, const struct identity *now, struct error *err)
{
	char predecessor[NAME_BYTES];
	int found = config != NULL ? find_predecessor(state, config, mailbox, predecessor, err) : 0;

	if (found < 0)
		return -1;
	if (found > 0)
		return rename_row(state, predecessor, mailbox->name, err);
	return sql_run(state, err, "INSERT INTO mailbox (name, protocol, host, user) VALUES (?1, ?2, ?3, ?4)", SQL_TEXT(mailbox->name),
		SQL_NUMBER(now->protocol), SQL_TEXT(now->host), SQL_TEXT(now->user));
}

/* A UIDVALIDITY that is a time, as most servers have it, is hardly that of another folder. Small ones are numbers that many servers begin with. */
#define UIDVALIDITY_TELLS_FROM (1 << 24)

/* Another account under the same name: its keys mean nothing there, so its folders count as renumbered. Where the operator says that it is the same
 * mailbox on another server (renamed), a UIDVALIDITY that tells is left to agree or not; a POP3 server has none, and another user has other mail. */
static int move(struct state *state, int64_t mailbox_id, const struct identity *now, bool renamed, struct error *err)
{
	if (sql_run(state, err,
		    "UPDATE folder SET uidvalidity = ?2 WHERE mailbox = ?1 AND uidvalidity <> ?3 AND NOT (?4 AND uidvalidity >= ?5"
		    " AND EXISTS (SELECT 1 FROM mailbox b WHERE b.id = ?1 AND b.protocol = ?6 AND b.protocol = ?7 AND b.user = ?8))",
		    SQL_NUMBER(mailbox_id), SQL_NUMBER(FOLDER_MOVED), SQL_NUMBER(FOLDER_UNPLANNED), SQL_NUMBER(renamed),
		    SQL_NUMBER(UIDVALIDITY_TELLS_FROM), SQL_NUMBER(PROTOCOL_IMAP), SQL_NUMBER(now->protocol), SQL_TEXT(now->user)) < 0)
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
	bool moved = false, made = false;
	int found = load(state, mailbox->name, &now, ret_mailbox, &moved, err);

	if (sqlite3_db_readonly(state->db, "main") > 0)
		return found < 0 ? -1 : 0; /* to look at: a mailbox that was never hauled has an id of 0 and nothing to show */
	if (found == 0) {
		if (make(state, config, mailbox, &now, err) < 0)
			return -1;
		made = true;
		found = load(state, mailbox->name, &now, ret_mailbox, &moved, err);
	}
	if (found > 0 && moved)
		return move(state, ret_mailbox->id, &now, made, err);
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

int state_mailbox_look(struct state *state, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err)
{
	struct identity now = identity_of(mailbox);
	bool moved;

	*ret_mailbox = (struct mailbox_state){0};
	return load(state, mailbox->name, &now, ret_mailbox, &moved, err) < 0 ? -1 : 0;
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
