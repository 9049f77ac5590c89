/* test-session.c - whole sessions: the real program between scripted servers; what they saw, what arrived, and what the next run makes of it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
#define LETTER_SIZE "55"
#define OTHER "Return-Path: <ben@far.example>\r\nSubject: two\r\n\r\nother\r\n" /* as long */
_Static_assert(sizeof(LETTER) - 1 == 55 && sizeof(OTHER) - 1 == 55, "as in LETTER_SIZE");

/* -- POP3, a server with PIPELINING -- */

#define POP3_ENTERS S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT")
#define POP3_LISTS(count) POP3_ENTERS, S("+OK " count " 999"), C("LIST"), C("UIDL"), S("+OK")
#define POP3_LEAVES C("QUIT"), S("+OK bye")

static const struct step pop3_enters[] = {POP3_LISTS("1"), S("1 " LETTER_SIZE), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step pop3_hands_out[] = {C("RETR 1"), S("+OK"), RAW(LETTER), S("."), END};
static const struct step pop3_dribbles[] = {C("RETR 1"), S("+OK here it comes"), RAW("Return-Path: <ben@far.ex"), SILENCE, END};
static const struct step pop3_deletes[] = {C("DELE 1"), S("+OK"), END};
static const struct step pop3_deletes_unanswered[] = {C("DELE 1"), S("+OK"), C("QUIT"), CLOSE, END};
static const struct step pop3_leaves[] = {POP3_LEAVES, END};

/* -- IMAP: one message, UID 5 -- */

#define INTERNALDATE(date) " INTERNALDATE \"" date " 00:00:00 +0000\" FLAGS ())"
#define LISTED_ON(number, uid, date) S("* " number " FETCH (UID " uid " RFC822.SIZE " LETTER_SIZE INTERNALDATE(date))
#define LISTED(number, uid) LISTED_ON(number, uid, "01-Feb-2026")
#define LIST_FROM(uid) C("%3 UID FETCH " uid ":4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)")
#define SENDS(number, uid) S("* " number " FETCH (UID " uid " BODY[] {" LETTER_SIZE "}")
#define OPENED(command, exists, uidvalidity, uidnext)                                                                           \
	PLAY(imap_logged_in), C("%2 " command " \"INBOX\""), S("* " exists " EXISTS"), S("* OK [UIDVALIDITY " uidvalidity "]"), \
		S("* OK [UIDNEXT " uidnext "]"), S("%2 OK done")

static const struct step imap_reenters[] = {OPENED("SELECT", "1", "7", "6"), END};
static const struct step imap_enters[] = {PLAY(imap_reenters), LIST_FROM("1"), LISTED("1", "5"), S("%3 OK"), END};
static const struct step imap_hands_out[] = {C("%4 UID FETCH 5 (UID BODY.PEEK[])"), SENDS("1", "5"), RAW(LETTER ")\r\n"), S("%4 OK"), END};
static const struct step imap_dribbles[] = {C("%4 UID FETCH 5 (UID BODY.PEEK[])"), SENDS("1", "5"), RAW("Return-Path: <ben@far.ex"), SILENCE, END};
#define IMAP_EXPUNGE C("%5 UID STORE 5 +FLAGS.SILENT (\\Deleted)"), C("%6 UID EXPUNGE 5")
static const struct step imap_deletes[] = {IMAP_EXPUNGE, S("%5 OK"), S("* 1 EXPUNGE"), S("%6 OK"), END};
static const struct step imap_deletes_unanswered[] = {IMAP_EXPUNGE, S("%5 OK"), CLOSE, END};

/* -- either -- */

static const struct dialect {
	const char *protocol;
	const struct step *enters, *reenters, *hands_out, *dribbles, *deletes, *deletes_unanswered, *leaves;
	const char *dribbling; /* in the trace, once the worker has seen it begin */
} dialects[] = {
	{"pop3", pop3_enters, pop3_enters, pop3_hands_out, pop3_dribbles, pop3_deletes, pop3_deletes_unanswered, pop3_leaves, "here it comes"},
	{"imap", imap_enters, imap_reenters, imap_hands_out, imap_dribbles, imap_deletes, imap_deletes_unanswered, imap_logged_out,
		"{" LETTER_SIZE "}"},
};
#define EACH_DIALECT(dialect)                      \
	const struct dialect *dialect = dialects;  \
	dialect < dialects + ARRAY_SIZE(dialects); \
	dialect++

/* -- SMTP and LMTP, without PIPELINING -- */

#define RCPT C("RCPT TO:<anna@home.example>*")
static const struct step mail_from[] = {C("MAIL FROM:<ben@far.example>*"), END};
static const struct step rcpt_to[] = {PLAY(mail_from), S("250 ok"), RCPT, END};
static const struct step data[] = {PLAY(rcpt_to), S("250 ok"), C("DATA"), END};
static const struct step dot[] = {PLAY(data), S("354 go on"), DOT, END};
static const struct step smtp_greets[] = {S("220 mx"), C("EHLO *"), S("250 mx"), END};
static const struct step lmtp_greets[] = {S("220 mx"), C("LHLO *"), S("250 mx"), END};
static const struct step sink_quits[] = {C("QUIT"), S("221 bye"), END};
static const struct step accepts[] = {PLAY(dot), S("250 2.0.0 taken"), PLAY(sink_quits), END};

/* -- configurations -- */

static void configure(struct agent *agent, const char *protocol, uint16_t port, const char *destination, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {%s}\nmailboxes:\n  - name: isp\n    %s: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n    password: "
		"secret\n"
		"    deliver_to: home\n    %s\n",
		destination, protocol, port, more);
}

