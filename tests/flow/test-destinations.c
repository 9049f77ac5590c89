/* test-destinations.c - several destinations, one of them down: the real program between scripted servers, which count what is fetched and tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

static const struct step source_enters[] = {
	S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT"), END};
static const struct step lists_one[] = {
	PLAY(source_enters), S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step lists_two[] = {
	PLAY(source_enters), S("+OK 2 110"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("2 55"), S("."), S("+OK"), S("1 a"), S("2 b"), S("."), END};
#define HANDS_OUT(number) C("RETR " number), S("+OK"), RAW(LETTER), S(".")
#define LEAVES C("QUIT"), S("+OK bye")

static const struct step fetched[] = {PLAY(lists_one), HANDS_OUT("1"), LEAVES, END};
static const struct step fetched_and_deleted[] = {PLAY(lists_one), HANDS_OUT("1"), C("DELE 1"), S("+OK"), LEAVES, END};
static const struct step not_fetched[] = {PLAY(lists_one), LEAVES, END};

#define GREETS S("220 mx"), C("LHLO *"), S("250 mx")
#define TAKES                                                                                                                           \
	C("MAIL FROM:<ben@far.example>*"), S("250 ok"), C("RCPT TO:<anna@home.example>*"), S("250 ok"), C("DATA"), S("354 go on"), DOT, \
		S("250 2.0.0 taken")
static const struct step is_down[] = {S("421 not now"), CLOSE, END};
static const struct step leaves_early[] = {GREETS, C("MAIL FROM:<ben@far.example>*"), S("421 going down"), CLOSE, END};
static const struct step takes_one[] = {GREETS, TAKES, C("QUIT"), S("221 bye"), END};

static void configure(struct agent *agent, const char *deliver_to, uint16_t source_port, uint16_t sink_port, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n  away: {lmtp: \"127.0.0.1:%u\", recipient: anna@home.example}\n"
		"defaults: {tls: none, user: anna, password: secret, after_delivery: delete}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", deliver_to: [%s]}\n%s",
		agent->dir, sink_port, source_port, deliver_to, more);
}

/* One run as from a timer. A server without a script must not be talked to at all. */
static void run(struct agent *agent, const char *deliver_to, const struct step *source_script, const struct step *sink_script, int status)
{
	struct peer *source = source_script != NULL ? peer_start(source_script, PEER_LISTEN) : NULL;
	struct peer *sink = sink_script != NULL ? peer_start(sink_script, PEER_LISTEN) : NULL;
	uint16_t source_port = source != NULL ? source->port : 0, sink_port = sink != NULL ? sink->port : 0;
	int idle_source = source == NULL ? port_take(true, &source_port) : -1, idle_sink = sink == NULL ? port_take(true, &sink_port) : -1;

	configure(agent, deliver_to, source_port, sink_port, "");
	agent_expect(agent, status, "run");
	if (source != NULL)
		peer_finish(source);
	else if (port_was_used(idle_source))
		fail_msg("the source was talked to: %s", str_text(&agent->err));
	if (sink != NULL)
		peer_finish(sink);
	else if (port_was_used(idle_sink))
		fail_msg("the destination was talked to: %s", str_text(&agent->err));
	close(idle_source);
	close(idle_sink);
}

static void let_back_off_end(struct agent *agent)
{
	agent_change_state(agent, "UPDATE destination SET retry_at = 1");
}

static unsigned failures_of_away(struct agent *agent)
{
	const char *at;

	agent_run(agent, "status", "--json");
	at = strstr(str_text(&agent->out), "{\"name\":\"away\"");
	assert_non_null(at);
	at = strstr(at, "\"failures\":");
	assert_non_null(at);
	return (unsigned)strtoul(at + strlen("\"failures\":"), NULL, 10);
}

