/* test-begun.c - large messages go on to their destinations while they arrive: whole, and with an end only once they are complete and their intent is known. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

#define LARGE 12000000 /* more than two sockets take */
#define HALF 6000000
#define SIZE "12000000"

static char large[LARGE], sent[LARGE + LARGE / 50];
static size_t sent_len;

/* -- scripts -- */

/* clang-format off */
static const struct step pop3_lists[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT"),
	S("+OK 1 " SIZE), C("LIST"), C("UIDL"), S("+OK"), S("1 " SIZE), S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), S("+OK"), END};
static struct step pop3_whole[] = {PLAY(pop3_lists), BYTES(sent, 0 /* make_large */), S("."), C("QUIT"), S("+OK"), END};
static const struct step pop3_half[] = {PLAY(pop3_lists), BYTES(sent, HALF), HANG, END};
static const struct step imap_opens[] = {PLAY(imap_logged_in), C("%2 EXAMINE \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 6]"), S("%2 OK"), END};
static const struct step imap_lists[] = {PLAY(imap_opens), C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"),
	S("* 1 FETCH (UID 5 RFC822.SIZE " SIZE " INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())"), S("%3 OK"), END};
static const struct step imap_asked[] = {C("%4 UID FETCH 5 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 5 BODY[] {" SIZE "}"), END};
static const struct step imap_gives[] = {PLAY(imap_asked), BYTES(large, LARGE), S(")"), S("%4 OK"), PLAY(imap_logged_out), END};
static const struct step imap_whole[] = {PLAY(imap_lists), PLAY(imap_gives), END}, imap_again[] = {PLAY(imap_opens), PLAY(imap_gives), END};
static const struct step imap_half[] = {PLAY(imap_lists), PLAY(imap_asked), BYTES(large, HALF), HANG, END};
static const struct step imap_no[] = {PLAY(imap_lists), PLAY(imap_asked), BYTES(large, LARGE), S(")"), S("%4 NO it was not that one"), PLAY(imap_logged_out), END};

/* What was asked for behind the large one is answered while that still lacks its tagged OK, as Dovecot does. */
static const struct step imap_mixed[] = {PLAY(imap_logged_in), C("%2 EXAMINE \"INBOX\""), S("* 2 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 7]"), S("%2 OK"),
	C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"), S("* 1 FETCH (UID 5 RFC822.SIZE 4000000 INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())"),
	S("* 2 FETCH (UID 6 RFC822.SIZE 3 INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())"), S("%3 OK"),
	C("%4 UID FETCH 5 (UID BODY.PEEK[])"), C("%5 UID FETCH 6 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 5 BODY[] {" SIZE "}"), BYTES(large, LARGE), S(")"),
	S("* 2 FETCH (UID 6 BODY[] {3}"), RAW("y\r\n)\r\n"), S("%5 OK"), S("%4 OK"), PLAY(imap_logged_out), END};
static const struct step smtp_data[] = {S("220 mx"), C("EHLO *"), S("250 mx"), C("MAIL FROM:<ben@far.example>"), S("250 ok"), C("RCPT TO:<anna@home.example>"), S("250 ok"),
	C("DATA"), S("354 go"), END};
static const struct step lmtp_data[] = {S("220 mx"), C("LHLO *"), S("250 mx"), C("MAIL FROM:<ben@far.example>"), S("250 ok"), C("RCPT TO:<anna@home.example>"), S("250 ok"),
	C("DATA"), S("354 go"), END};
static const struct step takes[] = {DOT, S("250 taken"), C("QUIT"), S("221 bye"), END};
/* clang-format on */

/* Lines of all kinds, some of them in need of a dot more. */
static void make_large(void)
{
	static const char head[] = "Return-Path: <ben@far.example>\r\nSubject: large\r\n\r\n";
	size_t len = sizeof(head) - 1;

	memset(large, 'x', LARGE);
	memcpy(large, head, len);
	for (size_t i = len; i + 200 < LARGE; i += 3 + i % 97) {
		memcpy(large + i, "\r\n", 2);
		large[i + 2] = i % 5 == 0 ? '.' : 'x';
	}
	memcpy(large + LARGE - 2, "\r\n", 2);
	for (size_t i = 0; i < LARGE; i++) {
		if (large[i] == '.' && large[i - 1] == '\n')
			sent[sent_len++] = '.';
		sent[sent_len++] = large[i];
	}
	pop3_whole[1].len = sent_len;
}

struct scene {
	struct agent agent;
	struct peer *source, *sink;
};

