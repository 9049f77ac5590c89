/* test-sentries.c - the daemon with a mailbox of several folders at servers that tell of one folder at a time: each of the others has a connection that only
 * listens, as far as the server and the other mailboxes leave room for it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scene.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

#define LIST " (UID RFC822.SIZE INTERNALDATE FLAGS)"

/* Not one of the addresses that are known as this machine's: there max_per_host holds. */
#define HOST "0x7f000001"

static const struct step is_refused[] = {
	PLAY(scene_greets), C("%2 CAPABILITY"), S("%1 NO [LIMIT] too many connections"), S("%2 BAD not logged in"), DRAIN, END};
static const struct step holds_one[] = {S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 2] ok"), END};
static const struct step looks_into_both[] = {C("%2 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%2 OK done"), C("%3 EXAMINE \"Junk\""),
	PLAY(scene_shows_nothing), S("%3 OK done"), C("%4 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%4 OK done"), END};
static const struct step idles[] = {C("%5 IDLE"), S("+ the session idles"), END};
/* One flight, whatever it was that has to be left for it. */
static const struct step hauls_junk[] = {C("DONE"), C("%6 EXAMINE \"Junk\""), C("%7 UID FETCH 1:4294967295" LIST),
	C("%8 UID FETCH 1:1 (UID BODY.PEEK[])"), S("%5 OK"), PLAY(holds_one), S("%6 OK done"), S("* 1 FETCH (UID 1 RFC822.SIZE 55)"), S("%7 OK"),
	S("* 1 FETCH (UID 1 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%8 OK"), END};
static const struct step returns[] = {
	C("%9 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%9 OK done"), C("* IDLE"), S("+ the session idles again"), END};
static const struct step listens[] = {PLAY(scene_logs_in_again), C("%3 EXAMINE \"Junk\""), PLAY(scene_shows_nothing), S("%3 OK done"), C("%4 IDLE"),
	S("+ the sentry listens"), END};

/* more: of the mailbox; others: mailboxes. */
static void begin_among(struct scene *scene, const struct step *script, const char *factor, const char *more, const char *others)
{
	char mailbox[200];

	snprintf(mailbox, sizeof(mailbox), "push: yes%s%s", strstr(more, "folders:") != NULL ? "" : ", folders: [INBOX, Junk]", more);
	scene_begin(scene, script, factor, HOST, mailbox, others);
}

static void begin(struct scene *scene, const struct step *script, const char *factor, const char *more)
{
	begin_among(scene, script, factor, more, "");
}

/* The session hauls, in one round trip. The sentry says nothing to its server meanwhile, and hears what comes next in the same IDLE. */
static void what_a_sentry_hears_is_hauled_by_the_session(void **state)
{
	static const struct step sentry[] = {PLAY(listens), S("* 1 EXISTS"), PLAY(scene_leaves), END};
	static const struct step script[] = {
		PLAY(scene_logs_in), PLAY(looks_into_both), ALSO(sentry), PLAY(idles), PLAY(hauls_junk), PLAY(returns), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, "");
	agent_await_text(&scene.agent, "the session idles again");
	scene_leave(&scene, 1);
	assert_false(agent_said(&scene.agent, "folder_not_pushed"));
	scene_end(&scene);
}

/* Between the session's look and the sentry's. */
static void what_came_before_the_sentry_is_hauled_too(void **state)
{
	static const struct step sentry[] = {
		PLAY(scene_logs_in_again), C("%3 EXAMINE \"Junk\""), PLAY(holds_one), S("%3 OK done"), C("%4 IDLE"), S("+"), PLAY(scene_leaves), END};
	static const struct step script[] = {
		PLAY(scene_logs_in), PLAY(looks_into_both), ALSO(sentry), PLAY(idles), PLAY(hauls_junk), PLAY(returns), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, "");
	agent_await_text(&scene.agent, "the session idles again");
	scene_leave(&scene, 1);
	scene_end(&scene);
}

/* The next one is listened to all the same. */
static void a_folder_that_cannot_be_opened(void **state)
{
	static const struct step sentries[] = {PLAY(scene_logs_in_again), C("%3 EXAMINE \"Junk\""), S("%3 NO gone since"), DRAIN, NEXT,
		PLAY(scene_logs_in_again), C("%3 EXAMINE \"Work\""), PLAY(scene_shows_nothing), S("%3 OK done"), C("%4 IDLE"),
		S("+ the sentry listens"), PLAY(scene_leaves), END};
	static const struct step script[] = {PLAY(scene_logs_in), C("%2 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%2 OK done"),
		C("%3 EXAMINE \"Junk\""), PLAY(scene_shows_nothing), S("%3 OK done"), C("%6 EXAMINE \"Work\""), PLAY(scene_shows_nothing),
		S("%6 OK done"), C("%4 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%4 OK done"), ALSO(sentries), PLAY(idles),
		PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, ", poll_every: 1d, folders: [INBOX, Junk, Work]");
	agent_await_text(&scene.agent, "the sentry listens");
	scene_leave(&scene, 0);
	assert_true(agent_said(&scene.agent, "gone since"));
	scene_end(&scene);
}

