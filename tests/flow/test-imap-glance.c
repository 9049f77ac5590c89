/* test-imap-glance.c - an IMAP session that waits for mail and looks into its folders: in one flight, and all that is not as it was is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/watch-fixture.h"

#define CAPS "CAPABILITY IMAP4rev1 IDLE LIST-STATUS"

static const struct step shows_inbox[] = {S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), END};
static const struct step shows_junk[] = {S("* STATUS Junk (MESSAGES 1 UIDNEXT 4 UIDVALIDITY 8)"), END};
static const struct step selected[] = {S("* OK [" CAPS "] ready"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" CAPS "] in"),
	C("%2 SELECT \"Junk\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 8] ok"), S("* OK [UIDNEXT 4] ok"), S("%2 OK"), C("%3 SELECT \"INBOX\""),
	PLAY(shows_inbox), S("%3 OK"), END};
static const struct step glances[] = {PLAY(selected), C("%4 IDLE"), S("+"), C("DONE"), C("%5 SELECT \"INBOX\""),
	C("%6 STATUS \"Junk\" (MESSAGES UIDNEXT UIDVALIDITY)"), C("%7 IDLE"), S("%4 OK"), END};
static const struct step is_same[] = {PLAY(glances), PLAY(shows_inbox), S("%5 OK"), PLAY(shows_junk), S("%6 OK"), S("+"), END};

/* Ten seconds are 50 ms. */
static void begin(struct watch_fixture *fixture, const struct step *script)
{
	deadline_set_factor(WATCH_SECONDS_ARE_5_MS);
	watch_begin(fixture, script);
	watch_open(fixture, 1);
	watch_open(fixture, 0);
	fixture->watch.looks = true;
	fixture->watch.until = deadline_in_s(10);
}

/* It waits again, and hears. */
static void all_is_as_it_was(void **state)
{
	static const struct step script[] = {PLAY(is_same), S("* 4 EXISTS"), C("DONE"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	assert_int_equal(watch_once(&fixture), 0);
	assert_true(fixture.watch.looked);
	fixture.watch.until = DEADLINE_NEVER;
	watch_expect_news_and_leave(&fixture, true, false);
}

static void what_is_different_is_noticed(void **state)
{
#define INBOX(exists, uidvalidity, uidnext) S("* " exists " EXISTS"), S("* OK [UIDVALIDITY " uidvalidity "] ok"), S("* OK [UIDNEXT " uidnext "] ok")
#define JUNK(numbers) PLAY(glances), PLAY(shows_inbox), S("%5 OK"), S("* STATUS Junk (" numbers ")"), S("%6 OK"), S("+"), C("DONE"), END
#define REST S("%5 OK"), PLAY(shows_junk), S("%6 OK"), S("+"), C("DONE"), END
	static const struct step more[] = {PLAY(glances), INBOX("4", "7", "11"), REST};
	static const struct step fewer[] = {PLAY(glances), INBOX("2", "7", "10"), REST};
	static const struct step others[] = {PLAY(glances), INBOX("3", "7", "11"), REST};
	static const struct step renumbered[] = {PLAY(glances), INBOX("3", "9", "10"), REST};
	static const struct step silent[] = {PLAY(glances), S("* 3 EXISTS"), REST};
	static const struct step closed[] = {PLAY(glances), S("%5 NO later"), PLAY(shows_junk), S("%6 OK"), S("+"), C("DONE"), END};
	static const struct step more_junk[] = {JUNK("MESSAGES 2 UIDNEXT 5 UIDVALIDITY 8")};
	static const struct step fewer_junk[] = {JUNK("MESSAGES 0 UIDNEXT 4 UIDVALIDITY 8")};
	static const struct step renumbered_junk[] = {JUNK("MESSAGES 1 UIDNEXT 4 UIDVALIDITY 9")};
	static const struct step half_junk[] = {JUNK("MESSAGES 1 UIDNEXT 4")};
	static const struct step no_junk[] = {PLAY(glances), PLAY(shows_inbox), S("%5 OK"), S("%6 NO there is none"), S("+"), C("DONE"), END};
	static const struct step *const scripts[] = {
		more, fewer, others, renumbered, silent, closed, more_junk, fewer_junk, renumbered_junk, half_junk, no_junk};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		assert_in_range(watch_once(&fixture), 0, 1);
		assert_false(fixture.watch.looked);
		assert_int_equal(source_flush(fixture.imap.source, &fixture.imap.err), 0);
		watch_end(&fixture);
	}
}

/* Behind what the folder held when it was opened. */
static void mail_comes_at_that_moment(void **state)
{
	static const struct step after_select[] = {
		PLAY(glances), PLAY(shows_inbox), S("%5 OK"), S("* 4 EXISTS"), PLAY(shows_junk), S("%6 OK"), S("+ still"), C("DONE"), END};
	static const struct step after_status[] = {
		PLAY(glances), PLAY(shows_inbox), S("%5 OK"), PLAY(shows_junk), S("%6 OK"), S("* 4 EXISTS"), S("+ still"), C("DONE"), END};
	static const struct step *const scripts[] = {after_select, after_status};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct watch_fixture fixture;

		begin(&fixture, scripts[i]);
		watch_expect_news_and_leave(&fixture, true, false);
	}
}

/* Without LIST-STATUS it may be Exchange, and what STATUS says is of some other time: the folders are opened one after the other then. */
static void status_is_not_trusted_everywhere(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev1 IDLE] ready"), C("%1 LOGIN \"anna\" \"secret\""),
		S("%1 OK [CAPABILITY IMAP4rev1 IDLE] in"), C("%2 SELECT \"Junk\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 8] ok"),
		S("* OK [UIDNEXT 4] ok"), S("%2 OK"), C("%3 SELECT \"INBOX\""), PLAY(shows_inbox), S("%3 OK"), C("%4 IDLE"), S("+"), C("DONE"),
		S("%4 OK"), END};
	struct watch_fixture fixture;

	(void)state;
	begin(&fixture, script);
	assert_int_equal(watch_once(&fixture), 0);
	assert_false(fixture.watch.looked);
	watch_end(&fixture);
}

static void the_server_may_have_gone(void **state)
{
	static const struct step refuses[] = {
		PLAY(glances), PLAY(shows_inbox), S("%5 OK"), PLAY(shows_junk), S("%6 OK"), S("%7 NO not any more"), END};
	static const struct step says_nothing[] = {PLAY(glances), DRAIN, END};
	static const struct step leaves[] = {PLAY(glances), PLAY(shows_inbox), S("* BYE enough"), END};
	static const struct {
		const struct step *script;
		enum error_scope scope;
	} cases[] = {{refuses, SCOPE_FOLDER}, {says_nothing, SCOPE_MAILBOX}, {leaves, SCOPE_MAILBOX}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct watch_fixture fixture;

		begin(&fixture, cases[i].script);
		assert_int_equal(watch_once(&fixture), -1);
		assert_int_equal(fixture.imap.err.scope, cases[i].scope);
		watch_end(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_as_it_was),
		cmocka_unit_test(what_is_different_is_noticed),
		cmocka_unit_test(mail_comes_at_that_moment),
		cmocka_unit_test(status_is_not_trusted_everywhere),
		cmocka_unit_test(the_server_may_have_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
