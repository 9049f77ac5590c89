/* record.h - what may be said over a channel, and the check that the receiver makes.
 * Remote text travels as opaque bytes with a length; lists travel as sealed memory files beside the record. */
#ifndef MAILHAUL_CHANNEL_RECORD_H
#define MAILHAUL_CHANNEL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_TEXT_MAX 2048
#define RECORD_FDS_MAX 4
#define TARGETS_MAX 64 /* (destination, recipient) pairs of one mailbox: one bit each */
#define TIPS_MAX 64    /* folders of one mailbox that others may listen to: one bit each */

enum record_kind {
	/* supervisor -> worker */
	REC_JOB = 1, /* fd: the encoded job (sealed); the first record a worker gets */
	REC_SECRET,  /* index: which (job_secret); fd: a pipe to read it from */
	REC_READY,   /* that was all: open your Maildirs, seal yourself and begin */
	REC_ACK,     /* seq: all durable records up to here are on disk */
	REC_STOP,    /* leave at the next message boundary */
	REC_POLL, /* look now, or as soon as what is under way is done. index: 0: into everything; 1 + i: into folder i of the mailbox, where count messages were
	                * announced to somebody else */
	REC_WOKE, /* the machine has slept: who is silent from now on has probably forgotten us meanwhile */
	/* answers to the requests below */
	REC_KNOWN, /* to REC_FOLDER; fd: struct known_header and what follows, sealed; count: 1 if REC_MATCH is to be asked before open ones are delivered */
	REC_PLANNED, /* to REC_PLAN; id: of the first new message, the others follow on; count: 1 if REC_MATCH is to be asked before they are delivered;
	              * code: enum recognition of all of them; index: 1 if some were known and begun before, so that what is due has to be asked for again */
	REC_CONNECTED, /* to REC_CONNECT; fd; text: the address reached */
	REC_FILE,      /* to REC_WANT_FILE; fd: an unnamed file in the state directory */
	REC_STARTED,   /* to REC_RUN; fd: the program's stderr, to read until its end */
	REC_EXITED,    /* to REC_WAIT; code: exit status, or 128 + signal */
	REC_FAILED,    /* to any request: error, scope, code, text */
	REC_NOTED,     /* to REC_DESTINATION */
	REC_MATCHED,   /* to REC_MATCH; id: of the old message that this one is again, 0: none. To REC_VERIFY; id: its own, 0: it is another */
	REC_JUDGED,    /* to REC_JUDGE: what is new may be delivered */
	REC_WATCH,     /* to REC_IDLE; count: 1 if it may stay and wait, 0: it is to leave */
	/* worker -> supervisor: requests, answered one at a time */
	REC_CONNECT = 32, /* index: 0 the source, 1 + i destination i of the job; count: seconds that it may take, 0: as long as it does */
	REC_FOLDER, /* index: folder of the job; uidvalidity; count: messages it has, but for those that are known to be new; flag COMPLETE: send all known keys */
	REC_PLAN, /* fd: struct plan_file, sealed; uidvalidity; flags */
	REC_WANT_FILE,
	REC_RUN,   /* index: destination (an mda); fd: its stdin; text: "sender\0recipient\0" */
	REC_WAIT,  /* how did the program end? asked when its stderr has ended; when != 0: kill it first */
	REC_MATCH, /* index: folder; id, hash, trace: was this one delivered before, under another UID or UIDL or the same UIDL? credited if so */
	REC_DESTINATION, /* index: destination; error, scope, code, text: it is down, and nothing more is offered to it in this session */
	REC_JUDGE, /* index: folder: all that could be recognised has been, may the rest be delivered? Refused with REC_FAILED: the mailbox has stopped */
	REC_VERIFY, /* index: folder; id, hash, trace: is what the server shows in the place of a delivered message still that message? Set aside if not */
	REC_IDLE, /* everything is hauled: may I stay, and wait for the server to announce mail? error, scope, code, text: what kept single messages or folders
	           * from it (ERR_NONE: nothing); count: 1 + index of the only folder it will hear of, 0: all; flag COMPLETE: all folders have been looked into,
	           * and will be again after poll_every */
	/* worker -> supervisor: durable, numbered, acknowledged */
	REC_INTENT = 64, /* id, targets, size, hash, trace, when */
	REC_OUTCOME,     /* id, index: target, verdict, error, scope, code, text: the peer's words */
	REC_UNFETCHED,   /* id, text: it was asked for and did not come; scope MAILBOX: the connection broke when it was to come */
	REC_DISPOSED,    /* id: the source has confirmed it */
	REC_RECOGNIZE,   /* id, trace, and hash without flag HEADER: what it is known by after a renumbering */
	/* worker -> supervisor: for people */
	REC_LOG = 96, /* index: level; text: event\0 and the fields of a struct log_entry */
	REC_PROGRESS, /* id: message done so far; count: of so many; size: bytes so far; when: bytes in all */
	REC_REPORT,   /* check and list: index: enum report; text */
	REC_TRACE,    /* index: '<' or '>'; text: one line of the wire, secrets masked */
	/* what was learned of the source's server: code, index, count, targets, verdict, size, when: known, before, after, mechanisms, boundary, idle_s,
	 * login_delay_s; from one that waits also the sign that it is alive */
	REC_HOST,
	REC_BUSY,   /* the wait is over, there may be mail */
	REC_LOOKED, /* from one that waits: all folders have been looked into, and hold what they held */
	/* before anything else, once for each Maildir of the job; index: which; count: 1 if it is open, and then id, when, size, targets: inode, born_s,
	 * born_ns, number of what is there (struct maildir_sight) */
	REC_MAILDIR,
	/* from one that only listens: it does so from now on, or goes on; count: so many messages were announced, as far as is known; 0: none */
	REC_HEARD,
	REC_ALIVE, /* it has waited for somebody for a while, and says so for nothing but that */
	REC_END,   /* the session is over: error (ERR_NONE: well), scope, code, text; count: 1 if it took so long that the rest was left to another */
};

