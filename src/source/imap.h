/* imap.h - one session with an IMAP server, as its parts see it; nobody else includes this. RFC 9051, RFC 3501.
 * imap.c opens, selects and closes, imap-login.c logs in, imap-command.c writes commands and knows which are outstanding, imap-read.c takes in what comes,
 * imap-ahead.c sends ahead of the answer to the login, imap-survey.c asks about all folders at once, imap-list.c lists, imap-fetch.c fetches, imap-guess.c before it is asked to, imap-dispose.c deletes, moves and flags,
 * imap-idle.c and imap-notify.c wait for mail, imap-glance.c sees whether all is as it was, imap-place.c knows what was in the folders that are not open, imap-status.c reads STATUS.
 * Invariants: a tag is outstanding from imap_begin to its tagged response and never comes back; once lost, a session does nothing any more but hand
 * out what was complete before. */
#ifndef MAILHAUL_SOURCE_IMAP_H
#define MAILHAUL_SOURCE_IMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/wire.h"
#include "source/imap-parse.h"
#include "source/imap-token.h"
#include "source/source.h"

#define IMAP_OUTSTANDING_MAX 32  /* commands: a flight of fetches, a group of disposals, one to wait for */
#define IMAP_FETCHES_MAX 25      /* of them; outlook.com is known to break at some 50 */
#define IMAP_UNTAGGED_MAX 200000 /* responses to one command */
#define IMAP_LOGOUT_S 10         /* courtesy: everything that counts has been answered by then */

struct imap;
struct imap_command;
struct imap_listing;
struct message;

/* A tagged response, kept. */
struct imap_answer {
	bool done;
	enum imap_status status; /* IMAP_OK, IMAP_NO or IMAP_BAD */
	bool temporary;          /* its code or its words say that it may be different later */
	char code[32];           /* first word, upper case; "" if there was none */
	char text[160];          /* the server's words, escaped */
};

typedef int imap_done_fn(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err);

struct imap_command {
	uint32_t number;         /* of its tag; 0: free */
	imap_done_fn *done;      /* -1 ends the session */
	void *context;           /* of done */
	struct haul_queue hauls; /* of a fetch */
};

/* One message that the caller wants flagged, moved or deleted. */
struct imap_disposal {
	STAILQ_ENTRY(imap_disposal) next;
	uint64_t id;
	uint32_t uid;
	enum disposal what;
	char *folder; /* DISPOSE_MOVE */
};
STAILQ_HEAD(imap_disposals, imap_disposal);

enum imap_step { IMAP_STEP_IDLE, IMAP_STEP_TRANSFER, IMAP_STEP_CREATE, IMAP_STEP_FLAG, IMAP_STEP_EXPUNGE };

/* Disposals travel in groups with one UID set; one group at a time, so that what SEARCH and EXPUNGE see is its own doing. */
struct imap_group {
	struct imap_disposals members;
	enum imap_step step;
	struct str set;
	unsigned outstanding;     /* commands of this step */
	struct imap_answer worst; /* of this step: the first that is not OK */
	bool created;             /* the target folder, or at least it was tried */
	bool searched, foreign;   /* SEARCH DELETED has answered; it named a message that is not ours */
	uint32_t *uids;           /* of the members, ascending */
	size_t count;
};

/* What was sent behind the login, before its answer. */
struct imap_ahead {
	bool under_way;                /* it is not settled yet what became of it */
	bool lost;                     /* the login was accepted, but what followed it got no answer */
	struct imap_answer capability; /* the first command behind it, which tells */
	const char *folder;            /* SELECT of it was sent as well, and nobody has asked for the answer yet; NULL: not */
	bool writable;
	bool introduced; /* ID was sent as well, if the server wants one */
	struct imap_answer select;
};

/* The answer to LIST ... RETURN (STATUS ...), for the folders of the mailbox in their order. RFC 5819 */
struct imap_survey {
	bool asked, ahead; /* ahead: behind the login */
	char **names;      /* as they go over the wire */
	struct folder_status *statuses;
	struct imap_answer answer;
};

/* A folder of the mailbox, where there are several and mail is waited for. */
struct imap_place {
	char *name; /* as it goes over the wire */
	/* left: when it was open last; uidvalidity 0: it was not, in this session. told: what the server has said since; uidnext 0: nothing */
	struct folder_status left, told;
	bool news;      /* there may be mail in it, for another reason than told */
	bool announced; /* told was news, and the session has heard of it */
	bool unsure;    /* it was left, and nothing was heard of it since */
};
struct imap_notify {
	unsigned overflows;
	bool active;
	bool told_all; /* the first STATUS of each folder has come */
};

