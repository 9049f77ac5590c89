#include "supervisor/allowance.h"

#define LINE_NS (ALLOWANCE_LINE_S * INT64_C(1000000000))

static void give(struct allowance *allowance, int64_t lines)
{
	allowance->spent = lines < allowance->spent ? allowance->spent - (unsigned)lines : 0;
	if (allowance->spent <= ALLOWANCE_LINES - ALLOWANCE_AGAIN)
		allowance->dry = false;
}

static void grow(struct allowance *allowance, int64_t now_ns)
{
	int64_t lines = (now_ns - allowance->counted_ns) / LINE_NS;

	give(allowance, lines);
	allowance->counted_ns = allowance->spent == 0 ? now_ns : allowance->counted_ns + lines * LINE_NS;
}

bool allowance_take(struct allowance *allowance, int64_t now_ns)
{
	grow(allowance, now_ns);
	if (allowance->spent == ALLOWANCE_LINES)
		allowance->dry = true;
	if (allowance->dry) {
		allowance->dropped++;
		return false;
	}
	allowance->spent++;
	return true;
}

void allowance_earn(struct allowance *allowance)
{
	give(allowance, ALLOWANCE_PER_DELIVERY);
}

uint64_t allowance_dropped(struct allowance *allowance)
{
	uint64_t dropped = allowance->dropped;

	allowance->dropped = 0;
	return dropped;
}
