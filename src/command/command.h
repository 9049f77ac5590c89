/* command.h - the commands, one per file, and the options that all of them know. */
#ifndef MAILHAUL_COMMAND_COMMAND_H
#define MAILHAUL_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "base/log.h"
#include "config/config.h"

struct error;
struct spawner;
struct state;

struct options {
	const char *config, *state_dir, *trace;
	int verbosity; /* -v adds, -q subtracts */
	enum log_format log_format;
	const char *since;
	unsigned wait_s; /* of --wait; 0: without a limit */
	bool wait, no_progress, json, watch, delete_at_source, yes, all, accept_duplicates, help, version;
	bool keeps_log;   /* what is logged is read later, not by whoever started it */
	char **arguments; /* what is no option, without the command; NULL-terminated */
};

struct command {
	const char *name, *arguments, *summary;
	bool has_verbs;     /* its first argument says what to do, and which options have a meaning */
	bool needs_spawner; /* talks to the network: the spawner is forked before anything else */
	int (*run)(const struct options *options, struct spawner *spawner);
};

/* NULL-terminated by name. */
extern const struct command commands[];
const struct command *command_find(const char *name);

/* Splits argv. Options may stand before or after the command. -1 after a sentence on stderr: usage, exit 64. *ret_command NULL: none was given.
 * options_done in any case. */
int options_parse(struct options *options, int argc, char **argv, const struct command **ret_command);
void options_done(struct options *options);
void print_help(FILE *to, const struct command *command); /* NULL: the overview */

/* Loads the configuration and points the log where it belongs. NULL after its errors are on stderr: exit 78. */
struct config *command_load(const struct options *options);
/* The same anew, for one that stays: errors go where it says, the log stays as it is. */
struct config *command_load_again(const struct options *options, FILE *errors);
/* As root: run_as, for good, since the state belongs to it. For commands without a spawner. */
int command_become(const struct config *config, struct error *err);

/* common.c */
/* The state, as its owner. NULL with ERR_NONE: mailhaul has not hauled with this configuration yet; one that is lost is an error. */
struct state *command_open_state(const struct config *config, bool read_only, struct error *err);
/* Calls attempt until another mailhaul has left the database, for some seconds. It must be as good as never called after a failure. */
int command_patiently(int (*attempt)(void *, struct error *), void *context, struct error *err);
/* A yes to the question, which is a sentence: from the terminal, or by --yes. -1 otherwise: SCOPE_MESSAGE. */
int command_confirm(const struct options *options, const char *question, struct error *err);
/* For who changes what is known of a mailbox while nobody hauls it; the daemon lets go of it, and hauls it afterwards. */
struct mailbox_lock {
	int lock_fd, claim_fd;
};
int command_lock(const struct config *config, const struct state *state, const char *name, struct mailbox_lock *ret_lock, struct error *err);
void command_unlock(struct mailbox_lock *lock);
/* Says why and returns the exit code. SCOPE_MESSAGE: the words on the command line are to blame, 64. */
int command_failed(const struct error *err);

int command_daemon(const struct options *options, struct spawner *spawner);
int command_run(const struct options *options, struct spawner *spawner);
int command_check(const struct options *options, struct spawner *spawner);
int command_list(const struct options *options, struct spawner *spawner);
int command_status(const struct options *options, struct spawner *spawner);
int command_state(const struct options *options, struct spawner *spawner);
int command_accept(const struct options *options, struct spawner *spawner);
int command_held(const struct options *options, struct spawner *spawner);
int command_refetch(const struct options *options, struct spawner *spawner);
int command_forget(const struct options *options, struct spawner *spawner);

#endif
