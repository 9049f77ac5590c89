/* test-leave.c - the daemon is told to leave while a message is on its way: it leaves in time, and nothing is in doubt but what has wholly left. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LEAVES_WITHIN_NS INT64_C(10000000000)
#define BODY_BYTES ((size_t)24 * 1024 * 1024) /* more than two sockets take */

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

/* clang-format off */
static const struct step enters[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("+OK"), C("STAT"), END};
static const struct step three_letters[] = {PLAY(enters), S("+OK 3 165"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("2 55"), S("3 55"), S("."), S("+OK"), S("1 a"), S("2 b"), S("3 c"), S("."),
	C("RETR 1"), C("RETR 2"), C("RETR 3"), S("+OK"), RAW(LETTER), S("."), S("+OK"), RAW(LETTER), S("."), S("+OK"), RAW(LETTER), S("."), DRAIN, END};
static const struct step greets[] = {S("220 sink"), C("EHLO *"), S("250 sink"), END};
static const struct step envelope[] = {C("MAIL FROM:<ben@far.example>*"), S("250 ok"), C("RCPT TO:<anna@home.example>*"), S("250 ok"), C("DATA"), END};
/* clang-format on */

struct scene {
	struct agent agent;
	struct peer *source, *sink;
};

static void begin(struct scene *scene, const struct step *source, const struct step *sink, const char *destination)
{
	char where[200];

	*scene = (struct scene){0};
	agent_init(&scene->agent);
	scene->source = peer_start(source, PEER_LISTEN);
	scene->sink = sink != NULL ? peer_start(sink, PEER_LISTEN) : NULL;
	if (sink != NULL)
		snprintf(where, sizeof(where), "smtp: \"127.0.0.1:%u\", recipient: anna@home.example", scene->sink->port);
	else
		snprintf(where, sizeof(where), "%s", destination);
	agent_configure(&scene->agent,
		"destinations:\n  home: {%s}\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home}\n",
		where, scene->source->port);
	agent_start(&scene->agent, (const char *const[]){"daemon", "-v", NULL});
}

/* Whoever asks for the status beside the daemon. */
struct looker {
	struct agent agent;
	char state[96];
};

static void look_at(const struct scene *scene, struct looker *looker)
{
	agent_init(&looker->agent);
	agent_configure(&looker->agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n"
		"  - {name: isp, pop3: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home}\n",
		looker->agent.dir, scene->source->port);
	snprintf(looker->state, sizeof(looker->state), "%s/state", scene->agent.dir);
}

/* The worker has written it down, so it stands in doubt if it is killed now. */
static void await_intent(struct scene *scene)
{
	struct looker looker;

	look_at(scene, &looker);
	for (unsigned i = 0; i < 1000; i++) {
		agent_run(&looker.agent, "--state-dir", looker.state, "status", "--json");
		if (agent_printed(&looker.agent, "\"in_doubt\":") && !agent_printed(&looker.agent, "\"in_doubt\":0")) {
			agent_done(&looker.agent);
			return;
		}
	}
	fail_msg("nothing was ever intended: %s", str_text(&looker.agent.out));
}

static void leaves(struct scene *scene, unsigned in_doubt, unsigned open)
{
	int64_t began = clock_monotonic_ns();

	kill(scene->agent.pid, SIGTERM);
	agent_expect_end(&scene->agent, 0);
	assert_in_range(clock_monotonic_ns() - began, 0, LEAVES_WITHIN_NS);
	assert_int_equal(agent_status(&scene->agent, "in_doubt"), in_doubt);
	assert_int_equal(agent_status(&scene->agent, "open"), open);
	if (scene->sink != NULL)
		peer_free(scene->sink);
	peer_free(scene->source);
	agent_done(&scene->agent);
}

/* One message is under way, the others are intended behind it. */
static void before_the_server_wants_the_message(void **state)
{
	static const struct step sink[] = {PLAY(greets), PLAY(envelope), HANG, END};
	struct scene scene;

	(void)state;
	begin(&scene, three_letters, sink, NULL);
	await_intent(&scene);
	leaves(&scene, 0, 3);
}

static void behind_the_dot(void **state)
{
	static const struct step sink[] = {PLAY(greets), PLAY(envelope), S("354 go"), DOT, HANG, END};
	struct scene scene;

	(void)state;
	begin(&scene, three_letters, sink, NULL);
	await_intent(&scene);
	peer_await_hang(scene.sink);
	leaves(&scene, 1, 2);
}

static void in_the_middle_of_a_body(void **state)
{
	static const struct step sink[] = {PLAY(greets), PLAY(envelope), S("354 go"), READ(100000), HANG, END};
	char *body = xmalloc(BODY_BYTES), size[40], list[40];
	struct scene scene;

	(void)state;
	snprintf(size, sizeof(size), "+OK 1 %zu", BODY_BYTES);
	snprintf(list, sizeof(list), "1 %zu", BODY_BYTES);
	for (size_t i = 0; i < BODY_BYTES; i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	memcpy(body, LETTER, 49);
	{
		const struct step source[] = {PLAY(enters), {STEP_SEND_LINE, size, strlen(size), NULL}, C("LIST"), C("UIDL"), S("+OK"),
			{STEP_SEND_LINE, list, strlen(list), NULL}, S("."), S("+OK"), S("1 a"), S("."), C("RETR 1"), S("+OK"), POUR(body, BODY_BYTES),
			S("."), DRAIN, END};

		begin(&scene, source, sink, NULL);
	}
	free(body);
	await_intent(&scene);
	peer_await_hang(scene.sink);
	leaves(&scene, 0, 1);
}

/* It has its message, so nobody knows what becomes of it; the others have not been begun. */
static void while_a_program_runs(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, three_letters, NULL, "mda: [/bin/sleep, \"1000\"]");
	await_intent(&scene);
	leaves(&scene, 1, 2);
}

/* It ends in time: that was the message in hand. Those behind it were intended, and are as if they had not been. */
static void after_the_message_in_hand(void **state)
{
	char dir[] = "/tmp/mailhaul-leave-XXXXXX", destination[190], path[60];
	struct looker looker;
	struct scene scene;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(destination, sizeof(destination),
		"mda: [/bin/sh, -c, 'cat >%s/begun; i=0; until [ -e %s/go ] || [ $((i=i+1)) -gt 2000 ]; do sleep 0.01; done']", dir, dir);
	begin(&scene, three_letters, NULL, destination);
	snprintf(path, sizeof(path), "%s/begun", dir);
	for (unsigned looks = 0; access(path, F_OK) < 0; looks++) {
		assert_true(looks < AGENT_DEADLINE_S * 500);
		poll(NULL, 0, 2);
	}
	look_at(&scene, &looker);
	agent_run(&looker.agent, "--state-dir", looker.state, "status");
	assert_true(agent_printed(&looker.agent, "  under way     "));
	assert_false(agent_printed(&looker.agent, "in doubt"));
	agent_done(&looker.agent);
	kill(scene.agent.pid, SIGTERM);
	agent_await_text(&scene.agent, "event=leaving");
	unlink(path); /* should another one be begun */
	snprintf(path, sizeof(path), "%s/go", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	agent_expect_end(&scene.agent, 0);
	assert_true(agent_said(&scene.agent, "result=stopped"));
	assert_int_equal(agent_status(&scene.agent, "hauled"), 1);
	assert_int_equal(agent_status(&scene.agent, "in_doubt"), 0);
	assert_int_equal(agent_status(&scene.agent, "open"), 2);
	peer_free(scene.source);
	agent_done(&scene.agent);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_server_wants_the_message),
		cmocka_unit_test(behind_the_dot),
		cmocka_unit_test(in_the_middle_of_a_body),
		cmocka_unit_test(while_a_program_runs),
		cmocka_unit_test(after_the_message_in_hand),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
