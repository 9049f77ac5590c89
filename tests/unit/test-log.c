#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static struct log_entry last;
static unsigned entries;

static void remember(const struct log_entry *entry, void *context)
{
	assert_ptr_equal(context, &entries);
	last = *entry;
	entries++;
}

static int hear(void **state)
{
	(void)state;
	entries = 0;
	log_to(remember, &entries, LEVEL_INFO);
	return 0;
}

static const char *line_of(const struct log_entry *entry)
{
	static char line[LOG_BYTES_MAX];
	size_t len = log_format(line, sizeof(line), entry);

	assert_int_equal(strlen(line), len);
	return line;
}

static void inherits_fields_in_order(void **state)
{
	const struct log mailbox = {NULL, "mailbox", "anna"}, bare = {&mailbox, NULL, NULL}, folder = {&bare, "folder", "INBOX"};
	struct log_entry entry;

	(void)state;
	log_begin(&entry, &folder, LEVEL_NOTICE, "hauled");
	log_number(&entry, "uid", -42);
	log_text(&entry, "nothing", NULL);
	log_bytes(&entry, "raw", "a\0b", 3);
	log_end(&entry);
	assert_int_equal(entries, 1);
	assert_int_equal(log_entry_check(&last), 0);
	assert_string_equal(line_of(&last), "notice event=hauled mailbox=anna folder=INBOX uid=-42 raw=\"a b\"");
}

static void lets_only_important_entries_through(void **state)
{
	(void)state;
	log_say(NULL, LEVEL_DEBUG, "noise", "x");
	assert_int_equal(entries, 0);
	log_say(NULL, LEVEL_ERROR, "trouble", "%s is %d", "it", 7);
	assert_int_equal(entries, 1);
	assert_string_equal(line_of(&last), "error event=trouble text=\"it is 7\"");
	assert_int_equal(log_max_level(), LEVEL_INFO);
	log_to(NULL, NULL, LEVEL_DEBUG);
	log_say(NULL, LEVEL_ERROR, "unheard", "x");
	assert_int_equal(entries, 1);
}

/* Remote text that looks like our own grammar, line ends, terminal sequences. */
static void no_value_can_pretend_to_be_a_field(void **state)
{
	static const struct {
		const char *value, *shown;
	} cases[] = {
		{"plain-word", "plain-word"},
		{"", "\"\""},
		{"two words", "\"two words\""},
		{"x event=hauled", "\"x event=hauled\""},
		{"a=b", "\"a=b\""},
		{"say \"hi\"", "\"say \\x22hi\\x22\""},
		{"a\nerror event=y", "\"a\\x0Aerror event=y\""},
		{"\033]0;x\007", "\"\\x1B]0;x\\x07\""},
		{"\303\274", "\"\\xC3\\xBC\""},
	};
	char expected[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_entry entry;

		log_begin(&entry, NULL, LEVEL_INFO, "reply");
		log_text(&entry, "text", cases[i].value);
		snprintf(expected, sizeof(expected), "info event=reply text=%s", cases[i].shown);
		assert_string_equal(line_of(&entry), expected);
	}
}

static void a_line_stays_below_its_limit(void **state)
{
	static char long_value[5000];

	(void)state;
	for (int fill = 0; fill < 2; fill++) {
		memset(long_value, fill == 0 ? 'x' : '\n', sizeof(long_value) - 1);
		for (size_t len = 0; len < sizeof(long_value); len += 61) {
			struct log_entry entry;

			log_begin(&entry, NULL, LEVEL_INFO, "flood");
			for (unsigned i = 0; i < LOG_FIELDS_MAX + 2; i++)
				log_bytes(&entry, "k", long_value, len);
			assert_true(entry.fields <= LOG_FIELDS_MAX);
			assert_true(entry.len <= sizeof(entry.data));
			assert_int_equal(log_entry_check(&entry), 0);
			for (size_t size = 64; size <= LOG_BYTES_MAX; size += 97) {
				char *out = xmalloc(size);

				assert_true(log_format(out, size, &entry) < size);
				free(out);
			}
		}
	}
}

static void checks_entries_from_elsewhere(void **state)
{
	struct log_entry good, bad;

	(void)state;
	log_begin(&good, NULL, LEVEL_INFO, "hauled");
	log_text(&good, "uid", "7");
	assert_int_equal(log_entry_check(&good), 0);
	bad = good;
	bad.level = (enum log_level)17;
	assert_int_equal(log_entry_check(&bad), -1);
	bad = good;
	memset(bad.event, 'x', sizeof(bad.event));
	assert_int_equal(log_entry_check(&bad), -1);
	bad = good;
	strcpy(bad.event, "a b");
	assert_int_equal(log_entry_check(&bad), -1);
	bad = good;
	bad.fields = 2;
	assert_int_equal(log_entry_check(&bad), -1);
	bad = good;
	bad.data[0] = 'U';
	assert_int_equal(log_entry_check(&bad), -1);
	bad = good;
	bad.len = sizeof(bad.data) + 1;
	assert_int_equal(log_entry_check(&bad), -1);
	for (size_t len = 1; len < good.len; len++) {
		bad = good;
		bad.len = len;
		assert_int_equal(log_entry_check(&bad), -1);
	}
}

/* What a sink writes to stderr. */
static const char *written_by(log_sink_fn *sink, const struct log_entry *entry)
{
	static char text[LOG_BYTES_MAX * 7];
	int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
	ssize_t len;

	assert_true(file >= 0 && saved >= 0);
	dup2(file, STDERR_FILENO);
	sink(entry, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	len = pread(file, text, sizeof(text) - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	close(file);
	return text;
}

static void sinks_write_one_line(void **state)
{
	struct log_entry entry;

	(void)state;
	log_begin(&entry, NULL, LEVEL_WARNING, "reply");
	log_text(&entry, "text", "a \"b\"\\\n\177\303");
	assert_string_equal(written_by(log_sink_text, &entry), "warning event=reply text=\"a \\x22b\\x22\\x5C\\x0A\\x7F\\xC3\"\n");
	assert_string_equal(
		written_by(log_sink_json, &entry), "{\"level\":\"warning\",\"event\":\"reply\",\"text\":\"a \\\"b\\\"\\\\\\u000a\\u007f\\u00c3\"}\n");
	log_sink_journal(&entry, NULL); /* there may be no journal; it must at least survive */
}

static void levels_have_names(void **state)
{
	(void)state;
	assert_string_equal(log_level_name(LEVEL_ERROR), "error");
	assert_string_equal(log_level_name(LEVEL_DEBUG), "debug");
	assert_string_equal(log_level_name((enum log_level)5), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(inherits_fields_in_order, hear),
		cmocka_unit_test_setup(lets_only_important_entries_through, hear),
		cmocka_unit_test(no_value_can_pretend_to_be_a_field),
		cmocka_unit_test(a_line_stays_below_its_limit),
		cmocka_unit_test(checks_entries_from_elsewhere),
		cmocka_unit_test(sinks_write_one_line),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
