/* test-identity.c - an IMAP server that gives its messages new numbers, or none that mean anything: the real program against its scripts, into a Maildir.
 * Nothing is lost, nothing arrives twice; and where a whole archive would, mailhaul stops until somebody accepts it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

/* -- scripts that are made as they are needed -- */

#define STEPS_MAX 800

struct script {
	struct step steps[STEPS_MAX];
	char *texts[STEPS_MAX];
	unsigned count;
};

static void add(struct script *script, enum step_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(struct script *script, enum step_kind kind, const char *format, ...)
{
	va_list args;

	assert_true(script->count + 1 < STEPS_MAX);
	va_start(args, format);
	if (vasprintf(&script->texts[script->count], format, args) < 0)
		abort();
	va_end(args);
	script->steps[script->count] = (struct step){kind, script->texts[script->count], strlen(script->texts[script->count]), NULL};
	script->count++;
}
#define SAYS(...) add(script, STEP_SEND_LINE, __VA_ARGS__)
#define HEARS(...) add(script, STEP_EXPECT_LINE, __VA_ARGS__)

static void play(struct script *script, const struct step *steps)
{
	script->steps[script->count++] = (struct step){STEP_PLAY, NULL, 0, steps};
}

static void hang_up(struct script *script)
{
	script->steps[script->count++] = (struct step)CLOSE;
}

static void done(struct script *script)
{
	for (unsigned i = 0; i < script->count; i++)
		free(script->texts[i]);
	*script = (struct script){0};
}

/* -- messages: number n is the same one wherever it appears. From 5000 on they have no Received field, so that their headers prove nothing -- */

#define PLAIN 5000
#define SIZE 70 /* of each */

static const char *header_of(unsigned n)
{
	static char text[80];

	snprintf(text, sizeof(text),
		n < PLAIN ? "Received: from a by b; %04u\r\nSubject: m\r\n\r\n" : "Message-ID: <%04u@a.example>\r\nSubject: m\r\n\r\n", n);
	return text;
}

static const char *message_of(unsigned n)
{
	static char text[SIZE + 1];

	snprintf(text, sizeof(text), "%s%-*u\r\n", header_of(n), SIZE - 2 - (int)strlen(header_of(n)), n);
	assert_int_equal(strlen(text), SIZE);
	return text;
}

/* -- what the server does -- */

/* uidvalidity NULL: it names none. */
static void opens_as(struct script *script, const char *command, unsigned exists, const char *uidvalidity, unsigned uidnext)
{
	play(script, imap_logged_in);
	HEARS("%%2 %s \"INBOX\"", command);
	SAYS("* %u EXISTS", exists);
	if (uidvalidity != NULL)
		SAYS("* OK [UIDVALIDITY %s]", uidvalidity);
	if (uidnext != 0)
		SAYS("* OK [UIDNEXT %u]", uidnext);
	SAYS("%%2 OK done");
}

static void opens(struct script *script, unsigned exists, const char *uidvalidity, unsigned uidnext)
{
	opens_as(script, "EXAMINE", exists, uidvalidity, uidnext);
}

static void lists_one(struct script *script, const char *uid, unsigned size, unsigned day)
{
	SAYS("* 1 FETCH (UID %s RFC822.SIZE %u INTERNALDATE \"%02u-Feb-2026 00:00:00 +0000\" FLAGS ())", uid, size, day);
}

static void lists_number(struct script *script, unsigned uid)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", uid);
	lists_one(script, text, SIZE, 1 + uid % 28);
}

static void listing(struct script *script, unsigned above)
{
	HEARS("%%3 UID FETCH %u:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)", above + 1);
}

/* UIDs from first to last. */
static void lists(struct script *script, unsigned above, unsigned first, unsigned last)
{
	listing(script, above);
	for (unsigned uid = first; uid <= last; uid++)
		lists_number(script, uid);
	SAYS("%%3 OK");
}

static const char *range(unsigned first, unsigned last)
{
	static char text[32];

	snprintf(text, sizeof(text), first == last ? "%u" : "%u:%u", first, last);
	return text;
}

