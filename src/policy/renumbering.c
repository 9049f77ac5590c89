#include "policy/renumbering.h"

bool renumbering_is_suspicious(uint64_t fresh, uint64_t listed)
{
	return fresh > RENUMBERED_NEW_MAX && fresh > listed / 2;
}

void renumbering_count(unsigned *count, int64_t *since_s, int64_t now_s)
{
	if (*count == 0 || now_s < *since_s || now_s - *since_s >= RENUMBERINGS_S) {
		*count = 0;
		*since_s = now_s;
	}
	++*count;
}