static void into_maildir(struct agent *agent, const char *protocol, uint16_t port, const char *more)
{
	char destination[128];

	snprintf(destination, sizeof(destination), "maildir: %s/home", agent->dir);
	configure(agent, protocol, port, destination, more);
}

static void into_server(struct agent *agent, const char *protocol, uint16_t port, const char *kind, uint16_t sink_port, const char *more)
{
	char destination[128];

	snprintf(destination, sizeof(destination), "%s: \"127.0.0.1:%u\", recipient: anna@home.example", kind, sink_port);
	configure(agent, protocol, port, destination, more);
}

/* One run from a server that keeps to its script into home/. */
static void haul_home(struct agent *agent, const char *protocol, const struct step *script, const char *more, int status)
{
	struct peer *source = peer_start(script, PEER_LISTEN);

	into_maildir(agent, protocol, source->port, more);
	agent_expect(agent, status, "run", "isp");
	peer_finish(source);
}

static void expect_mail(const struct agent *agent, unsigned count)
{
	assert_int_equal(agent_mail(agent, "new", NULL), count);
	assert_int_equal(agent_mail(agent, "tmp", NULL), 0);
}

static void expect_letter(const struct agent *agent)
{
	struct str mail = {0};

	assert_int_equal(agent_mail(agent, "new", &mail), 1);
	assert_non_null(strstr(str_text(&mail), "\nSubject: one\n\nfirst\n"));
	assert_int_equal(agent_mail(agent, "tmp", NULL), 0);
	str_done(&mail);
}

#define DELETE "after_delivery: delete"

/* -- the order of steps -- */

static const struct refusal_case {
	struct step script[8]; /* from behind the greeting */
	int status;
	const char *key; /* of status, which is 1 then */
} refusals[] = {
	{{PLAY(mail_from), S("451 later"), PLAY(sink_quits), END}, 75, "open"},
	{{PLAY(rcpt_to), S("451 later"), PLAY(sink_quits), END}, 75, "open"},
	{{PLAY(rcpt_to), S("550 nobody here"), PLAY(sink_quits), END}, 0, "held"},
	{{PLAY(data), S("451 later"), PLAY(sink_quits), END}, 75, "open"},
	{{PLAY(dot), S("451 greylisted"), PLAY(sink_quits), END}, 75, "open"},
	{{PLAY(dot), S("552 no such mail"), PLAY(sink_quits), END}, 0, "held"},
	{{PLAY(dot), S("421 going down"), CLOSE, END}, 75, "open"},
	{{PLAY(data), CLOSE, END}, 75, "open"},
	{{CLOSE, END}, 75, "open"},
};

static void refuses(const struct dialect *dialect, bool lmtp, const struct refusal_case *item)
{
	const struct step first[] = {PLAY(dialect->enters), PLAY(dialect->hands_out), PLAY(dialect->leaves), END};
	const struct step second[] = {PLAY(dialect->reenters), PLAY(dialect->hands_out), PLAY(dialect->deletes), PLAY(dialect->leaves), END};
	const struct step refusing[] = {PLAY(lmtp ? lmtp_greets : smtp_greets), PLAY(item->script), END};
	const struct step taking[] = {PLAY(lmtp ? lmtp_greets : smtp_greets), PLAY(accepts), END};
	struct agent agent;

	agent_init(&agent);
	for (unsigned run = 0; run < 2; run++) {
		struct peer *source = peer_start(run == 0 ? first : second, PEER_LISTEN);
		struct peer *sink = peer_start(run == 0 ? refusing : taking, PEER_LISTEN);

		into_server(&agent, dialect->protocol, source->port, lmtp ? "lmtp" : "smtp", sink->port, DELETE);
		agent_expect(&agent, run == 0 ? item->status : 0, "run", "isp");
		peer_finish(source);
		peer_finish(sink);
		if (agent_status(&agent, item->key) != 1 - run)
			fail_msg("refusal %zu, run %u: %s", item - refusals, run, str_text(&agent.out));
		agent_let_time_pass(&agent);
	}
	assert_int_equal(agent_status(&agent, "hauled"), 1);
	agent_done(&agent);
}

static void nothing_is_deleted_before_it_is_accepted(void **state)
{
	(void)state;
	for (EACH_DIALECT(dialect))
		for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
			refuses(dialect, (i + (dialect != dialects)) % 2 != 0, &refusals[i]);
}

#define KEEP "after_delivery: keep"
static const struct step imap_looks[] = {OPENED("EXAMINE", "1", "7", "6"), LIST_FROM("1"), LISTED("1", "5"), S("%3 OK"), END};

static const struct parting {
	const char *protocol, *more;
	struct step script[5];
} partings[] = {
	{"pop3", KEEP, {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_leaves), HANG, END}},
	{"imap", KEEP, {PLAY(imap_looks), PLAY(imap_hands_out), PLAY(imap_logged_out), HANG, END}},
	{"pop3", DELETE, {PLAY(pop3_enters), PLAY(pop3_hands_out), SILENCE, END}},
	{"imap", DELETE, {PLAY(imap_enters), PLAY(imap_hands_out), SILENCE, END}},
};

