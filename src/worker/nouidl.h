/* nouidl.h - messages that the server gives no unique id (POP3 without UIDL, or with an empty one): their content is their key.
 * Each is fetched once for its hash before the plan, and again for delivery: twice the bytes, but the order of steps stays the same for all. */
#ifndef MAILHAUL_WORKER_NOUIDL_H
#define MAILHAUL_WORKER_NOUIDL_H

#include <stddef.h>

#include "source/source.h"

struct session;

struct listing_gap {
	struct listed *entries; /* key NULL */
	size_t count, capacity;
};

int listing_gap_add(struct listing_gap *gap, const struct listed *entry);
/* Hands every entry to each with a key. Mail that is kept at the server cannot be told apart this way for long: ERR_CONFIG. */
int listing_gap_close(struct listing_gap *gap, struct session *session, listed_fn *each, void *context, struct error *err);
void listing_gap_done(struct listing_gap *gap);

#endif