static void one_is_down_for_a_day(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "home, away", fetched, is_down, 75);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	assert_true(agent_said(&agent, "destination_down"));
	assert_true(agent_said(&agent, "421"));
	assert_int_equal(failures_of_away(&agent), 1);
	for (unsigned poll = 0; poll < 3; poll++) {
		run(&agent, "home, away", not_fetched, NULL, 75);
		assert_string_equal(str_text(&agent.err), "");
	}
	for (unsigned retry = 2; retry < 5; retry++) {
		let_back_off_end(&agent);
		run(&agent, "home, away", not_fetched, is_down, 75);
		assert_string_equal(str_text(&agent.err), ""); /* the same words are no news */
		assert_int_equal(failures_of_away(&agent), retry);
		run(&agent, "home, away", not_fetched, NULL, 75);
	}
	for (unsigned retry = 5; retry < 8; retry++) { /* it lets us in, and leaves: one fetch for each try */
		let_back_off_end(&agent);
		run(&agent, "home, away", fetched, leaves_early, 75);
		assert_int_equal(agent_said(&agent, "going down"), retry == 5);
		assert_int_equal(failures_of_away(&agent), retry);
		run(&agent, "home, away", not_fetched, NULL, 75);
	}
	agent_expect(&agent, 1, "status");
	assert_true(agent_printed(&agent, "destination away is down"));
	assert_true(agent_printed(&agent, "  next try      20"));
	let_back_off_end(&agent);
	agent_expect(&agent, 1, "status");
	assert_true(agent_printed(&agent, "  next try      with the next message for it, after 7 failures"));
	run(&agent, "home, away", fetched_and_deleted, takes_one, 0);
	assert_int_equal(failures_of_away(&agent), 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	agent_done(&agent);
}

/* What arrives meanwhile goes to the others, and is neither settled nor deleted. */
static void mail_that_comes_while_one_rests(void **state)
{
	static const struct step second[] = {PLAY(lists_two), HANDS_OUT("2"), LEAVES, END};
	static const struct step both[] = {PLAY(lists_two), C("RETR 1"), C("RETR 2"), S("+OK"), RAW(LETTER), S("."), S("+OK"), RAW(LETTER), S("."),
		C("DELE *"), C("DELE *"), S("+OK"), S("+OK"), LEAVES, END};
	static const struct step takes_two[] = {GREETS, TAKES, TAKES, C("QUIT"), S("221 bye"), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "home, away", fetched, is_down, 75);
	run(&agent, "home, away", second, NULL, 75);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	assert_int_equal(agent_status(&agent, "open"), 2);
	let_back_off_end(&agent);
	run(&agent, "home, away", both, takes_two, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	assert_int_equal(agent_status(&agent, "hauled"), 2);
	agent_done(&agent);
}

static void nobody_is_asked_for_mail_that_cannot_be_delivered(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "away", not_fetched, is_down, 75);
	assert_int_equal(agent_status(&agent, "failures"), 0); /* of the mailbox, which works */
	run(&agent, "away", NULL, NULL, 75);
	assert_string_equal(str_text(&agent.err), "");
	let_back_off_end(&agent);
	run(&agent, "away", fetched_and_deleted, takes_one, 0);
	agent_done(&agent);
}

/* With its name on the command line a mailbox is hauled at once; and what it delivers ends the rest for all. */
static void a_named_mailbox_tries_at_once(void **state)
{
	struct agent agent;
	struct peer *source, *sink;
	char second[128];

	(void)state;
	agent_init(&agent);
	run(&agent, "away", not_fetched, is_down, 75);
	source = peer_start(fetched_and_deleted, PEER_LISTEN);
	sink = peer_start(takes_one, PEER_LISTEN);
	snprintf(second, sizeof(second), "  - {name: two, pop3: \"127.0.0.1:%u\", deliver_to: away}\n", source->port);
	configure(&agent, "away", 1, sink->port, second);
	agent_expect(&agent, 0, "run", "two");
	peer_finish(source);
	peer_finish(sink);
	assert_int_equal(failures_of_away(&agent), 0);
	run(&agent, "away", fetched_and_deleted, takes_one, 0);
	agent_done(&agent);
}

/* The operator gives up a server that never answers the dot: its Maildir has never seen the message, which does not mean that it was read and deleted. */
static void a_maildir_in_the_place_of_a_server_knows_nothing_of_its_doubts(void **state)
{
	static const struct step never_answers[] = {GREETS, C("MAIL FROM:<ben@far.example>*"), S("250 ok"), C("RCPT TO:<anna@home.example>*"),
		S("250 ok"), C("DATA"), S("354 go on"), DOT, CLOSE, END};
	struct agent agent;
	struct peer *source;

	(void)state;
	agent_init(&agent);
	run(&agent, "away", fetched, never_answers, 75);
	assert_int_equal(agent_status(&agent, "in_doubt"), 1);
	let_back_off_end(&agent);
	source = peer_start(fetched_and_deleted, PEER_LISTEN);
	agent_configure(&agent,
		"destinations:\n  away: {maildir: %s/home}\n"
		"defaults: {tls: none, user: anna, password: secret, after_delivery: delete}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", deliver_to: away}\n",
		agent.dir, source->port);
	agent_expect(&agent, 0, "run");
	peer_finish(source);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

