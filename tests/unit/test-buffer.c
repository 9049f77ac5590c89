#include "net/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct buffer *buffer, const char *bytes, size_t len, size_t max_bytes)
{
	size_t room;
	char *to = buffer_room(buffer, len, 16, max_bytes, &room);

	assert_non_null(to);
	assert_true(room >= len);
	memcpy(to, bytes, len);
	buffer->end += len;
}

static void keeps_bytes_in_order(void **state)
{
	struct buffer buffer = {0};
	unsigned in = 0, out = 0;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		char bytes[7];

		for (size_t i = 0; i < round % 8 && i < sizeof(bytes); i++)
			bytes[i] = (char)in++;
		put(&buffer, bytes, round % 8 < sizeof(bytes) ? round % 8 : sizeof(bytes), 1 << 20);
		for (unsigned take = round % 5; take != 0 && buffer_length(&buffer) != 0; take--) {
			assert_int_equal(*buffer_bytes(&buffer), (char)out++);
			buffer_take(&buffer, 1);
		}
	}
	assert_int_equal(buffer_length(&buffer), in - out);
	while (buffer_length(&buffer) != 0) {
		assert_int_equal(*buffer_bytes(&buffer), (char)out++);
		buffer_take(&buffer, 1);
	}
	buffer_done(&buffer);
}

static void has_a_limit(void **state)
{
	struct buffer buffer = {0};
	char bytes[64] = "";
	size_t room;

	(void)state;
	put(&buffer, bytes, 64, 64);
	assert_null(buffer_room(&buffer, 1, 16, 64, &room));
	assert_int_equal(buffer.cap, 64);
	buffer_take(&buffer, 40);
	put(&buffer, bytes, 40, 64); /* what was left is moved to the front */
	assert_int_equal(buffer.cap, 64);
	assert_null(buffer_room(&buffer, 1, 16, 64, &room));
	buffer_done(&buffer);
}

static void gives_memory_back_when_empty(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	put(&buffer, "abc", 3, 64);
	buffer_shrink(&buffer);
	assert_non_null(buffer.data);
	buffer_take(&buffer, 3);
	buffer_shrink(&buffer);
	assert_null(buffer.data);
	assert_int_equal(buffer.cap, 0);
	buffer_shrink(&buffer);
	buffer_done(&buffer);
}

static void wipes_secrets_when_they_are_gone(void **state)
{
	struct buffer buffer = {.wipe = true};
	const char *secret;

	(void)state;
	put(&buffer, "hunter2", 7, 64);
	secret = buffer_bytes(&buffer);
	buffer_take(&buffer, 3);
	assert_memory_equal(secret + 3, "ter2", 4);
	buffer_take(&buffer, 4);
	assert_memory_equal(secret, "\0\0\0\0\0\0\0", 7);
	assert_false(buffer.wipe);
	buffer_done(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_bytes_in_order),
		cmocka_unit_test(has_a_limit),
		cmocka_unit_test(gives_memory_back_when_empty),
		cmocka_unit_test(wipes_secrets_when_they_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
