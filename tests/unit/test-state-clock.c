/* test-state-clock.c - sequences of what a machine's clocks show, and what retention and doubt may make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "state/clock.h"

#define HOUR 3600
#define DAY 86400
#define NOW 1800000000

struct moment {
	const char *boot;
	int64_t boottime, wall;
	int64_t least, most; /* since the first moment */
};

struct sequence {
	const char *what;
	struct moment moments[5]; /* up to the first without a wall clock */
};

static const struct sequence sequences[] = {
	{"nothing unusual", {{"a", 10, NOW, 0, 0}, {"a", 70, NOW + 60, 60, 60}, {"a", 10 + 3 * DAY, NOW + 3 * DAY, 3 * DAY, 3 * DAY}}},
	{"read between two seconds", {{"a", 10, NOW, 0, 0}, {"a", 11, NOW, 0, 0}, {"a", 14, NOW + 4, 4, 4}}},
	{"set forward by a week while running",
		{{"a", 10, NOW, 0, 0}, {"a", 20, NOW + 7 * DAY, 10, 7 * DAY}, {"a", 80, NOW + 7 * DAY + 60, 70, 7 * DAY + 60}}},
	{"set back by a week", {{"a", 10, NOW, 0, 0}, {"a", 20, NOW - 7 * DAY, 10, 10}, {"a", 80, NOW - 7 * DAY + 60, 70, 70}}},
	{"set forward and back", {{"a", 10, NOW, 0, 0}, {"a", 20, NOW + DAY, 10, DAY}, {"a", 30, NOW + 20, 20, DAY + 10}}},
	{"1970, then set", {{"a", 10, 100, 0, 0}, {"a", 40, NOW, 30, NOW - 100}, {"a", 100, NOW + 60, 90, NOW - 40}}},
	{"set, and 1970 after the next boot, then set", {{"a", 10, NOW, 0, 0}, {"b", 5, 5, 0, 0}, {"b", 65, NOW + DAY, 60, NOW + DAY - 5}}},
	{"1970 before and after a boot", {{"a", 10, 100, 0, 0}, {"b", 5, 5 * HOUR, 0, 5 * HOUR - 100}}},
	{"1970, and set after the next boot", {{"a", 10, 100, 0, 0}, {"b", 5, NOW, 0, NOW - 100}}},
	{"off for an hour", {{"a", 10, NOW, 0, 0}, {"b", 5, NOW + HOUR, HOUR, HOUR}, {"b", 15, NOW + HOUR + 10, HOUR + 10, HOUR + 10}}},
	{"off for a week", {{"a", 10, NOW, 0, 0}, {"b", 5, NOW + 7 * DAY, DAY, 7 * DAY}}},
	{"set back while it was off", {{"a", 10, NOW, 0, 0}, {"b", 5, NOW - DAY, 0, 0}, {"b", 25, NOW - DAY + 20, 20, 20}}},
	{"suspended for a week, which the time since boot counts", {{"a", 10, NOW, 0, 0}, {"a", 10 + 7 * DAY, NOW + 7 * DAY, 7 * DAY, 7 * DAY}}},
	{"nobody says which boot", {{"", 10, NOW, 0, 0}, {"", 70, NOW + 60, 60, 60}, {"", 80, NOW + 9 * DAY, 70, 9 * DAY},
					   {"", 5, NOW + 9 * DAY + HOUR, 70 + HOUR, 9 * DAY + HOUR}}},
	{"the beyond", {{"a", 10, NOW, 0, 0}, {"b", 5, NOW + INT64_C(40) * 365 * DAY, 0, INT64_C(40) * 365 * DAY}}},
};

static struct clock_reading reading_of(const struct moment *moment)
{
	struct clock_reading reading = {.wall_s = moment->wall, .boottime_s = moment->boottime};

	strcpy(reading.boot, moment->boot);
	return reading;
}

static struct state_clock moved(const struct state_clock *clock, const struct moment *moment)
{
	const struct clock_reading reading = reading_of(moment);

	return clock_moved(clock, &reading);
}