/* kind: of the sink, "smtp" or "lmtp". A Maildir gets each message, too. Another one may follow, with the state of the one before. */
static void play(struct scene *scene, const char *protocol, const struct step *source, const char *kind, const struct step *sink)
{
	scene->source = peer_start(source, PEER_LISTEN);
	scene->sink = peer_start(sink, PEER_LISTEN);
	agent_configure(&scene->agent,
		"destinations:\n  home: {%s: \"127.0.0.1:%u\", recipient: anna@home.example}\n  local: {maildir: %s/home}\nmailboxes:\n"
		"  - {name: isp, %s: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: [home, local]}\n",
		kind, scene->sink->port, scene->agent.dir, protocol, scene->source->port);
}

static void begin(struct scene *scene, const char *factor)
{
	*scene = (struct scene){0};
	agent_init(&scene->agent);
	scene->agent.deadline_factor = factor;
}

static void start(struct scene *scene)
{
	agent_start(&scene->agent, (const char *const[]){"run", "isp", NULL});
}

static void finish(struct scene *scene)
{
	peer_finish(scene->source);
	peer_finish(scene->sink);
}

static void drop(struct scene *scene)
{
	peer_free(scene->source);
	peer_free(scene->sink);
}

static void expect_large_at_home(const struct agent *agent)
{
	struct str mail = {0}, local = {0};

	for (size_t i = 0; i < LARGE; i++)
		if (large[i] != '\r')
			str_add_byte(&local, large[i]);
	assert_int_equal(agent_mail(agent, "new", &mail), 1);
	assert_int_equal(agent_mail(agent, "tmp", NULL), 0);
	assert_true(mail.len > local.len);
	assert_memory_equal(mail.data + mail.len - local.len, local.data, local.len);
	str_done(&mail);
	str_done(&local);
}

static void expect_large(struct peer *sink)
{
	static const char end[] = ".\r\nQUIT\r\n";
	struct str received = {0};

	peer_received(sink, &received);
	assert_true(received.len > sent_len + sizeof(end) - 1);
	assert_memory_equal(received.data + received.len - sizeof(end) + 1, end, sizeof(end) - 1);
	assert_memory_equal(received.data + received.len - sizeof(end) + 1 - sent_len, sent, sent_len);
	str_done(&received);
}

static void expect_no_end(struct peer *sink)
{
	struct str received = {0};

	peer_received(sink, &received);
	assert_true(received.len > 1000000);
	assert_null(strstr(str_text(&received), "\r\n.\r\n"));
	str_done(&received);
}

/* -- tests -- */

static const struct way {
	const char *protocol;
	const struct step *whole, *half, *again;
	const char *kind;
	const struct step *data;
} ways[] = {
	{"pop3", pop3_whole, pop3_half, pop3_whole, "smtp", smtp_data},
	{"imap", imap_whole, imap_half, imap_again, "smtp", smtp_data},
	{"pop3", pop3_whole, pop3_half, pop3_whole, "lmtp", lmtp_data},
	{"imap", imap_whole, imap_half, imap_again, "lmtp", lmtp_data},
};

static void others_may_be_there_before(void **state)
{
	static const struct step one[] = {
		C("MAIL FROM:*"), S("250 ok"), C("RCPT TO:*"), S("250 ok"), C("DATA"), S("354 go"), DOT, S("250 taken"), END};
	static const struct step server[] = {S("220 mx"), C("EHLO *"), S("250 mx"), PLAY(one), PLAY(one), C("QUIT"), S("221 bye"), END};
	struct scene scene;

	(void)state;
	begin(&scene, NULL);
	play(&scene, "imap", imap_mixed, "smtp", server);
	agent_expect(&scene.agent, 0, "run", "isp");
	finish(&scene);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 2);
	assert_int_equal(agent_mail(&scene.agent, "new", NULL), 2);
	agent_done(&scene.agent);
}

static void arrives_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct step server[] = {PLAY(ways[i].data), PLAY(takes), END};
		struct scene scene;

		begin(&scene, NULL);
		play(&scene, ways[i].protocol, ways[i].whole, ways[i].kind, server);
		agent_expect(&scene.agent, 0, "run", "isp");
		expect_large(scene.sink);
		finish(&scene);
		expect_large_at_home(&scene.agent);
		assert_int_equal(agent_status(&scene.agent, "hauled"), 1);
		agent_done(&scene.agent);
	}
}

