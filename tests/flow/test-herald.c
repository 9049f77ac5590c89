/* test-herald.c - what has become worse or better is told once: by the log, by notify_command, and in metrics_file. The real program against scripted
 * servers. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the server lists it");

/* clang-format off */
static const struct step logs_in[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), END};
static const struct step refuses[] = {PLAY(logs_in), S("-ERR [AUTH] Password expired 1 days ago"), CLOSE, END};
static const struct step refuses_again[] = {PLAY(logs_in), S("-ERR [AUTH] Password expired 2 days ago"), CLOSE, END};
static const struct step refuses_and_listens[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("UIDL"), S("."), C("USER anna*"), S("+OK"), C("PASS secret"), S("-ERR [AUTH] no"), DRAIN, END};
static const struct step has_one[] = {PLAY(logs_in), S("+OK"), C("STAT"), S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step hauled[] = {PLAY(has_one), C("RETR 1"), S("+OK"), RAW(LETTER), S("."), C("QUIT"), S("+OK bye"), END};
static const struct step nothing_fetched[] = {PLAY(has_one), C("QUIT"), S("+OK bye"), END};
/* clang-format on */

/* For sh -c, with a file as $0. */
#define NOTE "cat >>$0; echo $MAILHAUL_EVENT,$MAILHAUL_MAILBOX,$MAILHAUL_DESTINATION >>$0"

static void configure(struct agent *agent, uint16_t port, const char *command, const char *more)
{
	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nnotify_command: [/bin/sh, -c, '%s', %s/notes]\nmetrics_file: %s/metrics\n"
		"mailboxes:\n  - {name: isp, pop3: \"127.0.0.1:%u\", tls: none, user: anna, password: secret, deliver_to: home%s}\n",
		agent->dir, command, agent->dir, agent->dir, port, more);
}

/* One run against this server. */
static void run_at(struct agent *agent, int status, const struct step *script, const char *command, const char *more)
{
	struct peer *server = peer_start(script, PEER_LISTEN);

	configure(agent, server->port, command, more);
	agent_expect(agent, status, "run", "isp");
	peer_finish(server);
}

