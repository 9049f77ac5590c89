#include "source/imap.h"

#include <stdio.h>
#include <string.h>

#include "auth/sasl.h"
#include "base/secret.h"
#include "source/connect.h"

#define LITERAL_MINUS_MAX 4096 /* RFC 7888 5 */

static const struct server *server_of(const struct imap *imap)
{
	return &imap->context->mailbox->server;
}

/* Asked for whatever the server announces: a list without it may be the work of somebody in between (CVE-2021-22946). */
static int start_tls(struct imap *imap, struct error *err)
{
	struct imap_answer answer = {0};
	struct error why = {0};

	imap_begin(imap, imap_keep_answer, &answer);
	wire_addf(imap->source.wire, "STARTTLS\r\n");
	if (wire_has_input(imap->source.wire)) {
		error_set(&why, ERR_PROTO, SCOPE_MAILBOX,
			"server sent data before it was asked for STARTTLS: somebody may be tampering with the connection");
		return imap_lose(imap, &why, err);
	}
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	if (answer.status != IMAP_OK)
		return imap_refused(err, &answer, ERR_TLS, SCOPE_MAILBOX, "server refused STARTTLS, so no password was sent (try tls: implicit)");
	if (source_start_tls(imap->context, imap->source.wire, &why) < 0)
		return imap_lose(imap, &why, err);
	imap->capabilities = imap->mechanisms = 0; /* whatever was said in the clear may not have come from the server */
	imap->capabilities_known = false;
	return 0;
}

/* From the greeting, from an earlier session, or by asking. */
static int learn_capabilities(struct imap *imap, struct error *err)
{
	const struct host_facts *facts = imap->context->facts;
	struct imap_answer answer = {0};

	if (imap->capabilities_known)
		return 0;
	if (facts != NULL && facts->known) {
		imap->capabilities = facts->before;
		imap->mechanisms = facts->mechanisms;
		return 0;
	}
	imap_begin(imap, imap_keep_answer, &answer);
	wire_addf(imap->source.wire, "CAPABILITY\r\n");
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	if (answer.status != IMAP_OK)
		return imap_refused(err, &answer, ERR_PROTO, SCOPE_MAILBOX, "server does not say what it can do");
	imap->capabilities_known = true; /* or told us nothing at all, which is all we will learn */
	return 0;
}

int imap_ignore_answer(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	(void)imap;
	(void)command;
	(void)answer;
	(void)err;
	return 0;
}

/* Many servers tell the identities of clients apart only to help them; 163.com and others refuse SELECT without it. */
void imap_add_id(struct imap *imap, unsigned capabilities)
{
	if ((capabilities & IMAP_CAP_ID) == 0)
		return;
	imap_begin(imap, imap_ignore_answer, NULL);
	wire_addf(imap->source.wire, "ID (\"name\" \"mailhaul\")\r\n"); /* RFC 2971 */
}

/* --- LOGIN --- */

static bool fits_quoted(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7E)
			return false;
	return true;
}

/* Only as a secret may it be gathered: the buffer is wiped. */
static void add_quoted_secret(struct imap *imap, const char *text, size_t len)
{
	struct secret *quoted = secret_new_size(2 * len + 2);
	char *at = secret_buffer(quoted);

	*at++ = '"';
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			*at++ = '\\';
		*at++ = text[i];
	}
	*at++ = '"';
	wire_add_secret(imap->source.wire, secret_buffer(quoted), (size_t)(at - secret_buffer(quoted)));
	secret_free(quoted);
}

/* RFC 7888 */
static bool takes_literal_at_once(const struct imap *imap, size_t len)
{
	return (imap->capabilities & IMAP_CAP_LITERAL_PLUS) != 0 || ((imap->capabilities & IMAP_CAP_LITERAL_MINUS) != 0 && len <= LITERAL_MINUS_MAX);
}