static void answers(struct script *script, unsigned first, unsigned last, unsigned message, bool header)
{
	for (unsigned uid = first; uid <= last; uid++, message++) {
		const char *text = header ? header_of(message) : message_of(message);

		SAYS("* 1 FETCH (UID %u BODY[%s] {%zu}", uid, header ? "HEADER" : "", strlen(text));
		add(script, STEP_SEND, "%s", text);
		SAYS(")");
	}
}

/* UID first is message; the others follow on. */
static void shows_headers(struct script *script, unsigned first, unsigned last, unsigned message)
{
	HEARS("%%4 UID FETCH %s (UID BODY.PEEK[HEADER])", range(first, last));
	answers(script, first, last, message, true);
	SAYS("%%4 OK");
}

static void sends(struct script *script, unsigned tag, unsigned first, unsigned last, unsigned message)
{
	HEARS("%%%u UID FETCH %s (UID BODY.PEEK[])", tag, range(first, last));
	answers(script, first, last, message, false);
	SAYS("%%%u OK", tag);
}

static void deletes(struct script *script, const char *uid)
{
	HEARS("%%7 UID STORE %s +FLAGS.SILENT (\\Deleted)", uid);
	HEARS("%%8 UID EXPUNGE %s", uid);
	SAYS("%%7 OK");
	SAYS("%%8 OK");
}

static void leaves(struct script *script)
{
	play(script, imap_logged_out);
}

/* -- one run -- */

static void configure(struct agent *agent, uint16_t port, const char *after_delivery)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    imap: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n"
		"    password: secret\n    deliver_to: home\n    after_delivery: %s\n",
		agent->dir, port, after_delivery);
}

static void run(struct agent *agent, struct script *script, const char *after_delivery, int status, unsigned mail)
{
	struct peer *source;

	script->steps[script->count] = (struct step)END;
	source = peer_start(script->steps, PEER_LISTEN);
	configure(agent, source->port, after_delivery);
	agent_expect(agent, status, "run", "isp");
	peer_finish(source);
	done(script);
	assert_int_equal(agent_mail(agent, "new", NULL), mail);
	assert_int_equal(agent_mail(agent, "tmp", NULL), 0);
}

/* The first run of all: UIDs and messages from 1 to count, UIDVALIDITY 7. */
static void begin(struct agent *agent, struct script *script, unsigned count, unsigned message)
{
	agent_init(agent);
	opens(script, count, "7", count + 1);
	lists(script, 0, 1, count);
	sends(script, 5, 1, count, message);
	leaves(script);
	run(agent, script, "keep", 0, count);
}

/* Stopped: nobody connects, and there is nothing new to say about it. */
static void expect_stopped(struct agent *agent)
{
	uint16_t port;
	int listener = port_take(true, &port);

	configure(agent, port, "keep");
	agent_expect(agent, 75, "run", "isp");
	assert_false(agent_said(agent, "accept"));
	agent_expect(agent, 75, "run");
	assert_false(port_was_used(listener));
	close(listener);
	agent_expect(agent, 1, "status");
	assert_true(agent_printed(agent, "mailhaul accept isp"));
}

/* -- renumbered -- */

static void known_messages_are_known_by_their_headers(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 60, 1);
	opens(script, 61, "8", 162);
	lists(script, 0, 101, 161);
	shows_headers(script, 101, 161, 1);
	sends(script, 5, 161, 161, 61); /* which is not among the known ones, by its bytes either */
	sends(script, 6, 161, 161, 61);
	leaves(script);
	run(&agent, script, "keep", 0, 61);
	opens(script, 61, "8", 162);
	leaves(script);
	run(&agent, script, "keep", 0, 61);
	assert_int_equal(agent_status(&agent, "hauled"), 61);
	agent_done(&agent);
}

static void equal_headers_are_counted(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 1, 1);
	opens(script, 2, "8", 3);
	lists(script, 0, 1, 2);
	HEARS("%%4 UID FETCH 1:2 (UID BODY.PEEK[HEADER])");
	answers(script, 1, 1, 1, true);
	answers(script, 2, 2, 1, true);
	SAYS("%%4 OK");
	sends(script, 5, 2, 2, 1);
	sends(script, 6, 2, 2, 1);
	leaves(script);
	run(&agent, script, "keep", 0, 2);
	agent_done(&agent);
}

