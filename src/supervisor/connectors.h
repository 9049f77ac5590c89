/* connectors.h - the processes that connect. Each knows one server only, so that whoever lies to it about names or addresses reaches nobody else's
 * connections; and stays for some seconds, so that the mailboxes of one server do not need a process each when they are looked into together. Of a thousand
 * servers that are all looked into at once only the last few stay. */
#ifndef MAILHAUL_SUPERVISOR_CONNECTORS_H
#define MAILHAUL_SUPERVISOR_CONNECTORS_H

#include <systemd/sd-event.h>

#define CONNECTORS_IDLE_MAX 16

struct connect_request;
struct connector;
struct connectors;
struct error;
struct record;
struct spawner;

/* event and spawner are borrowed. */
struct connectors *connectors_new(sd_event *event, struct spawner *spawner);
void connectors_free(struct connectors *connectors); /* NULL is fine; those who wait for an answer have left before */

/* answer: REC_CONNECTED with its descriptor, or REC_FAILED with SCOPE_MAILBOX. The descriptors are closed afterwards. */
typedef void connected_fn(void *context, struct record *answer, const int *fds, unsigned fd_count);

/* answered is called once, later, unless connector_forget comes first. *ret_connector is the caller's to name until then. */
int connectors_ask(struct connectors *connectors, const struct connect_request *request, connected_fn *answered, void *context,
	struct connector **ret_connector, struct error *err);
/* Nobody waits for its answer any more: it is killed. NULL is fine. */
void connector_forget(struct connector *connector);

#endif
