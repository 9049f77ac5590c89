/* smtp-reply.h - what an SMTP or LMTP server says: replies, line by line, and the extensions it offers. RFC 5321 4.2, RFC 2034. Pure.
 * Strict where a lenient reader would take one reply for another: a shifted reply turns a refusal into success. A bare "250" is well-formed. */
#ifndef MAILHAUL_DEST_SMTP_REPLY_H
#define MAILHAUL_DEST_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_REPLY_LINES_MAX 100
#define SMTP_REPLY_BYTES_MAX 8192 /* of text, all lines together */

struct smtp_reply {
	int code; /* 200-599 */
	unsigned lines;
	unsigned enhanced[3]; /* RFC 3463, of the first line that has one; all 0: none, or its class contradicts the code */
	bool complete;
	size_t len;
	char text[SMTP_REPLY_BYTES_MAX + 1]; /* without codes and separators, lines joined by LF; remote bytes */
};

enum smtp_reply_state { SMTP_REPLY_MALFORMED = -1, SMTP_REPLY_MORE, SMTP_REPLY_COMPLETE };

void smtp_reply_init(struct smtp_reply *reply);
/* Takes one line without its CRLF. Nothing may be added after COMPLETE or MALFORMED. */
enum smtp_reply_state smtp_reply_line(struct smtp_reply *reply, const char *line, size_t len);
/* Does this 5xx to DATA or the dot speak of the message? Not when its enhanced code names an address, a full mailbox, or the system (RFC 3463 3.2 to
 * 3.5), nor a bare 552, which is a full mailbox as often as a large message (RFC 5321 4.2.3). */
bool smtp_reply_blames_content(const struct smtp_reply *reply);
/* "550 5.1.1 no such user", escaped, on one line; returns out. */
char *smtp_reply_words(const struct smtp_reply *reply, char *out, size_t size);

struct smtp_extensions {
	bool pipelining, eight_bit_mime, smtputf8, dsn, enhanced_codes, chunking, starttls;
	uint64_t size_max; /* RFC 1870; 0: no limit, or none told */
	uint64_t mail_max; /* RFC 9422: transactions per connection; 0: none told */
	unsigned logins;   /* of AUTH: a set, see sasl_offer */
};

/* From a complete reply to EHLO or LHLO. Unknown keywords are skipped (RFC 5321 4.1.1.1). */
void smtp_extensions_parse(struct smtp_extensions *extensions, const struct smtp_reply *reply);

#endif
