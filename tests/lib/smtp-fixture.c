#include "tests/lib/smtp-fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "channel/wait.h"
#include "net/wire.h"

static void start(struct bench *bench, enum dest_kind kind, unsigned flags, unsigned window, int64_t round_trip_ns, const struct step *first,
	const struct step *second)
{
	static char name[] = "home", host[] = "localhost";
	const struct step *scripts[] = {first, second};
	int fds[2];

	*bench = (struct bench){.config = {.name = name, .kind = kind, .window = window}};
	bench->config.server.endpoint = (struct endpoint){.host = host, .port = 25, .tls = TLS_NONE};
	for (; bench->peer_count < 2 && scripts[bench->peer_count] != NULL; bench->peer_count++) {
		bench->peers[bench->peer_count] = peer_start(scripts[bench->peer_count], flags);
		fds[bench->peer_count] = bench->peers[bench->peer_count]->fd;
	}
	connections_start(&bench->channel, fds, bench->peer_count);
	bench->dest = dest_new(&(struct dest_context){.channel = &bench->channel,
		.wire_fd = -1,
		.round_trip_ns = round_trip_ns,
		.config = &bench->config,
		.host = "me.example",
		.tmp_fd = -1,
		.new_fd = -1,
		.cur_fd = -1});
}

void bench_start(struct bench *bench, enum dest_kind kind, unsigned flags, const struct step *first, const struct step *second)
{
	start(bench, kind, flags, 1, 0, first, second);
}

void bench_start_far(
	struct bench *bench, enum dest_kind kind, unsigned window, int64_t round_trip_ns, const struct step *first, const struct step *second)
{
	start(bench, kind, PEER_WHOLE, window, round_trip_ns, first, second);
}

void bench_end(struct bench *bench)
{
	assert_int_equal(dest_close(bench->dest, &bench->err), 0);
	dest_free(bench->dest);
	connections_stop(&bench->channel);
	for (unsigned i = 0; i < bench->peer_count; i++)
		peer_finish(bench->peers[i]);
}

struct delivery *letter(void)
{
	return delivery_new(LETTER, strlen(LETTER), BEN, ANNA);
}

int next_verdict(struct bench *bench, struct delivery **ret_delivery)
{
	int got;

	while ((got = dest_verdicts(bench->dest, ret_delivery, &bench->err)) == 0) {
		struct pollfd fd;

		assert_non_null(bench->dest->wire);
		fd = (struct pollfd){.fd = wire_fd(bench->dest->wire), .events = wire_events(bench->dest->wire)};
		assert_true(wait_io(&fd, 1, wire_due(bench->dest->wire), &bench->channel, &bench->err) >= 0);
	}
	return got;
}

void expect_verdict(struct bench *bench, struct delivery *delivery, enum verdict verdict)
{
	struct delivery *got = NULL;

	assert_int_equal(next_verdict(bench, &got), 1);
	assert_ptr_equal(got, delivery);
	if (delivery->verdict != verdict)
		print_error("%s\n", delivery->error.text);
	assert_int_equal(delivery->verdict, verdict);
}

void expect_error(const struct error *err, enum error_kind kind, enum error_scope scope, const char *text)
{
	if (err->kind != kind || err->scope != scope || strstr(err->text, text) == NULL)
		print_error("got: %s, %s: %s\n", error_kind_name(err->kind), error_scope_name(err->scope), err->text);
	assert_int_equal(err->kind, kind);
	assert_int_equal(err->scope, scope);
	assert_non_null(strstr(err->text, text));
}
