#include "tests/lib/pop3-fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/secret.h"
#include "channel/wait.h"
#include "mail/message.h"
#include "mail/spool.h"
#include "net/wire.h"

const struct step pop3_enters_quickly[] = {
	S("+OK ready"),
	C("CAPA"),
	S("+OK"),
	S("PIPELINING"),
	S("."),
	C("USER anna"),
	C("PASS secret"),
	S("+OK"),
	S("+OK"),
	C("STAT"),
	S("+OK 3 999"),
	END,
};
const struct step pop3_enters_slowly[] = {
	S("+OK ready"),
	C("CAPA"),
	QUIET,
	S("-ERR what?"),
	C("USER anna"),
	QUIET,
	S("+OK"),
	C("PASS secret"),
	QUIET,
	S("+OK"),
	C("CAPA"),
	QUIET,
	S("-ERR what?"),
	C("STAT"),
	QUIET,
	S("+OK 3 999"),
	END,
};

void pop3_fixture_init(struct pop3_fixture *fixture)
{
	static char name[] = "test", host[] = PEER_HOST, user[] = "anna";

	*fixture = (struct pop3_fixture){
		.mailbox = {.name = name,
			.protocol = PROTOCOL_POP3,
			.server = {.endpoint = {.host = host, .port = 110, .tls = TLS_NONE}, .user = user},
			.max_message = 8 * 1024 * 1024},
		.context = {.own_mark = "12345678"},
		.password = "secret",
		.spool_fd = memfd_create("spool", MFD_CLOEXEC),
	};
}

static void trace(void *context, char direction, const char *bytes, size_t len)
{
	struct pop3_fixture *fixture = context;

	str_add_byte(&fixture->trace, direction);
	str_add(&fixture->trace, bytes, len);
	str_add_byte(&fixture->trace, '\n');
}

void pop3_fixture_start(struct pop3_fixture *fixture, const struct step *script, unsigned flags)
{
	struct source_context *context = &fixture->context;

	fixture->peer = peer_start(script, flags);
	fixture->mailbox.server.ca_pem = (char *)peer_ca_pem();
	context->wire_fd = fixture->peer->fd;
	context->mailbox = &fixture->mailbox;
	context->secret = secret_new(fixture->password, strlen(fixture->password));
	context->spool = spool_file_new(fixture->spool_fd);
	context->trace = trace;
	context->trace_context = fixture;
	fixture->source = pop3_new(context);
}

void pop3_fixture_end_at(struct pop3_fixture *fixture, const char *file, int line)
{
	source_free(fixture->source);
	spool_file_free(fixture->context.spool);
	assert_null(strstr(str_text(&fixture->trace), fixture->password));
	assert_null(strstr(str_text(&fixture->trace), "AGFubmEA")); /* what every PLAIN response of anna's begins with, in base64 */
	str_done(&fixture->trace);
	peer_finish_at(fixture->peer, file, line);
}

void pop3_fixture_enter(struct pop3_fixture *fixture, const struct step *script, unsigned flags)
{
	struct folder_status status = {.exists = 77};

	pop3_fixture_start(fixture, script, flags);
	if (source_open(fixture->source, &fixture->err) < 0 || source_select(fixture->source, NULL, true, &status, &fixture->err) < 0)
		fail_msg("%s", fixture->err.text);
	assert_int_equal(status.exists, 3);
	assert_int_equal(status.uidvalidity, 0);
	assert_false(status.read_only);
}

void pop3_fixture_request(struct pop3_fixture *fixture, unsigned first, unsigned last)
{
	for (unsigned number = first; number <= last; number++)
		assert_int_equal(source_request(fixture->source, haul_new(100 + number, number, 10, 0), &fixture->err), 0);
	assert_int_equal(source_flush(fixture->source, &fixture->err), 0);
}

struct haul *pop3_fixture_next(struct pop3_fixture *fixture)
{
	struct haul *haul;

	for (;;) {
		struct wire *wire = fixture->source->wire;
		int got = source_receive(fixture->source, &haul, &fixture->err);
		struct pollfd poll;

		if (got != 0)
			return got > 0 ? haul : NULL;
		poll = (struct pollfd){.fd = wire_fd(wire), .events = wire_events(wire)};
		if (!wire_is_ready(wire))
			assert_true(wait_io(&poll, 1, wire_due(wire), NULL, &fixture->err) >= 0);
	}
}

static void check_bytes(struct message *message, const char *bytes, size_t len)
{
	struct error err;
	uint64_t at = 0;
	const char *got;
	size_t got_len;

	assert_int_equal(message->size, len);
	while (spool_read(message->spool, at, &got, &got_len, &err) == 0 && got_len > 0) {
		assert_memory_equal(got, bytes + at, got_len);
		at += got_len;
	}
	assert_int_equal(at, len);
}

void pop3_fixture_expect(struct pop3_fixture *fixture, unsigned number, const char *bytes, size_t len)
{
	struct haul *haul = pop3_fixture_next(fixture);

	if (haul == NULL)
		fail_msg("message %u did not come: %s", number, fixture->err.text);
	assert_int_equal(haul->uid, number);
	assert_int_equal(haul->id, 100 + number);
	assert_int_equal(haul->error.kind, ERR_NONE);
	assert_int_equal(haul->stage, HAUL_SPOOLED);
	assert_false(haul->oversized);
	check_bytes(haul->message, bytes, len);
	haul_free(haul);
}

void pop3_fixture_expect_failure(struct pop3_fixture *fixture, unsigned number, enum error_kind kind, const char *text)
{
	struct haul *haul = pop3_fixture_next(fixture);

	if (haul == NULL)
		fail_msg("message %u did not come: %s", number, fixture->err.text);
	assert_int_equal(haul->uid, number);
	assert_int_equal(haul->error.kind, kind);
	assert_int_equal(haul->error.scope, SCOPE_MESSAGE);
	assert_string_equal(haul->error.text, text);
	assert_int_equal(haul->stage, HAUL_REQUESTED);
	assert_null(haul->message);
	haul_free(haul);
}