/* An argument of LOGIN, as a quoted string where it can be one: some servers take no literals there (exmail). 1: added; 0: answered instead; -1. */
static int add_argument(struct imap *imap, const char *text, size_t len, const struct imap_answer *answer, struct error *err)
{
	int rc;

	if (fits_quoted(text, len)) {
		add_quoted_secret(imap, text, len);
		return 1;
	}
	if (takes_literal_at_once(imap, len)) {
		wire_addf(imap->source.wire, "{%zu+}\r\n", len);
		wire_add_secret(imap->source.wire, text, len);
		return 1;
	}
	wire_addf(imap->source.wire, "{%zu}\r\n", len);
	rc = imap_wait_continuation(imap, answer, err);
	if (rc > 0)
		wire_add_secret(imap->source.wire, text, len);
	return rc;
}

static int login_command(struct imap *imap, struct imap_answer *answer, struct error *err)
{
	const char *user = server_of(imap)->user;
	int rc;

	imap_begin(imap, imap_keep_answer, answer);
	wire_addf(imap->source.wire, "LOGIN ");
	rc = add_argument(imap, user, strlen(user), answer, err);
	if (rc <= 0)
		return rc;
	wire_addf(imap->source.wire, " ");
	rc = add_argument(imap, secret_bytes(imap->secret), secret_length(imap->secret), answer, err);
	if (rc <= 0)
		return rc;
	wire_addf(imap->source.wire, "\r\n");
	imap_ahead_add(imap);
	return imap_wait(imap, &answer->done, err);
}

/* --- AUTHENTICATE --- */

static void add_response(struct imap *imap, struct secret *response)
{
	wire_add_secret(imap->source.wire, secret_bytes(response), secret_length(response));
	wire_addf(imap->source.wire, "\r\n");
	secret_free(response);
}

/* RFC 4959 3: the initial response stands behind the name; an empty one is "=". */
static void add_authenticate(struct imap *imap, struct sasl *sasl, struct imap_answer *answer)
{
	struct secret *initial = (imap->capabilities & IMAP_CAP_SASL_IR) != 0 ? sasl_initial(sasl) : NULL;

	imap_begin(imap, imap_keep_answer, answer);
	wire_addf(imap->source.wire, "AUTHENTICATE %s", sasl_name(sasl->mode));
	if (initial == NULL) {
		wire_addf(imap->source.wire, "\r\n");
		return;
	}
	wire_addf(imap->source.wire, secret_length(initial) != 0 ? " " : " =");
	add_response(imap, initial);
	imap_ahead_add(imap);
}

/* It asks for more than PLAIN's one response, and has taken the command that we sent behind that for it. */
static int misunderstood(struct imap *imap, struct error *err)
{
	struct error why = {0};

	imap_ahead_distrust(imap, true);
	imap->ahead.under_way = false;
	error_set(&why, ERR_TEMP, SCOPE_MAILBOX, "server asked for the password once more; the next session goes step by step");
	return imap_lose(imap, &why, err);
}

/* ret_status: what the server says of a token, of 48 bytes; "" if nothing. */
static int authenticate(struct imap *imap, enum auth_mode mode, struct imap_answer *answer, char *ret_status, struct error *err)
{
	const struct server *server = server_of(imap);
	struct error why = {0};
	struct sasl sasl;
	int rc;

	if (sasl_start(&sasl, mode, server->user, imap->secret, server->endpoint.host, server->endpoint.port, err) < 0)
		return -1;
	add_authenticate(imap, &sasl, answer);
	while ((rc = imap_wait_continuation(imap, answer, err)) > 0) {
		struct secret *response;

		if (imap->ahead.under_way && mode == AUTH_PLAIN)
			return misunderstood(imap, err);
		if (sasl_step(&sasl, str_text(&imap->challenge), imap->challenge.len, &response, &why) < 0) {
			wire_addf(imap->source.wire, "*\r\n"); /* RFC 9051 6.2.2: we give up; the server answers BAD */
			if (imap_wait(imap, &answer->done, err) < 0)
				return -1;
			return imap_lose(imap, &why, err);
		}
		add_response(imap, response);
	}
	memcpy(ret_status, sasl.status, sizeof(sasl.status));
	return rc;
}

/* --- */

