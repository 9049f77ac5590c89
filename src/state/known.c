#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/policy.h"
#include "state/store.h"

/* A memory file under construction. */
struct known {
	struct known_header header;
	struct str items, keys, folders;
	int64_t target_ids[TARGETS_MAX]; /* 0: nothing was ever planned for it, or it rests */
	int64_t places[TARGETS_MAX];     /* where they put mail now */
	unsigned target_count;
	int64_t now, least_s, most_s; /* least_s, most_s: the hands of the clock (clock.h) */
	bool everything;              /* what is not due, too: for a list, which nothing is done about */
	bool has_exhausted;           /* deliveries whose last round in doubt ended in a crash */
};

static void done(struct known *known)
{
	str_done(&known->items);
	str_done(&known->keys);
	str_done(&known->folders);
}

/* *ret_place: where it puts mail now. */
static uint64_t target_bit(const struct known *known, int64_t target_id, int64_t *ret_place)
{
	for (unsigned i = 0; i < known->target_count; i++)
		if (known->target_ids[i] == target_id) {
			*ret_place = known->places[i];
			return UINT64_C(1) << i;
		}
	return 0;
}

/* How long ago it may have been intended at most. What a Maildir lacks says nothing about what was intended for another one: older than any can tell. */
static int64_t age_s(const struct delivery_row *delivery, int64_t place, int64_t most_s)
{
	bool moved = place != 0 && delivery->intent_place != 0 && place != delivery->intent_place;

	return moved ? most_s : most_s - delivery->intent_clock;
}

/* There is room for one time of intent, so of several crashed sessions the oldest is settled first; the others wait for the next session. */
static void add_doubtful(struct known_item *item, uint64_t bit, const struct delivery_row *delivery, int64_t age)
{
	int64_t intent_at = delivery->intent_at;

	if (item->doubtful != 0 && intent_at != item->intent_at)
		item->held_back = 1;
	if (item->doubtful == 0 || intent_at < item->intent_at) {
		item->open &= ~item->doubtful;
		item->doubtful = 0;
		item->intent_at = intent_at;
		item->intent_age_s = 0;
	}
	if (intent_at == item->intent_at) {
		if (age > item->intent_age_s)
			item->intent_age_s = age;
		item->doubtful |= bit;
		item->open |= bit;
	}
}

static void add_delivery(struct known *known, struct known_item *item, const struct delivery_row *delivery)
{
	int64_t place = 0;
	uint64_t bit = target_bit(known, delivery->target, &place);

	if (delivery_is_exhausted(delivery)) {
		known->has_exhausted = true;
		item->held_back = 1;
	} else if (bit == 0 || !delivery_is_due(delivery, known->now)) {
		item->held_back = 1;
	} else if (delivery->status == DELIVERY_INTENT || delivery->doubts != 0) {
		add_doubtful(item, bit, delivery, age_s(delivery, place, known->most_s));
	} else {
		item->open |= bit;
	}
}

/* The columns that both queries begin with. */
#define ITEM_COLUMNS "m.id, m.size, m.date, m.hash, m.origin, m.uid, m.disposal, m.disposal_folder, m.recognition"

/* Its number in the list of names. Nobody moves mail to more than a few folders; what is over the number's range stays owed. */
static uint8_t folder_number(struct known *known, const char *name)
{
	unsigned number = 1;

	if (name[0] == '\0')
		return 0;
	for (size_t at = 0; at < known->folders.len; at += strlen(known->folders.data + at) + 1, number++)
		if (strcmp(known->folders.data + at, name) == 0)
			return (uint8_t)number;
	if (number > UINT8_MAX)
		return 0;
	str_add(&known->folders, name, strlen(name) + 1);
	return (uint8_t)number;
}

