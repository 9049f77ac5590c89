/* problems.h - everything that is wrong with a configuration, told at once and in the order of the file.
 * Sentences may quote the file, but never a password: whoever adds one sees to that. */
#ifndef MAILHAUL_CONFIG_PROBLEMS_H
#define MAILHAUL_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* More are counted, not kept: a file of another format must not fill the screen. */
#define PROBLEMS_MAX 100

/* Both count from 1, columns in characters. All-zero: the file as a whole. */
struct place {
	unsigned line, column;
};

struct problem;

struct problems {
	const char *file; /* borrowed */
	struct problem *list;
	size_t count; /* also of those that were not kept */
};

/* One sentence without a full stop, saying what to change. Control characters in it become a question mark. */
void problems_add(struct problems *problems, struct place at, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool problems_full(const struct problems *problems);
/* "file:line:column: sentence", one a line, sorted by place; what was added first comes first at the same place. */
void problems_print(struct problems *problems, FILE *out);
void problems_done(struct problems *problems);

#endif
