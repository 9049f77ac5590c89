#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static double factor = 1.0;

void deadline_set_factor(double new_factor)
{
	factor = new_factor;
}

double deadline_factor(void)
{
	return factor;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

int64_t clock_boottime_ns(void)
{
	return now_ns(CLOCK_BOOTTIME);
}

int64_t clock_boottime_s(void)
{
	return now_ns(CLOCK_BOOTTIME) / NS_PER_S;
}

int64_t clock_wall_s(void)
{
	return now_ns(CLOCK_REALTIME) / NS_PER_S;
}

bool clock_is_credible(int64_t wall_s)
{
	return wall_s >= INT64_C(1767225600) && wall_s < INT64_C(2398377600);
}

struct deadline deadline_in_s(double seconds)
{
	int64_t now = clock_monotonic_ns();
	double ns = seconds * factor * (double)NS_PER_S;

	return ns < (double)(INT64_MAX - now) ? (struct deadline){now + (int64_t)ns} : DEADLINE_NEVER;
}

struct deadline deadline_min(struct deadline a, struct deadline b)
{
	return a.ns < b.ns ? a : b;
}

bool deadline_passed(struct deadline deadline)
{
	return deadline.ns != INT64_MAX && clock_monotonic_ns() >= deadline.ns;
}

int deadline_poll_ms(struct deadline deadline)
{
	int64_t left;

	if (deadline.ns == INT64_MAX)
		return -1;
	left = deadline.ns - clock_monotonic_ns();
	if (left <= 0)
		return 0;
	left = (left + 999999) / 1000000;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int64_t clock_from_civil(int year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second)
{
	/* Days from civil, by Howard Hinnant's published algorithm: timegm() without its dependence on struct tm's int fields. */
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
	int64_t days = era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;

	return days * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
}

/* Years 0 to 9999, which is all that the formats below have room for; anything beyond is cut there. */
static struct tm utc(int64_t wall_s)
{
	time_t first = (time_t)clock_from_civil(0, 1, 1, 0, 0, 0), last = (time_t)clock_from_civil(9999, 12, 31, 23, 59, 59);
	time_t when = wall_s < first ? first : wall_s > last ? last : (time_t)wall_s;
	struct tm tm;

	gmtime_r(&when, &tm);
	return tm;
}

char *clock_rfc5322(char *out, int64_t wall_s)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm = utc(wall_s);

	/* Not strftime: its names follow the locale. */
	snprintf(out, 40, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		tm.tm_min, tm.tm_sec);
	return out;
}

char *clock_iso8601(char *out, int64_t wall_s)
{
	struct tm tm = utc(wall_s);

	strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm); /* digits only: no locale in it */
	return out;
}
