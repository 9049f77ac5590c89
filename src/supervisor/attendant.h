/* attendant.h - the supervisor's side of one session: brings a worker to life, answers what it asks for, passes its records to the ledger, and judges
 * how it ended. What a worker says is checked here: it may be run by a hostile server. */
#ifndef MAILHAUL_SUPERVISOR_ATTENDANT_H
#define MAILHAUL_SUPERVISOR_ATTENDANT_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "base/error.h"
#include "base/log.h"
#include "channel/job.h"
#include "config/config.h"
#include "spawner/spawner.h"
#include "state/state.h"
#include "supervisor/program.h"
#include "supervisor/progress.h"

struct allowance;
struct attendant;
struct connector;
struct connectors;
struct herald;
struct ledger;
struct maildirs;
struct metrics;
struct roster;
struct scribes;

/* What all attendants of a supervisor share; borrowed. */
struct service {
	sd_event *event;
	const struct config *config;
	struct state *state;
	struct spawner *spawner;
	struct ledger *ledger;
	struct connectors *connectors;
	struct maildirs *maildirs;
	struct scribes *scribes;
	char *host; /* our own name */
	enum job_mode mode;
	const char *trace; /* mailbox whose wire is logged, or NULL */
	bool attended;     /* a person is watching */
	/* An attendant has come to its end; error.kind ERR_NONE: well. It may be freed in here. */
	void (*finished)(struct service *, struct attendant *, const struct error *);
	void (*progress)(struct service *); /* some attendant has more of it; NULL: nobody watches */
	/* A worker has hauled everything, but for what trouble says (ERR_NONE: nothing): may it stay connected? *ret_stays; -1: ask again when the database is free. NULL: none may. */
	int (*idle)(struct service *, struct attendant *, const struct error *trouble, bool *ret_stays, struct error *);
	void (*turned)(struct service *, struct attendant *); /* one that stays begins to wait for mail, or has some */
	void (*looked)(struct service *, struct attendant *); /* one that stays has looked into all folders, and nothing is to be done */
	void (*heard)(
		struct service *, struct attendant *, uint32_t count); /* one that listens: so many messages were announced; 0: it has begun to */
	void (*report)(struct service *, struct attendant *, enum report, const char *text, size_t len);
	struct herald *herald;   /* NULL: nobody is told */
	struct metrics *metrics; /* NULL: nobody counts */
	struct roster *roster;   /* of those that are served; NULL: it is not there yet */
	int exit_code;
	bool hurried;       /* somebody wants us to leave */
	bool short_of_room; /* the reserve of the state is spent */
	void *context;
};

/* -- service.c -- */
/* -1: there is none that can be used: lost, damaged, of another installation. check and list do without one that never was, and make none. */
int service_open_state(struct service *service, bool accept_duplicates, struct error *err);
bool service_has_state(const struct service *service); /* is there a file? */
/* Seconds that this mailbox's provider, or its server, wants between two logins. */
uint32_t service_login_delay_s(struct service *service, const struct mailbox_config *mailbox);
/* It cannot go on: all sessions are killed, and the event loop ends. */
void service_give_up(struct service *service, int exit_code);
void service_state_failed(struct service *service, const struct error *err);
/* The reserve of the state is spent: every session ends at its next message boundary, as long as the end can still be recorded. */
void service_disk_is_full(struct service *service);
/* There is room again, after that, and it was said: the roster may be opened. */
bool service_has_room_again(struct service *service);
int service_graver_code(int one, int other); /* of two exit codes */
/* The gravest code of all counts. */
void service_note_exit_code(struct service *service, int code);
/* From here on it comes through the event loop alone; what the shell told us to ignore (nohup, a job in the background) stays ignored. */
int service_watch_signal(struct service *service, int number, sd_event_signal_handler_t handler, void *context, struct error *err);
/* state_shrink, so many times at most: each takes some milliseconds. */
void service_shrink(struct service *service, unsigned calls);