/* The sink has not even let the message in, and will not. */
static void part(const struct parting *parting)
{
	const struct step hesitates[] = {PLAY(smtp_greets), PLAY(data), HANG, END};
	struct peer *source = peer_start(parting->script, PEER_LISTEN), *sink = peer_start(hesitates, PEER_LISTEN);
	bool keeps = strcmp(parting->more, KEEP) == 0;
	struct agent agent;

	agent_init(&agent);
	into_server(&agent, parting->protocol, source->port, "smtp", sink->port, parting->more);
	agent_start(&agent, (const char *const[]){"run", "isp", NULL});
	peer_await_hang(sink);
	if (keeps)
		peer_await_hang(source);
	kill(agent.pid, SIGKILL);
	agent_wait(&agent);
	if (keeps)
		peer_free(source);
	else
		peer_finish(source);
	peer_free(sink);
	agent_await_unlocked(&agent, "isp");
	assert_int_equal(agent_status(&agent, "in_doubt"), 1);
	agent_done(&agent);
}

static void a_source_that_keeps_all_is_left_early(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(partings); i++)
		part(&partings[i]);
}

/* More than the buffers between two sockets take, so that the dot cannot have been sent. */
#define LARGE (12 * 1024 * 1024)

static void a_cut_before_the_dot_leaves_no_doubt(void **state)
{
	static char large[LARGE];
	const struct step hands_out[] = {PLAY(pop3_enters), C("RETR 1"), S("+OK"), BYTES(large, LARGE), S("."), END};
	const struct step first[] = {PLAY(hands_out), PLAY(pop3_leaves), END};
	const struct step second[] = {PLAY(hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	static const struct step cuts[] = {
		PLAY(smtp_greets), C("MAIL FROM:<>*"), S("250"), RCPT, S("250"), C("DATA"), S("354"), READ(1000), CLOSE, END};
	static const struct step takes[] = {
		PLAY(smtp_greets), C("MAIL FROM:<>*"), S("250"), RCPT, S("250"), C("DATA"), S("354"), DOT, S("250"), PLAY(sink_quits), END};
	struct agent agent;

	(void)state;
	memset(large, 'x', LARGE);
	for (size_t i = 100; i < LARGE; i += 100)
		memcpy(large + i - 2, "\r\n", 2);
	memcpy(large + LARGE - 2, "\r\n", 2);
	memcpy(large, "Subject: large\r\n\r\n", 18);
	agent_init(&agent);
	for (unsigned run = 0; run < 2; run++) {
		struct peer *source = peer_start(run == 0 ? first : second, PEER_LISTEN);
		struct peer *sink = peer_start(run == 0 ? cuts : takes, PEER_LISTEN);

		into_server(&agent, "pop3", source->port, "smtp", sink->port, DELETE);
		agent_expect(&agent, run == 0 ? 75 : 0, "run", "isp");
		peer_finish(source);
		peer_finish(sink);
		assert_int_equal(agent_status(&agent, "open"), 1 - run);
		assert_int_equal(agent_status(&agent, "hauled"), run);
	}
	agent_done(&agent);
}

/* -- in doubt -- */

static void copy_id(struct peer *sink, char *ret_id, size_t size)
{
	static const char name[] = "\r\nX-Mailhaul-Id: ";
	struct str received = {0};
	const char *at;

	peer_received(sink, &received);
	at = strstr(str_text(&received), name);
	assert_non_null(at);
	at += strlen(name);
	snprintf(ret_id, size, "%.*s", (int)strcspn(at, "\r"), at);
	str_done(&received);
}

static void an_unanswered_dot_is_tried_three_times(void **state)
{
	static const struct step cuts[] = {PLAY(smtp_greets), PLAY(dot), CLOSE, END};
	static const char *const keys[] = {"in_doubt", "in_doubt", "held"};

	(void)state;
	for (EACH_DIALECT(dialect)) {
		const struct step nothing_to_do[] = {PLAY(dialect->reenters), PLAY(dialect->leaves), END};
		char id[64], first_id[64] = "";
		struct agent agent;
		struct peer *source;
		uint16_t closed;
		int fd = port_take(false, &closed);

		agent_init(&agent);
		for (unsigned round = 0; round < 3; round++) {
			const struct step script[] = {
				PLAY(round == 0 ? dialect->enters : dialect->reenters), PLAY(dialect->hands_out), PLAY(dialect->leaves), END};
			struct peer *sink = peer_start(cuts, PEER_LISTEN);

			source = peer_start(script, PEER_LISTEN);
			into_server(&agent, dialect->protocol, source->port, "smtp", sink->port, DELETE);
			agent_expect(&agent, 75, "run", "isp");
			peer_finish(source);
			copy_id(sink, id, sizeof(id));
			peer_finish(sink);
			if (round == 0)
				snprintf(first_id, sizeof(first_id), "%s", id);
			assert_int_equal(strlen(id), 40);
			assert_string_equal(id, first_id);
			assert_int_equal(agent_status(&agent, keys[round]), 1);
		}
		source = peer_start(nothing_to_do, PEER_LISTEN);
		into_server(&agent, dialect->protocol, source->port, "smtp", closed, DELETE);
		agent_expect(&agent, 0, "run", "isp");
		peer_finish(source);
		agent_expect(&agent, 0, "held", "list");
		assert_true(agent_printed(&agent, "isp"));
		close(fd);
		agent_done(&agent);
	}
}

/* -- an unanswered goodbye -- */

static void an_unanswered_deletion_is_asked_for_again(void **state)
{
	(void)state;
	for (EACH_DIALECT(dialect)) {
		const struct step first[] = {PLAY(dialect->enters), PLAY(dialect->hands_out), PLAY(dialect->deletes_unanswered), END};
		/* A UIDL may be another message's by now (RFC 1939 7): only the content can tell. */
		const struct step looks[] = {PLAY(dialect->reenters), PLAY(dialect->hands_out), END};
		const struct step second[] = {
			PLAY(dialect == dialects ? looks : dialect->reenters), PLAY(dialect->deletes), PLAY(dialect->leaves), END};
		struct agent agent;

		agent_init(&agent);
		haul_home(&agent, dialect->protocol, first, DELETE, 75);
		expect_letter(&agent);
		assert_int_equal(agent_status(&agent, "owed"), 1);
		haul_home(&agent, dialect->protocol, second, DELETE, 0);
		expect_letter(&agent);
		assert_int_equal(agent_status(&agent, "owed"), 0);
		agent_done(&agent);
	}
}

/* Only looked at first, since nothing is to be deleted any more; but a deletion is owed from before, and the folder is opened again for it. */
static void an_owed_deletion_does_not_hit_a_renumbered_message(void **state)
{
	static const struct step first[] = {PLAY(imap_enters), PLAY(imap_hands_out), PLAY(imap_deletes_unanswered), END};
	static const struct step second[] = {OPENED("EXAMINE", "1", "7", "6"), C("%3 SELECT \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 8]"),
		S("* OK [UIDNEXT 6]"), S("%3 OK"), PLAY(imap_logged_out), END};
	static const struct step third[] = {OPENED("EXAMINE", "1", "7", "6"), C("%3 SELECT \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7]"),
		S("* OK [UIDNEXT 6]"), S("%3 OK"), PLAY(imap_deletes), PLAY(imap_logged_out), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "imap", first, DELETE, 75);
	haul_home(&agent, "imap", second, "after_delivery: keep", 75);
	assert_int_equal(agent_status(&agent, "owed"), 1);
	haul_home(&agent, "imap", third, "after_delivery: keep", 0);
	assert_int_equal(agent_status(&agent, "owed"), 0);
	agent_done(&agent);
}

/* The server did delete it, and gave its UIDL to another message (RFC 1939 7 allows that). */
static void a_reused_uidl_is_another_message(void **state)
{
	static const struct step first[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes_unanswered), END};
	static const struct step second[] = {POP3_LISTS("1"), S("1 61"), S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), S("+OK"),
		RAW(OTHER "again\r\n"), S("."), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", first, DELETE, 75);
	haul_home(&agent, "pop3", second, DELETE, 0);
	expect_mail(&agent, 2);
	agent_done(&agent);
}

/* -- killed and stopped -- */

#define LEAVES_WITHIN_S 5 /* less than what a supervisor waits before it kills its workers */

static const struct {
	bool worker;
	int signal, status;
} ends[] = {{true, SIGKILL, 75}, {false, SIGKILL, 128 + SIGKILL}, {false, SIGTERM, 75}, {false, SIGINT, 75}};

static void expect_sealed(pid_t worker)
{
	struct str text = {0};
	char path[32];
	FILE *file;
	char line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", worker);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		str_add_text(&text, line);
	fclose(file);
	assert_non_null(strstr(str_text(&text), "NoNewPrivs:\t1"));
	assert_non_null(strstr(str_text(&text), "Seccomp:\t2"));
	str_done(&text);
}

static void ended_in_the_middle(const struct dialect *dialect, unsigned which)
{
	const struct step first[] = {PLAY(dialect->enters), PLAY(dialect->dribbles), END};
	const struct step second[] = {PLAY(dialect->reenters), PLAY(dialect->hands_out), PLAY(dialect->deletes), PLAY(dialect->leaves), END};
	struct peer *source = peer_start(first, PEER_LISTEN);
	struct agent agent;
	int64_t signaled_ns;
	double took_s;
	pid_t worker;

	agent_init(&agent);
	into_maildir(&agent, dialect->protocol, source->port, DELETE);
	agent_start(&agent, (const char *const[]){"run", "--trace", "isp", NULL});
	agent_await_text(&agent, dialect->dribbling);
	worker = agent_worker(&agent);
	expect_sealed(worker);
	signaled_ns = clock_monotonic_ns();
	kill(ends[which].worker ? worker : agent.pid, ends[which].signal);
	agent_expect_end(&agent, ends[which].status);
	took_s = (double)(clock_monotonic_ns() - signaled_ns) / 1e9;
	if (took_s > LEAVES_WITHIN_S)
		fail_msg("%s, ended the way %u: it took %.1f s to leave, and said:\n%s", dialect->protocol, which, took_s, str_text(&agent.err));
	peer_finish(source);
	agent_await_unlocked(&agent, "isp");
	expect_mail(&agent, 0);
	assert_int_equal(agent_status(&agent, "open"), 1);
	haul_home(&agent, dialect->protocol, second, DELETE, 0);
	expect_letter(&agent);
	agent_done(&agent);
}

static void an_end_in_the_middle_leaves_nothing_partial(void **state)
{
	(void)state;
	for (EACH_DIALECT(dialect))
		for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
			ended_in_the_middle(dialect, i);
}

/* Where a server says nothing; text is in the trace by then. What had been delivered stays delivered, and when only a goodbye is missing on which nothing
 * rests, all is done. */
static const struct {
	const char *protocol;
	struct step script[16];
	const char *text;
	int status;
	unsigned mail;
} silences[] = {
	{"pop3", {S("+OK ready"), C("CAPA"), SILENCE, END}, "> CAPA", 75, 0},
	{"pop3", {POP3_ENTERS, C("LIST"), C("UIDL"), SILENCE, END}, "> STAT", 75, 0},
	{"pop3", {POP3_LISTS("1"), SILENCE, END}, "> UIDL", 75, 0},
	{"pop3", {PLAY(pop3_enters), C("RETR 1"), SILENCE, END}, "> RETR 1", 75, 0},
	{"pop3", {PLAY(pop3_enters), PLAY(pop3_hands_out), C("DELE 1"), SILENCE, END}, "> DELE 1", 75, 1},
	{"pop3", {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes), C("QUIT"), SILENCE, END}, "> QUIT", 75, 1},
	{"imap", {S("* OK [" IMAP_CAPS "] ready"), C("%1 LOGIN *"), SILENCE, END}, "LOGIN", 75, 0},
	{"imap", {PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), SILENCE, END}, "SELECT", 75, 0},
	{"imap", {PLAY(imap_reenters), LIST_FROM("1"), SILENCE, END}, "OK done", 75, 0},
	{"imap", {PLAY(imap_enters), C("%4 UID FETCH 5 *"), SILENCE, END}, "UID FETCH 5", 75, 0},
	{"imap", {PLAY(imap_enters), PLAY(imap_hands_out), IMAP_EXPUNGE, SILENCE, END}, "EXPUNGE", 75, 1},
	{"imap", {PLAY(imap_enters), PLAY(imap_hands_out), PLAY(imap_deletes), C("%9 LOGOUT"), SILENCE, END}, "LOGOUT", 0, 1},
};