enum record_flag {
	REC_WAITING = 1,      /* I sleep until this is durable: commit now */
	REC_COMPLETE = 2,     /* FOLDER: all keys wanted; PLAN: the listing was complete, what it lacks is gone */
	REC_AFTER_DATA = 4,   /* OUTCOME: refused for what the message is; its envelope had been accepted */
	REC_LISTING = 8,      /* PLAN: hash is that of the whole listing (struct folder_facts) */
	REC_HEADER = 16,      /* RECOGNIZE: only the header was fetched */
	REC_AT_ONCE = 64,     /* STOP: not even the message in hand is finished, unless its last byte has left */
	REC_PLANNED_NOW = 32, /* FOLDER: it was planned in this session, and what is due of it is asked for again; no keys */
};

enum verdict {
	VERDICT_ACCEPTED = 1,
	VERDICT_DEFERRED,  /* not now: scope says whom it concerns */
	VERDICT_REFUSED,   /* not ever, says the peer: held */
	VERDICT_IN_DOUBT,  /* the last byte went out, no answer came */
	VERDICT_RETRACTED, /* intended, but the last byte never left: as if never intended */
};

/* Of a message that a renumbering brought: nothing is delivered before it is known which ones were delivered under their old numbers. */
enum recognition {
	RECOGNITION_NONE,      /* not in question, or answered: it was known */
	RECOGNITION_BY_HEADER, /* to be asked for by REC_RECOGNIZE with its header alone */
	RECOGNITION_BY_BYTES,  /* to be asked for by REC_RECOGNIZE with the whole of it */
	RECOGNITION_NEW,       /* nothing that was known is like it */
};

enum report { REPORT_OK, REPORT_WARNING, REPORT_FAILED, REPORT_ITEM };

