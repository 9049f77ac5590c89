/* test-imap.c - an IMAP session from the greeting to the listing, and its end: what servers answer, refuse, garble, or never say. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/imap-fixture.h"

#define SECONDS_ARE_5_MS 0.005

static char flood[70 * 1024];

static const struct step greets[] = {S("* OK [" IMAP_CAPS "] ready"), END};
static const struct step sends_login[] = {PLAY(greets), C("%1 LOGIN \"anna\" \"secret\""), END};

#define CLOSED "closed the connection"

struct open_case {
	struct step script[14];
	enum error_kind kind; /* ERR_NONE: it works */
	const char *text;
	enum auth_mode auth;
	enum tls_mode tls; /* TLS_DEFAULT: none */
};

static const struct open_case opens[] = {
	/* the greeting */
	{{PLAY(imap_logged_in), END}, ERR_NONE, "", AUTH_DEFAULT, TLS_NONE},
	{{S("* BYE come \x1b[31m later"), END}, ERR_TEMP, "server said goodbye: come \\x1B[31m later", AUTH_DEFAULT, TLS_NONE},
	{{S("* PREAUTH welcome"), END}, ERR_PROTO, "PREAUTH", AUTH_DEFAULT, TLS_NONE},
	{{S("* NO go away"), END}, ERR_TEMP, "does not want to talk to us: go away", AUTH_DEFAULT, TLS_NONE},
	{{S("+OK POP3 ready"), END}, ERR_PROTO, "IMAP", AUTH_DEFAULT, TLS_NONE},
	{{S("220 smtp.example ESMTP"), END}, ERR_PROTO, "IMAP", AUTH_DEFAULT, TLS_NONE},
	{{S("* 3 EXISTS"), END}, ERR_PROTO, "no IMAP server", AUTH_DEFAULT, TLS_NONE},
	{{S("A1 OK guess"), END}, ERR_PROTO, "no IMAP server", AUTH_DEFAULT, TLS_NONE},
	{{S(""), END}, ERR_PROTO, "empty line", AUTH_DEFAULT, TLS_NONE},
	{{RAW("* OK\n"), END}, ERR_PROTO, "LF alone", AUTH_DEFAULT, TLS_NONE},
	{{CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_NONE},
	{{RAW("* OK [CAP"), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_NONE},
	{{POUR(flood, sizeof(flood)), END}, ERR_PROTO, "more than 65536 bytes", AUTH_DEFAULT, TLS_NONE},
	/* CAPABILITY, asked for where it was not told */
	{{S("* OK"), C("%1 CAPABILITY"), S("* CAPABILITY IMAP4rev1"), S("%1 OK"), C("%2 LOGIN \"anna\" \"secret\""), S("* CAPABILITY IMAP4rev1 ID"),
		 S("%2 OK"), END},
		ERR_NONE, "", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), S("%1 OK"), C("%2 LOGIN \"anna\" \"secret\""), S("%2 OK"), END}, ERR_NONE, "", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), S("%1 NO"), C("%2 LOGOUT"), S("%2 OK"), END}, ERR_PROTO, "what it can do", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), S("%1 BAD x"), C("%2 LOGOUT"), S("%2 OK"), END}, ERR_PROTO, "what it can do", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), S("* BYE"), END}, ERR_TEMP, "goodbye", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_NONE},
	{{S("* OK"), C("%1 CAPABILITY"), S("x%1 OK"), END}, ERR_PROTO, "was not sent", AUTH_DEFAULT, TLS_NONE},
	/* LOGIN: one attempt, the words of the server escaped */
	{{PLAY(sends_login), S("%1 NO"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_AUTH, "server refused the login: it gave no reason", AUTH_DEFAULT,
		TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [AUTHENTICATIONFAILED] \"no\", please try again later"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_AUTH,
		"server refused the login: \\x22no\\x22, please", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [REFERRAL imap://evil.example/] go there"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_AUTH, "go there",
		AUTH_DEFAULT, TLS_NONE},
	/* what repeats the password is not repeated by us */
	{{PLAY(sends_login), S("* OK you said LOGIN \"anna\" \"secret\""), S("%1 NO no such user"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_AUTH,
		"server refused the login; its words are not shown", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO not with secret, anna"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_AUTH, "; its words are not shown", AUTH_DEFAULT,
		TLS_NONE},
	{{PLAY(sends_login), S("* BYE LOGIN anna secret?"), END}, ERR_TEMP, "server did not finish the login; its words are not shown", AUTH_DEFAULT,
		TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN AGFubmEAc2VjcmV0"), S("%1 BAD AGFubmEAc2VjcmV0?"),
		 C("%9 LOGOUT"), S("%9 OK"), END},
		ERR_PROTO, "; its words are not shown", AUTH_PLAIN, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [UNAVAILABLE] x"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "server refused the login: x", AUTH_DEFAULT,
		TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [limit] x"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "x", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [INUSE] x"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "x", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [CONTACTADMIN] x"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "x", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [EXPIRED] x"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "x", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 NO [ALERT] Too many simultaneous connections"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "Too many",
		AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("%1 BAD what?"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_PROTO, "server refused the login: what?", AUTH_DEFAULT,
		TLS_NONE},
	{{PLAY(sends_login), S("%1 BAD User is authenticated but not connected."), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TEMP, "not connected",
		AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("* BYE [REFERRAL imap://evil/] gone"), END}, ERR_TEMP, "server said goodbye: gone", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), RAW("* OK "), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("+ go on"), END}, ERR_PROTO, "nothing more to say", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("A002 OK"), END}, ERR_PROTO, "was not sent", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("* PREAUTH x"), END}, ERR_PROTO, "PREAUTH", AUTH_DEFAULT, TLS_NONE},
	{{PLAY(sends_login), S("* LIST () \"/\" {3}"), RAW("a\r\n"), S(" NIL"), S("* OK still here"), S("%1 OK [" IMAP_CAPS "]"), END}, ERR_NONE, "",
		AUTH_DEFAULT, TLS_NONE},
	{{PLAY(greets), C("%1 LOGIN \"anna\" \"secret\""), S("* CAPABILITY (("), END}, ERR_PROTO, "parenthesis", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN]"), C("%1 LOGIN \"anna\" \"secret\""), S("%1 OK [" IMAP_CAPS "]"), END}, ERR_NONE, "", AUTH_LOGIN,
		TLS_NONE},
	/* AUTHENTICATE */
	{{S("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED]"), C("%1 AUTHENTICATE PLAIN"), QUIET, S("+ "), C("AGFubmEAc2VjcmV0"),
		 S("%1 OK [" IMAP_CAPS "]"), END},
		ERR_NONE, "", AUTH_DEFAULT, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=LOGIN]"), C("%1 AUTHENTICATE LOGIN"), S("+ VXNlcg=="), C("YW5uYQ=="), S("+ UGFzcw=="),
		 C("c2VjcmV0"), S("%1 OK [" IMAP_CAPS "]"), END},
		ERR_NONE, "", AUTH_LOGIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN AGFubmEAc2VjcmV0"), S("%1 OK [" IMAP_CAPS "]"), END},
		ERR_NONE, "", AUTH_PLAIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN AGFubmEAc2VjcmV0"), S("%1 NO wrong"), C("%9 LOGOUT"),
		 S("%9 OK"), END},
		ERR_AUTH, "server refused the login: wrong", AUTH_PLAIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN *"), S("+ "), C("*"), S("%1 BAD"), END}, ERR_PROTO,
		"asks for more", AUTH_PLAIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN"), S("+ ???"), C("*"), S("%1 BAD"), END}, ERR_PROTO, "not base64",
		AUTH_PLAIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN]"), C("%1 AUTHENTICATE PLAIN"), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_PLAIN, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2]"), C("%1 AUTHENTICATE XOAUTH2 dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlY3JldAEB"),
		 S("+ eyJzdGF0dXMiOiI0MDAifQ=="), C(""), S("%1 NO bad"), C("%9 LOGOUT"), S("%9 OK"), END},
		ERR_AUTH, "the OAuth2 token (status 400): bad", AUTH_XOAUTH2, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER]"), C("%1 AUTHENTICATE OAUTHBEARER *"), S("%1 OK [" IMAP_CAPS "]"), END}, ERR_NONE,
		"", AUTH_OAUTHBEARER, TLS_NONE},
	{{S("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN]"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_CONFIG, "XOAUTH2", AUTH_XOAUTH2, TLS_NONE},
	/* TLS */
	{{TLS, PLAY(imap_logged_in), END}, ERR_NONE, "", AUTH_DEFAULT, TLS_IMPLICIT},
	{{TLS, S("* PREAUTH x"), END}, ERR_PROTO, "PREAUTH", AUTH_DEFAULT, TLS_IMPLICIT},
	{{S("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] no STARTTLS here"), C("%1 STARTTLS"), QUIET, S("%1 OK"), TLS, C("%2 CAPABILITY"),
		 S("* CAPABILITY IMAP4rev1"), S("%2 OK"), C("%3 LOGIN \"anna\" \"secret\""), S("%3 OK [" IMAP_CAPS "]"), END},
		ERR_NONE, "", AUTH_DEFAULT, TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), S("%1 NO not here"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_TLS, "refused STARTTLS", AUTH_DEFAULT,
		TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), S("%1 BAD what"), C("%9 LOGOUT"), S("%9 OK"), END}, ERR_PROTO, "refused STARTTLS", AUTH_DEFAULT,
		TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), S("garbage"), END}, ERR_PROTO, "no response", AUTH_DEFAULT, TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), CLOSE, END}, ERR_TEMP, CLOSED, AUTH_DEFAULT, TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), S("* BYE no"), END}, ERR_TEMP, "goodbye", AUTH_DEFAULT, TLS_STARTTLS},
	{{S("* PREAUTH x"), END}, ERR_PROTO, "PREAUTH", AUTH_DEFAULT, TLS_STARTTLS},
	{{PLAY(greets), C("%1 STARTTLS"), S("%1 OK"), CLOSE, END}, ERR_TEMP, "", AUTH_DEFAULT, TLS_STARTTLS},
};

