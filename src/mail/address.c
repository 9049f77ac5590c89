#include "mail/address.h"

#include <string.h>

#include "base/str.h"
#include "mail/utf8.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static bool is_alnum(char byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static bool is_above_ascii(char byte)
{
	return (unsigned char)byte > 0x7F;
}

static bool is_one_of(char byte, const char *set)
{
	return byte != '\0' && strchr(set, byte) != NULL;
}

/* Dots may stand anywhere: a.@b and a..b@c break RFC 5321 4.1.2 but are in use (Japanese mobile networks), and so are local parts of more than
 * 64 bytes. */
static size_t dot_string(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && (is_alnum(text[n]) || is_above_ascii(text[n]) || is_one_of(text[n], "!#$%&'*+-/=?^_`{|}~.")))
		n++;
	return n;
}

static size_t quoted_string(const char *text, size_t len)
{
	for (size_t n = 1; n < len; n++) {
		if (text[n] == '"')
			return n + 1;
		if (text[n] == '\\')
			n++;
	}
	return 0;
}

/* Length of the local part that text begins with; 0: none. */
static size_t local_part(const char *text, size_t len)
{
	if (len == 0 || text[0] == '-') /* an option, for a program that gets it as an argument */
		return 0;
	return text[0] == '"' ? quoted_string(text, len) : dot_string(text, len);
}

static bool literal_is_valid(const char *text, size_t len)
{
	if (len < 3 || text[len - 1] != ']')
		return false;
	for (size_t i = 1; i < len - 1; i++)
		if (!is_alnum(text[i]) && !is_one_of(text[i], ".:-"))
			return false;
	return true;
}

/* The underscore is no host name character but occurs in sender domains. */
static bool label_is_valid(const char *text, size_t len)
{
	if (len == 0 || len > LABEL_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(text[i]) && !is_above_ascii(text[i]) && text[i] != '-' && text[i] != '_')
			return false;
	return true;
}

static bool domain_is_valid(const char *text, size_t len)
{
	size_t start = 0;

	if (len != 0 && text[0] == '[')
		return literal_is_valid(text, len);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '.')
			continue;
		if (!label_is_valid(text + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

bool address_is_valid(const char *address, size_t len)
{
	size_t local;

	if (len > ADDRESS_MAX || !utf8_is_printable(address, len))
		return false;
	local = local_part(address, len);
	if (local == 0)
		return false;
	return local == len || (address[local] == '@' && domain_is_valid(address + local + 1, len - local - 1));
}

bool address_is_ascii(const char *address)
{
	while (*address != '\0' && !is_above_ascii(*address))
		address++;
	return *address == '\0';
}

/* What is left of a field's value. */
struct cursor {
	const char *at;
	size_t len;
};

static void skip(struct cursor *cursor, size_t len)
{
	cursor->at += len;
	cursor->len -= len;
}

/* A comment may hold comments (RFC 5322 3.2.2); counting the depth needs no recursion. False: it does not end. */
static bool skip_comment(struct cursor *cursor)
{
	size_t depth = 0;

	for (size_t i = 0; i < cursor->len; i++) {
		if (cursor->at[i] == '(') {
			depth++;
		} else if (cursor->at[i] == '\\') {
			i++;
		} else if (cursor->at[i] == ')' && --depth == 0) {
			skip(cursor, i + 1);
			return true;
		}
	}
	return false;
}

/* A line end counts as white space only where a fold put it: with a space or tab behind it. */
static size_t white_space(const struct cursor *cursor)
{
	size_t line_end = 0;

	if (cursor->len != 0 && is_one_of(cursor->at[0], " \t"))
		return 1;
	if (cursor->len != 0 && cursor->at[0] == '\r')
		line_end = 1;
	if (cursor->len > line_end + 1 && cursor->at[line_end] == '\n' && is_one_of(cursor->at[line_end + 1], " \t"))
		return line_end + 2;
	return 0;
}

/* CFWS of RFC 5322 3.2.2. */
static bool skip_comments_and_space(struct cursor *cursor)
{
	while (cursor->len != 0) {
		size_t space = white_space(cursor);

		if (space != 0)
			skip(cursor, space);
		else if (cursor->at[0] != '(')
			break;
		else if (!skip_comment(cursor))
			return false;
	}
	return true;
}

/* "@a.example,@b.example:" in front of the mailbox. False: something like one, but broken. */
static bool skip_source_route(struct cursor *cursor)
{
	bool routed = cursor->len != 0 && cursor->at[0] == '@';

	for (bool more = routed; more;) {
		size_t n = 1;

		while (n < cursor->len && !is_one_of(cursor->at[n], ",:"))
			n++;
		if (n >= cursor->len || cursor->at[0] != '@' || !domain_is_valid(cursor->at + 1, n - 1))
			return false;
		more = cursor->at[n] == ',';
		skip(cursor, n + 1);
	}
	return !routed || (cursor->len != 0 && cursor->at[0] != '>');
}

/* Takes the mailbox that stands here, up to white space, a comment or the closing bracket, all of which may stand in a quoted local part. */
static void take_mailbox(struct cursor *cursor, const char **ret_address, size_t *ret_len)
{
	size_t n = local_part(cursor->at, cursor->len);

	while (n < cursor->len && !is_one_of(cursor->at[n], " \t\r\n(>"))
		n++;
	*ret_address = cursor->at;
	*ret_len = n;
	skip(cursor, n);
}

/* A sender without domain belongs to the host that wrote it and means nothing elsewhere; except that sendmail and others write the null sender so. */
static bool store_sender(char *out, const char *address, size_t len)
{
	if (len == 0 || (len == 13 && ascii_prefix_nocase(address, len, "MAILER-DAEMON"))) {
		out[0] = '\0';
		return true;
	}
	if (!address_is_valid(address, len) || local_part(address, len) == len)
		return false;
	memcpy(out, address, len);
	out[len] = '\0';
	return true;
}

bool address_from_return_path(char *out, const char *value, size_t len)
{
	struct cursor cursor = {value, len};
	const char *address;
	size_t address_len;
	bool angle;

	if (!skip_comments_and_space(&cursor) || cursor.len == 0)
		return false;
	angle = cursor.at[0] == '<';
	if (angle) {
		skip(&cursor, 1);
		if (!skip_comments_and_space(&cursor) || !skip_source_route(&cursor))
			return false;
	}
	take_mailbox(&cursor, &address, &address_len);
	if (!skip_comments_and_space(&cursor))
		return false;
	if (angle) {
		if (cursor.len == 0 || cursor.at[0] != '>')
			return false;
		skip(&cursor, 1);
		if (!skip_comments_and_space(&cursor))
			return false;
	}
	return cursor.len == 0 && (angle || address_len != 0) && store_sender(out, address, address_len);
}
