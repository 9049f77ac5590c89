/* maildir.h - the part of the Maildir destination that comes before the worker is sealed: from then on it opens no paths, and has the directories. */
#ifndef MAILHAUL_DEST_MAILDIR_H
#define MAILHAUL_DEST_MAILDIR_H

#include <stdbool.h>
#include <stdint.h>

struct error;

/* What is left in tmp/ for so long belongs to nobody. A doubtful delivery that is gone from tmp/ counts as delivered only while it is younger than
 * MAILDIR_CERTAIN_S, so that this clearing is never taken for a delivery. */
#define MAILDIR_STALE_S (36 * 3600)
#define MAILDIR_CERTAIN_S (35 * 3600)

#define MAILDIR_TIDY_S 3600 /* how often that is done; little beside MAILDIR_STALE_S */

/* Which Maildir is there. */
struct maildir_sight {
	uint64_t inode, born_ns; /* of tmp/ */
	int64_t born_s;          /* 0: the file system does not know */
	uint64_t number;         /* of all its directories, in this boot */
};
#define MAILDIR_UNKNOWN 0 /* such a number: nothing can be said of it */

/* Makes the Maildir if its parent directory exists, opens tmp, new and cur, in that order (the caller closes them), puts on disk that they are there, and
 * clears tmp/. The last two are left out if tidied is its number: somebody has done so, of late. May hang as long as its file system does. Refused with
 * ERR_CONFIG: a missing parent, a directory of another user, tmp, new or cur that are no directories. Everything else that fails is ERR_LOCAL; all with
 * SCOPE_DESTINATION. */
int maildir_open_directories(const char *path, uint64_t tidied, int ret_fds[3], struct maildir_sight *ret_sight, struct error *err);

/* The same in each boot, as far as its tmp/ can tell, and greater than MAILDIR_ELSEWHERE: another one under the same path (made anew, restored, on a disk
 * that is not mounted now) has another, mostly. */
int64_t maildir_place(const struct maildir_sight *sight);
#define MAILDIR_ELSEWHERE 1 /* for what is not delivered to a Maildir */

/* Removes what we left in tmp/ more than MAILDIR_STALE_S ago; nothing that others made. now_s: wall clock. */
void maildir_clear_tmp(int tmp_fd, int64_t now_s);

/* Of a file in a Maildir, with or without a mail reader's flags behind: did we give it its name, seconds.KEY.HASH.host? When it was intended, and the
 * first 8 bytes of the message's hash, most significant first. */
bool maildir_parse_name(const char *name, int64_t *ret_seconds, uint64_t *ret_hash);

#endif
