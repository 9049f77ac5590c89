#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"
#include "state/state.h"
#include "supervisor/schedule.h"

#define NOW 1800000000

static void test_a_back_off_holds_for_timers_only(void **unused)
{
	static const struct {
		unsigned failures, clock;
		int64_t retry_at;
		bool insistent, due;
	} cases[] = {
		{0, BACKOFF_NETWORK, 0, false, true}, {1, BACKOFF_NETWORK, NOW + 5, false, false}, {1, BACKOFF_NETWORK, NOW - 1, false, true},
		{1, BACKOFF_NETWORK, NOW + 5, true, true}, {3, BACKOFF_LOGIN, NOW + 3000, false, false},
		{3, BACKOFF_LOGIN, NOW + 30 * 86400, false, true}, /* the clock has jumped: nothing waits for a month */
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mailbox_state mailbox = {.failures = cases[i].failures, .clock = cases[i].clock, .retry_at = cases[i].retry_at};

		assert_int_equal(schedule_is_due(&mailbox, cases[i].insistent, NOW), cases[i].due);
	}
}

static void test_places(void **unused)
{
	(void)unused;
	assert_int_equal(schedule_places(0, 3), 3);
	assert_int_equal(schedule_places(0, 0), 1);
	assert_int_equal(schedule_places(0, 5000), 1000);
	assert_int_equal(schedule_places(2, 3), 2);
	assert_int_equal(schedule_places(5000, 3), 1000);
}

/* -- the daemon's clock, over simulated weeks -- */

#define S INT64_C(1000000000)
#define MINUTE (60 * S)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define BOOT (90 * S)

/* A good enough source of bits, and the same in each run. */
static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 32);
}

struct life {
	uint64_t seed;
	struct schedule_past past;
	unsigned polls;
	int64_t shortest_ns, longest_ns; /* between two beginnings */
};

static void live_through(struct life *life, int64_t now, int64_t session_ns, int64_t period_ns, int64_t minimum_ns)
{
	int64_t next;

	life->past.started_ns = now;
	life->past.ended_ns = now + session_ns;
	next = schedule_next_ns(&life->past, period_ns, minimum_ns, next_random(&life->seed));
	assert_true(next > life->past.ended_ns);
	if (life->polls++ == 0 || next - now < life->shortest_ns)
		life->shortest_ns = next - now;
	if (next - now > life->longest_ns)
		life->longest_ns = next - now;
	life->past.started_ns = next;
}

static void test_weeks_of_polls(void **unused)
{
	static const struct {
		int64_t period_ns, session_ns, minimum_ns;
		unsigned least, most; /* polls in two weeks */
		int64_t shortest_ns, longest_ns;
	} cases[] = {
		{5 * MINUTE, 2 * S, 0, 3950, 4110, 270 * S, 330 * S}, {5 * MINUTE, 0, 0, 3950, 4110, 270 * S, 330 * S},
		{DAY, 10 * S, 0, 13, 16, 21 * HOUR, 27 * HOUR}, {10 * S, S, 0, 118000, 124000, 9 * S, 11 * S},
		{5 * MINUTE, S, 15 * MINUTE, 1200, 1345, 15 * MINUTE + S, 17 * MINUTE},               /* the provider's minimum, and never less */
		{5 * MINUTE, 10 * MINUTE, 0, 1900, 1925, 10 * MINUTE + 30 * S, 10 * MINUTE + 30 * S}, /* it never gets done, and still breathes */
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct life life = {.seed = i + 1};

		for (int64_t now = BOOT; now < BOOT + 14 * DAY; now = life.past.started_ns)
			live_through(&life, now, cases[i].session_ns, cases[i].period_ns, cases[i].minimum_ns);
		assert_in_range(life.polls, cases[i].least, cases[i].most);
		assert_in_range(life.shortest_ns, cases[i].shortest_ns, cases[i].longest_ns);
		assert_in_range(life.longest_ns, cases[i].shortest_ns, cases[i].longest_ns);
	}
}

/* Whatever poll_every says, and whatever the jitter does. */
static void test_weeks_of_refused_logins(void **unused)
{
	static const int64_t periods[] = {10 * S, 5 * MINUTE, HOUR, DAY};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(periods); i++) {
		uint64_t seed = i + 1;
		struct schedule_past past = {0};
		unsigned attempts = 0, early = 0;
		int64_t now = BOOT, next;

		for (; now < BOOT + 28 * DAY; now = next, attempts++) {
			early += now < BOOT + 6 * HOUR;
			past = (struct schedule_past){.started_ns = now, .ended_ns = now + S, .failures = past.failures + 1};
			past.back_off_ns = S * backoff_delay_s(BACKOFF_LOGIN, past.failures, next_random(&seed));
			next = schedule_next_ns(&past, periods[i], 0, next_random(&seed));
			if (past.failures > 3)
				assert_true(next - now >= 6 * HOUR);
		}
		assert_in_range(early, 1, 8);
		assert_true(attempts >= 28); /* it is never given up */
	}
}

