#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
