#include "worker/known.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/sha256.h"

#define KNOWN_MAX_BYTES (256u * 1024 * 1024) /* what a million messages need, and then some */
#define KEY_BYTES sizeof(((struct known_key *)NULL)->key)

static bool is_whole(const struct known *known)
{
	const struct known_header *header = known->map;

	return known->len >= sizeof(*header) && header->item_count <= KNOWN_LISTING_MAX && header->key_count <= 2 * KNOWN_LISTING_MAX &&
	       known->len == sizeof(*header) + header->item_count * sizeof(struct known_item) + header->key_count * sizeof(struct known_key) +
				     header->folders_len &&
	       (header->folders_len == 0 || ((const char *)known->map)[known->len - 1] == '\0');
}

int known_open(struct known *known, int fd_take, struct error *err)
{
	*known = (struct known){0};
	if (fs_map_sealed(fd_take, KNOWN_MAX_BYTES, &known->map, &known->len, err) < 0)
		return -1;
	if (!is_whole(known)) {
		known_done(known);
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "what the supervisor knows came incomplete");
	}
	known->header = known->map;
	known->items = (const void *)(known->header + 1);
	known->keys = (const void *)(known->items + known->header->item_count);
	known->folders = (const void *)(known->keys + known->header->key_count);
	return 0;
}

void known_done(struct known *known)
{
	if (known->map != NULL)
		munmap((void *)(uintptr_t)known->map, known->len);
	*known = (struct known){0};
}

static int compare_item_id(const void *a, const void *b)
{
	uint64_t id = *(const uint64_t *)a, other = ((const struct known_item *)b)->id;

	return id < other ? -1 : id > other;
}

const struct known_item *known_find_item(const struct known *known, uint64_t id)
{
	return bsearch(&id, known->items, known->header->item_count, sizeof(*known->items), compare_item_id);
}

static int compare_key(const void *a, const void *b)
{
	return memcmp(a, ((const struct known_key *)b)->key, KEY_BYTES);
}

const struct known_key *known_find_key(const struct known *known, const char *key, size_t len)
{
	uint8_t hash[SHA256_BYTES];

	sha256_of(key, len, hash);
	return bsearch(hash, known->keys, known->header->key_count, sizeof(*known->keys), compare_key);
}

const char *known_folder(const struct known *known, unsigned number)
{
	const char *at = known->folders, *end = known->folders + known->header->folders_len;

	for (; number > 1 && at < end; number--)
		at += strlen(at) + 1;
	return number == 1 && at < end ? at : NULL;
}
