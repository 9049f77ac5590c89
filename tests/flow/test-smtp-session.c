/* test-smtp-session.c - what comes before the first message: TLS in both ways, what a server may try around STARTTLS, and every turn of AUTH. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/secret.h"
#include "base/str.h"
#include "dest/dest.h"
#include "net/tls.h"
#include "tests/lib/peer.h"

#define PLAIN_ANNA "AGFubmEAc2VjcmV0" /* NUL anna NUL secret */

struct session_case {
	const struct step *script;
	enum tls_mode tls;
	enum auth_mode auth;
	bool user;
	const char *host, *password;
	enum error_kind kind; /* ERR_NONE: open succeeds */
	const char *text;
};

/* Opens and closes one session. With by_byte each byte of the server comes alone (not through TLS, which has records). */
static void try_session(const struct session_case *item, unsigned flags)
{
	static char name[] = "relay", user[] = "anna";
	struct dest_config config = {.name = name, .kind = DEST_SMTP};
	char *ca_pem = strdup(peer_ca_pem()), *host = strdup(item->host != NULL ? item->host : "localhost");
	const char *password = item->password != NULL ? item->password : "secret";
	struct peer *peer = peer_start(item->script, flags);
	struct error err = {0};
	struct dest *dest;

	config.server = (struct server){.endpoint = {.host = host, .port = 587, .tls = item->tls}, .auth = item->auth, .ca_pem = ca_pem};
	config.server.user = item->user ? user : NULL;
	dest = dest_new(&(struct dest_context){.wire_fd = peer->fd,
		.config = &config,
		.secret = item->user ? secret_new(password, strlen(password)) : NULL,
		.host = "me.example",
		.tmp_fd = -1,
		.new_fd = -1,
		.cur_fd = -1});
	assert_int_equal(dest_open(dest, &err), item->kind == ERR_NONE ? 0 : -1);
	assert_int_equal(err.kind, item->kind);
	if (item->kind != ERR_NONE) {
		assert_int_equal(err.scope, SCOPE_DESTINATION);
		if (strstr(err.text, item->text) == NULL)
			fail_msg("got: %s", err.text);
		assert_int_equal(strncmp(err.text, "destination relay", 17), 0);
		assert_null(strstr(err.text, "secret"));
		assert_null(dest->wire);
	}
	dest_close(dest, &err);
	dest_free(dest);
	peer_finish(peer);
	free(ca_pem);
	free(host);
}

static void try_sessions(const struct session_case *cases, size_t count, bool also_by_byte)
{
	for (size_t i = 0; i < count; i++) {
		try_session(&cases[i], PEER_WHOLE);
		if (also_by_byte)
			try_session(&cases[i], PEER_BY_BYTE);
	}
}

static const struct step greet[] = {S("220 mx"), C("EHLO me.example"), END};
static const struct step offer[] = {PLAY(greet), S("250-mx"), S("250-STARTTLS"), S("250 AUTH PLAIN LOGIN XOAUTH2"), END};
static const struct step quit[] = {C("QUIT"), S("221 bye"), END};

static void protects_the_session(void **state)
{
	static const struct step implicit[] = {TLS, PLAY(greet), S("250 mx"), PLAY(quit), END};
	static const struct step starttls[] = {
		PLAY(offer), C("STARTTLS"), QUIET, S("220 go"), TLS, C("EHLO me.example"), S("250 mx"), PLAY(quit), END};
	static const struct step not_offered[] = {
		PLAY(greet), S("250 mx"), C("STARTTLS"), S("220 go"), TLS, C("EHLO me.example"), S("250 mx"), PLAY(quit), END};
	static const struct step wrong_name[] = {TLS_FAILS, CLOSE, END};
	static const struct session_case cases[] = {
		{.script = implicit, .tls = TLS_IMPLICIT},
		{.script = starttls, .tls = TLS_STARTTLS},
		{.script = not_offered, .tls = TLS_STARTTLS},
		{.script = wrong_name, .tls = TLS_IMPLICIT, .host = "other.example", .kind = ERR_TLS, .text = "other.example"},
	};

	(void)state;
	try_sessions(cases, sizeof(cases) / sizeof(cases[0]), false);
}

static void gives_up_without_tls(void **state)
{
	static const struct step missing[] = {PLAY(greet), S("250 mx"), C("STARTTLS"), S("502 what?"), SILENCE, END};
	static const struct step refused[] = {PLAY(offer), C("STARTTLS"), S("554 no"), SILENCE, END};
	static const struct step later[] = {PLAY(offer), C("STARTTLS"), S("454 later"), SILENCE, END};
	static const struct step garbage[] = {PLAY(offer), C("STARTTLS"), S("go"), SILENCE, END};
	static const struct step gone[] = {PLAY(offer), C("STARTTLS"), CLOSE, END};
	static const struct step helo_only[] = {PLAY(greet), S("500 what?"), SILENCE, END};
	static const struct session_case cases[] = {
		{.script = missing, .tls = TLS_STARTTLS, .user = true, .kind = ERR_TLS, .text = "does not offer STARTTLS: 502 what?"},
		{.script = refused, .tls = TLS_STARTTLS, .user = true, .kind = ERR_TLS, .text = "refused STARTTLS: 554 no"},
		{.script = later, .tls = TLS_STARTTLS, .user = true, .kind = ERR_TEMP, .text = "454 later"},
		{.script = garbage, .tls = TLS_STARTTLS, .user = true, .kind = ERR_PROTO, .text = "\"go\""},
		{.script = gone, .tls = TLS_STARTTLS, .user = true, .kind = ERR_TEMP, .text = "closed the connection"},
		{.script = helo_only, .tls = TLS_STARTTLS, .user = true, .kind = ERR_TEMP, .text = "500 what?"},
	};

	(void)state;
	try_sessions(cases, sizeof(cases) / sizeof(cases[0]), true);
}