/* LOGIN is what every server understands; a server that forbids it offers PLAIN (RFC 9051 11.1). *ret_mode AUTH_DEFAULT: the command LOGIN. */
static int choose(const struct imap *imap, enum auth_mode *ret_mode, struct error *err)
{
	enum auth_mode wanted = server_of(imap)->auth;

	*ret_mode = AUTH_DEFAULT;
	if ((wanted == AUTH_DEFAULT || wanted == AUTH_LOGIN) && (imap->capabilities & IMAP_CAP_LOGINDISABLED) == 0)
		return 0;
	if (sasl_choose(wanted, imap->mechanisms, ret_mode, err) < 0)
		return -1;
	if (*ret_mode == AUTH_DEFAULT)
		*ret_mode = AUTH_PLAIN;
	return 0;
}

static int prove_identity(struct imap *imap, struct error *err)
{
	struct imap_answer answer = {0};
	char status[48] = "", what[96] = "server refused the login";
	enum auth_mode mode;
	int rc;

	if (imap->secret == NULL || server_of(imap)->user == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "an IMAP mailbox needs user and password");
	if (choose(imap, &mode, err) < 0)
		return -1;
	imap->before = imap->capabilities;
	imap->mechanisms_before = imap->mechanisms;
	imap->capabilities_known = false; /* what a stranger may do is not what we may do */
	rc = mode == AUTH_DEFAULT ? login_command(imap, &answer, err) : authenticate(imap, mode, &answer, status, err);
	if (imap->ahead.under_way && ((rc < 0 && err->kind != ERR_CANCELED) || answer.status == IMAP_BAD))
		imap_ahead_distrust(imap, false);
	if (rc < 0)
		return -1;
	if (status[0] != '\0')
		snprintf(what, sizeof(what), "server refused the OAuth2 token (status %s)", status);
	if (answer.status != IMAP_OK)
		return imap_refused(err, &answer, ERR_AUTH, SCOPE_MAILBOX, what);
	return 0;
}

/* --- */

void imap_note_capabilities(struct imap *imap)
{
	struct host_facts *facts = imap->context->facts;

	if (facts == NULL || !imap->logged_in)
		return;
	facts->known = true;
	facts->before = imap->before;
	facts->mechanisms = imap->mechanisms_before;
	facts->after = imap->capabilities;
}

static int wait_for_all(struct imap *imap, struct error *err)
{
	int rc = imap_send(imap, err);

	while (rc == 0 && imap->outstanding != 0)
		rc = imap_wait_one(imap, err);
	return rc;
}

/* What is still to be said before the first folder; it goes with the command for that, unless each has to go alone. */
static int introduce(struct imap *imap, bool introduced, struct error *err)
{
	int rc = 0;

	if (!imap->capabilities_known) {
		imap_begin(imap, imap_ignore_answer, NULL);
		wire_addf(imap->source.wire, "CAPABILITY\r\n");
	}
	if (imap_goes_step_by_step(imap))
		rc = wait_for_all(imap, err);
	if (!introduced)
		imap_add_id(imap, imap->capabilities);
	if (rc == 0 && imap_goes_step_by_step(imap))
		rc = wait_for_all(imap, err);
	return rc;
}

int imap_log_in(struct imap *imap, struct error *err)
{
	int rc = 0;

	imap_set_deadline(imap, SOURCE_LOGIN_S);
	if (server_of(imap)->endpoint.tls == TLS_STARTTLS)
		rc = start_tls(imap, err);
	if (rc == 0)
		rc = learn_capabilities(imap, err);
	if (rc == 0) {
		wire_guard(imap->source.wire, imap->secret);
		rc = prove_identity(imap, err);
		wire_guard_end(imap->source.wire, "server", rc < 0 ? err : NULL);
	}
	if (rc == 0) {
		imap->logged_in = true;
		if (imap->capabilities_known)
			imap_note_capabilities(imap);
		rc = imap_ahead_settle(imap, err);
	}
	imap_set_deadline(imap, 0);
	return rc == 0 ? introduce(imap, imap->ahead.introduced, err) : rc;
}