static void a_replaced_mailbox_stops(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 60, 1);
	opens(script, 60, "8", 61);
	lists(script, 0, 1, 60);
	shows_headers(script, 1, 60, 1001);
	sends(script, 5, 1, 60, 1001);
	run(&agent, script, "keep", 75, 60);
	assert_true(agent_said(&agent, "mailhaul accept isp"));
	assert_true(agent_said(&agent, "60 of its 60 messages"));
	expect_stopped(&agent);
	agent_expect(&agent, 64, "accept");
	agent_expect(&agent, 64, "accept", "nobody");
	agent_expect(&agent, 0, "accept", "isp");
	assert_true(agent_printed(&agent, "isp: accepted"));
	opens(script, 60, "8", 61);
	sends(script, 5, 1, 60, 1001);
	leaves(script);
	run(&agent, script, "keep", 0, 120);
	agent_expect(&agent, 0, "accept", "isp");
	assert_true(agent_printed(&agent, "had not stopped"));
	agent_done(&agent);
}

/* Twenty new ones are what may have come in between. */
static void a_few_new_ones_do_not_stop(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 3, 1);
	opens(script, 20, "8", 21);
	lists(script, 0, 1, 20);
	shows_headers(script, 1, 20, 1001);
	sends(script, 5, 1, 20, 1001);
	sends(script, 6, 1, 20, 1001);
	leaves(script);
	run(&agent, script, "keep", 0, 23);
	agent_done(&agent);
}

/* The headers of these prove nothing. A session that is cut while their bodies come goes on where it was, and delivers nothing before all are judged. */
static void a_cut_session_goes_on_recognising(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 3, PLAIN);
	opens(script, 4, "8", 5);
	lists(script, 0, 1, 4);
	shows_headers(script, 1, 4, PLAIN);
	HEARS("%%5 UID FETCH 1:4 (UID BODY.PEEK[])");
	answers(script, 1, 2, PLAIN, false);
	hang_up(script);
	run(&agent, script, "keep", 75, 3);
	opens(script, 4, "8", 5);
	sends(script, 5, 1, 4, PLAIN);
	sends(script, 6, 4, 4, PLAIN + 3);
	leaves(script);
	run(&agent, script, "keep", 0, 4);
	agent_done(&agent);
}

/* One that the server cannot hand out keeps nobody waiting, and is not taken for a new one. */
static void what_cannot_be_fetched_waits_alone(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 2, PLAIN);
	opens(script, 2, "8", 3);
	lists(script, 0, 1, 2);
	HEARS("%%4 UID FETCH 1:2 (UID BODY.PEEK[HEADER])");
	SAYS("* 1 FETCH (UID 1 BODY[HEADER] NIL)");
	answers(script, 2, 2, PLAIN + 1, true);
	SAYS("%%4 OK");
	HEARS("%%5 UID FETCH 1:2 (UID BODY.PEEK[])");
	SAYS("* 1 FETCH (UID 1 FLAGS ())");
	answers(script, 2, 2, PLAIN + 1, false);
	SAYS("%%5 OK");
	leaves(script);
	run(&agent, script, "keep", 75, 2);
	assert_int_equal(agent_status(&agent, "open"), 1);
	agent_let_time_pass(&agent);
	opens(script, 2, "8", 3);
	HEARS("%%4 UID FETCH 1 (UID BODY.PEEK[])");
	answers(script, 1, 1, PLAIN, false);
	SAYS("%%4 OK");
	leaves(script);
	run(&agent, script, "keep", 0, 2);
	assert_int_equal(agent_status(&agent, "open"), 0);
	agent_done(&agent);
}

