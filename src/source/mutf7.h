/* mutf7.h - folder names as IMAP4rev1 writes them: modified UTF-7. RFC 3501 5.1.3. */
#ifndef MAILHAUL_SOURCE_MUTF7_H
#define MAILHAUL_SOURCE_MUTF7_H

struct str;

/* Adds the name, which is UTF-8, to out: printable ASCII only, whatever the name holds. -1: it is not UTF-8; out is as it was. */
int mutf7_encode(struct str *out, const char *name);

#endif
