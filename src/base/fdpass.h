/* fdpass.h - one datagram with descriptors beside it, over a SOCK_SEQPACKET socket (unix(7), SCM_RIGHTS). */
#ifndef MAILHAUL_BASE_FDPASS_H
#define MAILHAUL_BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#define FDPASS_MAX 4

/* flags: MSG_DONTWAIT or 0. 0, or -1 with errno. The descriptors are borrowed. */
int fdpass_send(int socket_fd, const void *bytes, size_t len, const int *fds, unsigned count, int flags);
/* Length of the datagram (0: the other side is gone), or -1 with errno; EMSGSIZE if it was longer than size. ret_fds: room for FDPASS_MAX;
 * they are the caller's, and close on exec. */
ssize_t fdpass_receive(int socket_fd, void *bytes, size_t size, int *ret_fds, unsigned *ret_count, int flags);

#endif
