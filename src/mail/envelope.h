/* envelope.h - who a message comes from, for SMTP: not what its From field says, but the sender of its envelope. RFC 5321 3.6.2, RFC 6531 3.2. */
#ifndef MAILHAUL_MAIL_ENVELOPE_H
#define MAILHAUL_MAIL_ENVELOPE_H

#include <stdbool.h>

struct dest_config;
struct mailbox_config;
struct message;

/* The first of: the mailbox's sender, the destination's sender, the login address of an SMTP destination (submission servers accept no other), the
 * message's Return-Path, the null sender "". Borrowed from whichever it is; without <>. After message_end. */
const char *envelope_sender(const struct mailbox_config *mailbox, const struct dest_config *dest, const struct message *message);
/* True: the message is internationalized, by an address or by its header (RFC 6531 3.4), and MAIL wants SMTPUTF8 where it is offered. If only the
 * header is (address_is_ascii both), a server that does not offer it usually takes the message all the same. */
bool envelope_needs_smtputf8(const char *sender, const char *recipient, const struct message *message);

#endif
