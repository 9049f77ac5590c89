#include "net/wire.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/secret.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "net/stream.h"

#define MAX_LINE 16
#define TINY_FACTOR 0.0005 /* 120 s become 60 ms */

static struct wire *wire_pair(int *ret_peer, size_t max_line)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*ret_peer = fds[1];
	return wire_new(stream_socket(fds[0]), NULL, max_line);
}

static void say(int peer, const char *bytes, size_t len)
{
	assert_int_equal(fs_write_all(peer, bytes, len), 0);
}

static void hear(int peer, const char *expected)
{
	char got[256];
	ssize_t n = recv(peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(got, expected, (size_t)n);
}

/* All lines of the input with | behind each, then what ended it. */
static void read_all(struct str *out, const char *bytes, size_t len, size_t chunk)
{
	struct wire *wire = wire_new(stream_memory(bytes, len, chunk), NULL, MAX_LINE);
	struct error err = {0};
	size_t line_len;
	char *line;

	while (wire_line(wire, &line, &line_len, &err) == 0) {
		assert_int_equal(line[line_len], '\0');
		str_add(out, line, line_len);
		str_add_byte(out, '|');
	}
	str_addf(out, "%s: %s", error_kind_name(err.kind), err.text);
	wire_free(wire);
}

static const struct {
	const char *in;
	size_t len;
	const char *out;
} line_cases[] = {
#define IN(literal) literal, sizeof(literal) - 1
	{IN(""), "temporary: the server closed the connection"},
	{IN("+OK\r\n"), "+OK|temporary: the server closed the connection"},
	{IN("+OK\r\n\r\n-ERR x\r\n"), "+OK||-ERR x|temporary: the server closed the connection"},
	{IN("a\rb\r\r\n"), "a\rb\r|temporary: the server closed the connection"},
	{IN("a\r\nbc"), "a|temporary: the server closed the connection in the middle of a reply"},
	{IN("a\r\nb\nc\r\n"), "a|protocol: the server ended a line with LF alone instead of CR and LF"},
	{IN("\n"), "protocol: the server ended a line with LF alone instead of CR and LF"},
	{IN("a\0b\r\n"), "protocol: the server sent a NUL byte within a line"},
	{IN("0123456789abcdef\r\nx\r\n"), "0123456789abcdef|x|temporary: the server closed the connection"},
	{IN("0123456789abcdefg\r\n"), "protocol: the server sent a line of more than 16 bytes"},
	{IN("0123456789abcdefghi"), "protocol: the server sent a line of more than 16 bytes"},
	{IN("\303\274\r\n"), "\303\274|temporary: the server closed the connection"},
};

static void reads_lines_however_they_come(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(line_cases); i++) {
		for (size_t chunk = 1; chunk <= line_cases[i].len + 1; chunk++) {
			struct str out = {0};

			read_all(&out, line_cases[i].in, line_cases[i].len, chunk);
			assert_string_equal(str_text(&out), line_cases[i].out);
			str_done(&out);
		}
	}
}

static void a_truncated_input_loses_only_its_end(void **state)
{
	static const char in[] = "+OK\r\nab\r\n\r\nlast one\r\n";

	(void)state;
	for (size_t len = 0; len < sizeof(in); len++) {
		struct str out = {0}, expected = {0};
		size_t done = 0;

		for (size_t i = 1; i < len; i++) {
			if (in[i - 1] != '\r' || in[i] != '\n')
				continue;
			str_add(&expected, in + done, i - 1 - done);
			str_add_byte(&expected, '|');
			done = i + 1;
		}
		str_addf(&expected, "temporary: the server closed the connection%s", done != len ? " in the middle of a reply" : "");
		read_all(&out, in, len < sizeof(in) - 1 ? len : sizeof(in) - 1, 3);
		if (len < sizeof(in) - 1 || done == len)
			assert_string_equal(str_text(&out), str_text(&expected));
		str_done(&out);
		str_done(&expected);
	}
}

