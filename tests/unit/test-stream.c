#include "net/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"

static void make_pair(struct stream **ret_stream, int *ret_peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*ret_stream = stream_socket(fds[0]);
	*ret_peer = fds[1];
}

static void a_socket_moves_bytes_and_never_blocks(void **state)
{
	struct stream *stream;
	struct error err = {0};
	char buffer[16];
	int peer;

	(void)state;
	make_pair(&stream, &peer);
	assert_int_equal(fcntl(stream->fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(stream_read(stream, buffer, sizeof(buffer), &err), STREAM_AGAIN);
	assert_int_equal(stream->want, POLLIN);
	assert_int_equal(write(peer, "hello", 5), 5);
	assert_int_equal(stream_read(stream, buffer, sizeof(buffer), &err), 5);
	assert_memory_equal(buffer, "hello", 5);
	assert_int_equal(stream_write(stream, "hi", 2, &err), 2);
	assert_int_equal(read(peer, buffer, sizeof(buffer)), 2);
	assert_false(stream_pending(stream));
	stream_close(stream);
	assert_int_equal(read(peer, buffer, sizeof(buffer)), 0);
	close(peer);
}

static void a_full_socket_says_again(void **state)
{
	static const char bytes[65536];
	struct stream *stream;
	struct error err = {0};
	ssize_t n;
	int peer;

	(void)state;
	make_pair(&stream, &peer);
	do
		n = stream_write(stream, bytes, sizeof(bytes), &err);
	while (n > 0);
	assert_int_equal(n, STREAM_AGAIN);
	assert_int_equal(stream->want, POLLOUT);
	stream_close(stream);
	close(peer);
}

static void tells_an_end_from_a_loss(void **state)
{
	struct stream *stream;
	struct error err = {0};
	char buffer[16];
	int peer;

	(void)state;
	make_pair(&stream, &peer);
	close(peer);
	assert_int_equal(stream_read(stream, buffer, sizeof(buffer), &err), STREAM_END);
	assert_int_equal(stream_write(stream, "x", 1, &err), STREAM_FAILED); /* and no SIGPIPE */
	assert_int_equal(err.kind, ERR_TEMP);
	assert_string_equal(err.text, "the connection was lost: Broken pipe");
	stream_close(stream);

	make_pair(&stream, &peer);
	assert_int_equal(stream_write(stream, "unread", 6, &err), 6);
	close(peer); /* with something unread: a reset */
	assert_int_equal(stream_read(stream, buffer, sizeof(buffer), &err), STREAM_FAILED);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_string_equal(err.text, "the connection was lost: Connection reset by peer");
	stream_close(stream);
	stream_close(NULL);
}

static void memory_comes_in_chunks(void **state)
{
	static const char text[] = "abcdefg";
	struct error err = {0};
	char buffer[16];

	(void)state;
	for (size_t chunk = 1; chunk <= 8; chunk++) {
		struct stream *stream = stream_memory(text, 7, chunk);
		size_t got = 0;
		ssize_t n;

		assert_int_equal(stream->fd, -1);
		assert_int_equal(stream_write(stream, "thrown away", 11, &err), 11);
		while ((n = stream_read(stream, buffer + got, sizeof(buffer) - got, &err)) > 0) {
			assert_int_equal(n, 7 - got < chunk ? 7 - got : chunk);
			got += (size_t)n;
		}
		assert_int_equal(n, STREAM_END);
		assert_int_equal(got, 7);
		assert_memory_equal(buffer, text, 7);
		assert_false(stream_pending(stream));
		stream_close(stream);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_moves_bytes_and_never_blocks),
		cmocka_unit_test(a_full_socket_says_again),
		cmocka_unit_test(tells_an_end_from_a_loss),
		cmocka_unit_test(memory_comes_in_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
