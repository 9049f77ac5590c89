#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "state/plan-read.h"
#include "state/store.h"

/* All that new messages have in common. */
struct planting {
	struct folder_row folder;
	int64_t targets[TARGETS_MAX];
	unsigned target_count;
	const struct after_delivery *disposal;
	int64_t now, first_id, next_id;
	int64_t least_s; /* clock.h; what left is kept for so long, however the wall clock jumps */
	enum recognition recognition;
	bool inherited; /* some of the new messages go on with deliveries that were begun before */
};

/* -- New messages -- */

static int insert_deliveries(struct state *state, const struct planting *planting, int64_t message_id, struct error *err)
{
	for (unsigned i = 0; i < planting->target_count; i++)
		if (sql_run(state, err, "INSERT INTO delivery (message, target, status) VALUES (?1, ?2, ?3)", SQL_NUMBER(message_id),
			    SQL_NUMBER(planting->targets[i]), SQL_NUMBER(DELIVERY_OPEN)) < 0)
			return -1;
	return 0;
}

/* 1: done; 0: a message with this key is there already. */
static int insert_message(
	struct state *state, struct planting *planting, const struct plan_row *entry, const uint8_t key_hash[KEY_HASH_BYTES], struct error *err)
{
	const struct plan_entry *head = &entry->head;

	if (sql_run(state, err,
		    "INSERT INTO message (id, folder, epoch, key, key_hash, uid, size, date, stage, disposal, disposal_folder, retention, "
		    "recognition)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
		    SQL_NUMBER(planting->next_id), SQL_NUMBER(planting->folder.id), SQL_NUMBER(planting->folder.epoch),
		    SQL_BLOB(entry->key, head->key_len), SQL_BLOB(key_hash, KEY_HASH_BYTES),
		    SQL_NUMBER(planting->folder.protocol == PROTOCOL_IMAP ? head->uid : 0), SQL_NUMBER(head->size), SQL_NUMBER(head->date),
		    SQL_NUMBER(head->baseline ? STAGE_BASELINE : STAGE_OPEN), SQL_NUMBER(planting->disposal->what),
		    SQL_TEXT(planting->disposal->folder), SQL_NUMBER(planting->disposal->retention_s),
		    SQL_NUMBER(head->baseline ? RECOGNITION_NONE : planting->recognition)) < 0)
		return -1;
	if (sqlite3_changes(state->db) == 0)
		return 0;
	if (!head->baseline && insert_deliveries(state, planting, planting->next_id, err) < 0)
		return -1;
	planting->next_id++;
	return 1;
}

/* A message that is not what its key says now is gone. Its row goes out of the way, and is kept for a comparison (match.c). */
static int set_aside(
	struct state *state, struct planting *planting, const uint8_t key_hash[KEY_HASH_BYTES], const struct plan_entry *listed, struct error *err)
{
	struct folder_row *folder = &planting->folder;

	if (sql_run(state, err,
		    "UPDATE message SET stage = ?4, gone_at = ?5 WHERE folder = ?1 AND epoch = ?2 AND key_hash = ?3 AND gone_at = 0"
		    " AND size IS NOT ?6",
		    SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES), SQL_NUMBER(STAGE_GONE),
		    SQL_NUMBER(planting->least_s), listed != NULL ? SQL_NUMBER(listed->size) : SQL_BLOB(NULL, 0)) < 0)
		return -1;
	folder->present -= sqlite3_changes(state->db);
	return sql_run(state, err,
		"UPDATE message SET epoch = " EPOCH_ASIDE " WHERE folder = ?1 AND epoch = ?2 AND key_hash = ?3 AND " MESSAGE_HAS_LEFT,
		SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES));
}

/* IMAP: a UID never means another message (RFC 9051 2.3.1.1), and servers that rewrite bodies change the size of one. But with another size and another
 * date it is one all the same: a server that was restored from a backup gives its numbers a second time. */
static int set_aside_another(
	struct state *state, struct planting *planting, const uint8_t key_hash[KEY_HASH_BYTES], const struct plan_entry *listed, struct error *err)
{
	struct folder_row *folder = &planting->folder;

