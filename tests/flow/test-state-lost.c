/* test-state-lost.c - the real program after its state was lost, damaged or exchanged: it stops with a sentence before it asks any server for anything,
 * and what is accepted comes into a Maildir once all the same. */
#include <fcntl.h>
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
#define OTHER "Return-Path: <ben@far.example>\r\nSubject: two\r\n\r\nother\r\n"

#define GREETS(count)                                                                                                                  \
	S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT"), \
		S("+OK " count " 999"), C("LIST"), C("UIDL"), S("+OK")
#define HANDS_OUT(letter) S("+OK"), RAW(letter), S(".")
#define LEAVES C("QUIT"), S("+OK bye"), END

static const struct step one[] = {GREETS("1"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), HANDS_OUT(LETTER), LEAVES};
/* Two that are equal, one that is new. */
static const struct step three[] = {GREETS("3"), S("1 55"), S("2 55"), S("3 55"), S("."), S("+OK"), S("1 a"), S("2 b"), S("3 c"), S("."), C("RETR 1"),
	C("RETR 2"), C("RETR 3"), HANDS_OUT(LETTER), HANDS_OUT(LETTER), HANDS_OUT(OTHER), LEAVES};
static const struct step two_more[] = {GREETS("3"), S("1 55"), S("2 55"), S("3 55"), S("."), S("+OK"), S("1 a"), S("2 b"), S("3 c"), S("."),
	C("RETR 2"), C("RETR 3"), HANDS_OUT(LETTER), HANDS_OUT(OTHER), LEAVES};
static const struct step nothing_new[] = {GREETS("1"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), LEAVES};
static const struct step looked_at[] = {GREETS("1"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), LEAVES};

static void configure(struct agent *agent, uint16_t port)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    pop3: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n"
		"    password: secret\n    deliver_to: home\n",
		agent->dir, port);
}

#define HAUL(agent, script, status, ...)                               \
	do {                                                           \
		struct peer *source = peer_start(script, PEER_LISTEN); \
		configure(agent, source->port);                        \
		agent_expect(agent, status, __VA_ARGS__);              \
		peer_finish(source);                                   \
	} while (0)

/* Nobody may be asked for anything: the port is ours, and stays untouched. */
static void expect_refusal(struct agent *agent, int status, const char *command, const char *words)
{
	uint16_t port;
	int fd = port_take(true, &port);

	configure(agent, port);
	agent_expect(agent, status, command);
	if (!agent_said(agent, words) && !agent_printed(agent, words))
		fail_msg("not \"%s\", but:\n%s%s", words, str_text(&agent->out), str_text(&agent->err));
	assert_false(port_was_used(fd));
	close(fd);
}

static void in_dir(const struct agent *agent, const char *command)
{
	char line[400];

	snprintf(line, sizeof(line), "cd %s && %s", agent->dir, command);
	assert_int_equal(system(line), 0);
}

static struct agent hauled_once(void)
{
	struct agent agent;

	agent_init(&agent);
	HAUL(&agent, one, 0, "run");
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	return agent;
}

static void lost_it_stops(void **state)
{
	static const char *const losses[] = {"rm state/state.db", "rm -r state", "rm -r state .mailhaul-state-*"};

	(void)state;
	for (unsigned i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		struct agent agent = hauled_once();

		in_dir(&agent, losses[i]);
		expect_refusal(&agent, 74, "run", "state/state.db is missing, but ");
		assert_true(agent_said(&agent, "run once with --accept-duplicates"));
		expect_refusal(&agent, 74, "status", "state/state.db is missing, but ");
		agent_expect(&agent, 74, "accept", "isp");
		assert_true(agent_said(&agent, "state/state.db is missing, but "));
		agent_done(&agent);
	}
}

static void accepted_it_begins_anew_and_recognises_mail(void **state)
{
	struct agent agent = hauled_once();

	(void)state;
	in_dir(&agent, "rm -r state; mv home/new/* home/cur/; for f in home/cur/*; do mv $f $f:2,S; done");
	HAUL(&agent, three, 0, "run", "--accept-duplicates");
	assert_int_equal(agent_mail(&agent, "cur", NULL), 1);
	assert_int_equal(agent_mail(&agent, "new", NULL), 2); /* the second of the equal ones, and the new one */
	HAUL(&agent, nothing_new, 0, "run");
	assert_int_equal(agent_mail(&agent, "new", NULL), 2);
	agent_done(&agent);
}

static void another_installations_state(void **state)
{
	struct agent agent = hauled_once(), other = hauled_once();
	char command[200];

	(void)state;
	snprintf(command, sizeof(command), "cp %s/state/state.db state/state.db", other.dir);
	in_dir(&agent, command);
	expect_refusal(&agent, 74, "run", "is not the one that ");
	HAUL(&agent, nothing_new, 0, "run", "--accept-duplicates");
	HAUL(&agent, nothing_new, 0, "run"); /* from here on it is the right one */
	agent_done(&agent);
	agent_done(&other);
}

