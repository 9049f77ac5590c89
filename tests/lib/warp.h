/* warp.h - what a test can do to the time of a running program, and to its power over others. tests/lib/warp.c is preloaded into the program; both look
 * at one mapping. */
#ifndef MAILHAUL_TESTS_LIB_WARP_H
#define MAILHAUL_TESTS_LIB_WARP_H

#include <stdint.h>
#include <sys/types.h>

struct warp {
	volatile int64_t slept_ns;  /* the machine was suspended so long: CLOCK_BOOTTIME and the wall clock have gone on, CLOCK_MONOTONIC has not */
	volatile int64_t passed_ns; /* so much more time has passed, by all clocks */
	volatile pid_t unkillable;  /* SIGKILL to this process goes nowhere; 0: none */
};

/* Before agents_prepare, while we may read where it was built. */
void warp_find(void);
/* After it: programs that are started from here on are under its spell, until warp_end. */
struct warp *warp_begin(void);
void warp_end(void);

#endif
