/* destinations.h - which destinations are down. Workers tell when one fails; what they deliver tells when it works again; the state keeps it for all
 * mailboxes. While one rests, nothing is fetched for it and nobody connects to it. */
#ifndef MAILHAUL_SUPERVISOR_DESTINATIONS_H
#define MAILHAUL_SUPERVISOR_DESTINATIONS_H

#include <stdbool.h>
#include <stdint.h>

struct attendant;
struct dest_config;
struct destination_state;
struct error;
struct mailbox_config;
struct service;

/* Has it failed, and is its time not yet over? A state that cannot be read now rests nobody: whoever tries says what is wrong. */
bool destination_rests(struct service *service, const char *name, int64_t *ret_until_s);
/* Do all destinations of this mailbox rest, so that nothing could be delivered that is fetched? *ret_until_s: when the first of them may be tried again,
 * wall clock. */
bool destinations_all_rest(struct service *service, const struct mailbox_config *mailbox, int64_t *ret_until_s);
/* Its login was refused, and the operator has replaced what was: it rests no more. True once, since whoever delivers there may find nothing to deliver, and
 * must not be sent to look again and again. */
bool destination_forgive(struct service *service, const struct dest_config *config);
/* Is nothing to be delivered there now by this attendant's session? */
bool destination_is_left_out(struct attendant *attendant, unsigned index);

/* A worker says that destination index of its job is down. Own transaction; may be busy. */
int destinations_note_failure(struct attendant *attendant, unsigned index, const struct error *why, struct error *err);
/* Those that have accepted something in this session work. Inside a transaction; what has changed is logged by the second, after the commit. */
int destinations_note_accepted(struct attendant *attendant, struct error *err);
void destinations_log_accepted(struct attendant *attendant);

#endif