static int open_session(struct imap_fixture *fixture, const struct open_case *open, unsigned flags)
{
	static char ca[8192];

	imap_fixture_init(fixture);
	fixture->mailbox.server.auth = open->auth;
	fixture->mailbox.server.endpoint.tls = open->tls;
	snprintf(ca, sizeof(ca), "%s", peer_ca_pem());
	fixture->mailbox.server.ca_pem = ca;
	imap_fixture_start(fixture, open->script, flags);
	return source_open(fixture->source, &fixture->err);
}

/* A login that was refused leaves a session that can still be closed in order; these scripts say so. */
static bool says_goodbye(const struct open_case *open)
{
	for (const struct step *step = open->script; step->kind != STEP_END; step++)
		if (step->kind == STEP_EXPECT_LINE && strstr(step->bytes, "LOGOUT") != NULL)
			return true;
	return false;
}

static void opens_or_says_why_not(void **state)
{
	(void)state;
	memset(flood, 'x', sizeof(flood));
	for (size_t i = 0; i < ARRAY_SIZE(opens); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			struct imap_fixture fixture;
			int rc = open_session(&fixture, &opens[i], flags);

			assert_int_equal(rc, opens[i].kind == ERR_NONE ? 0 : -1);
			if (rc < 0)
				imap_expect_error(&fixture.err, opens[i].kind, SCOPE_MAILBOX, opens[i].text);
			if (says_goodbye(&opens[i]))
				assert_int_equal(source_close(fixture.source, &fixture.err), 0);
			assert_null(memmem(str_text(&fixture.trace), fixture.trace.len, "secret", 6));
			assert_null(memmem(str_text(&fixture.trace), fixture.trace.len, "c2VjcmV0", 8));
			imap_fixture_end(&fixture);
		}
	}
}

