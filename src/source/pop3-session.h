/* pop3-session.h - one POP3 session, as its three files share it: pop3.c (questions and answers, the listing, the ops), pop3-login.c (from the greeting to the
 * mailbox), pop3-ahead.c (what is sent behind the login, before its answer), pop3-uidl.c (the answer to UIDL), pop3-transfer.c (messages out, deletions in, QUIT). Private to them.
 *
 * POP3 has no tags: a reply belongs to the oldest command that has none. So there is one queue of what has been asked, and as soon as anything is out of
 * step the session is lost: not one more reply would mean what it says. */
#ifndef MAILHAUL_SOURCE_POP3_SESSION_H
#define MAILHAUL_SOURCE_POP3_SESSION_H

#include "base/clock.h"
#include "base/str.h"
#include "mail/lines.h"
#include "source/pop3-reply.h"
#include "source/source.h"

#define POP3_LINE_MAX 8192         /* RFC 2449 4 allows 512; UIDLs of several KiB have been seen */
#define POP3_QUIT_S 60             /* for the answer to QUIT while deletions hang on it; servers rewrite whole mailboxes then */
#define POP3_FAREWELL_S 2          /* for the answer to QUIT when nothing does */
#define POP3_CAPABILITIES_MAX 1000 /* lines; no server has 50 */

#define POP3_CAP_PIPELINING 1u /* of struct host_facts; kept in the state: no bit ever gets another meaning */

struct message;
struct pop3_listing;

/* RETR or DELE. */
struct pop3_command {
	STAILQ_ENTRY(pop3_command) next;
	struct haul *haul; /* RETR: owned; NULL: DELE */
	uint64_t id;       /* DELE: of the message in the state */
	uint32_t number;
};

STAILQ_HEAD(pop3_queue, pop3_command);

/* What was sent before the answer to what came before it. */
struct pop3_ahead {
	bool under_way;  /* behind the login, and it is not settled yet what became of it */
	bool lost;       /* the login was accepted, but what followed it got no answer */
	bool has_status; /* STAT was answered: pop3->exists is valid */
	bool list, uidl; /* sent, and nobody has read the answer yet */
};

struct pop3 {
	struct source source;
	const struct source_context *context;
	struct secret *secret;  /* NULL after login */
	bool pipelining;        /* the server takes commands before it has answered earlier ones (RFC 2449 6.6) */
	unsigned offered;       /* SASL mechanisms of CAPA (sasl_offer_list) */
	uint32_t login_delay_s; /* as the server has announced it last */
	bool known;             /* what the server can do was known before we asked */
	struct pop3_ahead ahead;
	struct str uidl;  /* the answer to UIDL, if it has come before anybody wanted its lines; each ends with CRLF */
	size_t uidl_line; /* bytes of its last line, until that is complete */
	bool has_uidl;    /* there is one */
	bool lost;        /* connection gone, or out of step: send nothing more, believe nothing more */
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
	struct error refused; /* the first DELE that was refused since the last settle */
	size_t disposed_next; /* the next of them that disposed() hands out */
	bool parted;          /* QUIT was sent */
	bool confirmed;       /* and answered with +OK */
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

/* The server may lose what comes before its answer to the last command: said by the operator. */
bool pop3_goes_step_by_step(const struct pop3 *pop3);

/* pop3-ahead.c. */
/* A login that needs no further word of ours has been added: adds behind it what this server is known not to lose, and may be asked anyway. */
void pop3_ahead_add(struct pop3 *pop3);
/* Adds STAT, unless its answer is here, and the listing that is going to be wanted. */
void pop3_ahead_add_listing(struct pop3 *pop3);
/* The login was accepted: waits until it is known whether the rest has arrived. -1 with pop3->ahead.lost: it was not. */
int pop3_ahead_settle(struct pop3 *pop3, struct error *err);
/* The login was not accepted, or not answered; err says why. */
void pop3_ahead_distrust(struct pop3 *pop3, const struct error *err);
/* The answer to STAT, which has been sent. */
int pop3_read_status(struct pop3 *pop3, struct error *err);

/* pop3-uidl.c. */
/* Reads the answer to UIDL, which has been sent, into pop3->uidl. The server may refuse UIDL: then has_uidl is false. */
int pop3_uidl_read(struct pop3 *pop3, struct error *err);
/* It says what it said when its digest was taken. */
bool pop3_uidl_is(const struct pop3 *pop3, const uint8_t listing[32]);
/* Its lines, one by one, and frees it. */
int pop3_uidl_each(struct pop3 *pop3, struct pop3_listing *listing, struct error *err);

/* pop3-transfer.c. As in source.h. */
int pop3_request(struct source *source, struct haul *haul, struct error *err);
int pop3_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err);
int pop3_flush(struct source *source, struct error *err);
int pop3_receive(struct source *source, struct haul **ret_haul, struct error *err);
int pop3_arriving(struct source *source, struct haul **ret_haul, struct message **ret_message);
int pop3_settle(struct source *source, struct error *err);
int pop3_disposed(struct source *source, uint64_t *ret_id);
int pop3_part(struct source *source, struct error *err);
int pop3_close(struct source *source, struct error *err);
/* Frees everything that is queued or half fetched. */
void pop3_abandon(struct pop3 *pop3);

#endif
