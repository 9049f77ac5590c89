/* daemon.h - drives the roster on schedule, until a signal ends it. SIGTERM and SIGINT: leave; SIGHUP: load the configuration anew; SIGUSR1: poll
 * everything now. */
#ifndef MAILHAUL_SUPERVISOR_DAEMON_H
#define MAILHAUL_SUPERVISOR_DAEMON_H

struct daemon;
struct error;
struct service;
struct supervisor_options;

/* The event loop exists; options are borrowed. On failure *ret_daemon may be there all the same, to be freed. */
int daemon_new(struct service *service, const struct supervisor_options *options, struct daemon **ret_daemon, struct error *err);
void daemon_start(struct daemon *daemon);
/* NULL is fine. */
void daemon_free(struct daemon *daemon);

#endif
