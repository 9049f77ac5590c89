#include "tests/lib/watch-fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "mail/haul.h"

static char inbox[] = "INBOX", junk[] = "Junk";
static char *folders[] = {inbox, junk, NULL};

void watch_begin(struct watch_fixture *fixture, const struct step *script)
{
	*fixture = (struct watch_fixture){.facts.idle_s = 120};
	imap_fixture_init(&fixture->imap);
	fixture->imap.mailbox.folders = folders;
	imap_fixture_start(&fixture->imap, script, PEER_WHOLE);
	fixture->imap.context.facts = &fixture->facts;
	fixture->imap.context.writable = true;
	if (source_open(fixture->imap.source, &fixture->imap.err) < 0)
		fail_msg("%s", fixture->imap.err.text);
	fixture->watch = (struct source_watch){.seen = fixture->seen, .news = fixture->news, .until = DEADLINE_NEVER};
}

void watch_end(struct watch_fixture *fixture)
{
	imap_fixture_end(&fixture->imap);
	str_done(&fixture->listed);
	deadline_set_factor(1);
}

void watch_open(struct watch_fixture *fixture, unsigned folder)
{
	if (source_select(fixture->imap.source, folders[folder], true, &fixture->seen[folder], &fixture->imap.err) < 0)
		fail_msg("%s", fixture->imap.err.text);
}

int watch_once(struct watch_fixture *fixture)
{
	fixture->news[0] = fixture->news[1] = false;
	return source_wait(fixture->imap.source, &fixture->watch, &fixture->imap.err);
}

void watch_expect_news(struct watch_fixture *fixture, bool of_inbox, bool of_junk)
{
	if (watch_once(fixture) != 1)
		fail_msg("no news, but: %s", fixture->imap.err.text);
	assert_int_equal(fixture->news[0], of_inbox);
	assert_int_equal(fixture->news[1], of_junk);
}

void watch_expect_news_and_leave(struct watch_fixture *fixture, bool of_inbox, bool of_junk)
{
	struct error ignored;

	watch_expect_news(fixture, of_inbox, of_junk);
	source_flush(fixture->imap.source, &ignored);
	watch_end(fixture);
}

static int note(void *context, const struct listed *entry, struct error *err)
{
	struct watch_fixture *fixture = context;

	(void)err;
	str_addf(&fixture->listed, "%" PRIu32 " ", entry->uid);
	return 0;
}

void watch_list(struct watch_fixture *fixture, uint64_t above_uid, const char *uids)
{
	bool contradictory;

	str_clear(&fixture->listed);
	if (source_list(fixture->imap.source, above_uid, note, fixture, &contradictory, &fixture->imap.err) < 0)
		fail_msg("%s", fixture->imap.err.text);
	assert_false(contradictory);
	assert_string_equal(str_text(&fixture->listed), uids);
}

void watch_fetch(struct watch_fixture *fixture, uint32_t uid, uint64_t size, const char *expected)
{
	struct haul *haul = haul_new(1, uid, size, 0);
	struct str got = {0};

	assert_int_equal(source_request(fixture->imap.source, haul, &fixture->imap.err), 0);
	assert_int_equal(source_flush(fixture->imap.source, &fixture->imap.err), 0);
	imap_receive_all(&fixture->imap, 1, &got);
	assert_string_equal(str_text(&got), expected);
	str_done(&got);
}
