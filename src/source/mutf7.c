#include "source/mutf7.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "mail/utf8.h"

/* One run of UTF-16 in base64, between '&' and '-'. */
struct run {
	struct str *out;
	bool open;
	uint32_t bits;
	unsigned bit_count; /* of bits, not yet written: 0, 2 or 4 between two units */
};

static void write_sextet(struct run *run, uint32_t sextet)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"; /* "," for "/", which parts folders */

	str_add_byte(run->out, digits[sextet & 63]);
}

static void write_unit(struct run *run, uint32_t unit)
{
	if (!run->open)
		str_add_byte(run->out, '&');
	run->open = true;
	run->bits = run->bits << 16 | unit;
	for (run->bit_count += 16; run->bit_count >= 6; run->bit_count -= 6)
		write_sextet(run, run->bits >> (run->bit_count - 6));
}

static void close_run(struct run *run)
{
	if (!run->open)
		return;
	if (run->bit_count != 0)
		write_sextet(run, run->bits << (6 - run->bit_count));
	str_add_byte(run->out, '-');
	*run = (struct run){.out = run->out};
}

static void write_character(struct run *run, uint32_t character)
{
	if (character >= 0x20 && character <= 0x7E) {
		close_run(run);
		str_add_byte(run->out, (char)character);
		if (character == '&')
			str_add_byte(run->out, '-');
	} else if (character < 0x10000) {
		write_unit(run, character);
	} else {
		write_unit(run, 0xD800 + ((character - 0x10000) >> 10));
		write_unit(run, 0xDC00 + ((character - 0x10000) & 0x3FF));
	}
}

static bool is_utf8(const char *text)
{
	struct utf8 utf8 = {0};

	for (; *text != '\0'; text++)
		if (!utf8_add(&utf8, (unsigned char)*text))
			return false;
	return utf8.owed == 0;
}

int mutf7_encode(struct str *out, const char *name)
{
	struct run run = {.out = out};
	const unsigned char *at = (const unsigned char *)name;

	if (!is_utf8(name))
		return -1;
	while (*at != '\0') {
		unsigned more = *at < 0x80 ? 0 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : 3;
		uint32_t character = more == 0 ? *at : *at & (0x3FU >> more);

		for (at++; more != 0; more--, at++)
			character = character << 6 | (*at & 0x3F);
		write_character(&run, character);
	}
	close_run(&run);
	return 0;
}
