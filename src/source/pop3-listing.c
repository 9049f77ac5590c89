#include "source/pop3-listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "source/pop3-reply.h"

/* Servers may count a message that arrives while they list. */
#define EXCESS_LINES 1000

#define HASHED_KEY_BYTES (sizeof("sha256:") + 2 * SHA256_BYTES)
#define COPY_MAX 17 /* bytes of a NUL, two numbers of messages, a slash between them, and snprintf's NUL */

enum { UIDL_MISSING, UIDL_ONCE, UIDL_TWICE };

struct item {
	uint64_t size;
	uint32_t number;
	uint32_t at;           /* of its UIDL, in the text of all */
	uint64_t ordinal : 20; /* 1, or how many messages before this one have the same UIDL, and one more */
	uint64_t copies : 20;  /* how many messages have this UIDL */
	uint64_t len : 12;     /* of its UIDL, at most KEY_MAX */
	uint64_t uidl : 2;     /* UIDL_MISSING, ... */
	uint64_t twice : 1;    /* LIST named this number again: which size is true? */
};
_Static_assert(POP3_LISTING_MAX < 1 << 20 && KEY_MAX < 1 << 12, "as in struct item");

struct pop3_listing {
	uint32_t exists;
	uint64_t size_lines, uidl_lines;
	struct item *items; /* in order of arrival, then by number */
	size_t count, cap;
	size_t next; /* UIDL mostly comes in the order of LIST: where its next line is looked for first */
	struct str text;
	bool contradictory;
};

struct pop3_listing *pop3_listing_new(uint32_t exists)
{
	struct pop3_listing *listing = xcalloc(1, sizeof(*listing));

	listing->exists = exists;
	return listing;
}

void pop3_listing_free(struct pop3_listing *listing)
{
	if (listing == NULL)
		return;
	str_done(&listing->text);
	free(listing->items);
	free(listing);
}

static int count_line(const struct pop3_listing *listing, uint64_t *lines, const char *command, struct error *err)
{
	if (++*lines <= (uint64_t)listing->exists + EXCESS_LINES)
		return 0;
	return error_set(
		err, ERR_PROTO, SCOPE_MAILBOX, "server lists more messages (%s) than the %u it says there are", command, (unsigned)listing->exists);
}

int pop3_listing_add_size(struct pop3_listing *listing, const char *line, size_t len, struct error *err)
{
	struct item item = {.ordinal = 1, .copies = 1};

	if (count_line(listing, &listing->size_lines, "LIST", err) < 0)
		return -1;
	if (!pop3_list_parse(line, len, &item.number, &item.size) || item.number > listing->exists || listing->count == POP3_LISTING_MAX) {
		listing->contradictory = true;
		return 0;
	}
	if (listing->count == listing->cap) {
		listing->cap = listing->cap != 0 ? listing->cap + listing->cap / 2 : 64;
		listing->items = xreallocarray(listing->items, listing->cap, sizeof(*listing->items));
	}
	listing->items[listing->count++] = item;
	return 0;
}

static int by_number(const void *left, const void *right)
{
	const struct item *a = left, *b = right;

	return (a->number > b->number) - (a->number < b->number);
}

void pop3_listing_sized(struct pop3_listing *listing)
{
	bool ascending = true;
	size_t kept = 0;

	for (size_t i = 1; i < listing->count && ascending; i++)
		ascending = listing->items[i - 1].number < listing->items[i].number;
	if (ascending)
		return;
	qsort(listing->items, listing->count, sizeof(*listing->items), by_number);
	for (size_t i = 0; i < listing->count; i++) {
		if (kept > 0 && listing->items[kept - 1].number == listing->items[i].number)
			listing->items[kept - 1].twice = true;
		else
			listing->items[kept++] = listing->items[i];
	}
	listing->count = kept;
}

static struct item *find(struct pop3_listing *listing, uint32_t number)
{
	const struct item wanted = {.number = number};
	struct item *found;

	if (listing->next < listing->count && listing->items[listing->next].number == number)
		return &listing->items[listing->next++];
	if (listing->count == 0)
		return NULL;
	found = bsearch(&wanted, listing->items, listing->count, sizeof(*listing->items), by_number);
	if (found != NULL)
		listing->next = (size_t)(found - listing->items) + 1;
	return found;
}

static int keep_uidl(struct pop3_listing *listing, struct item *item, const char *uidl, size_t len, struct error *err)
{
	if (len > POP3_UIDL_TEXT_MAX - listing->text.len)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the unique ids of the mailbox (UIDL) are over %d MiB long: that is no sane server",
			POP3_UIDL_TEXT_MAX / (1024 * 1024));
	item->at = (uint32_t)listing->text.len;
	item->len = len & 0xfff;
	item->uidl = UIDL_ONCE;
	str_add(&listing->text, uidl, len);
	return 0;
}

