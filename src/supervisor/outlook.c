#include "supervisor/outlook.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "config/config.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"

#define NS_PER_S INT64_C(1000000000)

static int64_t wall_of(int64_t boottime_ns)
{
	return clock_wall_s() + (boottime_ns - clock_boottime_ns()) / NS_PER_S;
}

static void write_post(const struct post *post, bool is_lent, struct str *out)
{
	const char *word = is_lent ? "lent" : "resting";
	int64_t since = 0, next = 0;

	if (post->state == POST_HAULING) {
		word = "hauling";
		since = post->attendant->started_s;
	} else if (!is_lent && post->state == POST_WAITING) {
		word = "waiting";
	} else if (!is_lent) {
		next = wall_of(post->due_ns);
	}
	str_addf(out, "mailbox\t%s\t%s\t%" PRId64 "\t%" PRId64 "\n", post->mailbox->name, word, since, next);
}

void outlook_write(const struct roster *roster, int64_t started_s, bool (*is_lent)(void *, const char *name), void *context, struct str *out)
{
	str_addf(out, "daemon\t%ld\t%" PRId64 "\n", (long)getpid(), started_s);
	for (unsigned i = 0; i < roster->count; i++)
		if (!roster->posts[i]->gone)
			write_post(roster->posts[i], is_lent(context, roster->posts[i]->mailbox->name), out);
}
