#include "source/imap-token.h"

#include <string.h>

#include "base/str.h"

bool imap_at_separator(const struct imap_cursor *cursor)
{
	return cursor->at == cursor->end || *cursor->at == ' ' || *cursor->at == ')';
}

static bool is_atom_byte(char byte)
{
	return (unsigned char)byte > ' ' && byte != 0x7F && strchr("(){\"", byte) == NULL;
}

static bool take_quoted(struct imap_cursor *cursor, struct imap_token *token)
{
	token->kind = IMAP_TOKEN_QUOTED;
	token->text = ++cursor->at;
	for (; cursor->at < cursor->end; cursor->at++) {
		if (*cursor->at == '"') {
			token->len = (size_t)(cursor->at - token->text);
			cursor->at++;
			return imap_at_separator(cursor);
		}
		if (*cursor->at == '\\' && (++cursor->at == cursor->end || (*cursor->at != '"' && *cursor->at != '\\')))
			return false;
	}
	return false;
}

/* "{digits}" at the end of a line, and nothing else: no sign, no space, no "+", which only clients may write (RFC 7888 3). */
static bool take_literal(struct imap_cursor *cursor, struct imap_token *token)
{
	const char *digits = cursor->at + 1;
	unsigned long long octets;

	if (cursor->end - digits < 2 || cursor->end[-1] != '}' || !parse_u64(digits, (size_t)(cursor->end - 1 - digits), UINT64_MAX, &octets))
		return false;
	token->kind = IMAP_TOKEN_LITERAL;
	token->octets = octets;
	cursor->at = cursor->end;
	return true;
}

bool imap_take_token(struct imap_cursor *cursor, struct imap_token *token)
{
	while (cursor->at < cursor->end && *cursor->at == ' ')
		cursor->at++;
	*token = (struct imap_token){.kind = IMAP_TOKEN_END, .text = cursor->at};
	if (cursor->at == cursor->end)
		return true;
	switch (*cursor->at) {
	case '(':
	case ')':
		token->kind = *cursor->at++ == '(' ? IMAP_TOKEN_OPEN : IMAP_TOKEN_CLOSE;
		return true;
	case '"':
		return take_quoted(cursor, token);
	case '{':
		return take_literal(cursor, token);
	default:
		token->kind = IMAP_TOKEN_ATOM;
		while (cursor->at < cursor->end && is_atom_byte(*cursor->at))
			cursor->at++;
		token->len = (size_t)(cursor->at - token->text);
		return token->len != 0 && imap_at_separator(cursor);
	}
}

bool imap_take_number(const char **text, size_t *len, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t used = 0;

	for (; used < *len && (*text)[used] >= '0' && (*text)[used] <= '9'; used++) {
		unsigned digit = (unsigned char)(*text)[used] - '0';

		number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
	}
	*text += used;
	*len -= used;
	*ret_number = number;
	return used != 0;
}

bool imap_token_is(const struct imap_token *token, const char *word)
{
	return token->kind == IMAP_TOKEN_ATOM && token->len == strlen(word) && ascii_prefix_nocase(token->text, token->len, word);
}

bool imap_token_number(const struct imap_token *token, uint64_t *ret_number)
{
	const char *text = token->text;
	size_t len = token->len;

	return token->kind == IMAP_TOKEN_ATOM && imap_take_number(&text, &len, ret_number) && len == 0;
}

bool imap_take_word(struct imap_cursor *cursor, struct imap_token *word)
{
	word->text = cursor->at;
	while (cursor->at < cursor->end && *cursor->at != ' ')
		cursor->at++;
	word->len = (size_t)(cursor->at - word->text);
	word->kind = IMAP_TOKEN_ATOM;
	if (cursor->at < cursor->end)
		cursor->at++;
	return word->len != 0;
}
