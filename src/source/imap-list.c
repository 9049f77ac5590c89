#include "source/imap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define WINDOW_MESSAGES 50000 /* larger folders are listed in ranges of so many UIDs */
#define WINDOWS_MAX 2000      /* fewer and larger ones where UIDs are sparse: each costs a round trip */
#define LISTED_MAX 1000000

struct entry {
	uint32_t uid;
	uint64_t size;
	int64_t date;
};

/* What one UID FETCH has told so far. Sorted and looked through when it is complete, as servers may answer in any order. */
struct imap_listing {
	uint64_t from, to; /* of the UIDs asked for */
	struct entry *entries;
	size_t count, cap;
	size_t total;       /* of all windows */
	uint32_t announced; /* messages that it will show for the first time */
	bool contradictory;
};

int imap_list_data(struct imap *imap, const struct imap_response *response, struct error *err)
{
	struct imap_listing *listing = imap->listing;
	const struct imap_fetch *fetch = &response->fetch;

	(void)err;
	if (!fetch->has_uid)
		return 0; /* news of flags */
	if (fetch->uid == 0 || fetch->uid > UINT32_MAX || (!fetch->has_size && fetch->uid >= listing->from)) {
		listing->contradictory = true;
		return 0;
	}
	if (fetch->uid < listing->from || fetch->uid > listing->to)
		return 0;
	if (listing->count == listing->cap) { /* at most IMAP_UNTAGGED_MAX, whatever the server does */
		listing->cap = listing->cap != 0 ? 2 * listing->cap : 64;
		listing->entries = xreallocarray(listing->entries, listing->cap, sizeof(*listing->entries));
	}
	if (fetch->uid >= imap->folder.uidnext)
		imap->folder.uidnext = fetch->uid + 1;
	listing->entries[listing->count++] = (struct entry){.uid = (uint32_t)fetch->uid, .size = fetch->size, .date = fetch->date};
	return 0;
}

static int by_uid(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return (left->uid > right->uid) - (left->uid < right->uid);
}

/* UIDs that came twice are left out altogether: nobody can say which message they mean. */
static int hand_out(struct imap_listing *listing, listed_fn *each, void *context, struct error *err)
{
	if (listing->count != 0)
		qsort(listing->entries, listing->count, sizeof(*listing->entries), by_uid);
	for (size_t i = 0, same; i < listing->count; i += same) {
		const struct entry *entry = &listing->entries[i];
		struct listed listed = {.uid = entry->uid, .size = entry->size, .date = entry->date};
		char key[16];

		for (same = 1; i + same < listing->count && entry[same].uid == entry->uid; same++)
			listing->contradictory = true;
		if (same > 1)
			continue;
		listed.key_len = (size_t)snprintf(key, sizeof(key), "%" PRIu32, entry->uid);
		listed.key = key;
		if (++listing->total > LISTED_MAX)
			return error_set(err, ERR_CONFIG, SCOPE_FOLDER, "folder holds more than %d messages; move old ones elsewhere", LISTED_MAX);
		if (each(context, &listed, err) < 0)
			return -1;
	}
	return 0;
}

static int list_window(struct imap *imap, listed_fn *each, void *context, struct error *err)
{
	struct imap_listing *listing = imap->listing;
	struct imap_answer answer = {0};

	listing->count = 0;
	imap_begin(imap, imap_keep_answer, &answer);
	/* Never "n:*": that always names the last message, even below n (RFC 9051 6.4.9). */
	wire_addf(imap->source.wire, "UID FETCH %" PRIu64 ":%" PRIu64 " (UID RFC822.SIZE INTERNALDATE FLAGS)\r\n", listing->from, listing->to);
	imap_fetch_guess(imap, listing->from, listing->announced);
	listing->announced = 0;
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	if (answer.status != IMAP_OK)
		return imap_refused(err, &answer, ERR_TEMP, SCOPE_FOLDER, "server refused to list the folder");
	return hand_out(listing, each, context, err);
}

/* How many UIDs to ask for at once. UIDNEXT is a hint only: the last window always reaches to the end of all UIDs. */
static uint64_t window_width(const struct imap *imap, uint64_t above_uid)
{
	uint64_t uidnext = imap->folder.uidnext;
	uint64_t span = uidnext > above_uid && uidnext <= UINT32_MAX ? uidnext - above_uid : 0;

	if (imap->folder.exists <= WINDOW_MESSAGES || span == 0)
		return UINT32_MAX;
	return span / WINDOWS_MAX > WINDOW_MESSAGES ? span / WINDOWS_MAX : WINDOW_MESSAGES;
}

static int list_windows(struct imap *imap, uint64_t above_uid, listed_fn *each, void *context, struct error *err)
{
	uint64_t width = window_width(imap, above_uid);
	struct imap_listing *listing = imap->listing;

	for (listing->from = above_uid + 1; listing->from <= UINT32_MAX; listing->from = listing->to + 1) {
		uint64_t last = listing->from + width - 1;

		listing->to = last < UINT32_MAX && last + 1 < imap->folder.uidnext ? last : UINT32_MAX;
		if (list_window(imap, each, context, err) < 0)
			return -1;
	}
	return 0;
}

int imap_list(struct source *source, uint64_t above_uid, listed_fn *each, void *context, bool *ret_contradictory, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	struct imap_listing listing = {.announced = imap->arrived};
	int rc = 0;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	imap->listing = &listing;
	imap->arrived = 0; /* what comes from here on may be in the listing, or not */
	if (imap->folder.exists != 0)
		rc = list_windows(imap, above_uid, each, context, err);
	imap->listing = NULL;
	free(listing.entries);
	if (rc == 0)
		*ret_contradictory = listing.contradictory;
	return rc;
}
