/* store.h - what the files of this folder share: the open database, and messages with their deliveries as rows in memory. Private to state/. */
#ifndef MAILHAUL_STATE_STORE_H
#define MAILHAUL_STATE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "channel/record.h"
#include "state/clock.h"
#include "state/delivery.h"
#include "state/reserve.h"
#include "state/sql.h"
#include "state/stage.h"
#include "state/state.h"

#define KEY_HASH_BYTES 16
#define TOMBSTONE_S (30 * 86400) /* servers that lose a message from a listing have it back within days */
#define LISTING_S 86400          /* a complete listing is due so often, whatever the counts say */

#define ADOPT_S (30 * 86400) /* a mailbox that is served for the first time after a loss may have been down for so long */

#define SQL_KEPT_MAX 256 /* a hash table, so that half of it may stay empty */
struct sql_kept {
	const char *text; /* NULL: a free place */
	sqlite3_stmt *statement;
};

struct state {
	char *dir;
	int dir_fd;
	sqlite3 *db;
	struct reserve reserve;
	struct sql_kept kept[SQL_KEPT_MAX];
	char installation[33];
	int64_t busy_at;                             /* when another process last stood in the way, CLOCK_MONOTONIC; 0: not since the last commit */
	struct deadline busy_until;                  /* how long that may go on */
	bool has_log;                                /* write-ahead: its order is kept even where it is not synced */
	bool unsynced;                               /* the last transaction was */
	bool prints_made;                            /* match.c: the temporary index is there */
	struct state_clock clock;                    /* as it was kept last, by whomever */
	bool clock_is_loaded;                        /* clock is what the database says; not after a rollback */
	struct {                                     /* found or done before in this transaction: most of its records are for the same target */
		const char *destination, *recipient; /* of the caller, only compared as pointers */
		int64_t target, accepted;
	} recent;
};

/* The hands of the clock (clock.h) when the wall clock shows now. */
static inline int64_t state_least_s(const struct state *state, int64_t now)
{
	return now + state->clock.least_ahead;
}
static inline int64_t state_most_s(const struct state *state, int64_t now)
{
	return now + state->clock.most_ahead;
}

/* The conditions of the partial indexes. SQLite uses one only where a query repeats its condition word for word. */
#define MESSAGE_IS_UNDELIVERED "stage IN (2, 3)"
#define MESSAGE_IS_OWED "stage = 4 AND disposal <> 0"
#define MESSAGE_RETENTION_END "delivered_clock + retention" /* of one that is owed; 0 without retention. Indexed, in these words */
#define MESSAGE_HAS_LEFT "gone_at <> 0"                     /* GONE, or DISPOSED by deletion */
#define DELIVERY_IS_UNSETTLED "status IN (1, 2, 4, 5)"
#define DELIVERY_IS_IN_DOUBT "(status = 2 OR doubts <> 0)"
#define DELIVERY_IS_HELD "status = 5"
/* No renumbering has a negative epoch: a message that has one is out of the way of its key, and only match.c looks for it. The copies that share a
 * UIDL go there as soon as one of them is gone, since then none of their keys says which one it is. */
#define EPOCH_ASIDE "-id"
#define EPOCH_OF_GONE "CASE instr(key, x'00') WHEN 0 THEN epoch ELSE " EPOCH_ASIDE " END"
_Static_assert(STAGE_OPEN == 2 && STAGE_INTENT == 3 && STAGE_DELIVERED == 4 && DISPOSE_KEEP == 0, "as in the conditions above");
_Static_assert(DELIVERY_OPEN == 1 && DELIVERY_INTENT == 2 && DELIVERY_DEFERRED == 4 && DELIVERY_HELD == 5, "as in the conditions above");

/* schema.c: the tables of a new database; the steps from an older one; the check that we know it. */
#define SCHEMA_VERSION 3
int schema_create(struct state *state, struct error *err);
int schema_upgrade(struct state *state, bool read_only, struct error *err);
/* Inside a transaction: from a version (0: nothing is there yet) to a later one. */
int schema_take_steps(struct state *state, int64_t from, int64_t to, struct error *err);

/* import.c: fills a database that is being built. */
struct import {
	FILE *from;
	const char *name;
};
int import_fill(struct state *state, void *import, struct error *err);

/* sound.c: 1 with what the rows say that cannot be; 0: nothing. */
int sound_contradiction(struct state *state, char *ret_what, size_t size, struct error *err);

