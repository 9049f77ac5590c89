#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "mail/header.h"

struct seen {
	struct str fields; /* "name=value|" for each, "name~value|" where it was cut */
	unsigned count;
	size_t last; /* where the latest field begins */
};

static void on_field(void *context, const struct header_field *field)
{
	struct seen *seen = context;

	seen->last = seen->fields.len;
	str_addf(&seen->fields, "%s%c", field->name, field->cut ? '~' : '=');
	str_add(&seen->fields, field->value, field->len);
	str_add_byte(&seen->fields, '|');
	seen->count++;
}

/* Feeds text in pieces; returns how many bytes were header. */
static size_t scan(struct seen *seen, const char *text, size_t len, size_t piece, bool *ret_ended)
{
	struct header_scanner *scanner = xmalloc(sizeof(*scanner));
	size_t header_len = 0;

	*seen = (struct seen){0};
	header_scanner_init(scanner, on_field, seen);
	for (size_t at = 0; at < len; at += piece)
		header_len += header_scan(scanner, text + at, len - at < piece ? len - at : piece);
	*ret_ended = header_has_ended(scanner);
	header_scan_end(scanner);
	assert_true(header_has_ended(scanner));
	assert_int_equal(header_scan(scanner, "X: y\n", 5), 0);
	free(scanner);
	return header_len;
}

static const struct header_case {
	const char *text; /* LF line ends */
	const char *fields;
	const char *body; /* from the first byte that is not header; NULL: the header did not end */
} cases[] = {
	{"A: b\n\nbody", "a=b|", "body"},
	{"A: b\nC: d\n\nE: f\n", "a=b|c=d|", "E: f\n"},
	{"A:b\n\n", "a=b|", ""},
	{"A:\n\n", "a=|", ""},
	{"A: \n \n\t\n\nx", "a=|", "x"},
	{"A: b \t \n\n", "a=b|", ""},
	{"A: b:c\n\n", "a=b:c|", ""},
	{"A : b\nC \t: d\n\n", "a=b|c=d|", ""},
	{"Received: from a\n\tby b;\n  now\nSubject: x\n\n", "received=from a\tby b;  now|subject=x|", ""},
	{"A:\n  b\n\n", "a=b|", ""},
	{"A: b\n   \nC: d\n\n", "a=b|c=d|", ""},
	{"", "", NULL},
	{"\n", "", ""},
	{"\n\nA: b\n", "", "\nA: b\n"},
	{"A: b", "a=b|", NULL},
	{"A: b\n", "a=b|", NULL},
	{"A: b\nC", "a=b|", NULL},
	{"A: b\nC:", "a=b|c=|", NULL},
	{"A: b\nC: d\n  e", "a=b|c=d  e|", NULL},
	{"Hello there\nA: b\n", "", "there\nA: b\n"},
	{"Hello\nA: b\n", "", "\nA: b\n"},
	{" A: b\n\n", "", " A: b\n\n"},
	{": b\n\n", "", ": b\n\n"},
	{"A: b\nno field\nC: d\n\n", "a=b|", "field\nC: d\n\n"},
	{"A: b\n\x01: c\n\n", "a=b|", "\x01: c\n\n"},
	{"A: b\nGr\xC3\xB6\xC3\x9F"
	 "e: c\n\n",
		"a=b|",
		"\xC3\xB6\xC3\x9F"
		"e: c\n\n"},
	{"A: Gr\xC3\xB6\xC3\x9F"
	 "e\n\n",
		"a=Gr\xC3\xB6\xC3\x9F"
		"e|",
		""},
	{"From anna@a.example Sat Nov 21 23:08:16 2026\nA: b\n\nx", "a=b|", "x"},
	{">From anna@a.example Sat Nov 21 23:08:16 2026\nA: b\n\nx", "a=b|", "x"},
	{"From \nA: b\n\nx", "a=b|", "x"},
	{"From x\n\nbody", "", "body"},
	{"From x\n folded\nA: b\n", "", " folded\nA: b\n"},
	{"From: anna\n\nx", "from=anna|", "x"},
	{"From : anna\n\nx", "from=anna|", "x"},
	{"A: b\nFrom anna\nC: d\n\nx", "a=b|", "anna\nC: d\n\nx"},
	{"Fromage rouge\n\nx", "", "rouge\n\nx"},
};

/* LF -> CRLF */
static void with_crlf(struct str *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			str_add_byte(out, '\r');
		str_add_byte(out, *text);
	}
}

static void check_case(const struct header_case *header_case, const char *text, const char *body)
{
	size_t len = strlen(text);

	for (size_t piece = len + 1; piece > 0; piece--) {
		struct seen seen;
		bool ended;
		size_t header_len = scan(&seen, text, len, piece, &ended);

		assert_string_equal(str_text(&seen.fields), header_case->fields);
		assert_int_equal(ended, body != NULL);
		assert_int_equal(header_len, len - (body != NULL ? strlen(body) : 0));
		str_done(&seen.fields);
	}
}