static void a_silent_server_keeps_nobody_from_leaving(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(silences); i++) {
		struct peer *source = peer_start(silences[i].script, PEER_LISTEN);
		struct agent agent;
		int64_t signaled_ns;
		double took_s;
		int status;

		agent_init(&agent);
		into_maildir(&agent, silences[i].protocol, source->port, DELETE);
		agent_start(&agent, (const char *const[]){"run", "--trace", "isp", NULL});
		agent_await_text(&agent, silences[i].text);
		signaled_ns = clock_monotonic_ns();
		kill(agent.pid, SIGTERM);
		status = agent_wait(&agent);
		took_s = (double)(clock_monotonic_ns() - signaled_ns) / 1e9;
		if (status != silences[i].status || took_s > LEAVES_WITHIN_S)
			fail_msg("silence %zu: it took %.1f s to leave with %d, and said:\n%s", i, took_s, status, str_text(&agent.err));
		peer_finish(source);
		expect_mail(&agent, silences[i].mail);
		agent_done(&agent);
	}
}

/* -- some messages and not the others -- */

#define THREE_LISTED \
	POP3_LISTS("3"), S("1 " LETTER_SIZE), S("2 " LETTER_SIZE), S("3 " LETTER_SIZE), S("."), S("+OK"), S("1 a"), S("2 b"), S("3 c"), S(".")
