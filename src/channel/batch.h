/* batch.h - several records in one datagram: one each would be a system call and a wakeup for every step of every message.
 * Each begins at a multiple of eight bytes. Descriptors belong to the first one. */
#ifndef MAILHAUL_CHANNEL_BATCH_H
#define MAILHAUL_CHANNEL_BATCH_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

#include "channel/record.h"

#define BATCH_BYTES 16384 /* a hundred short ones */

/* What is to be sent. */
struct batch {
	char *bytes; /* NULL: nothing */
	size_t len;
};
/* False: there is no room. */
bool batch_add(struct batch *batch, const struct record *record);
/* Never blocks. 1: nothing is left; 0: it would block; -1: the other side is gone. */
int batch_send(struct batch *batch, int fd);
void batch_done(struct batch *batch);

/* What has come. */
struct batch_reader {
	size_t len, at;
	alignas(struct record) char bytes[BATCH_BYTES + sizeof(struct record)]; /* so that even a lie about its length leaves a record whole */
};
/* As record_receive. */
int batch_receive(struct batch_reader *reader, int fd, int *ret_fds, unsigned *ret_fd_count);
/* The next record, valid until the next batch_receive. NULL: there is no more, or no whole one (*ret_broken). */
const struct record *batch_next(struct batch_reader *reader, bool *ret_broken);

#endif
