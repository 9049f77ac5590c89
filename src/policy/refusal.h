/* refusal.h - whom a refusal concerns: this message or the whole destination? Pure.
 * One struct per recipient of a destination and session: a mistyped recipient says nothing about the others.
 * 421, lost connection (code 0), greeting, EHLO, AUTH, 452 at MAIL (disk full): destination. 4xx or 5xx at MAIL or RCPT: the next message is tried;
 * if the null sender or a sender accepted before is refused for the same recipient too, or three in a row: destination, else message. 4xx after
 * DATA: message, three in a row: destination. 5xx after DATA: message, held. */
#ifndef MAILHAUL_POLICY_REFUSAL_H
#define MAILHAUL_POLICY_REFUSAL_H

#include <stdbool.h>

#include "base/error.h"

enum smtp_step { SMTP_CONNECT, SMTP_GREETING, SMTP_HELLO, SMTP_AUTH, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_DOT };

struct refusal_track {
	unsigned envelope_in_row, dot_in_row;
	unsigned accepted;                       /* messages accepted in this session */
	unsigned long long accepted_senders[16]; /* hashes of the latest senders that passed MAIL and RCPT */
	unsigned next_sender;
};

void refusal_accepted(struct refusal_track *track, const char *sender);
/* The scope of this refusal (SCOPE_MESSAGE, SCOPE_RECIPIENT or SCOPE_DESTINATION) and its kind: ERR_TEMP or ERR_REFUSED. A refusal that turns out to
 * concern the destination is always ERR_TEMP. */
void refusal_judge(
	struct refusal_track *track, enum smtp_step step, int code, const char *sender, enum error_kind *ret_kind, enum error_scope *ret_scope);

#endif
