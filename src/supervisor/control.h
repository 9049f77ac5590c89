/* control.h - the socket "control" in the state directory, by which commands talk to the daemon. A request is one datagram of words, each with its NUL;
 * replies are those of visitor.h. As long as it is answered the visitor stays.
 *	run FLAGS [NAME...]	haul these now, or all: PROGRESS and TROUBLE, then END, or UNKNOWN. FLAGS: of CONTROL_INSISTS and CONTROL_WAITS
 *	claim NAME		let go of it: YOURS when no session has it any more, until the visitor leaves; then it is hauled
 *	outlook			OUTLOOK
 * Only the same user and root are heard. The daemon works whether or not anybody visits. */
#ifndef MAILHAUL_SUPERVISOR_CONTROL_H
#define MAILHAUL_SUPERVISOR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <systemd/sd-event.h>

struct attendant;
struct control;
struct error;
struct post;
struct roster;
struct visitor;

#define CONTROL_FILE "control"
#define CONTROL_INSISTS 'i'
#define CONTROL_WAITS 'w'
#define CONTROL_VISITORS_MAX 16

struct control {
	struct roster *roster;
	int fd, dir_fd; /* dir_fd: borrowed */
	sd_event_source *event;
	int64_t started_s;
	struct visitor *visitors[CONTROL_VISITORS_MAX];
	unsigned count;
};

/* The caller holds the lock of the daemon, so what lies there was left by a dead one. -1: nobody can visit; *ret_control is there all the same. */
int control_open(struct roster *roster, struct control **ret_control, struct error *err);
void control_close(struct control *control); /* NULL is fine */

/* What the daemon tells; visitors who wait for that mailbox hear it. One that stays to wait for mail has ended, as far as they are concerned. */
void control_ended(struct control *control, struct post *post, const struct attendant *attendant, const struct error *err);
void control_not_started(struct control *control, const struct post *post, int exit_code, const char *why);
void control_busy(struct control *control, const struct post *post, const struct error *why); /* somebody else is hauling it */
void control_reloaded(struct control *control);                                               /* mailboxes may have left */
void control_progress(struct control *control);
bool control_is_lent(const struct control *control, const char *name); /* claimed: not to be hauled */

/* -- what its files share -- */
static inline const char *control_next_word(const char *word)
{
	return word + strlen(word) + 1;
}
void control_refuse(struct visitor *visitor, const char *why);
/* If no session has that mailbox any more, it is given to who claimed it first. */
void control_grant(struct control *control, const char *name);
/* control-runs.c; flags: and names behind it, up to end */
void control_run(struct control *control, struct visitor *visitor, const char *flags, const char *end);

#endif
