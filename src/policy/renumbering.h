/* renumbering.h - how much a server may change about the numbers of its messages before a person has to look. Pure.
 * A UIDVALIDITY that changed (RFC 9051 2.3.1.1), or UIDLs that are all new, cost nothing as long as the messages are recognised. Many that are not
 * may be a whole archive about to be delivered for the second time. */
#ifndef MAILHAUL_POLICY_RENUMBERING_H
#define MAILHAUL_POLICY_RENUMBERING_H

#include <stdbool.h>
#include <stdint.h>

#define RENUMBERED_NEW_MAX 20 /* as many as could come in between two polls, and can be deleted by hand */
#define RENUMBERINGS_MAX 3    /* in RENUMBERINGS_S: a server that is repaired renumbers once, perhaps twice */
#define RENUMBERINGS_S (24 * 3600)

/* Of so many messages in the folder so many are new: more than RENUMBERED_NEW_MAX, and more than half? */
bool renumbering_is_suspicious(uint64_t fresh, uint64_t listed);

/* One more change at now_s, wall clock: *count of them since *since_s. A day that is over, or a clock that was set back, begins anew. */
void renumbering_count(unsigned *count, int64_t *since_s, int64_t now_s);

#endif
