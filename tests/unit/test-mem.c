/* test-mem.c - what is allocated after the gaps of the heap were filled lies behind all that was there; and what is free is given back. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

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

/* The last ones of each size that are freed are what an allocator likes to keep, and here they are everywhere. */
static void what_was_used_once_is_given_back(void **state)
{
	char *before, *small[BLOCKS], *large[BLOCKS];

	(void)state;
	if (mallinfo2().arena == 0)
		return; /* a sanitizer's allocator */
	before = sbrk(0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		large[i] = xmalloc(3000);
		small[i] = xmalloc(24 + 16 * (i % 63));
	}
	assert_true((char *)sbrk(0) - before > BLOCKS * 3000 / 2);
	for (unsigned i = 0; i < BLOCKS; i++) {
		free(large[i]);
		free(small[i]);
	}
	mem_give_back();
	assert_true((char *)sbrk(0) - before < 256 * 1024);
}

/* Wherever in a page of the stack the caller is, with whatever compiler. */
static void who_has_given_back_returns(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4096 / 16; i++) {
		volatile char *step = __builtin_alloca(16);

		*step = 1;
		mem_give_back();
		assert_int_equal(*step, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_used_once_is_given_back),
		cmocka_unit_test(who_has_given_back_returns),
		cmocka_unit_test(no_gap_is_used_once_they_are_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