	if (listed->date == 0)
		return 0;
#define IS_ANOTHER "folder = ?1 AND epoch = ?2 AND key_hash = ?3 AND size <> ?4 AND date <> ?5 AND date <> 0"
	if (sql_run(state, err, "UPDATE message SET stage = ?6, gone_at = ?7 WHERE " IS_ANOTHER " AND gone_at = 0", SQL_NUMBER(folder->id),
		    SQL_NUMBER(folder->epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES), SQL_NUMBER(listed->size), SQL_NUMBER(listed->date),
		    SQL_NUMBER(STAGE_GONE), SQL_NUMBER(planting->least_s)) < 0)
		return -1;
	folder->present -= sqlite3_changes(state->db);
	return sql_run(state, err, "UPDATE message SET epoch = " EPOCH_ASIDE " WHERE " IS_ANOTHER " AND " MESSAGE_HAS_LEFT, SQL_NUMBER(folder->id),
		SQL_NUMBER(folder->epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES), SQL_NUMBER(listed->size), SQL_NUMBER(listed->date));
}

/* Something has the key of a new entry. POP3: a unique id may be given to another message once its own is gone (RFC 1939 7), which its size can give away
 * before we were told. */
static int free_key(
	struct state *state, struct planting *planting, const struct plan_row *entry, const uint8_t key_hash[KEY_HASH_BYTES], struct error *err)
{
	if (planting->folder.protocol == PROTOCOL_POP3)
		return set_aside(state, planting, key_hash, &entry->head, err);
	return set_aside_another(state, planting, key_hash, &entry->head, err);
}

/* POP3, where copies share a UIDL now: one that had it alone is one of them. */
static int free_shared_uidl(struct state *state, struct planting *planting, const struct plan_row *entry, struct error *err)
{
	const uint8_t *end = memchr(entry->key, '\0', entry->head.key_len);
	uint8_t uidl_hash[SHA256_BYTES];

	if (planting->folder.protocol != PROTOCOL_POP3 || end == NULL)
		return 0;
	sha256_of(entry->key, (size_t)(end - entry->key), uidl_hash);
	return set_aside(state, planting, uidl_hash, NULL, err);
}

/* What holds the key of a new entry: 1 with its id if it may give way, 0 if the worker knew better. A message that vanished before it was
 * delivered and is listed again (servers do that) was not among the keys; a tombstone past its time neither. */
static int find_predecessor(struct state *state, const struct planting *planting, const uint8_t key_hash[KEY_HASH_BYTES], int64_t *ret_id,
	bool *ret_touched, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT m.id, m.stage, m.gone_at, m.delivered_at = 0 AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id),"
		" EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.status IN (?4, ?5, ?6))"
		" FROM message m WHERE m.folder = ?1 AND m.epoch = ?2 AND m.key_hash = ?3",
		SQL_NUMBER(planting->folder.id), SQL_NUMBER(planting->folder.epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES), SQL_NUMBER(DELIVERY_INTENT),
		SQL_NUMBER(DELIVERY_ACCEPTED), SQL_NUMBER(DELIVERY_HELD));
	int found = sql_step(state, row, err);
	bool expired;

	if (found <= 0)
		return found;
	expired = sqlite3_column_int64(row, 2) <= planting->least_s - TOMBSTONE_S;
	*ret_id = sqlite3_column_int64(row, 0);
	*ret_touched = !expired && sqlite3_column_int(row, 4) != 0;
	return sqlite3_column_int(row, 1) == STAGE_GONE && (expired || sqlite3_column_int(row, 3) != 0);
}

/* What was already done for the old one counts for the new one: no second copy where it was accepted, doubts stay doubts, and held stays held. The worker,
 * which cannot know, is told to ask again. */
