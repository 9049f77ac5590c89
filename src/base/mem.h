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

/* Takes all that is free between what is in use, for good, so that what is allocated from now on lies together at the end of the heap: a process that forks
 * does so for its children, who would else get a page of their own for each gap that they use. */
void mem_fill_gaps(void);

/* Gives back to the system what is free now, page by page: for whoever has worked, and will sleep. */
void mem_give_back(void);

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
