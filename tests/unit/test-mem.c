/* test-mem.c - what is allocated after the gaps of the heap were filled lies behind all that was there. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"

#define BLOCKS 400

static size_t size_of(unsigned i)
{
	return 16 + (size_t)i * i % 6000;
}

static void no_gap_is_used_once_they_are_filled(void **state)
{
	char *blocks[BLOCKS];
	uintptr_t last = 0;

	(void)state;
	if (mallinfo2().arena == 0)
		return; /* a sanitizer's allocator, which nobody forks from for its memory */
	for (unsigned i = 0; i < BLOCKS; i++) {
		blocks[i] = xmalloc(size_of(i));
		last = (uintptr_t)blocks[i] > last ? (uintptr_t)blocks[i] : last;
	}
	for (unsigned i = 0; i < BLOCKS - 1; i += 2)
		free(blocks[i]);
	mem_fill_gaps();
	for (unsigned i = 0; i < BLOCKS - 1; i += 2) {
		blocks[i] = xmalloc(size_of(i));
		assert_true((uintptr_t)blocks[i] > last);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		free(blocks[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_gap_is_used_once_they_are_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
