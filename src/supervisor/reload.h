/* reload.h - loads the configuration anew, and fits the roster to it. Sessions go on with what they began with; each post takes the new one when its
 * session is over. */
#ifndef MAILHAUL_SUPERVISOR_RELOAD_H
#define MAILHAUL_SUPERVISOR_RELOAD_H

#include <stdbool.h>

struct config;
struct post;
struct roster;
struct supervisor_options;

/* The configuration as it is in the file now; the caller frees. NULL after its errors are in the log. */
struct config *reload_config(const struct config *now, const struct supervisor_options *options);

/* fresh: for each post at rest that is new, or says something else than before. Mailboxes that vanished are told to stop, or leave the roster. */
void reload_roster(struct roster *roster, const struct config *now, const struct config *config, void (*fresh)(void *, struct post *), void *context);
/* Its session is over. False: it had left the configuration, and is no more. *ret_changed: it has something else to do than before. */
bool reload_settle(struct roster *roster, struct post *post, bool *ret_changed);
/* Does any session go on with a former configuration? */
bool reload_is_under_way(const struct roster *roster);

#endif
