/* stream.h - bytes to and from a peer, never blocking: a socket, TLS over a socket, or memory. */
#ifndef MAILHAUL_NET_STREAM_H
#define MAILHAUL_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;
struct stream;

enum { STREAM_AGAIN = 0, STREAM_FAILED = -1, STREAM_END = -2 };

struct stream_ops {
	const char *name;
	/* > 0 bytes moved; STREAM_AGAIN: wait for stream->want on stream->fd; STREAM_END (read only): orderly end; STREAM_FAILED: err is set. */
	ssize_t (*read)(struct stream *stream, void *buffer, size_t len, struct error *err);
	ssize_t (*write)(struct stream *stream, const void *bytes, size_t len, struct error *err);
	bool (*pending)(const struct stream *stream); /* bytes that poll(2) does not see */
	void (*close)(struct stream *stream);         /* frees; closes the descriptor; says goodbye without waiting */
};

struct stream {
	const struct stream_ops *ops;
	int fd;     /* for poll; -1 for memory */
	short want; /* POLLIN or POLLOUT, after STREAM_AGAIN */
};

static inline ssize_t stream_read(struct stream *stream, void *buffer, size_t len, struct error *err)
{
	return stream->ops->read(stream, buffer, len, err);
}
static inline ssize_t stream_write(struct stream *stream, const void *bytes, size_t len, struct error *err)
{
	return stream->ops->write(stream, bytes, len, err);
}
static inline bool stream_pending(const struct stream *stream)
{
	return stream->ops->pending(stream);
}
static inline void stream_close(struct stream *stream)
{
	if (stream != NULL)
		stream->ops->close(stream);
}

/* A connected socket; made non-blocking, TCP_NODELAY where it is TCP. Takes fd. */
struct stream *stream_socket(int fd_take);
/* For tests: reads from bytes (borrowed), at most chunk at a time; what is written is thrown away. */
struct stream *stream_memory(const void *bytes, size_t len, size_t chunk);

#endif
