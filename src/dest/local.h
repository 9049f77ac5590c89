/* local.h - a delivery as a file on this machine: our header fields, then the message, CRLF turned to LF. For Maildir and MDA. */
#ifndef MAILHAUL_DEST_LOCAL_H
#define MAILHAUL_DEST_LOCAL_H

#include <stdint.h>

#include "mail/lines.h"

struct delivery;
struct error;

/* A file that is being written, while the message may still be arriving. */
struct local_file {
	int fd;
	struct local_encoder encoder;
	uint64_t offset; /* bytes of the message that were taken */
	uint64_t size;   /* written to fd */
	uint64_t urged;  /* bytes of fd that the kernel was asked to write to the disk */
};

/* where: names the place in the error (ERR_LOCAL, SCOPE_DESTINATION); errors of the spool pass as they are. fd is borrowed. */
int local_begin(struct local_file *file, int fd, const struct delivery *delivery, const char *where, struct error *err);
/* Writes what has arrived since. The disk is set to work on it, so that a sync at the end finds little left to do. */
int local_add(struct local_file *file, const struct delivery *delivery, const char *where, struct error *err);
/* The message is complete: the rest of it. */
int local_end(struct local_file *file, const struct delivery *delivery, const char *where, struct error *err);

/* Writes all of it to fd. */
int local_write(int fd, const struct delivery *delivery, const char *where, struct error *err);

#endif
