/* state.h - what survives: mailboxes, folders, messages, deliveries. SQLite, opened by the supervisor alone; the ledger decides when to commit.
 * Every call fails with ERR_LOCAL and SCOPE_PROGRAM, except where it says busy: ERR_TEMP means that another mailhaul holds the database, try again
 * soon; and where it says that the worker lies. Times are wall clock seconds; what must not suffer from its jumps is kept by the clock of clock.h,
 * which moves on with each transaction. */
#ifndef MAILHAUL_STATE_STATE_H
#define MAILHAUL_STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "channel/facts.h"
#include "channel/record.h"
#include "config/config.h"

struct state;

/* Opens or makes DIR/state.db (directory 0700, file 0600; foreign owner, symbolic or hard links, other modes are refused), checks the version,
 * migrates. WAL with synchronous=FULL, TRUNCATE where WAL cannot work; no busy wait afterwards. *ret_new: it was made just now. read_only
 * (status): never made, a missing one is NULL with ERR_NONE. May be busy, but only after two seconds. */
struct state *state_open(const char *dir, bool read_only, bool *ret_new, struct error *err);
/* An empty one in memory, for looking at a mailbox before there is a state: nothing of it stays. */
struct state *state_open_scratch(struct error *err);
/* A checkpoint first; the log goes with the last one who closes. NULL is fine. */
void state_close(struct state *state);
/* For spool and lock files; owned by the state. */
int state_dir_fd(const struct state *state);
/* A random word of this installation, made with the state; borrowed. */
const char *state_installation(const struct state *state);

/* It was begun although mail had been hauled before, so a Maildir may hold what looks new. For ADOPT_S from then on that is looked for. */
int state_begin_anew(struct state *state, int64_t now, struct error *err);
int state_begun_anew_at(struct state *state, int64_t now, int64_t *ret_at, struct error *err); /* 0: never, or long ago */

/* Transactions: everything between is durable together, or not at all. begin may be busy. commit releases the reserve file on a full disk and
 * tries once more. A failed call inside: roll back. */
int state_begin(struct state *state, struct error *err);
/* For one that a power cut may take back: it is on disk with the next that is not like this, and never later than what comes after it. */
int state_begin_unsynced(struct state *state, struct error *err);
int state_commit(struct state *state, struct error *err);
void state_rollback(struct state *state);
bool state_is_short_of_room(const struct state *state); /* the reserve is spent: finish and record what is on its way, and begin nothing */
bool state_has_room_again(struct state *state);         /* the reserve could be made anew */
void state_checkpoint(struct state *state);             /* when idle; errors do not matter */

/* -- mailbox.c -- */
struct mailbox_state {
	int64_t id;
	unsigned failures;                              /* sessions in a row that ended in an error */
	unsigned clock;                                 /* enum backoff_clock of the current back-off */
	int64_t retry_at;                               /* 0: no back-off */
	int64_t last_success, last_error_at, last_mail; /* 0: never */
	int last_error_kind;
	int64_t error_since;  /* when the trouble that last_error tells of began; 0: there is none */
	char stopped[240];    /* why nothing is hauled until the operator accepts it; "": it is not stopped. Read only */
	char last_error[240]; /* in words; "" if the last session was well */
	uint64_t credential;  /* fingerprint of what the last refused login used; another one ends the back-off */
};
/* By name; made if missing. A mailbox that vanished from config (NULL: none has) gives its state to the new name, if that says so (was), or has the
 * same protocol, host and user. The same name with another protocol, host or user: its folders count as renumbered; with was those alone that cannot
 * be told by their UIDVALIDITY. Outside a transaction it may be busy, as all that
 * writes. In a state that was opened to be read nothing of this is done: then one that was never hauled is all zero. */
