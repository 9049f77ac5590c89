/* ending.h - how a session ended: kept in the state, and said where that is news. */
#ifndef MAILHAUL_SUPERVISOR_ENDING_H
#define MAILHAUL_SUPERVISOR_ENDING_H

struct attendant;
struct error;
struct mailbox_config;
struct mailbox_state;
struct service;

/* Brings mailbox up to date. err of ERR_NONE: well; attendant NULL: it ended before it began. 0, or -1 with mailbox as it was: another mailhaul has the
 * database for a moment. */
int ending_record(struct service *service, const struct mailbox_config *config, struct mailbox_state *mailbox, struct attendant *attendant,
	const struct error *err);
/* There was no session. A mailbox that somebody else is hauling has not failed; one whose password cannot be read has. */
void ending_record_failed_start(struct service *service, const struct mailbox_config *config, const struct error *err);

#endif
