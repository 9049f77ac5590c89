#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static void holds_any_bytes(void **state)
{
	static const size_t lengths[] = {0, 1, 4079, 4080, 4081, SECRET_MAX_BYTES};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		char *bytes = xmalloc(lengths[i]);
		struct secret *secret;

		for (size_t k = 0; k < lengths[i]; k++)
			bytes[k] = (char)k;
		secret = secret_new(bytes, lengths[i]);
		assert_int_equal(secret_length(secret), lengths[i]);
		assert_memory_equal(secret_bytes(secret), bytes, lengths[i]);
		assert_int_equal(secret_bytes(secret)[lengths[i]], '\0');
		secret_free(secret);
		free(bytes);
	}
	secret_free(NULL);
}

static void can_be_filled_in_place(void **state)
{
	struct secret *secret = secret_new_size(5);

	(void)state;
	memcpy(secret_buffer(secret), "s3kr1t", 5);
	assert_string_equal(secret_bytes(secret), "s3kr1");
	secret_free(secret);
}

static void a_forked_child_finds_nothing(void **state)
{
	struct secret *secret = secret_new("hunter2", 7);
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		for (size_t i = 0; i < 7; i++)
			if (secret_bytes(secret)[i] != '\0')
				_exit(1);
		secret_free(secret); /* harmless there */
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_memory_equal(secret_bytes(secret), "hunter2", 7);
	secret_free(secret);
}

static void its_memory_is_gone_after_free(void **state)
{
	struct secret *secret = secret_new("hunter2", 7);
	uintptr_t page = (uintptr_t)secret_bytes(secret) & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	unsigned char resident;

	(void)state;
	secret_free(secret);
	assert_int_equal(mincore((void *)page, 1, &resident), -1);
}

static void wipes_other_memory(void **state)
{
	char copy[] = "hunter2";

	(void)state;
	secret_wipe(copy, 4);
	assert_memory_equal(copy, "\0\0\0\0er2", 7);
	secret_wipe(NULL, 0);
}

static void is_found_however_it_is_repeated(void **state)
{
	static const struct {
		const char *secret, *text;
		bool found;
	} cases[] = {
		{"hunter2", "hunter2", true},
		{"hunter2", "NO hunter2 is wrong", true},
		{"hunter2", "NO hunter is wrong", false},
		{"hunter2", "hunter", false},
		{"hunter2", "", false},
		{"a\"b\\c", "LOGIN \"anna\" \"a\\\"b\\\\c\"", true},
		{"a\"b\\c", "a\"b\\c", true},
		{"\\", "\\", false},
		{"hunter2", "aHVudGVyMg==", true},                /* base64 of the secret alone */
		{"hunter2", "NO AGFubmEAaHVudGVyMg==", true},     /* of PLAIN: \0anna\0hunter2 */
		{"hunter2", "NO AGFubmFhAGh1bnRlcjI=", true},     /* \0annaa\0hunter2 */
		{"hunter2", "NO AGFubmFhYQBodW50ZXIyAQ==", true}, /* \0annaaa\0hunter2\1 */
		{"hunter2", "NO AGFubmEAaHVudGVyMw==", true},     /* hunter3: the last bits are not looked at */
		{"hunter2", "NO AGFubmEAaG9udGVyMg==", false},    /* honter2 */
		{"x", "y", false},
		{"", "anything", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct secret *secret = secret_new(cases[i].secret, strlen(cases[i].secret));

		if (secret_is_in(secret, cases[i].text, strlen(cases[i].text)) != cases[i].found)
			fail_msg("\"%s\" in \"%s\"", cases[i].secret, cases[i].text);
		secret_free(secret);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_any_bytes),
		cmocka_unit_test(can_be_filled_in_place),
		cmocka_unit_test(a_forked_child_finds_nothing),
		cmocka_unit_test(its_memory_is_gone_after_free),
		cmocka_unit_test(wipes_other_memory),
		cmocka_unit_test(is_found_however_it_is_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
