/* imap-token.h - the words of IMAP: atoms, quoted strings, parentheses, and the announcement of a literal. RFC 9051 4 and 9.
 * Each byte of a line is looked at once. */
#ifndef MAILHAUL_SOURCE_IMAP_TOKEN_H
#define MAILHAUL_SOURCE_IMAP_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum imap_token_kind { IMAP_TOKEN_END, IMAP_TOKEN_OPEN, IMAP_TOKEN_CLOSE, IMAP_TOKEN_ATOM, IMAP_TOKEN_QUOTED, IMAP_TOKEN_LITERAL };

struct imap_token {
	enum imap_token_kind kind;
	const char *text; /* of a quoted string: what stands between the quotes, with its backslashes */
	size_t len;
	uint64_t octets; /* IMAP_TOKEN_LITERAL */
};

/* What is left of a line. */
struct imap_cursor {
	const char *at, *end;
};

/* The next token; IMAP_TOKEN_END at the end of the line. False: what stands there is none. */
bool imap_take_token(struct imap_cursor *cursor, struct imap_token *token);
/* What may follow an atom, a string or a literal: a space, a closing parenthesis, the end of the line. */
bool imap_at_separator(const struct imap_cursor *cursor);
/* Everything up to a space, whatever it is, and the space. False: nothing before it. */
bool imap_take_word(struct imap_cursor *cursor, struct imap_token *word);
/* Digits, of which there must be one: moves *text and *len behind them. Beyond u64 the number stays at the top, so that what is too large is told from
 * what is no number. */
bool imap_take_number(const char **text, size_t *len, uint64_t *ret_number);

/* An atom that is this word, in any case; an atom that is a number. */
bool imap_token_is(const struct imap_token *token, const char *word);
bool imap_token_number(const struct imap_token *token, uint64_t *ret_number);

#endif
