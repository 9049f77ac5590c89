/* smtp.h - what the parts of the SMTP and LMTP client share. smtp.c keeps the connection and the verdicts; a message goes out by DATA (smtp-data.c,
 * smtp-body.c) or by BDAT (smtp-bdat.c), with an envelope worded in smtp-envelope.c.
 * By DATA at most one message is without its verdict, and at most one envelope is out ahead of its message (RFC 2920 3.1). By BDAT it may be a window of
 * messages, where the server is far away and its replies can be told apart.
 * Invariant: no final dot leaves while anything lies unread in the connection, and none for a message whose envelope was not accepted. */
#ifndef MAILHAUL_DEST_SMTP_H
#define MAILHAUL_DEST_SMTP_H

#include <stdbool.h>

#include "dest/smtp-session.h"
#include "dest/smtp-window.h"
#include "mail/lines.h"
#include "policy/refusal.h"

struct str;

/* A message on its way by DATA. */
struct smtp_body {
	const struct delivery *delivery; /* NULL: none is */
	struct smtp_encoder encoder;
	uint64_t offset;   /* bytes of the message that were taken */
	uint64_t promised; /* of the delivery at most, when it was begun */
};

struct smtp {
	struct smtp_session session;
	struct refusal_track refusals[TARGETS_MAX]; /* per target: what one recipient is refused says nothing about another */
	uint64_t transactions;                      /* begun over this connection, an announced one not counted */
	unsigned taken;                             /* messages accepted over it */
	unsigned codes;                             /* steps whose enhanced codes were seen to fit: 1 << enum smtp_step */
	bool odd_codes;                             /* they do not: this server gets no window */
	bool spent;                                 /* it wants to see a new connection */
	struct smtp_window window;
	const struct delivery *envelope; /* its MAIL, RCPT and DATA are out, and unanswered */
	struct smtp_body body;           /* its envelope was accepted, and its dot is not out */
	bool reset;                      /* the server still holds a refused envelope: RSET goes first */
	struct delivery *awaiting;       /* its dot is out */
	struct deadline answer_by;       /* the answer to that dot, or to what is out first in the window */
	unsigned garbage;                /* lines that came instead of it */
	struct delivery_queue settled;   /* verdicts that nobody has taken yet */
	bool lost;                       /* to be told by verdicts, once */
	struct error loss;
};

/* The delivery's way back to the caller; error may be NULL. */
void smtp_settle(struct smtp *smtp, struct delivery *delivery, enum verdict verdict, const struct error *error);
void smtp_accept(struct smtp *smtp, struct delivery *delivery); /* with the reply in session->reply */
/* The refusal in session->reply becomes the delivery's verdict. doubtful: replies were out of order, so nothing it says is for good. */
void smtp_refuse(struct smtp *smtp, struct delivery *delivery, enum smtp_step step, bool doubtful);
/* Does this refusal (4.5.3) mean that enough went over this connection? RFC 5321 4.5.3.1.10; then it is spent. */
bool smtp_has_had_enough(struct smtp *smtp);
/* A new connection has to be made before the next message: this, or MAILMAX (RFC 9422). */
bool smtp_is_spent(const struct smtp *smtp);
/* Hangs up. What was agreed over this connection is void, an envelope that is out included. What has left completely and has no answer is in doubt, what has
 * not is taken back. why: the reason; NULL: we leave. */
void smtp_drop(struct smtp *smtp, const struct error *why);
/* The same, and this delivery, of which no last byte was sent, is taken back. Returns -1. */
int smtp_lose(struct smtp *smtp, struct delivery *delivery, const struct error *err);

/* smtp-data.c: one message, once nothing is without answer; waits for its envelope to be agreed. As dest_ops.offer. */
int smtp_data_offer(struct smtp *smtp, struct delivery *delivery, const struct delivery *next, struct error *err);
/* The same while the message arrives, but for its dot. -1: the connection is of no more use. */
int smtp_data_begin(struct smtp *smtp, const struct delivery *delivery, struct error *err);
int smtp_data_feed(struct smtp *smtp, struct error *err);
/* The answer to the dot that is out, if it has come, or when it comes. */
void smtp_data_take(struct smtp *smtp, bool wait);

/* smtp-bdat.c: how many messages may be without verdict at once by BDAT; 0: the server is near, is not able to, or was caught at mixing its replies up. */
unsigned smtp_bdat_size(const struct smtp *smtp);
/* A 2xx by DATA, where questions and answers cannot drift apart: does its enhanced code show what it answers? Only then may a window open. */
void smtp_bdat_vet(struct smtp *smtp, enum smtp_step step);
bool smtp_bdat_suits(const struct smtp *smtp, const struct delivery *delivery);
bool smtp_bdat_has_room(const struct smtp *smtp);
/* Gathers MAIL, RCPT and the message; sent by flush. -1: our disk. */
int smtp_bdat_offer(struct smtp *smtp, struct delivery *delivery, struct error *err);
/* Sends what the socket takes. -1: the connection is lost, and everything that was out is settled. */
int smtp_bdat_flush(struct smtp *smtp, struct error *err);
/* If something of it has not left: hangs up, and everything that was out is settled. Told by smtp->lost, as below. */
void smtp_bdat_cut(struct smtp *smtp);
/* Sends, and takes the replies that have come; never blocks. Whoever is lost on the way is told by smtp->lost, as below. */
void smtp_bdat_poll(struct smtp *smtp);
void smtp_bdat_make_room(struct smtp *smtp); /* waits for it */
void smtp_bdat_drain(struct smtp *smtp);     /* until nothing is out */

/* What this server is known not to take need not be sent; an address that could end its command must not be. -1: ERR_REFUSED, SCOPE_MESSAGE. */
int smtp_envelope_check(const struct smtp_session *session, const struct delivery *delivery, struct error *err);
/* Bytes; of a message that is still arriving, going by what the source has announced. */
uint64_t smtp_envelope_size(const struct delivery *delivery);
/* SMTP_MAIL, SMTP_RCPT or SMTP_DATA, with the parameters that were offered and make sense, and its CRLF. RFC 5321, 1870, 6152, 6531, 3461. */
void smtp_envelope_add(const struct smtp_session *session, struct str *out, enum smtp_step step, const struct delivery *delivery);
void smtp_envelope_add_all(const struct smtp_session *session, struct str *out, const struct delivery *delivery);

enum body_result {
	BODY_SENT,     /* the dot is out; session->wire is flushed */
	BODY_REFUSED,  /* 4xx or 5xx in the middle (in session->reply): no dot was sent */
	BODY_LOST,     /* *err says why; no dot was sent */
	BODY_IN_DOUBT, /* the connection broke over the dot */
};

/* The server waits for this message: our header fields, gathered. */
void smtp_body_begin(struct smtp_session *session, struct smtp_body *body, const struct delivery *delivery);
/* What has arrived of it, as far as the socket takes it now. BODY_SENT: and the server has said nothing. */
enum body_result smtp_body_feed(struct smtp_session *session, struct smtp_body *body, struct error *err);
/* After some time without feed: does the server still wait for more? */
bool smtp_body_is_awaited(struct smtp_session *session);
/* It is complete: the rest of it and the final dot; behind it what tail holds (the next envelope, or nothing), in the same write. */
enum body_result smtp_body_send(struct smtp_session *session, struct smtp_body *body, const char *tail, size_t tail_len, struct error *err);

#endif
