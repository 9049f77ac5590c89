/* visitor.h - a command that talks to the daemon: its end of the line, and replies that it has not taken yet.
 * One datagram is one reply, a letter and text. The daemon never waits for it: who takes too little is left. */
#ifndef MAILHAUL_SUPERVISOR_VISITOR_H
#define MAILHAUL_SUPERVISOR_VISITOR_H

#include <stdbool.h>
#include <stddef.h>

#include <systemd/sd-event.h>

#include "base/str.h"
#include "config/config.h"
#include "supervisor/progress.h"

struct control;

/* Replies. Words in their text end with a NUL. */
enum visit_reply {
	VISIT_PROGRESS = 'P', /* five numbers: struct progress_total */
	VISIT_TROUBLE = 'T',  /* mailbox, what is wrong with it in words */
	VISIT_END = 'E',      /* exit code: done */
	VISIT_YOURS = 'Y',    /* the mailbox that was claimed is free */
	VISIT_UNKNOWN = 'U',  /* none of these mailboxes is served here */
	VISIT_REFUSED = 'R',  /* why */
	VISIT_OUTLOOK = 'O',  /* descriptor: sealed, as outlook.h describes */
};

#define VISIT_REQUEST_MAX 65536 /* a verb and the names of a thousand mailboxes */
#define VISIT_REPLY_MAX 1024

/* A mailbox that a visitor waits for. */
struct errand {
	char name[NAME_BYTES];
	bool fresh; /* a session that ends from now on began after it was asked for */
};

struct visitor {
	struct control *control;
	int fd;
	sd_event_source *event;
	struct str backlog; /* replies: length in two bytes, then so many */
	bool ending;        /* hears no more than that; then the line is closed, which the handler hears */
	bool asked;         /* once is enough */
	/* What it wants; control.c */
	struct errand *errands;
	unsigned errand_count;
	bool insists, waits; /* whatever has failed before; for mailboxes that somebody else is hauling */
	int exit_code;
	struct progress_total past; /* what errands that are done have brought */
	int64_t told_ns;            /* CLOCK_MONOTONIC: its last progress */
	char claim[NAME_BYTES];     /* mailbox that nobody may haul as long as it is here; "": none */
	bool granted;
};

/* Takes fd, non-blocking. NULL: it cannot be watched. handler gets the visitor, when it says something, the line is closed, or it takes replies again. */
struct visitor *visitor_new(struct control *control, sd_event *event, int fd_take, sd_event_io_handler_t handler);
void visitor_free(struct visitor *visitor);
/* Bytes of its request, whose last one is a NUL. 0: nothing yet. -1: it has left, or talks nonsense. */
int visitor_read(struct visitor *visitor, char *buffer, size_t size);
/* text: len bytes, cut at VISIT_REPLY_MAX. */
void visitor_reply(struct visitor *visitor, enum visit_reply what, const char *text, size_t len);
void visitor_replyf(struct visitor *visitor, enum visit_reply what, const char *format, ...) __attribute__((format(printf, 3, 4)));
void visitor_send_fd(struct visitor *visitor, enum visit_reply what, int fd);
void visitor_end(struct visitor *visitor);   /* that was the last reply */
void visitor_flush(struct visitor *visitor); /* what it takes of its replies */

#endif
