#include "source/imap-parse.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "source/imap-token.h"

/* What the next token of a FETCH is: its list, the name of an item, the value of one, something inside a value that is a list; nothing more. */
enum item { ITEM_BEGIN, ITEM_NAME, ITEM_UID, ITEM_SIZE, ITEM_DATE, ITEM_MESSAGE, ITEM_HEADER, ITEM_OTHER, ITEM_IN_LIST, ITEM_END };

static enum imap_parsed broken(struct error *err, const char *what)
{
	return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server broke the IMAP protocol: %s", what);
}

void imap_parser_done(struct imap_parser *parser)
{
	str_done(&parser->quoted);
}

/* --- the items of a FETCH --- */

static enum item item_of(const struct imap_token *name)
{
	static const struct {
		const char *name;
		enum item item;
	} items[] = {
		{"UID", ITEM_UID}, {"RFC822.SIZE", ITEM_SIZE}, {"INTERNALDATE", ITEM_DATE}, {"BODY[]", ITEM_MESSAGE}, {"BODY[HEADER]", ITEM_HEADER}};

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (imap_token_is(name, items[i].name))
			return items[i].item;
	return ITEM_OTHER;
}

static void unescape(struct str *out, const struct imap_token *quoted)
{
	str_clear(out);
	for (size_t i = 0; i < quoted->len; i++) {
		if (quoted->text[i] == '\\')
			i++; /* take_quoted has seen what follows */
		str_add_byte(out, quoted->text[i]);
	}
}

static const char *take_message(struct imap_parser *parser, const struct imap_token *value)
{
	struct imap_fetch *fetch = &parser->response.fetch;

	if (fetch->body != IMAP_BODY_NONE)
		return "one FETCH response with two messages";
	if (imap_token_is(value, "NIL")) {
		fetch->body = IMAP_BODY_NIL;
	} else if (value->kind == IMAP_TOKEN_QUOTED) {
		unescape(&parser->quoted, value);
		fetch->body = IMAP_BODY_QUOTED;
		fetch->body_size = parser->quoted.len;
	} else if (value->kind == IMAP_TOKEN_LITERAL) {
		fetch->body = IMAP_BODY_LITERAL;
		fetch->body_size = value->octets;
		parser->literal_is_message = true;
	} else {
		return "a message that is not a string";
	}
	return NULL;
}

/* Returns NULL, or what is wrong. */
static const char *take_value(struct imap_parser *parser, const struct imap_token *value)
{
	struct imap_fetch *fetch = &parser->response.fetch;

	switch (parser->item) {
	case ITEM_UID:
		if (fetch->has_uid || !imap_token_number(value, &fetch->uid))
			return "a FETCH response whose UID is not one number";
		fetch->has_uid = true;
		return NULL;
	case ITEM_SIZE:
		if (!imap_token_number(value, &fetch->size))
			return "a FETCH response whose RFC822.SIZE is not a number";
		fetch->has_size = true;
		return NULL;
	case ITEM_DATE:
		fetch->date = value->kind == IMAP_TOKEN_QUOTED ? imap_parse_date(value->text, value->len) : 0;
		return NULL;
	case ITEM_HEADER:
		fetch->is_header = true;
		return take_message(parser, value);
	case ITEM_MESSAGE:
		fetch->is_header = false;
		return take_message(parser, value);
	default:
		return NULL; /* flags and whatever else there is */
	}
}

