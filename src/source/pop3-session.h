/* pop3-session.h - one POP3 session, as its three files share it: pop3.c (questions and answers, the listing, the ops), pop3-login.c (from the greeting to the
 * mailbox), pop3-transfer.c (messages out, deletions in, QUIT). Private to them.
 *
 * POP3 has no tags: a reply belongs to the oldest command that has none. So there is one queue of what has been asked, and as soon as anything is out of
 * step the session is lost: not one more reply would mean what it says. */
#ifndef MAILHAUL_SOURCE_POP3_SESSION_H
#define MAILHAUL_SOURCE_POP3_SESSION_H

#include "base/clock.h"
#include "mail/lines.h"
#include "source/pop3-reply.h"
#include "source/source.h"

#define POP3_LINE_MAX 8192         /* RFC 2449 4 allows 512; UIDLs of several KiB have been seen */
#define POP3_QUIT_S 60             /* for the answer to QUIT while deletions hang on it; servers rewrite whole mailboxes then */
#define POP3_FAREWELL_S 2          /* for the answer to QUIT when nothing does */
#define POP3_CAPABILITIES_MAX 1000 /* lines; no server has 50 */

struct message;

/* RETR or DELE. */
struct pop3_command {
	STAILQ_ENTRY(pop3_command) next;
	struct haul *haul; /* RETR: owned; NULL: DELE */
	uint64_t id;       /* DELE: of the message in the state */
	uint32_t number;
};

STAILQ_HEAD(pop3_queue, pop3_command);

struct pop3 {
	struct source source;
	const struct source_context *context;
	struct secret *secret; /* NULL after login */
	bool pipelining;       /* the server takes commands before it has answered earlier ones (RFC 2449 6.6) */
	unsigned offered;      /* SASL mechanisms of CAPA (sasl_offer_list) */
	bool lost;             /* connection gone, or out of step: send nothing more, believe nothing more */
	uint32_t exists;

	struct pop3_queue queue;     /* asked or to be asked, in order */
	struct pop3_command *unsent; /* the first of them that has not been sent; NULL: all have */
	size_t unanswered;           /* length of queue */
	size_t undeleted;            /* DELEs among them */
	struct haul_queue fetched;   /* finished, waiting for receive */

	bool in_body;             /* of the RETR at the head of the queue */
	bool closing;             /* what still comes is thrown away */
	struct deadline leave_by; /* never, unless closing */
	struct dot_decoder dots;
	struct message *message; /* growing; NULL: its bytes are thrown away */

	uint64_t *deleted; /* ids whose DELE got +OK; they are gone for good only once QUIT has got one */
	size_t deleted_count, deleted_cap;
	size_t disposed_next; /* the next of them that disposed() hands out */
	bool confirmed;       /* QUIT was answered with +OK */
};

static inline struct pop3 *pop3_of(struct source *source)
{
	return (struct pop3 *)source; /* its first member */
}

/* pop3-transfer.c. Id of the message that the server owes us next; 0: none. */
uint64_t pop3_awaited(const struct pop3 *pop3);
/* For failures behind which no reply means anything any more. */
static inline int pop3_lose(struct pop3 *pop3)
{
	if (!pop3->lost)
		pop3->source.suspect = pop3_awaited(pop3);
	pop3->lost = true;
	return -1;
}

/* pop3.c. Sends what wire_add has gathered and waits for one reply, +OK or -ERR: the latter is for the caller to judge. Anything else is ERR_PROTO, and
 * command is for its text; so is a reply that lies there before the command has left. The reply's text is valid until the next call on the wire. */
int pop3_ask(struct pop3 *pop3, const char *command, struct pop3_reply *ret_reply, struct error *err);
/* The same where a challenge may come, too. */
int pop3_ask_auth(struct pop3 *pop3, struct pop3_reply *ret_reply, struct error *err);
/* The first line of all. */
int pop3_read_greeting(struct pop3 *pop3, struct pop3_reply *ret_reply, struct error *err);
/* The next line of a multi-line reply, without the dot that was stuffed: 1, 0 at its end, or -1. */
int pop3_read_line(struct pop3 *pop3, char **ret_line, size_t *ret_len, struct error *err);
/* Asks for capabilities; a server that knows no CAPA has none. */
int pop3_ask_capabilities(struct pop3 *pop3, struct error *err);
/* Puts the server's words behind a sentence of ours. Returns -1. */
int pop3_fail(struct error *err, enum error_kind kind, enum error_scope scope, const struct pop3_reply *reply, const char *sentence);
/* By when the server must have gone on: the mailbox's timeout, from now. */
struct deadline pop3_patience(const struct pop3 *pop3);

/* pop3-login.c. Everything up to the transaction state. */
int pop3_login(struct pop3 *pop3, struct error *err);

/* pop3-transfer.c. As in source.h. */
int pop3_request(struct source *source, struct haul *haul, struct error *err);
int pop3_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err);
int pop3_flush(struct source *source, struct error *err);
int pop3_receive(struct source *source, struct haul **ret_haul, struct error *err);
int pop3_settle(struct source *source, struct error *err);
int pop3_disposed(struct source *source, uint64_t *ret_id);
int pop3_close(struct source *source, struct error *err);
/* Frees everything that is queued or half fetched. */
void pop3_abandon(struct pop3 *pop3);

#endif
