/* imap-parse.h - responses of an IMAP server, piece by piece: a line, a literal, the rest of the line. RFC 9051 9, RFC 3501 9.
 * Does no I/O and keeps nothing but this struct. Octets of literals never pass through here, so nothing inside a message can look like a response.
 * What a response says about a message is taken from that response alone. */
#ifndef MAILHAUL_SOURCE_IMAP_PARSE_H
#define MAILHAUL_SOURCE_IMAP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct error;

#define IMAP_LINE_MAX 65536           /* of one response, outside its literals */
#define IMAP_DEPTH_MAX 16             /* parentheses; what we ask for needs 2 */
#define IMAP_SMALL_LITERALS_MAX 65536 /* in one response, all but the message itself */

enum imap_status { IMAP_NO_STATUS, IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_BYE, IMAP_PREAUTH };

enum imap_kind {
	IMAP_CONTINUATION, /* "+ text" */
	IMAP_TAGGED,       /* tag, status, code, text */
	IMAP_STATUS,       /* the same behind "*" */
	IMAP_DATA,         /* number (if it has one), name, text: the arguments */
	IMAP_FETCH,        /* number, fetch */
};

enum imap_body { IMAP_BODY_NONE, IMAP_BODY_NIL, IMAP_BODY_QUOTED, IMAP_BODY_LITERAL };

struct imap_fetch {
	bool has_uid, has_size;
	uint64_t uid; /* as sent: may be 0, or larger than a UID can be; UINT64_MAX stands for everything beyond */
	uint64_t size;
	int64_t date; /* wall clock seconds; 0: none, or not a date */
	enum imap_body body;
	uint64_t body_size;
	bool is_header; /* body is BODY[HEADER], and not BODY[] */
};

/* The pointers lead into the line that was parsed last, and are not NUL-terminated. */
struct imap_response {
	enum imap_kind kind;
	enum imap_status status;
	const char *tag, *code, *text; /* code: between the brackets, NULL if there is none */
	size_t tag_len, code_len, text_len;
	bool has_number;
	uint64_t number;
	char name[24]; /* upper case; longer names are cut, as none of ours is so long */
	struct imap_fetch fetch;
};

struct imap_parser {
	struct imap_response response;
	struct str quoted;       /* IMAP_BODY_QUOTED: the message */
	uint64_t literal;        /* octets that follow the line */
	bool literal_is_message; /* the value of BODY[] or BODY[HEADER] */

	/* private: where we are in a response */
	bool continues;
	unsigned depth, item;
	size_t line_bytes, small_bytes;
};

enum imap_parsed { IMAP_BROKEN = -1, IMAP_LITERAL = 1, IMAP_COMPLETE = 2 };

/* All-zero is a fresh parser. */
void imap_parser_done(struct imap_parser *parser);
/* Takes one line without its CRLF. IMAP_COMPLETE: parser->response is valid as long as the line is. IMAP_LITERAL: parser->literal octets follow; after
 * them call again with the next line. IMAP_BROKEN: ERR_PROTO; the parser must not be used any more. */
enum imap_parsed imap_parse_line(struct imap_parser *parser, const char *line, size_t len, struct error *err);

/* The code's first word is this one (RFC 9051 7.1). */
bool imap_code_is(const struct imap_response *response, const char *word);
/* The number behind it, as in UIDVALIDITY; 0 if there is none, or one that nobody could count. */
uint64_t imap_code_number(const struct imap_response *response);

enum imap_capability {
	IMAP_CAP_REV1 = 1,
	IMAP_CAP_REV2 = 2,
	IMAP_CAP_UIDPLUS = 4,
	IMAP_CAP_MOVE = 8,
	IMAP_CAP_ID = 16,
	IMAP_CAP_SASL_IR = 32,
	IMAP_CAP_LOGINDISABLED = 64,
	IMAP_CAP_LITERAL_PLUS = 128,
	IMAP_CAP_LITERAL_MINUS = 256,
	IMAP_CAP_LIST_EXTENDED = 512,
	IMAP_CAP_LIST_STATUS = 1024,
	IMAP_CAP_IDLE = 2048,
	IMAP_CAP_NOTIFY = 4096,
};
/* The bits of a list of capabilities (RFC 9051 7.2.2), which are kept in the state: none ever gets another meaning. IMAP4rev2 brings UIDPLUS, MOVE,
 * SASL-IR, LITERAL-, LIST-EXTENDED, LIST-STATUS and IDLE with it. */
unsigned imap_parse_capabilities(const char *text, size_t len);
/* The next number in a list of numbers (RFC 3501 7.2.5): moves *text and *len behind it. False: no more, or not a number. */
bool imap_next_number(const char **text, size_t *len, uint64_t *ret_number);
/* A date-time (RFC 9051 9), without its quotes, in wall clock seconds; 0 if it is none. */
int64_t imap_parse_date(const char *text, size_t len);

#endif
