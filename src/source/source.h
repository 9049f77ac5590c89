/* source.h - a remote mailbox, whatever its protocol. request and dispose only queue; flush is one write; receive never blocks.
 * A source gets its descriptor through the channel and never knows how it was made. */
#ifndef MAILHAUL_SOURCE_SOURCE_H
#define MAILHAUL_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "channel/facts.h"
#include "config/config.h"
#include "mail/haul.h"

struct channel;
struct message;
struct secret;
struct spool_file;
struct str;
struct tls_summary;
struct wire;

/* Of a message larger than this the caller hears while it is still arriving, each time that so many more bytes of it are there. */
#define SOURCE_LARGE_BYTES (1024u * 1024)
#define SOURCE_PIECE_BYTES (256u * 1024)

/* What a source needs to come alive; borrowed for its lifetime. */
struct source_context {
	struct channel *channel; /* asks for the connection with REC_CONNECT index 0; NULL in tests, which set wire_fd */
	int wire_fd;             /* tests: the connected descriptor, else -1 */
	const struct mailbox_config *mailbox;
	struct secret *secret; /* password or token; the source frees it after login, successful or not; NULL: none */
	struct spool_file *spool;
	const char *own_mark;                              /* for message_new */
	void (*trace)(void *, char, const char *, size_t); /* wire_trace_fn or NULL */
	void *trace_context;
	struct tls_summary *tls;            /* filled by open; may be NULL */
	struct str *address;                /* gets the address that was reached; may be NULL */
	struct host_facts *facts;           /* what is known of the server, and what this session learns; NULL: nothing, and nothing is sent ahead */
	const struct folder_facts *folders; /* one per folder of the mailbox (POP3: one); NULL: nothing is known of any */
	bool writable;                      /* how the first folder is going to be selected, as far as can be known before */
};

struct folder_status {
	uint64_t uidvalidity; /* 0: POP3, or the server named none */
	uint64_t uidnext;     /* 0: not told; a hint */
	uint32_t exists;      /* messages it holds */
	uint32_t arrived;     /* of them: announced since it was looked into last; not all servers can show them at once */
	uint32_t above_mark;  /* IMAP: so many of them are new since struct folder_facts was made, as far as was asked; or 0 */
	bool read_only;
	bool unchanged; /* POP3: UIDL says what it said when it was listed last (struct folder_facts) */
};

/* What is watched while nothing is to be done. */
struct source_watch {
	const struct folder_status *seen; /* per folder of the mailbox: as it was when it was looked into last */
	bool *news;                       /* per folder: set where mail has come, or may have */
	unsigned folder;                  /* which one, where the server shows one at a time */
	struct deadline until;
	struct deadline hush; /* what is announced before counts only then */
	bool looks;           /* when until has passed, what the folders hold is compared with seen, where that takes one round trip */
	bool looked;          /* 0 was returned for that: it was done, and all is as it was */
	bool listens;         /* nothing will be hauled: what was announced has been seen, and is no news any more */
	uint32_t announced;   /* listens: so many messages */
};

struct listed {
	uint32_t uid;    /* IMAP UID; POP3 message number */
	const char *key; /* IMAP: decimal UID; POP3: UIDL, or "sha256:..." when it is longer than KEY_MAX; NULL: the server gave none */
	size_t key_len;
	uint64_t size; /* as announced */
	int64_t date;  /* INTERNALDATE; 0: unknown */
};
typedef int listed_fn(void *context, const struct listed *entry, struct error *err); /* -1 ends the listing */

struct source {
	const struct source_ops *ops;
	struct wire *wire;   /* what transfer_run polls; NULL before open */
	uint64_t suspect;    /* once lost: id of the message that was to come next, over which the server may have stumbled; 0: none was asked for */
	bool has_listing;    /* POP3, after a list in which every message had its UIDL: */
	uint8_t listing[32]; /* as in struct folder_facts */
};