/* What comes in one piece with the greeting, or with the OK, was not said by the server that has the certificate. */
static void injected_plaintext_is_fatal(void **state)
{
	static const struct open_case early = {{RAW("* OK hi\r\n* OK there\r\n"), END}, ERR_PROTO, "before it was asked", AUTH_DEFAULT, TLS_STARTTLS};
	static const struct open_case late = {{PLAY(greets), C("%1 STARTTLS"), S("%1 OK\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN"), END}, ERR_PROTO,
		"tampering", AUTH_DEFAULT, TLS_STARTTLS};
	const struct open_case *cases[] = {&early, &late};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imap_fixture fixture;

		assert_int_equal(open_session(&fixture, cases[i], PEER_WHOLE), -1);
		imap_expect_error(&fixture.err, ERR_PROTO, SCOPE_MAILBOX, cases[i]->text);
		assert_int_equal(source_close(fixture.source, NULL), -1);
		imap_fixture_end(&fixture);
	}
}

static void certificate_must_fit(void **state)
{
	static const struct open_case starttls = {
		{PLAY(greets), C("%1 STARTTLS"), S("%1 OK"), TLS_FAILS, END}, ERR_TLS, "", AUTH_DEFAULT, TLS_STARTTLS};
	static const struct open_case implicit = {{TLS_FAILS, END}, ERR_TLS, "", AUTH_DEFAULT, TLS_IMPLICIT};
	static char other_host[] = "imap.other.example";
	const struct open_case *cases[] = {&starttls, &implicit};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imap_fixture fixture;
		char ca[8192];

		imap_fixture_init(&fixture);
		snprintf(ca, sizeof(ca), "%s", peer_ca_pem());
		fixture.mailbox.server.ca_pem = ca;
		fixture.mailbox.server.endpoint.tls = cases[i]->tls;
		fixture.mailbox.server.endpoint.host = other_host;
		imap_fixture_start(&fixture, cases[i]->script, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), -1);
		imap_expect_error(&fixture.err, ERR_TLS, SCOPE_MAILBOX, "");
		imap_fixture_end(&fixture);
	}
}

