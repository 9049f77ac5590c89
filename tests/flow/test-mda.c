/* test-mda.c - the program as destination, with a child process in the supervisor's place that really runs one: what it reads, how it ends, what it says. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "dest/dest.h"
#include "tests/lib/delivery.h"

#define MESSAGE "Subject: x\r\n\r\nhello\r\n"
#define MESSAGE_LOCAL "X-Mailhaul-Id: 1\nSubject: x\n\nhello\n"

enum trouble { NO_TROUBLE, NO_FILE, NO_START, GONE_BEFORE_START, GONE_BEFORE_EXIT };

struct bench {
	struct dest_config config;
	struct channel channel;
	struct dest *dest;
	pid_t supervisor;
	int out_fd; /* what the program writes to descriptor 3 */
	struct error err;
};

static pid_t run_program(const char *script, const struct record *record, int stdin_fd, int out_fd, int *ret_stderr)
{
	const char *sender = record->text, *recipient = sender + strlen(sender) + 1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		dup2(stdin_fd, 0);
		dup2(out_fd, 1);
		dup2(ends[1], 2);
		execl("/bin/sh", "sh", "-c", script, "sh", sender, recipient, (char *)NULL);
		_exit(127);
	}
	setpgid(pid, pid);
	close(ends[1]);
	*ret_stderr = ends[0];
	return pid;
}

