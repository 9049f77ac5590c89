/* spawner.h - the process that gives birth to all others. Forked first of all, before configuration, database and event loop exist, so that its children
 * come from memory that never saw a secret. It touches neither network nor state and is not sandboxed: what it starts must not inherit that.
 * Its children are born with CLONE_PARENT: they are the supervisor's, by wait status and descriptor. */
#ifndef MAILHAUL_SPAWNER_SPAWNER_H
#define MAILHAUL_SPAWNER_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sha256.h"
#include "net/tls.h"

struct error;

/* A ca_file that was named once, or more often. */
struct spawner_trust {
	uint8_t digest[SHA256_BYTES];
	bool told;
};

struct spawner {
	int fd; /* the line to it; its end is the spawner's death: exit 70 */
	pid_t pid;
	bool left_unanswered; /* it was asked for a process, and died: nobody knows whether that was born */
	struct spawner_trust trusts[TLS_TRUST_KEPT_MAX];
	unsigned trust_count;
};

struct child {
	pid_t pid;
	int pidfd; /* the caller closes it */
};

/* First call of main. In the spawner itself this never returns. */
int spawner_start(struct spawner *spawner, struct error *err);
/* As root: becomes that user for good (its groups included), before anything remote. The caller does the same to itself. */
int spawner_become(struct spawner *spawner, const char *user, struct error *err);

/* There will be more than one worker: what they share is made ready meanwhile. Does not wait for that; without it, the second one does. */
void spawner_expect_many(struct spawner *spawner);

/* The PEM text of a ca_file that the next worker uses: of what is named twice, workers find the certificates ready. */
void spawner_trust(struct spawner *spawner, const char *pem);

/* A worker on this end of a channel. The first one makes the spawner get ready (TLS, sandbox filters), the second one warm up. */
int spawner_worker(struct spawner *spawner, int channel_fd, struct child *ret_child, struct error *err);

struct connect_request {
	const char *host; /* or NULL */
	uint16_t port;
	const char *path;   /* unix socket, if host is NULL */
	bool loopback_only; /* an address beyond loopback is refused: no TLS was asked for */
	unsigned within_s;  /* the caller's deadline, if it has one of its own; 0: none */
};
/* A connector: sends one REC_CONNECTED or REC_FAILED to result_fd, and another one for each byte that comes from there; leaves when that is closed. The
 * caller kills it at its deadline. */
int spawner_connector(struct spawner *spawner, int result_fd, const struct connect_request *request, struct child *ret_child, struct error *err);

/* A program in its own process group, with these three descriptors and this environment, nothing else. argv[0] is absolute or found in PATH. */
int spawner_helper(
	struct spawner *spawner, char *const *argv, char *const *environment, const int stdio[3], struct child *ret_child, struct error *err);

/* A scribe (scribe.h): goes through the list, says one thing for each, and leaves. */
int spawner_scribe(struct spawner *spawner, int list_fd, int reply_fd, struct child *ret_child, struct error *err);

void spawner_stop(struct spawner *spawner);

/* What the children run; they never return. */
void connector_main(int result_fd, const struct connect_request *request) __attribute__((noreturn));
void helper_main(char *const *argv, char *const *environment, const int stdio[3]) __attribute__((noreturn));

#endif