static void credentials_are_written_so_that_they_arrive(void **state)
{
	static const struct {
		const char *user, *password;
		struct step script[8];
	} cases[] = {
		{"anna", "\\\"x y", {C("%1 LOGIN \"anna\" \"\\\\\\\"x y\""), S("%1 OK [" IMAP_CAPS "]"), END}},
		{"anna", "", {C("%1 LOGIN \"anna\" \"\""), S("%1 OK [" IMAP_CAPS "]"), END}},
		{"anna", "p\xc3\xa4ss", {C("%1 LOGIN \"anna\" {5}"), QUIET, S("+ "), C("p\xc3\xa4ss"), S("%1 OK [" IMAP_CAPS "]"), END}},
		{"a\r\nb", "c", {C("%1 LOGIN {4}"), QUIET, S("+ go"), C("a"), C("b \"c\""), S("%1 OK [" IMAP_CAPS "]"), END}},
		{"\xc3\xa4", "\xc3\xb6", {C("%1 LOGIN {2}"), S("+ go"), C("\xc3\xa4 {2}"), S("+"), C("\xc3\xb6"), S("%1 OK [" IMAP_CAPS "]"), END}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct step script[] = {PLAY(greets), PLAY(cases[i].script), END};
		struct imap_fixture fixture;

		imap_fixture_init(&fixture);
		fixture.mailbox.server.user = (char *)cases[i].user;
		fixture.password = cases[i].password;
		imap_fixture_start(&fixture, script, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), 0);
		imap_fixture_end(&fixture);
	}
}

static void refused_literal_sends_no_password(void **state)
{
	static const struct step script[] = {PLAY(greets), C("%1 LOGIN \"anna\" {2}"), S("%1 NO no literals"), C("%9 LOGOUT"), S("%9 OK"), END};
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	fixture.password = "\xc3\xb6";
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	assert_int_equal(source_open(fixture.source, &fixture.err), -1);
	imap_expect_error(&fixture.err, ERR_AUTH, SCOPE_MAILBOX, "no literals");
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	imap_fixture_end(&fixture);
}

static void tags_differ_between_sessions(void **state)
{
	static const struct step script[] = {PLAY(imap_logged_in), END};
	char tags[2][32];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct imap_fixture fixture;
		const char *sent;

		imap_fixture_init(&fixture);
		imap_fixture_start(&fixture, script, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), 0);
		sent = strchr(str_text(&fixture.trace), '>');
		assert_non_null(sent);
		snprintf(tags[i], sizeof(tags[i]), "%.*s", (int)strcspn(sent, " "), sent);
		imap_fixture_end(&fixture);
	}
	assert_string_not_equal(tags[0], tags[1]);
}

/* Nothing is said where something is due. In each of them the session must end by itself. */
static void silence_ends_the_session(void **state)
{
	static const struct step scripts[][8] = {
		{SILENCE, END},
		{RAW("* O"), SILENCE, END},
		{S("* OK"), C("%1 CAPABILITY"), SILENCE, END},
		{PLAY(sends_login), SILENCE, END},
		{PLAY(sends_login), S("* OK working on it"), SILENCE, END},
		{PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), SILENCE, END},
		{PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), S("* LIST () NIL {5}"), SILENCE, END},
	};

	(void)state;
	deadline_set_factor(SECONDS_ARE_5_MS);
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct imap_fixture fixture;
		int rc;

		imap_fixture_init(&fixture);
		fixture.mailbox.server.timeout_s = 40;
		imap_fixture_start(&fixture, scripts[i], PEER_WHOLE);
		rc = source_open(fixture.source, &fixture.err);
		if (rc == 0)
			rc = source_select(fixture.source, "INBOX", true, &fixture.status, &fixture.err);
		assert_int_equal(rc, -1);
		imap_expect_error(&fixture.err, ERR_TEMP, SCOPE_MAILBOX, "");
		assert_int_equal(source_close(fixture.source, &fixture.err), -1);
		imap_fixture_end(&fixture);
	}
	deadline_set_factor(1);
}

