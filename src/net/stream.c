#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

/* Whatever errno says here, trying again later is all that can be done. The scope is the source's until a destination changes it. */
static ssize_t lost(struct error *err)
{
	error_code(err, ERR_TEMP, SCOPE_MAILBOX, errno, "the connection was lost: %s", strerror(errno));
	return STREAM_FAILED;
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK;
}

static ssize_t socket_read(struct stream *stream, void *buffer, size_t len, struct error *err)
{
	ssize_t n;

	do
		n = read(stream->fd, buffer, len);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		return STREAM_END;
	stream->want = POLLIN;
	return would_block() ? STREAM_AGAIN : lost(err);
}

static ssize_t socket_write(struct stream *stream, const void *bytes, size_t len, struct error *err)
{
	ssize_t n;

	do
		n = send(stream->fd, bytes, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	stream->want = POLLOUT;
	return would_block() ? STREAM_AGAIN : lost(err);
}

static bool nothing_pending(const struct stream *stream)
{
	(void)stream;
	return false;
}

static void socket_close(struct stream *stream)
{
	close(stream->fd);
	free(stream);
}

static const struct stream_ops socket_ops = {
	.name = "socket",
	.read = socket_read,
	.write = socket_write,
	.pending = nothing_pending,
	.close = socket_close,
};

struct stream *stream_socket(int fd_take)
{
	struct stream *stream = xcalloc(1, sizeof(*stream));
	int on = 1;

	stream->ops = &socket_ops;
	stream->fd = fd_take;
	stream->want = POLLIN;
	fcntl(fd_take, F_SETFL, fcntl(fd_take, F_GETFL) | O_NONBLOCK);
	/* Requests leave in one write per flight, so Nagle could only hold back the last segment. Fails on a unix socket, as it may. */
	(void)setsockopt(fd_take, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return stream;
}

struct memory_stream {
	struct stream base;
	const char *bytes;
	size_t len, chunk;
};

static ssize_t memory_read(struct stream *stream, void *buffer, size_t len, struct error *err)
{
	struct memory_stream *memory = (struct memory_stream *)stream;

	(void)err;
	if (memory->len == 0)
		return STREAM_END;
	if (len > memory->chunk)
		len = memory->chunk;
	if (len > memory->len)
		len = memory->len;
	memcpy(buffer, memory->bytes, len);
	memory->bytes += len;
	memory->len -= len;
	return (ssize_t)len;
}

static ssize_t memory_write(struct stream *stream, const void *bytes, size_t len, struct error *err)
{
	(void)stream;
	(void)bytes;
	(void)err;
	return (ssize_t)len;
}

static void memory_close(struct stream *stream)
{
	free(stream);
}

static const struct stream_ops memory_ops = {
	.name = "memory",
	.read = memory_read,
	.write = memory_write,
	.pending = nothing_pending,
	.close = memory_close,
};

struct stream *stream_memory(const void *bytes, size_t len, size_t chunk)
{
	struct memory_stream *memory = xcalloc(1, sizeof(*memory));

	memory->base.ops = &memory_ops;
	memory->base.fd = -1;
	memory->bytes = bytes;
	memory->len = len;
	memory->chunk = chunk;
	return &memory->base;
}
