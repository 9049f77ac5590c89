/* known.h - what the supervisor knows of a folder, as this session reads it: a sealed memory file (record.h), checked once. */
#ifndef MAILHAUL_WORKER_KNOWN_H
#define MAILHAUL_WORKER_KNOWN_H

#include <stddef.h>
#include <stdint.h>

#include "channel/record.h"

struct error;

struct known {
	const struct known_header *header;
	const struct known_item *items;
	const struct known_key *keys;
	const char *folders; /* names, each with its NUL */
	const void *map;
	size_t len;
};

#define KNOWN_LISTING_MAX 1000000u

/* Takes fd. On failure there is nothing to be done with *known. */
int known_open(struct known *known, int fd_take, struct error *err);
void known_done(struct known *known); /* fine on all-zero */
/* NULL: not known, or not due now. */
const struct known_item *known_find_item(const struct known *known, uint64_t id);
const struct known_key *known_find_key(const struct known *known, const char *key, size_t len);
/* The folder with this number, as items name it; NULL: 0, or none. */
const char *known_folder(const struct known *known, unsigned number);

#endif