/* --- SELECT --- */

struct select_case {
	struct step script[12];
	const char *folder;
	enum error_kind kind;
	enum error_scope scope;
	const char *text; /* of the error; else "uidvalidity uidnext exists read-only" */
	bool examine;
};

static const struct select_case selects[] = {
	{{C("%2 SELECT \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 10]"), S("%2 OK [READ-WRITE]"), END}, "INBOX",
		ERR_NONE, SCOPE_FOLDER, "7 10 3 0", false},
	{{C("%2 EXAMINE \"INBOX\""), S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("%2 OK [READ-ONLY]"), END}, "INBOX", ERR_NONE, SCOPE_FOLDER,
		"7 0 3 1", true},
	{{C("%2 SELECT \"INBOX\""), S("* 0 EXISTS"), S("* OK [UIDVALIDITY 0]"), S("* OK [UIDNEXT x]"), S("%2 OK [READ-ONLY] sorry"), END}, "INBOX",
		ERR_NONE, SCOPE_FOLDER, "0 0 0 1", false},
	{{C("%2 SELECT \"Entw&APw-rfe/\\\"a\\\\b\\\"\""), S("* 1 EXISTS"), S("* VANISHED 1:3"), S("* LIST () \"/\" ../../etc"),
		 S("* X-UNKNOWN (1 (2))"), S("%2 OK"), END},
		"Entw\u00fcrfe/\"a\\b\"", ERR_NONE, SCOPE_FOLDER, "0 0 1 0", false},
	{{C("%2 SELECT \"INBOX\""), S("* 99999999999999999999999 EXISTS"), S("* OK [UIDVALIDITY 4294967296]"), S("%2 OK"), END}, "INBOX", ERR_NONE,
		SCOPE_FOLDER, "4294967296 0 4294967295 0", false},
	{{C("%2 SELECT \"INBOX\""), S("* OK [UIDVALIDITY 7]"), S("%2 OK [READ-WRITE]"), END}, "INBOX", ERR_PROTO, SCOPE_FOLDER, "how many messages",
		false},
	{{C("%2 SELECT \"a\""), S("%2 NO [NONEXISTENT] unknown"), END}, "a", ERR_REFUSED, SCOPE_FOLDER, "server has no folder \"a\": unknown", false},
	{{C("%2 SELECT \"a\""), S("%2 NO [SERVERBUG] oops"), END}, "a", ERR_TEMP, SCOPE_FOLDER, "oops", false},
	{{C("%2 SELECT \"a\""), S("%2 BAD oops"), END}, "a", ERR_PROTO, SCOPE_FOLDER, "oops", false},
	{{C("%2 SELECT \"a\""), S("* BYE"), END}, "a", ERR_TEMP, SCOPE_MAILBOX, "goodbye", false},
	{{C("%2 SELECT \"a\""), CLOSE, END}, "a", ERR_TEMP, SCOPE_MAILBOX, CLOSED, false},
	{{C("%2 SELECT \"a\""), S("%1 OK again"), END}, "a", ERR_PROTO, SCOPE_MAILBOX, "was not sent", false},
};

static void selects_folders(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(selects); i++) {
		const struct step script[] = {PLAY(imap_logged_in), PLAY(selects[i].script), END};
		struct folder_status status = {.uidnext = 99};
		struct imap_fixture fixture;
		char got[100];
		int rc;

		imap_fixture_init(&fixture);
		imap_fixture_start(&fixture, script, i % 2 == 0 ? PEER_WHOLE : PEER_BY_BYTE);
		assert_int_equal(source_open(fixture.source, &fixture.err), 0);
		rc = source_select(fixture.source, selects[i].folder, !selects[i].examine, &status, &fixture.err);
		assert_int_equal(rc, selects[i].kind == ERR_NONE ? 0 : -1);
		snprintf(got, sizeof(got), "%" PRIu64 " %" PRIu64 " %" PRIu32 " %d", status.uidvalidity, status.uidnext, status.exists,
			status.read_only);
		if (rc == 0)
			assert_string_equal(got, selects[i].text);
		else
			imap_expect_error(&fixture.err, selects[i].kind, selects[i].scope, selects[i].text);
		if (rc < 0)
			assert_int_equal(status.uidnext, 99);
		imap_fixture_end(&fixture);
	}
}

