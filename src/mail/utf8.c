#include "mail/utf8.h"

static bool lead(struct utf8 *utf8, unsigned char byte)
{
	if (byte < 0x80)
		return true;
	if (byte < 0xC2 || byte > 0xF4)
		return false;
	utf8->owed = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
	utf8->min = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
	utf8->max = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
	return true;
}

bool utf8_add(struct utf8 *utf8, unsigned char byte)
{
	if (utf8->owed == 0)
		return lead(utf8, byte);
	if (byte < utf8->min || byte > utf8->max)
		return false;
	utf8->owed--;
	utf8->min = 0x80;
	utf8->max = 0xBF;
	return true;
}

bool utf8_is_printable(const char *text, size_t len)
{
	struct utf8 utf8 = {0};
	unsigned char before = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte < 0x20 || byte == 0x7F || (before == 0xC2 && byte < 0xA0) || !utf8_add(&utf8, byte))
			return false;
		before = byte;
	}
	return utf8.owed == 0;
}
