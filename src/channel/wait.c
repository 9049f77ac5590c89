#include "channel/wait.h"

#include <errno.h>
#include <poll.h>

#include "base/error.h"
#include "channel/channel.h"

#define WAIT_FDS_MAX (TARGETS_MAX + 8)

int wait_io(struct pollfd *fds, unsigned count, struct deadline deadline, struct channel *channel, struct error *err)
{
	struct pollfd all[WAIT_FDS_MAX + 1];
	unsigned used = count;

	if (count > WAIT_FDS_MAX)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "too many descriptors to wait for");
	/* A record that could not be sent is never acknowledged: whoever waits for it would wait for ever. */
	if (channel != NULL && channel->closed)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "the supervisor is gone");
	for (unsigned i = 0; i < count; i++)
		all[i] = fds[i];
	if (channel != NULL)
		all[used++].fd = channel->fd;
	for (;;) {
		int pushed = channel != NULL ? channel_push(channel, err) : 1, ready;
		struct deadline wake = channel != NULL ? deadline_min(deadline, channel_pulse(channel)) : deadline;
		bool spoke;

		if (pushed < 0)
			return -1;
		if (channel != NULL)
			all[count].events = pushed > 0 ? POLLIN : POLLIN | POLLOUT;
		ready = poll(all, used, deadline_poll_ms(wake));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return error_errno(err, SCOPE_PROGRAM, "cannot wait for the network");
		if (ready == 0 && deadline_passed(deadline))
			return 0;
		if (ready == 0)
			continue;
		if (channel != NULL && all[count].revents == POLLOUT) {
			if (ready == 1)
				continue; /* what was gathered can go */
			ready--;
		}
		spoke = channel != NULL && (all[count].revents & ~POLLOUT) != 0;
		if (spoke && channel_drain(channel, err) < 0)
			return -1;
		for (unsigned i = 0; i < count; i++)
			fds[i].revents = all[i].revents;
		if (ready > (spoke ? 1 : 0))
			return 1;
		return 2;
	}
}
