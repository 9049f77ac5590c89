/* local.h - a delivery as a file on this machine: our header fields, then the message, CRLF turned to LF. For Maildir and MDA. */
#ifndef MAILHAUL_DEST_LOCAL_H
#define MAILHAUL_DEST_LOCAL_H

struct delivery;
struct error;

/* Writes all of it to fd. where: names the place in the error (ERR_LOCAL, SCOPE_DESTINATION); errors of the spool pass as they are. */
int local_write(int fd, const struct delivery *delivery, const char *where, struct error *err);

#endif
