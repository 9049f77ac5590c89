#include "dest/smtp-session.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "channel/channel.h"
#include "dest/smtp-auth.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/wire.h"

void smtp_session_init(struct smtp_session *session, const struct dest_context *context)
{
	session->context = *context;
	session->lmtp = context->config->kind == DEST_LMTP;
	session->round_trip_ns = INT64_MAX;
	session->latest = DEADLINE_NEVER;
	smtp_reply_init(&session->reply);
}

const char *smtp_session_name(const struct smtp_session *session)
{
	return session->context.config->name;
}

struct deadline smtp_session_deadline(const struct smtp_session *session, unsigned step_s)
{
	unsigned configured_s = session->context.config->server.timeout_s;

	if (configured_s == 0 || (step_s == SMTP_DOT_S && configured_s < SMTP_DOT_S))
		configured_s = step_s;
	return deadline_min(deadline_in_s(configured_s), session->latest);
}

int smtp_session_blame(const struct smtp_session *session, struct error *err)
{
	if (err->kind == ERR_CANCELED)
		return -1;
	err->scope = SCOPE_DESTINATION;
	return error_prefix(err, "destination %s: ", smtp_session_name(session));
}

int smtp_session_refused(const struct smtp_session *session, enum error_kind kind, enum error_scope scope, const char *what, struct error *err)
{
	char words[200];

	return error_code(err, kind, scope, session->reply.code, "destination %s %s: %s", smtp_session_name(session), what,
		smtp_reply_words(&session->reply, words, sizeof(words)));
}

/* A complete line: 1; 0: not yet; -1. */
static int next_line(struct wire *wire, bool wait, char **ret_line, size_t *ret_len, struct error *err)
{
	if (wait)
		return wire_line(wire, ret_line, ret_len, err) < 0 ? -1 : 1;
	for (;;) {
		int got = wire_peek_line(wire, ret_line, ret_len, err);

		if (got != 0)
			return got;
		got = wire_fill(wire, err);
		if (got <= 0)
			return got;
	}
}

int smtp_session_reply(struct smtp_session *session, bool wait, struct error *err)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;

	if (session->reply.complete)
		smtp_reply_init(&session->reply);
	while (state == SMTP_REPLY_MORE) {
		char words[100], *line;
		size_t len;
		int got = next_line(session->dest.wire, wait, &line, &len, err);

		if (got == 0)
			return 0;
		if (got < 0) {
			session->lock_step |= err->kind == ERR_PROTO;
			return smtp_session_blame(session, err);
		}
		state = smtp_reply_line(&session->reply, line, len);
		if (state == SMTP_REPLY_MALFORMED) {
			smtp_reply_init(&session->reply);
			session->lock_step = true;
			return error_set(err, ERR_PROTO, SCOPE_DESTINATION, "destination %s sent something that is no reply: \"%s\"",
				smtp_session_name(session), escape_into(words, sizeof(words), line, len));
		}
	}
	return 1;
}

void smtp_session_time(struct smtp_session *session, int64_t asked_ns)
{
	int64_t took_ns = session->context.round_trip_ns != 0 ? session->context.round_trip_ns : clock_monotonic_ns() - asked_ns;

	session->round_trips++;
	if (took_ns < session->round_trip_ns)
		session->round_trip_ns = took_ns;
}

int smtp_session_command(struct smtp_session *session, struct error *err, const char *format, ...)
{
	int64_t asked_ns = clock_monotonic_ns();
	struct str line = {0};
	va_list args;
	int result;

	va_start(args, format);
	str_vaddf(&line, format, args);
	va_end(args);
	str_add(&line, "\r\n", 2);
	wire_add(session->dest.wire, line.data, line.len);
	str_done(&line);
	wire_set_deadline(session->dest.wire, smtp_session_deadline(session, SMTP_REPLY_S));
	result = wire_flush(session->dest.wire, err);
	if (result < 0)
		smtp_session_blame(session, err);
	else if (smtp_session_reply(session, true, err) < 0)
		result = -1;
	if (result < 0)
		smtp_session_drop(session);
	else
		smtp_session_time(session, asked_ns);
	return result;
}

/* The connected descriptor: the test's, or one that the supervisor had made for us. */
static int take_descriptor(struct smtp_session *session, struct error *err)
{
	struct record request = {.kind = REC_CONNECT, .index = 1 + session->context.index}, answer;
	int fd = session->context.wire_fd;

	session->context.wire_fd = -1;
	if (fd >= 0)
		return fd;
	if (session->context.channel == NULL)
		return error_set(err, ERR_TEMP, SCOPE_DESTINATION, "there is nobody to ask for a connection");
	if (session->latest.ns != DEADLINE_NEVER.ns)
		request.count = SMTP_BEGIN_S;
	if (channel_call(session->context.channel, &request, NULL, 0, REC_CONNECTED, &answer, &fd, 1, err) < 0)
		return -1;
	escape_into(session->address, sizeof(session->address), answer.text, answer.len);
	return fd;
}