static struct known_item read_item(struct known *known, sqlite3_stmt *row)
{
	struct known_item item = {
		.id = (uint64_t)sqlite3_column_int64(row, 0),
		.size = (uint64_t)sqlite3_column_int64(row, 1),
		.date = sqlite3_column_int64(row, 2),
		.uid = (uint32_t)sqlite3_column_int64(row, 5),
		.dispose = (uint8_t)sqlite3_column_int(row, 6),
		.folder = folder_number(known, sql_column_text(row, 7)),
		.recognition = (uint8_t)sqlite3_column_int(row, 8),
	};
	int64_t origin = sqlite3_column_int64(row, 4);

	sql_column_bytes(row, 3, item.hash, sizeof(item.hash));
	item.origin = origin != 0 ? (uint64_t)origin : item.id;
	return item;
}

static void add_item(struct known *known, const struct known_item *item)
{
	str_add(&known->items, item, sizeof(*item));
	known->header.item_count++;
}

static void add_if_due(struct known *known, const struct known_item *item)
{
	if (item->open != 0 || (known->everything && item->held_back != 0))
		add_item(known, item);
}

/* One row for each delivery; the rows of a message follow each other. */
static int add_undelivered(struct state *state, struct known *known, int64_t folder_id, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT " ITEM_COLUMNS
		", m.next_try, d.target, d.status, d.next_try, d.intent_at, d.doubts, d.intent_clock, m.retention, d.intent_place"
		" FROM message m JOIN delivery d ON d.message = m.id"
		" WHERE m.folder = ?1 AND m." MESSAGE_IS_UNDELIVERED " AND d." DELIVERY_IS_UNSETTLED " ORDER BY m.id",
		SQL_NUMBER(folder_id));
	struct known_item item = {0};
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		struct delivery_row delivery = {
			.target = sqlite3_column_int64(row, 10),
			.status = (enum delivery_stage)sqlite3_column_int(row, 11),
			.next_try = sqlite3_column_int64(row, 12),
			.intent_at = sqlite3_column_int64(row, 13),
			.doubts = (unsigned)sqlite3_column_int64(row, 14),
			.intent_clock = sqlite3_column_int64(row, 15),
			.intent_place = sqlite3_column_int64(row, 17),
		};

		if ((uint64_t)sqlite3_column_int64(row, 0) != item.id) {
			add_if_due(known, &item);
			item = read_item(known, row);
			if (sqlite3_column_int64(row, 16) != 0)
				item.dispose = DISPOSE_KEEP; /* its retention begins when it is delivered */
		}
		if (backoff_is_over(BACKOFF_MESSAGE, sqlite3_column_int64(row, 9), known->now))
			add_delivery(known, &item, &delivery);
		else
			item.held_back = 1;
	}
	add_if_due(known, &item);
	return found;
}

static int compare_id(const void *left, const void *right)
{
	uint64_t a = ((const struct known_item *)left)->id, b = ((const struct known_item *)right)->id;

	return (a > b) - (a < b);
}

static int add_owed(struct state *state, struct known *known, int64_t folder_id, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT " ITEM_COLUMNS " FROM message m WHERE m.folder = ?1 AND " MESSAGE_IS_OWED " AND " MESSAGE_RETENTION_END " <= ?2",
		SQL_NUMBER(folder_id), SQL_NUMBER(known->least_s));
	int found;

	while ((found = sql_step(state, row, err)) > 0) {
		struct known_item item = read_item(known, row);

		add_item(known, &item);
	}
	return found;
}

/* In the order of the index. Left out: tombstones past their time, and of those that vanished before they were delivered: should they be listed again,
 * they are new (plan.c). On POP3 whatever has left: its unique id may mean another message now (RFC 1939 7). There sizes are compared with the items'
 * alone, and the index has all that is asked for; tens of thousands of keys are read at every poll. */
#define KEYS_IN_ORDER(columns)                                                                                                      \
	"SELECT key_hash, id, " columns " FROM message WHERE folder = ?1 AND epoch = ?2 AND id NOT IN"                              \
	" (SELECT g.id FROM message g WHERE g.folder = ?1 AND g." MESSAGE_HAS_LEFT " AND (?5 OR (g.stage = ?4 AND (g.gone_at <= ?3" \
	"  OR (g.delivered_at = 0 AND EXISTS (SELECT 1 FROM delivery d WHERE d.message = g.id)))))) ORDER BY key_hash"

