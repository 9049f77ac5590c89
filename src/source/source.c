#include "source/source.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "channel/channel.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/wire.h"
#include "source/connect.h"

struct source *source_new(const struct source_context *context)
{
	return context->mailbox->protocol == PROTOCOL_IMAP ? imap_new(context) : pop3_new(context);
}

static int ask_for_connection(const struct source_context *context, int *ret_fd, struct error *err)
{
	struct record request = {.kind = REC_CONNECT}; /* index 0: the source */
	struct record answer;

	if (context->channel == NULL) {
		*ret_fd = context->wire_fd;
		return 0;
	}
	if (channel_call(context->channel, &request, NULL, 0, REC_CONNECTED, &answer, ret_fd, 1, err) < 0)
		return -1;
	if (context->address != NULL)
		str_add_escaped(context->address, answer.text, answer.len, 64);
	return 0;
}

/* On failure *stream is as it was. */
static int handshake(const struct source_context *context, struct stream **stream, struct error *err)
{
	const struct server *server = &context->mailbox->server;
	struct tls_settings settings = {.host = server->endpoint.host, .ca_pem = server->ca_pem, .pins = server->pins};

	if (tls_start(stream, &settings, deadline_in_s(SOURCE_TLS_S), context->channel, context->tls, err) == 0)
		return 0;
	if (err != NULL)
		err->scope = SCOPE_MAILBOX;
	return -1;
}

int source_connect(const struct source_context *context, size_t max_line, struct wire **ret_wire, struct error *err)
{
	struct stream *stream;
	struct wire *wire;
	int fd = -1;

	if (ask_for_connection(context, &fd, err) < 0)
		return -1;
	stream = stream_socket(fd);
	if (context->mailbox->server.endpoint.tls == TLS_IMPLICIT && handshake(context, &stream, err) < 0) {
		stream_close(stream);
		return -1;
	}
	wire = wire_new(stream, context->channel, max_line);
	wire_set_wary(wire, true);
	wire_end_on_stop(wire);
	if (context->trace != NULL)
		wire_set_trace(wire, context->trace, context->trace_context);
	*ret_wire = wire;
	return 0;
}

int source_start_tls(const struct source_context *context, struct wire *wire, struct error *err)
{
	struct stream *stream = wire_stream(wire);

	if (wire_has_input(wire))
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX,
			"server sent data between its OK to STARTTLS and the handshake: somebody may be tampering "
			"with the connection; use tls: implicit");
	if (handshake(context, &stream, err) < 0)
		return -1;
	wire_set_stream(wire, stream);
	return 0;
}