#define IN_A_ROW C("RETR 1"), C("RETR 2"), C("RETR 3")
#define HANDED_OUT(letter) S("+OK"), RAW(letter), S(".")

static void one_refused_message_keeps_no_other(void **state)
{
	static const struct step source_script[] = {THREE_LISTED, IN_A_ROW, HANDED_OUT(LETTER), HANDED_OUT(OTHER), HANDED_OUT(LETTER), C("DELE 1"),
		C("DELE 3"), S("+OK"), S("+OK"), PLAY(pop3_leaves), END};
	static const struct step sink_script[] = {
		PLAY(smtp_greets), PLAY(dot), S("250 ok"), PLAY(dot), S("552 not this one"), PLAY(dot), S("250 ok"), PLAY(sink_quits), END};
	struct peer *source = peer_start(source_script, PEER_LISTEN), *sink = peer_start(sink_script, PEER_LISTEN);
	struct agent agent;

	(void)state;
	agent_init(&agent);
	into_server(&agent, "pop3", source->port, "smtp", sink->port, DELETE);
	agent_expect(&agent, 0, "run", "isp");
	peer_finish(source);
	peer_finish(sink);
	assert_int_equal(agent_status(&agent, "held"), 1);
	assert_int_equal(agent_status(&agent, "hauled"), 2);
	agent_done(&agent);
}