static void an_older_copy_is_allowed_and_told(void **state)
{
	struct agent agent = hauled_once();

	(void)state;
	in_dir(&agent, "cp state/state.db older.db && touch -d '2 days ago' state/mailhaul-state-* home/mailhaul-state-* .mailhaul-state-*");
	HAUL(&agent, two_more, 0, "run");
	in_dir(&agent, "cp older.db state/state.db");
	HAUL(&agent, two_more, 0, "run");
	assert_true(agent_said(&agent, "event=state_behind"));
	agent_done(&agent);
}

static void check_makes_no_state(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	HAUL(&agent, looked_at, 0, "check");
	assert_true(agent_printed(&agent, "ok      state: there is none in "));
	in_dir(&agent, "test ! -e state/state.db && test -z \"$(ls -A | grep mailhaul-state)\"");
	HAUL(&agent, one, 0, "run");
	HAUL(&agent, looked_at, 0, "check");
	assert_true(agent_printed(&agent, "state/state.db is in order"));
	in_dir(&agent, "rm state/state.db");
	HAUL(&agent, looked_at, 74, "check");
	assert_true(agent_printed(&agent, "FAILED  state: "));
	in_dir(&agent, "test ! -e state/state.db");
	agent_done(&agent);
}

static void damaged_it_stops(void **state)
{
	struct agent agent = hauled_once();

	(void)state;
	in_dir(&agent, "cp state/state.db whole.db && printf '%8192s' x | dd of=state/state.db bs=1 seek=4196 conv=notrunc status=none");
	expect_refusal(&agent, 74, "run", "state.db is damaged: ");
	assert_true(agent_said(&agent, "restore it from a backup"));
	in_dir(&agent, "printf '%40960s' x | dd of=state/state.db bs=1 conv=notrunc status=none");
	expect_refusal(&agent, 74, "run", "state.db is damaged: ");
	HAUL(&agent, looked_at, 74, "check");
	assert_true(agent_printed(&agent, "FAILED  state: "));
	in_dir(&agent, "cp whole.db state/state.db");
	HAUL(&agent, nothing_new, 0, "run");
	agent_done(&agent);
}

/* The pages of rows are junk, which opening does not read. */
static void damage_that_opening_does_not_meet(void **state)
{
	struct agent agent = hauled_once();

	(void)state;
	in_dir(&agent, "for i in $(seq 5 $(($(stat -c %s state/state.db) / 4096 - 1))); do printf '%4096s' x | dd of=state/state.db bs=4096 seek=$i "
		       "conv=notrunc "
		       "status=none; done");
	expect_refusal(&agent, 74, "run", "state.db is damaged: ");
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_done(&agent);
}

/* On a new machine: what is not there yet was not lost. */
static void an_import_that_fails_leaves_nothing(void **state)
{
	struct agent agent;
	char *path;

	(void)state;
	agent_init(&agent);
	configure(&agent, 9);
	in_dir(&agent, "echo this is no state >text");
	path = xasprintf("%s/text", agent.dir);
	agent_expect(&agent, 65, "state", "import", path);
	HAUL(&agent, one, 0, "run", "isp");
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	free(path);
	agent_done(&agent);
}

static void moved_as_text(void **state)
{
	struct agent agent = hauled_once();

	(void)state;
	agent_expect(&agent, 0, "state", "export");
	in_dir(&agent, "cp out kept.txt && grep -q '^mailhaul-state 1 ' kept.txt && test \"$(tail -n 1 kept.txt)\" = end");
	in_dir(&agent, "mkdir elsewhere && mv state elsewhere/");
	char *path = NULL;
	assert_true(asprintf(&path, "%s/kept.txt", agent.dir) > 0);
	agent_expect(&agent, 0, "state", "import", path);
	HAUL(&agent, nothing_new, 0, "run");
	assert_int_equal(agent_mail(&agent, "new", NULL), 1);
	agent_expect(&agent, 74, "state", "import", path);
	assert_true(agent_said(&agent, "there is a state in"));
	in_dir(&agent, "rm state/state.db; sed -i '3s/=/ /' kept.txt");
	agent_expect(&agent, 65, "state", "import", path);
	assert_true(agent_said(&agent, "kept.txt:3: "));
	in_dir(&agent, "test ! -e state/state.db");
	free(path);
	assert_true(asprintf(&path, "%s/again.txt", agent.dir) > 0);
	in_dir(&agent, "rm -r state; mv elsewhere/state .");
	agent_expect(&agent, 0, "state", "export", path);
	in_dir(&agent, "test -s again.txt && test ! -e again.txt.new && test $(stat -c %a again.txt) = 600");
	agent_expect(&agent, 64, "state", "remove");
	free(path);
	agent_done(&agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost_it_stops),
		cmocka_unit_test(accepted_it_begins_anew_and_recognises_mail),
		cmocka_unit_test(another_installations_state),
		cmocka_unit_test(an_older_copy_is_allowed_and_told),
		cmocka_unit_test(check_makes_no_state),
		cmocka_unit_test(damaged_it_stops),
		cmocka_unit_test(damage_that_opening_does_not_meet),
		cmocka_unit_test(an_import_that_fails_leaves_nothing),
		cmocka_unit_test(moved_as_text),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
