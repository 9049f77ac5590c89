/* buffer.h - a queue of bytes in one piece of memory: written at the end, taken from the front, given back when it is empty.
 * Invariant: every byte is moved O(1) times, however small the pieces are in which it comes and goes. */
#ifndef MAILHAUL_NET_BUFFER_H
#define MAILHAUL_NET_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* All-zero is an empty one without memory. */
struct buffer {
	char *data;
	size_t start, end, cap;
	bool wipe; /* it holds a secret: overwritten when the buffer grows, empties or goes */
};

static inline size_t buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}
static inline char *buffer_bytes(const struct buffer *buffer)
{
	return buffer->data + buffer->start;
}

/* Room for at least least bytes behind the end, and how much there is; the caller moves end. Capacity stays within max_bytes: NULL if that is not
 * enough. An empty buffer starts with first_bytes. */
char *buffer_room(struct buffer *buffer, size_t least, size_t first_bytes, size_t max_bytes, size_t *ret_room);
void buffer_take(struct buffer *buffer, size_t len);
/* Frees the memory if nothing is in it. */
void buffer_shrink(struct buffer *buffer);
void buffer_done(struct buffer *buffer);

#endif
