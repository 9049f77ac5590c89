#include "policy/idle.h"

#define GROWTH_PARTS 16 /* a span that was too long costs mail some minutes; one that is too short costs some bytes */

uint32_t idle_span_s(uint32_t known_s)
{
	if (known_s == 0 || known_s > IDLE_MAX_S)
		return IDLE_MAX_S;
	return known_s > IDLE_MIN_S ? known_s : IDLE_MIN_S;
}

uint32_t idle_after_success_s(uint32_t known_s)
{
	uint32_t span_s = idle_span_s(known_s);

	if (known_s == 0)
		return 0; /* the longest, and nothing was learned that would have to be remembered */
	return idle_span_s(span_s + span_s / GROWTH_PARTS);
}

uint32_t idle_after_death_s(uint32_t known_s)
{
	return idle_span_s(idle_span_s(known_s) / 2);
}

uint32_t idle_after_close_s(uint32_t known_s, uint32_t silent_s)
{
	uint32_t span_s = idle_span_s(known_s);

	if (silent_s < IDLE_MIN_S || silent_s / 4 * 3 >= span_s)
		return known_s;
	return idle_span_s(silent_s / 4 * 3);
}
