/* message.h - one message as it comes from the source: its bytes in a spool, its two prints, and the few facts that its delivery needs.
 * Each byte is looked at a fixed number of times, in whatever pieces it arrives. Nothing is parsed beyond the header block, and of that at most
 * HEADER_SCAN_MAX. */
#ifndef MAILHAUL_MAIL_MESSAGE_H
#define MAILHAUL_MAIL_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"
#include "mail/header.h"

struct error;
struct spool;
struct spool_file;

struct message {
	struct spool *spool;
	uint64_t size;               /* bytes as received */
	uint8_t hash[SHA256_BYTES];  /* of the bytes */
	uint8_t trace[SHA256_BYTES]; /* of Message-ID, Date, From and every Received field; see prints.h */
	bool has_trace;              /* at least one Received field was among them */
	char return_path[256];       /* first valid Return-Path, without <>; see has_return_path */
	bool has_return_path;        /* true with return_path "" is the null sender */
	unsigned received_count;
	unsigned own_marks; /* X-Mailhaul-Id fields that carry our own mark (loop protection) */
	bool eight_bit;     /* bytes above 0x7F anywhere */
	bool utf8_header;   /* in the header, and they are well-formed UTF-8: an internationalized message (RFC 6532). Latin-1 is not */
	bool has_nul, has_bare_cr;
	int64_t begun_ns; /* monotonic: when it began to arrive */
	bool passed_on;   /* somebody has passed on bytes of it while it arrived, and rests on it that the others follow */
	void *scan;       /* private, until message_end */
};

/* own_mark: prefix of the X-Mailhaul-Id values that this installation writes; borrowed until message_end. */
struct message *message_new(struct spool_file *file, const char *own_mark);
int message_add(struct message *message, const void *bytes, size_t len, struct error *err);
/* All of the header has come: what is known from it (trace and prints excepted) is valid from here on. */
bool message_has_header(const struct message *message);
bool message_is_complete(const struct message *message);     /* message_end was called */
int message_end(struct message *message, struct error *err); /* prints and facts are valid from here on */
void message_free(struct message *message);

#endif
