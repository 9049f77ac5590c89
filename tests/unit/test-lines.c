#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/lines.h"

#define STRING_MAX 8
#define EMBEDDED_MAX 5 /* of those that are tried within text, too */
#define TEXT_MAX (8 + EMBEDDED_MAX + 9)
static const char alphabet[] = {'\r', '\n', '.', '\0', 'a'};

typedef void check_fn(const char *text, size_t len);

/* Within text of every length that puts it elsewhere in a word: runs of text are copied eight bytes at a time. */
static void check_embedded(check_fn *check, const char *string, size_t len)
{
	for (size_t before = 1; before <= 8; before++) {
		char text[TEXT_MAX];

		memset(text, 'x', sizeof(text));
		memcpy(text + before, string, len);
		check(text, before + len + 9);
	}
}

/* Every string over the alphabet of at most STRING_MAX bytes. */
static void each_string(check_fn *check)
{
	for (size_t len = 0, count = 1; len <= STRING_MAX; len++, count *= sizeof(alphabet)) {
		for (size_t number = 0; number < count; number++) {
			char text[STRING_MAX];
			size_t rest = number;

			for (size_t i = 0; i < len; i++, rest /= sizeof(alphabet))
				text[i] = alphabet[rest % sizeof(alphabet)];
			check(text, len);
			if (len <= EMBEDDED_MAX)
				check_embedded(check, text, len);
		}
	}
}

static void a_plain_run_ends_at_control_characters(void **state)
{
	char text[27];

	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, at % 2 != 0 ? 0xFF : 0x10, sizeof(text));
			text[at] = (char)byte;
			assert_int_equal(plain_run(text, sizeof(text)), byte < 0x10 ? at : sizeof(text));
			assert_int_equal(plain_run(text, at), at);
		}
	}
}

static void assert_same(const char *what, const char *text, size_t len, const char *got, size_t got_len, const char *want, size_t want_len)
{
	if (got_len == want_len && memcmp(got, want, want_len) == 0)
		return;
	print_error("%s: input", what);
	for (size_t i = 0; i < len; i++)
		print_error(" %02x", (unsigned char)text[i]);
	print_error("\n");
	assert_int_equal(got_len, want_len);
	assert_memory_equal(got, want, want_len);
}

/* SMTP */

static size_t encode_pieces(const char *text, size_t len, size_t split, bool stuff, char *out, uint64_t *ret_changed)
{
	struct smtp_encoder encoder;
	size_t n;

	smtp_encoder_init(&encoder, stuff);
	n = smtp_encode(&encoder, text, split, out);
	assert_true(n <= SMTP_ENCODED_MAX(split));
	n += smtp_encode(&encoder, text + split, len - split, out + n);
	n += smtp_encode_end(&encoder, out + n);
	*ret_changed = encoder.changed;
	return n;
}

/* The rule, said as simply as possible. */
static size_t smtp_reference(const char *text, size_t len, bool stuff, char *out, uint64_t *ret_changed)
{
	bool line_start = true;
	size_t n = 0;

	*ret_changed = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')) {
			i += text[i] == '\r';
			out[n++] = '\r';
			out[n++] = '\n';
			line_start = true;
			continue;
		}
		if (text[i] == '\r' || text[i] == '\0') {
			out[n++] = ' ';
			++*ret_changed;
		} else {
			if (text[i] == '.' && line_start && stuff)
				out[n++] = '.';
			out[n++] = text[i];
		}
		line_start = false;
	}
	if (!line_start) {
		out[n++] = '\r';
		out[n++] = '\n';
	}
	return n;
}

static void assert_safe_for_smtp(const char *out, size_t len)
{
	bool line_start = true;

	for (size_t i = 0; i < len; i++) {
		assert_true(out[i] != '\0');
		assert_true(out[i] != '\r' || (i + 1 < len && out[i + 1] == '\n'));
		assert_true(out[i] != '\n' || (i != 0 && out[i - 1] == '\r'));
		assert_false(line_start && out[i] == '.' && (i + 1 == len || out[i + 1] == '\r'));
		line_start = out[i] == '\n';
	}
	assert_true(line_start);
}

