/* session.h - one session with one mailbox: the straight line from login to logout, and what its steps share. */
#ifndef MAILHAUL_WORKER_SESSION_H
#define MAILHAUL_WORKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/str.h"
#include "channel/channel.h"
#include "channel/job.h"
#include "net/tls.h"
#include "source/source.h"
#include "worker/outlet.h"

struct error;
struct secret;
struct spool_file;

struct session {
	const struct job *job;
	struct channel *channel;
	struct spool_file *spool;
	struct source *source;
	struct source_context source_context;
	struct host_facts host_facts;   /* of the source: as told, then as learned */
	struct folder_status *surveyed; /* per folder of the mailbox; NULL: nobody has told */
	struct tls_summary tls;         /* of the source or destination opened last, for check */
	struct str address;             /* of the source, for check */
	struct outlet *outlets;         /* one per destination of the job */
	char own_mark[9];
	const char *folder; /* being hauled; NULL on POP3 */
	struct log log;     /* the supervisor adds mailbox= */
	uint64_t planned;   /* messages to be fetched so far, for max_messages */
	/* for the line that ends a session */
	uint64_t hauled, bytes, deferred, held, unfetched;
	struct error trouble; /* the first one that kept a message from being hauled, though the session went on */
};

/* Takes secrets[0] for the source, secrets[1 + i] for destination i, and the Maildir descriptors; all may be NULL or -1. refusals: of Maildirs that could
 * not be opened. */
void session_init(struct session *session, const struct job *job, struct channel *channel, int spool_fd_take, struct secret **secrets,
	const int (*directories)[3], const struct error *refusals);
void session_done(struct session *session);

/* Hauls all folders once. -1: the session ended early; what had been acknowledged is safe. */
int session_run(struct session *session, struct error *err);

/* check and list: the same way in, but nothing is hauled (inspect.c). */
int session_inspect(struct session *session, struct error *err);

#endif
