/* test-two-at-once.c - two runs with one state: who comes second leaves, or waits, and says nothing to any server before. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

static const struct step enters[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"),
	S("+OK"), C("STAT"), S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), END};
static const struct step hauled[] = {PLAY(enters), S("+OK"), RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};
static const struct step never_ends[] = {PLAY(enters), S("+OK here it comes"), RAW("Return-Path: <ben@far.ex"), SILENCE, END};

/* Two programs; both have the state of the first, and deliver to its home. */
struct pair {
	struct agent first, second;
	char state[96];
	struct peer *busy; /* the server that the first is at */
};

static void configure(struct pair *pair, struct agent *agent, const char *name, uint16_t port, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\n"
		"defaults: {tls: none, user: anna, password: secret, deliver_to: home}\n"
		"mailboxes:\n  - {name: %s, pop3: \"127.0.0.1:%u\"}\n%s",
		pair->first.dir, name, port, more);
}

/* The first is in the middle of a message, and stays there. */
static void begin_pair(struct pair *pair)
{
	*pair = (struct pair){0};
	agent_init(&pair->first);
	agent_init(&pair->second);
	snprintf(pair->state, sizeof(pair->state), "%s/state", pair->first.dir);
	pair->busy = peer_start(never_ends, PEER_LISTEN);
	configure(pair, &pair->first, "isp", pair->busy->port, "");
	agent_start(&pair->first, (const char *const[]){"run", "--trace", "isp", NULL});
	agent_await_text(&pair->first, "here it comes");
}

static void end_first(struct pair *pair)
{
	kill(pair->first.pid, SIGKILL);
	assert_int_equal(agent_wait(&pair->first), 128 + SIGKILL);
}

static void end_pair(struct pair *pair)
{
	if (pair->busy != NULL)
		peer_finish(pair->busy);
	agent_done(&pair->first);
	agent_done(&pair->second);
}

#define run_second(pair, status, ...) agent_expect(&(pair)->second, status, "run", "--state-dir", (pair)->state, __VA_ARGS__)

static void the_second_leaves_at_once(void **state)
{
	struct pair pair;
	uint16_t port;
	int idle = port_take(true, &port);
	char who[64];

	(void)state;
	begin_pair(&pair);
	configure(&pair, &pair.second, "isp", port, "");
	run_second(&pair, 75, "isp");
	snprintf(who, sizeof(who), "is being hauled by process %d", (int)pair.first.pid);
	assert_true(agent_said(&pair.second, who));
	assert_false(port_was_used(idle));
	end_first(&pair);
	close(idle);
	end_pair(&pair);
}

/* Not even its name has to be written: all mailboxes are hauled but that one. */
static void the_others_are_hauled(void **state)
{
	static const char *const waits[] = {"-v", "--wait=1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		struct peer *other = peer_start(hauled, PEER_LISTEN);
		struct pair pair;
		uint16_t port;
		int idle = port_take(true, &port);
		char more[96];

		begin_pair(&pair);
		snprintf(more, sizeof(more), "  - {name: other, pop3: \"127.0.0.1:%u\"}\n", other->port);
		configure(&pair, &pair.second, "isp", port, more);
		pair.second.deadline_factor = "0.5";
		run_second(&pair, 75, waits[i]);
		peer_finish(other);
		assert_int_equal(agent_mail(&pair.first, "new", NULL), 1);
		assert_false(port_was_used(idle));
		end_first(&pair);
		close(idle);
		end_pair(&pair);
	}
}

static void it_waits_if_told_to(void **state)
{
	struct peer *source = peer_start(hauled, PEER_LISTEN);
	struct pair pair;

	(void)state;
	begin_pair(&pair);
	configure(&pair, &pair.second, "isp", source->port, "");
	agent_start(&pair.second, (const char *const[]){"run", "--state-dir", pair.state, "--wait", "-v", NULL});
	agent_await_text(&pair.second, "event=waiting");
	end_first(&pair);
	agent_expect_end(&pair.second, 0);
	peer_finish(source);
	assert_int_equal(agent_mail(&pair.first, "new", NULL), 1);
	end_pair(&pair);
}

static void a_signal_ends_the_wait(void **state)
{
	struct pair pair;
	uint16_t port;
	int idle = port_take(true, &port);

	(void)state;
	begin_pair(&pair);
	configure(&pair, &pair.second, "isp", port, "");
	agent_start(&pair.second, (const char *const[]){"run", "--state-dir", pair.state, "--wait", "-v", NULL});
	agent_await_text(&pair.second, "event=waiting");
	kill(pair.second.pid, SIGTERM);
	agent_expect_end(&pair.second, 75);
	assert_false(port_was_used(idle));
	end_first(&pair);
	close(idle);
	end_pair(&pair);
}

