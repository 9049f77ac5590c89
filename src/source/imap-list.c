#include "source/imap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	struct imap_answer answer;
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

static void ask(struct imap *imap, uint64_t from, uint64_t to)
{
	struct imap_listing *listing = imap->listing;

	listing->from = from;
	listing->to = to;
	listing->count = 0;
	listing->answer = (struct imap_answer){0};
	imap_begin(imap, imap_keep_answer, &listing->answer);
	/* Never "n:*": that always names the last message, even below n (RFC 9051 6.4.9). */
	wire_addf(imap->source.wire, "UID FETCH %" PRIu64 ":%" PRIu64 " (UID RFC822.SIZE INTERNALDATE FLAGS)\r\n", from, to);
	imap_guess_add(imap, from, listing->announced);
	listing->announced = 0;
}

/* How many UIDs to ask for at once. UIDNEXT is a hint only: the last window always reaches to the end of all UIDs. */
static void ask_for_window(struct imap *imap, uint64_t from)
{
	uint64_t uidnext = imap->folder.uidnext, width, last;
	uint64_t span = uidnext > from && uidnext <= UINT32_MAX ? uidnext - from : 0;

	if (imap->folder.exists <= WINDOW_MESSAGES || span == 0)
		width = UINT32_MAX;
	else
		width = span / WINDOWS_MAX > WINDOW_MESSAGES ? span / WINDOWS_MAX : WINDOW_MESSAGES;
	last = from + width - 1;
	ask(imap, from, last < UINT32_MAX && last + 1 < uidnext ? last : UINT32_MAX);
}

static void listing_new(struct imap *imap)
{
	imap_list_done(imap);
	imap->listing = xcalloc(1, sizeof(*imap->listing));
}

void imap_list_done(struct imap *imap)
{
	if (imap->listing != NULL)
		free(imap->listing->entries);
	free(imap->listing);
	imap->listing = NULL;
}

bool imap_list_is_under_way(const struct imap *imap)
{
	return imap->listing != NULL && !imap->listing->answer.done;
}

/* --- with SELECT --- */

/* Which of the mailbox's folders it is; -1: none of which anything is known. */
static int folder_index(const struct imap *imap, const char *folder)
{
	char *const *folders = imap->context->mailbox->folders;

	for (int i = 0; imap->context->folders != NULL && folders != NULL && folders[i] != NULL; i++)
		if (strcmp(folders[i], folder) == 0)
			return i;
	return -1;
}

void imap_list_ahead(struct imap *imap, const char *folder)
{
	uint64_t uidnext, first = imap_place_announced(imap, folder, &uidnext), mark;
	int index = folder_index(imap, folder);

	if (first != 0 && first <= UINT32_MAX && !imap_goes_step_by_step(imap)) {
		listing_new(imap);
		imap->listing->announced = uidnext - first < UINT32_MAX ? (uint32_t)(uidnext - first) : UINT32_MAX;
		ask(imap, first, UINT32_MAX);
		return;
	}
	if (index < imap->listed_ahead || imap_goes_step_by_step(imap))
		return;
	imap->listed_ahead = index + 1;
	mark = imap->context->folders[index].mark;
	if (mark >= UINT32_MAX)
		return;
	listing_new(imap);
	ask(imap, mark + 1, mark + WINDOW_MESSAGES < UINT32_MAX ? mark + WINDOW_MESSAGES : UINT32_MAX);
}

int imap_list_count_ahead(struct imap *imap, uint32_t *ret_count, struct error *err)
{
	struct imap_listing *listing = imap->listing;

	*ret_count = 0;
	if (listing == NULL)
		return 0;
	if (imap_wait(imap, &listing->answer.done, err) < 0)
		return -1;
	if (listing->answer.status == IMAP_OK && !listing->contradictory && listing->count <= imap->folder.exists)
		*ret_count = (uint32_t)listing->count;
	return 0;
}

/* --- on its own --- */

/* Behind this window there is nothing, as far as the server has said. */
static bool is_last_window(const struct imap *imap, uint64_t above_uid)
{
	const struct imap_listing *listing = imap->listing;
	uint64_t uidnext = imap->folder.uidnext;

	if (listing->to == UINT32_MAX)
		return true;
	return above_uid == 0 ? listing->total >= imap->folder.exists : uidnext != 0 && uidnext <= listing->to + 1;
}

static int list_windows(struct imap *imap, uint64_t above_uid, listed_fn *each, void *context, struct error *err)
{
	struct imap_listing *listing = imap->listing;

	for (;;) {
		if (imap_wait(imap, &listing->answer.done, err) < 0)
			return -1;
		if (listing->answer.status != IMAP_OK)
			return imap_refused(err, &listing->answer, ERR_TEMP, SCOPE_FOLDER, "server refused to list the folder");
		if (hand_out(listing, each, context, err) < 0)
			return -1;
		if (is_last_window(imap, above_uid))
			return 0;
		ask_for_window(imap, listing->to + 1);
	}
}

int imap_list(struct source *source, uint64_t above_uid, listed_fn *each, void *context, bool *ret_contradictory, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	const struct imap_listing *ahead = imap->listing;
	int rc;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	*ret_contradictory = false;
	if (imap->folder.exists == 0 || above_uid >= UINT32_MAX)
		return 0;
	if (ahead == NULL || ahead->from != above_uid + 1 || ahead->answer.status != IMAP_OK) { /* a refusal is asked for again, for its words */
		listing_new(imap);
		imap->listing->announced = imap->arrived;
		imap->arrived = 0; /* what comes from here on may be in the listing, or not */
		ask_for_window(imap, above_uid + 1);
	}
	rc = list_windows(imap, above_uid, each, context, err);
	if (rc == 0)
		*ret_contradictory = imap->listing->contradictory;
	imap_list_done(imap);
	return rc;
}
