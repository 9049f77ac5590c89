/* What a lying worker could say: every kind in every direction, with every number of descriptors, every wrong length and enumerator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "channel/facts.h"
#include "channel/record.h"

static struct record sound(enum record_kind kind)
{
	struct record record = {.kind = (uint16_t)kind, .seq = 1, .id = 7, .targets = 1, .verdict = VERDICT_ACCEPTED};

	if (kind == REC_DESTINATION)
		record.error = ERR_TEMP;
	if (kind == REC_RUN)
		record_set_text(&record, "a@b\0c@d", 8);
	return record;
}

static const char *check(const struct record *record, unsigned fds, bool from_worker)
{
	return record_check(record, record_size(record), fds, from_worker);
}

struct rule {
	enum record_kind kind;
	bool from_worker;
	unsigned min_fds, max_fds;
	bool text;
};

static const struct rule rules[] = {
	{REC_JOB, false, 1, 1, false},
	{REC_SECRET, false, 1, 1, false},
	{REC_READY, false, 0, 1, false},
	{REC_ACK, false, 0, 0, false},
	{REC_STOP, false, 0, 0, false},
	{REC_POLL, false, 0, 0, false},
	{REC_WOKE, false, 0, 0, false},
	{REC_KNOWN, false, 1, 1, false},
	{REC_PLANNED, false, 0, 0, false},
	{REC_CONNECTED, false, 1, 1, true},
	{REC_FILE, false, 1, 1, false},
	{REC_STARTED, false, 1, 1, false},
	{REC_EXITED, false, 0, 0, false},
	{REC_FAILED, false, 0, 0, true},
	{REC_NOTED, false, 0, 0, false},
	{REC_MATCHED, false, 0, 0, false},
	{REC_JUDGED, false, 0, 0, false},
	{REC_WATCH, false, 0, 0, false},
	{REC_CONNECT, true, 0, 0, false},
	{REC_FOLDER, true, 0, 0, false},
	{REC_PLAN, true, 1, 1, false},
	{REC_WANT_FILE, true, 0, 0, false},
	{REC_RUN, true, 1, 1, true},
	{REC_WAIT, true, 0, 0, false},
	{REC_MATCH, true, 0, 0, false},
	{REC_DESTINATION, true, 0, 0, true},
	{REC_JUDGE, true, 0, 0, false},
	{REC_VERIFY, true, 0, 0, false},
	{REC_IDLE, true, 0, 0, true},
	{REC_BUSY, true, 0, 0, false},
	{REC_LOOKED, true, 0, 0, false},
	{REC_HEARD, true, 0, 0, false},
	{REC_ALIVE, true, 0, 0, false},
	{REC_INTENT, true, 0, 0, false},
	{REC_OUTCOME, true, 0, 0, true},
	{REC_UNFETCHED, true, 0, 0, true},
	{REC_DISPOSED, true, 0, 0, false},
	{REC_RECOGNIZE, true, 0, 0, false},
	{REC_LOG, true, 0, 0, true},
	{REC_PROGRESS, true, 0, 0, false},
	{REC_REPORT, true, 0, 0, true},
	{REC_TRACE, true, 0, 0, true},
	{REC_HOST, true, 0, 0, false},
	{REC_MAILDIR, true, 0, 0, false},
	{REC_END, true, 0, 0, true},
};

static void test_directions_and_descriptors(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct record record = sound(rules[i].kind);

		for (unsigned fds = 0; fds <= RECORD_FDS_MAX; fds++) {
			bool fits = fds >= rules[i].min_fds && fds <= rules[i].max_fds;

			assert_int_equal(check(&record, fds, rules[i].from_worker) == NULL, fits);
			assert_non_null(check(&record, fds, !rules[i].from_worker));
		}
	}
}

static void test_every_kind_that_is_not_one(void **unused)
{
	(void)unused;
	for (unsigned kind = 0; kind < 1000; kind++) {
		struct record record = sound(REC_PROGRESS);
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
			known = known || (unsigned)rules[i].kind == kind;
		if (known)
			continue;
		record.kind = (uint16_t)kind;
		assert_non_null(check(&record, 0, true));
		assert_non_null(check(&record, 0, false));
	}
}

static void test_text_only_where_it_belongs(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct record record = sound(rules[i].kind);

		if (rules[i].kind == REC_RUN)
			continue;
		record_set_text(&record, "words", 5);
		assert_int_equal(check(&record, rules[i].min_fds, rules[i].from_worker) == NULL, rules[i].text);
	}
}

static void test_every_wrong_length(void **unused)
{
	struct record record = sound(REC_END);

	(void)unused;
	record_set_text(&record, "words", 5);
	for (size_t bytes = 0; bytes <= sizeof(record); bytes++)
		assert_int_equal(record_check(&record, bytes, 0, true) == NULL, bytes == record_size(&record));
	record.len = RECORD_TEXT_MAX + 1;
	assert_non_null(check(&record, 0, true));
}

static void test_enumerators(void **unused)
{
	struct record record = sound(REC_OUTCOME);

	(void)unused;
	for (unsigned verdict = 0; verdict < 256; verdict++) {
		record.verdict = (uint8_t)verdict;
		assert_int_equal(check(&record, 0, true) == NULL, verdict >= VERDICT_ACCEPTED && verdict <= VERDICT_RETRACTED);
	}
	record = sound(REC_OUTCOME);
	record.index = TARGETS_MAX;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_DESTINATION);
	record.index = TARGETS_MAX;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_DESTINATION);
	record.error = ERR_NONE;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_END);
	record.error = ERR_CANCELED + 1;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_END);
	record.scope = SCOPE_PROGRAM + 1;
	assert_non_null(check(&record, 0, true));
}

static void test_durable_ones_need_number_and_message(void **unused)
{
	static const enum record_kind durable[] = {REC_INTENT, REC_OUTCOME, REC_UNFETCHED, REC_DISPOSED};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(durable); i++) {
		struct record record = sound(durable[i]);

		assert_true(record_is_durable(durable[i]));
		assert_null(check(&record, 0, true));
		record.seq = 0;
		assert_non_null(check(&record, 0, true));
		record = sound(durable[i]);
		record.id = 0;
		assert_non_null(check(&record, 0, true));
	}
	assert_false(record_is_durable(REC_PROGRESS));
}

static void test_intent_needs_a_target(void **unused)
{
	struct record record = sound(REC_INTENT);

	(void)unused;
	record.targets = 0;
	assert_non_null(check(&record, 0, true));
}

static void test_run_is_two_strings(void **unused)
{
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} cases[] = {
		{"a\0b", 4, true},
		{"\0b", 3, true},
		{"a\0", 3, true},
		{"a\0b", 3, false},
		{"a", 2, false},
		{"a\0b\0c", 6, false},
		{"a\0b\0", 5, false},
		{"", 0, false},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record record = sound(REC_RUN);

		record_set_text(&record, cases[i].text, cases[i].len);
		assert_int_equal(check(&record, 1, true) == NULL, cases[i].good);
	}
}

static void test_news_of_a_folder(void **unused)
{
	struct record record = sound(REC_POLL);

	(void)unused;
	record.index = TIPS_MAX;
	assert_null(check(&record, 0, false));
	record.index++;
	assert_non_null(check(&record, 0, false));
}

static void test_facts_about_a_host(void **unused)
{
	struct record record = sound(REC_HOST);

	(void)unused;
	record.verdict = BOUNDARY_UNSAFE;
	record.targets = UINT32_MAX;
	assert_null(check(&record, 0, true));
	record.targets++;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_HOST);
	record.verdict = BOUNDARY_UNSAFE + 1;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_HOST);
	record.size = UINT32_MAX;
	assert_null(check(&record, 0, true));
	record.size++;
	assert_non_null(check(&record, 0, true));
	record = sound(REC_HOST);
	record.code = 2;
	assert_non_null(check(&record, 0, true));
}

static void test_no_nul_in_error_texts(void **unused)
{
	struct record record = sound(REC_END);

	(void)unused;
	record_set_text(&record, "a\0b", 3);
	assert_non_null(check(&record, 0, true));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directions_and_descriptors),
		cmocka_unit_test(test_every_kind_that_is_not_one),
		cmocka_unit_test(test_text_only_where_it_belongs),
		cmocka_unit_test(test_every_wrong_length),
		cmocka_unit_test(test_enumerators),
		cmocka_unit_test(test_durable_ones_need_number_and_message),
		cmocka_unit_test(test_intent_needs_a_target),
		cmocka_unit_test(test_run_is_two_strings),
		cmocka_unit_test(test_news_of_a_folder),
		cmocka_unit_test(test_facts_about_a_host),
		cmocka_unit_test(test_no_nul_in_error_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
