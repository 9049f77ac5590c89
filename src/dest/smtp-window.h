/* smtp-window.h - the messages that went out by BDAT and have no verdict yet, and whether what the server says can be the answer to them. RFC 3030. Pure.
 * Each message is owed one reply to MAIL, one to RCPT and one to BDAT LAST, in this order. Nothing but the enhanced codes (RFC 2034) shows that a reply is
 * missing or doubled, so the first one that does not fit its place ends the window. For the same reason a message is one chunk: among the replies to
 * several, a doubled one would look like the verdict.
 * A window only credits. A refusal in it is not believed, but asked for again by DATA, where 354 keeps questions and answers together.
 * Invariant: no message is credited before all replies of its own group, and of the groups before it, have fitted. */
#ifndef MAILHAUL_DEST_SMTP_WINDOW_H
#define MAILHAUL_DEST_SMTP_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/refusal.h"

struct delivery;
struct smtp_reply;

#define SMTP_WINDOW_MAX 64

struct smtp_slot {
	struct delivery *delivery;
	enum smtp_step step; /* what the next reply answers: SMTP_MAIL, SMTP_RCPT, or SMTP_DOT for BDAT */
	bool refused;        /* at an earlier step */
	uint64_t begin, end; /* in bytes of the connection: where its MAIL begins, where its chunk ends */
	int64_t asked_ns;    /* when its MAIL was sent with nothing before it unanswered; 0: not so */
};

struct smtp_window {
	struct smtp_slot slots[SMTP_WINDOW_MAX];
	unsigned first, count;
};

/* The window must not be full (asserted). The slot stays where it is until it is the first and popped. */
struct smtp_slot *smtp_window_add(struct smtp_window *window, struct delivery *delivery, uint64_t begin, uint64_t end);
struct smtp_slot *smtp_window_first(struct smtp_window *window); /* NULL: nothing is out */
void smtp_window_pop(struct smtp_window *window);

enum smtp_fit { SMTP_FIT_NOT = -1, SMTP_FIT_REFUSES, SMTP_FIT_ACCEPTS };
/* Counts a reply as the next that the first slot is owed. sent: bytes that have left over this connection. SMTP_FIT_NOT: it answers nothing that was
 * asked there, or contradicts what was said before; the window is as it was. The group is complete when the step was SMTP_DOT. */
enum smtp_fit smtp_window_take(struct smtp_window *window, const struct smtp_reply *reply, uint64_t sent);
/* Does the enhanced code of this 2xx belong to this step? 2.1.0 to MAIL, 2.1.x otherwise to RCPT, anything but 2.1.x to a message: so say Postfix, Dovecot,
 * Gmail and Exchange. A server that says otherwise can have no window, since its replies cannot be told apart. */
bool smtp_reply_fits(const struct smtp_reply *reply, enum smtp_step step);

#endif
