/* policy.h - what happens after a failure: one table from kind and scope, used by the worker (go on or leave) and the supervisor (retry, hold, back
 * off). Pure: no I/O, no clock. */
#ifndef MAILHAUL_POLICY_POLICY_H
#define MAILHAUL_POLICY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum action {
	ACTION_NONE,
	ACTION_RETRY,            /* this message or recipient: slow clock; the next one is tried */
	ACTION_HOLD,             /* this message or recipient: held, listed, tried again by the hold clock */
	ACTION_SKIP_FOLDER,      /* the other folders are hauled */
	ACTION_STOP_DESTINATION, /* nothing more is offered to it; the mailbox goes on for the others */
	ACTION_END_SESSION,      /* the mailbox backs off by the network clock; ERR_CANCELED: it leaves, without back-off */
	ACTION_END_LOGIN,        /* the mailbox backs off by the login clock */
	ACTION_END_PROGRAM,
};
enum action policy_action(enum error_kind kind, enum error_scope scope);

enum backoff_clock { BACKOFF_NETWORK, BACKOFF_LOGIN, BACKOFF_MESSAGE, BACKOFF_HELD };

#define DEFERRED_MAX_S (5 * 86400) /* a message deferred for longer is held: as long as mail servers queue, RFC 5321 4.5.4.1 */
#define DOUBT_ROUNDS_MAX 3         /* a peer that always dies after the last byte must not become a mail bomb */
#define HELD_TRIES_MAX 5           /* automatic tries of a held message; then only by hand */

/* Seconds until the next try after so many failures in a row (1, 2, ...), without jitter. 0 failures: 0. */
uint32_t backoff_s(enum backoff_clock clock, unsigned failures);
/* Which clock an error of a session runs on. */
enum backoff_clock backoff_clock_of(enum error_kind kind);
/* +-20 % of it, from 32 random bits. */
uint32_t backoff_jittered(uint32_t seconds, uint32_t random);
/* Both together. Between refused logins jitter only adds: providers count attempts, and lock the account when they are too many. */
uint32_t backoff_delay_s(enum backoff_clock clock, unsigned failures, uint32_t random);
/* A stored time that is further away than the longest interval of its clock, jitter included (the wall clock jumped), counts as over. */
bool backoff_is_over(enum backoff_clock clock, int64_t until_s, int64_t now_s);

/* The exit code of run for one mailbox's error: 0, 75, 77, 78, 74, 70. An error of one message is none of its mailbox: 0. */
int policy_exit_code(enum error_kind kind, enum error_scope scope);

#endif
