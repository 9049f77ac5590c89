#include "base/fdpass.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fs.h"

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

int fdpass_send(int socket_fd, const void *bytes, size_t len, const int *fds, unsigned count, int flags)
{
	union control control = {0};
	struct iovec vector = {(void *)(uintptr_t)bytes, len};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	assert(count <= FDPASS_MAX);
	if (count != 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
	}
	for (;;) {
		if (sendmsg(socket_fd, &message, flags | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

static unsigned take_fds(struct msghdr *message, int *ret_fds)
{
	unsigned count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = header->cmsg_len - CMSG_LEN(0);
		for (size_t i = 0; i + sizeof(int) <= bytes; i += sizeof(int)) {
			int passed;

			memcpy(&passed, CMSG_DATA(header) + i, sizeof(passed));
			if (count < FDPASS_MAX)
				ret_fds[count++] = passed;
			else
				fs_close(passed);
		}
	}
	return count;
}

ssize_t fdpass_receive(int socket_fd, void *bytes, size_t size, int *ret_fds, unsigned *ret_count, int flags)
{
	union control control;
	struct iovec vector = {bytes, size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	ssize_t got;

	*ret_count = 0;
	/* ECONNRESET comes once, ahead of what is still queued, when the other side left without reading everything that we sent: its last words count. */
	do
		got = recvmsg(socket_fd, &message, flags | MSG_CMSG_CLOEXEC);
	while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got < 0)
		return -1;
	*ret_count = take_fds(&message, ret_fds);
	if ((message.msg_flags & MSG_TRUNC) != 0) {
		while (*ret_count != 0)
			fs_close(ret_fds[--*ret_count]);
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}