/* The session listens to the first that can be. */
static void a_first_folder_that_is_missing(void **state)
{
	static const struct step script[] = {PLAY(scene_logs_in), C("%2 EXAMINE \"INBOX\""), S("%2 NO no such folder"), C("%3 EXAMINE \"Junk\""),
		PLAY(scene_shows_nothing), S("%3 OK done"), PLAY(idles), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, NULL, ", poll_every: 1d");
	agent_await_text(&scene.agent, "the session idles");
	scene_leave(&scene, 0);
	assert_true(agent_said(&scene.agent, "no such folder"));
	scene_end(&scene);
}

/* The folder is polled then, nobody is alarmed, and five minutes later, here 0.6 s, it is tried again. */
static void a_server_that_lets_in_no_more(void **state)
{
	static const struct step sentry[] = {PLAY(is_refused), NEXT, PLAY(listens), PLAY(scene_leaves), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(looks_into_both), ALSO(sentry), PLAY(idles), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.002", ", poll_every: 1d");
	agent_await_text(&scene.agent, "the sentry listens");
	scene_leave(&scene, 0);
	assert_true(agent_said(&scene.agent, "info event=folder_not_pushed"));
	assert_true(agent_said(&scene.agent, "too many connections"));
	assert_false(agent_said(&scene.agent, "mailbox_failed"));
	scene_end(&scene);
}

/* With its session a sentry ends, too. */
static void a_new_session_has_new_sentries(void **state)
{
	static const struct step former[] = {PLAY(listens), S("* 0 RECENT"), PLAY(scene_leaves), END};
	static const struct step sentry[] = {PLAY(listens), S("* OK the second one"), PLAY(scene_leaves), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(looks_into_both), ALSO(former), PLAY(idles), PLAY(scene_leaves), NEXT,
		PLAY(scene_logs_in_again), PLAY(looks_into_both), ALSO(sentry), PLAY(idles), PLAY(scene_leaves), END};
	struct scene scene;

	(void)state;
	begin(&scene, script, "0.01", "");
	agent_await_text(&scene.agent, "the sentry listens");
	kill(scene.agent.pid, SIGHUP);
	agent_await_text(&scene.agent, "the second one");
	scene_leave(&scene, 0);
	assert_false(agent_said(&scene.agent, "folder_not_pushed"));
	scene_end(&scene);
}

/* Two that only poll come to the same host, of which one hangs: the sentry goes. */
static void a_sentry_gives_way(void **state)
{
	static const struct step sentry[] = {PLAY(listens), PLAY(scene_leaves), END};
	static const struct step script[] = {PLAY(scene_logs_in), PLAY(looks_into_both), ALSO(sentry), PLAY(idles), C("DONE"), S("%5 OK"),
		C("%6 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%6 OK done"), C("%7 EXAMINE \"Junk\""), PLAY(scene_shows_nothing),
		S("%7 OK done"), PLAY(returns), PLAY(scene_leaves), END};
	static const struct step hangs[] = {SILENCE, END};
	static const struct step polled[] = {PLAY(scene_logs_in), C("%3 EXAMINE \"INBOX\""), PLAY(scene_shows_nothing), S("%3 OK done"),
		C("%4 LOGOUT"), S("* BYE see you"), S("%4 OK"), END};
	struct peer *tarpit = peer_start(hangs, PEER_LISTEN), *other = peer_start(polled, PEER_LISTEN);
	struct scene scene;
	char others[200];

	(void)state;
	snprintf(others, sizeof(others),
		"  - {name: tarpit, imap: \"" HOST ":%u\", poll_every: 1d}\n"
		"  - {name: other, imap: \"" HOST ":%u\", poll_every: 1d}\n",
		tarpit->port, other->port);
	begin_among(&scene, script, NULL, "", others);
	agent_await_text(&scene.agent, "the sentry listens");
	kill(scene.agent.pid, SIGUSR1);
	peer_finish(other);
	agent_await_text(&scene.agent, "the session idles again");
	scene_leave(&scene, 0);
	peer_finish(tarpit);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_sentry_hears_is_hauled_by_the_session),
		cmocka_unit_test(what_came_before_the_sentry_is_hauled_too),
		cmocka_unit_test(a_folder_that_cannot_be_opened),
		cmocka_unit_test(a_first_folder_that_is_missing),
		cmocka_unit_test(a_server_that_lets_in_no_more),
		cmocka_unit_test(a_new_session_has_new_sentries),
		cmocka_unit_test(a_sentry_gives_way),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