#define IMAP_GUESS_MAX 8 /* announced messages that are worth a guess; of more, their listing is a small part of what they take */

struct imap_guess {
	uint32_t number;                      /* of its command; 0: it has been answered */
	uint32_t first, last;                 /* UIDs; 0: none */
	struct message *kept[IMAP_GUESS_MAX]; /* by UID from first on: what has come and nobody has asked for yet */
};

struct imap {
	struct source source;
	const struct source_context *context;
	struct secret *secret;
	unsigned before, mechanisms_before; /* the login: as below */
	bool logged_in;
	struct imap_ahead ahead;
	struct imap_survey survey;
	bool greeted, leaving; /* the first response has come; LOGOUT was sent, BYE is right */
	struct imap_answer farewell;
	unsigned capabilities; /* enum imap_capability */
	unsigned mechanisms;   /* announced as AUTH=, for sasl.h */
	bool capabilities_known;
	struct folder_status folder; /* filled by untagged data */
	bool selecting, has_exists;  /* SELECT is outstanding; EXISTS has come since */
	const char *selected;        /* of the mailbox's folders; NULL: none */
	bool selected_writable;
	bool current;              /* the next SELECT of it would say nothing new */
	uint32_t arrived;          /* of folder.exists: announced since it was selected or listed */
	struct imap_place *places; /* one per folder of the mailbox; NULL: not needed */
	unsigned place_count;
	struct imap_notify notify;
	bool idling;              /* IDLE is under way: silence is what it is for */
	int64_t slept_ns;         /* since when there has been silence, CLOCK_MONOTONIC */
	struct deadline speak_at; /* then it has been long enough */
	struct imap_answer idle;
	struct imap_command *idle_command; /* while idling */

	/* commands and responses */
	char prefix[8]; /* of tags; random, so that nobody can answer what was not asked yet */
	uint32_t last_number;
	struct imap_command commands[IMAP_OUTSTANDING_MAX];
	unsigned outstanding;
	unsigned untagged; /* since the last tagged response */
	struct imap_parser parser;
	uint64_t literal_left; /* octets of a literal that have not come yet */
	bool in_literal;
	bool may_continue;            /* a "+" is due */
	struct str challenge;         /* the text of the last */
	struct imap_listing *listing; /* taken, or ready to be handed out; NULL: none */
	int listed_ahead;             /* folders of the mailbox before this one are not listed together with their SELECT any more */
	uint64_t read_until;          /* wire_bytes_in: what one call may take in, so that a fast server cannot keep us */
	struct deadline deadline;     /* of the step in hand */
	struct deadline silence;      /* a byte has to come by then */
	bool lost;
	struct error error; /* if lost: why */

	/* fetch */
	struct haul_queue requested; /* queued, not flushed */
	struct haul_queue ready;     /* flushed, but too many commands are outstanding */
	struct haul_queue alone;     /* their command was refused as a whole: one by one, to find the culprit */
	struct haul_queue finished;
	unsigned fetches; /* outstanding */
	struct imap_guess guess;
	struct message *incoming; /* BODY[] being read; NULL while one is thrown away */

	/* disposal */
	struct imap_disposals owed; /* queued, not flushed */
	struct imap_disposals released;
	struct imap_disposals confirmed;
	struct imap_group group;
	struct error refused; /* the first disposal that was refused since the last settle */
};

/* --- imap-command.c --- */

void imap_command_init(struct imap *imap);
/* Takes a tag and adds "TAG " to what will be sent; the caller adds the rest and CRLF. Valid until its done is called. */
struct imap_command *imap_begin(struct imap *imap, imap_done_fn *done, void *context);
/* The done of commands whose answer somebody waits for; context: a struct imap_answer, all-zero. */
imap_done_fn imap_keep_answer;
/* A tagged response has come: finds its command and calls its done. */
int imap_tagged(struct imap *imap, const struct imap_response *response, struct error *err);
/* "text" with \ and " escaped. Printable ASCII, or UTF-8 for servers that want it. */
void imap_add_quoted(struct imap *imap, const char *text);
/* A folder, in the form that this server understands. A name that is not UTF-8 ends up as it is, for the server to refuse. */
void imap_encode_folder(const struct imap *imap, const char *folder, struct str *out);
/* The same, as a quoted string. */
void imap_add_folder(struct imap *imap, const char *folder);
/* A set of UIDs as ranges that contain no other UID. Sorts uids. */
void imap_write_set(struct str *out, uint32_t *uids, size_t count);
/* Sets *err from an answer that is not OK: "what: words". kind: what a plain NO means. Returns -1. */
int imap_refused(struct error *err, const struct imap_answer *answer, enum error_kind kind, enum error_scope scope, const char *what);

