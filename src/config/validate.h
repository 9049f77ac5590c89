/* validate.h - what no single value can tell: whether the parts of a configuration fit together. */
#ifndef MAILHAUL_CONFIG_VALIDATE_H
#define MAILHAUL_CONFIG_VALIDATE_H

#include <stddef.h>

#include "config/problems.h"

struct config;
struct schema_source;

/* Fills in the ports and TLS modes that were left open, then checks every section by itself and against the others. The sources tell where values
 * stand; one for each mailbox and destination, in their order. A value that was written wrongly is not reported a second time. */
void validate(struct config *config, const struct schema_source *mailboxes, const struct schema_source *destinations, struct problems *problems);
/* What two mailboxes cannot share: a name, a POP3 account, an IMAP folder (overlap.c; called by validate). */
void validate_overlap(const struct config *config, const struct schema_source *mailboxes, struct problems *problems);

/* Where a key's value stands, or entry number index of its list; where the section begins if it was not written. */
struct place validate_place(const struct schema_source *source, const char *key, size_t index);

#endif
