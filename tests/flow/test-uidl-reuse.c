/* test-uidl-reuse.c - a POP3 server that gives a unique id to another message (RFC 1939 7), or to two, or new ones to all: the real program against its scripts, into a
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
	struct step script[6];
	int status;
	unsigned mail; /* in the Maildir after it */
	unsigned owed;
};

static void configure(struct agent *agent, uint16_t port, const char *after_delivery)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n"
		"    user: anna\n    password: secret\n    deliver_to: home\n    after_delivery: %s\n",
		agent->dir, port, after_delivery);
}

static void haul(const char *after_delivery, const struct run *runs, size_t count)
{
	struct agent agent;

	agent_init(&agent);
	for (size_t i = 0; i < count; i++) {
		struct peer *source = peer_start(runs[i].script, PEER_LISTEN);

		configure(&agent, source->port, after_delivery);
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
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

/* The server deleted it, but its answer was lost, and the id has gone to another message. */
static void what_is_owed_is_not_taken_from_another_message(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 75, 1, 1},
		{{PLAY(one_of_another_size), PLAY(other), PLAY(deletes), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

static void another_size_alone_is_not_another_message(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 75, 1, 1},
		{{PLAY(one_of_another_size), PLAY(letter), PLAY(leaves), END}, 0, 1, 1},
		{{PLAY(one_of_another_size), PLAY(letter), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
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

/* The server deleted it, but its answer was lost, and the id has gone to another message, of the same size. */
static void what_is_owed_is_not_taken_from_one_of_the_same_size(void **state)
{
	static const struct run runs[] = {
		{{PLAY(one), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 75, 1, 1},
		{{PLAY(one), PLAY(other), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(one), PLAY(other), PLAY(deletes), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("delete", runs);
}

/* -- other ids -- */

static const struct step a_and_b[] = {LISTS("2"), S("1 55"), S("2 55"), S("."), S("+OK"), S("1 a"), S("2 b"), S("."), END};
static const struct step b_and_c[] = {LISTS("2"), S("1 55"), S("2 55"), S("."), S("+OK"), S("1 b"), S("2 c"), S("."), END};
static const struct step both[] = {C("RETR 1"), C("RETR 2"), HANDS_OUT(LETTER), HANDS_OUT(OTHER), END};

/* Of two deletions the first took effect, so the second message is number 1 now, and a third has its old number. */
static void numbers_that_move_up(void **state)
{
	static const struct step deletes_both[] = {C("DELE 1"), C("DELE 2"), S("+OK"), S("+OK"), END};
	static const struct step other_and_letter[] = {C("RETR 1"), C("RETR 2"), HANDS_OUT(OTHER), HANDS_OUT(LETTER), END};
	static const struct step shifted[] = {PLAY(b_and_c), PLAY(other_and_letter), C("DELE 1"), S("+OK"), C("DELE 2"), S("+OK"), PLAY(leaves), END};
	static const struct run runs[] = {
		{{PLAY(a_and_b), PLAY(both), PLAY(deletes_both), PLAY(unanswered), END}, 75, 2, 2}, {{PLAY(shifted), END}, 0, 3, 0}};

	(void)state;
	HAUL("delete", runs);
}

static void a_listing_without_ids_ends_nothing(void **state)
{
	static const struct step nothing[] = {LISTS("2"), S("1 55"), S("2 55"), S("."), S("+OK"), S("."), END};
	static const struct run runs[] = {
		{{PLAY(a_and_b), PLAY(both), PLAY(leaves), END}, 0, 2, 0},
		{{PLAY(nothing), PLAY(leaves), END}, 75, 2, 0},
		{{PLAY(a_and_b), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

/* All have new ids: looked at whole, and only what is new is delivered. */
static void new_ids_for_all(void **state)
{
	static const struct step x_and_y[] = {LISTS("2"), S("1 55"), S("2 55"), S("."), S("+OK"), S("1 x"), S("2 y"), S("."), END};
	static const struct step letter_of_two[] = {C("RETR 1"), HANDS_OUT(LETTER), END};
	static const struct run runs[] = {
		{{PLAY(one), PLAY(other), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(x_and_y), PLAY(both), PLAY(letter_of_two), PLAY(leaves), END}, 0, 2, 0},
		{{PLAY(x_and_y), PLAY(leaves), END}, 0, 2, 0},
	};

	(void)state;
	HAUL("keep", runs);
}

#define MANY 30

/* Ids "KIND1" and so on, messages "KIND1" and so on. */
static void mailbox_of_many(struct step *steps, char (*texts)[160], char kind, unsigned handed_out)
{
	static const struct step begins[] = {LISTS("30"), END};
	struct step *at = steps;
	unsigned used = 0;

#define LINE(step_kind, ...)                                                              \
	do {                                                                              \
		snprintf(texts[used], sizeof(texts[0]), __VA_ARGS__);                     \
		*at++ = (struct step){step_kind, texts[used], strlen(texts[used]), NULL}; \
		used++;                                                                   \
	} while (0)
	*at++ = (struct step)PLAY(begins);
	for (unsigned i = 1; i <= MANY; i++)
		LINE(STEP_SEND_LINE, "%u 40", i);
	LINE(STEP_SEND_LINE, ".");
	LINE(STEP_SEND_LINE, "+OK");
	for (unsigned i = 1; i <= MANY; i++)
		LINE(STEP_SEND_LINE, "%u %c%u", i, kind, i);
	LINE(STEP_SEND_LINE, ".");
	for (unsigned round = 0; round < handed_out; round++) {
		for (unsigned i = 1; i <= MANY; i++)
			LINE(STEP_EXPECT_LINE, "RETR %u", i);
		for (unsigned i = 1; i <= MANY; i++)
			LINE(STEP_SEND, "+OK\r\nSubject: %c%u\r\n\r\n.\r\n", kind, i);
	}
	*at++ = (struct step)END;
}

static void another_mailbox_stops(void **state)
{
	static struct step first[400], replaced[400], accepted[400];
	static char texts[3][400][160];
	struct agent agent;
	struct peer *source;
	const struct step scripts[][3] = {
		{PLAY(first), PLAY(leaves), END},
		{PLAY(replaced), END},
		{PLAY(accepted), PLAY(leaves), END},
	};

	(void)state;
	mailbox_of_many(first, texts[0], 'a', 1);
	mailbox_of_many(replaced, texts[1], 'x', 1);
	mailbox_of_many(accepted, texts[2], 'x', 1);
	agent_init(&agent);
	for (unsigned i = 0; i < 3; i++) {
		source = peer_start(scripts[i], PEER_LISTEN);
		configure(&agent, source->port, "keep");
		agent_expect(&agent, i == 1 ? 75 : 0, "run", "isp");
		peer_finish(source);
		assert_int_equal(agent_mail(&agent, "new", NULL), i == 2 ? 2 * MANY : MANY);
		if (i == 1) {
			assert_true(agent_said(&agent, "mailhaul accept isp"));
			agent_expect(&agent, 0, "accept", "isp");
		}
	}
	agent_done(&agent);
}

/* One id is missing, one is longer than a key may be. */
static void ids_that_are_none_or_too_long(void **state)
{
	static char line[5 * 1024];
	const struct step lists[] = {LISTS("1"), S("1 55"), S("."), S("+OK"), {STEP_SEND_LINE, line, sizeof(line) - 1, NULL}, S("."), END};
	static const struct step empty[] = {LISTS("1"), S("1 55"), S("."), S("+OK"), S("1 "), S("."), END};
	const struct run too_long[] = {
		{{PLAY(lists), PLAY(letter), PLAY(leaves), END}, 0, 1, 0},
		{{PLAY(lists), PLAY(leaves), END}, 0, 1, 0},
	};
	const struct run none_at_all[] = {
		{{PLAY(empty), PLAY(letter), PLAY(letter), PLAY(deletes), PLAY(unanswered), END}, 75, 1, 1},
		{{PLAY(empty), PLAY(letter), PLAY(deletes), PLAY(leaves), END}, 0, 1, 0},
	};

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "1 ", 2);
	HAUL("keep", too_long);
	HAUL("delete", none_at_all);
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
		cmocka_unit_test(what_is_owed_is_not_taken_from_one_of_the_same_size),
		cmocka_unit_test(numbers_that_move_up),
		cmocka_unit_test(a_listing_without_ids_ends_nothing),
		cmocka_unit_test(new_ids_for_all),
		cmocka_unit_test(another_mailbox_stops),
		cmocka_unit_test(ids_that_are_none_or_too_long),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