int state_mailbox_open(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err);
/* Whose state it would take over: a name, "" for nobody. The mailbox of that name must not be in use. */
int state_mailbox_predecessor(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, char ret_name[NAME_BYTES], struct error *err);
/* By name, without any of that; all zero if there is none. */
int state_mailbox_look(struct state *state, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err);
int state_mailbox_store(struct state *state, const struct mailbox_state *mailbox, struct error *err);

/* -- destination.c -- */
struct destination_state {
	unsigned failures; /* in a row; 0: it works, as far as we know */
	unsigned clock;    /* enum backoff_clock of the current back-off */
	int64_t retry_at;
	int64_t down_since;                 /* of the first of these failures, or of those of the last time */
	int64_t last_error_at, accepted_at; /* 0: never */
	int last_error_kind;
	char last_error[240]; /* in words; kept when it works again */
	uint64_t credential;  /* fingerprint of the user name and password that were refused last; 0: none is known */
};
/* One that was called was is now called name: what is open for it, and its back-off. Inside a transaction. */
int state_destination_rename(struct state *state, const char *was, const char *name, struct error *err);
/* All zero if nothing was ever stored under that name. */
int state_destination_load(struct state *state, const char *name, struct destination_state *ret_destination, struct error *err);
int state_destination_store(struct state *state, const char *name, const struct destination_state *destination, struct error *err);

/* -- host.c: hints about servers; all mailboxes on one share them -- */
/* All-zero: nothing is known, or it is so old that it has to be learned anew. */
int state_host_load(struct state *state, const struct mailbox_config *mailbox, int64_t now, struct host_facts *ret_facts, struct error *err);
int state_host_store(struct state *state, const struct mailbox_config *mailbox, const struct host_facts *facts, int64_t now, struct error *err);

/* -- folder.c, known.c, plan.c, apply.c, match.c; targets: the job's target table, in its order -- */
struct state_target {
	const char *destination, *recipient;
	bool resting; /* its destination backs off: deliveries to it are not due */
	/* Where the destination puts mail (maildir_place); 0: not known. What is in doubt was intended for another place if that has changed, so nothing can
	 * be concluded from what this one lacks. */
	int64_t place;
};
int state_folder_open(struct state *state, int64_t mailbox_id, const char *name, int64_t *ret_folder_id, struct error *err);
/* The same, but none is made: *ret_folder_id 0. */
int state_folder_find(struct state *state, int64_t mailbox_id, const char *name, int64_t *ret_folder_id, struct error *err);
/* The targets that undelivered messages of the mailbox name, so that a job can serve them. Calls each once for every such pair; borrowed strings. */
int state_open_targets(struct state *state, int64_t mailbox_id, void (*each)(void *, const char *destination, const char *recipient), void *context,
	struct error *err);
/* Writes a sealed memory file as record.h describes it (known_header ...), of what is due at now, with KNOWN_ALL_KEYS (for a list) of what is held or not
 * yet due, too. Keys are written on that wish, or when a complete listing is due anyway (exists is another number than we expect, or a day has
 * passed; always for POP3). Messages in doubt are due at once. Renumbered: neither items nor keys; KNOWN_ITEMS: it was planned in the same session, so its numbers mean something even without a UIDVALIDITY. May be busy: a delivery whose
 * third round in doubt ended in a crash is held here. The caller closes *ret_fd. */
enum known_wish { KNOWN_AS_NEEDED, KNOWN_ALL_KEYS, KNOWN_ITEMS };
int state_known(struct state *state, int64_t folder_id, uint64_t uidvalidity, uint32_t exists, enum known_wish wish,
	const struct state_target *targets, unsigned target_count, int64_t now, int *ret_fd, struct error *err);
/* How the folder would look if a poll at now had nothing to do in it. May be busy, never writes. */
int state_folder_facts(struct state *state, int64_t folder_id, const struct state_target *targets, unsigned target_count, int64_t now,
	struct folder_facts *ret_facts, struct error *err);
