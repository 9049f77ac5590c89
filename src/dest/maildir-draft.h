/* maildir-draft.h - the files that a Maildir destination has in tmp/: being written, then durable as a group, until they are moved or given up.
 * Invariant: a file NAME that was in tmp/ before is replaced in one step, by a durable one, or stays. For a delivery in doubt it is all that tells "given
 * up" from "made, and moved on by a mail reader", so a new draft of it is written beside it and renamed over it. */
#ifndef MAILHAUL_DEST_MAILDIR_DRAFT_H
#define MAILHAUL_DEST_MAILDIR_DRAFT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "dest/local.h"

struct delivery;
struct draft;
struct error;

STAILQ_HEAD(draft_list, draft);

struct drafts {
	int tmp_fd;
	const char *destination, *path; /* for errors; borrowed */
	struct draft_list fresh, durable;
	unsigned fresh_count;
	struct draft *begun; /* of a message that is still arriving, whose NAME nobody knows yet; NULL: none */
	struct local_file file;
};

void drafts_init(struct drafts *drafts, int tmp_fd, const char *destination, const char *path);
/* The message is still arriving: what there is of it, into a file of another name; then what has come since. -1: nothing is left of it. */
int drafts_begin(struct drafts *drafts, const struct delivery *delivery, struct error *err);
int drafts_feed(struct drafts *drafts, const struct delivery *delivery, struct error *err);
void drafts_give_up(struct drafts *drafts); /* what was begun, if anything */
/* Writes tmp/NAME with NAME from delivery->name, or the rest of it if this one was begun. On failure (ERR_LOCAL, SCOPE_DESTINATION; errors of the spool as they are) nothing is left of it. */
int drafts_add(struct drafts *drafts, struct delivery *delivery, struct error *err);
/* Makes all fresh ones durable. On failure they are gone, and nothing may be synced with these descriptors any more. */
int drafts_sync(struct drafts *drafts, struct error *err);
/* The draft of that name is no longer ours to look after. remove: as if it had never been, except where it has replaced an older file. */
void drafts_forget(struct drafts *drafts, const char *name, bool remove);
/* Removes the fresh ones, forgets the others. */
void drafts_done(struct drafts *drafts);

#endif
