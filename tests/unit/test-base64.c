#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void encodes_the_vectors_of_the_rfc(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} cases[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, /* RFC 4648 10 */
		{"\001", "AQ=="},
		{"\373\357\276", "++++"},
		{"\377\377\377", "////"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].plain), text_len = strlen(cases[i].encoded), back_len;
		char text[16], back[16];

		assert_int_equal(text_len, BASE64_LENGTH(len));
		assert_int_equal(base64_encode(text, cases[i].plain, len), text_len);
		assert_string_equal(text, cases[i].encoded);
		assert_true(base64_decode(back, &back_len, text, text_len));
		assert_int_equal(back_len, len);
		assert_memory_equal(back, cases[i].plain, len);
	}
}

/* In memory of exactly the promised size, so that a sanitizer sees one byte too much. */
static void every_byte_survives_at_every_length(void **state)
{
	unsigned char bytes[256 + 3];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		char *text = xmalloc(BASE64_LENGTH(len) + 1);
		size_t text_len = base64_encode(text, bytes, len), back_len = 0;
		unsigned char *back = xmalloc(text_len / 4 * 3);

		assert_int_equal(strlen(text), text_len);
		assert_true(base64_decode(back, &back_len, text, text_len));
		assert_int_equal(back_len, len);
		assert_memory_equal(back, bytes, len);
		free(back);
		free(text);
	}
}

static void refuses_what_no_encoder_writes(void **state)
{
	static const char *const cases[] = {
		"Z",
		"Zg",
		"Zg=",
		"Zg===",
		"Zg==Zg==",
		"=Zg=",
		"====",
		"Z===",
		"Zh==",
		"Zm9=",
		"Zm9v\n",
		"Zm9vYmE=\n",
		"Zm 9v",
		"Zm-v",
		"Zm_v",
		"Zm9\377",
		"Zg=a",
		"Zm9v*",
	};
	char out[32];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (base64_decode(out, &len, cases[i], strlen(cases[i])))
			fail_msg("took \"%s\"", cases[i]);
	assert_false(base64_decode(out, &len, "Zm9\0", 4));
	assert_false(base64_decode(out, &len, "\0\0\0\0", 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_the_vectors_of_the_rfc),
		cmocka_unit_test(every_byte_survives_at_every_length),
		cmocka_unit_test(refuses_what_no_encoder_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
