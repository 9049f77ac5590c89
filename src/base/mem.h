/* mem.h - small allocations that cannot fail: a worker is disposable and state is crash safe, so running out of memory ends the process.
 * Never for anything a peer can size: that goes through a limit and the spool. */
#ifndef MAILHAUL_BASE_MEM_H
#define MAILHAUL_BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *xstrndup(const char *text, size_t max_bytes) __attribute__((malloc, returns_nonnull, warn_unused_result));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull, warn_unused_result));

/* A NULL-terminated array of strings, as in argv. NULL is an empty one. */
size_t strv_length(char *const *list);
void strv_free(char **list);
void strv_add(char ***list, const char *text);

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