/* A network that is down is tried soon, then at most as often as it would be if it worked; and the first success ends all that. */
static void test_a_flaky_network(void **unused)
{
	struct schedule_past past = {.started_ns = BOOT, .ended_ns = BOOT + S, .failures = 1, .back_off_ns = 10 * S};

	(void)unused;
	assert_int_equal(schedule_next_ns(&past, HOUR, 0, 0), BOOT + 11 * S);
	past.failures = 4;
	past.back_off_ns = 10 * MINUTE;
	assert_int_equal(schedule_next_ns(&past, HOUR, 0, 0), BOOT + HOUR - HOUR / 10);
	assert_int_equal(schedule_next_ns(&past, MINUTE, 0, 0), BOOT + S + 10 * MINUTE);
	past.failures = 1; /* a login may have been counted by the provider, though it failed */
	assert_true(schedule_next_ns(&past, HOUR, 15 * MINUTE, 0) >= BOOT + S + 15 * MINUTE);
	past.failures = 0;
	past.back_off_ns = 0;
	assert_in_range(schedule_next_ns(&past, HOUR, 0, UINT32_MAX), BOOT + HOUR, BOOT + HOUR + HOUR / 10);
}

/* A connection that ended is made again at once, unless that happens all the time. */
static void test_a_connection_that_ended(void **unused)
{
	struct schedule_past past = {.started_ns = BOOT, .ended_ns = BOOT + HOUR, .pushed = true};
	unsigned logins = 0;

	(void)unused;
	assert_in_range(schedule_next_ns(&past, 10 * MINUTE, 0, 0), BOOT + HOUR + 1, BOOT + HOUR + S);
	assert_in_range(schedule_next_ns(&past, 10 * MINUTE, 0, UINT32_MAX), BOOT + HOUR + 4 * S, BOOT + HOUR + 5 * S);
	for (int64_t now = BOOT; now < BOOT + DAY; logins++) {
		past.started_ns = past.ended_ns = now;
		now = schedule_next_ns(&past, 10 * MINUTE, 0, 0);
	}
	assert_int_equal(logins, 24 * 60);
	past.started_ns = past.ended_ns = BOOT; /* a poll a day is for those that nobody watches */
	assert_int_equal(schedule_next_ns(&past, DAY, 0, 0), BOOT + 5 * MINUTE);
	past.failures = 1;
	past.back_off_ns = 2 * MINUTE;
	past.started_ns = past.ended_ns = BOOT;
	assert_int_equal(schedule_next_ns(&past, 10 * MINUTE, 0, 0), BOOT + 2 * MINUTE);
}

/* Our own doing is no reason to keep the server waiting. */
static void test_a_connection_that_begins_anew(void **unused)
{
	struct schedule_past past = {.started_ns = BOOT, .ended_ns = BOOT + S, .recalled = true};

	(void)unused;
	assert_in_range(schedule_next_ns(&past, DAY, 0, UINT32_MAX), BOOT + S + 1, BOOT + 6 * S);
	assert_true(schedule_next_ns(&past, DAY, 15 * MINUTE, 0) >= BOOT + S + 15 * MINUTE);
	past.failures = 4;
	past.back_off_ns = 10 * MINUTE;
	assert_true(schedule_next_ns(&past, DAY, 0, 0) >= BOOT + S + 10 * MINUTE);
}

static void test_starting_together(void **unused)
{
	uint64_t seed = 1;
	int64_t last = -1;

	(void)unused;
	assert_int_equal(schedule_spread_ns(0, 1, 5 * MINUTE, UINT32_MAX), 0);
	for (unsigned i = 0; i < 1000; i++) { /* in order, never two at once, at most so many in any second */
		int64_t wait = schedule_spread_ns(i, 1000, DAY, next_random(&seed));

		assert_true(wait > last);
		assert_in_range(wait, i == 0 ? 0 : S * (2 * i - 1) / 8, S * i / 4);
		last = wait;
	}
	for (unsigned i = 0; i < 1000; i++) /* each is served within its first period */
		assert_in_range(schedule_spread_ns(i, 1000, 10 * S, next_random(&seed)), 0, 10 * S);
}