/* Once may be the network's doing, twice is the message's. */
static void one_at_which_the_server_hangs_up_waits_alone(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 2, 1);
	for (unsigned i = 0; i < 2; i++) {
		opens(script, 2, "8", 3);
		if (i == 0)
			lists(script, 0, 1, 2);
		HEARS("%%4 UID FETCH 1:2 (UID BODY.PEEK[HEADER])");
		hang_up(script);
		run(&agent, script, "keep", 75, 2);
	}
	opens(script, 2, "8", 3);
	shows_headers(script, 2, 2, 2);
	leaves(script);
	run(&agent, script, "keep", 0, 2);
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	assert_int_equal(agent_status(&agent, "open"), 1);
	agent_done(&agent);
}

static void a_baseline_is_no_news(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	opens(script, 40, "7", 41);
	lists(script, 0, 1, 40);
	leaves(script);
	run(&agent, script, "keep\n    first_run: new", 0, 0);
	opens(script, 40, "8", 41);
	lists(script, 0, 1, 40);
	shows_headers(script, 1, 40, 1);
	leaves(script);
	run(&agent, script, "keep\n    first_run: new", 0, 0);
	assert_int_equal(agent_status(&agent, "baseline"), 40);
	agent_done(&agent);
}

/* -- UIDVALIDITY that means nothing -- */

static void visits(struct script *script, const char *uidvalidity, unsigned last)
{
	opens(script, last, uidvalidity, last + 1);
	lists(script, 0, 1, last);
}

static void the_third_uidvalidity_of_a_day_stops(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 2, 1);
	for (unsigned i = 0; i < 2; i++) {
		visits(script, i == 0 ? "8" : "9", 2);
		shows_headers(script, 1, 2, 1);
		leaves(script);
		run(&agent, script, "keep", 0, 2);
	}
	visits(script, "10", 2);
	run(&agent, script, "keep", 75, 2);
	assert_true(agent_said(&agent, "3 times within a day"));
	expect_stopped(&agent);
	agent_expect(&agent, 0, "accept", "isp");
	visits(script, "11", 2);
	shows_headers(script, 1, 2, 1);
	leaves(script);
	run(&agent, script, "keep", 0, 2);
	agent_done(&agent);
}

static void without_uidvalidity_every_run_recognises(void **state)
{
	static const char *const names[] = {NULL, "0"};

	(void)state;
	for (unsigned name = 0; name < 2; name++) {
		struct script *script = &(struct script){0};
		struct agent agent;

		agent_init(&agent);
		visits(script, names[name], 2);
		sends(script, 5, 1, 2, 1);
		leaves(script);
		run(&agent, script, "keep", 0, 2);
		assert_true(agent_said(&agent, "UIDVALIDITY"));
		for (unsigned i = 0; i < 5; i++) {
			visits(script, names[name], 2);
			/* The UIDs of both have changed places. */
			HEARS("%%4 UID FETCH 1:2 (UID BODY.PEEK[HEADER])");
			answers(script, 1, 1, 2, true);
			answers(script, 2, 2, 1, true);
			SAYS("%%4 OK");
			leaves(script);
			run(&agent, script, "keep", 0, 2);
			assert_false(agent_said(&agent, "UIDVALIDITY"));
		}
		visits(script, names[name], 3);
		shows_headers(script, 1, 3, 1);
		sends(script, 5, 3, 3, 3);
		sends(script, 6, 3, 3, 3);
		leaves(script);
		run(&agent, script, "keep", 0, 3);
		assert_int_equal(agent_status(&agent, "hauled"), 3);
		agent_done(&agent);
	}
}

/* -- within one UIDVALIDITY -- */

/* Deleted at the source, and listed again. */
static void comes_back(unsigned size, unsigned day, bool is_new)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	agent_init(&agent);
	opens_as(script, "SELECT", 1, "7", 6);
	lists(script, 0, 5, 5);
	sends(script, 5, 5, 5, 1);
	deletes(script, "5");
	leaves(script);
	run(&agent, script, "delete", 0, 1);
	opens_as(script, "SELECT", 1, "7", 6);
	listing(script, 0);
	lists_one(script, "5", size, day);
	SAYS("%%3 OK");
	if (is_new) {
		sends(script, 5, 5, 5, 2);
		deletes(script, "5");
	}
	leaves(script);
	run(&agent, script, "delete", 0, 1 + is_new);
	assert_int_equal(agent_status(&agent, "owed"), !is_new);
	if (!is_new) {
		opens_as(script, "SELECT", 1, "7", 6);
		deletes(script, "5");
		leaves(script);
		run(&agent, script, "delete", 0, 1);
		assert_int_equal(agent_status(&agent, "owed"), 0);
	}
	agent_done(&agent);
}

