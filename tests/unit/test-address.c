#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/address.h"

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define LABEL_63 SIXTY "abc"

static const char *const good[] = {
	"a@b",
	"anna@home.example",
	"anna",
	"a.b+c=d@e-f.example",
	"!#$%&'*+-/=?^_`{|}~@a.example",
	"a..b@docomo.example",
	"a.@docomo.example",
	"\"a b\"@c.example",
	"\"a@b\"@c.example",
	"\"a\\\"b\\\\\"@c.example",
	"\"<>\"@c.example",
	"\"\"@c.example",
	"\"-x\"@c.example",
	"a@[192.0.2.1]",
	"a@[IPv6:2001:db8::1]",
	"a@x_y.example",
	"gr\u00FC\u00DFe@m\u00FCnchen.example",
	"\u7528\u6237@\u4F8B\u5B50.example",
	"prvs=0123456789=bounce+" SIXTY SIXTY "@a.example",
	"a@" LABEL_63 ".example",
};

static const struct {
	const char *text;
	size_t len;
} bad[] = {
	{"", 0},
	{"@", 1},
	{"@b", 2},
	{"a@", 2},
	{"a@b@c", 5},
	{"a b@c", 5},
	{"a@b c", 5},
	{" a@b", 4},
	{"a@b ", 4},
	{"<a@b>", 5},
	{"a@b>", 4},
	{"a>@b", 4},
	{"a\r@b", 4},
	{"a\n@b", 4},
	{"a@b\r\nDATA", 9},
	{"\"a\r\n\"@b", 7},
	{"a@b\0", 4},
	{"a\0@b", 4},
	{"a\tb@c", 5},
	{"a\x1B@b", 4},
	{"a\x7F@b", 4},
	{"-oQ/tmp@b", 9},
	{"-a", 2},
	{"\"a@b", 4},
	{"\"a\"b@c", 7},
	{"\"a\\\"@b", 6},
	{"a\"b@c", 5},
	{"a(b)@c", 6},
	{"a,b@c", 5},
	{"a;b@c", 5},
	{"a:b@c", 5},
	{"a\\b@c", 5},
	{"a[b@c", 5},
	{"a@b.", 4},
	{"a@.b", 4},
	{"a@b..c", 6},
	{"a@-b.c", 6},
	{"a@b-.c", 6},
	{"a@b/c", 5},
	{"a@[]", 4},
	{"a@[1.2.3.4", 10},
	{"a@[1.2.3.4]x", 12},
	{"a@[1 2]", 7},
	{"a@b\xC3", 4},
	{"a\xFF@b", 4},
	{"a\xC0\xAF@b", 5},
	{"a\xED\xA0\x80@b", 6},
	{"a\xC2\x85@b", 5},
	{"a@" LABEL_63 "d", 66},
};

static void good_addresses_are_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!address_is_valid(good[i], strlen(good[i])))
			fail_msg("refused: %s", good[i]);
}

static void bad_addresses_are_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (address_is_valid(bad[i].text, bad[i].len))
			fail_msg("accepted: case %zu: %s", i, bad[i].text);
}

static void length_is_limited(void **state)
{
	char address[ADDRESS_MAX + 1];

	(void)state;
	memset(address, 'a', sizeof(address));
	memcpy(address + sizeof(address) - 4, "@b.c", 4);
	assert_true(address_is_valid(address + 1, ADDRESS_MAX));
	assert_false(address_is_valid(address, ADDRESS_MAX + 1));
}

/* Exact copies, so that the sanitizer sees a read behind the end. */
static void truncated_addresses_are_read_within_bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t len = 0; len <= strlen(good[i]); len++) {
			char *copy = xmalloc(len), out[ADDRESS_MAX + 1];

			memcpy(copy, good[i], len);
			if (address_from_return_path(out, copy, len))
				assert_true(address_is_valid(out, strlen(out)) && strlen(out) == len);
			assert_true(len < strlen(good[i]) || address_is_valid(copy, len));
			free(copy);
		}
	}
}

static void ascii(void **state)
{
	(void)state;
	assert_true(address_is_ascii(""));
	assert_true(address_is_ascii("anna@home.example"));
	assert_false(address_is_ascii("anna@m\u00FCnchen.example"));
}