static void counted_bytes_and_lines_share_the_buffer(void **state)
{
	static const char in[] = "* 1 FETCH {6}\r\na\0\r\n.\n)\r\nA1 OK\r\n";
	struct error err = {0};

	(void)state;
	for (size_t chunk = 1; chunk < sizeof(in); chunk++) {
		struct wire *wire = wire_new(stream_memory(in, sizeof(in) - 1, chunk), NULL, MAX_LINE);
		char literal[6], *line;
		size_t got = 0, len;

		assert_int_equal(wire_line(wire, &line, &len, &err), 0);
		assert_string_equal(line, "* 1 FETCH {6}");
		while (got < sizeof(literal)) {
			const char *bytes = wire_peek(wire, &len);

			if (len == 0) {
				assert_int_equal(wire_fill(wire, &err), 1);
				continue;
			}
			len = len < sizeof(literal) - got ? len : sizeof(literal) - got;
			memcpy(literal + got, bytes, len);
			got += len;
			wire_consume(wire, len);
		}
		assert_memory_equal(literal, "a\0\r\n.\n", 6);
		assert_int_equal(wire_line(wire, &line, &len, &err), 0);
		assert_string_equal(line, ")");
		assert_int_equal(wire_line(wire, &line, &len, &err), 0);
		assert_string_equal(line, "A1 OK");
		assert_int_equal(wire_bytes_in(wire), sizeof(in) - 1);
		wire_free(wire);
	}
}

static void a_long_line_in_small_pieces_is_no_more_work(void **state)
{
	size_t max_line = 65536, len;
	char *in = xmalloc(max_line + 2), *line;
	struct error err = {0};
	struct wire *wire;

	(void)state;
	memset(in, 'x', max_line);
	memcpy(in + max_line, "\r\n", 2);
	wire = wire_new(stream_memory(in, max_line + 2, 1), NULL, max_line);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_int_equal(len, max_line);
	wire_free(wire);
	free(in);
}

static void what_waits_behind_a_taken_line_is_ready(void **state)
{
	struct error err = {0};
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	assert_int_equal(wire_fill(wire, &err), 0);
	assert_false(wire_is_ready(wire));
	say(peer, "a\r\nb\r\nc", 7);
	assert_int_equal(wire_fill(wire, &err), 1);
	assert_true(wire_is_ready(wire));
	assert_int_equal(wire_peek_line(wire, &line, &len, &err), 1);
	assert_true(wire_is_ready(wire)); /* nobody has looked at b */
	assert_int_equal(wire_peek_line(wire, &line, &len, &err), 1);
	assert_string_equal(line, "b");
	assert_int_equal(wire_peek_line(wire, &line, &len, &err), 0);
	assert_false(wire_is_ready(wire)); /* half a line: only new bytes help, and poll sees those */
	assert_int_equal(wire_events(wire), POLLIN);
	close(peer);
	assert_int_equal(wire_fill(wire, &err), -1);
	assert_string_equal(err.text, "the server closed the connection in the middle of a reply");
	assert_false(wire_is_ready(wire));
	assert_int_equal(wire_events(wire), 0);
	wire_free(wire);
}