/* Bytes from before the handshake, sent by whoever sits on the line. */
static void believes_nothing_from_before_the_handshake(void **state)
{
	static const struct step behind_220[] = {PLAY(offer), C("STARTTLS"), RAW("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"), SILENCE, END};
	static const struct step before_220[] = {PLAY(greet), RAW("250-mx\r\n250 STARTTLS\r\n220 go\r\n"), SILENCE, END};
	static const struct session_case cases[] = {
		{.script = behind_220, .tls = TLS_STARTTLS, .user = true, .kind = ERR_PROTO, .text = "tampering"},
		{.script = before_220, .tls = TLS_STARTTLS, .user = true, .kind = ERR_PROTO, .text = "tampering"},
	};

	(void)state;
	try_sessions(cases, sizeof(cases) / sizeof(cases[0]), false);
}

static void logs_in(void **state)
{
	static const struct step plain[] = {PLAY(offer), C("AUTH PLAIN " PLAIN_ANNA), S("235 in"), PLAY(quit), END};
	static const struct step only_login[] = {PLAY(greet), S("250-mx"), S("250 AUTH LOGIN"), C("AUTH LOGIN"), S("334 VXNlcm5hbWU6"), C("YW5uYQ=="),
		S("334 UGFzc3dvcmQ6"), C("c2VjcmV0"), S("235"), PLAY(quit), END};
	static const struct step old_spelling[] = {
		PLAY(greet), S("250-mx"), S("250 AUTH=PLAIN"), C("AUTH PLAIN " PLAIN_ANNA), S("235 in"), PLAY(quit), END};
	static const struct step token[] = {PLAY(offer), C("AUTH XOAUTH2 dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlY3JldAEB"), S("235 in"), PLAY(quit), END};
	static const struct step tls[] = {PLAY(greet), S("250 STARTTLS"), C("STARTTLS"), S("220 go"), TLS, C("EHLO me.example"), S("250-mx"),
		S("250 AUTH PLAIN"), C("AUTH PLAIN " PLAIN_ANNA), S("235 in"), PLAY(quit), END};
	static const struct session_case cases[] = {
		{.script = plain, .tls = TLS_NONE, .user = true},
		{.script = only_login, .tls = TLS_NONE, .user = true},
		{.script = old_spelling, .tls = TLS_NONE, .user = true},
		{.script = only_login, .tls = TLS_NONE, .user = true, .auth = AUTH_LOGIN},
		{.script = token, .tls = TLS_NONE, .user = true, .auth = AUTH_XOAUTH2},
		{.script = plain, .tls = TLS_NONE, .user = true, .host = "127.0.0.1"},
		{.script = plain, .tls = TLS_NONE, .user = true, .host = "::1"},
		{.script = tls, .tls = TLS_STARTTLS, .user = true, .host = PEER_HOST},
	};

	(void)state;
	try_sessions(cases, sizeof(cases) / sizeof(cases[0]), false);
}

/* RFC 5321 4.5.3.1.4: what does not fit on a line of 512 bytes goes on a line of its own. */
static void long_tokens_take_two_lines(void **state)
{
	char password[381], message[400], line[BASE64_LENGTH(sizeof(message)) + 1];
	struct session_case item = {.tls = TLS_NONE, .user = true, .password = password};

	(void)state;
	for (size_t len = 360; len < sizeof(password); len++) { /* around the limit, on both sides */
		size_t message_len = len + 6;
		struct str one_line = {0};
		bool fits;

		memset(password, 'x', len);
		password[len] = '\0';
		memcpy(message, "\0anna\0", 6);
		memcpy(message + 6, password, len);
		base64_encode(line, message, message_len);
		str_addf(&one_line, "AUTH PLAIN %s\r\n", line);
		fits = one_line.len <= 512;
		const struct step one[] = {PLAY(offer), {STEP_EXPECT_BYTES, one_line.data, one_line.len, NULL}, S("235 in"), PLAY(quit), END};
		const struct step two[] = {
			PLAY(offer), C("AUTH PLAIN"), QUIET, S("334"), {STEP_EXPECT_LINE, line, strlen(line), NULL}, S("235 in"), PLAY(quit), END};

		item.script = fits ? one : two;
		try_session(&item, PEER_WHOLE);
		str_done(&one_line);
		if (len == 360)
			assert_true(fits);
		if (len == sizeof(password) - 1)
			assert_false(fits);
	}
}