/* The lock is the worker's as well: whoever hauls beside it would deliver what it is about to deliver. */
static void a_worker_that_outlives_its_supervisor_keeps_the_lock(void **state)
{
	struct peer *source = peer_start(hauled, PEER_LISTEN);
	struct pair pair;
	pid_t worker;

	(void)state;
	begin_pair(&pair);
	worker = agent_worker(&pair.first);
	assert_int_equal(kill(worker, SIGSTOP), 0);
	end_first(&pair);
	configure(&pair, &pair.second, "isp", source->port, "");
	run_second(&pair, 75, "isp");
	assert_true(agent_said(&pair.second, "left behind"));
	assert_int_equal(kill(worker, SIGCONT), 0);
	agent_await_unlocked(&pair.first, "isp");
	run_second(&pair, 0, "isp");
	peer_finish(source);
	assert_int_equal(agent_mail(&pair.first, "new", NULL), 1);
	end_pair(&pair);
}

/* Different mailboxes of one state at the same time: each commits while the other does. */
static void two_mailboxes_at_once(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		struct peer *sources[] = {peer_start(hauled, PEER_LISTEN), peer_start(hauled, PEER_LISTEN)};
		struct pair pair = {0};
		char more[96];

		agent_init(&pair.first);
		agent_init(&pair.second);
		snprintf(pair.state, sizeof(pair.state), "%s/state", pair.first.dir);
		snprintf(more, sizeof(more), "  - {name: two, pop3: \"127.0.0.1:%u\"}\n", sources[1]->port);
		configure(&pair, &pair.first, "one", sources[0]->port, more);
		configure(&pair, &pair.second, "one", sources[0]->port, more);
		agent_start(&pair.first, (const char *const[]){"run", "one", NULL});
		agent_start(&pair.second, (const char *const[]){"run", "--state-dir", pair.state, "two", NULL});
		agent_expect_end(&pair.first, 0);
		agent_expect_end(&pair.second, 0);
		peer_finish(sources[0]);
		peer_finish(sources[1]);
		assert_int_equal(agent_mail(&pair.first, "new", NULL), 2);
		end_pair(&pair);
	}
}

/* By its old name another configuration may know it: with the word of the operator, or because the account is the same. */
static void a_new_name_does_not_get_around_the_lock(void **state)
{
	static const char *const names[] = {"isp-new", "isp-new, was: isp"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct pair pair;
		uint16_t port;
		int idle = port_take(true, &port);

		begin_pair(&pair);
		configure(&pair, &pair.second, names[i], port, "");
		/* What only decides about messages does not rename it either, which would let the next one in. */
		agent_expect(&pair.second, 64, "refetch", "--state-dir", pair.state, "isp-new", "--since", "2020-01-01");
		assert_true(agent_said(&pair.second, "nothing was hauled under the name isp-new yet"));
		agent_expect(&pair.second, 64, "held", "--state-dir", pair.state, "retry", "isp-new");
		run_second(&pair, 75, "isp-new");
		assert_true(agent_said(&pair.second, "mailbox isp is being hauled"));
		assert_false(port_was_used(idle));
		end_first(&pair);
		close(idle);
		end_pair(&pair);
	}
}

static void wait_is_a_number_of_seconds(void **state)
{
	static const char *const wrong[] = {"--wait=", "--wait=0", "--wait=-1", "--wait=1h", "--wait=99999999999", "--wait=+5"};
	struct agent agent;

	(void)state;
	agent_init(&agent);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		agent_expect(&agent, 64, "run", wrong[i]);
		assert_true(agent_said(&agent, "--wait is a number of seconds"));
	}
	agent_expect(&agent, 64, "check", "--wait");
	agent_done(&agent);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_leaves_at_once),
		cmocka_unit_test(the_others_are_hauled),
		cmocka_unit_test(it_waits_if_told_to),
		cmocka_unit_test(a_signal_ends_the_wait),
		cmocka_unit_test(a_worker_that_outlives_its_supervisor_keeps_the_lock),
		cmocka_unit_test(two_mailboxes_at_once),
		cmocka_unit_test(a_new_name_does_not_get_around_the_lock),
		cmocka_unit_test(wait_is_a_number_of_seconds),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