static void another_folder_after_a_refused_one(void **state)
{
	static const struct step script[] = {
		PLAY(imap_logged_in), C("%2 SELECT \"a\""), S("%2 NO no"), C("%3 SELECT \"INBOX\""), S("* 1 EXISTS"), S("%3 OK"), END};
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	assert_int_equal(source_open(fixture.source, &fixture.err), 0);
	assert_int_equal(source_select(fixture.source, "a", true, &fixture.status, &fixture.err), -1);
	assert_int_equal(source_select(fixture.source, "INBOX", true, &fixture.status, &fixture.err), 0);
	imap_fixture_end(&fixture);
}

/* ID rides with SELECT, in one piece; what the server makes of it does not matter. */
static void introduces_itself(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev1 ID]"), C("%1 LOGIN *"), S("%1 OK [CAPABILITY IMAP4rev1 ID]"),
		C("%2 ID (\"name\" \"mailhaul\")"), C("%3 SELECT \"INBOX\""), S("* ID (\"name\" \"Dovecot\")"), S("%2 BAD what"), S("* 1 EXISTS"),
		S("%3 OK"), END};
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	imap_fixture_end(&fixture);
}

/* A server that speaks IMAP4rev2 alone gets folder names as UTF-8. */
static void folder_names_of_rev2(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev2]"), C("%1 LOGIN *"), S("%1 OK [CAPABILITY IMAP4rev2]"),
		C("%2 SELECT \"\u00e9&\""), S("* 1 EXISTS"), S("%2 OK"), END};
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	assert_int_equal(source_open(fixture.source, &fixture.err), 0);
	assert_int_equal(source_select(fixture.source, "\u00e9&", true, &fixture.status, &fixture.err), 0);
	imap_fixture_end(&fixture);
}

/* --- listing --- */

#define LIST_1 C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)")

struct list_case {
	struct step script[14];
	const char *expected; /* "uid size date " each; then "!" if contradictory; or the error */
	uint64_t above;
	enum error_kind kind;
	enum error_scope scope;
};

static const struct list_case lists[] = {
	{{LIST_1, S("%3 OK"), END}, "", 0, ERR_NONE, SCOPE_FOLDER},
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 100 INTERNALDATE \"01-Jan-1970 00:01:00 +0000\" FLAGS (\\Seen))"),
		 S("* 2 FETCH (FLAGS () RFC822.SIZE 0 UID 6 INTERNALDATE \"?\")"), S("%3 OK"), END},
		"5 100 60 6 0 0 ", 0, ERR_NONE, SCOPE_FOLDER},
	/* any order; news in between */
	{{LIST_1, S("* 2 FETCH (UID 9 RFC822.SIZE 1)"), S("* 4 EXISTS"), S("* 1 EXPUNGE"), S("* 1 FETCH (FLAGS (\\Seen))"),
		 S("* 1 FETCH (UID 5 RFC822.SIZE 2)"), S("* OK [UIDVALIDITY 8] no"), S("%3 OK"), END},
		"5 2 0 9 1 0 ", 0, ERR_NONE, SCOPE_FOLDER},
	/* above a mark; a server that thinks of "*" tells of the last message, which is below */
	{{C("%3 UID FETCH 560:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"), S("* 3 FETCH (UID 559 RFC822.SIZE 1)"), S("%3 OK"), END}, "", 559,
		ERR_NONE, SCOPE_FOLDER},
	{{END}, "", UINT32_MAX, ERR_NONE, SCOPE_FOLDER},
	/* nonsense is left out, and said to be */
	{{LIST_1, S("* 1 FETCH (UID 0 RFC822.SIZE 1)"), S("* 2 FETCH (UID 4294967296 RFC822.SIZE 1)"), S("* 3 FETCH (UID 7 RFC822.SIZE 1)"),
		 S("%3 OK"), END},
		"7 1 0 !", 0, ERR_NONE, SCOPE_FOLDER},
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), S("* 2 FETCH (UID 7 RFC822.SIZE 1)"), S("* 3 FETCH (UID 5 RFC822.SIZE 2)"), S("%3 OK"), END},
		"7 1 0 !", 0, ERR_NONE, SCOPE_FOLDER},
	{{LIST_1, S("* 1 FETCH (UID 5)"), S("* 2 FETCH (UID 4294967295 RFC822.SIZE 1)"), S("%3 OK"), END}, "4294967295 1 0 !", 0, ERR_NONE,
		SCOPE_FOLDER},
	/* incomplete is no listing at all */
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), S("%3 NO no"), END}, "refused to list the folder: no", 0, ERR_TEMP, SCOPE_FOLDER},
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), S("%3 BAD no"), END}, "refused to list the folder: no", 0, ERR_PROTO, SCOPE_FOLDER},
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), S("* BYE x"), END}, "goodbye", 0, ERR_TEMP, SCOPE_MAILBOX},
	{{LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), CLOSE, END}, CLOSED, 0, ERR_TEMP, SCOPE_MAILBOX},
	{{LIST_1, S("* 1 FETCH (UID x)"), END}, "UID", 0, ERR_PROTO, SCOPE_MAILBOX},
};

