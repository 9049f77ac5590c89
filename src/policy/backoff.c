#include "policy/policy.h"

#define MINUTE 60u
#define HOUR 3600u
#define STEPS 4

/* Seconds; the last step repeats. */
static const uint32_t steps[][STEPS] = {
	[BACKOFF_NETWORK] = {10, 30, 2 * MINUTE, 10 * MINUTE},              /* a machine that boots has no network yet */
	[BACKOFF_LOGIN] = {5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR},        /* ten failures in ten minutes get an address banned at many providers */
	[BACKOFF_MESSAGE] = {10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR}, /* greylisting usually ends within the first two */
	[BACKOFF_HELD] = {HOUR, 6 * HOUR, 24 * HOUR, 24 * HOUR},
};

uint32_t backoff_s(enum backoff_clock clock, unsigned failures)
{
	if (failures == 0)
		return 0;
	return steps[clock][failures <= STEPS ? failures - 1 : STEPS - 1];
}

enum backoff_clock backoff_clock_of(enum error_kind kind)
{
	return kind == ERR_AUTH ? BACKOFF_LOGIN : BACKOFF_NETWORK;
}

uint32_t backoff_jittered(uint32_t seconds, uint32_t random)
{
	uint64_t fifth = seconds / 5;

	return (uint32_t)(seconds - fifth + (((2 * fifth + 1) * random) >> 32));
}

uint32_t backoff_delay_s(enum backoff_clock clock, unsigned failures, uint32_t random)
{
	uint32_t seconds = backoff_s(clock, failures);

	return backoff_jittered(seconds, clock == BACKOFF_LOGIN ? random | UINT32_C(0x80000000) : random);
}

bool backoff_is_over(enum backoff_clock clock, int64_t until_s, int64_t now_s)
{
	uint64_t longest = steps[clock][STEPS - 1];

	return until_s <= now_s || (uint64_t)until_s - (uint64_t)now_s > longest + longest / 5;
}
