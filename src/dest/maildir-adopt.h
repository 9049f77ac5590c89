/* maildir-adopt.h - which messages a Maildir holds already, by the hash in the names that we gave them. After the state was lost everything at the
 * source looks new; what was delivered before the loss is recognised here and is not put there twice. */
#ifndef MAILHAUL_DEST_MAILDIR_ADOPT_H
#define MAILHAUL_DEST_MAILDIR_ADOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct adoption {
	int64_t before; /* only what was delivered until then, wall clock seconds; 0: nothing is to be recognised */
	bool loaded;
	struct adoptable *list;
	size_t count, capacity;
};

/* Is there one with these first 8 bytes of a hash? Each answers once, so equal messages are counted. 1, 0; -1 with errno: the directories cannot be
 * read. They are, at the first call only. */
int adoption_take(struct adoption *adoption, int new_fd, int cur_fd, const uint8_t hash[32]);
void adoption_done(struct adoption *adoption);

#endif
