#include "supervisor/notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/str.h"
#include "config/config.h"
#include "supervisor/roster.h"

#define NAMES_MAX 3 /* of those that fail; "mailhaul status" knows all */

void notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic_ns() / 1000);
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=finishing the messages in hand");
}

static void add_failing(struct str *line, const struct roster *roster)
{
	unsigned failing = 0;

	for (unsigned i = 0; i < roster->count; i++) {
		if (!roster->posts[i]->failing)
			continue;
		if (failing < NAMES_MAX)
			str_addf(line, "%s%s", failing == 0 ? "; failing: " : ", ", roster->posts[i]->mailbox->name);
		failing++;
	}
	if (failing > NAMES_MAX)
		str_addf(line, " and %u more", failing - NAMES_MAX);
}

void notify_status(const struct roster *roster)
{
	static char said[256];
	struct str line = {0};

	str_addf(&line, "STATUS=%u mailbox%s, %u being hauled", roster->count, roster->count == 1 ? "" : "es", roster->hauling);
	if (roster->pushed != 0)
		str_addf(&line, ", %u waiting for mail to be announced", roster->pushed);
	add_failing(&line, roster);
	if (strcmp(said, str_text(&line)) != 0) {
		snprintf(said, sizeof(said), "%s", str_text(&line));
		sd_notify(0, str_text(&line));
	}
	str_done(&line);
}
