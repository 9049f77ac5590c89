#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's sizes: larger gaps are filled piece by piece, and up to GAP_EXACT it keeps a list for each size. */
#define GAP_MAX ((size_t)64 * 1024)
#define GAP_EXACT 1032
#define GAP_STEP 16
#define GAP_MIN 24

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