struct source_ops {
	const char *name;
	/* Greeting, STARTTLS, login. Frees the secret. To a server that is known not to lose it, what comes next goes in the same flight. */
	int (*open)(struct source *, struct error *);
	/* What the folders of the mailbox hold, all in one round trip: one status per folder, uidvalidity 0 where the server told none. Before the first
	 * select. 1: told; 0: this server cannot tell, or nobody has a use for it; -1. NULL on POP3. */
	int (*survey)(struct source *, struct folder_status *ret_statuses, struct error *);
	/* writable: messages will be disposed of. POP3: folder is NULL. The first time that a folder is selected, the listing of what is new since struct
	 * folder_facts goes in the same flight. */
	int (*select)(struct source *, const char *folder, bool writable, struct folder_status *ret_status, struct error *);
	/* IMAP: UIDs above mark; POP3: everything. Complete, or -1. *ret_contradictory: some entries were left out because they made no sense (UID 0, twice the
	 * same UID, numbers out of range): what came is usable, but nothing may be concluded from what is missing. */
	int (*list)(struct source *, uint64_t above_uid, listed_fn *, void *context, bool *ret_contradictory, struct error *);
	/* Queues a fetch of the whole message, without setting \Seen. The source owns the haul until receive returns it. */
	int (*request)(struct source *, struct haul *, struct error *);
	/* Queues the disposal; asserts nothing: the caller has the acknowledgement. folder: of DISPOSE_MOVE. */
	int (*dispose)(struct source *, uint64_t id, uint32_t uid, enum disposal, const char *folder, struct error *);
	/* Sends what is queued (grouping what can be grouped), without waiting for answers. */
	int (*flush)(struct source *, struct error *);
	/* Never blocks. 1: *ret_haul is HAUL_SPOOLED with its message, or its error says why it did not come; any order, each requested one exactly once.
	 * 0: nothing complete yet. -1: the source is lost; what was requested and not returned is freed by close. */
	int (*receive)(struct source *, struct haul **ret_haul, struct error *);
	/* The haul whose message is arriving just now, if that is a large one: 1, and *ret_message is what there is of it, good until the next receive. 0: none. It
	 * may still come to nothing, or come once more. */
	int (*arriving)(struct source *, struct haul **ret_haul, struct message **ret_message);
	/* Waits until all queued disposals are answered (POP3: does nothing, deletions happen at close). -1 with SCOPE_FOLDER: the server refused some, which
	 * stay owed; the session goes on. -1 with any other scope: the source is lost. */
	int (*settle)(struct source *, struct error *);
	/* Ids whose disposal the server has confirmed: 1 and an id, or 0. Never blocks. POP3: after close has got its answer to QUIT. */
	int (*disposed)(struct source *, uint64_t *ret_id);
	/* Does the server announce mail? NULL, as wait: no server of this protocol does. */
	bool (*can_wait)(const struct source *);
	/* In all folders of the mailbox, not only in one? As far as it says. NULL with can_wait. */
	bool (*tells_of_all)(const struct source *);
	/* Sleeps until mail is announced in a folder that has been hauled: 1, and watch says where. What came while nobody waited counts. 0: until has passed,
	 * the supervisor wants something, the folders were looked into, or the server was only asked whether it is still there. -1: lost; with SCOPE_FOLDER:
	 * the server does not do it after all, and the session goes on. The next select of a folder with news goes by what is known already. */
	int (*wait)(struct source *, struct source_watch *, struct error *);
	/* Says what close would say, and leaves it to close to wait for the answer: for a caller that has other things to do meanwhile. Everything that was
	 * requested has been received, and nothing was disposed of. Only close may follow. */
	int (*part)(struct source *, struct error *);
	/* LOGOUT or QUIT, waiting for the answer; -1 if it did not come (disposals then stay owed). The struct stays for disposed(). */
	int (*close)(struct source *, struct error *);
	void (*free)(struct source *);
};

/* The registry: by protocol of the mailbox. */
struct source *source_new(const struct source_context *context);
struct source *pop3_new(const struct source_context *context);
struct source *imap_new(const struct source_context *context);

static inline int source_open(struct source *source, struct error *err)
{
	return source->ops->open(source, err);
}
static inline int source_survey(struct source *source, struct folder_status *ret_statuses, struct error *err)
{
	return source->ops->survey != NULL ? source->ops->survey(source, ret_statuses, err) : 0;
}
static inline int source_select(struct source *source, const char *folder, bool writable, struct folder_status *ret_status, struct error *err)
{
	return source->ops->select(source, folder, writable, ret_status, err);
}
static inline int source_list(struct source *source, uint64_t above_uid, listed_fn *each, void *context, bool *ret_contradictory, struct error *err)
{
	return source->ops->list(source, above_uid, each, context, ret_contradictory, err);
}
static inline int source_request(struct source *source, struct haul *haul, struct error *err)
{
	return source->ops->request(source, haul, err);
}
static inline int source_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err)
{
	return source->ops->dispose(source, id, uid, what, folder, err);
}
static inline int source_flush(struct source *source, struct error *err)
{
	return source->ops->flush(source, err);
}
static inline int source_receive(struct source *source, struct haul **ret_haul, struct error *err)
{
	return source->ops->receive(source, ret_haul, err);
}
static inline int source_arriving(struct source *source, struct haul **ret_haul, struct message **ret_message)
{
	return source->ops->arriving(source, ret_haul, ret_message);
}
static inline int source_settle(struct source *source, struct error *err)
{
	return source->ops->settle(source, err);
}
static inline int source_disposed(struct source *source, uint64_t *ret_id)
{
	return source->ops->disposed(source, ret_id);
}
static inline bool source_can_wait(const struct source *source)
{
	return source->ops->can_wait != NULL && source->ops->can_wait(source);
}
static inline bool source_tells_of_all(const struct source *source)
{
	return source->ops->tells_of_all(source);
}
static inline int source_wait(struct source *source, struct source_watch *watch, struct error *err)
{
	return source->ops->wait(source, watch, err);
}
static inline int source_part(struct source *source, struct error *err)
{
	return source->ops->part(source, err);
}
static inline int source_close(struct source *source, struct error *err)
{
	return source->ops->close(source, err);
}
static inline void source_free(struct source *source)
{
	if (source != NULL)
		source->ops->free(source);
}

#endif
