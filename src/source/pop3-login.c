#include "source/pop3-session.h"

#include <string.h>

#include "auth/sasl.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "net/wire.h"
#include "source/connect.h"

#define COMMAND_MAX 255 /* octets with CRLF, RFC 2449 4: what an initial response must not exceed, RFC 5034 4 */

static int read_greeting(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;

	wire_set_deadline(pop3->source.wire, deadline_in_s(SOURCE_GREETING_S));
	if (pop3_read_greeting(pop3, &reply, err) < 0)
		return -1;
	if (reply.status == POP3_ERR)
		return pop3_fail(err, ERR_TEMP, SCOPE_MAILBOX, &reply, "server turns us away");
	return 0;
}

/* STLS is sent whatever CAPA says: whoever sits on the line can take it out of that answer, but cannot make us go on without it (RFC 2595 7). */
static int start_tls(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct pop3_reply reply;

	wire_addf(wire, "STLS\r\n");
	if (pop3_ask(pop3, "STLS", &reply, err) < 0)
		return -1;
	if (reply.status != POP3_OK)
		return pop3_fail(err, ERR_TLS, SCOPE_MAILBOX, &reply, "server refused STLS, so nothing was sent to it; try tls: implicit");
	return source_start_tls(pop3->context, wire, err);
}

/* The response code tells a wrong password from a mailbox that cannot be had at the moment (RFC 2449 8.1, RFC 3206). Without one it is the password. */
static int check_accepted(const struct pop3_reply *reply, struct error *err)
{
	static const struct {
		enum error_kind kind;
		const char *sentence;
	} meanings[] = {
		[POP3_CODE_NONE] = {ERR_AUTH, "server refused the login"},
		[POP3_CODE_AUTH] = {ERR_AUTH, "server refused the login"},
		[POP3_CODE_IN_USE] = {ERR_TEMP, "the mailbox is in use by another session"},
		[POP3_CODE_LOGIN_DELAY] = {ERR_TEMP, "server wants longer pauses between logins: raise poll_every"},
		[POP3_CODE_SYS_TEMP] = {ERR_TEMP, "server cannot open the mailbox at the moment"},
		[POP3_CODE_SYS_PERM] = {ERR_TEMP, "server has a problem with the mailbox that its operator must solve"},
	};

	if (reply->status == POP3_OK)
		return 0;
	return pop3_fail(err, meanings[reply->code].kind, SCOPE_MAILBOX, reply, meanings[reply->code].sentence);
}

/* USER and PASS. RFC 1939 7 */
static int log_in_plainly(struct pop3 *pop3, const char *user, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct pop3_reply reply;

	if (strpbrk(user, "\r\n") != NULL || strcspn(secret_bytes(pop3->secret), "\r\n") != secret_length(pop3->secret))
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "user name or password holds a line break or a NUL, which POP3 cannot carry");
	wire_addf(wire, "USER %s\r\n", user);
	if (!pop3->pipelining && (pop3_ask(pop3, "USER", &reply, err) < 0 || check_accepted(&reply, err) < 0))
		return -1;
	wire_addf(wire, "PASS ");
	wire_add_secret(wire, secret_bytes(pop3->secret), secret_length(pop3->secret));
	wire_addf(wire, "\r\n");
	pop3_ahead_add(pop3);
	if (pop3->pipelining && (pop3_ask(pop3, "USER", &reply, err) < 0 || check_accepted(&reply, err) < 0))
		return -1;
	return pop3_ask(pop3, "PASS", &reply, err) < 0 ? -1 : check_accepted(&reply, err);
}

static void add_response(struct wire *wire, const struct secret *response)
{
	wire_add_secret(wire, secret_bytes(response), secret_length(response));
	wire_addf(wire, "\r\n");
}