/* Follows names and values; parentheses have been counted already. */
static const char *take_fetch_token(struct imap_parser *parser, const struct imap_token *token)
{
	const char *wrong = NULL;

	switch (parser->item) {
	case ITEM_BEGIN:
		parser->item = ITEM_NAME;
		return token->kind == IMAP_TOKEN_OPEN ? NULL : "a FETCH response without a list";
	case ITEM_NAME:
		parser->item = token->kind == IMAP_TOKEN_CLOSE ? ITEM_END : item_of(token);
		return token->kind == IMAP_TOKEN_CLOSE || token->kind == IMAP_TOKEN_ATOM ? NULL : "a FETCH item without a name";
	case ITEM_IN_LIST:
		if (parser->depth == 1)
			parser->item = ITEM_NAME;
		return NULL;
	case ITEM_END:
		return "something behind the list of a FETCH response";
	default:
		wrong = token->kind == IMAP_TOKEN_CLOSE ? "a FETCH item without a value" : take_value(parser, token);
		parser->item = token->kind == IMAP_TOKEN_OPEN ? ITEM_IN_LIST : ITEM_NAME;
		return wrong;
	}
}

static const char *take_any_token(struct imap_parser *parser, const struct imap_token *token)
{
	if (token->kind == IMAP_TOKEN_OPEN && ++parser->depth > IMAP_DEPTH_MAX)
		return "too many nested parentheses";
	if (token->kind == IMAP_TOKEN_CLOSE && parser->depth-- == 0)
		return "a closing parenthesis too many";
	if (parser->response.kind == IMAP_FETCH)
		return take_fetch_token(parser, token);
	return NULL;
}

static enum imap_parsed end_of_line(struct imap_parser *parser, const struct imap_token *token, struct error *err)
{
	if (token->kind == IMAP_TOKEN_LITERAL) {
		parser->literal = token->octets;
		parser->continues = true;
		if (parser->literal_is_message)
			return IMAP_LITERAL;
		if (token->octets > IMAP_SMALL_LITERALS_MAX - parser->small_bytes)
			return broken(err, "a literal too large for what it can mean");
		parser->small_bytes += token->octets;
		return IMAP_LITERAL;
	}
	if (parser->depth != 0)
		return broken(err, "an open parenthesis at the end of a response");
	if (parser->response.kind == IMAP_FETCH && parser->item != ITEM_END)
		return broken(err, "a FETCH response without a list");
	parser->continues = false;
	return IMAP_COMPLETE;
}

static enum imap_parsed take_data(struct imap_parser *parser, struct imap_cursor *cursor, struct error *err)
{
	struct imap_token token;
	const char *wrong;

	parser->literal_is_message = false;
	do {
		if (!imap_take_token(cursor, &token))
			return broken(err, "a word, quoted string or literal that is not well-formed");
		wrong = token.kind != IMAP_TOKEN_END ? take_any_token(parser, &token) : NULL;
		if (wrong != NULL)
			return broken(err, wrong);
	} while (token.kind != IMAP_TOKEN_END && token.kind != IMAP_TOKEN_LITERAL);
	return end_of_line(parser, &token, err);
}

/* --- the beginning of a response --- */

static enum imap_status status_of(const struct imap_token *word, bool tagged)
{
	static const struct {
		const char *name;
		enum imap_status status;
	} statuses[] = {{"OK", IMAP_OK}, {"NO", IMAP_NO}, {"BAD", IMAP_BAD}, {"BYE", IMAP_BYE}, {"PREAUTH", IMAP_PREAUTH}};

	for (size_t i = 0; i < (tagged ? 3 : 5); i++)
		if (imap_token_is(word, statuses[i].name))
			return statuses[i].status;
	return IMAP_NO_STATUS;
}

/* The words for people, with a code in brackets in front or not. A bracket in a quoted string of a code does not end it. */
static void take_status_text(struct imap_response *response, const struct imap_cursor *cursor)
{
	const char *at = cursor->at;
	bool quoted = false;

	response->text = at;
	response->text_len = (size_t)(cursor->end - at);
	if (at == cursor->end || *at != '[')
		return;
	for (at++; at < cursor->end && (quoted || *at != ']'); at++)
		if (*at == '"')
			quoted = !quoted;
	if (at == cursor->end)
		return;
	response->code = cursor->at + 1;
	response->code_len = (size_t)(at - response->code);
	for (at++; at < cursor->end && *at == ' ';)
		at++;
	response->text = at;
	response->text_len = (size_t)(cursor->end - at);
}