static void return_paths(void **state)
{
	static const struct {
		const char *value;
		const char *sender; /* NULL: not valid */
	} cases[] = {
		{"<a@b>", "a@b"},
		{"a@b", "a@b"},
		{"<>", ""},
		{"< >", ""},
		{" \t<a@b>\t ", "a@b"},
		{"\r\n <a@b>", "a@b"},
		{"\n\t<a@b>\n ", "a@b"},
		{"(here: (it) \\) is) <a@b> (really)", "a@b"},
		{"a@b(comment)", "a@b"},
		{"< (c) a@b (c) >", "a@b"},
		{"<\"a b\\\">\"@c>", "\"a b\\\">\"@c"},
		{"<@r.example:a@b>", "a@b"},
		{"<@r.example,@s.example:a@b>", "a@b"},
		{"<@[192.0.2.1]:a@b>", "a@b"},
		{"<MAILER-DAEMON>", ""},
		{"mailer-daemon", ""},
		{"<MAILER-DAEMON@a.example>", "MAILER-DAEMON@a.example"},
		{"<gr\u00FC\u00DFe@a.example>", "gr\u00FC\u00DFe@a.example"},
		{"", NULL},
		{" ", NULL},
		{"<", NULL},
		{">", NULL},
		{"<<a@b>>", NULL},
		{"<a@b", NULL},
		{"a@b>", NULL},
		{"<a@b>>", NULL},
		{"<a@b> <c@d>", NULL},
		{"<a@b>, <c@d>", NULL},
		{"<a@b> junk", NULL},
		{"Anna <a@b>", NULL},
		{"<a b@c>", NULL},
		{"a@b c@d", NULL},
		{"<anna>", NULL},
		{"<\"anna\">", NULL},
		{"<-oQ/tmp@b>", NULL},
		{"<#@[]>", NULL}, /* qmail's double bounce */
		{"<a@b\r\nRCPT TO:<evil@c>>", NULL},
		{"<a@b>\r\nRCPT TO:<evil@c>", NULL},
		{"<a@b>\r", NULL},
		{"<a@b>\n", NULL},
		{"<a@\r\n b>", NULL},
		{"<a@b\x01>", NULL},
		{"(<a@b>", NULL},
		{"<a@b> (", NULL},
		{"<a@b> (\\", NULL},
		{"<@r.example a@b>", NULL},
		{"<@r.example,a@b>", NULL},
		{"<@r.example,", NULL},
		{"<@r.example:", NULL},
		{"<@r.example:>", NULL},
		{"<@:a@b>", NULL},
		{"<@r..example:a@b>", NULL},
		{"<@", NULL},
		{"<a@b> BODY=8BITMIME", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[ADDRESS_MAX + 1] = "untouched";
		bool valid = address_from_return_path(out, cases[i].value, strlen(cases[i].value));

		if (valid != (cases[i].sender != NULL))
			fail_msg("%s: %s", valid ? "accepted" : "refused", cases[i].value);
		assert_string_equal(out, valid ? cases[i].sender : "untouched");
	}
}

static void long_return_paths(void **state)
{
	enum { BYTES = 10240 };
	char *value = xmalloc(BYTES), out[ADDRESS_MAX + 1];

	(void)state;
	memset(value, 'a', BYTES);
	memcpy(value, "<", 1);
	memcpy(value + BYTES - 3, "@b>", 3);
	assert_false(address_from_return_path(out, value, BYTES));
	memset(value, '(', BYTES);
	assert_false(address_from_return_path(out, value, BYTES));
	memset(value + BYTES / 2, ')', BYTES / 2 - 3);
	memcpy(value + BYTES - 3, "a@b", 3);
	assert_false(address_from_return_path(out, value, BYTES));
	memset(value, ' ', 3);
	assert_true(address_from_return_path(out, value, BYTES));
	assert_string_equal(out, "a@b");
	free(value);
}

static void a_return_path_with_nul(void **state)
{
	char out[ADDRESS_MAX + 1];

	(void)state;
	assert_false(address_from_return_path(out, "<a@b\0>", 6));
	assert_false(address_from_return_path(out, "<a@b>\0", 6));
	assert_false(address_from_return_path(out, "\0<a@b>", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_are_valid),
		cmocka_unit_test(bad_addresses_are_not),
		cmocka_unit_test(length_is_limited),
		cmocka_unit_test(truncated_addresses_are_read_within_bounds),
		cmocka_unit_test(ascii),
		cmocka_unit_test(return_paths),
		cmocka_unit_test(long_return_paths),
		cmocka_unit_test(a_return_path_with_nul),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