static int note(void *context, const struct listed *entry, struct error *err)
{
	char key[16];

	(void)err;
	assert_int_equal(entry->key_len, snprintf(key, sizeof(key), "%" PRIu32, entry->uid));
	assert_memory_equal(entry->key, key, entry->key_len);
	str_addf(context, "%" PRIu32 " %" PRIu64 " %" PRId64 " ", entry->uid, entry->size, entry->date);
	return 0;
}

static void lists_folders(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			const struct step script[] = {PLAY(imap_selected), PLAY(lists[i].script), END};
			struct imap_fixture fixture;
			bool contradictory = false;
			struct str got = {0};
			int rc;

			imap_fixture_init(&fixture);
			imap_fixture_start(&fixture, script, flags);
			imap_fixture_select(&fixture);
			rc = source_list(fixture.source, lists[i].above, note, &got, &contradictory, &fixture.err);
			assert_int_equal(rc, lists[i].kind == ERR_NONE ? 0 : -1);
			str_add_text(&got, contradictory ? "!" : "");
			if (rc == 0)
				assert_string_equal(str_text(&got), lists[i].expected);
			else
				imap_expect_error(&fixture.err, lists[i].kind, lists[i].scope, lists[i].expected);
			str_done(&got);
			imap_fixture_end(&fixture);
		}
	}
}

static void empty_folders_are_not_asked(void **state)
{
	static const struct step script[] = {PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), S("* 0 EXISTS"), S("%2 OK"), END};
	struct imap_fixture fixture;
	bool contradictory = true;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	assert_int_equal(source_list(fixture.source, 0, note, NULL, &contradictory, &fixture.err), 0);
	assert_false(contradictory);
	imap_fixture_end(&fixture);
}

/* Ranges of 50 000 UIDs; the last is open, as UIDNEXT is only a hint. */
static void large_folders_come_in_ranges(void **state)
{
	static const struct step script[] = {PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), S("* 60000 EXISTS"), S("* OK [UIDNEXT 100050]"),
		S("%2 OK"), C("%3 UID FETCH 11:50010 *"), QUIET, S("* 1 FETCH (UID 11 RFC822.SIZE 1)"), S("%3 OK"), C("%4 UID FETCH 50011:100010 *"),
		S("* 2 FETCH (UID 60000 RFC822.SIZE 1)"), S("* 1 FETCH (UID 11 RFC822.SIZE 1)"), S("%4 OK"), C("%5 UID FETCH 100011:4294967295 *"),
		S("* 3 FETCH (UID 100050 RFC822.SIZE 1)"), S("%5 OK"), END};
	struct imap_fixture fixture;
	struct str got = {0};
	bool contradictory;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_LISTS);
	imap_fixture_select(&fixture);
	assert_int_equal(source_list(fixture.source, 10, note, &got, &contradictory, &fixture.err), 0);
	assert_string_equal(str_text(&got), "11 1 0 60000 1 0 100050 1 0 ");
	assert_false(contradictory);
	str_done(&got);
	imap_fixture_end(&fixture);
}