static void a_deleted_uid_that_comes_back(void **state)
{
	(void)state;
	comes_back(SIZE, 6, false);
	comes_back(SIZE + 9, 6, false); /* its body was rewritten */
	comes_back(SIZE, 9, false);
	comes_back(SIZE + 9, 9, true);
}

/* Its delivery was interrupted, a server lost it from its listing, and has it back. What was interrupted is asked of the Maildir all the same. */
static void one_in_doubt_that_vanishes_and_comes_back(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 1, 1);
	agent_change_state(
		&agent, "UPDATE delivery SET status = 2; UPDATE message SET stage = 3, delivered_at = 0"); /* killed after it was moved to new/ */
	opens(script, 0, "7", 2);
	leaves(script);
	run(&agent, script, "keep", 0, 1);
	opens(script, 1, "7", 2);
	lists(script, 0, 1, 1);
	leaves(script);
	run(&agent, script, "keep", 0, 1);
	assert_int_equal(agent_status(&agent, "in_doubt"), 0);
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	agent_done(&agent);
}

/* Before we saw it go, its UID means another message. */
static void a_kept_uid_with_other_content(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	begin(&agent, script, 2, 1);
	/* Complete listings come daily, or when the number of messages is not what it should be. */
	opens(script, 3, "7", 4);
	listing(script, 0);
	lists_number(script, 1);
	lists_one(script, "2", SIZE + 9, 20);
	lists_number(script, 3);
	SAYS("%%3 OK");
	sends(script, 5, 2, 3, 11);
	leaves(script);
	run(&agent, script, "keep", 0, 4);
	opens(script, 3, "7", 4);
	leaves(script);
	run(&agent, script, "keep", 0, 4);
	agent_done(&agent);
}

static void a_uid_that_becomes_visible_late(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	opens(script, 2, "7", 8);
	listing(script, 0);
	lists_number(script, 7); /* in any order */
	lists_number(script, 5);
	SAYS("%%3 OK");
	HEARS("%%4 UID FETCH 5,7 (UID BODY.PEEK[])");
	answers(script, 7, 7, 7, false);
	answers(script, 5, 5, 5, false);
	SAYS("%%4 OK");
	leaves(script);
	run(&agent, script, "keep", 0, 2);
	opens(script, 3, "7", 8);
	lists(script, 0, 5, 7);
	sends(script, 4, 6, 6, 6);
	leaves(script);
	run(&agent, script, "keep", 0, 3);
	agent_done(&agent);
}

/* UID 2 twice, UID 0, and one that is too large: the others are hauled, and it is said once. */
static void senseless_uids_are_left_out(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	for (unsigned i = 0; i < 2; i++) {
		opens(script, 6, "7", 0);
		listing(script, 0);
		lists_number(script, 1);
		lists_number(script, 2);
		lists_number(script, 2);
		lists_one(script, "0", SIZE, 1);
		lists_one(script, "4294967296", SIZE, 1);
		lists_number(script, 3);
		SAYS("%%3 OK");
		if (i == 0) {
			HEARS("%%4 UID FETCH 1,3 (UID BODY.PEEK[])");
			answers(script, 1, 1, 1, false);
			answers(script, 3, 3, 3, false);
			SAYS("%%4 OK");
		}
		leaves(script);
		run(&agent, script, "keep", 75, 2);
		assert_int_equal(agent_said(&agent, "contradicts itself"), i == 0);
		assert_int_equal(agent_status(&agent, "hauled"), 2);
	}
	agent_done(&agent);
}

