#include "supervisor/child.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>

#include "base/fs.h"

/* While a debugger or strace holds a child that has died, its descriptor is readable and waitid(2) finds nothing. sd-event asks for one wake-up only, and
 * going from "once" to "on" does not change what it asked the kernel for (systemd 252): so it is switched off between, or that wake-up would be the last. */
int child_watch(sd_event *event, sd_event_source **ret_source, int pidfd, sd_event_child_handler_t handler, void *context)
{
	sd_event_source *source;

	if (sd_event_add_child_pidfd(event, &source, pidfd, WEXITED, handler, context) < 0) {
		fs_close(pidfd);
		return -1;
	}
	sd_event_source_set_child_pidfd_own(source, true);
	if (sd_event_source_set_enabled(source, SD_EVENT_OFF) < 0 || sd_event_source_set_enabled(source, SD_EVENT_ON) < 0) {
		sd_event_source_disable_unref(source);
		return -1;
	}
	*ret_source = source;
	return 0;
}
