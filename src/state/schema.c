#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "state/store.h"

/* Each step leads from the version that is its place to the next one. Steps are history: they are added to, never edited. Of a message: epoch
 * counts the renumberings of its folder, key_hash is what the worker compares (and what orders the index it is read by), bytes is the size as
 * fetched, delivered_at the time when its last delivery was settled, gone_at the time when it was found to have left the server, successor the
 * message that was recognised as this one after a renumbering. The partial indexes hold what is not settled, so that neither a poll nor a plan
 * reads the rest. No index on prints: see match.c. */
static const char *const steps[] = {
	"CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE mailbox ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, protocol INTEGER NOT NULL, host TEXT NOT NULL, user TEXT NOT NULL,"
	" failures INTEGER NOT NULL DEFAULT 0, clock INTEGER NOT NULL DEFAULT 0, retry_at INTEGER NOT NULL DEFAULT 0,"
	" last_success INTEGER NOT NULL DEFAULT 0, last_mail INTEGER NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '',"
	" last_error_kind INTEGER NOT NULL DEFAULT 0, last_error_at INTEGER NOT NULL DEFAULT 0, credential INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE folder ("
	" id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL REFERENCES mailbox, name TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 0,"
	" uidvalidity INTEGER NOT NULL DEFAULT -1, mark INTEGER NOT NULL DEFAULT 0,"
	" present INTEGER NOT NULL DEFAULT 0, listed_at INTEGER NOT NULL DEFAULT 0, UNIQUE (mailbox, name));"
	"CREATE TABLE target (id INTEGER PRIMARY KEY, destination TEXT NOT NULL, recipient TEXT NOT NULL, UNIQUE (destination, recipient));"
	"CREATE TABLE message ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL REFERENCES folder, epoch INTEGER NOT NULL,"
	" key BLOB NOT NULL, key_hash BLOB NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL, date INTEGER NOT NULL,"
	" stage INTEGER NOT NULL, disposal INTEGER NOT NULL, disposal_folder TEXT,"
	" bytes INTEGER, hash BLOB, trace BLOB, has_trace INTEGER NOT NULL DEFAULT 0,"
	" delivered_at INTEGER NOT NULL DEFAULT 0, gone_at INTEGER NOT NULL DEFAULT 0, successor INTEGER NOT NULL DEFAULT 0,"
	" attempts INTEGER NOT NULL DEFAULT 0, first_failed_at INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, fetch_error BLOB);"
	"CREATE UNIQUE INDEX message_key ON message (folder, epoch, key_hash);"
	"CREATE INDEX message_undelivered ON message (folder) WHERE stage IN (2, 3);"
	"CREATE INDEX message_owed ON message (folder) WHERE stage = 4 AND disposal <> 0;"
	"CREATE INDEX message_left ON message (folder, epoch) WHERE gone_at <> 0;"
	"CREATE TABLE delivery ("
	" message INTEGER NOT NULL REFERENCES message ON DELETE CASCADE, target INTEGER NOT NULL REFERENCES target, status INTEGER NOT NULL,"
	" code INTEGER NOT NULL DEFAULT 0, reply BLOB, attempts INTEGER NOT NULL DEFAULT 0, doubts INTEGER NOT NULL DEFAULT 0,"
	" first_failed_at INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, intent_at INTEGER NOT NULL DEFAULT 0,"
	" held_at INTEGER NOT NULL DEFAULT 0, held_tries INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (message, target)) WITHOUT ROWID;",
	/* Of a mailbox: stopped says why nothing is hauled until the operator accepts it. Of a folder: how often its UIDVALIDITY changed since
	 * renumbered_at, and the epoch that was accepted, by the operator or because few enough messages were new in it. Of a message: whether it is
	 * yet to be recognised, and the id that it had when its X-Mailhaul-Id was made; retention as frozen, in seconds, and when it began. Times whose name
	 * ends in _clock are of the clock that does not jump (clock.h), delivered_clock only where there is a retention; that clock begins as the wall
	 * clock, so what was intended before it did has its time. Of a mailbox: error_since, when what last_error says began. Of a target: when it last
	 * accepted a message. Of a destination: its back-off, since when, and when it last accepted a message. Of a folder: listing, the digest of the
	 * last complete listing, as long as all that it named is known here. Of a delivery: intent_place, where its destination put mail then (struct state_target). Of a host: struct host_facts, and since when. */
	"ALTER TABLE mailbox ADD COLUMN stopped TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE folder ADD COLUMN renumberings INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE folder ADD COLUMN renumbered_at INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE folder ADD COLUMN accepted_epoch INTEGER NOT NULL DEFAULT -1;"
	"ALTER TABLE message ADD COLUMN recognition INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE message ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE message ADD COLUMN retention INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE message ADD COLUMN delivered_clock INTEGER NOT NULL DEFAULT 0;"
	"DROP INDEX message_owed;"
	"CREATE INDEX message_owed ON message (folder, delivered_clock + retention) WHERE stage = 4 AND disposal <> 0;"
	"ALTER TABLE delivery ADD COLUMN intent_clock INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE delivery ADD COLUMN intent_place INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE target ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE mailbox ADD COLUMN error_since INTEGER NOT NULL DEFAULT 0;"
	"UPDATE delivery SET intent_clock = intent_at WHERE intent_at <> 0;"
	"CREATE TABLE destination ("
	" name TEXT PRIMARY KEY NOT NULL, failures INTEGER NOT NULL DEFAULT 0, clock INTEGER NOT NULL DEFAULT 0, retry_at INTEGER NOT NULL DEFAULT 0,"
	" last_error TEXT NOT NULL DEFAULT '', last_error_kind INTEGER NOT NULL DEFAULT 0, last_error_at INTEGER NOT NULL DEFAULT 0,"
	" down_since INTEGER NOT NULL DEFAULT 0, accepted_at INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;"
	"ALTER TABLE folder ADD COLUMN listing BLOB;"
	"CREATE TRIGGER message_forgotten AFTER DELETE ON message BEGIN"
	" UPDATE folder SET listing = NULL WHERE id = OLD.folder AND listing IS NOT NULL; END;"
	"CREATE TRIGGER message_left AFTER UPDATE OF gone_at ON message WHEN NEW.gone_at <> 0 BEGIN"
	" UPDATE folder SET listing = NULL WHERE id = NEW.folder AND listing IS NOT NULL; END;"
	"CREATE TABLE host ("
	" protocol INTEGER NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL, tls INTEGER NOT NULL,"
	" before_login INTEGER NOT NULL, after_login INTEGER NOT NULL, mechanisms INTEGER NOT NULL, learned_at INTEGER NOT NULL,"
	" boundary INTEGER NOT NULL, boundary_at INTEGER NOT NULL, idle_s INTEGER NOT NULL DEFAULT 0,"
	" login_delay_s INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (protocol, host, port, tls)) "
	"WITHOUT ROWID;",
	/* Of a destination: with which credential it was refused. */
	"ALTER TABLE destination ADD COLUMN credential INTEGER NOT NULL DEFAULT 0;",
};
_Static_assert(ARRAY_SIZE(steps) == SCHEMA_VERSION, "one step for each version");

