/* reserve.h - one mebibyte kept for the moment when the disk is full, so that an accepted delivery can still be recorded.
 * A failed COMMIT cannot be repeated, since SQLite has rolled back by then; a failed write can. So SQLite writes through a VFS of ours, which is the
 * system's own but for that: inside a transaction, the first write that finds no room gives the reserve up and is tried once more. */
#ifndef MAILHAUL_STATE_RESERVE_H
#define MAILHAUL_STATE_RESERVE_H

#include <sqlite3.h>
#include <stdbool.h>

#define RESERVE_BYTES (1024 * 1024)

struct reserve {
	sqlite3_vfs vfs;
	char name[32];
	int dir_fd; /* borrowed */
	bool armed; /* a transaction of ours is open */
	bool spent; /* the disk is full, and a transaction needed it */
};

/* Registers the VFS under reserve->name, for sqlite3_open_v2. */
void reserve_init(struct reserve *reserve, int dir_fd);
/* Makes the file if it is missing. -1: there is no room for it, in errno. What else fails is no error: it is a precaution. */
int reserve_make(const struct reserve *reserve);
void reserve_done(struct reserve *reserve); /* after the database is closed */

#endif