struct record {
	uint16_t kind; /* enum record_kind */
	uint16_t flags;
	uint32_t seq;
	uint32_t index;
	uint32_t count;
	uint64_t id;      /* message.id of the state; unique for ever */
	uint64_t targets; /* bit i: target i of the job */
	uint64_t size;
	uint64_t uidvalidity;
	int64_t when; /* wall clock, seconds */
	uint32_t code;
	uint8_t verdict, error, scope, reserved;
	uint8_t hash[32], trace[32];
	uint16_t len;      /* of text */
	uint8_t has_trace; /* trace rests on at least one Received field */
	uint8_t reserved2[5];
	char text[RECORD_TEXT_MAX];
};

bool record_is_durable(enum record_kind kind);
/* Everything that can be known without state: kind allowed in that direction, lengths, enumerators, NULs where they belong.
 * Returns NULL, or what is wrong. */
const char *record_check(const struct record *record, size_t received_bytes, unsigned fd_count, bool from_worker);
size_t record_size(const struct record *record);                            /* bytes on the channel */
void record_set_text(struct record *record, const void *bytes, size_t len); /* cut at RECORD_TEXT_MAX */
const char *record_kind_name(enum record_kind kind);

/* What the supervisor knows of a folder, in a sealed memory file: this header, then items, then keys, then the names of folders, each with its NUL. */
struct known_header {
	uint64_t mark;         /* IMAP: every UID up to here has been planned or belongs to the baseline */
	uint64_t item_count;   /* struct known_item, sorted by id: open, in doubt, or owed a disposal, and due now */
	uint64_t key_count;    /* struct known_key, sorted by hash: all that the folder holds as far as we know */
	uint64_t resting;      /* targets whose destination backs off: in no item's open, and not for new messages either */
	uint8_t first_run;     /* nothing was ever planned here: first_run of the configuration applies */
	uint8_t want_complete; /* a listing of everything is due: counts disagree, or a day has passed */
	uint8_t renumbered;    /* another UIDVALIDITY than before, or none that could tell: whatever is listed has a new number */
	uint8_t held_now;      /* some deliveries are held from here on: their third round in doubt ended in a crash, and nobody has said so yet */
	uint32_t folders_len;  /* bytes of names */
};
struct known_item {
	uint64_t id, size;
	uint64_t origin;      /* the id that its X-Mailhaul-Id is made from: an older one, if it was known under another number */
	int64_t date;         /* INTERNALDATE, or 0 */
	uint64_t open;        /* targets to be delivered to now */
	uint64_t doubtful;    /* targets with an intent and no outcome; a subset of open */
	int64_t intent_at;    /* of the doubtful ones: part of a Maildir name */
	int64_t intent_age_s; /* how long ago that may have been at most, whatever the wall clock has done since */
	uint8_t hash[32];     /* of the bytes, when intended or delivered */
	uint32_t uid;         /* IMAP; 0 for POP3, where only the listing of this session can tell the number */
	uint8_t dispose;      /* enum disposal, as frozen; open == 0: delivered to all, and this is still owed */
	uint8_t held_back;    /* some delivery is neither accepted nor among open (held, or not due): no disposal yet */
	uint8_t folder;       /* of DISPOSE_MOVE, as frozen: 1 is the first of the names; 0: none */
	uint8_t recognition;  /* enum recognition */
};
struct known_key {
	uint8_t key[16]; /* first half of SHA-256 of the key */
	uint64_t id;
	uint32_t size, date; /* the low 32 bits of both, to tell another message under the same UID */
};
/* What a plan says, in a sealed memory file: this header, then entries with their keys, then ids of known messages that the server no longer lists. */
struct plan_header {
	uint64_t mark;
	uint64_t entry_count, gone_count;
};
struct plan_entry {
	uint64_t size;
	int64_t date;
	uint32_t uid;
	uint16_t key_len; /* key follows; at most KEY_MAX; entries are packed, read them with memcpy */
	uint8_t baseline; /* first_run put it beyond our reach */
	uint8_t reserved;
};
#define KEY_MAX 1024 /* a longer UIDL is replaced by its SHA-256 in hex, behind "sha256:" */

#endif