struct attendant {
	struct service *service;
	const struct config *config; /* of the time when it started; the service may have another by now */
	const struct mailbox_config *mailbox;
	enum job_mode mode;
	char *folders[2]; /* JOB_LISTEN: the one that it listens to, borrowed; NULL */
	struct mailbox_state mailbox_state;
	int64_t started_s;           /* wall clock */
	int64_t heard_ns, killed_ns; /* CLOCK_MONOTONIC: its last word but that it lives; 0 or since when it should be dead */
	struct log log;
	struct allowance *lines; /* that its worker may log; borrowed */
	struct job job;
	int64_t places[TARGETS_MAX];  /* where each destination of the job puts mail (maildir_place); 0: its Maildir is not open */
	uint64_t unopened;            /* bit i: the worker has yet to say what became of that Maildir */
	struct host_facts host_facts; /* as the worker has reported them, or as it was told */
	bool insistent;               /* back-offs of its destinations are not obeyed: each is tried once */
	/* Destinations of the job, bit i is number i: failed in this session; accepted mail that is not noted yet; as noted, for the log, and for those who
	 * were told that they had failed. */
	uint64_t failed, accepted, recovered, relieved;
	uint64_t held;                         /* messages of the mailbox, when they were last counted */
	uint64_t deliveries;                   /* accepted, and not counted yet */
	bool rested;                           /* some destination was left out */
	uint64_t credentials[1 + TARGETS_MAX]; /* fingerprints (credential.h), in the job's numbering; 0: none is needed */
	int lock_fd, channel_fd;
	int old_lock_fd; /* of the name that it had before it was renamed, for as long as somebody may know it by that; or -1 */
	/* the worker */
	struct child worker;
	sd_event_source *channel_event, *worker_event, *kill_event, *silence;
	bool exited; /* by itself, with exit_status; else by the signal exit_status */
	int exit_status;
	uint32_t received, acknowledged; /* sequence numbers */
	bool over, stopping, hurried;    /* over: REC_END has come, or the worker is gone; told to leave, and at once */
	bool condemned;                  /* it lied: nothing that it says counts any more */
	bool unfinished;                 /* the rest is for another session: this one took so long, or came to nothing for a Maildir that hangs */
	struct error result;
	unsigned heard; /* it waits for mail in this folder only, counted from 1; 0: in all */
	bool idle;      /* it waits for mail; since: CLOCK_MONOTONIC and wall clock */
	int64_t idle_since_ns, idle_since_s;
	int64_t looked_s; /* wall clock: when it had looked into all folders */
	/* secrets on their way: one descriptor each, in the job's numbering */
	unsigned next_secret;
	int secret_fds[1 + TARGETS_MAX];
	struct program command; /* a password command, or an MDA for the worker */
	int command_output;     /* of a password command */
	/* at most one connector at a time */
	struct connector *connector;
	unsigned connector_index;
	/* a request that waits for the database, or the end of it all that does */
	struct record *waiting_request;
	int waiting_fd;
	sd_event_source *retry_event;
	struct progress_total progress, past_progress; /* of the folder in hand, and of those before */
	bool reported;                                 /* that it cannot be killed */
	bool marked;                                   /* that mail was hauled with this state is written down where it goes */
	bool complained;                               /* check and list: a REPORT_FAILED has said what is wrong */
};

/* Locks the mailbox, and recalls what is known of it and of its messages. -1: nobody may be born; what was taken is given back by attendant_free. */
int attendant_prepare(struct attendant *attendant, struct error *err);
/* Takes the mailbox lock (JOB_HAUL), gathers secrets, starts the worker. lines: of the mailbox, and longer there than the attendant. insistent: a person
 * wants it now, whatever has failed before. -1: nothing was started; finished is not called. */
int attendant_start(struct service *service, const struct mailbox_config *mailbox, struct allowance *lines, bool insistent,
	struct attendant **ret_attendant, struct error *err);
/* A worker that listens to that folder. It takes no lock, knows no destination, and nothing that it says gets into the state. -1 as above. */
int attendant_listen(struct service *service, const struct mailbox_config *mailbox, struct allowance *lines, unsigned folder,
	struct attendant **ret_attendant, struct error *err);
void attendant_stop(struct attendant *attendant); /* leave at the next message boundary; if that takes too long, at once */
void attendant_hurry(
	struct attendant *attendant); /* leave at once, with nothing in doubt but what waits for its answer; killed if that takes too long */
