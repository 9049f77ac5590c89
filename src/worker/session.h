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
	unsigned folder_count;          /* POP3 knows none, and counts as one */
	struct folder_status *surveyed; /* per folder of the mailbox; NULL: nobody has told */
	struct folder_status *seen;     /* per folder: as it was when it was looked into last */
	bool *due;                      /* per folder: to be hauled in this round */
	bool *closed;                   /* per folder: it could not be opened or listed when that was tried last */
	bool repeated;                  /* this is not the first round: what the job says of folders is out of date */
	bool last_folder;               /* nothing more will be asked of the source when this one is done */
	struct tls_summary tls;         /* of the source or destination opened last, for check */
	struct str address;             /* of the source, for check */
	struct outlet *outlets;         /* one per destination of the job */
	char own_mark[9];
	const char *folder; /* being hauled; NULL on POP3 */
	struct log log;     /* the supervisor adds mailbox= */
	uint64_t planned;   /* messages to be fetched so far, for max_messages */
	/* Others may wait for our place: from then on nothing more is asked for, and what was asked for is waited for until then. */
	struct deadline leave_at, give_up_at;
	bool unfinished; /* and something was left */
	/* while it is pushed */
	struct deadline stable_at; /* from then on an end of the connection is no failure */
	struct deadline check_at;  /* all folders are looked into then, whatever is announced meanwhile */
	bool partial;              /* this round looks into some of them */
	bool announced;            /* this round looks for mail that was announced */
	unsigned barren;           /* rounds in a row that found none */
	size_t found;              /* new messages in this round */
	unsigned open_disposals;   /* asked for and not confirmed */
	/* for the line that ends a session */
	uint64_t hauled, bytes, deferred, held, unfetched;
	struct error trouble; /* the first one that kept a message from being hauled, though the session went on */
};

/* Takes secrets[0] for the source, secrets[1 + i] for destination i, and the Maildir descriptors; all may be NULL or -1. refusals: of Maildirs that could
 * not be opened. */
void session_init(struct session *session, const struct job *job, struct channel *channel, struct secret **secrets, const int (*directories)[3],
	const struct error *refusals);
void session_done(struct session *session);

/* So long has been hauled that the rest is for another session. */
bool session_is_over(struct session *session);
/* Hauls all folders, and where the mailbox is pushed, again whenever there may be mail. -1: the session ended early; what had been acknowledged is safe. */
int session_run(struct session *session, struct error *err);

/* check and list: the same way in, but nothing is hauled (inspect.c). */
int session_inspect(struct session *session, struct error *err);

/* For idle.c: what was learned of the server; what a round has brought, if it has brought anything. */
void session_report_host(const struct session *session);
void session_log_round(struct session *session);

#endif
