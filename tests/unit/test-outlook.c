#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervisor/attendant.h"
#include "supervisor/outlook.h"
#include "supervisor/roster.h"

static bool is_lent(void *context, const char *name)
{
	return strcmp(context, name) == 0;
}

static int sealed(const char *text, size_t len)
{
	int fd = fs_sealed("outlook", text, len, NULL);

	assert_true(fd >= 0);
	return fd;
}

static void what_is_written_can_be_read(void **unused)
{
	static char resting[] = "resting", waiting[] = "waiting", hauling[] = "hauling", lent[] = "lent", gone[] = "gone";
	struct mailbox_config mailboxes[] = {{.name = resting}, {.name = waiting}, {.name = hauling}, {.name = lent}, {.name = gone}};
	struct attendant attendant = {.started_s = 1700000000};
	struct post posts[] = {
		{.mailbox = &mailboxes[0], .state = POST_RESTING, .due_ns = clock_boottime_ns() + 3600 * INT64_C(1000000000)},
		{.mailbox = &mailboxes[1], .state = POST_WAITING},
		{.mailbox = &mailboxes[2], .state = POST_HAULING, .attendant = &attendant},
		{.mailbox = &mailboxes[3], .state = POST_RESTING},
		{.mailbox = &mailboxes[4], .state = POST_RESTING, .gone = true},
	};
	struct post *list[] = {&posts[0], &posts[1], &posts[2], &posts[3], &posts[4]};
	const struct roster roster = {.posts = list, .count = ARRAY_SIZE(list)};
	struct outlook outlook;
	struct str text = {0};

	(void)unused;
	outlook_write(&roster, 1600000000, is_lent, lent, &text);
	assert_true(outlook_read(sealed(text.data, text.len), &outlook));
	str_done(&text);
	assert_int_equal(outlook.started_s, 1600000000);
	assert_int_equal(outlook.count, 4);
	for (size_t i = 0; i < outlook.count; i++) /* each is what its name says */
		assert_string_equal(outlook.mailboxes[i].doing, outlook.mailboxes[i].name);
	assert_in_range(outlook_find(&outlook, resting)->next_s, clock_wall_s() + 3590, clock_wall_s() + 3600);
	assert_int_equal(outlook_find(&outlook, hauling)->since_s, 1700000000);
	assert_null(outlook_find(&outlook, gone));
	outlook_done(&outlook);
}

static void nonsense_is_no_outlook(void **unused)
{
	static const char *const texts[] = {"", "\n", "daemon\n", "daemon\t0\t0\n", "mailbox\ta\tresting\t0\t0\n", "daemon\t7\t1\nmailbox\ta\n",
		"daemon\t7\t1\nmailbox\ta\tdoing-something-very-long\t0\t0\n",
		"daemon\t7\t1\nmailbox\taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\tresting\t0\t0\n"};
	struct outlook outlook;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (outlook_read(sealed(texts[i], strlen(texts[i])), &outlook))
			fail_msg("taken: %s", texts[i]);
		outlook_done(&outlook);
	}
	assert_false(outlook_read(-1, &outlook));
	assert_true(outlook_read(sealed("daemon\t7\t1", 10), &outlook));
	outlook_done(&outlook);
}

/* By one connection for all folders, or by one for each that has one. */
static void where_mail_is_heard_of(void **unused)
{
	static char all[] = "all", some[] = "some", inbox[] = "INBOX", junk[] = "Junk", sent[] = "Sent", *folders[] = {inbox, junk, sent, NULL};
	struct mailbox_config mailboxes[] = {{.name = all, .folders = folders}, {.name = some, .folders = folders}};
	struct attendant of_all = {.idle = true}, of_one = {.idle = true, .heard = 1}, sentry = {.idle = true}, starting = {.idle = false};
	struct sentry sentries[] = {{.attendant = NULL}, {.attendant = &starting}, {.attendant = &sentry}};
	struct post posts[] = {
		{.mailbox = &mailboxes[0], .state = POST_PUSHED, .attendant = &of_all},
		{.mailbox = &mailboxes[1], .state = POST_PUSHED, .attendant = &of_one, .sentries = {.list = sentries, .count = 3, .running = 2}},
	};
	struct post *list[] = {&posts[0], &posts[1]};
	const struct roster roster = {.posts = list, .count = ARRAY_SIZE(list)};
	struct outlook outlook;
	struct str text = {0};

	(void)unused;
	outlook_write(&roster, 1600000000, is_lent, all + 1, &text);
	assert_true(outlook_read(sealed(text.data, text.len), &outlook));
	str_done(&text);
	for (size_t i = 0; i < 100; i++) {
		assert_true(outlook_is_pushed(outlook_find(&outlook, all), i));
		assert_int_equal(outlook_is_pushed(outlook_find(&outlook, some), i), i == 0 || i == 2);
	}
	outlook_done(&outlook);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_can_be_read),
		cmocka_unit_test(where_mail_is_heard_of),
		cmocka_unit_test(nonsense_is_no_outlook),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
