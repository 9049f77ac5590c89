/* scribe.h - a process that reads and writes markers in Maildirs, so that nobody else hangs where a file system is dead. Told once what to do, it goes
 * through its list and leaves. */
#ifndef MAILHAUL_SPAWNER_SCRIBE_H
#define MAILHAUL_SPAWNER_SCRIBE_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct marker;

/* A datagram on its reply socket for each, in the order of the list; what it says is what marker_look has found. */
struct scribe_reply {
	uint32_t sight;
	char installation[36];
	int64_t messages, written_at;
};

/* The list, as a sealed memory file that the caller closes. text: what is to be written there before they are looked at, or NULL. */
int scribe_encode(const struct marker *list, size_t count, const char *text, struct error *err);

void scribe_main(int list_fd, int reply_fd) __attribute__((noreturn));

#endif
