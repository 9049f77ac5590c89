/* herald.h - says what has changed for worse or for better: in the log, once per change, and by notify_command, one run of it at a time. */
#ifndef MAILHAUL_SUPERVISOR_HERALD_H
#define MAILHAUL_SUPERVISOR_HERALD_H

#include <stdbool.h>
#include <stdint.h>

struct destination_state;
struct error;
struct herald;
struct log;
struct mailbox_state;
struct service;

/* Kept by the service; so is the configuration, which may change. */
struct herald *herald_new(struct service *service);
void herald_free(struct herald *herald); /* ends what is running; NULL is fine */
/* Does notify_command run? idle is called when it has ended and nothing more is to be told. */
bool herald_is_busy(const struct herald *herald);
void herald_when_idle(struct herald *herald, void (*idle)(void *), void *context);

/* What the operator should know although no log is read. mailbox or destination: whose trouble it is; both NULL: of all. The service's herald may be
 * NULL: then nobody is told. */
void herald_tell(struct service *service, const char *event, const char *mailbox, const char *destination, const char *text);

/* These log and tell. A session has ended: health_note made after of before. */
void herald_mailbox(struct service *service, const struct log *log, const struct mailbox_state *before, const struct mailbox_state *after,
	const struct error *err);
void herald_destination_failed(
	struct service *service, const char *name, const struct destination_state *before, const struct destination_state *after);
/* was_told: that it failed, to somebody who was called. */
void herald_destination_recovered(struct service *service, const char *name, const struct destination_state *now, bool was_told);
/* So many messages of the mailbox are held. */
void herald_held(struct service *service, const struct log *log, uint64_t before, uint64_t after);

#endif