static void survives_refused_logins(void **state)
{
	static const struct step refused[] = {PLAY(offer), C("AUTH PLAIN *"), S("535 5.7.8 wrong"), SILENCE, END};
	static const struct step repeats[] = {PLAY(offer), C("AUTH PLAIN *"), S("535-5.7.8 wrong"), S("535 " PLAIN_ANNA), SILENCE, END};
	static const struct step disabled[] = {PLAY(offer), C("AUTH PLAIN *"), S("502 not here"), SILENCE, END};
	static const struct step later[] = {PLAY(offer), C("AUTH PLAIN *"), S("454 4.7.0 later"), SILENCE, END};
	static const struct step gone[] = {PLAY(offer), C("AUTH PLAIN *"), CLOSE, END};
	static const struct step nonsense[] = {PLAY(offer), C("AUTH PLAIN *"), S("maybe"), SILENCE, END};
	static const struct step expired[] = {
		PLAY(offer), C("AUTH XOAUTH2 *"), S("334 eyJzdGF0dXMiOiI0MDEifQ=="), C(""), S("535 5.7.8 no"), SILENCE, END};
	static const struct step bare[] = {PLAY(offer), C("AUTH PLAIN *"), S("334"), C("*"), S("501 canceled"), SILENCE, END};
	static const struct step bad_base64[] = {PLAY(offer), C("AUTH LOGIN"), S("334 !!!"), C("*"), S("501 canceled"), SILENCE, END};
	static const struct step endless[] = {
		PLAY(offer), C("AUTH LOGIN"), S("334 "), C("YW5uYQ=="), S("334 "), C("c2VjcmV0"), S("334 "), C("*"), S("334 "), SILENCE, END};
	static const struct step none[] = {PLAY(greet), S("250 mx"), SILENCE, END};
	static const struct step unknown[] = {PLAY(greet), S("250-mx"), S("250 AUTH CRAM-MD5"), SILENCE, END};
	static const struct step no_token[] = {PLAY(greet), S("250-mx"), S("250 AUTH PLAIN"), SILENCE, END};
	static const struct session_case cases[] = {
		{.script = refused, .tls = TLS_NONE, .user = true, .kind = ERR_AUTH, .text = "535 5.7.8 wrong"},
		{.script = repeats, .tls = TLS_NONE, .user = true, .kind = ERR_AUTH, .text = "refused the login; its words are not shown"},
		{.script = disabled, .tls = TLS_NONE, .user = true, .kind = ERR_AUTH, .text = "502 not here"},
		{.script = later, .tls = TLS_NONE, .user = true, .kind = ERR_TEMP, .text = "454 4.7.0 later"},
		{.script = gone, .tls = TLS_NONE, .user = true, .kind = ERR_TEMP, .text = "closed the connection"},
		{.script = nonsense, .tls = TLS_NONE, .user = true, .kind = ERR_PROTO, .text = "\"maybe\""},
		{.script = expired, .tls = TLS_NONE, .user = true, .auth = AUTH_XOAUTH2, .kind = ERR_AUTH, .text = "401"},
		{.script = bare, .tls = TLS_NONE, .user = true, .kind = ERR_PROTO, .text = "PLAIN"},
		{.script = bad_base64, .tls = TLS_NONE, .user = true, .auth = AUTH_LOGIN, .kind = ERR_PROTO, .text = "base64"},
		{.script = endless, .tls = TLS_NONE, .user = true, .auth = AUTH_LOGIN, .kind = ERR_PROTO, .text = "LOGIN"},
		{.script = none, .tls = TLS_NONE, .user = true, .kind = ERR_CONFIG, .text = "offers no login"},
		{.script = unknown, .tls = TLS_NONE, .user = true, .kind = ERR_CONFIG, .text = "offers no login"},
		{.script = no_token, .tls = TLS_NONE, .user = true, .auth = AUTH_XOAUTH2, .kind = ERR_CONFIG, .text = "XOAUTH2"},
	};

	(void)state;
	try_sessions(cases, sizeof(cases) / sizeof(cases[0]), true);
}

static void sends_no_password_in_the_clear(void **state)
{
	static const struct step script[] = {PLAY(offer), SILENCE, END};
	static const char *const hosts[] = {"mx.example", "128.0.0.1", "::2", "localhost.example", "127.example"};

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		try_session(
			&(struct session_case){
				.script = script, .tls = TLS_NONE, .user = true, .host = hosts[i], .kind = ERR_CONFIG, .text = "without TLS"},
			PEER_WHOLE);
}

static int warm_up(void **state)
{
	struct error err;

	(void)state;
	return tls_warm_up(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protects_the_session),
		cmocka_unit_test(gives_up_without_tls),
		cmocka_unit_test(believes_nothing_from_before_the_handshake),
		cmocka_unit_test(logs_in),
		cmocka_unit_test(long_tokens_take_two_lines),
		cmocka_unit_test(survives_refused_logins),
		cmocka_unit_test(sends_no_password_in_the_clear),
	};

	return cmocka_run_group_tests_name("smtp-session", tests, warm_up, NULL);
}
