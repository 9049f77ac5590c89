#include "config/problems.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct problem {
	struct place at;
	size_t order;
	char *text;
};

bool problems_full(const struct problems *problems)
{
	return problems->count >= PROBLEMS_MAX;
}

void problems_add(struct problems *problems, struct place at, const char *format, ...)
{
	struct str text = {0};
	va_list args;

	if (problems_full(problems)) {
		problems->count++;
		return;
	}
	va_start(args, format);
	str_vaddf(&text, format, args);
	va_end(args);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7F)
			text.data[i] = '?';
	problems->list = xreallocarray(problems->list, problems->count + 1, sizeof(*problems->list));
	problems->list[problems->count] = (struct problem){.at = at, .order = problems->count, .text = text.data};
	problems->count++;
}

static int by_place(const void *left, const void *right)
{
	const struct problem *a = left, *b = right;

	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static size_t kept(const struct problems *problems)
{
	return problems->count < PROBLEMS_MAX ? problems->count : PROBLEMS_MAX;
}

void problems_print(struct problems *problems, FILE *out)
{
	size_t count = kept(problems);

	if (count != 0)
		qsort(problems->list, count, sizeof(*problems->list), by_place);
	for (size_t i = 0; i < count; i++) {
		const struct problem *problem = &problems->list[i];

		fprintf(out, "%s:", problems->file);
		if (problem->at.line != 0)
			fprintf(out, "%u:%u:", problem->at.line, problem->at.column);
		fprintf(out, " %s\n", problem->text);
	}
	if (problems->count > count)
		fprintf(out, "%s: and %zu more errors\n", problems->file, problems->count - count);
}

void problems_done(struct problems *problems)
{
	for (size_t i = 0; i < kept(problems); i++)
		free(problems->list[i].text);
	free(problems->list);
	*problems = (struct problems){0};
}
