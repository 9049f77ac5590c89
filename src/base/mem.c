#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's sizes: larger gaps are filled piece by piece, and up to GAP_EXACT it keeps a list for each size. */
#define GAP_MAX ((size_t)64 * 1024)
#define GAP_EXACT 1032
#define GAP_STEP 16
#define GAP_MIN 24
#define GAP_SIZES ((GAP_EXACT - GAP_MIN) / GAP_STEP + 1)
#define GAP_SPARES 7                    /* of each of these sizes it keeps as many freed pieces for itself, wherever they lie */
#define LISTS_COST ((size_t)256 * 1024) /* to empty the lists touches some pages, too, so there must be something to gain */
#define STACK_KEPT 512                  /* more than madvise(2) itself needs, the red zone included */
#define STACK_DEEP ((size_t)96 * 1024)

static void *check(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

void *xmalloc(size_t size)
{
	return check(malloc(size != 0 ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return check(calloc(count != 0 ? count : 1, size != 0 ? size : 1));
}

void *xreallocarray(void *old, size_t count, size_t size)
{
	return check(reallocarray(old, count != 0 ? count : 1, size != 0 ? size : 1));
}

char *xstrdup(const char *text)
{
	return check(strdup(text));
}

char *xstrndup(const char *text, size_t max_bytes)
{
	return check(strndup(text, max_bytes));
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	return check(text);
}

size_t strv_length(char *const *list)
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	return count;
}

void strv_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

void strv_add(char ***list, const char *text)
{
	size_t count = strv_length(*list);

	*list = xreallocarray(*list, count + 2, sizeof(**list));
	(*list)[count] = xstrdup(text);
	(*list)[count + 1] = NULL;
}

/* end: where the last gap ends, and the free end of the heap begins. */
static void fill_gaps_of(size_t size, uintptr_t end)
{
	void *gap;

	while ((gap = malloc(size)) != NULL && (uintptr_t)gap < end)
		;
	free(gap);
}

void mem_fill_gaps(void)
{
	size_t free_end = mallinfo2().keepcost;
	uintptr_t end = (uintptr_t)sbrk(0) - free_end;

	if (free_end == 0) /* another allocator, say a sanitizer's */
		return;
	for (size_t size = GAP_MAX; size > GAP_EXACT; size /= 2)
		fill_gaps_of(size, end);
	for (size_t size = GAP_EXACT; size >= GAP_MIN; size -= GAP_STEP)
		fill_gaps_of(size, end);
}

static int compare_address(const void *a, const void *b)
{
	uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

	return (left > right) - (left < right);
}

/* A piece that has grown into what is free behind it is no small one any more when it is freed, and the list of its size is shorter by one. From the end,
 * so that those that lie one behind the other can grow, too. */
static void empty_lists(void)
{
	void *pieces[GAP_SIZES * GAP_SPARES];
	unsigned count = 0;

	for (size_t size = GAP_MIN; size <= GAP_EXACT; size += GAP_STEP)
		for (unsigned i = 0; i < GAP_SPARES; i++)
			pieces[count++] = xmalloc(size);
	malloc_trim(0); /* else it would find other small pieces behind it, which are free but do not count as that yet */
	qsort(pieces, count, sizeof(*pieces), compare_address);
	while (count != 0)
		free(xreallocarray(pieces[--count], 1, GAP_EXACT + GAP_STEP));
}

/* Below what is in use, as far as somebody has been there; where nobody was there is no memory, and nothing happens. A function of its own, whatever the
 * compiler thinks of that: in the frame of a caller, who may have more than STACK_KEPT, the call to madvise(2) would not find its way back. */
__attribute__((noinline)) static void give_back_stack(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t end = (here - STACK_KEPT) & ~(page - 1);

	(void)madvise((void *)(end - STACK_DEEP), STACK_DEEP, MADV_DONTNEED);
}

void mem_give_back(void)
{
	malloc_trim(0);
	if (mallinfo2().fordblks > LISTS_COST) {
		empty_lists();
		malloc_trim(0);
	}
	give_back_stack();
}
