/* test-uidl-reuse.c - a POP3 server that gives a unique id to another message (RFC 1939 7), or to two: the real program against its scripts, into a
 * Maildir. Nothing is lost, nothing arrives twice, nothing is deleted that did not arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
#define OTHER "Return-Path: <ben@far.example>\r\nSubject: two\r\n\r\nother\r\n" /* as long */
_Static_assert(sizeof(LETTER) == sizeof(OTHER), "else the size would tell");

#define LISTS(count)                                                                                                                   \
	S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT"), \
		S("+OK " count " 999"), C("LIST"), C("UIDL"), S("+OK")
#define HANDS_OUT(letter) S("+OK"), RAW(letter), S(".")

/* Every UIDL is "a". */
static const struct step none[] = {LISTS("0"), S("."), S("+OK"), S("."), END};
static const struct step one[] = {LISTS("1"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step one_of_another_size[] = {LISTS("1"), S("1 56"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step two[] = {LISTS("2"), S("1 55"), S("2 55"), S("."), S("+OK"), S("1 a"), S("2 a"), S("."), END};
static const struct step letter[] = {C("RETR 1"), HANDS_OUT(LETTER), END};
static const struct step other[] = {C("RETR 1"), HANDS_OUT(OTHER), END};
static const struct step deletes[] = {C("DELE 1"), S("+OK"), END};
static const struct step leaves[] = {C("QUIT"), S("+OK bye"), END};
static const struct step unanswered[] = {C("QUIT"), CLOSE, END};

/* Runs of one mailbox, one after the other. */
struct run {
	struct step script[5];
	int status;
	unsigned mail; /* in the Maildir after it */
	unsigned owed;
};

static void haul(const char *after_delivery, const struct run *runs, size_t count)
{
	struct agent agent;

	agent_init(&agent);
	for (size_t i = 0; i < count; i++) {
		struct peer *source = peer_start(runs[i].script, PEER_LISTEN);

		agent_configure(&agent,
			"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n"
			"    user: anna\n    password: secret\n    deliver_to: home\n    after_delivery: %s\n",
			agent.dir, source->port, after_delivery);
		agent_expect(&agent, runs[i].status, "run", "isp");
		peer_finish(source);
		assert_int_equal(agent_mail(&agent, "new", NULL), runs[i].mail);
		assert_int_equal(agent_status(&agent, "owed"), runs[i].owed);
	}
	agent_done(&agent);
}
#define HAUL(after_delivery, runs) haul(after_delivery, runs, sizeof(runs) / sizeof((runs)[0]))

static void a_new_message_with_the_id_of_a_deleted_one(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(one), PLAY(other), PLAY(deletes), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

static void a_new_message_with_the_id_of_a_vanished_one(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(none), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(one), PLAY(other), PLAY(leaves), END}, 0, 2, 0},
		{{PLAY(one), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

/* The server said that it was deleted, and still lists it. */
static void the_same_message_again(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(one), PLAY(letter), PLAY(leaves), END}, 0, 1, 1},
		{{PLAY(one), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

/* The server deleted it, but its answer was lost, and the id has gone to another message. */
static void what_is_owed_is_not_taken_from_another_message(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 0, 1, 1},
		{{PLAY(one_of_another_size), PLAY(other), PLAY(deletes), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

static void another_size_alone_is_not_another_message(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 0, 1, 1},
		{{PLAY(one_of_another_size), PLAY(letter), PLAY(leaves), END}, 0, 1, 1},
		{{PLAY(one_of_another_size), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

static const struct step first_of_two[] = {C("RETR 1"), C("RETR 2"), HANDS_OUT(LETTER), S("-ERR not now"), END};

/* An exact copy, or not: it was never fetched, and it is the one that is left. */
static void the_second_of_one_id_when_the_first_is_deleted(void **state)
{
	const struct step *const copies[] = {letter, other};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct run runs[] = {
			{{PLAY(two), PLAY(first_of_two), PLAY(deletes), PLAY(leaves), END}, 75, 1, 0},
			{{PLAY(one), PLAY(copies[i]), PLAY(deletes), PLAY(leaves), END}, 0, 2, 0},
		};

		HAUL("delete", runs);
	}
}

static void the_second_of_one_id_when_somebody_deletes_the_first(void **state)
{
	static const struct run runs[] = {
		{{PLAY(two), PLAY(first_of_two), PLAY(leaves), END}, 75, 1, 0},
		{{PLAY(one), PLAY(other), PLAY(leaves), END}, 0, 2, 0},
		{{PLAY(one), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

/* Which one is left cannot be told from the list, and it is the one that was delivered. */
static void the_first_of_one_id_when_somebody_deletes_the_second(void **state)
{
	static const struct run runs[] = {
		{{PLAY(two), PLAY(first_of_two), PLAY(leaves), END}, 75, 1, 0},
		{{PLAY(one), PLAY(letter), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(one), PLAY(leaves), END}, 0, 1, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

static void a_second_message_with_the_id_of_one_that_is_kept(void **state)
{
	static const struct step both[] = {C("RETR 1"), C("RETR 2"), HANDS_OUT(LETTER), HANDS_OUT(OTHER), END};
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(two), PLAY(both), PLAY(leaves), END}, 0, 2, 0},
		{{PLAY(two), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_message_with_the_id_of_a_deleted_one),
		cmocka_unit_test(a_new_message_with_the_id_of_a_vanished_one),
		cmocka_unit_test(the_same_message_again),
		cmocka_unit_test(what_is_owed_is_not_taken_from_another_message),
		cmocka_unit_test(another_size_alone_is_not_another_message),
		cmocka_unit_test(the_second_of_one_id_when_the_first_is_deleted),
		cmocka_unit_test(the_second_of_one_id_when_somebody_deletes_the_first),
		cmocka_unit_test(the_first_of_one_id_when_somebody_deletes_the_second),
		cmocka_unit_test(a_second_message_with_the_id_of_one_that_is_kept),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
