/* place.h - the directory that holds the state: made, and checked before SQLite may open anything in it. Nobody else may be able to read what is
 * there or to put something else in its place. Never opens state.db itself: closing it would drop SQLite's POSIX locks
 * (sqlite.org/howtocorrupt.html 2.2). */
#ifndef MAILHAUL_STATE_PLACE_H
#define MAILHAUL_STATE_PLACE_H

#include <stdbool.h>

struct error;

/* The checked directory, or -1. make: with parents, mode 0700. Otherwise a missing one is -1 with ERR_NONE. */
int place_open(const char *dir, bool make, struct error *err);
/* Every file of ours that is there: regular, ours, one link, 0600. *ret_found: state.db is there. */
int place_check_files(int dir_fd, const char *dir, bool *ret_found, struct error *err);
/* On a network or user space file system, where shared memory (WAL) does not work between hosts. */
bool place_is_remote(int dir_fd);

#endif