/* always: every moment is kept. Else only what is worth keeping, which must come to the same. */
static void play(const struct sequence *sequence, bool always)
{
	struct state_clock kept = {0};

	for (const struct moment *moment = sequence->moments; moment->wall != 0; moment++) {
		struct state_clock now = moved(&kept, moment);
		int64_t begin = sequence->moments[0].wall;

		if (moment->wall + now.least_ahead - begin != moment->least || moment->wall + now.most_ahead - begin != moment->most)
			fail_msg("%s, moment %d: least %lld, most %lld", sequence->what, (int)(moment - sequence->moments),
				(long long)(moment->wall + now.least_ahead - begin), (long long)(moment->wall + now.most_ahead - begin));
		if (always || clock_is_worth_keeping(&kept, &now))
			kept = now;
	}
}

static void what_a_machine_shows(void **ctx)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
		play(&sequences[i], true);
		play(&sequences[i], false);
	}
}

/* From anywhere to anywhere, also to what was seen before: neither hand goes back, and least is never ahead of most. */
static void neither_hand_goes_back(void **ctx)
{
	static const char *const boots[] = {"a", "b", ""};
	static const int64_t walls[] = {100, NOW, NOW + 2 * DAY, NOW - 300 * DAY}, boottimes[] = {5, 10 * DAY};
	struct state_clock clock = {0};
	uint32_t random = 1;

	(void)ctx;
	for (unsigned i = 0; i < 10000; i++) {
		struct moment moment;
		struct state_clock next;

		random = random * 1103515245u + 12345u;
		moment = (struct moment){boots[(random >> 16) % 3], boottimes[(random >> 20) % 2], walls[(random >> 24) % 4], 0, 0};
		next = moved(&clock, &moment);
		assert_true(next.least_ahead <= next.most_ahead);
		if (i != 0) {
			assert_true(next.at.wall_s + next.least_ahead >= clock.at.wall_s + clock.least_ahead);
			assert_true(next.at.wall_s + next.most_ahead >= clock.at.wall_s + clock.most_ahead);
		}
		clock = next;
	}
}

static void kept_rarely(void **ctx)
{
	static const struct moment begin = {"a", 10, NOW, 0, 0};
	static const struct {
		struct moment moment;
		bool worth;
	} cases[] = {
		{{"a", 10, NOW, 0, 0}, false},
		{{"a", 9 + HOUR, NOW + HOUR - 1, 0, 0}, false},
		{{"a", 10 + HOUR, NOW + HOUR, 0, 0}, true},
		{{"a", 20, NOW + DAY, 0, 0}, true},
		{{"a", 20, NOW - 60, 0, 0}, true},
		{{"b", 20, NOW + 10, 0, 0}, true},
	};
	const struct state_clock never = {0}, clock = moved(&never, &begin);

	(void)ctx;
	assert_true(clock_is_worth_keeping(&never, &clock));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct state_clock now = moved(&clock, &cases[i].moment);

		assert_int_equal(clock_is_worth_keeping(&clock, &now), cases[i].worth);
	}
}

static void text_and_back(void **ctx)
{
	static const char *const boots[] = {"", "01234567-89ab-cdef-0123-456789abcdef"};
	char text[CLOCK_TEXT_BYTES];

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(boots); i++) {
		struct state_clock clock = {.at = {1LL << 39, 1LL << 39, ""}, .least_ahead = -(1LL << 39), .most_ahead = -1}, again = {0};

		strcpy(clock.at.boot, boots[i]);
		clock_print(text, &clock);
		assert_true(clock_parse(text, &again));
		assert_string_equal(again.at.boot, clock.at.boot);
		assert_true(again.at.wall_s == clock.at.wall_s && again.at.boottime_s == clock.at.boottime_s);
		assert_true(again.least_ahead == clock.least_ahead && again.most_ahead == clock.most_ahead);
	}
	assert_false(clock_parse("", &(struct state_clock){0}));
	assert_false(clock_parse("1 2 x", &(struct state_clock){0}));
	assert_false(clock_parse("1800000000 10 9223372036854775807 0", &(struct state_clock){0})); /* everything kept for a time would be over */
}

static void the_machine_can_be_read(void **ctx)
{
	struct clock_reading first = {0}, second = {0};

	(void)ctx;
	clock_read(&first);
	clock_read(&second);
	assert_true(first.wall_s > 0 && first.boottime_s > 0);
	assert_string_equal(first.boot, second.boot);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_machine_shows),
		cmocka_unit_test(neither_hand_goes_back),
		cmocka_unit_test(kept_rarely),
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(the_machine_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