static int handshake(struct smtp_session *session, struct stream **stream, struct error *err)
{
	const struct server *server = &session->context.config->server;
	const struct tls_settings settings = {.host = server->endpoint.host, .ca_pem = server->ca_pem, .pins = server->pins};

	return tls_start(stream, &settings, smtp_session_deadline(session, SMTP_TLS_S), session->context.channel, session->context.tls, err);
}

static int connect_wire(struct smtp_session *session, struct error *err)
{
	struct stream *stream;
	int fd = take_descriptor(session, err);

	if (fd < 0)
		return smtp_session_blame(session, err);
	stream = stream_socket(fd);
	if (session->context.config->server.endpoint.tls == TLS_IMPLICIT && handshake(session, &stream, err) < 0) {
		stream_close(stream);
		return smtp_session_blame(session, err);
	}
	session->dest.wire = wire_new(stream, session->context.channel, SMTP_REPLY_BYTES_MAX);
	wire_set_wary(session->dest.wire, true);
	if (session->context.trace != NULL)
		wire_set_trace(session->dest.wire, session->context.trace, session->context.trace_context);
	smtp_reply_init(&session->reply);
	return 0;
}

static int greeting(struct smtp_session *session, struct error *err)
{
	wire_set_deadline(session->dest.wire, smtp_session_deadline(session, SMTP_REPLY_S));
	if (smtp_session_reply(session, true, err) < 0)
		return -1;
	if (session->reply.code != 220)
		return smtp_session_refused(session, ERR_TEMP, SCOPE_DESTINATION, "takes no mail now", err);
	return 0;
}

static int hello(struct smtp_session *session, struct error *err)
{
	const char *host = session->context.host;

	memset(&session->extensions, 0, sizeof(session->extensions));
	if (smtp_session_command(session, err, "%s %s", session->lmtp ? "LHLO" : "EHLO", host) < 0)
		return -1;
	if (session->reply.code / 100 == 2) {
		smtp_extensions_parse(&session->extensions, &session->reply);
		return 0;
	}
	/* RFC 5321 3.2: a server that knows no EHLO. It can know neither STARTTLS nor AUTH, so this is for an old one on this machine. */
	if (session->reply.code / 100 == 5 && !session->lmtp && session->context.config->server.endpoint.tls == TLS_NONE) {
		if (smtp_session_command(session, err, "HELO %s", host) < 0)
			return -1;
		if (session->reply.code / 100 == 2)
			return 0;
	}
	return smtp_session_refused(session, ERR_TEMP, SCOPE_DESTINATION, "does not want to talk to us", err);
}

/* Nothing that arrived in the clear may be taken for an answer given under TLS (CVE-2021-22947, CVE-2011-0411). */
static int check_silence(struct smtp_session *session, struct error *err)
{
	if (!wire_has_input(session->dest.wire))
		return 0;
	return error_set(err, ERR_PROTO, SCOPE_DESTINATION,
		"destination %s said more than it was asked for around STARTTLS: somebody may be tampering", smtp_session_name(session));
}

/* RFC 3207. Sent whether it is offered or not: who stripped the offer gets no mail for it. */
static int start_tls(struct smtp_session *session, struct error *err)
{
	struct stream *stream;

	if (check_silence(session, err) < 0 || smtp_session_command(session, err, "STARTTLS") < 0)
		return -1;
	if (session->reply.code != 220)
		return smtp_session_refused(session, session->reply.code / 100 == 4 ? ERR_TEMP : ERR_TLS, SCOPE_DESTINATION,
			session->extensions.starttls ? "refused STARTTLS" : "does not offer STARTTLS", err);
	if (check_silence(session, err) < 0)
		return -1;
	stream = wire_stream(session->dest.wire);
	if (handshake(session, &stream, err) < 0)
		return smtp_session_blame(session, err);
	wire_set_stream(session->dest.wire, stream);
	return hello(session, err);
}

int smtp_session_open(struct smtp_session *session, struct error *err)
{
	const struct server *server = &session->context.config->server;

	smtp_session_drop(session);
	if (connect_wire(session, err) == 0 && greeting(session, err) == 0 && hello(session, err) == 0 &&
		(server->endpoint.tls != TLS_STARTTLS || start_tls(session, err) == 0) && (server->user == NULL || smtp_login(session, err) == 0))
		return 0;
	smtp_session_drop(session);
	return -1;
}

void smtp_session_drop(struct smtp_session *session)
{
	wire_free(session->dest.wire);
	session->dest.wire = NULL;
}

void smtp_session_quit(struct smtp_session *session)
{
	struct error ignored;

	if (session->dest.wire == NULL)
		return;
	wire_set_deadline(session->dest.wire, deadline_in_s(SMTP_QUIT_S));
	wire_addf(session->dest.wire, "QUIT\r\n");
	if (wire_flush(session->dest.wire, &ignored) == 0)
		smtp_session_reply(session, true, &ignored);
	smtp_session_drop(session);
}