int schema_take_steps(struct state *state, int64_t from, int64_t to, struct error *err)
{
	for (int64_t version = from; version < to; version++)
		if (sql_script(state, steps[version], err) < 0)
			return -1;
	return sql_run(state, err, "INSERT OR REPLACE INTO meta (key, value) VALUES ('version', ?1)", SQL_NUMBER(to));
}

int schema_create(struct state *state, struct error *err)
{
	uint8_t random[16];
	char installation[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_errno(err, SCOPE_PROGRAM, "cannot get random bytes");
	hex_encode(installation, random, sizeof(random));
	/* Has to be said before the first table is made. */
	if (sql_script(state, "PRAGMA auto_vacuum = INCREMENTAL", err) < 0 || savepoint_begin(state, err) < 0)
		return -1;
	if (schema_take_steps(state, 0, SCHEMA_VERSION, err) < 0)
		return savepoint_end(state, -1, err);
	return savepoint_end(state, sql_run(state, err, "INSERT INTO meta (key, value) VALUES ('installation', ?1)", SQL_TEXT(installation)), err);
}

static int read_version(struct state *state, int64_t *ret_version, struct error *err)
{
	*ret_version = 0;
	/* SQLITE_ERROR: there is no such table. Anything else has a sentence of its own. */
	if (sql_number(state, err, ret_version, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("version")) < 0 &&
		sqlite3_errcode(state->db) != SQLITE_ERROR)
		return -1;
	if (*ret_version > 0)
		return 0;
	return error_set(err, ERR_LOCAL, SCOPE_PROGRAM,
		"%s/state.db holds no state of mailhaul; restore it from a backup, or move it away and run once with --accept-duplicates",
		state->dir);
}

static int read_installation(struct state *state, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err, "SELECT value FROM meta WHERE key = ?1", SQL_TEXT("installation"));
	int found = sql_step(state, row, err);

	if (found > 0)
		snprintf(state->installation, sizeof(state->installation), "%s", sql_column_text(row, 0));
	return found < 0 ? -1 : 0;
}

int schema_upgrade(struct state *state, bool read_only, struct error *err)
{
	int64_t version;

	if (read_version(state, &version, err) < 0)
		return -1;
	if (version > SCHEMA_VERSION)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "%s/state.db was written by a newer mailhaul: install that one again", state->dir);
	if (version < SCHEMA_VERSION && read_only)
		return error_set(
			err, ERR_LOCAL, SCOPE_PROGRAM, "%s/state.db was written by an older mailhaul; the next run will upgrade it", state->dir);
	if (version < SCHEMA_VERSION) {
		if (savepoint_begin(state, err) < 0 || savepoint_end(state, schema_take_steps(state, version, SCHEMA_VERSION, err), err) < 0)
			return -1;
	}
	return read_installation(state, err);
}