void attendant_kill(struct attendant *attendant); /* now */
/* It was killed some time ago, and is still there: the kernel does not let it go. */
bool attendant_is_unkillable(const struct attendant *attendant);
/* Its session ends all the same (finished is called). The process keeps its own hold of the mailbox lock. */
void attendant_abandon(struct attendant *attendant);
/* To one that waits for mail: look now. insistent: as for attendant_start. */
void attendant_poll(struct attendant *attendant, bool insistent);
/* The machine has slept: is the server still there? */
void attendant_probe(struct attendant *attendant);
/* To one that hauls, now or later: so many messages were announced in a folder that it does not hear of. False: it could not be told. */
bool attendant_tip(struct attendant *attendant, unsigned folder, uint32_t count);
/* What the session has learned about the server, if anything. Inside a transaction. */
int attendant_store_facts(const struct attendant *attendant, int64_t now, struct error *err);
/* attendant-stock.c; at the beginning: what it had */
int attendant_recall_stock(struct attendant *attendant, struct error *err);
/* Between messages, and at the end: says so if more or fewer are held, and has the deliveries counted. */
void attendant_take_stock(struct attendant *attendant);
void attendant_unlock(struct attendant *attendant); /* its session is over, and recorded: somebody else may have the mailbox */
void attendant_free(struct attendant *attendant);

/* For the ledger. */
/* *ret_end: for a refusal, what became of it. */
int attendant_apply(struct attendant *attendant, const struct record *record, int64_t now, enum refusal_end *ret_end, struct error *err);
void attendant_committed(struct attendant *attendant, const struct record *record, enum refusal_end end); /* it is durable: counts */
void attendant_acknowledge(struct attendant *attendant, uint32_t seq);
void attendant_condemn(struct attendant *attendant, const struct error *why); /* it broke the order of steps: killed */

/* -- what its files share -- */
struct attendant *attendant_new(struct service *service, const struct mailbox_config *mailbox, enum job_mode mode, struct allowance *lines);
void attendant_send(struct attendant *attendant, const struct record *record, const int *fds, unsigned fd_count);
void attendant_refuse(struct attendant *attendant, const struct error *why); /* REC_FAILED to the request at hand */
/* attendant-watch.c */
int attendant_watch(struct attendant *attendant, struct error *err); /* its channel, its silence and its end */
/* From now on it is to say something before it counts as hanging. */
void attendant_expect_word(struct attendant *attendant);
/* attendant-birth.c */
/* The targets of the job, as the state wants them; of TARGETS_MAX. Returns their number. */
unsigned attendant_targets(const struct attendant *attendant, struct state_target *targets);
/* What is known of each folder (of one, if it has none). Of those that were never planned nothing: they have no row yet. */
int attendant_recall_folders(const struct attendant *attendant, int64_t now, struct folder_facts *facts, struct error *err);
int attendant_make_job(struct attendant *attendant, struct error *err);
/* Secrets, birth; prepared is what became of what comes before. -1, then or now: the attendant is freed. */
int attendant_bring_up(struct attendant *attendant, int prepared, struct attendant **ret_attendant, struct error *err);
/* attendant-requests.c; fds are the attendant's to close */
int attendant_serve(struct attendant *attendant, const struct record *request, const int *fds, unsigned fd_count, struct error *err);
int attendant_nonsense(struct error *err, const char *what); /* the worker asked for what cannot be; returns -1 */
/* attendant-identity.c: which message is which, as the state knows it: FOLDER, PLAN, MATCH, JUDGE, VERIFY. fd: of a plan. */
int attendant_identify(struct attendant *attendant, const struct record *request, int fd, struct error *err);
/* attendant-idle.c */
int attendant_let_idle(struct attendant *attendant, const struct record *request, struct error *err); /* answers REC_IDLE */
void attendant_take_busy(struct attendant *attendant);
void attendant_take_look(struct attendant *attendant);
bool attendant_may_say(const struct attendant *attendant, enum record_kind kind); /* at this moment */
/* attendant-log.c */
void attendant_take_log(struct attendant *attendant, const struct record *record);
bool attendant_may_log(struct attendant *attendant);      /* one line that the worker gives rise to; false: it is counted instead */
void attendant_tell_dropped(struct attendant *attendant); /* if there were any */
/* attendant-listen.c */
void attendant_take_heard(struct attendant *attendant, const struct record *record);
/* attendant-refusal.c */
void attendant_tell_refusal(struct attendant *attendant, const struct record *record, enum refusal_end end);
int attendant_refusal(struct attendant *attendant, const struct record *record, int64_t now, enum refusal_end *ret_end, struct error *err);

#endif