static void last_words_are_heard_before_the_end(void **state)
{
	struct error err = {0};
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	say(peer, "421 bye\r\n", 9);
	close(peer);
	wire_add(wire, "NOOP\r\n", 6);
	assert_int_equal(wire_flush(wire, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_string_equal(line, "421 bye");
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_string_equal(err.text, "the server closed the connection");
	wire_free(wire);
}

static void sends_a_flight_in_one_piece(void **state)
{
	struct error err = {0};
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	wire_addf(wire, "USER %s\r\n", "anna");
	wire_add(wire, "PASS ", 5);
	wire_add_secret(wire, "hunter2", 7);
	wire_add(wire, "\r\n", 2);
	wire_add(wire, "", 0);
	wire_add_secret(wire, "", 0);
	assert_int_equal(wire_unsent(wire), 25);
	assert_int_equal(wire_events(wire), POLLIN | POLLOUT);
	assert_int_equal(wire_flush(wire, &err), 0);
	assert_int_equal(wire_unsent(wire), 0);
	assert_int_equal(wire_bytes_out(wire), 25);
	hear(peer, "USER anna\r\nPASS hunter2\r\n");
	close(peer);
	wire_free(wire);
}

/* A peer that writes 200 KiB before it reads a byte. */
static void two_who_write_do_not_block_each_other(void **state)
{
	static char bytes[200 << 10];
	struct error err = {0};
	int peer, status;
	struct wire *wire = wire_pair(&peer, MAX_LINE);
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		size_t got = 0;
		ssize_t n = fs_write_all(peer, bytes, sizeof(bytes));

		close(wire_fd(wire));
		while (n >= 0 && got < sizeof(bytes) && (n = read(peer, bytes, sizeof(bytes))) > 0)
			got += (size_t)n;
		_exit(got == sizeof(bytes) ? 0 : 1);
	}
	close(peer);
	wire_set_deadline(wire, deadline_in_s(20));
	wire_add_data(wire, bytes, sizeof(bytes));
	assert_int_equal(wire_flush(wire, &err), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	while (wire_fill(wire, &err) == 1)
		;
	assert_int_equal(wire_bytes_in(wire), sizeof(bytes));
	wire_free(wire);
}

static void a_peer_cannot_fill_our_memory(void **state)
{
	static const char bytes[4096];
	struct error err = {0};
	uint64_t sent = 0;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	for (int idle = 0; idle < 2;) {
		ssize_t n = send(peer, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0)
			sent += (uint64_t)n;
		idle = wire_fill(wire, &err) == 1 || n > 0 ? 0 : idle + 1;
	}
	wire_peek(wire, &len);
	assert_in_range(len, WIRE_UNREAD_MAX - 4096, WIRE_UNREAD_MAX);
	assert_true(sent > len);
	assert_int_equal(wire_events(wire), 0);
	wire_set_deadline(wire, (struct deadline){1});
	assert_int_equal(wire_fill(wire, &err), 0); /* it is not late: we do not listen */
	while (wire_bytes_in(wire) < sent) {
		wire_peek(wire, &len);
		wire_consume(wire, len);
		assert_int_equal(wire_events(wire), POLLIN);
		assert_int_equal(wire_fill(wire, &err), 1);
	}
	close(peer);
	wire_free(wire);
}

static void waits_no_longer_than_the_deadline(void **state)
{
	struct error err = {0};
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	wire_set_deadline(wire, deadline_in_s(0.02));
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_string_equal(err.text, "the server did not answer in time");
	assert_int_equal(wire_fill(wire, &err), -1);
	say(peer, "late\r\n", 6);
	assert_int_equal(wire_fill(wire, &err), 1); /* what is there is taken */
	wire_set_deadline(wire, DEADLINE_NEVER);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_int_equal(wire_fill(wire, &err), 0);
	close(peer);
	wire_free(wire);
}

static void gives_up_on_a_peer_that_takes_nothing(void **state)
{
	static const char bytes[1 << 20];
	struct error err = {0};
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	deadline_set_factor(TINY_FACTOR);
	wire_add_data(wire, bytes, sizeof(bytes));
	assert_int_equal(wire_flush_some(wire, &err), 0);
	assert_int_equal(wire_flush(wire, &err), -1);
	assert_string_equal(err.text, "the server stopped taking what we send");
	deadline_set_factor(1.0);
	close(peer);
	wire_free(wire);
}

static void stalls_and_unfinished_lines_end_the_wait(void **state)
{
	struct error err = {0};
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	deadline_set_factor(TINY_FACTOR);
	wire_set_flowing(wire, true);
	assert_false(deadline_passed(wire_due(wire)));
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_non_null(strstr(err.text, "sent nothing for 120 seconds"));
	wire_set_flowing(wire, false);
	say(peer, "half", 4);
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_non_null(strstr(err.text, "not finished a line"));
	deadline_set_factor(1.0);
	close(peer);
	wire_free(wire);
}

static void leaves_when_the_supervisor_is_gone(void **state)
{
	struct error err = {0};
	struct channel channel;
	char *line;
	size_t len;
	int fds[2], ends[2];
	struct wire *wire;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	channel_init(&channel, ends[0]);
	close(ends[1]);
	wire = wire_new(stream_socket(fds[0]), &channel, MAX_LINE);
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	wire_free(wire);
	channel_done(&channel);
	close(fds[1]);
}

static void finds_what_was_sent_before_it_was_asked_for(void **state)
{
	struct error err = {0};
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, MAX_LINE);

	(void)state;
	assert_false(wire_has_input(wire));
	say(peer, "A1 OK begin TLS\r\n", 17);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_false(wire_has_input(wire));
	say(peer, "A2 OK in\r\n", 10);
	assert_true(wire_has_input(wire));
	assert_true(wire_has_input(wire));
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_string_equal(line, "A2 OK in");
	close(peer);
	assert_false(wire_has_input(wire));
	assert_int_equal(wire_fill(wire, &err), -1);
	wire_free(wire);
}

static void note(void *context, char direction, const char *bytes, size_t len)
{
	struct str *trace = context;

	str_add_byte(trace, direction);
	str_add(trace, bytes, len);
	str_add_byte(trace, '\n');
}

static void a_trace_shows_lines_but_no_secret_and_no_mail(void **state)
{
	struct error err = {0};
	struct str trace = {0};
	struct secret *secret = secret_new("hunter2", 7);
	char *line;
	size_t len;
	int peer;
	struct wire *wire = wire_pair(&peer, 64);

	(void)state;
	wire_set_trace(wire, note, &trace);
	wire_guard(wire, secret);
	wire_add(wire, "A1 LOGIN anna \"", 15);
	wire_add_secret(wire, "hunter2", 7);
	wire_add(wire, "\"\r\nA2 SELECT INBOX\r\n", 20);
	assert_int_equal(wire_flush(wire, &err), 0);
	say(peer, "* OK hunter2? YWh1bnRlcjI=\r\nA1 OK\r\n", 35);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	assert_string_equal(line, "* OK hunter2? YWh1bnRlcjI="); /* what the protocol sees is what was said */
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	wire_guard_end(wire, "server", NULL);
	say(peer, "* 1 FETCH {5}\r\ndear!)\r\n", 23);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	wire_consume(wire, 2);
	wire_consume(wire, 3);
	assert_int_equal(wire_line(wire, &line, &len, &err), 0);
	wire_add(wire, "BDAT 7 LAST\r\n", 13);
	wire_add_data(wire, "dear b.", 7);
	wire_add(wire, "half", 4);
	assert_int_equal(wire_flush(wire, &err), 0);
	wire_free(wire);
	assert_string_equal(str_text(&trace), ">A1 LOGIN anna \"*\"\n>A2 SELECT INBOX\n<(a line that repeats the password)\n<A1 OK\n<* 1 FETCH "
					      "{5}\n<(5 bytes of data)\n<)\n>BDAT 7 LAST\n"
					      ">(7 bytes of data)\n>half\n");
	str_done(&trace);
	secret_free(secret);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_lines_however_they_come),
		cmocka_unit_test(a_truncated_input_loses_only_its_end),
		cmocka_unit_test(counted_bytes_and_lines_share_the_buffer),
		cmocka_unit_test(a_long_line_in_small_pieces_is_no_more_work),
		cmocka_unit_test(what_waits_behind_a_taken_line_is_ready),
		cmocka_unit_test(last_words_are_heard_before_the_end),
		cmocka_unit_test(sends_a_flight_in_one_piece),
		cmocka_unit_test(two_who_write_do_not_block_each_other),
		cmocka_unit_test(a_peer_cannot_fill_our_memory),
		cmocka_unit_test(waits_no_longer_than_the_deadline),
		cmocka_unit_test(gives_up_on_a_peer_that_takes_nothing),
		cmocka_unit_test(stalls_and_unfinished_lines_end_the_wait),
		cmocka_unit_test(leaves_when_the_supervisor_is_gone),
		cmocka_unit_test(finds_what_was_sent_before_it_was_asked_for),
		cmocka_unit_test(a_trace_shows_lines_but_no_secret_and_no_mail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
