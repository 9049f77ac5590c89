/* agent.h - the real program in a directory of its own: configured, run, watched, killed, and what it left behind.
 * The program is $MAILHAUL, or mailhaul below $abs_top_builddir. Every wait has a deadline, so a hang is a failure. */
#ifndef MAILHAUL_TESTS_LIB_AGENT_H
#define MAILHAUL_TESTS_LIB_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

#define AGENT_DEADLINE_S 20

struct agent {
	char dir[64];                /* config.yaml; state/, which is the state directory; home/, which tests use as Maildir */
	const char *deadline_factor; /* NULL: the program's deadlines are as they are */
	pid_t pid;                   /* 0: not running */
	struct str out, err;         /* of the last run that ended */
};

/* Once, before any test: from here on this process is no longer root. And at the end: removes all directories. */
void agents_prepare(void);
void agents_remove(void);

void agent_init(struct agent *agent);
/* Ends the program if the test has not. */
void agent_done(struct agent *agent);
/* Writes the configuration: where the state is, that the sandbox is required, and text. */
void agent_configure(struct agent *agent, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* words: the command and its arguments, up to NULL. Started without a terminal. */
void agent_start(struct agent *agent, const char *const *words);
/* The exit status, or 128 + signal. */
int agent_wait(struct agent *agent);
#define agent_run(agent, ...) (agent_start(agent, (const char *const[]){__VA_ARGS__, NULL}), agent_wait(agent))
/* Fails the test with what the program said, unless it ends with this status. */
#define agent_expect(agent, status, ...) agent_expect_at(agent, status, (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
void agent_expect_at(struct agent *agent, int status, const char *const *words, const char *file, int line);
#define agent_expect_end(agent, status) agent_expect_end_at(agent, status, __FILE__, __LINE__)
void agent_expect_end_at(struct agent *agent, int status, const char *file, int line);

/* Until the running program has written this to stderr. */
void agent_await_text(struct agent *agent, const char *text);
/* The youngest worker of the running program; there has to be one. */
pid_t agent_worker(const struct agent *agent);
/* Until nobody holds the mailbox any more: the last worker of a killed program is gone. */
void agent_await_unlocked(const struct agent *agent, const char *mailbox);

/* Whether stdout, stderr of the last run hold text. */
bool agent_printed(const struct agent *agent, const char *text);
bool agent_said(const struct agent *agent, const char *text);
/* A number of "status --json", such as in_doubt; there must be one mailbox. */
unsigned agent_status(struct agent *agent, const char *key);
/* All messages of home/FOLDER (new, tmp), one behind the other. Returns how many there are. */
unsigned agent_mail(const struct agent *agent, const char *folder, struct str *out);
/* Statements for state.db, while nobody else has it open. */
void agent_change_state(const struct agent *agent, const char *sql);
/* As if enough time had passed for every message to be due again. */
void agent_let_time_pass(const struct agent *agent);

/* A port of loopback that is ours. Without listening connections to it are refused. Returns the descriptor. */
int port_take(bool listening, uint16_t *ret_port);
/* Whether anybody has connected to it. */
bool port_was_used(int fd);

#endif