/* What stands for a key that is too long. out: HASHED_KEY_BYTES, and may be where the bytes are. Returns its length without the NUL. */
static size_t hash_key(char *out, const char *bytes, size_t len)
{
	uint8_t digest[SHA256_BYTES];

	sha256_of(bytes, len, digest);
	memcpy(out, "sha256:", strlen("sha256:"));
	hex_encode(out + strlen("sha256:"), digest, sizeof(digest));
	return HASHED_KEY_BYTES - 1;
}

int pop3_listing_add_uidl(struct pop3_listing *listing, const char *line, size_t len, struct error *err)
{
	struct item *item = NULL;
	const char *uidl;
	size_t uidl_len;
	uint32_t number;
	char hashed[HASHED_KEY_BYTES];

	if (count_line(listing, &listing->uidl_lines, "UIDL", err) < 0)
		return -1;
	if (pop3_uidl_parse(line, len, &number, &uidl, &uidl_len))
		item = find(listing, number);
	if (item == NULL) {
		listing->contradictory = true;
		return 0;
	}
	if (item->uidl != UIDL_MISSING) {
		item->uidl = UIDL_TWICE;
		return 0;
	}
	if (uidl_len <= KEY_MAX)
		return keep_uidl(listing, item, uidl, uidl_len, err);
	return keep_uidl(listing, item, hashed, hash_key(hashed, uidl, uidl_len), err);
}

/* By UIDL, then by number, which is the order of the items. */
static int by_uidl(const void *left, const void *right, void *context)
{
	const struct pop3_listing *listing = context;
	uint32_t i = *(const uint32_t *)left, j = *(const uint32_t *)right;
	const struct item *a = &listing->items[i], *b = &listing->items[j];
	int order = memcmp(str_text(&listing->text) + a->at, str_text(&listing->text) + b->at, a->len < b->len ? a->len : b->len);

	if (order != 0)
		return order;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return (i > j) - (i < j);
}

static bool same_uidl(const struct pop3_listing *listing, const struct item *a, const struct item *b)
{
	return a->len == b->len && memcmp(str_text(&listing->text) + a->at, str_text(&listing->text) + b->at, a->len) == 0;
}

/* Of the first items in order, how many share the UIDL of the very first. */
static uint32_t count_copies(const struct pop3_listing *listing, const uint32_t *order, uint32_t count)
{
	uint32_t copies = 1;

	while (copies < count && same_uidl(listing, &listing->items[order[0]], &listing->items[order[copies]]))
		copies++;
	return copies;
}

/* Sorted, not hashed: a server that picks its UIDLs cannot make this quadratic. */
static void number_copies(struct pop3_listing *listing)
{
	uint32_t *order = xcalloc(listing->count + 1, sizeof(*order));
	uint32_t used = 0;

	for (uint32_t i = 0; i < listing->count; i++)
		if (listing->items[i].uidl == UIDL_ONCE && listing->items[i].len > 0)
			order[used++] = i;
	qsort_r(order, used, sizeof(*order), by_uidl, listing);
	for (uint32_t first = 0, copies; first < used; first += copies) {
		copies = count_copies(listing, &order[first], used - first);
		for (uint32_t i = 0; i < copies; i++) {
			struct item *item = &listing->items[order[first + i]];

			item->ordinal = (i + 1) & 0xfffff;
			item->copies = copies & 0xfffff;
		}
	}
	free(order);
}

/* buffer: KEY_MAX bytes. */
static void make_key(const struct pop3_listing *listing, const struct item *item, char *buffer, struct listed *entry)
{
	const char *uidl = str_text(&listing->text) + item->at;
	size_t len = item->len;

	if (len == 0)
		return;
	entry->key = uidl;
	entry->key_len = len;
	if (item->copies == 1)
		return;
	if (len > KEY_MAX - COPY_MAX)
		len = hash_key(buffer, uidl, len);
	else
		memcpy(buffer, uidl, len);
	buffer[len++] = '\0';
	len += (size_t)snprintf(buffer + len, COPY_MAX - 1, "%u/%u", (unsigned)item->ordinal, (unsigned)item->copies);
	entry->key = buffer;
	entry->key_len = len;
}

int pop3_listing_each(struct pop3_listing *listing, bool has_uidls, listed_fn *each, void *context, bool *ret_contradictory, struct error *err)
{
	char buffer[KEY_MAX];

	if (has_uidls)
		number_copies(listing);
	if (listing->contradictory || listing->size_lines != listing->exists || (has_uidls && listing->uidl_lines != listing->exists))
		*ret_contradictory = true;
	for (size_t i = 0; i < listing->count; i++) {
		const struct item *item = &listing->items[i];
		struct listed entry = {.uid = item->number, .size = item->size};

		if (item->twice || (has_uidls && item->uidl != UIDL_ONCE)) {
			*ret_contradictory = true;
			continue;
		}
		if (has_uidls)
			make_key(listing, item, buffer, &entry);
		if (each(context, &entry, err) < 0)
			return -1;
	}
	return 0;
}
