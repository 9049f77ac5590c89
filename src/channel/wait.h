/* wait.h - the one place where a worker sleeps. */
#ifndef MAILHAUL_CHANNEL_WAIT_H
#define MAILHAUL_CHANNEL_WAIT_H

#include "base/clock.h"

struct channel;
struct error;
struct pollfd;

/* poll(2) on the given descriptors and the channel until an absolute deadline. EINTR is handled; entries with fd -1 are ignored.
 * 1: at least one of the given is ready (revents set). 2: none of them, but something came through the channel. 0: the deadline has passed.
 * -1: ERR_CANCELED, the supervisor is gone. Acknowledgements and STOP are taken off the channel on the way; nobody else reads it.
 * channel may be NULL (tests, the connector): then this is poll with a deadline. */
int wait_io(struct pollfd *fds, unsigned count, struct deadline deadline, struct channel *channel, struct error *err);

#endif
