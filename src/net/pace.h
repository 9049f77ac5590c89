/* pace.h - is the peer still with us? The rules about stalls, trickles and unfinished lines, on a clock that is passed in.
 * Time is only held against the peer when a read has just found nothing more: what waits in the socket while we are busy elsewhere is not its
 * fault. */
#ifndef MAILHAUL_NET_PACE_H
#define MAILHAUL_NET_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct error;

/* All-zero: nothing is expected, no line has begun. */
struct pace {
	bool flowing;       /* the peer owes us a stream of bytes */
	bool slow;          /* a window was below the rate */
	bool benign;        /* that came out together with bytes which may have been the last ones owed: the next look decides */
	bool in_line;       /* a line has begun and has not ended */
	int64_t read_ns;    /* when we last looked */
	int64_t came_ns;    /* when something last came, or flowing began */
	int64_t window_ns;  /* since when window_bytes counts */
	int64_t line_ns;    /* in_line: since when */
	uint64_t window_at; /* bytes before the window */
};

void pace_set_flowing(struct pace *pace, bool flowing, int64_t now_ns, uint64_t bytes);
/* After a read: bytes have come in all, came: some of them just now. */
void pace_read(struct pace *pace, int64_t now_ns, uint64_t bytes, bool came);
/* We had no room to read: begins anew. */
void pace_excuse(struct pace *pace, int64_t now_ns, uint64_t bytes);
/* 0, or -1: the peer has stalled or trickles (ERR_TEMP). */
int pace_check(const struct pace *pace, struct error *err);
/* Half a line lies there. 0, or -1 when it has lain there too long (ERR_TEMP). */
int pace_line_begun(struct pace *pace, struct error *err);
void pace_line_ended(struct pace *pace);
/* When to read at the latest. */
struct deadline pace_due(const struct pace *pace);

#endif