/* The server has a part of it before the source has sent the rest; told to leave, nothing is in doubt, and the next run brings all of it. */
static void half_of_it_is_nothing(void **state)
{
	static const struct step part[] = {READ(1000000), HANG, END};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct step first[] = {PLAY(ways[i].data), PLAY(part), END}, second[] = {PLAY(ways[i].data), PLAY(takes), END};
		struct scene scene;

		begin(&scene, NULL);
		play(&scene, ways[i].protocol, ways[i].half, ways[i].kind, first);
		start(&scene);
		peer_await_hang(scene.sink);
		kill(scene.agent.pid, SIGTERM);
		agent_wait(&scene.agent);
		drop(&scene);
		assert_int_equal(agent_status(&scene.agent, "in_doubt"), 0);
		assert_int_equal(agent_status(&scene.agent, "open"), 1);
		assert_int_equal(agent_mail(&scene.agent, "new", NULL), 0);
		assert_int_equal(agent_mail(&scene.agent, "tmp", NULL), 0);

		play(&scene, ways[i].protocol, ways[i].again, ways[i].kind, second);
		agent_expect(&scene.agent, 0, "run", "isp");
		expect_large(scene.sink);
		finish(&scene);
		expect_large_at_home(&scene.agent);
		agent_done(&scene.agent);
	}
}

/* Killed in the middle: what lies in tmp/ is in nobody's way. */
static void a_kill_leaves_nothing_in_the_way(void **state)
{
	static const struct step part[] = {READ(1000000), HANG, END};
	const struct step first[] = {PLAY(smtp_data), PLAY(part), END}, second[] = {PLAY(smtp_data), PLAY(takes), END};
	struct scene scene;

	(void)state;
	begin(&scene, NULL);
	play(&scene, "imap", imap_half, "smtp", first);
	start(&scene);
	peer_await_hang(scene.sink);
	kill(scene.agent.pid, SIGKILL);
	agent_wait(&scene.agent);
	agent_await_unlocked(&scene.agent, "isp");
	drop(&scene);
	play(&scene, "imap", imap_again, "smtp", second);
	agent_expect(&scene.agent, 0, "run", "isp");
	expect_large(scene.sink);
	finish(&scene);
	expect_large_at_home(&scene.agent);
	agent_done(&scene.agent);
}

/* No server waits for a source that stalls: it is given its connection back long before the source is given up. */
static void a_source_that_stalls_holds_no_server(void **state)
{
	static const struct step first[] = {PLAY(smtp_data), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, "0.02");
	play(&scene, "imap", imap_half, "smtp", first);
	start(&scene);
	expect_no_end(scene.sink);
	assert_int_equal(kill(scene.agent.pid, 0), 0);
	kill(scene.agent.pid, SIGTERM);
	agent_wait(&scene.agent);
	peer_free(scene.source);
	peer_finish(scene.sink);
	assert_int_equal(agent_status(&scene.agent, "in_doubt"), 0);
	assert_int_equal(agent_status(&scene.agent, "open"), 1);
	assert_int_equal(agent_mail(&scene.agent, "tmp", NULL), 0);
	agent_done(&scene.agent);
}

/* Nor does a source wait for a server that thinks: in the middle of a message few stand it for long. Here that server would be heard after 24 s only. */
static void a_server_that_thinks_holds_no_source(void **state)
{
	static const struct step server[] = {
		S("220 mx"), C("EHLO *"), S("250 mx"), C("MAIL FROM:*"), SILENCE, NEXT, PLAY(smtp_data), PLAY(takes), END};
	struct scene scene;

	(void)state;
	begin(&scene, "0.08");
	play(&scene, "imap", imap_whole, "smtp", server);
	agent_expect(&scene.agent, 0, "run", "isp");
	finish(&scene);
	expect_large_at_home(&scene.agent);
	assert_int_equal(agent_status(&scene.agent, "hauled"), 1);
	agent_done(&scene.agent);
}

/* All of it has come, but the source takes it back. */
static void what_the_source_takes_back_gets_no_end(void **state)
{
	static const struct step server[] = {PLAY(smtp_data), DRAIN, END};
	struct scene scene;

	(void)state;
	begin(&scene, NULL);
	play(&scene, "imap", imap_no, "smtp", server);
	agent_expect(&scene.agent, 75, "run", "isp");
	expect_no_end(scene.sink);
	finish(&scene);
	assert_int_equal(agent_status(&scene.agent, "in_doubt"), 0);
	assert_int_equal(agent_status(&scene.agent, "open"), 1);
	assert_int_equal(agent_mail(&scene.agent, "new", NULL), 0);
	assert_int_equal(agent_mail(&scene.agent, "tmp", NULL), 0);
	agent_done(&scene.agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrives_whole),
		cmocka_unit_test(others_may_be_there_before),
		cmocka_unit_test(half_of_it_is_nothing),
		cmocka_unit_test(a_kill_leaves_nothing_in_the_way),
		cmocka_unit_test(a_source_that_stalls_holds_no_server),
		cmocka_unit_test(a_server_that_thinks_holds_no_source),
		cmocka_unit_test(what_the_source_takes_back_gets_no_end),
	};
	int failed;

	make_large();
	agents_prepare();
	failed = cmocka_run_group_tests_name("begun", tests, NULL, NULL);
	agents_remove();
	return failed;
}
