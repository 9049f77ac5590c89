/* smtp-session.h - one connection to an SMTP or LMTP server: connect, TLS, greeting, EHLO, login; and the replies that come over it.
 * RFC 5321, 2033 (LMTP), 3207 (STARTTLS), 4954 (AUTH). What is transacted over it is smtp.c's business.
 * Invariant: between calls dest.wire is NULL, or leads to a server that has greeted us and let us in. */
#ifndef MAILHAUL_DEST_SMTP_SESSION_H
#define MAILHAUL_DEST_SMTP_SESSION_H

#include <stdbool.h>

#include "base/clock.h"
#include "dest/dest.h"
#include "dest/smtp-reply.h"

/* RFC 5321 4.5.3.2: how long a server may take. A shorter wait for the last one makes duplicates (RFC 1047). */
#define SMTP_REPLY_S 300
#define SMTP_DATA_S 120
#define SMTP_DOT_S 600
#define SMTP_CHUNK_S 180 /* to take 64 KiB of a message */
#define SMTP_TLS_S 30
#define SMTP_QUIT_S 2   /* the goodbye is a courtesy */
#define SMTP_BEGIN_S 20 /* to agree to a message of which the rest is still to come; few sources stand it for a minute that nobody reads */

struct smtp_session {
	struct dest dest;            /* its wire is ours */
	struct dest_context context; /* wire_fd is -1 once it was used */
	bool lmtp;
	bool lock_step;         /* this server has broken the order of replies before: one command at a time, to the end of our days */
	int64_t round_trip_ns;  /* the shortest that was seen; INT64_MAX before the first */
	unsigned round_trips;   /* how many were seen */
	struct deadline latest; /* for every step, whatever its own; mostly DEADLINE_NEVER */
	char address[64];       /* reached; "" if unknown */
	struct smtp_extensions extensions;
	struct smtp_reply reply; /* the latest, or what has come of it */
};

void smtp_session_init(struct smtp_session *session, const struct dest_context *context);
/* Errors have SCOPE_DESTINATION: ERR_TEMP, ERR_TLS, ERR_AUTH, ERR_PROTO, ERR_CONFIG. */
int smtp_session_open(struct smtp_session *session, struct error *err);
/* Hangs up without a word; fine if there is no connection. */
void smtp_session_drop(struct smtp_session *session);
/* QUIT, if nothing is under way, and hang up. */
void smtp_session_quit(struct smtp_session *session);

/* One complete reply into session->reply. wait: sleeps for it until the wire's deadline; else takes what has come and returns 0 if that is not all of it.
 * 1: complete. -1: ERR_PROTO for a malformed reply (then lock_step from here on), ERR_TEMP for a lost connection, ERR_CANCELED. Unlike elsewhere the
 * connection stays, for a caller that knows how to go on. */
int smtp_session_reply(struct smtp_session *session, bool wait, struct error *err);
/* Sends one command, waits for its reply; drops the connection if that fails. */
int smtp_session_command(struct smtp_session *session, struct error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A reply has come to what was asked at asked_ns (monotonic), with nothing in between: how far away is this server? */
void smtp_session_time(struct smtp_session *session, int64_t asked_ns);
/* Seconds for a step: the configured time without progress, never below what the RFC gives the final dot, nor beyond latest. */
struct deadline smtp_session_deadline(const struct smtp_session *session, unsigned step_s);
const char *smtp_session_name(const struct smtp_session *session);
/* What went wrong below us (connection, TLS, line too long) concerns the destination, whoever reported it: scope and prefix. Returns -1. */
int smtp_session_blame(const struct smtp_session *session, struct error *err);
/* "destination NAME WHAT: 550 5.1.1 words"; code is the reply's. */
int smtp_session_refused(const struct smtp_session *session, enum error_kind kind, enum error_scope scope, const char *what, struct error *err);

#endif