/* Killed in the third round in doubt, so that nobody could say then that it is held from here on. */
static void what_three_crashes_held_is_said_once(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "away", not_fetched, is_down, 75);
	let_back_off_end(&agent);
	agent_change_state(&agent, "UPDATE delivery SET status = 2, doubts = 2, intent_at = 1;"
				   "UPDATE message SET stage = 3, hash = zeroblob(32)");
	run(&agent, "away", not_fetched, NULL, 0);
	assert_true(agent_said(&agent, "event=held"));
	assert_true(agent_said(&agent, "mailhaul held"));
	assert_int_equal(agent_status(&agent, "held"), 1);
	run(&agent, "away", not_fetched, NULL, 0);
	assert_string_equal(str_text(&agent.err), "");
	agent_done(&agent);
}

/* What a Maildir has not got, though it was intended, is as if it never had been: a second round that comes to nothing leaves no doubt behind, which would
 * be taken for a delivery once somebody makes room in tmp/. */
static void a_maildir_ends_a_doubt(void **state)
{
	static const struct step breaks_off[] = {PLAY(lists_one), C("RETR 1"), CLOSE, END};
	char new_directory[sizeof(((struct agent *)0)->dir) + sizeof("/home/new")], *remove_drafts;
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "home", breaks_off, NULL, 75);
	agent_change_state(&agent, "UPDATE delivery SET status = 2, intent_at = 1, intent_clock = 1;"
				   "UPDATE message SET stage = 3, hash = zeroblob(32), attempts = 0, next_try = 0;"
				   "UPDATE mailbox SET retry_at = 0, failures = 0");
	assert_int_equal(agent_status(&agent, "in_doubt"), 1);
	snprintf(new_directory, sizeof(new_directory), "%s/home/new", agent.dir);
	assert_int_equal(chmod(new_directory, 0500), 0);
	run(&agent, "home", fetched, NULL, 75);
	assert_int_equal(agent_status(&agent, "in_doubt"), 0);
	assert_int_equal(agent_mail(&agent, "tmp", NULL), 1);
	remove_drafts = xasprintf("rm %s/home/tmp/*", agent.dir);
	assert_int_equal(system(remove_drafts), 0);
	free(remove_drafts);
	assert_int_equal(chmod(new_directory, 0700), 0);
	let_back_off_end(&agent);
	run(&agent, "home", fetched_and_deleted, NULL, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

/* A destination that has vanished from deliver_to, but not from the configuration, gets what is still open for it, and nothing new. */
static void what_is_open_goes_where_it_was_meant_for(void **state)
{
	static const struct step both[] = {PLAY(lists_two), C("RETR 1"), C("RETR 2"), S("+OK"), RAW(LETTER), S("."), S("+OK"), RAW(LETTER), S("."),
		C("DELE *"), C("DELE *"), S("+OK"), S("+OK"), LEAVES, END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run(&agent, "away", not_fetched, is_down, 75);
	let_back_off_end(&agent);
	run(&agent, "home", both, takes_one, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	assert_int_equal(agent_status(&agent, "hauled"), 2);
	agent_done(&agent);
}

/* -- a configuration that changes -- */

/* sink_script NULL: nothing may connect there. destination: the beginning of the second one. */
static void run_at(struct agent *agent, const char *host, const char *destination, const char *mailbox, const struct step *source_script,
	const struct step *sink_script, int status)
{
	struct peer *source = peer_start(source_script, PEER_LISTEN), *sink = sink_script != NULL ? peer_start(sink_script, PEER_LISTEN) : NULL;
	uint16_t port = sink != NULL ? sink->port : 0;
	int idle = sink == NULL ? port_take(true, &port) : -1;

	agent_configure(agent,
		"destinations: {home: {maildir: %s/home}%s\"127.0.0.1:%u\", recipient: anna@home.example}}\n"
		"defaults: {tls: none, user: anna, password: secret, after_delivery: delete}\n"
		"mailboxes:\n  - {pop3: \"%s:%u\", %s}\n",
		agent->dir, destination, port, host, source->port, mailbox);
	agent_expect(agent, status, "run", "-v");
	peer_finish(source);
	if (sink != NULL)
		peer_finish(sink);
	else
		assert_false(port_was_used(idle));
	close(idle);
}

#define run_as(agent, ...) run_at(agent, "127.0.0.1", __VA_ARGS__)
#define AWAY ", away: {lmtp: "
#define FAR ", far: {was: away, lmtp: "

static void a_renamed_destination_gets_what_is_open(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run_as(&agent, AWAY, "name: isp, deliver_to: [home, away]", fetched, is_down, 75);
	let_back_off_end(&agent);
	run_as(&agent, FAR, "name: isp, deliver_to: [home, far]", fetched_and_deleted, takes_one, 0);
	assert_false(agent_said(&agent, "destination_removed"));
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	agent_done(&agent);
}

/* What it still owed is given up, and said; what nobody has accepted is not deleted for that. */
static void a_removed_destination(void **state)
{
	static const struct step second[] = {PLAY(lists_two), HANDS_OUT("2"), C("DELE 2"), S("+OK"), LEAVES, END};
	static const struct step first_owed[] = {PLAY(lists_one), HANDS_OUT("1"), C("DELE 1"), S("+OK"), LEAVES, END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run_as(&agent, AWAY, "name: isp, deliver_to: away", not_fetched, is_down, 75);
	run_as(&agent, ", other: {lmtp: ", "name: isp, deliver_to: home", second, NULL, 0);
	assert_true(agent_said(&agent, "destination_removed"));
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	run_as(&agent, ", other: {lmtp: ", "name: isp, deliver_to: home", not_fetched, NULL, 0); /* never deleted */
	assert_false(agent_said(&agent, "destination_removed"));
	agent_done(&agent);

	agent_init(&agent);
	run_as(&agent, AWAY, "name: isp, deliver_to: [home, away]", fetched, is_down, 75);
	run_as(&agent, ", other: {lmtp: ", "name: isp, deliver_to: home", first_owed, NULL, 0); /* home has it */
	assert_true(agent_said(&agent, "destination_removed"));
	agent_done(&agent);
}

static void an_added_destination_gets_what_comes_from_then_on(void **state)
{
	static const struct step kept[] = {PLAY(lists_one), HANDS_OUT("1"), LEAVES, END};
	static const struct step second[] = {PLAY(lists_two), HANDS_OUT("2"), LEAVES, END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run_as(&agent, AWAY, "name: isp, after_delivery: keep, deliver_to: home", kept, NULL, 0);
	run_as(&agent, AWAY, "name: isp, after_delivery: keep, deliver_to: [home, away]", second, takes_one, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	agent_done(&agent);
}

/* Nothing comes twice: by its name it is the same mailbox, and when its provider has moved, what the new server lists is recognised by its bytes. */
static void a_renamed_mailbox_knows_its_messages(void **state)
{
	static const struct step kept[] = {PLAY(lists_one), HANDS_OUT("1"), LEAVES, END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run_as(&agent, AWAY, "name: isp, after_delivery: keep, deliver_to: home", kept, NULL, 0);
	run_as(&agent, AWAY, "name: new, was: isp, after_delivery: keep, deliver_to: home", not_fetched, NULL, 0);
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	run_at(&agent, "localhost", AWAY, "name: newer, was: new, after_delivery: keep, deliver_to: home", kept, NULL, 0);
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_down_for_a_day),
		cmocka_unit_test(mail_that_comes_while_one_rests),
		cmocka_unit_test(nobody_is_asked_for_mail_that_cannot_be_delivered),
		cmocka_unit_test(a_named_mailbox_tries_at_once),
		cmocka_unit_test(a_maildir_in_the_place_of_a_server_knows_nothing_of_its_doubts),
		cmocka_unit_test(what_three_crashes_held_is_said_once),
		cmocka_unit_test(a_maildir_ends_a_doubt),
		cmocka_unit_test(what_is_open_goes_where_it_was_meant_for),
		cmocka_unit_test(a_renamed_destination_gets_what_is_open),
		cmocka_unit_test(a_removed_destination),
		cmocka_unit_test(an_added_destination_gets_what_comes_from_then_on),
		cmocka_unit_test(a_renamed_mailbox_knows_its_messages),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
