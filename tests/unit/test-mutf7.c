/* test-mutf7.c - folder names on their way to an IMAP4rev1 server. */
#include "source/mutf7.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static void encodes(void **state)
{
	static const struct {
		const char *name, *wire;
	} cases[] = {
		{"", ""},
		{"INBOX", "INBOX"},
		{"[Gmail]/All Mail", "[Gmail]/All Mail"},
		{"a&b", "a&-b"},
		{"&", "&-"},
		{"~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, /* RFC 3501 5.1.3 */
		{"Entw\u00fcrfe", "Entw&APw-rfe"},
		{"\u00e9", "&AOk-"},
		{"\u00e9\u00e9", "&AOkA6Q-"},
		{"\u00e9\u00e9\u00e9", "&AOkA6QDp-"},
		{"\u00e9&\u00e9", "&AOk-&-&AOk-"},
		{"\u00e9-\u00e9", "&AOk--&AOk-"},
		{"\U0001F4E7", "&2D3c5w-"},
		{"\U0010FFFF", "&2,,f,w-"},
		{"\uFFFF", "&,,8-"},
		{"\"\\", "\"\\"},
		{"a\r\nb\x7f", "a&AA0ACg-b&AH8-"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str out = {0};

		str_add_text(&out, "x");
		assert_int_equal(mutf7_encode(&out, cases[i].name), 0);
		assert_string_equal(out.data + 1, cases[i].wire);
		str_done(&out);
	}
}

static void refuses_what_is_not_utf8(void **state)
{
	static const char *const names[] = {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct str out = {0};

		str_add_text(&out, "x");
		assert_int_equal(mutf7_encode(&out, names[i]), -1);
		assert_string_equal(out.data, "x");
		str_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes),
		cmocka_unit_test(refuses_what_is_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