/* Answers challenges until the server has decided. initial: the response that did not fit beside AUTH, or NULL. */
static int answer_challenges(struct pop3 *pop3, struct sasl *sasl, const struct secret *initial, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct secret *response;
	struct pop3_reply reply;

	for (;;) {
		if (pop3_ask_auth(pop3, &reply, err) < 0)
			return -1;
		if (reply.status != POP3_CHALLENGE)
			break;
		if (initial != NULL) {
			add_response(wire, initial);
			initial = NULL;
			continue;
		}
		if (sasl_step(sasl, reply.text, reply.text_len, &response, err) < 0)
			return -1; /* no "*" to end the exchange: the connection ends with it */
		add_response(wire, response);
		secret_free(response);
	}
	if (reply.status == POP3_ERR && (reply.code == POP3_CODE_NONE || reply.code == POP3_CODE_AUTH))
		return sasl_refused(sasl, reply.text, reply.text_len, err);
	return check_accepted(&reply, err);
}

/* RFC 5034. */
static int log_in_with(struct pop3 *pop3, enum auth_mode mode, const struct server *server, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct secret *initial = NULL;
	struct sasl sasl;
	bool beside;
	int done;

	if (sasl_start(&sasl, mode, server->user, pop3->secret, server->endpoint.host, server->endpoint.port, err) < 0)
		return -1;
	/* Microsoft's servers take XOAUTH2 only in two steps. */
	if (mode != AUTH_XOAUTH2)
		initial = sasl_initial(&sasl);
	beside = initial != NULL && strlen("AUTH  \r\n") + strlen(sasl_name(mode)) + secret_length(initial) <= COMMAND_MAX;
	wire_addf(wire, "AUTH %s%s", sasl_name(mode), beside ? " " : "\r\n");
	if (beside)
		add_response(wire, initial);
	if (beside && mode == AUTH_PLAIN)
		pop3_ahead_add(pop3);
	done = answer_challenges(pop3, &sasl, beside ? NULL : initial, err);
	secret_free(initial);
	return done;
}

static int authenticate(struct pop3 *pop3, struct error *err)
{
	const struct server *server = &pop3->context->mailbox->server;
	enum auth_mode mode;

	if (server->user == NULL || pop3->secret == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "POP3 needs a user and a password");
	if (server->auth == AUTH_DEFAULT)
		return log_in_plainly(pop3, server->user, err);
	if (sasl_choose(server->auth, pop3->offered, &mode, err) < 0)
		return -1;
	return log_in_with(pop3, mode, server, err);
}

/* From an earlier session, or by asking. */
static int learn_capabilities(struct pop3 *pop3, struct error *err)
{
	struct host_facts *facts = pop3->context->facts;

	wire_set_deadline(pop3->source.wire, deadline_in_s(SOURCE_LOGIN_S));
	if (pop3->known) {
		pop3->pipelining = (facts->before & POP3_CAP_PIPELINING) != 0 && !pop3_goes_step_by_step(pop3);
		pop3->offered = facts->mechanisms;
		return 0;
	}
	if (pop3_ask_capabilities(pop3, err) < 0)
		return -1;
	if (facts != NULL) {
		facts->before = pop3->pipelining ? POP3_CAP_PIPELINING : 0;
		facts->mechanisms = pop3->offered;
	}
	return 0;
}

static int prove_identity(struct pop3 *pop3, struct error *err)
{
	int done;

	wire_guard(pop3->source.wire, pop3->secret);
	done = authenticate(pop3, err);
	if (done < 0)
		pop3_ahead_distrust(pop3, err);
	wire_guard_end(pop3->source.wire, "server", done < 0 ? err : NULL);
	return done == 0 ? pop3_ahead_settle(pop3, err) : done;
}

int pop3_login(struct pop3 *pop3, struct error *err)
{
	const struct host_facts *facts = pop3->context->facts;

	if (source_connect(pop3->context, POP3_LINE_MAX, &pop3->source.wire, err) < 0 || read_greeting(pop3, err) < 0)
		return -1;
	wire_set_deadline(pop3->source.wire, deadline_in_s(SOURCE_LOGIN_S));
	pop3->known = facts != NULL && facts->known;
	if (pop3->context->mailbox->server.endpoint.tls == TLS_STARTTLS) {
		/* There are servers that want to be asked before STLS; what they say in the clear may be anybody's words. */
		if (!pop3->known && pop3_ask_capabilities(pop3, err) < 0)
			return -1;
		if (start_tls(pop3, err) < 0)
			return -1;
	}
	return learn_capabilities(pop3, err) < 0 ? -1 : prove_identity(pop3, err);
}
