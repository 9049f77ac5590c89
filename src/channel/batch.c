#include "channel/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fdpass.h"
#include "base/mem.h"

static size_t room_of(const struct record *record)
{
	return (record_size(record) + alignof(struct record) - 1) / alignof(struct record) * alignof(struct record);
}

bool batch_add(struct batch *batch, const struct record *record)
{
	size_t room = room_of(record);

	if (room > BATCH_BYTES - batch->len)
		return false;
	if (batch->bytes == NULL)
		batch->bytes = xcalloc(1, BATCH_BYTES);
	memcpy(batch->bytes + batch->len, record, record_size(record));
	batch->len += room;
	return true;
}

void batch_done(struct batch *batch)
{
	free(batch->bytes);
	*batch = (struct batch){0};
}

int batch_send(struct batch *batch, int fd)
{
	if (batch->len == 0)
		return 1;
	if (fdpass_send(fd, batch->bytes, batch->len, NULL, 0, MSG_DONTWAIT) < 0)
		return errno == EAGAIN ? 0 : -1;
	batch_done(batch);
	return 1;
}

int batch_receive(struct batch_reader *reader, int fd, int *ret_fds, unsigned *ret_fd_count)
{
	ssize_t got = fdpass_receive(fd, reader->bytes, BATCH_BYTES, ret_fds, ret_fd_count, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	reader->len = (size_t)got;
	reader->at = 0;
	return got != 0 ? 1 : -1;
}

const struct record *batch_next(struct batch_reader *reader, bool *ret_broken)
{
	const struct record *record = (const void *)(reader->bytes + reader->at);
	size_t left = reader->len - reader->at;

	*ret_broken = left != 0 && (left < offsetof(struct record, text) || record_size(record) > left);
	if (left == 0 || *ret_broken)
		return NULL;
	reader->at += room_of(record) < left ? room_of(record) : left; /* the last one may end where its text does */
	return record;
}