static bool is_normal_form(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\0' || (text[i] == '\r' && (i + 1 == len || text[i + 1] != '\n')) ||
			(text[i] == '\n' && (i == 0 || text[i - 1] != '\r')))
			return false;
	return len == 0 || text[len - 1] == '\n';
}

static size_t decode_all(const char *text, size_t len, char *out)
{
	struct dot_decoder decoder;
	size_t n, used;

	dot_decoder_init(&decoder);
	n = dot_decode(&decoder, text, len, out, &used);
	assert_true(decoder.ended);
	assert_int_equal(used, len);
	return n;
}

static void check_smtp(const char *text, size_t len)
{
	char plain[64], stuffed[64], reference[64], pieces[64], decoded[64];
	uint64_t changed, reference_changed;
	size_t plain_len = encode_pieces(text, len, len, false, plain, &changed);
	size_t stuffed_len = encode_pieces(text, len, len, true, stuffed, &changed);
	size_t reference_len = smtp_reference(text, len, true, reference, &reference_changed);
	size_t n;

	assert_same("stuffed", text, len, stuffed, stuffed_len, reference, reference_len);
	assert_int_equal(changed, reference_changed);
	reference_len = smtp_reference(text, len, false, reference, &reference_changed);
	assert_same("plain", text, len, plain, plain_len, reference, reference_len);
	assert_safe_for_smtp(stuffed, stuffed_len);
	if (is_normal_form(text, len)) {
		assert_same("normal form", text, len, plain, plain_len, text, len);
		assert_int_equal(changed, 0);
	}
	for (size_t split = 0; split < len; split++) {
		n = encode_pieces(text, len, split, true, pieces, &changed);
		assert_same("in pieces", text, len, pieces, n, stuffed, stuffed_len);
		assert_int_equal(changed, reference_changed);
	}
	memcpy(stuffed + stuffed_len, ".\r\n", 3);
	n = decode_all(stuffed, stuffed_len + 3, decoded);
	assert_same("unstuffed", text, len, decoded, n, plain, plain_len);
}

static void smtp_output_is_safe_for_every_short_string(void **state)
{
	(void)state;
	each_string(check_smtp);
}

/* What servers have been seen to take for the end of DATA or for a line end. */
static void smuggling_sequences_stay_text(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		const char *wire;
	} cases[] = {
		{"x\n.\nE", 5, "x\r\n..\r\nE\r\n"},
		{"x\n.\r\nE", 6, "x\r\n..\r\nE\r\n"},
		{"x\r\n.\nE", 6, "x\r\n..\r\nE\r\n"},
		{"x\r.\rE", 5, "x . E\r\n"},
		{"x\r\n.\rE", 6, "x\r\n.. E\r\n"},
		{"x\r.\r\nE", 6, "x .\r\nE\r\n"},
		{"x\n.\rE", 5, "x\r\n.. E\r\n"},
		{"x\0.\r\nE", 6, "x .\r\nE\r\n"},
		{"\0.\r\nE", 5, " .\r\nE\r\n"},
		{"x\r\r\nE", 5, "x \r\nE\r\n"},
		{"x\n\rE", 4, "x\r\n E\r\n"},
		{"x\r", 2, "x \r\n"},
		{"\r", 1, " \r\n"},
		{".", 1, "..\r\n"},
		{".\r\n", 3, "..\r\n"},
		{"", 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[64];
		uint64_t changed;
		size_t n = encode_pieces(cases[i].body, cases[i].len, cases[i].len, true, out, &changed);

		assert_same("smuggling", cases[i].body, cases[i].len, out, n, cases[i].wire, strlen(cases[i].wire));
	}
}

/* POP3 */