static int replace_predecessor(
	struct state *state, struct planting *planting, const struct plan_row *entry, const uint8_t key_hash[KEY_HASH_BYTES], struct error *err)
{
	int64_t old_id;
	bool touched;
	int found = find_predecessor(state, planting, key_hash, &old_id, &touched, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return store_lie(err, "a message as new that is known, or twice");
	if (sql_run(state, err, "UPDATE message SET epoch = " EPOCH_ASIDE " WHERE id = ?1", SQL_NUMBER(old_id)) < 0 ||
		insert_message(state, planting, entry, key_hash, err) <= 0)
		return -1;
	if (touched && !entry->head.baseline) {
		if (message_inherit(state, old_id, planting->next_id - 1, err) < 0)
			return -1;
		planting->inherited = true;
	}
	return sql_run(state, err, "DELETE FROM message WHERE id = ?1", SQL_NUMBER(old_id));
}

static int add_entry(struct state *state, struct planting *planting, const struct plan_row *entry, struct error *err)
{
	uint8_t key_hash[SHA256_BYTES];
	int done;

	if (free_shared_uidl(state, planting, entry, err) < 0)
		return -1;
	sha256_of(entry->key, entry->head.key_len, key_hash);
	done = insert_message(state, planting, entry, key_hash, err);
	if (done != 0)
		return done;
	if (free_key(state, planting, entry, key_hash, err) < 0)
		return -1;
	done = insert_message(state, planting, entry, key_hash, err);
	return done != 0 ? done : replace_predecessor(state, planting, entry, key_hash, err);
}

static int add_entries(struct state *state, struct planting *planting, const struct plan_view *plan, struct error *err)
{
	const uint8_t *at = plan->entries;

	/* Numbered by hand, since the answer to the worker names the first one only: a key in conflict must not leave a gap. */
	if (sql_number(state, err, &planting->next_id, "SELECT seq + 1 FROM sqlite_sequence WHERE name = ?1", SQL_TEXT("message")) < 0)
		return -1;
	if (planting->next_id == 0)
		planting->next_id = 1;
	planting->first_id = plan->header.entry_count != 0 ? planting->next_id : 0;
	for (uint64_t i = 0; i < plan->header.entry_count; i++) {
		struct plan_row entry = {0};

		at = plan_next_entry(at, plan->end, &entry);
		if (add_entry(state, planting, &entry, err) < 0)
			return -1;
	}
	planting->folder.present += (int64_t)plan->header.entry_count;
	return 0;
}

/* -- Messages that left -- */

static int mark_gone(struct state *state, struct planting *planting, int64_t message_id, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err, "SELECT folder, epoch, stage FROM message WHERE id = ?1", SQL_NUMBER(message_id));
	int found = sql_step(state, row, err);
	enum stage now_at;

	if (found < 0)
		return -1;
	if (found == 0 || sqlite3_column_int64(row, 0) != planting->folder.id || sqlite3_column_int64(row, 1) != planting->folder.epoch)
		return store_lie(err, "a message as gone that is not of this folder");
	now_at = (enum stage)sqlite3_column_int(row, 2);
	if (!stage_may_follow(STAGE_GONE, now_at))
		return 0; /* a tombstone, whose key the worker was given too */
	return sql_run(state, err, "UPDATE message SET stage = ?2, gone_at = ?3, epoch = " EPOCH_OF_GONE " WHERE id = ?1", SQL_NUMBER(message_id),
		SQL_NUMBER(STAGE_GONE), SQL_NUMBER(planting->least_s));
}

