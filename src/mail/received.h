/* received.h - the header fields that we put in front of a message, and the id that stays the same however often it is delivered. */
#ifndef MAILHAUL_MAIL_RECEIVED_H
#define MAILHAUL_MAIL_RECEIVED_H

#include <stdint.h>

struct str;

struct received {
	const char *source_host, *protocol; /* "imap.example", "IMAPS" */
	const char *host;                   /* our own name */
	const char *id;                     /* X-Mailhaul-Id */
	const char *mailbox, *folder;       /* X-Mailhaul-Mailbox; folder NULL on POP3 */
	const char *for_recipient;          /* of the envelope, for Received; NULL, or without a domain: no FOR clause */
	const char *sender, *recipient;     /* Return-Path and Delivered-To, where wanted (final delivery, RFC 5321 4.4); NULL: not */
	int64_t when;                       /* wall clock, seconds */
};

/* Return-Path, Delivered-To, Received, X-Mailhaul-Id, X-Mailhaul-Mailbox; CRLF line ends, folded at 78 between words. Remote and configured text is
 * escaped and cut so that nothing can add a field of its own; an address that is not valid is left out. */
void received_write(struct str *out, const struct received *received);
/* out: 41 bytes: mark (of received_make_mark), then 32 hex digits of SHA-256(installation, mailbox, folder, message id, destination, recipient).
 * folder may be NULL. */
void received_make_id(char out[41], const char *mark, const char *installation, const char *mailbox, const char *folder, uint64_t message_id,
	const char *destination, const char *recipient);
/* The first 8 hex digits of SHA-256(installation). */
void received_make_mark(char out[9], const char *installation);

#endif
