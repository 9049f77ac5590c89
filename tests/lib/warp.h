/* warp.h - what a test can do to the time of a running program, to its power over others, and to the file systems that it sees. tests/lib/warp.c is preloaded
 * into the program; both look at one mapping. */
#ifndef MAILHAUL_TESTS_LIB_WARP_H
#define MAILHAUL_TESTS_LIB_WARP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WARP_STUCK_MAX 8

struct warp {
	volatile int64_t slept_ns;  /* the machine was suspended so long: CLOCK_BOOTTIME and the wall clock have gone on, CLOCK_MONOTONIC has not */
	volatile int64_t passed_ns; /* so much more time has passed, by all clocks */
	volatile pid_t unkillable;  /* SIGKILL to this process goes nowhere; 0: none */
	/* Whoever opens or makes a path that begins so, hangs as on a dead network file system, until is_dead is false; one that was killed meanwhile then dies. */
	char dead[100];
	volatile bool is_dead, dies_hard; /* dies_hard: SIGKILL reaches nobody who hangs there */
	struct {
		volatile pid_t pid; /* 0: free */
		volatile bool killed;
	} stuck[WARP_STUCK_MAX];
};

/* Before agents_prepare, while we may read where it was built. */
void warp_find(void);
/* After it: programs that are started from here on are under its spell, until warp_end. */
struct warp *warp_begin(void);
void warp_end(void);

/* The file system dies, with nobody there yet; hard: whoever hangs there then cannot be killed. */
void warp_die(bool hard);
/* How many processes hang; until so many do. */
unsigned warp_count_stuck(void);
void warp_await_stuck(unsigned count);

#endif
