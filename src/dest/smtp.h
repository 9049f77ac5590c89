/* smtp.h - what the parts of the SMTP and LMTP client share: the envelope's words (smtp-envelope.c), the message itself (smtp-body.c), and who says what
 * when (smtp.c).
 * At most one message is without its verdict, and at most one envelope is out ahead of its message (RFC 2920 3.1).
 * Invariant: no final dot leaves while anything lies unread in the connection, and none for a message whose envelope was not accepted. */
#ifndef MAILHAUL_DEST_SMTP_H
#define MAILHAUL_DEST_SMTP_H

#include <stdbool.h>

#include "dest/smtp-session.h"
#include "policy/refusal.h"

struct str;

struct smtp {
	struct smtp_session session;
	struct refusal_track refusals[TARGETS_MAX]; /* per target: what one recipient is refused says nothing about another */
	const struct delivery *envelope;            /* its MAIL, RCPT and DATA are out, and unanswered */
	bool reset;                                 /* the server still holds a refused envelope: RSET goes first */
	struct delivery *awaiting;                  /* its dot is out */
	struct deadline answer_by;                  /* the answer to that dot */
	unsigned garbage;                           /* lines that came instead of it */
	struct delivery_queue settled;              /* verdicts that nobody has taken yet */
	bool lost;                                  /* to be told by verdicts, once */
	struct error loss;
};

/* What this server is known not to take need not be sent; an address that could end its command must not be. -1: ERR_REFUSED, SCOPE_MESSAGE. */
int smtp_envelope_check(const struct smtp_session *session, const struct delivery *delivery, struct error *err);
/* SMTP_MAIL, SMTP_RCPT or SMTP_DATA, with the parameters that were offered and make sense, and its CRLF. RFC 5321, 1870, 6152, 6531, 3461. */
void smtp_envelope_add(const struct smtp_session *session, struct str *out, enum smtp_step step, const struct delivery *delivery);
void smtp_envelope_add_all(const struct smtp_session *session, struct str *out, const struct delivery *delivery);

enum body_result {
	BODY_SENT,     /* the dot is out; session->wire is flushed */
	BODY_REFUSED,  /* 4xx or 5xx in the middle (in session->reply): no dot was sent */
	BODY_LOST,     /* *err says why; no dot was sent */
	BODY_IN_DOUBT, /* the connection broke over the dot */
};

/* Our header fields, the message and the final dot; behind it what tail holds (the next envelope, or nothing), in the same write. */
enum body_result smtp_body_send(struct smtp_session *session, const struct delivery *delivery, const char *tail, size_t tail_len, struct error *err);

#endif
