/* job.h - what a worker is told: its mailbox, the destinations it delivers to, and what to do. Encoded by the schema tables that read the YAML,
 * so that a key which is added there reaches the worker too. Secrets travel apart (REC_SECRET). */
#ifndef MAILHAUL_CHANNEL_JOB_H
#define MAILHAUL_CHANNEL_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/facts.h"
#include "channel/record.h"

struct config;
struct dest_config;
struct error;
struct mailbox_config;

/* JOB_LISTEN: only tells what the server announces in the one folder that its mailbox has. */
enum job_mode { JOB_HAUL, JOB_CHECK, JOB_LIST, JOB_LISTEN };

struct target {
	unsigned dest;   /* index into destinations */
	char *recipient; /* "" for a Maildir */
};

struct job {
	enum job_mode mode;
	bool trace;           /* send REC_TRACE */
	unsigned log_level;   /* least important level worth sending */
	unsigned sandbox;     /* enum sandbox_mode */
	char *host;           /* our own name, for Received and Maildir */
	char *installation;   /* random, from the state: makes X-Mailhaul-Id ours */
	int64_t adopt_before; /* wall clock: when the state was begun anew after a loss, of late; else 0 */
	struct mailbox_config *mailbox;
	struct host_facts host_facts;
	struct folder_facts *folder_facts; /* one per folder of the mailbox (POP3: one); NULL: nothing is known of any */
	struct dest_config *destinations;  /* of deliver_to, in order, plus those that open messages still name */
	unsigned destination_count;
	uint64_t closed; /* bit i: Maildir i backs off, and is not opened in this session; whoever hangs there would deliver nothing elsewhere */
	uint64_t tidied[TARGETS_MAX]; /* per destination: the number of its Maildir that was tidied of late (dest/maildir.h), or 0 */
	struct target targets[TARGETS_MAX];
	unsigned target_count;
	uint64_t frozen; /* bit i: new messages go to target i; the others are of older messages */
};

/* A sealed memory file; the caller closes it. */
int job_encode(const struct job *job, struct error *err);
/* From a sealed memory file; takes fd. Everything is checked: limits, enumerators, target indices. */
struct job *job_decode(int fd_take, struct error *err);
void job_free(struct job *job);

#endif
