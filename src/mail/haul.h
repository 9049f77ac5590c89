/* haul.h - one message on its way: from the plan, through fetch and delivery, to its disposal at the source. */
#ifndef MAILHAUL_MAIL_HAUL_H
#define MAILHAUL_MAIL_HAUL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/error.h"
#include "channel/record.h"

struct message;

/* Only forward; a failure sets error and takes the haul out of the loop. */
enum haul_stage { HAUL_PLANNED, HAUL_REQUESTED, HAUL_SPOOLED, HAUL_INTENDED, HAUL_SETTLED, HAUL_RECORDED };

/* One haul to one target. */
struct delivery {
	STAILQ_ENTRY(delivery) next; /* in an outlet's queue, then in the destination's own of what it was offered */
	struct haul *haul;
	const struct message *message; /* the haul's; while that arrives, the source's */
	unsigned target;
	const char *recipient; /* borrowed from the job; "" for a Maildir */
	const char *sender;    /* borrowed; "" is the null sender */
	bool needs_smtputf8;
	bool begun;           /* while its message arrived, and good as far as it went */
	bool retracted;       /* offered once before in this session, and taken back: goes alone now, and not a third time */
	char name[160];       /* Maildir: of its file; made by prepare */
	bool doubtful;        /* an earlier intent has no outcome: resolve, or deliver again under the same id */
	int64_t intent_at;    /* wall clock, seconds: of the first intent; part of a Maildir name */
	int64_t intent_age_s; /* doubtful ones: how long ago that may have been at most; the wall clock may have been set since */
	char id[41];          /* X-Mailhaul-Id: deterministic per key and destination */
	char *prepend;        /* our header fields, CRLF line ends; owned */
	size_t prepend_len;
	enum verdict verdict; /* 0: none yet */
	bool after_data;      /* REFUSED: for what the message is, not for its envelope, nor for the state of the recipient or the server */
	int code;             /* SMTP reply, exit status */
	struct error error;   /* for DEFERRED and REFUSED: kind, scope and the peer's words */
	char reply[200];      /* for ACCEPTED: the peer's words */
};

struct haul {
	STAILQ_ENTRY(haul) next; /* in the one queue that owns it */
	uint64_t id;             /* message.id of the state */
	uint32_t uid;            /* IMAP UID, or POP3 message number of this session */
	uint64_t announced;      /* bytes, as listed: a hint; not less than it has, once it is here */
	int64_t date;            /* INTERNALDATE, wall clock seconds; 0 if unknown */
	enum haul_stage stage;
	uint32_t seq;            /* of its last durable record */
	struct message *message; /* HAUL_SPOOLED up to the last verdict, else NULL; owned */
	struct error error;      /* why it was not fetched (kind ERR_NONE: nothing wrong) */
	bool header_only;   /* asked for without its body, to be recognised by its trace. IMAP only: POP3 has TOP, which truncates or marks as read */
	bool oversized;     /* error says it is over max_message: held, not retried as broken */
	const void *origin; /* of whoever made it; not looked at here */
	unsigned unoffered; /* deliveries that wait for their first offer */
	unsigned unsettled; /* deliveries that still lack a verdict */
	bool disposable;    /* every target has it; set when the last verdict is in */
	unsigned delivery_count;
	struct delivery *deliveries; /* owned */
};

STAILQ_HEAD(haul_queue, haul);
STAILQ_HEAD(delivery_queue, delivery);

struct haul *haul_new(uint64_t id, uint32_t uid, uint64_t announced, int64_t date);
void haul_free(struct haul *haul);

#endif