/* shrink.c */
void shrink_prepare(struct state *state); /* at opening: a file of the time before it could shrink is made one that can */
/* Forgets at most SHRINK_ROWS messages of a folder that left it at before or earlier, and that nothing can be recognised by. */
int shrink_folder(struct state *state, int64_t folder_id, int64_t before, unsigned *ret_count, struct error *err);
#define SHRINK_ROWS 500

/* A savepoint: part of the caller's transaction if there is one, else a transaction of its own. Not nested. */
int savepoint_begin(struct state *state, struct error *err);
int savepoint_end(struct state *state, int result, struct error *err); /* result < 0: everything since is undone. Returns result, or -1 */

/* folder.c */
struct folder_row {
	int64_t id, mailbox, mark, present, listed_at;
	int64_t epoch;          /* counts renumberings: a UIDVALIDITY may come back */
	int64_t uidvalidity;    /* FOLDER_UNPLANNED, FOLDER_MOVED, or the server's */
	int64_t accepted_epoch; /* what is new in it may be delivered */
	int64_t renumbered_at;  /* since when the changes of UIDVALIDITY are counted */
	unsigned renumberings;
	enum protocol protocol;
};
#define FOLDER_UNPLANNED (-1) /* nothing was ever planned here */
#define FOLDER_MOVED (-2)     /* another server than the one its messages were listed on: renumbered, whatever it says */
int folder_load(struct state *state, int64_t folder_id, struct folder_row *ret_folder, struct error *err);
/* The row of a (destination, recipient) pair; 0 if there is none and make is false. */
int target_find(struct state *state, const struct state_target *target, bool make, int64_t *ret_target, struct error *err);

/* refused.c: it has just accepted something. Inside a transaction. */
int target_note_accepted(struct state *state, int64_t target, int64_t now, struct error *err);
/* epoch.c: what a renumbering means for a folder. Inside a transaction; the caller stores the row. */
int epoch_begin(struct state *state, struct folder_row *folder, int64_t uidvalidity, int64_t now, struct error *err);
/* After a complete listing of something, in which something that was known is missing. */
int epoch_begin_of_uidls(struct state *state, struct folder_row *folder, int64_t now, struct error *err);
/* Of messages that are planned now. */
int epoch_recognition(struct state *state, const struct folder_row *folder, enum recognition *ret_recognition, struct error *err);
#define WAS_NEVER_FETCHED "hash IS NULL AND delivered_at = 0 AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id)"

/* message.c */
struct message_row {
	int64_t id, folder, mailbox;
	enum stage stage;
	enum disposal disposal;
	enum recognition recognition;
	int64_t delivered_at; /* when the last delivery was settled; 0: not yet */
	int64_t retention;    /* seconds from then to its disposal */
	int64_t first_failed_at;
	unsigned attempts; /* fetches that brought nothing, in a row */
	unsigned delivery_count;
	struct delivery_row deliveries[TARGETS_MAX];
};
/* ERR_PROTO with SCOPE_MAILBOX if there is no such message: only a worker can have named it. */
int message_load(struct state *state, uint64_t message_id, struct message_row *ret_message, struct error *err);
/* Writes a delivery back. reply: the peer's words, any bytes; NULL: as before. */
int message_store_delivery(struct state *state, const struct message_row *message, const struct delivery_row *delivery, const char *reply,
	size_t reply_len, struct error *err);
/* When its last delivery is settled the message is delivered; else nothing happens. What nobody accepted stays at the source, unless on_refuse says
 * that it is as good as delivered: dropping a delivery is no rule that disposes of a message. */
int message_settle(struct state *state, struct message_row *message, int64_t now, struct error *err);
/* new_id takes over what is known and was done about old_id, the same message under an older key: prints, disposal, deliveries with their doubts, and
 * the id that they were made under, since that is what an interrupted delivery is found by. */
int message_inherit(struct state *state, int64_t old_id, int64_t new_id, struct error *err);

/* match.c. What a REC_RECOGNIZE says; inside a transaction. */
int message_recognize(struct state *state, const struct message_row *message, const struct record *record, struct error *err);
/* The folder's old messages have changed, or will not be asked for any more. */
int prints_forget(struct state *state, int64_t folder_id, struct error *err);

/* A worker says what cannot be. ERR_PROTO, SCOPE_MAILBOX; returns -1. */
int store_lie(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
