#include "dest/smtp-auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "auth/sasl.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "dest/smtp-session.h"
#include "net/wire.h"

#define AUTH_LINE_MAX 512 /* RFC 5321 4.5.3.1.4, CRLF included; some servers take it at its word, so a long token goes on a line of its own */

/* Judged by the address that was reached, since a name may lead anywhere; "localhost" may not (RFC 6761 6.3). */
static bool is_this_machine(const struct smtp_session *session)
{
	const struct endpoint *endpoint = &session->context.config->server.endpoint;
	const char *address = session->address[0] != '\0' ? session->address : endpoint->host;
	struct in_addr four;
	struct in6_addr six;

	if (endpoint->path != NULL || ascii_equal_nocase(address, "localhost"))
		return true;
	if (inet_pton(AF_INET, address, &four) == 1)
		return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
	return inet_pton(AF_INET6, address, &six) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == IN_LOOPBACKNET));
}

static int choose(const struct smtp_session *session, enum auth_mode *ret_mode, struct error *err)
{
	const struct server *server = &session->context.config->server;
	const char *name = smtp_session_name(session);

	if (server->endpoint.tls == TLS_NONE && !is_this_machine(session))
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION,
			"destination %s: a password is not sent without TLS; set tls: implicit or starttls", name);
	if (session->context.secret == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_DESTINATION, "destination %s has a user but no password; set password:", name);
	if (session->extensions.logins != 0) {
		if (sasl_choose(server->auth, session->extensions.logins, ret_mode, err) < 0)
			return smtp_session_blame(session, err);
		if (*ret_mode != AUTH_DEFAULT)
			return 0;
	}
	return error_set(err, ERR_CONFIG, SCOPE_DESTINATION,
		"destination %s offers no login that mailhaul knows; it may be the wrong port, or need no user:", name);
}

/* Flushes what was added and takes the reply. */
static int exchange(struct smtp_session *session, struct error *err)
{
	wire_add(session->dest.wire, "\r\n", 2);
	wire_set_deadline(session->dest.wire, smtp_session_deadline(session, SMTP_REPLY_S));
	if (wire_flush(session->dest.wire, err) < 0)
		return smtp_session_blame(session, err);
	return smtp_session_reply(session, true, err) < 0 ? -1 : 0;
}

static int send_response(struct smtp_session *session, const struct secret *response, struct error *err)
{
	wire_add_secret(session->dest.wire, secret_bytes(response), secret_length(response));
	return exchange(session, err);
}

/* AUTH, with the initial response on the same line or, where that would be too long, on its own. */
static int begin(struct smtp_session *session, struct sasl *sasl, struct error *err)
{
	const char *name = sasl_name(sasl->mode);
	struct secret *initial = sasl_initial(sasl);
	bool fits = initial != NULL && strlen("AUTH ") + strlen(name) + 1 + secret_length(initial) + 2 <= AUTH_LINE_MAX;
	int result;

	wire_addf(session->dest.wire, "AUTH %s", name);
	if (fits) {
		wire_add(session->dest.wire, " ", 1);
		result = send_response(session, initial, err);
	} else {
		result = exchange(session, err);
		if (result == 0 && initial != NULL && session->reply.code == 334)
			result = send_response(session, initial, err);
	}
	secret_free(initial);
	return result;
}

/* RFC 4954 4: "*" ends the exchange. What the server says to that does not matter, the reason is in *err. */
static int cancel(struct smtp_session *session, struct error *err)
{
	struct error ignored;

	wire_add(session->dest.wire, "*", 1);
	exchange(session, &ignored);
	return smtp_session_blame(session, err);
}

static int prove_identity(struct smtp_session *session, struct error *err)
{
	const struct server *server = &session->context.config->server;
	const char *host = server->endpoint.host != NULL ? server->endpoint.host : "localhost";
	enum auth_mode mode;
	struct sasl sasl;
	char words[200];

	if (choose(session, &mode, err) < 0)
		return -1;
	if (sasl_start(&sasl, mode, server->user, session->context.secret, host, server->endpoint.port, err) < 0)
		return smtp_session_blame(session, err);
	if (begin(session, &sasl, err) < 0)
		return -1;
	while (session->reply.code == 334) {
		struct secret *response;
		int result;

		if (sasl_step(&sasl, session->reply.text, session->reply.len, &response, err) < 0)
			return cancel(session, err);
		result = send_response(session, response, err);
		secret_free(response);
		if (result < 0)
			return -1;
	}
	if (session->reply.code / 100 == 2)
		return 0;
	if (session->reply.code < 500)
		return smtp_session_refused(session, ERR_TEMP, SCOPE_DESTINATION, "cannot log us in now", err);
	smtp_reply_words(&session->reply, words, sizeof(words));
	sasl_refused(&sasl, words, strlen(words), err);
	err->code = session->reply.code;
	return smtp_session_blame(session, err);
}

int smtp_login(struct smtp_session *session, struct error *err)
{
	char who[80];
	int rc;

	snprintf(who, sizeof(who), "destination %s", smtp_session_name(session));
	wire_guard(session->dest.wire, session->context.secret);
	rc = prove_identity(session, err);
	wire_guard_end(session->dest.wire, who, rc < 0 ? err : NULL);
	return rc;
}
