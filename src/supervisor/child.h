/* child.h - the end of a child process, as an event. Of workers, connectors and programs alike. */
#ifndef MAILHAUL_SUPERVISOR_CHILD_H
#define MAILHAUL_SUPERVISOR_CHILD_H

#include <systemd/sd-event.h>

/* Takes pidfd, also on failure. The child is reaped when handler has returned; until handler switches it off, the source stays on. -1: not watched. */
int child_watch(sd_event *event, sd_event_source **ret_source, int pidfd, sd_event_child_handler_t handler, void *context);

#endif
