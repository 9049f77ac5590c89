#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/utf8.h"

static bool is_well_formed(const char *text, size_t len)
{
	struct utf8 utf8 = {0};

	for (size_t i = 0; i < len; i++)
		if (!utf8_add(&utf8, (unsigned char)text[i]))
			return false;
	return utf8.owed == 0;
}

/* The shortest form of every code point, and of the surrogates, which have none. */
static size_t encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 63));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 63));
		out[2] = (char)(0x80 | (code & 63));
		return 3;
	}
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 63));
	out[2] = (char)(0x80 | (code >> 6 & 63));
	out[3] = (char)(0x80 | (code & 63));
	return 4;
}

static void every_code_point_and_nothing_above(void **state)
{
	(void)state;
	for (uint32_t code = 0; code < 0x120000; code++) {
		bool good = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
		char text[4];
		size_t len = encode(code, text);

		if (is_well_formed(text, len) != good)
			fail_msg("U+%04X", code);
		for (size_t cut = 1; cut < len; cut++)
			assert_false(is_well_formed(text, cut));
	}
}

static void malformed_sequences(void **state)
{
	static const char *const cases[] = {
		"\x80",
		"\xBF",
		"\xC0\x80",
		"\xC1\xBF",
		"\xE0\x80\x80",
		"\xE0\x9F\xBF",
		"\xF0\x80\x80\x80",
		"\xF0\x8F\xBF\xBF",
		"\xF5\x80\x80\x80",
		"\xFE",
		"\xFF",
		"\xC3(",
		"\xE2\x82(",
		"Gr\xF6\xDF"
		"e",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (is_well_formed(cases[i], strlen(cases[i])))
			fail_msg("case %zu", i);
}

static void printable_means_no_controls(void **state)
{
	(void)state;
	assert_true(utf8_is_printable("", 0));
	assert_true(utf8_is_printable("Gr\u00FC\u00DFe\u00A0\U0001F600", strlen("Gr\u00FC\u00DFe\u00A0\U0001F600")));
	for (uint32_t code = 0; code < 0x100; code++) {
		char text[4];
		size_t len = encode(code, text);

		assert_int_equal(utf8_is_printable(text, len), (code >= 0x20 && code < 0x7F) || code >= 0xA0);
	}
	assert_false(utf8_is_printable("\xC3", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point_and_nothing_above),
		cmocka_unit_test(malformed_sequences),
		cmocka_unit_test(printable_means_no_controls),
	};

	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