/* Records a plan (record.h, struct plan_header ...) after checking every byte of it. Inside a transaction. frozen: bit mask of targets that new
 * messages go to, not 0; disposal as configured, frozen with them. Ids follow on in the order of the entries; 0: there were none. A message that
 * vanished is GONE (tombstone), and one that was and is listed again is owed its disposal again. An entry may have the key of one that has left, or of
 * another size (and, on IMAP, of another date, too): it is another message, or perhaps the same again, which state_match decides. Sets the mark,
 * uidvalidity and, with REC_COMPLETE, the time of the complete listing. A changed uidvalidity, one of 0, or on POP3 nothing but new keys: the folder was
 * renumbered, what was known before becomes GONE, and new messages are to be recognised. ERR_PROTO with SCOPE_MAILBOX: the worker lies, and nothing
 * has changed (the transaction can go on). */
struct planned {
	uint64_t first_id;
	enum recognition recognition; /* of the new messages */
	unsigned renumberings;        /* changes of UIDVALIDITY, as policy/renumbering.h counts them */
	bool inherited;               /* some were known and begun before: state_known tells what is due of them */
	bool became_unstable;         /* the server has begun to name no UIDVALIDITY */
};
int state_plan(struct state *state, int64_t folder_id, const struct record *record, const void *plan, size_t len, const struct state_target *targets,
	unsigned target_count, uint64_t frozen, const struct after_delivery *disposal, int64_t now, struct planned *ret_planned, struct error *err);
/* One durable record of a worker (INTENT, OUTCOME, UNFETCHED, DISPOSED, RECOGNIZE), inside a transaction. Checks that the message belongs to the mailbox,
 * that the target is one of its own, and that this step may follow the last (stage.h); a violation is ERR_PROTO with SCOPE_MAILBOX: the worker
 * lies, and is to be killed; nothing has changed, and the transaction can go on. Attempts, next tries, holding after five days or three rounds in
 * doubt: policy.h. */
int state_apply(struct state *state, int64_t mailbox_id, const struct record *record, const struct state_target *targets, unsigned target_count,
	int64_t now, struct error *err);
/* What becomes of a message that a target refused for good, after data: on_refuse as configured now. */
struct refusal_rule {
	enum refuse_action what;
	const struct state_target *targets; /* REFUSE_DELIVER_TO: where it goes instead; borrowed */
	unsigned target_count;
};
enum refusal_end { REFUSAL_HELD, REFUSAL_DIVERTED, REFUSAL_DISCARDED, REFUSAL_RELEASED };
/* After state_apply of such a refusal, in the same transaction: applies the rule, if the target has accepted other mail within a day. DIVERTED: what
 * was held is dropped, with its reply kept, and the message is due for the rule's targets in the next session. DISCARDED: it counts as delivered. */
int state_refused(struct state *state, uint64_t message_id, const struct state_target *target, const struct refusal_rule *rule, int64_t now,
	enum refusal_end *ret_end, struct error *err);
/* A target that has accepted nothing since since_s (the beginning of the session) turns out to refuse everything: what it was held for since then is due
 * again as soon as the destination is. *ret_end: RELEASED if there was any. In the transaction of that outcome. */
int state_release(
	struct state *state, int64_t mailbox_id, const struct state_target *target, int64_t since_s, enum refusal_end *ret_end, struct error *err);
/* After a renumbering, before a message of the new plan is delivered: is it one that is known from before? By its bytes, by its trace if
 * has_trace, or, for one of the baseline, by size and date. The same on POP3, but among those alone that had the same UIDL, and by bytes or, for one
 * of the baseline, by size. Each old message answers once, so equal ones are counted. The new one inherits disposal and deliveries of the old: it
 * is DELIVERED, or what is left of it (other targets, doubts) is due in the next session; the worker leaves it alone in this one. Inside or outside a
 * transaction. *ret_old_id 0: it is new, or in INTENT. A message of another stage or folder: ERR_PROTO with SCOPE_MAILBOX. */
