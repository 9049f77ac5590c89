/* channel.h - the line between the supervisor and one worker: SOCK_SEQPACKET, one bounded typed record per datagram with descriptors beside it, or several
 * steps of messages (batch.h).
 * Both ends are the same binary, born of one fork; the receiver checks everything again all the same (record_check). */
#ifndef MAILHAUL_CHANNEL_CHANNEL_H
#define MAILHAUL_CHANNEL_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "channel/batch.h"
#include "channel/record.h"

struct error;

/* Durable records a worker may have on their way without an acknowledgement; the supervisor reads no more from one that has. */
#define CHANNEL_WINDOW 256
/* How often a worker says that it is alive. */
#define CHANNEL_ALIVE_S 60

/* The worker's end. */
struct channel {
	int fd;
	struct batch unsent;
	uint32_t sent;  /* sequence number of the last durable record, sent or gathered */
	uint32_t acked; /* all records up to here are on disk */
	bool stop;      /* the supervisor wants us to leave at the next message boundary */
	bool hurry;     /* at once: nothing is waited for but the answer to what has wholly left */
	bool poll;      /* it wants us to look for mail now; whoever does so takes it back */
	/* Bit i: into folder i, where so many messages were announced to somebody else. */
	uint64_t tipped;
	uint8_t tips[TIPS_MAX];
	int64_t woke_ns; /* CLOCK_MONOTONIC: the machine slept until then; 0: not since we were born */
	bool closed;     /* the supervisor is gone: leave at once */
	/* Whoever waits says now and then that it still does, unless it is at rest; a worker that hangs in the kernel does not. */
	bool at_rest;
	struct deadline alive_until;
	/* One answer to a request (channel_call), kept until it is taken. */
	bool has_answer;
	struct record answer;
	int answer_fds[RECORD_FDS_MAX];
	unsigned answer_fd_count;
};

void channel_init(struct channel *channel, int fd_take);
void channel_done(struct channel *channel);

/* Sends one record; blocks (in wait_io) while the supervisor does not read. fds are borrowed. Durable kinds get the next sequence number in record->seq,
 * and those without flag REC_WAITING are only gathered: they leave with the next one that is sent, when we go to sleep, or by channel_flush. */
int channel_send(struct channel *channel, struct record *record, const int *fds, unsigned fd_count, struct error *err);
int channel_flush(struct channel *channel, struct error *err);
/* For wait_io: the same without blocking. 1: nothing is left; 0: something is; -1. */
int channel_push(struct channel *channel, struct error *err);
/* For wait_io: says that we are alive when that is due, and until when it need not say so again. */
struct deadline channel_pulse(struct channel *channel);
/* Takes everything that has come: acknowledgements, STOP, an answer. Never blocks. -1 only when the supervisor is gone. */
int channel_drain(struct channel *channel, struct error *err);
/* Sends a request and waits for the answer of that kind; for one of the network or of a program not when we are to leave at once (ERR_CANCELED).
 * REC_FAILED becomes *err. Descriptors in the answer belong to the caller. */
int channel_call(struct channel *channel, struct record *request, const int *fds, unsigned fd_count, enum record_kind answer,
	struct record *ret_answer, int *ret_fds, unsigned max_fds, struct error *err);
/* That folder is looked into now: what the supervisor has heard of it so far will be seen. */
void channel_take_tip(struct channel *channel, unsigned folder);
/* Sleeps until everything sent is acknowledged. */
int channel_settle(struct channel *channel, struct error *err);
static inline bool channel_is_durable(const struct channel *channel, uint32_t seq)
{
	return (int32_t)(channel->acked - seq) >= 0;
}

/* For both ends, one record that is a datagram by itself, never blocking. Return 1, 0 if it would block, -1 if the other side is gone or sent nonsense. */
int record_send(int fd, const struct record *record, const int *fds, unsigned fd_count);
int record_receive(int fd, struct record *ret_record, int *ret_fds, unsigned *ret_fd_count);

#endif
