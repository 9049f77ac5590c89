#include "net/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"

static void release(struct buffer *buffer)
{
	if (buffer->wipe)
		secret_wipe(buffer->data, buffer->cap);
	free(buffer->data);
}

/* Not realloc: it would leave a secret behind in the old place. */
static void move(struct buffer *buffer, size_t cap)
{
	char *data = xmalloc(cap);
	size_t len = buffer_length(buffer);

	if (len != 0)
		memcpy(data, buffer_bytes(buffer), len);
	release(buffer);
	buffer->data = data;
	buffer->cap = cap;
	buffer->start = 0;
	buffer->end = len;
}

char *buffer_room(struct buffer *buffer, size_t least, size_t first_bytes, size_t max_bytes, size_t *ret_room)
{
	size_t len = buffer_length(buffer), cap = buffer->cap != 0 ? buffer->cap : first_bytes;

	if (least > max_bytes - len)
		return NULL;
	/* Moving what is left is paid for by the bytes that were taken before it. */
	if (buffer->cap - buffer->end < least && buffer->start >= len && buffer->cap - len >= least) {
		memmove(buffer->data, buffer_bytes(buffer), len);
		buffer->start = 0;
		buffer->end = len;
	}
	if (buffer->cap - buffer->end < least || buffer->data == NULL) {
		while (cap - len < least || cap == buffer->cap)
			cap *= 2;
		if (cap > max_bytes && buffer->cap >= max_bytes)
			return NULL;
		move(buffer, cap < max_bytes ? cap : max_bytes);
	}
	*ret_room = buffer->cap - buffer->end;
	return buffer->data + buffer->end;
}

void buffer_take(struct buffer *buffer, size_t len)
{
	assert(len <= buffer_length(buffer));
	buffer->start += len;
	if (buffer->start != buffer->end)
		return;
	if (buffer->wipe)
		secret_wipe(buffer->data, buffer->cap);
	buffer->start = buffer->end = 0;
	buffer->wipe = false;
}

void buffer_shrink(struct buffer *buffer)
{
	if (buffer_length(buffer) == 0)
		buffer_done(buffer);
}

void buffer_done(struct buffer *buffer)
{
	release(buffer);
	*buffer = (struct buffer){0};
}