static int bury(struct state *state, struct planting *planting, const struct plan_view *plan, struct error *err)
{
	for (uint64_t i = 0; i < plan->header.gone_count; i++) {
		uint64_t id;

		memcpy(&id, plan->gone + i * sizeof(id), sizeof(id));
		if (mark_gone(state, planting, (int64_t)id, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_ids(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static int come_back(struct state *state, struct planting *planting, int64_t message_id, struct error *err)
{
	planting->folder.present++;
	return sql_run(state, err, "UPDATE message SET gone_at = 0, stage = CASE WHEN delivered_at <> 0 THEN ?2 ELSE ?3 END WHERE id = ?1",
		SQL_NUMBER(message_id), SQL_NUMBER(STAGE_DELIVERED), SQL_NUMBER(STAGE_BASELINE));
}

/* The worker was given the keys of what has left, too, and says of which nothing is to be seen. The others are listed again: an expunge that was taken
 * back, or a replica that is behind. They were delivered, and what is owed for them is owed again. */
static int find_returned(struct state *state, struct planting *planting, const uint64_t *gone, size_t count, struct error *err)
{
	/* As in add_keys of known.c. Each message leaves the index as it comes back, behind the point where this search stands. */
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT id FROM message m WHERE folder = ?1 AND epoch = ?2 AND " MESSAGE_HAS_LEFT " AND NOT (stage = ?4 AND (gone_at <= ?3"
		" OR (delivered_at = 0 AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id))))",
		SQL_NUMBER(planting->folder.id), SQL_NUMBER(planting->folder.epoch), SQL_NUMBER(planting->least_s - TOMBSTONE_S),
		SQL_NUMBER(STAGE_GONE));
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		uint64_t id = (uint64_t)sqlite3_column_int64(row, 0);

		if ((count == 0 || bsearch(&id, gone, count, sizeof(id), compare_ids) == NULL) && come_back(state, planting, (int64_t)id, err) < 0)
			return -1;
	}
	return found;
}

static int take_back(struct state *state, struct planting *planting, const struct plan_view *plan, struct error *err)
{
	size_t count = plan->header.gone_count;
	uint64_t *gone = xcalloc(count, sizeof(*gone));
	int result;

	if (count != 0) {
		memcpy(gone, plan->gone, count * sizeof(*gone));
		qsort(gone, count, sizeof(*gone), compare_ids);
	}
	result = find_returned(state, planting, gone, count, err);
	free(gone);
	return result;
}

/* After a complete listing: forgets old tombstones, some hundred at most, and counts what is there rather than trusting the sum of all changes. */
static int tidy(struct state *state, struct planting *planting, struct error *err)
{
	unsigned forgotten;

	planting->folder.listed_at = planting->now;
	if (shrink_folder(state, planting->folder.id, planting->least_s - TOMBSTONE_S, &forgotten, err) < 0)
		return -1;
	return sql_number(state, err, &planting->folder.present,
		"SELECT (SELECT count(*) FROM message WHERE folder = ?1 AND epoch = ?2)"
		" - (SELECT count(*) FROM message WHERE folder = ?1 AND epoch = ?2 AND " MESSAGE_HAS_LEFT ")",
		SQL_NUMBER(planting->folder.id), SQL_NUMBER(planting->folder.epoch));
}

/* -- The whole -- */

static int store_folder(struct state *state, const struct folder_row *folder, struct error *err)
{
	return sql_run(state, err,
		"UPDATE folder SET epoch = ?2, uidvalidity = ?3, mark = ?4, present = ?5, listed_at = ?6, renumberings = ?7, renumbered_at = ?8"
		" WHERE id = ?1",
		SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(folder->uidvalidity), SQL_NUMBER(folder->mark),
		SQL_NUMBER(folder->present), SQL_NUMBER(folder->listed_at), SQL_NUMBER(folder->renumberings), SQL_NUMBER(folder->renumbered_at));
}

/* A message whose UIDL another one has, too, got another key by that (pop3-listing.h), and is there all the same. */
static int find_copy(struct state *state, const struct planting *planting, const struct plan_view *plan, bool *ret_found, struct error *err)
{
	const uint8_t *at = plan->entries;
	int64_t found = 0;

	for (uint64_t i = 0; i < plan->header.entry_count && found == 0; i++) {
		uint8_t key_hash[SHA256_BYTES];
		struct plan_row entry = {0};
		const uint8_t *end;

		at = plan_next_entry(at, plan->end, &entry);
		end = memchr(entry.key, '\0', entry.head.key_len);
		if (end == NULL)
			continue;
		sha256_of(entry.key, (size_t)(end - entry.key), key_hash);
		if (sql_number(state, err, &found, "SELECT EXISTS (SELECT 1 FROM message WHERE folder = ?1 AND epoch = ?2 AND key_hash = ?3)",
			    SQL_NUMBER(planting->folder.id), SQL_NUMBER(planting->folder.epoch), SQL_BLOB(key_hash, KEY_HASH_BYTES)) < 0)
			return -1;
	}
	*ret_found = found != 0;
	return 0;
}

/* POP3: nothing that was listed before is listed now, but something else is. */
static int look_for_new_uidls(struct state *state, struct planting *planting, const struct plan_view *plan, struct error *err)
{
	bool copied;

	if (planting->folder.protocol != PROTOCOL_POP3 || plan->header.entry_count == 0 || plan->header.gone_count == 0)
		return 0;
	if (find_copy(state, planting, plan, &copied, err) < 0)
		return -1;
	return copied ? 0 : epoch_begin_of_uidls(state, &planting->folder, planting->least_s, err);
}

/* With it the next session can tell that nothing has changed without looking anything up. */
static int store_listing(struct state *state, const struct folder_row *folder, const struct record *record, struct error *err)
{
	bool usable = (record->flags & (REC_COMPLETE | REC_LISTING)) == (REC_COMPLETE | REC_LISTING);

	return sql_run(state, err, "UPDATE folder SET listing = ?2 WHERE id = ?1", SQL_NUMBER(folder->id),
		usable ? SQL_BLOB(record->hash, sizeof(record->hash)) : SQL_BLOB(NULL, 0));
}

static int carry_out(struct state *state, struct planting *planting, const struct record *record, const struct plan_view *plan, struct error *err)
{
	struct folder_row *folder = &planting->folder;
	bool complete = (record->flags & REC_COMPLETE) != 0;

	if (epoch_begin(state, folder, (int64_t)record->uidvalidity, planting->least_s, err) < 0 || bury(state, planting, plan, err) < 0)
		return -1;
	if (complete && folder->protocol == PROTOCOL_IMAP && take_back(state, planting, plan, err) < 0)
		return -1;
	if (complete && look_for_new_uidls(state, planting, plan, err) < 0)
		return -1;
	if (epoch_recognition(state, folder, &planting->recognition, err) < 0 || add_entries(state, planting, plan, err) < 0 ||
		(complete && tidy(state, planting, err) < 0))
		return -1;
	if ((int64_t)plan->header.mark > folder->mark)
		folder->mark = (int64_t)plan->header.mark;
	return store_folder(state, folder, err) < 0 ? -1 : store_listing(state, folder, record, err);
}

static int find_targets(
	struct state *state, struct planting *planting, const struct state_target *targets, unsigned target_count, uint64_t frozen, struct error *err)
{
	for (unsigned i = 0; i < target_count; i++)
		if ((frozen >> i & 1) != 0 && target_find(state, &targets[i], true, &planting->targets[planting->target_count++], err) < 0)
			return -1;
	assert(planting->target_count == (unsigned)__builtin_popcountll(frozen) && frozen != 0);
	return 0;
}

int state_plan(struct state *state, int64_t folder_id, const struct record *record, const void *plan_bytes, size_t len,
	const struct state_target *targets, unsigned target_count, uint64_t frozen, const struct after_delivery *disposal, int64_t now,
	struct planned *ret_planned, struct error *err)
{
	struct planting planting = {.disposal = disposal, .now = now, .least_s = state_least_s(state, now)};
	struct plan_view plan;
	int64_t before;
	int result;

	if (folder_load(state, folder_id, &planting.folder, err) < 0 || plan_read(plan_bytes, len, &planting.folder, &plan, err) < 0)
		return -1;
	if (record->uidvalidity > UINT32_MAX)
		return store_lie(err, "a UIDVALIDITY of more than 32 bits");
	if (plan.header.gone_count != 0 && (record->flags & REC_COMPLETE) == 0)
		return store_lie(err, "messages as gone without a complete listing");
	before = planting.folder.uidvalidity;
	if (savepoint_begin(state, err) < 0)
		return -1;
	result = find_targets(state, &planting, targets, target_count, frozen, err);
	if (result == 0)
		result = carry_out(state, &planting, record, &plan, err);
	if (result == 0)
		result = prints_forget(state, folder_id, err);
	if (savepoint_end(state, result, err) < 0)
		return -1;
	*ret_planned = (struct planned){
		.first_id = (uint64_t)planting.first_id,
		.recognition = planting.recognition,
		.inherited = planting.inherited,
		.renumberings = planting.folder.renumberings,
		.became_unstable = planting.folder.protocol == PROTOCOL_IMAP && record->uidvalidity == 0 && before != 0,
	};
	return 0;
}
