/* once.h - drives the roster for run, check and list: each mailbox that is wanted has its turn, once, and when all are done the event loop ends. */
#ifndef MAILHAUL_SUPERVISOR_ONCE_H
#define MAILHAUL_SUPERVISOR_ONCE_H

#include <stddef.h>

#include "channel/record.h"

struct error;
struct once;
struct service;
struct supervisor_options;

/* Chooses the mailboxes, and listens to SIGINT, SIGTERM and SIGHUP. The event loop exists; options are borrowed. */
int once_new(struct service *service, const struct supervisor_options *options, struct once **ret_once, struct error *err);
/* The first sessions. */
void once_start(struct once *once);
/* On a terminal: how much was hauled in all. NULL is fine. */
void once_free(struct once *once);

/* What check and list find, for a person. */
void once_report(const char *mailbox, enum report what, const char *text, size_t len);

#endif