static void test_provider_minimum(void **unused)
{
	static char webde[] = "POP3.web.de", other[] = "pop3.web.de.example";
	struct mailbox_config mailbox = {.protocol = PROTOCOL_POP3, .server.endpoint.host = webde};

	(void)unused;
	assert_int_equal(schedule_provider_minimum_s(&mailbox), 900);
	mailbox.server.endpoint.host = other;
	assert_int_equal(schedule_provider_minimum_s(&mailbox), 0);
	mailbox.server.endpoint.host = NULL;
	assert_int_equal(schedule_provider_minimum_s(&mailbox), 0);
	mailbox = (struct mailbox_config){.protocol = PROTOCOL_IMAP, .server.endpoint.host = webde};
	assert_int_equal(schedule_provider_minimum_s(&mailbox), 0);
}

static void test_pauses_between_logins(void **unused)
{
	static const struct {
		int64_t last_success, last_error_at;
		uint32_t minimum_s, pause_s;
	} cases[] = {
		{NOW - 100, 0, 0, 0}, {NOW - 100, 0, 900, 800}, {NOW - 100, NOW - 50, 900, 850}, {NOW - 900, 0, 900, 0}, {NOW, 0, 900, 900},
		{NOW + 5000, 0, 900, 0}, /* the clock was set back */
		{0, 0, 900, 0},          /* never tried */
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct mailbox_state mailbox = {.last_success = cases[i].last_success, .last_error_at = cases[i].last_error_at};

		assert_int_equal(schedule_pause_s(&mailbox, cases[i].minimum_s, NOW), cases[i].pause_s);
	}
}

/* 24 hours of a provider that fails in a pattern, one letter for each attempt: works, login refused, network. How many attempts there may be follows from the
 * back-offs (policy.h) with the least that their jitter leaves of them; at least so many show that it is not forgotten. */
static const struct day {
	const char *pattern;
	int64_t period_ns, minimum_ns;
	unsigned least, most;
} days[] = {
	{"l", 10 * S, 0, 5, 3 + 4},                                        /* 5 minutes, 15, an hour, then every 6 */
	{"l", 5 * MINUTE, 15 * MINUTE, 5, 3 + 4},                          /* the delay is no more than these */
	{"n", 10 * S, 0, 110, 3 + 180},                                    /* 10 s, 30 s, 2 minutes, then every 10, of which 8 may be left */
	{"n", HOUR, 0, 20, 4 + 27},                                        /* after three no oftener than if it worked: 54 minutes */
	{"wl", 10 * S, 0, 460, 2 * 280},                                   /* 5 minutes and 9 seconds for two */
	{"wn", 5 * MINUTE, 0, 480, 2 * 310},                               /* 4.5 minutes and 8 seconds */
	{"wn", 5 * MINUTE, 15 * MINUTE, 80, 96},                           /* each attempt may have been a login */
	{"wwwwwwwwwwwwwwwwwwwllnnnnnnnnnnnnnnn", 5 * MINUTE, 0, 180, 420}, /* an hour and a half well, then down for two */
	{"w", 5 * MINUTE, 0, 250, 320},
};

static void test_a_day_of_a_flaky_provider(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < 20 * ARRAY_SIZE(days); i++) {
		const struct day *day = &days[i % ARRAY_SIZE(days)];
		const char *what = day->pattern;
		uint64_t seed = i + 1;
		struct schedule_past past = {0};
		unsigned attempts = 0;

		for (int64_t now = BOOT, next; now < BOOT + DAY; now = next, attempts++) {
			enum backoff_clock clock = *what == 'l' ? BACKOFF_LOGIN : BACKOFF_NETWORK;
			uint32_t random = next_random(&seed);

			past = (struct schedule_past){
				.started_ns = now, .ended_ns = now + S * (random % 4), .failures = *what == 'w' ? 0 : past.failures + 1};
			past.back_off_ns = S * backoff_delay_s(clock, past.failures, next_random(&seed));
			next = schedule_next_ns(&past, day->period_ns, day->minimum_ns, next_random(&seed));
			assert_true(next - past.ended_ns >= day->minimum_ns);
			what = what[1] != '\0' ? what + 1 : day->pattern;
		}
		if (attempts < day->least || attempts > day->most)
			fail_msg("%s, every %lld s: %u attempts", day->pattern, (long long)(day->period_ns / S), attempts);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_back_off_holds_for_timers_only),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_weeks_of_polls),
		cmocka_unit_test(test_weeks_of_refused_logins),
		cmocka_unit_test(test_a_flaky_network),
		cmocka_unit_test(test_a_connection_that_ended),
		cmocka_unit_test(test_a_connection_that_begins_anew),
		cmocka_unit_test(test_starting_together),
		cmocka_unit_test(test_pauses_between_logins),
		cmocka_unit_test(test_a_day_of_a_flaky_provider),
		cmocka_unit_test(test_provider_minimum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