static void fields_are_found_in_any_pieces_and_line_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str text = {0}, body = {0};

		check_case(&cases[i], cases[i].text, cases[i].body);
		with_crlf(&text, cases[i].text);
		if (cases[i].body != NULL)
			with_crlf(&body, cases[i].body);
		/* "Hello CRLF": the name is over at the CR, not at the LF. */
		if (strcmp(cases[i].text, "Hello\nA: b\n") == 0)
			check_case(&cases[i], str_text(&text), "\r\nA: b\r\n");
		else
			check_case(&cases[i], str_text(&text), cases[i].body != NULL ? str_text(&body) : NULL);
		str_done(&text);
		str_done(&body);
	}
}

/* All fields but the last are those of the whole message; the last may be cut short. */
static void truncated_anywhere_no_field_changes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].text); len++) {
			struct seen seen;
			bool ended;

			scan(&seen, cases[i].text, len, len + 1, &ended);
			assert_memory_equal(str_text(&seen.fields), cases[i].fields, seen.last);
			str_done(&seen.fields);
		}
	}
}

static void lone_crs_and_nuls_are_part_of_the_value(void **state)
{
	static const char text[] = "A: b\rc\r\r\nD: e\0f\r\n\rG: h\r\n";
	static const char want[] = "a=b\rc\r|d=e\0f|";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct seen seen;
		bool ended;

		scan(&seen, text, sizeof(text) - 1, piece, &ended);
		assert_true(ended);
		assert_int_equal(seen.fields.len, sizeof(want) - 1);
		assert_memory_equal(seen.fields.data, want, sizeof(want) - 1);
		str_done(&seen.fields);
	}
}

static void add_many(struct str *text, char byte, size_t count)
{
	memset(str_reserve(text, count), byte, count);
	text->len += count;
	text->data[text->len] = '\0';
}

static void long_values_are_cut_and_long_names_passed_over(void **state)
{
	struct str text = {0};
	struct seen seen;
	bool ended;

	(void)state;
	add_many(&text, 'n', HEADER_NAME_MAX);
	str_add_text(&text, ": fits\n");
	add_many(&text, 'n', HEADER_NAME_MAX + 1);
	str_add_text(&text, ": too long\nExact: ");
	add_many(&text, 'v', HEADER_VALUE_MAX);
	str_add_text(&text, "\nLonger: ");
	add_many(&text, 'w', HEADER_VALUE_MAX + 1);
	str_add_text(&text, "\nLast: x\n\n");
	scan(&seen, text.data, text.len, 1000, &ended);
	assert_int_equal(seen.count, 4);
	assert_memory_equal(seen.fields.data, text.data, HEADER_NAME_MAX);
	assert_memory_equal(seen.fields.data + HEADER_NAME_MAX, "=fits|exact=vvv", 15);
	assert_non_null(strstr(seen.fields.data, "|longer~www"));
	assert_non_null(strstr(seen.fields.data, "w|last=x|"));
	assert_int_equal(seen.fields.len, HEADER_NAME_MAX + strlen("=fits|exact=|longer~|last=x|") + 2 * HEADER_VALUE_MAX);
	str_done(&seen.fields);
	str_done(&text);
}

/* A million header lines, and one field without end. */
static void scanning_stops_at_the_limit(void **state)
{
	struct str lines = {0}, field = {0};
	struct seen seen;
	bool ended;

	(void)state;
	for (unsigned i = 0; i < 1000 * 1000; i++)
		str_add_text(&lines, "Abcd: e\n");
	assert_int_equal(scan(&seen, lines.data, lines.len, 65536, &ended), HEADER_SCAN_MAX);
	assert_true(ended);
	assert_int_equal(seen.count, HEADER_SCAN_MAX / 8 - 1); /* the last one might have gone on */
	str_done(&seen.fields);
	str_add_text(&field, "A: b\nX: ");
	add_many(&field, 'x', HEADER_SCAN_MAX);
	str_add_text(&field, "\nC: d\n\n");
	assert_int_equal(scan(&seen, field.data, field.len, 1000, &ended), HEADER_SCAN_MAX);
	assert_string_equal(str_text(&seen.fields), "a=b|");
	str_done(&seen.fields);
	str_done(&lines);
	str_done(&field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_found_in_any_pieces_and_line_ends),
		cmocka_unit_test(truncated_anywhere_no_field_changes),
		cmocka_unit_test(lone_crs_and_nuls_are_part_of_the_value),
		cmocka_unit_test(long_values_are_cut_and_long_names_passed_over),
		cmocka_unit_test(scanning_stops_at_the_limit),
	};

	return cmocka_run_group_tests_name("header", tests, NULL, NULL);
}