int state_match(struct state *state, int64_t folder_id, int64_t mailbox_id, uint64_t message_id, const uint8_t hash[32], const uint8_t trace[32],
	bool has_trace, uint64_t *ret_old_id, struct error *err);
/* Is what the server hands out under the key of a delivered message still that message, by its bytes, or by its trace if has_trace? If it is not, the
 * old one is set aside, so that the next plan may have its key. A message of another stage or folder: ERR_PROTO with SCOPE_MAILBOX. */
int state_verify(struct state *state, int64_t folder_id, uint64_t message_id, const uint8_t hash[32], const uint8_t trace[32], bool has_trace,
	int64_t now, bool *ret_same, struct error *err);
/* Messages from before a renumbering, or of a UIDL that was used again, are still unaccounted for: a worker has to ask state_match before it
 * delivers, in later sessions too. */
int state_has_unmatched(struct state *state, int64_t folder_id, bool *ret_has, struct error *err);
/* Is there, in any mailbox, what state_drop_removed_targets might drop? */
int state_has_removed_targets(struct state *state, const struct config *config, bool *ret_has, struct error *err);
/* Drops unsettled deliveries to destinations that left the configuration (state_open_targets names them). A message that nobody accepted is kept
 * at its source, whatever its disposal. *ret_dropped: how many deliveries. */
int state_drop_removed_targets(struct state *state, int64_t mailbox_id, const struct config *config, unsigned *ret_dropped, struct error *err);

/* -- renumbering.c -- */
struct renumbering {
	uint64_t listed;     /* messages of the folder since it was renumbered */
	uint64_t fresh;      /* of them: fetched, like nothing that was known, and neither of the baseline nor waiting to be delivered before */
	uint64_t recognized; /* of them: known from before */
	bool complete;       /* all that the folder holds has been listed since, and judged, but for what cannot be fetched */
	bool accepted;       /* what is new may be delivered */
	bool by_uidl;        /* POP3: nothing but new keys */
};
int state_renumbering(struct state *state, int64_t folder_id, struct renumbering *ret_renumbering, struct error *err);
/* What is new in it may be delivered, until the next renumbering. */
int state_renumbering_accept(struct state *state, int64_t folder_id, struct error *err);
/* One more, on POP3, where only the messages themselves can tell. */
int state_renumbering_count(struct state *state, int64_t folder_id, int64_t now, unsigned *ret_count, struct error *err);
/* Nothing is hauled from the mailbox until state_mailbox_accept. why: words for the operator. */
int state_mailbox_stop(struct state *state, int64_t mailbox_id, const char *why, struct error *err);
/* Accepts what its folders show now, forgets how often they were renumbered, and ends its back-off. Own transaction; may be busy. */
int state_mailbox_accept(struct state *state, int64_t mailbox_id, struct error *err);

/* -- report.c -- */
struct mailbox_counts {
	uint64_t open;           /* undelivered, neither in doubt nor held */
	uint64_t in_doubt, held; /* undelivered; one message may be both, for different destinations */
	uint64_t delivered;      /* disposed of or not */
	uint64_t owed;           /* delivered, their disposal not yet confirmed */
	uint64_t retained;       /* delivered, to be deleted when their retention is over */
	uint64_t baseline;
	int64_t next_try; /* of the undelivered: the earliest; 0: at once; -1: none waits, or only for a decision */
};
/* The first three and next_try alone, which costs next to nothing. */
int state_undelivered(struct state *state, int64_t mailbox_id, struct mailbox_counts *ret_counts, struct error *err);
int state_counts(struct state *state, int64_t mailbox_id, struct mailbox_counts *ret_counts, struct error *err);
struct held_message {
	uint64_t id;
	const char *mailbox, *folder;
	const char *key; /* UID or UIDL, as bytes */
	size_t key_len;
	uint64_t size;
	int64_t date, held_at;
	int64_t next_try; /* -1: only by hand; 0: at once */
	unsigned attempts;
	bool in_doubt;                               /* sent DOUBT_ROUNDS_MAX times without an answer: it may be there as often */
	const char *destination, *recipient, *reply; /* reply: remote text, not escaped; destination NULL: it could not be fetched */
};
/* mailbox_id 0: all; message_id 0: all. each gets borrowed strings. */
int state_held(struct state *state, int64_t mailbox_id, uint64_t message_id, void (*each)(void *, const struct held_message *), void *context,
	struct error *err);