static int refuse(void *context, const struct listed *entry, struct error *err)
{
	(void)context;
	(void)entry;
	return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "no more");
}

static void the_caller_may_end_a_listing(void **state)
{
	static const struct step script[] = {
		PLAY(imap_selected), LIST_1, S("* 1 FETCH (UID 5 RFC822.SIZE 1)"), S("%3 OK"), PLAY(imap_logged_out), END};
	struct imap_fixture fixture;
	bool contradictory;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	assert_int_equal(source_list(fixture.source, 0, refuse, NULL, &contradictory, &fixture.err), -1);
	imap_expect_error(&fixture.err, ERR_LOCAL, SCOPE_PROGRAM, "no more");
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	imap_fixture_end(&fixture);
}

/* 200 000 responses to one command and no more. */
static void endless_listings_end(void **state)
{
	static const char line[] = "* 1 FETCH (FLAGS ())\r\n";
	struct str lines = {0};
	struct imap_fixture fixture;
	bool contradictory;

	(void)state;
	for (unsigned i = 0; i < 200001; i++)
		str_add(&lines, line, sizeof(line) - 1);
	{
		const struct step script[] = {PLAY(imap_selected), LIST_1, POUR(lines.data, lines.len), END};

		imap_fixture_init(&fixture);
		imap_fixture_start(&fixture, script, PEER_WHOLE);
	}
	imap_fixture_select(&fixture);
	assert_int_equal(source_list(fixture.source, 0, note, NULL, &contradictory, &fixture.err), -1);
	imap_expect_error(&fixture.err, ERR_PROTO, SCOPE_MAILBOX, "more than 200000 responses");
	imap_fixture_end(&fixture);
	str_done(&lines);
}

/* --- LOGOUT --- */

static void says_goodbye_or_hears_why_not(void **state)
{
	static const struct {
		struct step script[5];
		int rc;
		const char *text;
	} cases[] = {
		{{PLAY(imap_logged_out), END}, 0, ""},
		{{C("%9 LOGOUT"), S("%9 OK"), END}, 0, ""},
		{{C("%9 LOGOUT"), S("%9 NO no"), END}, -1, "refused the logout: no"},
		{{C("%9 LOGOUT"), S("%9 BAD no"), END}, -1, "refused the logout: no"},
		{{C("%9 LOGOUT"), S("* BYE"), CLOSE, END}, -1, CLOSED},
		{{C("%9 LOGOUT"), CLOSE, END}, -1, CLOSED},
		{{C("%9 LOGOUT"), SILENCE, END}, -1, "did not answer"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct step script[] = {PLAY(imap_selected), PLAY(cases[i].script), END};
		struct imap_fixture fixture;

		imap_fixture_init(&fixture);
		imap_fixture_start(&fixture, script, PEER_WHOLE);
		imap_fixture_select(&fixture);
		deadline_set_factor(i == ARRAY_SIZE(cases) - 1 ? SECONDS_ARE_5_MS : 1);
		assert_int_equal(source_close(fixture.source, &fixture.err), cases[i].rc);
		deadline_set_factor(1);
		if (cases[i].rc < 0)
			assert_non_null(strstr(fixture.err.text, cases[i].text));
		assert_int_equal(source_close(fixture.source, &fixture.err), 0); /* there is nothing left to close */
		imap_fixture_end(&fixture);
	}
}

static int warm_up(void **state)
{
	(void)state;
	return tls_warm_up(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_or_says_why_not),
		cmocka_unit_test(injected_plaintext_is_fatal),
		cmocka_unit_test(certificate_must_fit),
		cmocka_unit_test(credentials_are_written_so_that_they_arrive),
		cmocka_unit_test(refused_literal_sends_no_password),
		cmocka_unit_test(tags_differ_between_sessions),
		cmocka_unit_test(silence_ends_the_session),
		cmocka_unit_test(selects_folders),
		cmocka_unit_test(another_folder_after_a_refused_one),
		cmocka_unit_test(introduces_itself),
		cmocka_unit_test(folder_names_of_rev2),
		cmocka_unit_test(lists_folders),
		cmocka_unit_test(empty_folders_are_not_asked),
		cmocka_unit_test(large_folders_come_in_ranges),
		cmocka_unit_test(the_caller_may_end_a_listing),
		cmocka_unit_test(endless_listings_end),
		cmocka_unit_test(says_goodbye_or_hears_why_not),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
