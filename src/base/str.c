#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

char *str_reserve(struct str *str, size_t len)
{
	size_t need = str->len + len + 1;

	if (need < len)
		abort();
	if (need > str->cap) {
		size_t cap = str->cap != 0 ? str->cap : 64;

		while (cap < need)
			cap += cap / 2;
		str->data = xreallocarray(str->data, cap, 1);
		str->cap = cap;
	}
	return str->data + str->len;
}

void str_add(struct str *str, const void *bytes, size_t len)
{
	char *to = str_reserve(str, len);

	if (len != 0)
		memcpy(to, bytes, len);
	str->len += len;
	str->data[str->len] = '\0';
}

void str_add_text(struct str *str, const char *text)
{
	str_add(str, text, strlen(text));
}

void str_add_byte(struct str *str, char byte)
{
	str_add(str, &byte, 1);
}

void str_vaddf(struct str *str, const char *format, va_list args)
{
	size_t room = 64; /* mostly enough, so that a text is formatted once */
	va_list again;
	int need;

	va_copy(again, args);
	need = vsnprintf(str_reserve(str, room), room + 1, format, args);
	if (need < 0)
		abort();
	if ((size_t)need > room)
		vsnprintf(str_reserve(str, (size_t)need), (size_t)need + 1, format, again);
	va_end(again);
	str->len += (size_t)need;
}

void str_addf(struct str *str, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	str_vaddf(str, format, args);
	va_end(args);
}

void str_clear(struct str *str)
{
	str->len = 0;
	if (str->data != NULL)
		str->data[0] = '\0';
}

void str_done(struct str *str)
{
	free(str->data);
	*str = (struct str){0};
}

const char *str_text(const struct str *str)
{
	return str->data != NULL ? str->data : "";
}

static char *escape_all_but(const char *also_plain, char *out, size_t size, const void *bytes, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";
	const unsigned char *in = bytes;
	size_t used = 0, safe = 0; /* safe: where "..." still fits */

	for (size_t i = 0; i < len; i++) {
		bool plain = in[i] >= 0x20 && in[i] <= 0x7E && ((in[i] != '\\' && in[i] != '"') || strchr(also_plain, in[i]) != NULL);
		size_t need = plain ? 1 : 4;

		if (used + 4 <= size)
			safe = used;
		if (used + need + 1 > size) {
			used = safe;
			for (int dot = 0; dot < 3 && used + 1 < size; dot++)
				out[used++] = '.';
			break;
		}
		if (plain) {
			out[used++] = (char)in[i];
		} else {
			out[used++] = '\\';
			out[used++] = 'x';
			out[used++] = hex[in[i] >> 4];
			out[used++] = hex[in[i] & 15];
		}
	}
	if (size != 0)
		out[used] = '\0';
	return out;
}

char *escape_into(char *out, size_t size, const void *bytes, size_t len)
{
	return escape_all_but("", out, size, bytes, len);
}

char *printable_into(char *out, size_t size, const void *bytes, size_t len)
{
	return escape_all_but("\"\\", out, size, bytes, len);
}

void str_add_escaped(struct str *str, const void *bytes, size_t len, size_t max_bytes)
{
	char *to = str_reserve(str, max_bytes);

	escape_into(to, max_bytes + 1, bytes, len);
	str->len += strlen(to);
}

static int lower(unsigned char byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
}

bool ascii_equal_nocase(const char *a, const char *b)
{
	for (; *a != '\0' && lower((unsigned char)*a) == lower((unsigned char)*b); a++)
		b++;
	return lower((unsigned char)*a) == lower((unsigned char)*b);
}

bool ascii_prefix_nocase(const char *text, size_t len, const char *prefix)
{
	for (size_t i = 0; prefix[i] != '\0'; i++)
		if (i >= len || lower((unsigned char)text[i]) != lower((unsigned char)prefix[i]))
			return false;
	return true;
}

bool parse_u64(const char *text, size_t len, unsigned long long max, unsigned long long *ret_value)
{
	unsigned long long value = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned char)text[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value > max)
		return false;
	*ret_value = value;
	return true;
}