/* --- imap-read.c --- */

/* The step in hand has so many seconds in all; 0: as long as the server is not silent. */
void imap_set_deadline(struct imap *imap, double seconds);
/* Sends all that was added. */
int imap_send(struct imap *imap, struct error *err);
/* Takes in what has arrived, up to one response. 1: one was dealt with. 0: nothing complete. -1: lost. Never blocks. */
int imap_pump(struct imap *imap, struct error *err);
/* Sleeps until one response has been dealt with. */
int imap_wait_one(struct imap *imap, struct error *err);
/* Sends, then waits until *done. */
int imap_wait(struct imap *imap, const bool *done, struct error *err);
/* Sends, then waits for "+" (1, imap->challenge is its text) or for the answer that makes one superfluous (0). */
int imap_wait_continuation(struct imap *imap, const struct imap_answer *answer, struct error *err);
/* Remembers why the session is over. Returns -1. */
int imap_lose(struct imap *imap, const struct error *why, struct error *err);

/* --- imap-login.c --- */

/* From behind the greeting to the authenticated state, STARTTLS included. */
int imap_log_in(struct imap *imap, struct error *err);
/* The done of commands whose answer does not matter. */
imap_done_fn imap_ignore_answer;
/* ID (RFC 2971), to a server that has these capabilities. Goes with the next command. */
void imap_add_id(struct imap *imap, unsigned capabilities);
/* What the server can do has become known. */
void imap_note_capabilities(struct imap *imap);

/* --- imap.c --- */

/* Adds it, and a listing if one may ride along. */
void imap_add_select(struct imap *imap, const char *folder, bool writable, struct imap_answer *answer);

/* --- imap-ahead.c --- */

/* The server may lose what comes before its answer to the last command: said by the operator. */
bool imap_goes_step_by_step(const struct imap *imap);
/* A login that needs no further word of ours has been added: adds behind it what this server is known not to lose, and may be asked anyway. */
void imap_ahead_add(struct imap *imap);
/* The login was accepted: waits until it is known whether the rest has arrived. -1 with imap->ahead.lost: it was not. */
int imap_ahead_settle(struct imap *imap, struct error *err);
/* Something went wrong that sending ahead may be the reason of. answered: the login was. */
void imap_ahead_distrust(struct imap *imap, bool answered);
/* SELECT has been answered already: 1, as source_select does. 0: it has to be sent. */
int imap_ahead_select(struct imap *imap, const char *folder, bool writable, struct error *err);

/* --- imap-survey.c --- */

/* A survey is worth its command, with these capabilities. */
bool imap_survey_pays(const struct imap *imap, unsigned capabilities);
void imap_survey_add(struct imap *imap);
/* An untagged STATUS has come. */
void imap_survey_data(struct imap *imap, const struct imap_response *response);
int imap_survey(struct source *source, struct folder_status *ret_statuses, struct error *err);
void imap_survey_done(struct imap *imap);

/* --- imap-status.c --- */

/* The name in a response is this one, as it goes over the wire. */
bool imap_is_folder(const struct imap_token *token, const char *name);
/* What stands behind the name. False: nothing that can be read, or not all of it; uidvalidity may be 0. */
bool imap_read_status(struct imap_cursor *cursor, struct folder_status *ret_status);

/* --- imap-list.c --- */

/* A listing was asked for and has not been answered: FETCH responses are for it. */
bool imap_list_is_under_way(const struct imap *imap);
int imap_list_data(struct imap *imap, const struct imap_response *response, struct error *err);
/* The first time that this folder is selected: adds, behind SELECT, the listing of what is above its mark (struct folder_facts); later, of what was
 * announced. imap_list hands it out if that is what is asked for. */
void imap_list_ahead(struct imap *imap, const char *folder);
/* Waits for it. *ret_count: messages above the mark; 0: there was no such listing, or it makes no sense. */
int imap_list_count_ahead(struct imap *imap, uint32_t *ret_count, struct error *err);
void imap_list_done(struct imap *imap); /* forgets it; it must not be under way, or the session is over */
int imap_list(struct source *source, uint64_t above_uid, listed_fn *each, void *context, bool *ret_contradictory, struct error *err);

/* --- imap-fetch.c --- */

