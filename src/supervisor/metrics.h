/* metrics.h - metrics_file: how the mailboxes and destinations are, in the text format of Prometheus, for a collector that reads files. Replaced as a
 * whole, so that nobody reads half of it. It holds names of the configuration, times and numbers; no address, no error's words. */
#ifndef MAILHAUL_SUPERVISOR_METRICS_H
#define MAILHAUL_SUPERVISOR_METRICS_H

#include <stdint.h>

struct metrics;
struct service;

/* The service keeps it, and has its configuration, which may change. */
struct metrics *metrics_new(struct service *service);
void metrics_free(struct metrics *metrics); /* NULL is fine */
/* A session of this mailbox has ended, with so many deliveries that were accepted: its figures are read anew. */
void metrics_note(struct metrics *metrics, const char *mailbox, uint64_t deliveries);
/* Writes the file, if the configuration names one. What fails is logged once. */
void metrics_write(struct metrics *metrics);

#endif
