/* "Did you mean": the optimal string alignment distance (insert, delete, replace, swap neighbours), ASCII letters without case. */
#include "config/config.h"

#include <string.h>

#include "base/str.h"

#define WORD_MAX 64 /* names are no longer */

static unsigned char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + 32) : (unsigned char)byte;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Both at most WORD_MAX long. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);

			row[j] = least(above[j - 1] + (same ? 0 : 1), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

const char *config_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t len = strlen(word);
	unsigned best = len < 4 ? 1 : len < 10 ? 2 : 3; /* what is farther off is another word */
	const char *nearest = NULL;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t other = strlen(candidates[i]);
		unsigned far;

		if (other > WORD_MAX || other > len + best || len > other + best)
			continue;
		far = distance(word, len, candidates[i], other);
		/* A word of which nothing is left is not a mistyped one. */
		if (far < len && far < other && (far < best || (far == best && nearest == NULL))) {
			best = far;
			nearest = candidates[i];
		}
	}
	return nearest;
}
