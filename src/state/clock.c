#include "state/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define DAY_S 86400
#define KEEP_EVERY_S 3600
/* Both clocks are read in whole seconds, one after the other: less than this is no step. */
#define STEP_S 3
#define SECONDS_MAX (INT64_C(1) << 40)

static int64_t at_least_0(int64_t value)
{
	return value > 0 ? value : 0;
}

/* Where nobody says which boot it is, one that has been up for longer will do: both hands stay what they promise. */
static bool is_same_boot(const struct clock_reading *then, const struct clock_reading *now)
{
	return strcmp(then->boot, now->boot) == 0 && now->boottime_s >= then->boottime_s;
}

struct state_clock clock_moved(const struct state_clock *clock, const struct clock_reading *now)
{
	const struct clock_reading *then = &clock->at;
	int64_t wall = now->wall_s - then->wall_s, boot = now->boottime_s - then->boottime_s;
	/* A clock that is set at last says nothing for certain, but whoever looks at the age of a file believes it. */
	int64_t shown = at_least_0(wall), believed = clock_is_credible(then->wall_s) && clock_is_credible(now->wall_s) ? shown : 0;
	int64_t least, most;

	if (then->wall_s == 0)
		return (struct state_clock){.at = *now};
	if (!is_same_boot(then, now)) {
		least = believed < DAY_S ? believed : DAY_S;
		most = shown;
	} else if (wall - boot < STEP_S && boot - wall < STEP_S) {
		least = most = wall; /* so that neither hand wavers against the wall clock */
	} else {
		least = boot;
		most = shown > boot ? shown : boot;
	}
	return (struct state_clock){*now, clock->least_ahead + least - wall, clock->most_ahead + most - wall};
}

bool clock_is_worth_keeping(const struct state_clock *kept, const struct state_clock *now)
{
	return kept->at.wall_s == 0 || !is_same_boot(&kept->at, &now->at) || kept->least_ahead != now->least_ahead ||
	       kept->most_ahead != now->most_ahead || now->at.boottime_s - kept->at.boottime_s >= KEEP_EVERY_S;
}

/* No process outlives its boot. */
static const char *boot_id(void)
{
	static char boot[BOOT_ID_BYTES];

	if (boot[0] == '\0') {
		int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
		ssize_t len = fd >= 0 ? read(fd, boot, sizeof(boot) - 1) : -1;

		fs_close(fd);
		boot[len == BOOT_ID_BYTES - 1 ? len : 0] = '\0';
	}
	return boot;
}

void clock_read(struct clock_reading *ret_now)
{
	memcpy(ret_now->boot, boot_id(), BOOT_ID_BYTES);
	ret_now->wall_s = clock_wall_s();
	ret_now->boottime_s = clock_boottime_s();
}

void clock_print(char out[CLOCK_TEXT_BYTES], const struct state_clock *clock)
{
	snprintf(out, CLOCK_TEXT_BYTES, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %s", clock->at.wall_s, clock->at.boottime_s,
		clock->least_ahead, clock->most_ahead, clock->at.boot);
}

/* No machine shows more; what is added to these does not overflow. */
static bool is_bearable(int64_t seconds)
{
	return seconds > -SECONDS_MAX && seconds < SECONDS_MAX;
}

bool clock_parse(const char *text, struct state_clock *ret_clock)
{
	struct state_clock clock = {0};
	int found = sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %36s", &clock.at.wall_s, &clock.at.boottime_s, &clock.least_ahead,
		&clock.most_ahead, clock.at.boot);

	if (found < 4 || !is_bearable(clock.at.wall_s) || !is_bearable(clock.at.boottime_s) || !is_bearable(clock.least_ahead) ||
		!is_bearable(clock.most_ahead))
		return false;
	*ret_clock = clock;
	return true;
}