/* A load balancer: ten messages, and the listing of a replica that has half of them. Either half may come first. */
static void half_a_mailbox_is_not_the_end_of_the_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct script *script = &(struct script){0};
		unsigned first = i == 0 ? 1 : 6, second = i == 0 ? 6 : 1;
		struct agent agent;

		agent_init(&agent);
		opens(script, 10, "7", 11);
		lists(script, 0, first, first + 4);
		sends(script, 5, first, first + 4, first);
		leaves(script);
		run(&agent, script, "keep", 75, 5);
		opens(script, 10, "7", 11);
		lists(script, 0, second, second + 4);
		sends(script, 5, second, second + 4, second);
		leaves(script);
		run(&agent, script, "keep", 75, 10);
		assert_int_equal(agent_status(&agent, "hauled"), 10); /* nothing is taken for gone */
		opens(script, 11, "7", 12);
		lists(script, 0, first, first + 4);
		leaves(script);
		run(&agent, script, "keep", 75, 10);
		assert_int_equal(agent_status(&agent, "hauled"), 10);
		opens(script, 10, "7", 11);
		lists(script, 0, 1, 10);
		leaves(script);
		run(&agent, script, "keep", 0, 10);
		agent_done(&agent);
	}
}

/* A server that was set back to an old copy, without a new UIDVALIDITY, tells by its UIDNEXT: what it is owed may be owed to another message by now. */
static void a_debt_after_the_server_was_set_back(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	opens_as(script, "SELECT", 2, "7", 3);
	lists(script, 0, 1, 2);
	sends(script, 5, 1, 2, 1);
	HEARS("%%7 UID STORE 1:2 +FLAGS.SILENT (\\Deleted)");
	hang_up(script);
	run(&agent, script, "delete", 75, 2);
	opens_as(script, "SELECT", 2, "7", 2);
	HEARS("%%5 UID FETCH 1:2 (UID BODY.PEEK[])");
	answers(script, 1, 1, 1, false);
	answers(script, 2, 2, 50, false);
	SAYS("%%5 OK");
	deletes(script, "1");
	leaves(script);
	run(&agent, script, "delete", 0, 2);
	opens_as(script, "SELECT", 1, "7", 3); /* and the other one is not forgotten */
	lists(script, 0, 2, 2);
	sends(script, 5, 2, 2, 50);
	deletes(script, "2");
	leaves(script);
	run(&agent, script, "delete", 0, 3);
	agent_done(&agent);
}

/* Where to was decided when it was delivered. */
static void a_move_goes_where_it_was_to_go(void **state)
{
	struct script *script = &(struct script){0};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	opens_as(script, "SELECT", 1, "7", 2);
	lists(script, 0, 1, 1);
	sends(script, 5, 1, 1, 1);
	HEARS("%%7 UID MOVE 1 \"Old\"");
	hang_up(script);
	run(&agent, script, "{move_to: Old}", 75, 1);
	opens_as(script, "SELECT", 1, "7", 2);
	HEARS("%%7 UID MOVE 1 \"Old\"");
	SAYS("%%7 OK");
	leaves(script);
	run(&agent, script, "{move_to: New}", 0, 1);
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_messages_are_known_by_their_headers),
		cmocka_unit_test(equal_headers_are_counted),
		cmocka_unit_test(a_replaced_mailbox_stops),
		cmocka_unit_test(a_few_new_ones_do_not_stop),
		cmocka_unit_test(a_cut_session_goes_on_recognising),
		cmocka_unit_test(what_cannot_be_fetched_waits_alone),
		cmocka_unit_test(one_at_which_the_server_hangs_up_waits_alone),
		cmocka_unit_test(a_baseline_is_no_news),
		cmocka_unit_test(the_third_uidvalidity_of_a_day_stops),
		cmocka_unit_test(without_uidvalidity_every_run_recognises),
		cmocka_unit_test(a_deleted_uid_that_comes_back),
		cmocka_unit_test(one_in_doubt_that_vanishes_and_comes_back),
		cmocka_unit_test(a_kept_uid_with_other_content),
		cmocka_unit_test(a_uid_that_becomes_visible_late),
		cmocka_unit_test(senseless_uids_are_left_out),
		cmocka_unit_test(half_a_mailbox_is_not_the_end_of_the_other),
		cmocka_unit_test(a_debt_after_the_server_was_set_back),
		cmocka_unit_test(a_move_goes_where_it_was_to_go),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