static uint32_t end_program(pid_t pid, const struct record *record)
{
	int status;

	if (record->when != 0)
		kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
	return (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void supervise(int fd, const char *script, enum trouble trouble, int out_fd) __attribute__((noreturn));
static void supervise(int fd, const char *script, enum trouble trouble, int out_fd)
{
	pid_t program = -1;

	for (;;) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		struct record record, answer = {.kind = REC_FAILED, .error = ERR_LOCAL, .scope = SCOPE_DESTINATION};
		int fds[RECORD_FDS_MAX], passed = -1;
		unsigned fd_count;

		record_set_text(&answer, "the supervisor said no", 22);
		poll(&readable, 1, -1);
		if (record_receive(fd, &record, fds, &fd_count) <= 0)
			_exit(0);
		if (record_check(&record, record_size(&record), fd_count, true) != NULL)
			_exit(1);
		if (record.kind == REC_ALIVE)
			continue;
		if (record.kind == REC_WANT_FILE && trouble != NO_FILE) {
			answer = (struct record){.kind = REC_FILE};
			passed = memfd_create("file", MFD_CLOEXEC);
		} else if (record.kind == REC_RUN && trouble == GONE_BEFORE_START) {
			_exit(0);
		} else if (record.kind == REC_RUN && trouble != NO_START) {
			answer = (struct record){.kind = REC_STARTED};
			program = run_program(script, &record, fds[0], out_fd, &passed);
		} else if (record.kind == REC_WAIT && trouble == GONE_BEFORE_EXIT) {
			_exit(0);
		} else if (record.kind == REC_WAIT) {
			answer = (struct record){.kind = REC_EXITED, .code = end_program(program, &record)};
		}
		record_send(fd, &answer, &passed, passed >= 0 ? 1 : 0);
		fs_close(passed);
		if (fd_count != 0)
			close(fds[0]);
	}
}

static void bench_start(struct bench *bench, const char *script, enum trouble trouble)
{
	static char name[] = "sorted", program[] = "/usr/libexec/sort-mail";
	static char *argv[] = {program, NULL};
	int pair[2];

	*bench = (struct bench){.config = {.name = name, .kind = DEST_MDA, .argv = argv}};
	bench->out_fd = memfd_create("out", MFD_CLOEXEC);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	bench->supervisor = fork();
	assert_true(bench->supervisor >= 0);
	if (bench->supervisor == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		supervise(pair[1], script, trouble, bench->out_fd);
	}
	close(pair[1]);
	channel_init(&bench->channel, pair[0]);
	bench->dest = dest_new(&(struct dest_context){
		.channel = &bench->channel, .wire_fd = -1, .config = &bench->config, .host = "me.example", .tmp_fd = -1, .new_fd = -1, .cur_fd = -1});
	assert_int_equal(dest_open(bench->dest, &bench->err), 0);
}

static void bench_end(struct bench *bench)
{
	int status;

	assert_int_equal(dest_close(bench->dest, &bench->err), 0);
	dest_free(bench->dest);
	channel_done(&bench->channel);
	assert_int_equal(waitpid(bench->supervisor, &status, 0), bench->supervisor);
	assert_int_equal(status, 0);
	close(bench->out_fd);
}

/* Offers and takes the verdict; returns what offer did. */
static int offer(struct bench *bench, struct delivery *delivery)
{
	struct delivery *got = NULL;
	int result = dest_offer(bench->dest, delivery, NULL, &bench->err);

	assert_int_equal(dest_verdicts(bench->dest, &got, &bench->err), 1);
	assert_ptr_equal(got, delivery);
	assert_int_equal(dest_verdicts(bench->dest, &got, &bench->err), 0);
	return result;
}

static void expect_output(const struct bench *bench, const char *bytes, size_t len)
{
	struct str got = {0};

	assert_int_equal(lseek(bench->out_fd, 0, SEEK_SET), 0);
	assert_int_equal(fs_read_all(bench->out_fd, 4 << 20, &got), 0);
	assert_int_equal(got.len, len);
	assert_memory_equal(str_text(&got), bytes, len);
	str_done(&got);
}

static struct delivery *message(void)
{
	return delivery_new(MESSAGE, strlen(MESSAGE), "ben@far.example", "anna");
}

static void the_program_reads_the_whole_message(void **state)
{
	struct delivery *delivery = message();
	struct bench bench;

	(void)state;
	bench_start(&bench, "cat; echo \"$1 $2\"; echo hm >&2", NO_TROUBLE);
	assert_int_equal(offer(&bench, delivery), 0);
	assert_int_equal(delivery->verdict, VERDICT_ACCEPTED);
	assert_string_equal(delivery->reply, "exit 0");
	expect_output(&bench, MESSAGE_LOCAL "ben@far.example anna\n", strlen(MESSAGE_LOCAL "ben@far.example anna\n"));
	bench_end(&bench);
	delivery_free(delivery);
}

static void the_program_cannot_change_what_it_reads(void **state)
{
	struct delivery *delivery = message();
	struct bench bench;

	(void)state;
	bench_start(&bench, "if echo x 1>&0; then exit 65; fi 2>/dev/null; cat", NO_TROUBLE);
	assert_int_equal(offer(&bench, delivery), 0);
	assert_int_equal(delivery->verdict, VERDICT_ACCEPTED);
	expect_output(&bench, MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	bench_end(&bench);
	delivery_free(delivery);
}

static void large_messages_come_from_a_file(void **state)
{
	struct str sent = {0}, expected = {0};
	struct delivery *delivery;
	struct bench bench;

	(void)state;
	for (size_t i = 0; sent.len < (2 << 20); i++) {
		str_addf(&sent, "line %zu\r\n", i);
		str_addf(&expected, "line %zu\n", i);
	}
	delivery = delivery_new(sent.data, sent.len, "", "");
	bench_start(&bench, "sed 1d", NO_TROUBLE);
	assert_int_equal(offer(&bench, delivery), 0);
	assert_int_equal(delivery->verdict, VERDICT_ACCEPTED);
	expect_output(&bench, expected.data, expected.len);
	bench_end(&bench);

	bench_start(&bench, "cat", NO_FILE);
	assert_int_equal(offer(&bench, delivery), -1);
	assert_int_equal(delivery->verdict, VERDICT_RETRACTED);
	bench_end(&bench);
	delivery_free(delivery);
	str_done(&sent);
	str_done(&expected);
}

static void what_was_begun_is_read_when_it_is_complete(void **state)
{
	struct delivery *delivery = delivery_arriving(100, "", "anna"), *other = message();
	struct bench bench;

	(void)state;
	bench_start(&bench, "cat", NO_TROUBLE);
	delivery_arrives(delivery, "Subject: x\r", 11);
	assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
	assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
	delivery_arrives(delivery, "\n\r\nhello\r\n", 10);
	delivery_has_arrived(delivery);
	assert_int_equal(offer(&bench, delivery), 0);
	assert_int_equal(delivery->verdict, VERDICT_ACCEPTED);
	expect_output(&bench, MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	delivery_free(delivery);

	/* Given up: the next one is not mistaken for it. */
	delivery = delivery_arriving(100, "", "anna");
	delivery_arrives(delivery, "Subject: y\r\n", 12);
	assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
	assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
	dest_discard(bench.dest, delivery);
	assert_int_equal(ftruncate(bench.out_fd, 0), 0);
	assert_int_equal(offer(&bench, other), 0);
	assert_int_equal(other->verdict, VERDICT_ACCEPTED);
	bench_end(&bench);

	bench_start(&bench, "cat", NO_FILE);
	assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), -1);
	bench_end(&bench);
	delivery_free(delivery);
	delivery_free(other);
}

static void every_end_has_its_meaning(void **state)
{
	static const struct {
		const char *script;
		enum verdict verdict;
		enum error_kind kind;
		enum error_scope scope;
		const char *text;
	} cases[] = {
		{"exit 64", VERDICT_DEFERRED, ERR_TEMP, SCOPE_DESTINATION,
			"destination sorted: the program /usr/libexec/sort-mail exited with 64 (EX_USAGE)"},
		{"exit 65", VERDICT_REFUSED, ERR_REFUSED, SCOPE_MESSAGE, "65 (EX_DATAERR)"},
		{"exit 66", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "66 (EX_NOINPUT)"},
		{"exit 67", VERDICT_REFUSED, ERR_REFUSED, SCOPE_MESSAGE, "67 (EX_NOUSER)"},
		{"exit 68", VERDICT_REFUSED, ERR_REFUSED, SCOPE_MESSAGE, "68 (EX_NOHOST)"},
		{"exit 69", VERDICT_DEFERRED, ERR_TEMP, SCOPE_DESTINATION, "69 (EX_UNAVAILABLE)"},
		{"exit 70", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "70 (EX_SOFTWARE)"},
		{"exit 71", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "71 (EX_OSERR)"},
		{"exit 72", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "72 (EX_OSFILE)"},
		{"exit 73", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "73 (EX_CANTCREAT)"},
		{"exit 74", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "74 (EX_IOERR)"},
		{"exit 75", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "75 (EX_TEMPFAIL)"},
		{"exit 76", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "76 (EX_PROTOCOL)"},
		{"exit 77", VERDICT_REFUSED, ERR_REFUSED, SCOPE_MESSAGE, "77 (EX_NOPERM)"},
		{"exit 78", VERDICT_DEFERRED, ERR_TEMP, SCOPE_DESTINATION, "78 (EX_CONFIG)"},
		{"exec /nonexistent/program", VERDICT_DEFERRED, ERR_TEMP, SCOPE_DESTINATION, "127 (not found): "},
		{"exit 126", VERDICT_DEFERRED, ERR_TEMP, SCOPE_DESTINATION, "126 (not executable)"},
		{"exit 1", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "the program /usr/libexec/sort-mail exited with 1"},
		{"exit 255", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "255"},
		{"kill -TERM $$", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE, "the program /usr/libexec/sort-mail was ended by signal 15"},
		{"printf 'over \\033[1mquota\\nsecond' >&2; exit 75", VERDICT_DEFERRED, ERR_TEMP, SCOPE_MESSAGE,
			"75 (EX_TEMPFAIL): over \\x1B[1mquota"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = message();
		struct bench bench;

		bench_start(&bench, cases[i].script, NO_TROUBLE);
		assert_int_equal(offer(&bench, delivery), 0);
		assert_int_equal(delivery->verdict, cases[i].verdict);
		assert_int_equal(delivery->error.kind, cases[i].kind);
		assert_int_equal(delivery->error.scope, cases[i].scope);
		if (strstr(delivery->error.text, cases[i].text) == NULL)
			fail_msg("got: %s", delivery->error.text);
		assert_null(strstr(delivery->error.text, "second"));
		bench_end(&bench);
		delivery_free(delivery);
	}
}

static void talkative_programs_are_cut_off(void **state)
{
	struct delivery *delivery = message();
	struct bench bench;

	(void)state;
	bench_start(&bench, "trap '' PIPE; head -c 3000000 /dev/zero >&2; exit 75", NO_TROUBLE);
	assert_int_equal(offer(&bench, delivery), 0);
	assert_int_equal(delivery->verdict, VERDICT_DEFERRED);
	assert_int_equal(delivery->code, 75);
	bench_end(&bench);
	delivery_free(delivery);
}

static void slow_programs_are_stopped_with_their_children(void **state)
{
	static const struct {
		const char *script;
		enum verdict verdict;
	} cases[] = {
		{"sleep 1000", VERDICT_IN_DOUBT}, /* it may have filed the message before it hung */
		{"trap '' TERM INT HUP; while :; do sleep 1000; done", VERDICT_IN_DOUBT},
		{"sleep 1000 & exit 0", VERDICT_ACCEPTED}, /* it said so itself before its child was stopped */
		{"sleep 1000 & exit 75", VERDICT_DEFERRED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = message();
		struct bench bench;

		bench_start(&bench, cases[i].script, NO_TROUBLE);
		bench.config.server.timeout_s = 300;
		deadline_set_factor(0.001);
		assert_int_equal(offer(&bench, delivery), cases[i].verdict == VERDICT_IN_DOUBT ? -1 : 0);
		deadline_set_factor(1);
		assert_int_equal(delivery->verdict, cases[i].verdict);
		if (cases[i].verdict != VERDICT_ACCEPTED)
			assert_non_null(strstr(delivery->error.text, "the program /usr/libexec/sort-mail was stopped after 300 seconds"));
		bench_end(&bench);
		delivery_free(delivery);
	}
}

static void addresses_are_checked_before_they_are_arguments(void **state)
{
	static const struct {
		const char *sender, *recipient;
		bool passes;
	} cases[] = {
		{"", "", true},
		{"a;$(x)`y`@far.example", "anna", false},
		{"a'$x&@far.example", "anna", true}, /* one argument, never a shell's */
		{"-oX@far.example", "anna", false},
		{"ben@far.example", "-d", false},
		{"ben@far.example", "anna\nroot", false},
		{"ben@far.example", "anna root", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = delivery_new(MESSAGE, strlen(MESSAGE), cases[i].sender, cases[i].recipient);
		struct str expected = {0};
		struct bench bench;

		if (cases[i].passes)
			str_addf(&expected, "<%s><%s>", cases[i].sender, cases[i].recipient);
		bench_start(&bench, "printf '<%s>' \"$@\"", NO_TROUBLE);
		assert_int_equal(offer(&bench, delivery), 0);
		assert_int_equal(delivery->verdict, cases[i].passes ? VERDICT_ACCEPTED : VERDICT_REFUSED);
		expect_output(&bench, str_text(&expected), expected.len);
		bench_end(&bench);
		delivery_free(delivery);
		str_done(&expected);
	}
}

static void a_lost_supervisor_leaves_doubt_only_after_the_start(void **state)
{
	static const struct {
		enum trouble trouble;
		enum verdict verdict;
		enum error_kind kind;
	} cases[] = {
		{NO_START, VERDICT_RETRACTED, ERR_LOCAL},
		{GONE_BEFORE_START, VERDICT_IN_DOUBT, ERR_CANCELED},
		{GONE_BEFORE_EXIT, VERDICT_IN_DOUBT, ERR_CANCELED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = message();
		struct bench bench;

		bench_start(&bench, "exit 0", cases[i].trouble);
		assert_int_equal(offer(&bench, delivery), -1);
		assert_int_equal(delivery->verdict, cases[i].verdict);
		assert_int_equal(delivery->error.kind, cases[i].kind);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_program_reads_the_whole_message),
		cmocka_unit_test(the_program_cannot_change_what_it_reads),
		cmocka_unit_test(large_messages_come_from_a_file),
		cmocka_unit_test(what_was_begun_is_read_when_it_is_complete),
		cmocka_unit_test(every_end_has_its_meaning),
		cmocka_unit_test(talkative_programs_are_cut_off),
		cmocka_unit_test(slow_programs_are_stopped_with_their_children),
		cmocka_unit_test(addresses_are_checked_before_they_are_arguments),
		cmocka_unit_test(a_lost_supervisor_leaves_doubt_only_after_the_start),
	};

	return cmocka_run_group_tests_name("mda", tests, NULL, NULL);
}