void imap_fetch_init(struct imap *imap);
void imap_fetch_done(struct imap *imap);              /* frees what was requested and not returned */
uint64_t imap_fetch_awaited(const struct imap *imap); /* id of the message that the server owes us next; 0: none */
int imap_request(struct source *source, struct haul *haul, struct error *err);
int imap_receive(struct source *source, struct haul **ret_haul, struct error *err);
int imap_arriving(struct source *source, struct haul **ret_haul, struct message **ret_message);
/* The haul, which is in no queue, is through. answer NULL: it is asked for again, alone. */
void imap_fetch_end(struct imap *imap, struct haul *haul, const struct imap_answer *answer);
/* Adds as many fetch commands as may be outstanding. */
void imap_fetch_add(struct imap *imap);
/* An untagged FETCH has come completely. */
int imap_fetch_data(struct imap *imap, const struct imap_response *response, struct error *err);
/* The literal of BODY[]: begins, some of it, ends. */
int imap_body_begin(struct imap *imap, struct error *err);
int imap_body_bytes(struct imap *imap, const char *bytes, size_t len, struct error *err);
int imap_body_end(struct imap *imap, struct error *err);

/* --- imap-guess.c --- */

/* So many messages were announced, with UIDs from first on. Adds a fetch of them, if it may be worth it. */
void imap_guess_add(struct imap *imap, uint64_t first, uint64_t count);
/* A message has come that was not asked for: is it one that was guessed? If so it is kept. */
bool imap_guess_wants(const struct imap *imap, const struct imap_fetch *fetch);
void imap_guess_keep(struct imap *imap, const struct imap_fetch *fetch);
/* Takes from queue what is there or on its way. */
void imap_guess_serve(struct imap *imap, struct haul_queue *queue);
void imap_guess_drop(struct imap *imap); /* nobody has asked for it, and nobody will */

/* --- imap-idle.c --- */

bool imap_can_wait(const struct source *source);
bool imap_tells_of_all(const struct source *source);
int imap_watch(struct source *source, struct source_watch *watch, struct error *err);
/* IDLE goes with what is sent next; whoever waits for its "+" is idling. */
void imap_idle_add(struct imap *imap);

/* --- imap-glance.c --- */

bool imap_may_glance(const struct imap *imap);
/* From within IDLE, if the server can do that, back into it, and what the folders hold on the way, all in one round trip. 1: it is what was seen. 0: it is
 * not, or cannot be told. Either way imap->idling says whether the server is in IDLE now. */
int imap_glance(struct imap *imap, const struct source_watch *watch, struct error *err);

/* --- imap-notify.c --- */

/* There is more than one folder, and the server can tell of all. */
bool imap_notify_pays(const struct imap *imap);
/* 1: the server tells. 0: it refuses to. */
int imap_notify_begin(struct imap *imap, struct error *err);
void imap_notify_data(struct imap *imap, const struct imap_response *response);
void imap_notify_overflow(struct imap *imap); /* it tells no more, and has not told everything */

/* --- imap-place.c --- */

/* Makes imap->places. */
void imap_places_prepare(struct imap *imap);
void imap_places_done(struct imap *imap);
/* NULL: nothing is kept of that folder, or it is NULL. */
struct imap_place *imap_place_of(struct imap *imap, const char *folder);
/* The folder that is open is left, or the answer to SELECT has come. */
void imap_place_leave(struct imap *imap);
void imap_place_enter(struct imap *imap);
/* Is there mail that was not there when it was left? place NULL, or not open in this session: when the session saw it. */
bool imap_place_has_more(const struct imap_place *place, const struct folder_status *seen, const struct folder_status *now);
/* Is there news of a folder, other than EXISTS in the one that is open? */
bool imap_places_have_news(struct imap *imap, const struct source_watch *watch);
void imap_places_collect(struct imap *imap, struct source_watch *watch);
/* Mail was announced in a folder that is selected now: from this UID on, below *ret_uidnext; 0: not. */
uint64_t imap_place_announced(struct imap *imap, const char *folder, uint64_t *ret_uidnext);

/* --- imap-dispose.c --- */

void imap_dispose_init(struct imap *imap);
void imap_dispose_done(struct imap *imap);
int imap_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err);
int imap_settle(struct source *source, struct error *err);
int imap_disposed(struct source *source, uint64_t *ret_id);
/* Begins the next group if none is under way. */
void imap_dispose_add(struct imap *imap);
/* An untagged SEARCH has come. */
void imap_dispose_search(struct imap *imap, const struct imap_response *response);

#endif
