/* dest.h - where mail goes: an SMTP or LMTP server, a Maildir, a program.
 * The invariant: no final dot, no rename, no program start for a delivery whose intent has not been acknowledged; the caller sees to that, and offers
 * nothing before. */
#ifndef MAILHAUL_DEST_DEST_H
#define MAILHAUL_DEST_DEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "mail/haul.h"

struct channel;
struct secret;
struct tls_summary;
struct wire;

struct dest_context {
	struct channel *channel; /* asks for connections (REC_CONNECT 1 + index), files and programs; NULL in tests, which set wire_fd */
	int wire_fd;             /* tests: the connected descriptor, else -1 */
	int64_t round_trip_ns;   /* tests: what every measured one is said to have taken; else 0 */
	unsigned index;          /* in the job */
	const struct dest_config *config;
	struct secret *secret;      /* for AUTH; the destination frees it when it is closed for good (it may have to log in again); NULL: none */
	const char *host;           /* our own name, for EHLO and Maildir names */
	int tmp_fd, new_fd, cur_fd; /* Maildir; owned by the destination from here on, -1 otherwise */
	int64_t adopt_before;       /* Maildir: what it holds since before that time is not delivered again; 0: everything is */
	void (*trace)(void *, char, const char *, size_t);
	void *trace_context;
	struct tls_summary *tls; /* filled by open; may be NULL */
};

enum resolution { RESOLVED_UNKNOWN, RESOLVED_DELIVERED, RESOLVED_ABSENT };

struct dest {
	const struct dest_ops *ops;
	struct wire *wire; /* NULL: not a network destination */
};

struct dest_ops {
	const char *name;
	bool certain; /* resolve can tell after a crash (Maildir) */
	/* Connects, greets, logs in. Called before anything is fetched for it, and again after a connection was lost, or after close. */
	int (*open)(struct dest *, struct error *);
	/* Its message, a large one, is still arriving: begins the delivery in a way that can vanish without a trace, so that it is done sooner once the message
	 * is complete and all that has to come before is done; prepare or offer go on with it. It waits for the destination no longer than a source waits to be
	 * read. feed passes on what has arrived since, and does not wait at all. -1: nothing is left of it, but as if it had never been begun. At most one
	 * delivery at a time, and nothing else is without verdict; another one that is offered before it may put an end to it. NULL, as feed: cannot. */
	int (*begin)(struct dest *, struct delivery *, struct error *);
	int (*feed)(struct dest *, struct delivery *, struct error *);
	/* Writes the delivery where it can still vanish without a trace (Maildir: tmp/), before its intent is sent; the name is made from delivery->intent_at,
	 * which the caller has set. NULL: nothing to prepare. -1: error says whom it concerns; the delivery is not prepared. */
	int (*prepare)(struct dest *, struct delivery *, struct error *);
	/* Makes all prepared deliveries durable, as a group; only then may their intents be sent. NULL with prepare. */
	int (*sync)(struct dest *, struct error *);
	/* Gives up a delivery that was begun or prepared, or was next for offer, as if it had never been (error elsewhere, STOP). NULL: nothing is kept of either. */
	void (*discard)(struct dest *, struct delivery *);
	/* Would offer take one more without waiting for the answer to another? NULL: always. */
	bool (*has_room)(struct dest *);
	/* Its intent is acknowledged: sends one message to one recipient (Maildir: renames it into new/); may block. next: the delivery that will be
	 * offered right after this one, whose envelope may ride behind our dot (RFC 2920 3.1); NULL: none, or not known. -1: the destination is lost; what
	 * verdicts still returns is the truth about each. */
	int (*offer)(struct dest *, struct delivery *, const struct delivery *next, struct error *);
	/* What was offered goes on its way together: Maildir fsyncs new/, SMTP writes what it has gathered; verdicts come after it. Others: NULL. */
	int (*flush)(struct dest *, struct error *);
	/* We are to leave at once: what was offered and has not wholly left is cut off, RETRACTED; what has left is still waited for. NULL: offer leaves
	 * nothing half sent. */
	void (*cut)(struct dest *);
	/* Never blocks. 1: *ret_delivery has its verdict. 0: none yet. -1: lost; all that were offered will be returned, IN_DOUBT or RETRACTED. */
	int (*verdicts)(struct dest *, struct delivery **ret_delivery, struct error *);
	/* Maildir: is this doubtful delivery there (by the name made from its intent_at, id and hash)? A leftover in tmp/ is removed and means absent.
	 * NULL: cannot tell. hash: of the bytes that were intended. */
	int (*resolve)(struct dest *, const struct delivery *, const uint8_t hash[32], enum resolution *ret_resolution, struct error *);
	/* For check: would this recipient be accepted? MAIL FROM:<>, RCPT TO, RSET. Maildir: can be written. MDA: program is there and executable. */
	int (*probe)(struct dest *, const char *sender, const char *recipient, struct error *);
	int (*close)(struct dest *, struct error *); /* QUIT; not waiting for more than a moment */
	void (*free)(struct dest *);
};

/* The registry: by kind of the configuration. */
struct dest *dest_new(const struct dest_context *context);
struct dest *smtp_new(const struct dest_context *context);
struct dest *maildir_new(const struct dest_context *context);
struct dest *mda_new(const struct dest_context *context);

static inline int dest_open(struct dest *dest, struct error *err)
{
	return dest->ops->open(dest, err);
}
static inline int dest_begin(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return dest->ops->begin != NULL ? dest->ops->begin(dest, delivery, err) : -1;
}
static inline int dest_feed(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return dest->ops->feed(dest, delivery, err);
}
static inline int dest_prepare(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return dest->ops->prepare != NULL ? dest->ops->prepare(dest, delivery, err) : 0;
}
static inline int dest_sync(struct dest *dest, struct error *err)
{
	return dest->ops->sync != NULL ? dest->ops->sync(dest, err) : 0;
}
static inline void dest_discard(struct dest *dest, struct delivery *delivery)
{
	if (dest->ops->discard != NULL)
		dest->ops->discard(dest, delivery);
}
static inline bool dest_has_room(struct dest *dest)
{
	return dest->ops->has_room == NULL || dest->ops->has_room(dest);
}
static inline int dest_offer(struct dest *dest, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	return dest->ops->offer(dest, delivery, next, err);
}
static inline int dest_flush(struct dest *dest, struct error *err)
{
	return dest->ops->flush != NULL ? dest->ops->flush(dest, err) : 0;
}
static inline void dest_cut(struct dest *dest)
{
	if (dest->ops->cut != NULL)
		dest->ops->cut(dest);
}
static inline int dest_verdicts(struct dest *dest, struct delivery **ret_delivery, struct error *err)
{
	return dest->ops->verdicts(dest, ret_delivery, err);
}
static inline int dest_resolve(struct dest *dest, const struct delivery *delivery, const uint8_t hash[32], enum resolution *ret, struct error *err)
{
	if (dest->ops->resolve == NULL) {
		*ret = RESOLVED_UNKNOWN;
		return 0;
	}
	return dest->ops->resolve(dest, delivery, hash, ret, err);
}
static inline int dest_probe(struct dest *dest, const char *sender, const char *recipient, struct error *err)
{
	return dest->ops->probe(dest, sender, recipient, err);
}
static inline int dest_close(struct dest *dest, struct error *err)
{
	return dest->ops->close(dest, err);
}
static inline void dest_free(struct dest *dest)
{
	if (dest != NULL)
		dest->ops->free(dest);
}

#endif