static int add_keys(struct state *state, struct known *known, const struct folder_row *folder, struct error *err)
{
	bool pop3 = folder->protocol == PROTOCOL_POP3;
	const struct sql_value values[] = {SQL_NUMBER(folder->id), SQL_NUMBER(folder->epoch), SQL_NUMBER(known->least_s - TOMBSTONE_S),
		SQL_NUMBER(STAGE_GONE), SQL_NUMBER(pop3)};
	sqlite3_stmt *row SQL_SCOPED =
		sql_query_values(state, err, pop3 ? KEYS_IN_ORDER("0, 0") : KEYS_IN_ORDER("size, date"), values, ARRAY_SIZE(values));
	int found;

	if (folder->present > 0)
		str_reserve(&known->keys, (size_t)folder->present * sizeof(struct known_key));
	while ((found = sql_step(state, row, err)) > 0) {
		struct known_key key = {
			.id = (uint64_t)sqlite3_column_int64(row, 1),
			.size = (uint32_t)sqlite3_column_int64(row, 2),
			.date = (uint32_t)sqlite3_column_int64(row, 3),
		};

		sql_column_bytes(row, 0, key.key, sizeof(key.key));
		str_add(&known->keys, &key, sizeof(key));
		known->header.key_count++;
	}
	return found;
}

/* The last round of these left no verdict behind, so nobody could hold them then. */
static int hold_exhausted(struct state *state, int64_t folder_id, int64_t now, struct error *err)
{
	return sql_run(state, err,
		"UPDATE delivery SET status = ?2, next_try = ?3, held_at = CASE held_at WHEN 0 THEN ?4 ELSE held_at END"
		" WHERE status = ?5 AND doubts + 1 >= ?6 AND message IN (SELECT id FROM message WHERE folder = ?1 AND " MESSAGE_IS_UNDELIVERED ")",
		SQL_NUMBER(folder_id), SQL_NUMBER(DELIVERY_HELD), SQL_NUMBER(NEXT_TRY_BY_HAND), SQL_NUMBER(now), SQL_NUMBER(DELIVERY_INTENT),
		SQL_NUMBER(DOUBT_ROUNDS_MAX));
}

static bool complete_listing_is_due(const struct folder_row *folder, uint32_t exists, int64_t now)
{
	return folder->protocol == PROTOCOL_POP3 || folder->present != exists || folder->listed_at > now || now - folder->listed_at >= LISTING_S;
}

static int collect(
	struct state *state, struct known *known, const struct folder_row *folder, uint32_t exists, enum known_wish wish, struct error *err)
{
	known->header.mark = (uint64_t)folder->mark;
	known->header.want_complete = complete_listing_is_due(folder, exists, known->now);
	if (add_undelivered(state, known, folder->id, err) < 0 || add_owed(state, known, folder->id, err) < 0)
		return -1;
	if (known->header.item_count != 0)
		qsort(known->items.data, known->header.item_count, sizeof(struct known_item), compare_id);
	if (known->has_exhausted && hold_exhausted(state, folder->id, known->now, err) < 0)
		return -1;
	known->header.held_now = known->has_exhausted;
	if (wish != KNOWN_ITEMS && (wish == KNOWN_ALL_KEYS || known->header.want_complete || known->header.first_run))
		return add_keys(state, known, folder, err);
	return 0;
}

static int seal(struct known *known, struct error *err)
{
	struct str file = {0};
	int fd;

	known->header.folders_len = (uint32_t)known->folders.len;
	str_reserve(&file, sizeof(known->header) + known->items.len + known->keys.len + known->folders.len);
	str_add(&file, &known->header, sizeof(known->header));
	str_add(&file, known->items.data, known->items.len);
	str_add(&file, known->keys.data, known->keys.len);
	str_add(&file, known->folders.data, known->folders.len);
	fd = fs_sealed("known", file.data, file.len, err);
	str_done(&file);
	return fd;
}