/* Tried again at the next run, as if new. *ret_count: deliveries changed. mailbox_id 0: whatever mailbox; message_id 0: all of them. Own
 * transaction; may be busy. */
int state_held_retry(struct state *state, int64_t mailbox_id, uint64_t message_id, unsigned *ret_count, struct error *err);
/* Never tried again. delete_at_source: to be deleted there once no other delivery is open; else its copy stays at the source. Own transaction; may
 * be busy. */
int state_held_drop(struct state *state, uint64_t message_id, bool delete_at_source, unsigned *ret_count, struct error *err);

/* -- refetch.c: under the mailbox lock, inside a transaction -- */
int state_mailbox_find(struct state *state, const char *name, int64_t *ret_id, struct error *err); /* 0: none has this name */
/* Messages are chosen one by one or by date, then planned again together: those that were hauled, skipped by first_run, held or given up, and that
 * are still at the source as far as we know. */
enum refetch {
	REFETCH_UNKNOWN, /* no such message was ever seen */
	REFETCH_GONE,    /* no longer at the source */
	REFETCH_WAITS,   /* to be hauled anyway, or in doubt: nothing changes */
	REFETCH_CHOSEN,
};
struct refetch_counts {
	uint64_t gone, waiting;
};
int state_refetch_begin(struct state *state, struct error *err);
/* key: UID or UIDL. folder: "" for POP3. */
int state_refetch_key(struct state *state, int64_t mailbox_id, const char *folder, const char *key, enum refetch *ret_what, struct error *err);
int state_refetch_id(struct state *state, int64_t mailbox_id, uint64_t message_id, enum refetch *ret_what, struct error *err);
/* That arrived since then; POP3: that were hauled or held since then. */
int state_refetch_since(struct state *state, int64_t mailbox_id, int64_t since_s, struct refetch_counts *ret_counts, struct error *err);
/* What was chosen is open again, for these targets alone and with this disposal, as if it was new; message.id stays. */
int state_refetch(struct state *state, const struct state_target *targets, unsigned target_count, const struct after_delivery *disposal,
	uint64_t *ret_count, struct error *err);
/* The mailbox and all that is known of it. */
int state_forget(struct state *state, int64_t mailbox_id, uint64_t *ret_messages, struct error *err);

/* -- sound.c: is it in order? -1: no, in words, with the way out -- */
int state_check_file(struct state *state, struct error *err); /* as far as SQLite can tell: 0.1 s for 200000 messages */
int state_check(struct state *state, struct error *err);      /* that, and whether what the rows say agrees: 1 s */

/* -- shrink.c -- */
/* Once a day, and then call by call until nothing is left to do: forgets some hundred of the messages that left their server more than 30 days ago,
 * and what only they needed; gives room back to the file system. In a transaction of its own; may be busy. */
int state_shrink(struct state *state, const struct config *config, int64_t now, bool *ret_more, struct error *err);

/* -- export.c, import.c: the whole state as text, one record a line; the format is in mailhaul-state(5) -- */
/* As of one moment, whoever writes meanwhile. */
int state_export(struct state *state, FILE *to, struct error *err);
/* Makes DIR/state.db of what was exported, or nothing at all. from_name: for errors. Refused where there is a state; the caller has all locks.
 * ERR_CONFIG with SCOPE_MESSAGE: what is wrong with the text, and where. */
int state_import(const char *dir, FILE *from, const char *from_name, struct error *err);

#endif