static void set_name(struct imap_response *response, const struct imap_token *word)
{
	size_t len = word->len < sizeof(response->name) ? word->len : sizeof(response->name) - 1;

	for (size_t i = 0; i < len; i++)
		response->name[i] = word->text[i] >= 'a' && word->text[i] <= 'z' ? (char)(word->text[i] - 32) : word->text[i];
}

static enum imap_parsed begin_data(struct imap_parser *parser, struct imap_cursor *cursor, struct error *err)
{
	struct imap_response *response = &parser->response;
	struct imap_token word;

	if (!imap_take_word(cursor, &word))
		return broken(err, "an untagged response that says nothing");
	response->status = status_of(&word, false);
	if (response->status != IMAP_NO_STATUS) {
		response->kind = IMAP_STATUS;
		take_status_text(response, cursor);
		return IMAP_COMPLETE;
	}
	response->has_number = imap_token_number(&word, &response->number);
	if (response->has_number && !imap_take_word(cursor, &word))
		return broken(err, "a number without a word");
	set_name(response, &word);
	response->kind = response->has_number && strcmp(response->name, "FETCH") == 0 ? IMAP_FETCH : IMAP_DATA;
	response->text = cursor->at;
	response->text_len = (size_t)(cursor->end - cursor->at);
	return take_data(parser, cursor, err);
}

static enum imap_parsed begin(struct imap_parser *parser, struct imap_cursor *cursor, struct error *err)
{
	struct imap_response *response = &parser->response;
	struct imap_token word;

	*response = (struct imap_response){0};
	parser->depth = parser->item = 0;
	parser->small_bytes = 0;
	if (!imap_take_word(cursor, &word))
		return broken(err, "an empty line");
	if (word.len == 1 && *word.text == '*')
		return begin_data(parser, cursor, err);
	if (word.len == 1 && *word.text == '+') {
		response->kind = IMAP_CONTINUATION;
		response->text = cursor->at;
		response->text_len = (size_t)(cursor->end - cursor->at);
		return IMAP_COMPLETE;
	}
	response->kind = IMAP_TAGGED;
	response->tag = word.text;
	response->tag_len = word.len;
	if (!imap_take_word(cursor, &word) || (response->status = status_of(&word, true)) == IMAP_NO_STATUS)
		return broken(err, "a line that is no response");
	take_status_text(response, cursor);
	return IMAP_COMPLETE;
}

enum imap_parsed imap_parse_line(struct imap_parser *parser, const char *line, size_t len, struct error *err)
{
	struct imap_cursor cursor = {line, line + len};

	parser->line_bytes = (parser->continues ? parser->line_bytes : 0) + len;
	if (parser->line_bytes > IMAP_LINE_MAX)
		return broken(err, "a response of more than 64 KiB");
	if (!parser->continues)
		return begin(parser, &cursor, err);
	parser->response.text = line; /* its arguments began in a line that is gone */
	parser->response.text_len = 0;
	/* Whoever lies about the length of a literal is found out here, or never: by what follows it. */
	if (!imap_at_separator(&cursor))
		return broken(err, "a literal that is followed by something that cannot follow it; its length was wrong");
	return take_data(parser, &cursor, err);
}

/* --- what stands in them --- */

bool imap_code_is(const struct imap_response *response, const char *word)
{
	size_t len = strlen(word);

	return response->code != NULL && ascii_prefix_nocase(response->code, response->code_len, word) &&
	       (response->code_len == len || response->code[len] == ' ');
}

uint64_t imap_code_number(const struct imap_response *response)
{
	struct imap_cursor cursor = {response->code, response->code + response->code_len};
	struct imap_token word;
	uint64_t number;

	if (!imap_take_word(&cursor, &word) || !imap_take_word(&cursor, &word) || !imap_token_number(&word, &number) || number == UINT64_MAX)
		return 0;
	return number;
}