/* Without a UIDVALIDITY nobody promises that the UIDs of the last session mean the same messages now. */
static bool is_renumbered(const struct folder_row *folder, uint64_t uidvalidity, enum known_wish wish)
{
	bool unstable = folder->protocol == PROTOCOL_IMAP && uidvalidity == 0 && wish != KNOWN_ITEMS;

	return unstable || folder->uidvalidity != (int64_t)uidvalidity;
}

int state_known(struct state *state, int64_t folder_id, uint64_t uidvalidity, uint32_t exists, enum known_wish wish,
	const struct state_target *targets, unsigned target_count, int64_t now, int *ret_fd, struct error *err)
{
	struct known known = {.target_count = target_count,
		.now = now,
		.least_s = state_least_s(state, now),
		.most_s = state_most_s(state, now),
		.everything = wish == KNOWN_ALL_KEYS};
	struct folder_row folder;
	int result = 0, fd = -1;

	assert(target_count <= TARGETS_MAX);
	if (folder_load(state, folder_id, &folder, err) < 0)
		return -1;
	for (unsigned i = 0; i < target_count; i++) {
		known.places[i] = targets[i].place;
		if (targets[i].resting)
			known.header.resting |= UINT64_C(1) << i;
		else if (target_find(state, &targets[i], false, &known.target_ids[i], err) < 0)
			return -1;
	}
	known.header.first_run = folder.uidvalidity == FOLDER_UNPLANNED;
	known.header.renumbered = !known.header.first_run && is_renumbered(&folder, uidvalidity, wish);
	if (known.header.renumbered)
		known.header.want_complete = 1;
	else
		result = collect(state, &known, &folder, exists, wish, err);
	if (result == 0)
		fd = seal(&known, err);
	done(&known);
	if (fd < 0)
		return -1;
	*ret_fd = fd;
	return 0;
}

static int read_listing(struct state *state, int64_t folder_id, struct folder_facts *facts, struct error *err)
{
	sqlite3_stmt *row SQL_SCOPED =
		sql_query(state, err, "SELECT listing FROM folder WHERE id = ?1 AND listing IS NOT NULL", SQL_NUMBER(folder_id));
	int found = sql_step(state, row, err);

	if (found > 0)
		sql_column_bytes(row, 0, facts->listing, sizeof(facts->listing));
	facts->has_listing = found > 0;
	return found;
}

/* The same questions as state_known's, with the answer that makes all further ones superfluous. What that one would hold is left to it. */
static int look_for_work(struct state *state, struct known *known, const struct folder_row *folder, struct folder_facts *facts, struct error *err)
{
	bool listed = folder->uidvalidity >= 0 && folder->listed_at <= known->now && known->now - folder->listed_at < LISTING_S;

	if (!listed)
		return 0;
	if (add_undelivered(state, known, folder->id, err) < 0 || add_owed(state, known, folder->id, err) < 0)
		return -1;
	facts->settled = known->header.item_count == 0 && !known->has_exhausted;
	return read_listing(state, folder->id, facts, err) < 0 ? -1 : 0;
}

int state_folder_facts(struct state *state, int64_t folder_id, const struct state_target *targets, unsigned target_count, int64_t now,
	struct folder_facts *ret_facts, struct error *err)
{
	struct known known = {.target_count = target_count, .now = now, .least_s = state_least_s(state, now), .most_s = state_most_s(state, now)};
	struct folder_row folder;
	int result;

	if (folder_load(state, folder_id, &folder, err) < 0)
		return -1;
	*ret_facts = (struct folder_facts){.uidvalidity = (uint64_t)folder.uidvalidity,
		.mark = (uint64_t)folder.mark,
		.present = folder.present >= 0 && folder.present <= UINT32_MAX ? (uint32_t)folder.present : 0};
	for (unsigned i = 0; i < target_count; i++)
		if (target_find(state, &targets[i], false, &known.target_ids[i], err) < 0)
			return -1;
	result = look_for_work(state, &known, &folder, ret_facts, err);
	done(&known);
	return result;
}
