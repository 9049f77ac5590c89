#include "tests/lib/imap-fixture.h"

#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"
#include "channel/wait.h"
#include "mail/haul.h"
#include "mail/message.h"
#include "mail/spool.h"
#include "net/wire.h"

const struct step imap_logged_in[] = {
	S("* OK [" IMAP_CAPS "] ready"),
	C("%1 LOGIN \"anna\" \"secret\""),
	S("%1 OK [" IMAP_CAPS "] in"),
	END,
};
const struct step imap_selected[] = {
	PLAY(imap_logged_in),
	C("%2 SELECT \"INBOX\""),
	S("* FLAGS (\\Answered \\Deleted)"),
	S("* 3 EXISTS"),
	S("* 0 RECENT"),
	S("* OK [UIDVALIDITY 7] ok"),
	S("* OK [UIDNEXT 10] ok"),
	S("%2 OK [READ-WRITE] done"),
	END,
};
const struct step imap_logged_out[] = {C("%9 LOGOUT"), S("* BYE see you"), S("%9 OK done"), END};

static void trace(void *context, char direction, const char *bytes, size_t len)
{
	struct imap_fixture *fixture = context;

	str_add_byte(&fixture->trace, direction);
	str_add(&fixture->trace, bytes, len);
	str_add_byte(&fixture->trace, '\n');
}

void imap_fixture_init(struct imap_fixture *fixture)
{
	static char user[] = "anna", host[] = PEER_HOST;

	*fixture = (struct imap_fixture){.password = "secret"};
	fixture->mailbox.protocol = PROTOCOL_IMAP;
	fixture->mailbox.max_message = 1000;
	fixture->mailbox.server.user = user;
	fixture->mailbox.server.endpoint.host = host;
	fixture->mailbox.server.endpoint.port = 143;
	fixture->mailbox.server.endpoint.tls = TLS_NONE;
}

void imap_fixture_start(struct imap_fixture *fixture, const struct step *script, unsigned flags)
{
	fixture->peer = peer_start(script, flags);
	fixture->context = (struct source_context){
		.wire_fd = fixture->peer->fd,
		.mailbox = &fixture->mailbox,
		.secret = secret_new(fixture->password, strlen(fixture->password)),
		.spool = spool_file_new(-1),
		.own_mark = "12345678",
		.trace = trace,
		.trace_context = fixture,
	};
	fixture->source = source_new(&fixture->context);
}

void imap_fixture_select(struct imap_fixture *fixture)
{
	if (source_open(fixture->source, &fixture->err) < 0 || source_select(fixture->source, "INBOX", true, &fixture->status, &fixture->err) < 0)
		fail_msg("cannot get as far as the folder: %s", fixture->err.text);
}

void imap_fixture_end(struct imap_fixture *fixture)
{
	source_free(fixture->source);
	peer_finish(fixture->peer);
	spool_file_free(fixture->context.spool);
	str_done(&fixture->trace);
}

void imap_expect_error(const struct error *err, enum error_kind kind, enum error_scope scope, const char *text)
{
	if (strstr(err->text, text) == NULL || err->kind != kind || err->scope != scope)
		fail_msg("expected %s/%s \"%s\", got %s/%s \"%s\"", error_kind_name(kind), error_scope_name(scope), text, error_kind_name(err->kind),
			error_scope_name(err->scope), err->text);
}

static void describe(const struct haul *haul, struct str *out)
{
	uint64_t at = 0;
	const char *bytes;
	size_t len;

	str_addf(out, "%" PRIu32 " ", haul->uid);
	if (haul->error.kind != ERR_NONE) {
		assert_null(haul->message);
		assert_int_equal(haul->error.scope, SCOPE_MESSAGE);
		str_addf(out, "%s%s: %s\n", haul->oversized ? "oversized " : "", error_kind_name(haul->error.kind), haul->error.text);
		return;
	}
	assert_int_equal(haul->stage, HAUL_SPOOLED);
	str_add_byte(out, '<');
	while (spool_read(haul->message->spool, at, &bytes, &len, NULL) == 0 && len != 0) {
		str_add(out, bytes, len);
		at += len;
	}
	assert_int_equal(at, haul->message->size);
	str_add_text(out, ">\n");
}

void imap_receive_all(struct imap_fixture *fixture, unsigned count, struct str *out)
{
	while (count != 0) {
		struct wire *wire = fixture->source->wire;
		struct haul *haul;
		int rc = source_receive(fixture->source, &haul, &fixture->err);

		if (rc < 0) {
			str_addf(out, "lost %s: %s\n", error_kind_name(fixture->err.kind), fixture->err.text);
			return;
		}
		if (rc == 0 && !wire_is_ready(wire)) {
			struct pollfd fd = {.fd = wire_fd(wire), .events = wire_events(wire)};

			assert_int_not_equal(wait_io(&fd, 1, deadline_min(deadline_in_s(30), wire_due(wire)), NULL, &fixture->err), -1);
		}
		if (rc == 0)
			continue;
		describe(haul, out);
		haul_free(haul);
		count--;
	}
}