/* Whole input, line by line. Sets *ret_used to 0 if there is no terminator; what a decoder must hold back until it knows more is not in out. */
static size_t dot_reference(const char *text, size_t len, char *out, size_t *ret_used)
{
	size_t n = 0, start = 0;

	*ret_used = 0;
	while (start < len) {
		char *line_end = memmem(text + start, len - start, "\r\n", 2);
		size_t end = line_end != NULL ? (size_t)(line_end - text) + 2 : len;
		bool dot = text[start] == '.';

		if (dot && end - start == 3 && line_end != NULL) {
			*ret_used = end;
			return n;
		}
		if (!(dot && line_end == NULL && end - start == 2 && text[end - 1] == '\r')) {
			memcpy(out + n, text + start + dot, end - start - dot);
			n += end - start - dot;
		}
		start = end;
	}
	return n;
}

static void check_dot(const char *text, size_t len)
{
	char want[TEXT_MAX + 1];
	size_t want_used, want_len = dot_reference(text, len, want, &want_used);

	for (size_t split = 0; split <= len; split++) {
		struct dot_decoder decoder;
		char out[TEXT_MAX + 8];
		size_t used, more, n;

		dot_decoder_init(&decoder);
		n = dot_decode(&decoder, text, split, out, &used);
		assert_true(n <= split + 4);
		n += dot_decode(&decoder, text + used, len - used, out + n, &more);
		assert_same("dots", text, len, out, n, want, want_len);
		assert_int_equal(decoder.ended, want_used != 0);
		assert_int_equal(used + more, want_used != 0 ? want_used : len);
	}
}

static void dot_decoder_agrees_with_the_reference(void **state)
{
	(void)state;
	each_string(check_dot);
}

static void only_crlf_dot_crlf_ends_a_response(void **state)
{
	static const char text[] = "evil\n.\n+OK 2 messages\r\n..\r\n.x\r\n.\r\n+OK next";
	static const char want[] = "evil\n.\n+OK 2 messages\r\n.\r\nx\r\n";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct dot_decoder decoder;
		char out[sizeof(text) + 4];
		size_t n = 0, at = 0;

		dot_decoder_init(&decoder);
		while (!decoder.ended) {
			size_t left = sizeof(text) - 1 - at, used;

			n += dot_decode(&decoder, text + at, left < piece ? left : piece, out + n, &used);
			assert_true(used != 0);
			at += used;
		}
		assert_same("response", text, sizeof(text) - 1, out, n, want, sizeof(want) - 1);
		assert_string_equal(text + at, "+OK next");
	}
}

/* Maildir and MDA */

static size_t local_reference(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (!(text[i] == '\r' && i + 1 < len && text[i + 1] == '\n'))
			out[n++] = text[i];
	return n;
}

static void check_local(const char *text, size_t len)
{
	char want[TEXT_MAX];
	size_t want_len = local_reference(text, len, want);

	for (size_t split = 0; split <= len; split++) {
		struct local_encoder encoder;
		char out[TEXT_MAX + 4];
		size_t n;

		local_encoder_init(&encoder);
		n = local_encode(&encoder, text, split, out);
		assert_true(n <= split + 1);
		n += local_encode(&encoder, text + split, len - split, out + n);
		n += local_encode_end(&encoder, out + n);
		assert_same("local", text, len, out, n, want, want_len);
	}
}

static void local_encoder_changes_crlf_and_nothing_else(void **state)
{
	(void)state;
	each_string(check_local);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_run_ends_at_control_characters),
		cmocka_unit_test(smtp_output_is_safe_for_every_short_string),
		cmocka_unit_test(smuggling_sequences_stay_text),
		cmocka_unit_test(dot_decoder_agrees_with_the_reference),
		cmocka_unit_test(only_crlf_dot_crlf_ends_a_response),
		cmocka_unit_test(local_encoder_changes_crlf_and_nothing_else),
	};

	return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
