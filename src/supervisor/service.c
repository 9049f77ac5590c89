#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/marker.h"
#include "supervisor/attendant.h"

bool service_has_state(const struct service *service)
{
	char *database = xasprintf("%s/state.db", service->config->state_dir);
	bool missing = access(database, F_OK) < 0 && errno == ENOENT;

	free(database);
	return !missing;
}

/* An older copy of our own is allowed: what was hauled since then is at the source and comes again, or it was deleted there after it was delivered. */
static int compare(struct service *service, struct error *err)
{
	bool behind;

	if (marker_compare(service->config, service->state, &behind, err) < 0)
		return -1;
	if (behind)
		log_say(NULL, LEVEL_WARNING, "state_behind",
			"the state in %s is older than what was hauled with it; what came since may come once more", service->config->state_dir);
	return 0;
}

/* The markers tell of this state from here on: that is what was asked for. */
static int accept(struct service *service, bool is_new, struct error *err)
{
	if (is_new && state_begin_anew(service->state, clock_wall_s(), err) < 0)
		return -1;
	marker_write(service->config, service->state, clock_wall_s());
	log_say(NULL, LEVEL_NOTICE, "duplicates_accepted", "going on with the state in %s, whatever was hauled with another",
		service->config->state_dir);
	return 0;
}

int service_open_state(struct service *service, bool accept_duplicates, struct error *err)
{
	const char *dir = service->config->state_dir;
	bool look = service->mode != JOB_HAUL && !service_has_state(service), is_new = false;

	if (!accept_duplicates && marker_expect(service->config, err) < 0)
		return -1;
	service->state = look ? state_open_scratch(err) : state_open(dir, false, &is_new, err);
	if (service->state == NULL)
		return -1;
	if (is_new)
		log_say(NULL, LEVEL_NOTICE, "state_new", "starting with an empty state in %s", dir);
	if (accept_duplicates)
		return accept(service, is_new, err);
	return look ? 0 : compare(service, err);
}

void service_shrink(struct service *service, unsigned calls)
{
	struct error err;
	bool more = true;

	while (more && calls-- != 0)
		if (state_shrink(service->state, service->config, clock_wall_s(), &more, &err) < 0) {
			log_say(NULL, LEVEL_INFO, "state_not_shrunk", "%s", err.text); /* it is only about room, and there is a next time */
			return;
		}
}
