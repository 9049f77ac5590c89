/* outlet.h - a destination as a session uses it: opened when something is to be delivered, given up for this session when it is lost. */
#ifndef MAILHAUL_WORKER_OUTLET_H
#define MAILHAUL_WORKER_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "mail/haul.h"

struct channel;
struct dest;
struct dest_config;
struct job;
struct secret;
struct tls_summary;

struct outlet {
	struct dest *dest;
	const struct dest_config *config;
	struct channel *channel;
	unsigned index;              /* in the job */
	bool open, down, rests;      /* down: nothing more is offered in this session; rests: as was known before */
	struct delivery_queue ready; /* to be offered, in this order */
	unsigned outstanding;        /* offered, no verdict yet */
	struct delivery *begun;      /* its message is still arriving; NULL: none */
	unsigned accepted;           /* since it was opened: a destination that takes nothing is not opened twice */
	bool unsynced;               /* prepared, not synced */
	struct error error;          /* why it is down */
};

void outlet_init(struct outlet *outlet, const struct job *job, unsigned index, struct channel *channel, struct secret *secret_take,
	const int directories[3], struct tls_summary *tls, void (*trace)(void *, char, const char *, size_t), void *trace_context);
/* Opens it if it is not. False: it is down, see error. */
bool outlet_ready(struct outlet *outlet);
/* It was lost: down for this session, unless it has accepted something since it was opened: then it may be opened once more. One that mixed up its replies
 * may too, since it is talked to in lock step from then on. */
void outlet_lost(struct outlet *outlet, const struct error *err);
void outlet_stop(struct outlet *outlet, const struct error *err); /* down for this session, whatever it has accepted */
void outlet_rest(struct outlet *outlet, const struct error *err); /* the same at its beginning, which is no news */
void outlet_close(struct outlet *outlet);
void outlet_done(struct outlet *outlet);

#endif