unsigned imap_parse_capabilities(const char *text, size_t len)
{
	static const struct {
		const char *name;
		unsigned bits;
	} known[] = {
		{"IMAP4rev1", IMAP_CAP_REV1},
		{"IMAP4rev2", IMAP_CAP_REV2 | IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE | IMAP_CAP_SASL_IR | IMAP_CAP_LITERAL_MINUS | IMAP_CAP_LIST_EXTENDED |
				      IMAP_CAP_LIST_STATUS | IMAP_CAP_IDLE},
		{"UIDPLUS", IMAP_CAP_UIDPLUS},
		{"MOVE", IMAP_CAP_MOVE},
		{"ID", IMAP_CAP_ID},
		{"SASL-IR", IMAP_CAP_SASL_IR},
		{"LOGINDISABLED", IMAP_CAP_LOGINDISABLED},
		{"LITERAL+", IMAP_CAP_LITERAL_PLUS},
		{"LITERAL-", IMAP_CAP_LITERAL_MINUS},
		{"LIST-EXTENDED", IMAP_CAP_LIST_EXTENDED},
		{"LIST-STATUS", IMAP_CAP_LIST_STATUS},
		{"IDLE", IMAP_CAP_IDLE},
		{"NOTIFY", IMAP_CAP_NOTIFY},
	};
	struct imap_cursor cursor = {text, text + len};
	struct imap_token word;
	unsigned found = 0;

	while (cursor.at < cursor.end) {
		imap_take_word(&cursor, &word);
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (imap_token_is(&word, known[i].name))
				found |= known[i].bits;
	}
	return found;
}

bool imap_next_number(const char **text, size_t *len, uint64_t *ret_number)
{
	while (*len != 0 && **text == ' ') {
		++*text;
		--*len;
	}
	return imap_take_number(text, len, ret_number);
}

static bool two_digits(const char *text, unsigned *ret_value)
{
	unsigned long long value;

	if (!parse_u64(text, 2, 99, &value))
		return false;
	*ret_value = (unsigned)value;
	return true;
}

static unsigned month_of(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (unsigned month = 0; month < 12; month++) {
		const char word[4] = {months[3 * month], months[3 * month + 1], months[3 * month + 2]};

		if (ascii_prefix_nocase(name, 3, word))
			return month + 1;
	}
	return 0;
}

int64_t imap_parse_date(const char *text, size_t len)
{
	static const char shape[] = "dd-mmm-dddd dd:dd:dd sdddd"; /* d digit, m letter, s sign; the rest stands for itself */
	unsigned day, month, century, year, hour, minute, second, zone_hour, zone_minute;
	char day_text[2];
	int64_t wall_s, zone_s;

	if (len != sizeof(shape) - 1)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (strchr("dms", shape[i]) == NULL && text[i] != shape[i])
			return 0;
	day_text[0] = text[0] == ' ' ? '0' : text[0]; /* date-day-fixed: one digit behind a space */
	day_text[1] = text[1];
	month = month_of(text + 3);
	if (month == 0 || !two_digits(day_text, &day) || !two_digits(text + 7, &century) || !two_digits(text + 9, &year) ||
		!two_digits(text + 12, &hour) || !two_digits(text + 15, &minute) || !two_digits(text + 18, &second) ||
		!two_digits(text + 22, &zone_hour) || !two_digits(text + 24, &zone_minute))
		return 0;
	if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || zone_minute > 59 || (text[21] != '+' && text[21] != '-'))
		return 0;
	wall_s = clock_from_civil((int)(century * 100 + year), month, day, hour, minute, second);
	zone_s = (int64_t)zone_hour * 3600 + (int64_t)zone_minute * 60;
	return text[21] == '+' ? wall_s - zone_s : wall_s + zone_s;
}
