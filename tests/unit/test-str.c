#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void grows_and_keeps_its_nul(void **state)
{
	struct str str = {0};
	struct str expected = {0};

	(void)state;
	assert_string_equal(str_text(&str), "");
	for (int i = 0; i < 300; i++) {
		str_addf(&str, "%d,", i);
		assert_int_equal(strlen(str.data), str.len);
		assert_true(str.len < str.cap);
	}
	for (int i = 0; i < 300; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d,", i);
		str_add_text(&expected, number);
	}
	assert_string_equal(str_text(&str), str_text(&expected));
	str_clear(&str);
	assert_string_equal(str_text(&str), "");
	str_add(&str, "a\0b", 3);
	str_add_byte(&str, 'c');
	assert_int_equal(str.len, 4);
	assert_memory_equal(str.data, "a\0bc", 5);
	str_done(&str);
	str_done(&expected);
	assert_null(str.data);
}

static void adding_nothing_is_fine(void **state)
{
	struct str str = {0};

	(void)state;
	str_add(&str, NULL, 0);
	str_add_text(&str, "");
	str_addf(&str, "%s", "");
	str_clear(&str);
	assert_string_equal(str_text(&str), "");
	str_done(&str);
	str_done(&str);
}

static const struct {
	const char *in;
	size_t len;
	const char *whole;
} escapes[] = {
	{"", 0, ""},
	{"plain ~ text!", 13, "plain ~ text!"},
	{"a\r\nb", 4, "a\\x0D\\x0Ab"},
	{"\"\\", 2, "\\x22\\x5C"},
	{"\0\033[2J", 5, "\\x00\\x1B[2J"},
	{"\177\200\377", 3, "\\x7F\\x80\\xFF"},
	{"%s%n", 4, "%s%n"},
};

static void escapes_remote_text(void **state)
{
	char out[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		struct str str = {0};

		assert_ptr_equal(escape_into(out, sizeof(out), escapes[i].in, escapes[i].len), out);
		assert_string_equal(out, escapes[i].whole);
		str_add_text(&str, "<");
		str_add_escaped(&str, escapes[i].in, escapes[i].len, 60);
		str_add_text(&str, ">");
		assert_memory_equal(str.data + 1, escapes[i].whole, strlen(escapes[i].whole));
		assert_int_equal(str.len, strlen(escapes[i].whole) + 2);
		str_done(&str);
	}
}

static bool ends_with_half_an_escape(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i += text[i] == '\\' ? 4 : 1)
		if (text[i] == '\\' && i + 4 > len)
			return true;
	return false;
}

/* For every size: never beyond it, no half escape, and an ellipsis exactly where something is missing. */
static void cuts_escaped_text_cleanly(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		size_t whole = strlen(escapes[i].whole);

		for (size_t size = 1; size <= whole + 2; size++) {
			char *out = xmalloc(size);
			size_t len = strlen(escape_into(out, size, escapes[i].in, escapes[i].len));

			assert_true(len < size);
			if (size > whole) {
				assert_string_equal(out, escapes[i].whole);
			} else if (size >= 4) {
				assert_string_equal(out + len - 3, "...");
				assert_memory_equal(out, escapes[i].whole, len - 3);
				assert_false(ends_with_half_an_escape(out, len - 3));
			}
			free(out);
		}
	}
	assert_null(escape_into(NULL, 0, "a", 1));
}

static void leaves_quotes_to_people(void **state)
{
	char text[40];

	(void)state;
	assert_string_equal(printable_into(text, sizeof(text), "\"\\\x1b\n\xe4", 5), "\"\\\\x1B\\x0A\\xE4");
}

static void compares_ascii_without_case(void **state)
{
	(void)state;
	assert_true(ascii_equal_nocase("", ""));
	assert_true(ascii_equal_nocase("Oauth-2@[", "oAUTH-2@["));
	assert_false(ascii_equal_nocase("a", "ab"));
	assert_false(ascii_equal_nocase("ab", "a"));
	assert_false(ascii_equal_nocase("@", "`"));       /* 0x40 and 0x60 differ in the bit that letters differ in */
	assert_false(ascii_equal_nocase("\304", "\344")); /* Latin-1 is not ASCII */
	assert_true(ascii_prefix_nocase("CAPABILITY x", 12, "capability "));
	assert_true(ascii_prefix_nocase("x", 1, ""));
	assert_false(ascii_prefix_nocase("CAPA", 3, "CAPA"));
	assert_false(ascii_prefix_nocase("", 0, "a"));
}

static void parses_numbers_with_a_limit(void **state)
{
	static const struct {
		const char *text;
		unsigned long long max;
		bool good;
		unsigned long long value;
	} cases[] = {
		{"0", 10, true, 0},
		{"007", 10, true, 7},
		{"10", 10, true, 10},
		{"11", 10, false, 0},
		{"4294967296", UINT32_MAX, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
		{"99999999999999999999999", UINT64_MAX, false, 0},
		{"", 10, false, 0},
		{"-1", 10, false, 0},
		{"+1", 10, false, 0},
		{" 1", 10, false, 0},
		{"1 ", 10, false, 0},
		{"1a", 10, false, 0},
		{"\261", 10, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned long long value = 77;

		assert_int_equal(parse_u64(cases[i].text, strlen(cases[i].text), cases[i].max, &value), cases[i].good);
		assert_true(value == (cases[i].good ? cases[i].value : 77));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_its_nul),
		cmocka_unit_test(adding_nothing_is_fine),
		cmocka_unit_test(escapes_remote_text),
		cmocka_unit_test(cuts_escaped_text_cleanly),
		cmocka_unit_test(leaves_quotes_to_people),
		cmocka_unit_test(compares_ascii_without_case),
		cmocka_unit_test(parses_numbers_with_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