static void what_arrived_before_a_cut_is_not_delivered_again(void **state)
{
	static const struct step first[] = {THREE_LISTED, IN_A_ROW, HANDED_OUT(LETTER), HANDED_OUT(OTHER), RAW("+OK\r\nReturn-Pa"), CLOSE, END};
	/* The first two are looked at before they are deleted: are they still the same? */
	static const struct step second[] = {THREE_LISTED, IN_A_ROW, HANDED_OUT(LETTER), HANDED_OUT(OTHER), HANDED_OUT(LETTER), C("DELE 1"),
		C("DELE 2"), S("+OK"), S("+OK"), C("DELE 3"), S("+OK"), PLAY(pop3_leaves), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", first, DELETE, 75);
	expect_mail(&agent, 2);
	assert_int_equal(agent_status(&agent, "owed"), 2);
	haul_home(&agent, "pop3", second, DELETE, 0);
	expect_mail(&agent, 3);
	agent_done(&agent);
}

static void a_silent_mailbox_delays_no_other(void **state)
{
	static const struct step says_nothing[] = {SILENCE, END};
	static const struct step whole[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct peer *silent = peer_start(says_nothing, PEER_LISTEN), *good = peer_start(whole, PEER_LISTEN);
	struct agent agent;

	(void)state;
	agent_init(&agent);
	agent.deadline_factor = "0.05"; /* a greeting may take 3 s */
	agent_configure(&agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"defaults: {tls: none, user: anna, password: secret, deliver_to: home, after_delivery: delete}\n"
		"mailboxes:\n  - {name: silent, pop3: \"127.0.0.1:%u\"}\n  - {name: good, pop3: \"127.0.0.1:%u\"}\n",
		agent.dir, silent->port, good->port);
	agent_start(&agent, (const char *const[]){"-v", "run", NULL});
	agent_await_text(&agent, "event=session mailbox=good result=done");
	assert_null(strstr(str_text(&agent.err), "mailbox=silent"));
	expect_letter(&agent);
	agent_expect_end(&agent, 75);
	assert_true(agent_said(&agent, "mailbox=silent"));
	peer_finish(silent);
	peer_finish(good);
	agent_done(&agent);
}

/* -- the first run -- */

#define TWO_OLD OPENED("EXAMINE", "2", "7", "6"), LIST_FROM("1"), LISTED_ON("1", "4", "01-Jan-2026")
#define FETCH(tag, number, uid) C(tag " UID FETCH " uid " (UID BODY.PEEK[])"), SENDS(number, uid), RAW(LETTER ")\r\n"), S(tag " OK")

enum { RUNS_THROUGH, KILLED_LISTING, KILLED_FETCHING };

static void first_run(const char *setting, bool second_is_new, int fate)
{
	static const struct step lists_half[] = {TWO_OLD, SILENCE, END};
	static const struct step dribbles[] = {TWO_OLD, LISTED("2", "5"), S("%3 OK"), PLAY(imap_dribbles), END};
	static const struct step nothing[] = {TWO_OLD, LISTED("2", "5"), S("%3 OK"), PLAY(imap_logged_out), END};
	static const struct step one[] = {TWO_OLD, LISTED("2", "5"), S("%3 OK"), FETCH("%4", "2", "5"), PLAY(imap_logged_out), END};
	static const struct step fetches[] = {OPENED("EXAMINE", "2", "7", "6"), FETCH("%4", "2", "5"), PLAY(imap_logged_out), END};
	static const struct step later[] = {OPENED("EXAMINE", "3", "7", "10"), LIST_FROM("1"), LISTED_ON("1", "4", "01-Jan-2026"), LISTED("2", "5"),
		LISTED("3", "9"), S("%3 OK"), C("%4 UID FETCH 9 (UID BODY.PEEK[])"), SENDS("3", "9"), RAW(OTHER ")\r\n"), S("%4 OK"),
		PLAY(imap_logged_out), END};
	struct agent agent;

	agent_init(&agent);
	if (fate != RUNS_THROUGH) {
		struct peer *source = peer_start(fate == KILLED_LISTING ? lists_half : dribbles, PEER_LISTEN);

		into_maildir(&agent, "imap", source->port, setting);
		agent_start(&agent, (const char *const[]){"run", "--trace", "isp", NULL});
		agent_await_text(&agent, fate == KILLED_LISTING ? "UID 4 RFC822.SIZE" : "{" LETTER_SIZE "}");
		kill(agent.pid, SIGKILL);
		agent_expect_end(&agent, 128 + SIGKILL);
		peer_finish(source);
		agent_await_unlocked(&agent, "isp");
	}
	haul_home(&agent, "imap", fate == KILLED_FETCHING ? fetches : second_is_new ? one : nothing, setting, 0);
	expect_mail(&agent, second_is_new);
	assert_int_equal(agent_status(&agent, "baseline"), second_is_new ? 1 : 2);
	haul_home(&agent, "imap", later, setting, 0);
	expect_mail(&agent, second_is_new ? 2 : 1);
	agent_done(&agent);
}

static void the_first_run_draws_the_line(void **state)
{
	(void)state;
	first_run("first_run: new", false, RUNS_THROUGH);
	first_run("first_run: new", false, KILLED_LISTING);
	first_run("first_run: 2026-01-15", true, RUNS_THROUGH);
	first_run("first_run: 2026-01-15", true, KILLED_LISTING);
	first_run("first_run: 2026-01-15", true, KILLED_FETCHING);
}

/* -- two at once -- */

static void the_second_of_two_runs_stays_away(void **state)
{
	static const struct step dribbles[] = {PLAY(pop3_enters), PLAY(pop3_dribbles), END};
	struct peer *source = peer_start(dribbles, PEER_LISTEN);
	struct agent agent, other;
	char holder[64];
	uint16_t port;
	int fd = port_take(true, &port);

	(void)state;
	agent_init(&agent);
	into_maildir(&agent, "pop3", source->port, DELETE);
	agent_start(&agent, (const char *const[]){"run", "--trace", "isp", NULL});
	agent_await_text(&agent, "here it comes");
	other = agent;
	other.out = other.err = (struct str){0};
	into_maildir(&other, "pop3", port, DELETE);
	agent_expect(&other, 75, "run", "isp");
	snprintf(holder, sizeof(holder), "isp is being hauled by process %d", agent.pid);
	assert_true(agent_said(&other, holder));
	assert_false(port_was_used(fd));
	close(fd);
	str_done(&other.out);
	str_done(&other.err);
	kill(agent.pid, SIGTERM);
	agent_expect_end(&agent, 75);
	peer_finish(source);
	agent_done(&agent);
}

/* -- two destinations -- */

static void to_both(struct agent *agent, const struct step *script, uint16_t sink_port, int status)
{
	struct peer *source = peer_start(script, PEER_LISTEN);

	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n  mta: {smtp: \"127.0.0.1:%u\", recipient: anna@home.example}\n"
		"mailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n    password: secret\n"
		"    deliver_to: [home, mta]\n    after_delivery: delete\n",
		agent->dir, sink_port, source->port);
	agent_expect(agent, status, "run", "isp");
	peer_finish(source);
}

static void one_of_two_destinations_is_served_later(void **state)
{
	static const struct step first[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_leaves), END};
	static const struct step again[] = {PLAY(pop3_enters), PLAY(pop3_leaves), END};
	static const struct step last[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	static const struct step takes[] = {PLAY(smtp_greets), PLAY(accepts), END};
	struct agent agent;
	struct peer *sink;
	uint16_t closed;
	int fd = port_take(false, &closed);

	(void)state;
	agent_init(&agent);
	to_both(&agent, first, closed, 75);
	assert_true(agent_said(&agent, "mta"));
	expect_letter(&agent);
	to_both(&agent, again, closed, 75);
	expect_letter(&agent);
	sink = peer_start(takes, PEER_LISTEN);
	to_both(&agent, last, sink->port, 0);
	peer_finish(sink);
	expect_letter(&agent);
	close(fd);
	agent_done(&agent);
}

/* -- limits, and a folder that is not there -- */

static void what_is_too_large_is_held(void **state)
{
	static const struct step announced[] = {PLAY(pop3_enters), PLAY(pop3_leaves), END};
	static const struct step lied_about[] = {
		POP3_LISTS("1"), S("1 10"), S("."), S("+OK"), S("1 a"), S("."), PLAY(pop3_hands_out), PLAY(pop3_leaves), END};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct agent agent;

		agent_init(&agent);
		haul_home(&agent, "pop3", i == 0 ? announced : lied_about, DELETE "\n    max_message: 54", 0);
		expect_mail(&agent, 0);
		assert_int_equal(agent_status(&agent, "held"), 1);
		agent_expect(&agent, 0, "held", "list");
		assert_true(agent_printed(&agent, "max_message"));
		haul_home(&agent, "pop3", announced, DELETE "\n    max_message: 54", 0);
		agent_done(&agent);
	}
}

static void max_messages_are_hauled_per_session(void **state)
{
	static const struct step first[] = {POP3_LISTS("2"), S("1 " LETTER_SIZE), S("2 " LETTER_SIZE), S("."), S("+OK"), S("1 a"), S("2 b"), S("."),
		PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	static const struct step second[] = {POP3_LISTS("1"), S("1 " LETTER_SIZE), S("."), S("+OK"), S("1 b"), S("."), C("RETR 1"), S("+OK"),
		RAW(OTHER), S("."), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", first, DELETE "\n    max_messages: 1", 0);
	expect_letter(&agent);
	haul_home(&agent, "pop3", second, DELETE "\n    max_messages: 1", 0);
	expect_mail(&agent, 2);
	agent_done(&agent);
}

static void a_missing_folder_costs_the_others_nothing(void **state)
{
	static const struct step script[] = {PLAY(imap_logged_in), C("%7 SELECT \"Work\""), S("%7 NO [NONEXISTENT] no such thing"),
		C("%2 SELECT \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 6]"), S("%2 OK"), LIST_FROM("1"),
		LISTED("1", "5"), S("%3 OK"), PLAY(imap_hands_out), PLAY(imap_deletes), PLAY(imap_logged_out), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "imap", script, DELETE "\n    folders: [Work, INBOX]", 75);
	assert_true(agent_said(&agent, "server has no folder"));
	expect_letter(&agent);
	agent_done(&agent);
}

/* -- keys that change -- */

#define VISIT(uidvalidity, uid) OPENED("EXAMINE", "1", uidvalidity, "9"), LIST_FROM("1"), LISTED("1", uid), S("%3 OK")
#define HANDS_OUT(uid) C("%4 UID FETCH " uid " (UID BODY.PEEK[])"), SENDS("1", uid), RAW(LETTER ")\r\n"), S("%4 OK")
/* Without a Received field the header proves nothing, so the whole message is compared. */
#define LETTER_HEADER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\n"
#define SHOWS(uid)                                                                                                                                \
	C("%5 UID FETCH " uid " (UID BODY.PEEK[HEADER])"), S("* 1 FETCH (UID " uid " BODY[HEADER] {48}"), RAW(LETTER_HEADER ")\r\n"), S("%5 OK"), \
		HANDS_OUT(uid)
_Static_assert(sizeof(LETTER_HEADER) - 1 == 48, "as in SHOWS");

static void a_renumbered_folder_is_recognised(void **state)
{
	static const struct step first[] = {VISIT("7", "5"), HANDS_OUT("5"), PLAY(imap_logged_out), END};
	static const struct step second[] = {VISIT("8", "1"), SHOWS("1"), PLAY(imap_logged_out), END};
	static const struct step third[] = {OPENED("EXAMINE", "1", "8", "2"), PLAY(imap_logged_out), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "imap", first, "after_delivery: keep", 0);
	expect_letter(&agent);
	haul_home(&agent, "imap", second, "after_delivery: keep", 0);
	expect_letter(&agent);
	haul_home(&agent, "imap", third, "after_delivery: keep", 0);
	expect_letter(&agent);
	agent_done(&agent);
}

#define BARE PLAY(imap_logged_in), C("%2 EXAMINE \"INBOX\""), S("* 1 EXISTS")

static void a_folder_without_uidvalidity_is_hauled_once(void **state)
{
	static const struct step missing[] = {BARE, S("%2 OK"), END}, zero[] = {BARE, S("* OK [UIDVALIDITY 0]"), S("%2 OK"), END};
	static const struct step *const opened[] = {missing, zero};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct step first[] = {
			PLAY(opened[i]), LIST_FROM("1"), LISTED("1", "5"), S("%3 OK"), PLAY(imap_hands_out), PLAY(imap_logged_out), END};
		const struct step second[] = {PLAY(opened[i]), LIST_FROM("1"), LISTED("1", "5"), S("%3 OK"), SHOWS("5"), PLAY(imap_logged_out), END};
		struct agent agent;

		agent_init(&agent);
		haul_home(&agent, "imap", first, "after_delivery: keep", 0);
		expect_letter(&agent);
		haul_home(&agent, "imap", second, "after_delivery: keep", 0);
		expect_letter(&agent);
		agent_done(&agent);
	}
}

#define NO_UIDL(count) POP3_ENTERS, S("+OK " count " 999"), C("LIST"), C("UIDL"), S("+OK")

static void without_uidl_the_content_is_the_key(void **state)
{
	/* Fetched to be known, and once more to be delivered. */
	static const struct step first[] = {NO_UIDL("1"), S("1 " LETTER_SIZE), S("."), S("-ERR what?"), PLAY(pop3_hands_out), PLAY(pop3_hands_out),
		PLAY(pop3_deletes_unanswered), END};
	static const struct step second[] = {
		NO_UIDL("1"), S("1 " LETTER_SIZE), S("."), S("-ERR what?"), PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", first, DELETE, 75);
	expect_letter(&agent);
	haul_home(&agent, "pop3", second, DELETE, 0);
	expect_letter(&agent);
	agent_done(&agent);
}

static void without_uidl_mail_cannot_be_kept(void **state)
{
	static const struct step script[] = {NO_UIDL("1"), S("1 " LETTER_SIZE), S("."), S("-ERR what?"), END};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	haul_home(&agent, "pop3", script, "after_delivery: keep", 78);
	assert_true(agent_said(&agent, "gives its messages no unique ids"));
	expect_mail(&agent, 0);
	agent_done(&agent);
}

/* -- back-off -- */

static void a_refused_login_is_not_tried_at_once(void **state)
{
	static const struct step refuses_login[] = {S("+OK"), C("CAPA"), S("-ERR"), C("USER anna"), S("+OK"), C("PASS secret"), S("-ERR wrong"), END};
	static const struct step whole[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct peer *source = peer_start(refuses_login, PEER_LISTEN);
	struct agent agent;
	uint16_t port;
	int fd = port_take(true, &port);

	(void)state;
	agent_init(&agent);
	into_maildir(&agent, "pop3", source->port, DELETE);
	agent_expect(&agent, 77, "run");
	assert_true(agent_said(&agent, "wrong"));
	peer_finish(source);
	into_maildir(&agent, "pop3", port, DELETE);
	agent_expect(&agent, 77, "run");
	assert_false(port_was_used(fd));
	assert_int_equal(agent.err.len, 0); /* said once */
	haul_home(&agent, "pop3", whole, DELETE, 0);
	expect_letter(&agent);
	assert_int_equal(agent_status(&agent, "failures"), 0);
	close(fd);
	agent_done(&agent);
}

/* -- the sandbox, which every configuration here requires -- */

static void a_sealed_worker_can_do_its_work(void **state)
{
	static const struct step whole[] = {PLAY(pop3_enters), PLAY(pop3_hands_out), PLAY(pop3_deletes), PLAY(pop3_leaves), END};
	struct peer *source = peer_start(whole, PEER_LISTEN);
	struct str text = {0};
	struct agent agent;
	char destination[256];

	(void)state;
	agent_init(&agent);
	snprintf(destination, sizeof(destination), "mda: [/bin/sh, -c, \"mkdir -p %s/home/new && cat >%s/home/new/copy\"]", agent.dir, agent.dir);
	configure(&agent, "pop3", source->port, destination, DELETE);
	agent_expect(&agent, 0, "run", "isp");
	peer_finish(source);
	assert_int_equal(agent_mail(&agent, "new", &text), 1);
	assert_non_null(strstr(str_text(&text), "Subject: one"));
	str_done(&text);
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_deleted_before_it_is_accepted),
		cmocka_unit_test(a_source_that_keeps_all_is_left_early),
		cmocka_unit_test(a_cut_before_the_dot_leaves_no_doubt),
		cmocka_unit_test(an_unanswered_dot_is_tried_three_times),
		cmocka_unit_test(an_unanswered_deletion_is_asked_for_again),
		cmocka_unit_test(an_owed_deletion_does_not_hit_a_renumbered_message),
		cmocka_unit_test(a_reused_uidl_is_another_message),
		cmocka_unit_test(an_end_in_the_middle_leaves_nothing_partial),
		cmocka_unit_test(a_silent_server_keeps_nobody_from_leaving),
		cmocka_unit_test(one_refused_message_keeps_no_other),
		cmocka_unit_test(what_arrived_before_a_cut_is_not_delivered_again),
		cmocka_unit_test(a_silent_mailbox_delays_no_other),
		cmocka_unit_test(the_first_run_draws_the_line),
		cmocka_unit_test(the_second_of_two_runs_stays_away),
		cmocka_unit_test(one_of_two_destinations_is_served_later),
		cmocka_unit_test(what_is_too_large_is_held),
		cmocka_unit_test(max_messages_are_hauled_per_session),
		cmocka_unit_test(a_missing_folder_costs_the_others_nothing),
		cmocka_unit_test(a_renumbered_folder_is_recognised),
		cmocka_unit_test(a_folder_without_uidvalidity_is_hauled_once),
		cmocka_unit_test(without_uidl_the_content_is_the_key),
		cmocka_unit_test(without_uidl_mail_cannot_be_kept),
		cmocka_unit_test(a_refused_login_is_not_tried_at_once),
		cmocka_unit_test(a_sealed_worker_can_do_its_work),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
