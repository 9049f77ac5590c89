/* lines.h - line ends and dots: the byte machines between a source's wire, the spool and a destination. They keep their state between pieces.
 * The rule (what each destination gets): SMTP and LMTP: bare LF -> CRLF, bare CR -> SP, NUL -> SP, dots stuffed after that, CRLF at the end;
 * Maildir and MDA: CRLF -> LF, everything else as it is. */
#ifndef MAILHAUL_MAIL_LINES_H
#define MAILHAUL_MAIL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many bytes from the first on are no control characters below 0x10, so no NUL, CR or LF. Most of mail is in runs of the length of a line, and only what
 * is between them needs a look at every byte. */
size_t plain_run(const char *bytes, size_t len);

/* POP3 multi-line response (RFC 1939 3): CRLF.CRLF ends it, and nothing else does; one dot is removed from a line that begins with one. */
struct dot_decoder {
	unsigned state;
	bool ended;
};
void dot_decoder_init(struct dot_decoder *decoder);
/* Takes bytes from in, writes message bytes to out (room for len + 4), returns how many; *ret_used input bytes are consumed: all, or up to and including
 * the terminator, when decoder->ended becomes true. A message's last CRLF belongs to the message. */
size_t dot_decode(struct dot_decoder *decoder, const char *in, size_t len, char *out, size_t *ret_used);

/* SMTP DATA (RFC 5321 4.5.2) and BDAT. */
struct smtp_encoder {
	unsigned state;
	bool stuff;       /* DATA: stuff dots. BDAT: do not */
	uint64_t changed; /* lone CRs and NULs that became a space, for the log */
};
void smtp_encoder_init(struct smtp_encoder *encoder, bool stuff);
#define SMTP_ENCODED_MAX(len) (2 * (len) + 2) /* room that out needs */
size_t smtp_encode(struct smtp_encoder *encoder, const char *in, size_t len, char *out);
/* What is owed at the end: a lone CR's space, a missing CRLF. At most 3 bytes. Not the final dot. An empty message gives none. */
size_t smtp_encode_end(struct smtp_encoder *encoder, char *out);

/* Maildir and MDA: CRLF -> LF. */
struct local_encoder {
	bool after_cr;
};
void local_encoder_init(struct local_encoder *encoder);
size_t local_encode(struct local_encoder *encoder, const char *in, size_t len, char *out); /* out: len + 1 bytes */
size_t local_encode_end(struct local_encoder *encoder, char *out);                         /* a CR held back; at most 1 byte */

#endif
