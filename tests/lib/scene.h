/* scene.h - the daemon with one mailbox, "isp", at a scripted IMAP server that has IDLE, and what such a server says most of the time. */
#ifndef MAILHAUL_TESTS_LIB_SCENE_H
#define MAILHAUL_TESTS_LIB_SCENE_H

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define SCENE_CAPS "CAPABILITY IMAP4rev1 IDLE"

/* The first session asks for one thing at a time; later ones have seen the server before, and remember a tag as %9. */
extern const struct step scene_greets[], scene_logs_in[], scene_logs_in_again[];
extern const struct step scene_shows_nothing[];            /* in answer to EXAMINE */
extern const struct step scene_finds_nothing[];            /* INBOX, %2 */
extern const struct step scene_leaves[], scene_logs_out[]; /* while the client waits; else, %9 */

struct scene {
	struct agent agent;
	struct peer *peer;
};

/* factor: of the daemon's deadlines, or NULL. host: by which it calls the server. mailbox: more keys of the mailbox; others: more lines of the configuration. */
void scene_begin(struct scene *scene, const struct step *script, const char *factor, const char *host, const char *mailbox, const char *others);
/* SIGTERM; the daemon leaves in order, with the script played to its end and so much mail delivered. */
void scene_leave(struct scene *scene, unsigned mails);
void scene_end(struct scene *scene);

#endif