static void read_text(const struct agent *agent, const char *name, struct str *out)
{
	char *path = xasprintf("%s/%s", agent->dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	str_clear(out);
	if (fd >= 0)
		assert_int_equal(fs_read_all(fd, 65536, out), 0);
	fs_close(fd);
	free(path);
}

/* What was told is this, but for the date in the middle. */
static void expect_notes(const struct agent *agent, const char *begins, const char *ends)
{
	struct str notes = {0};
	size_t begin_len = strlen(begins), end_len = strlen(ends);

	read_text(agent, "notes", &notes);
	if (strncmp(str_text(&notes), begins, begin_len) != 0 || notes.len < begin_len + end_len ||
		strcmp(notes.data + notes.len - end_len, ends) != 0)
		fail_msg("told: %s", str_text(&notes));
	str_done(&notes);
}

static void expect_metric(const struct agent *agent, const char *line)
{
	struct str metrics = {0};

	read_text(agent, "metrics", &metrics);
	if (strstr(str_text(&metrics), line) == NULL)
		fail_msg("no %s in: %s", line, str_text(&metrics));
	str_done(&metrics);
}

static void a_refused_login_is_told_once(void **state)
{
	struct agent agent;
	char *path;
	struct stat st;

	(void)state;
	agent_init(&agent);
	run_at(&agent, 77, refuses, NOTE, "");
	assert_true(agent_said(&agent, "needs a new password since 20"));
	expect_notes(&agent, "isp: needs a new password since 20", "Password expired 1 days ago\nmailbox_failed,isp,\n");
	expect_metric(&agent, "\nmailhaul_mailbox_up{mailbox=\"isp\"} 0\n");
	expect_metric(&agent, "\nmailhaul_mailbox_failures{mailbox=\"isp\"} 1\n");
	run_at(&agent, 77, refuses_again, NOTE, "");
	assert_false(agent_said(&agent, "password")); /* cron stays quiet */
	expect_notes(&agent, "isp: needs a new password since 20", "1 days ago\nmailbox_failed,isp,\n");
	run_at(&agent, 0, hauled, NOTE, "");
	expect_notes(&agent, "isp: needs a new password since 20", "mailbox_failed,isp,\nisp: works again\nmailbox_recovered,isp,\n");
	expect_metric(&agent, "\nmailhaul_mailbox_up{mailbox=\"isp\"} 1\n");
	expect_metric(&agent, "\nmailhaul_mailbox_deliveries_total{mailbox=\"isp\"} 1\n");
	expect_metric(&agent, "\nmailhaul_destination_up{destination=\"home\"} 1\n");
	path = xasprintf("%s/metrics", agent.dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	free(path);
	agent_done(&agent);
}

static void what_is_held_is_told(void **state)
{
	struct agent agent;

	(void)state;
	agent_init(&agent);
	run_at(&agent, 0, nothing_fetched, NOTE, ", max_message: 10");
	expect_notes(&agent, "isp: 1 message is held; \"mailhaul held list isp\" shows why\n", "messages_held,isp,\n");
	expect_metric(&agent, "\nmailhaul_mailbox_messages_held{mailbox=\"isp\"} 1\n");
	agent_let_time_pass(&agent);
	run_at(&agent, 0, hauled, NOTE, "");
	expect_notes(&agent, "isp: 1 message is held", "isp: no message is held any more\nmessages_held,isp,\n");
	agent_done(&agent);
}

/* It delays what it is told next, and nothing else. */
static void a_command_that_fails_or_hangs(void **state)
{
	static const struct {
		const char *command, *says;
	} cases[] = {
		{"exit 3", "failed with exit status 3"},
		{"sleep 1000 & sleep 1000", "was killed"},
		{"kill -9 $$", "failed with exit status 137"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct agent agent;

		agent_init(&agent);
		agent.deadline_factor = "0.02";
		run_at(&agent, 77, refuses, cases[i].command, "");
		if (!agent_said(&agent, cases[i].says))
			fail_msg("%s: %s", cases[i].command, str_text(&agent.err));
		agent_done(&agent);
	}
}

static void a_metrics_file_that_cannot_be_written(void **state)
{
	struct agent agent;
	char *path;

	(void)state;
	agent_init(&agent);
	path = xasprintf("%s/metrics", agent.dir);
	assert_int_equal(mkdir(path, 0700), 0); /* in its place */
	free(path);
	run_at(&agent, 0, hauled, NOTE, "");
	assert_true(agent_said(&agent, "cannot write metrics_file"));
	agent_done(&agent);
}

/* Twenty logins are refused while the program is busy with the first. */
static void what_is_too_much_is_said_once(void **state)
{
	static struct step script[40];
	struct str mailboxes = {0};
	struct peer *server;
	struct agent agent;
	const char *first;
	char *go;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		script[2 * i] = (struct step)PLAY(refuses_and_listens);
		script[2 * i + 1] = i < 19 ? (struct step)NEXT : (struct step)END;
	}
	server = peer_start(script, PEER_LISTEN);
	agent_init(&agent);
	for (unsigned i = 0; i < 20; i++)
		str_addf(&mailboxes, "  - {name: isp%u, pop3: \"127.0.0.1:%u\", user: anna%u}\n", i, server->port, i);
	agent_configure(&agent,
		"max_workers: 1\ndestinations:\n  home: {maildir: %s/home}\n"
		"notify_command: [/bin/sh, -c, 'until [ -e $0 ]; do sleep 0.05; done', %s/go]\n"
		"defaults: {tls: none, password: secret, deliver_to: home, quirks: [no-pipelining]}\nmailboxes:\n%s",
		agent.dir, agent.dir, str_text(&mailboxes));
	agent_start(&agent, (const char *const[]){"run", NULL});
	agent_await_text(&agent, "not_notified");
	peer_finish(server);
	go = xasprintf("%s/go", agent.dir);
	close(open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	agent_expect_end(&agent, 77);
	first = strstr(str_text(&agent.err), "event=not_notified");
	assert_non_null(first);
	assert_null(strstr(strstr(first + 1, "event=not_notified") + 1, "event=not_notified"));
	assert_true(agent_said(&agent, "was not told of 4 things"));
	free(go);
	str_done(&mailboxes);
	agent_done(&agent);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_login_is_told_once),
		cmocka_unit_test(what_is_held_is_told),
		cmocka_unit_test(a_command_that_fails_or_hangs),
		cmocka_unit_test(a_metrics_file_that_cannot_be_written),
		cmocka_unit_test(what_is_too_much_is_said_once),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
