/* roster.h - the mailboxes that are to be served. Each has a post here, and at most one session at a time; whoever waits gets a place in turn. What
 * drives the roster says which posts are wanted, and hears how each session ended. */
#ifndef MAILHAUL_SUPERVISOR_ROSTER_H
#define MAILHAUL_SUPERVISOR_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "supervisor/allowance.h"
#include "supervisor/sentries.h"

struct attendant;
struct error;
struct mailbox_config;
struct service;

/* The posts on one server: how many of them there are, have a session, wait in it for mail, and were spread out so far. Sentries are sessions, too. */
struct roster_host {
	char *name;
	bool is_local; /* on this machine: no limit but places */
	unsigned posts, sessions, sentries, pushed, spread;
	unsigned stuck; /* sessions whose worker never connected, and cannot be killed: they take no place from others */
};

/* POST_PUSHED: all is hauled, and its session waits for the server to announce mail. Takes up no place. */
enum post_state { POST_RESTING, POST_WAITING, POST_HAULING, POST_PUSHED };

struct post {
	const struct mailbox_config *mailbox;
	struct roster_host *host;
	enum post_state state;
	bool insistent;              /* a person wants it now, whatever has failed before */
	bool put_off;                /* somebody else is hauling it; it waits for that */
	uint64_t turn;               /* POST_WAITING: the lowest is next */
	int64_t not_before_ns;       /* POST_WAITING: CLOCK_MONOTONIC, or 0 */
	struct attendant *attendant; /* POST_HAULING and POST_PUSHED, else NULL */
	struct sentries sentries;    /* while it has an attendant */
	bool ending;                 /* its session is over, and these are not yet */
	struct allowance lines;      /* in the log, of all of them together */
	/* The daemon's */
	int64_t due_ns, started_ns;         /* CLOCK_BOOTTIME: when it is wanted next; when its last session began */
	const struct mailbox_config *later; /* what mailbox becomes when its session is over; or NULL */
	bool changed;                       /* and it says something else */
	bool gone;                          /* it left the configuration: no session after this one */
	bool refused, failing;              /* its login was refused; its last session failed */
	bool asked;                         /* for a poll now, while it hauled: its listing may be older than that */
	unsigned cut_short;                 /* times in a row that its session failed while it waited for mail */
	int64_t push_again_ns;              /* CLOCK_BOOTTIME: after so many of them it is polled until then */
};

struct roster_driver {
	/* There is a place for it. False: it goes back to rest, and has no session. */
	bool (*may_start)(void *, struct post *);
	/* Somebody else is hauling it, why says who. True: it waits for that; false: this is how it ended. */
	bool (*waits_for)(void *, struct post *, const struct error *why);
	/* Its session has hauled everything. True: it may stay, for mail that is announced. NULL: none may. */
	bool (*may_be_pushed)(void *, struct post *);
	/* From here on it is POST_PUSHED, and health is on record; or it is POST_HAULING again. NULL with may_be_pushed. */
	void (*turned)(void *, struct post *);
	/* ERR_NONE: well. attendant NULL: there was no session. Health is on record. */
	void (*ended)(void *, struct post *, const struct attendant *attendant, const struct error *err);
	/* Nobody waits any more, or may start, and nobody hauls. Not called from within roster_want. */
	void (*idle)(void *);
};

struct roster {
	struct service *service;
	const struct roster_driver *driver;
	void *context; /* the driver's */
	struct post **posts;
	unsigned count, hauling, pushed, sentries;
	unsigned places, places_per_host; /* whoever says nothing for a while, say in a tarpit, uses up none of the first */
	struct roster_host **hosts;
	unsigned host_count;
	bool closed;    /* nobody starts any more */
	uint64_t turns; /* given out so far */
	unsigned busy;  /* starts in a row that found the database taken */
	sd_event_source *retry;
};

/* The driver is borrowed. The service calls the roster when a session is over. */
void roster_init(struct roster *roster, struct service *service, const struct roster_driver *driver, void *context);
/* Ends all sessions where they are. Fine on all-zero. */
void roster_done(struct roster *roster);

/* At rest. The roster owns the post, the caller keeps mailbox alive. */
struct post *roster_add(struct roster *roster, const struct mailbox_config *mailbox);
/* Another mailbox of that name, or the same as it is configured now. */
void roster_assign(struct roster *roster, struct post *post, const struct mailbox_config *mailbox);
/* It has no session. */
void roster_remove(struct roster *roster, struct post *post);
struct post *roster_find(const struct roster *roster, const char *name); /* NULL: there is none */
/* It has a session as soon as there is a place; one that is pushed looks for mail at once; nothing for one that waits or hauls. roster_fill gives out the
 * places. */
void roster_want(struct roster *roster, struct post *post, bool insistent);
void roster_fill(struct roster *roster);
bool roster_has_waiting(const struct roster *roster);

/* All sessions find out whether their connections live; those that are pushed look for mail now. */
void roster_probe(struct roster *roster);
/* They leave. */
void roster_stop_pushed(struct roster *roster);
void roster_stop(struct roster *roster);  /* nobody starts any more, and who hauls leaves at the next message boundary */
void roster_open(struct roster *roster);  /* after roster_stop: they may again */
void roster_hurry(struct roster *roster); /* who hauls leaves at once (attendant_hurry) */
void roster_kill(struct roster *roster);  /* now */

#endif
