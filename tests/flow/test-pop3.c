/* test-pop3.c - a POP3 session from the greeting to the listing, and its end: what servers answer, refuse, garble, or never say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "net/tls.h"
#include "tests/lib/pop3-fixture.h"

#define SECONDS_ARE_3_MS 0.003
#define TIMEOUT_S 20 /* less than the default, to be quick */

static void expect_error(const struct error *err, enum error_kind kind, const char *text)
{
	if (strstr(err->text, text) == NULL || err->kind != kind || err->scope != SCOPE_MAILBOX)
		fail_msg("expected %s \"%s\", got %s/%s \"%s\"", error_kind_name(kind), text, error_kind_name(err->kind),
			error_scope_name(err->scope), err->text);
}

static const struct step greets[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("."), END};
static const struct step sends_user[] = {PLAY(greets), C("USER anna"), S("+OK"), C("PASS secret"), END};

static char flood[10 * 1024 * 1024];

struct login_case {
	struct step script[12];
	enum error_kind kind; /* ERR_NONE: the login succeeds */
	const char *text;
	enum auth_mode auth;
};

static const struct login_case logins[] = {
	/* the greeting */
	{{S("-ERR [SYS/TEMP] too busy"), END}, ERR_TEMP, "server turns us away: [SYS/TEMP] too busy", AUTH_DEFAULT},
	{{S("* OK IMAP4rev1"), END}, ERR_PROTO, "not POP3: * OK IMAP4rev1", AUTH_DEFAULT},
	{{S(""), END}, ERR_PROTO, "not POP3", AUTH_DEFAULT},
	{{S("+ hello"), END}, ERR_PROTO, "not POP3", AUTH_DEFAULT},
	{{RAW("+OK\n"), END}, ERR_PROTO, "LF alone", AUTH_DEFAULT},
	{{RAW("+OK\0\r\n"), END}, ERR_PROTO, "NUL", AUTH_DEFAULT},
	{{CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_DEFAULT},
	{{RAW("+OK re"), CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_DEFAULT},
	{{POUR(flood, sizeof(flood)), END}, ERR_PROTO, "more than 8192 bytes", AUTH_DEFAULT},
	/* CAPA */
	{{S("+OK"), C("CAPA"), S("* what"), END}, ERR_PROTO, "server answered CAPA", AUTH_DEFAULT},
	{{S("+OK"), C("CAPA"), S("+OK"), S("USER"), CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_DEFAULT},
	{{S("+OK"), C("CAPA"), S("+OK"), POUR(flood, sizeof(flood)), END}, ERR_PROTO, "more than 8192 bytes", AUTH_DEFAULT},
	{{S("+OK"), C("CAPA"), S("-ERR"), C("USER anna"), QUIET, S("+OK"), C("PASS secret"), S("+OK"), END}, ERR_NONE, "", AUTH_DEFAULT},
	/* USER and PASS: lock step unless the server says otherwise; the words are escaped; one attempt */
	{{PLAY(sends_user), S("+OK"), END}, ERR_NONE, "", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR"), END}, ERR_AUTH, "server refused the login", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR \x1b[31m%s%n \"no\""), END}, ERR_AUTH, "server refused the login: \\x1B[31m%s%n \\x22no\\x22", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR not with secret"), END}, ERR_AUTH, "server refused the login; its words are not shown", AUTH_DEFAULT},
	{{PLAY(sends_user), S("+ secret?"), END}, ERR_PROTO, "server did not finish the login; its words are not shown", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR [AUTH] bad"), END}, ERR_AUTH, "server refused the login: [AUTH] bad", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR [IN-USE] x"), END}, ERR_TEMP, "in use by another session: [IN-USE] x", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR [LOGIN-DELAY] x"), END}, ERR_TEMP, "raise poll_every", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR [SYS/TEMP] x"), END}, ERR_TEMP, "at the moment", AUTH_DEFAULT},
	{{PLAY(sends_user), S("-ERR [SYS/PERM] x"), END}, ERR_TEMP, "its operator", AUTH_DEFAULT},
	{{PLAY(sends_user), S("+ more"), END}, ERR_PROTO, "server answered PASS", AUTH_DEFAULT},
	{{PLAY(sends_user), CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_DEFAULT},
	{{PLAY(greets), C("USER anna"), S("-ERR no such mailbox"), END}, ERR_AUTH, "server refused the login: no such mailbox", AUTH_DEFAULT},
	{{PLAY(greets), C("USER anna"), CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_DEFAULT},
	{{S("+OK"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"), S("-ERR no"), END}, ERR_AUTH,
		"server refused the login: no", AUTH_DEFAULT},
	/* AUTH */
	{{PLAY(greets), C("AUTH PLAIN AGFubmEAc2VjcmV0"), S("+OK"), END}, ERR_NONE, "", AUTH_PLAIN},
	{{PLAY(greets), C("AUTH PLAIN AGFubmEAc2VjcmV0"), S("-ERR [IN-USE]"), END}, ERR_TEMP, "in use", AUTH_PLAIN},
	{{PLAY(greets), C("AUTH PLAIN AGFubmEAc2VjcmV0"), S("-ERR no"), END}, ERR_AUTH, "no", AUTH_PLAIN},
	{{PLAY(greets), C("AUTH PLAIN AGFubmEAc2VjcmV0"), S("+ "), END}, ERR_PROTO, "asks for more", AUTH_PLAIN},
	{{PLAY(greets), C("AUTH PLAIN AGFubmEAc2VjcmV0"), CLOSE, END}, ERR_TEMP, "closed the connection", AUTH_PLAIN},
	{{PLAY(greets), C("AUTH LOGIN"), S("+ VXNlcg=="), C("YW5uYQ=="), S("+ UGFzcw=="), C("c2VjcmV0"), S("+OK"), END}, ERR_NONE, "", AUTH_LOGIN},
	{{PLAY(greets), C("AUTH LOGIN"), S("+ !"), END}, ERR_PROTO, "not base64", AUTH_LOGIN},
	{{PLAY(greets), C("AUTH XOAUTH2"), QUIET, S("+"), C("dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlY3JldAEB"), S("+OK"), END}, ERR_NONE, "", AUTH_XOAUTH2},
	{{PLAY(greets), C("AUTH XOAUTH2"), S("+ "), C("dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlY3JldAEB"), S("+ eyJzdGF0dXMiOiI0MDEifQ=="), C(""),
		 S("-ERR no"), END},
		ERR_AUTH, "401", AUTH_XOAUTH2},
	{{PLAY(greets), C("AUTH OAUTHBEARER *"), S("+OK"), END}, ERR_NONE, "", AUTH_OAUTHBEARER},
	{{S("+OK"), C("CAPA"), S("+OK"), S("SASL PLAIN LOGIN"), S("."), END}, ERR_CONFIG, "XOAUTH2", AUTH_XOAUTH2},
};

static void logs_in(void **state)
{
	(void)state;
	memset(flood, 'x', sizeof(flood));
	for (size_t i = 0; i < ARRAY_SIZE(logins); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			const struct login_case *login = &logins[i];
			struct pop3_fixture fixture;

			pop3_fixture_init(&fixture);
			fixture.mailbox.server.auth = login->auth;
			pop3_fixture_start(&fixture, login->script, flags);
			assert_int_equal(source_open(fixture.source, &fixture.err), login->kind == ERR_NONE ? 0 : -1);
			if (login->kind != ERR_NONE)
				expect_error(&fixture.err, login->kind, login->text);
			pop3_fixture_end(&fixture);
		}
	}
}

/* RFC 5034 4: an initial response must not make the line longer than 255 octets, which is 174 of password behind anna. */
static void long_responses_go_apart(void **state)
{
	static const struct step beside[] = {PLAY(greets), C("AUTH PLAIN *"), S("+OK"), END};
	static const struct step apart[] = {PLAY(greets), C("AUTH PLAIN"), QUIET, S("+ "), C("AGFubmEA*"), S("+OK"), END};
	static const size_t lengths[] = {1, 174, 175, 4096};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct pop3_fixture fixture;
		char password[4097] = "";

		pop3_fixture_init(&fixture);
		memset(password, '#', lengths[i]);
		fixture.password = password;
		fixture.mailbox.server.auth = AUTH_PLAIN;
		pop3_fixture_start(&fixture, lengths[i] <= 174 ? beside : apart, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), 0);
		pop3_fixture_end(&fixture);
	}
}

static void line_breaks_never_reach_the_server(void **state)
{
	static const struct {
		const char *user, *password;
	} cases[] = {{"anna\r\nDELE 1", "secret"}, {"anna", "sec\nret"}, {"anna", "secret\r"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		fixture.mailbox.server.user = (char *)cases[i].user;
		fixture.password = cases[i].password;
		pop3_fixture_start(&fixture, greets, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), -1);
		expect_error(&fixture.err, ERR_CONFIG, "line break");
		pop3_fixture_end(&fixture);
	}
}

/* Every script ends where the client must say no more: not one byte of a credential without TLS. */
static void starttls_is_mandatory(void **state)
{
	static const struct step asks[] = {S("+OK ready"), C("CAPA"), S("-ERR"), C("STLS"), QUIET, END};
	static const struct step logs_in_slowly[] = {
		C("CAPA"),
		S("-ERR"),
		C("USER anna"),
		QUIET,
		S("+OK"),
		C("PASS secret"),
		S("+OK"),
		END,
	};
	static const struct {
		struct step script[12];
		const char *host;
		enum error_kind kind;
		const char *text;
	} cases[] = {
		{{PLAY(asks), S("+OK"), TLS, PLAY(logs_in_slowly), END}, PEER_HOST, ERR_NONE, ""},
		/* what was announced in the clear counts for nothing behind TLS */
		{{S("+OK"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("STLS"), S("+OK"), TLS, PLAY(logs_in_slowly), END}, PEER_HOST, ERR_NONE,
			""},
		{{PLAY(asks), S("-ERR"), END}, PEER_HOST, ERR_TLS, "server refused STLS"},
		{{PLAY(asks), S("+ go on"), END}, PEER_HOST, ERR_PROTO, "STLS"},
		{{PLAY(asks), S("OK"), END}, PEER_HOST, ERR_PROTO, "STLS"},
		{{PLAY(asks), CLOSE, END}, PEER_HOST, ERR_TEMP, "closed the connection"},
		{{PLAY(asks), S("+OK"), CLOSE, END}, PEER_HOST, ERR_TEMP, ""},
		{{PLAY(asks), S("+OK"), TLS_FAILS, END}, "other.example", ERR_TLS, "other.example"},
		/* sent before it was asked for */
		{{RAW("+OK\r\n+OK\r\n"), END}, PEER_HOST, ERR_PROTO, "before it was asked"},
		{{PLAY(asks), RAW("+OK\r\n+OK logged in\r\n"), END}, PEER_HOST, ERR_PROTO, "tampering"},
		{{S("+OK"), C("CAPA"), RAW("-ERR\r\n+OK begin\r\n"), END}, PEER_HOST, ERR_PROTO, "before it was asked"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pop3_fixture fixture;

		pop3_fixture_init(&fixture);
		fixture.mailbox.server.endpoint.tls = TLS_STARTTLS;
		fixture.mailbox.server.endpoint.host = (char *)cases[i].host;
		pop3_fixture_start(&fixture, cases[i].script, PEER_WHOLE);
		assert_int_equal(source_open(fixture.source, &fixture.err), cases[i].kind == ERR_NONE ? 0 : -1);
		if (cases[i].kind != ERR_NONE)
			expect_error(&fixture.err, cases[i].kind, cases[i].text);
		pop3_fixture_end(&fixture);
	}
}

static void implicit_tls_comes_first(void **state)
{
	static const struct step script[] = {TLS, PLAY(pop3_enters_quickly), C("QUIT"), S("+OK"), CLOSE, END};
	struct pop3_fixture fixture;

	(void)state;
	pop3_fixture_init(&fixture);
	fixture.mailbox.server.endpoint.tls = TLS_IMPLICIT;
	pop3_fixture_enter(&fixture, script, PEER_BY_BYTE);
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	pop3_fixture_end(&fixture);
}

/* Gmail announces PIPELINING only behind the login. */
static void capabilities_are_asked_for_again(void **state)
{
	static const struct step script[] = {
		PLAY(greets),
		C("USER anna"),
		QUIET,
		S("+OK"),
		C("PASS secret"),
		S("+OK"),
		C("CAPA"),
		QUIET,
		S("+OK"),
		S("TOP"),
		S("PIPELINING"),
		S("."),
		C("STAT"),
		S("+OK 3 999"),
		C("RETR 1"),
		C("RETR 2"),
		END,
	};
	struct pop3_fixture fixture;

	(void)state;
	pop3_fixture_init(&fixture);
	pop3_fixture_enter(&fixture, script, PEER_WHOLE);
	pop3_fixture_request(&fixture, 1, 2);
	pop3_fixture_end(&fixture);
}

static int collect(void *context, const struct listed *entry, struct error *err)
{
	struct str *out = context;

	(void)err;
	str_addf(out, "%u=", (unsigned)entry->uid);
	str_add_escaped(out, entry->key != NULL ? entry->key : "none", entry->key != NULL ? entry->key_len : 4, 100);
	str_addf(out, "(%llu) ", (unsigned long long)entry->size);
	return 0;
}

/* Everything after STAT; what a server that pipelines sees, and one that does not. Details are in test-pop3-reply. */
static void lists(void **state)
{
	static const char long_uidl[] = {[0 ... 8190] = 'u', '\0'};
	static const struct {
		struct step script[20];
		const char *result; /* NULL: the listing fails */
		bool contradictory;
		enum error_kind kind;
		const char *text;
	} cases[] = {
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("1 10"), S("2 20"), S("3 30"), S("."), S("+OK"), S("1 a"), S("2 ../b"),
			 S("3 c d"), S("."), END},
			"1=a(10) 2=../b(20) 3=c d(30) ", false, ERR_NONE, ""},
		{{PLAY(pop3_enters_slowly), C("LIST"), QUIET, S("+OK 3 messages"), S("1 10"), S("2 20"), S("3 30"), S("."), C("UIDL"), S("+OK"),
			 S("1 a"), S("2 ..b"), S("3 .c"), S("."), END},
			"1=a(10) 2=..b(20) 3=.c(30) ", false, ERR_NONE, ""},
		/* a stuffed line is none that makes sense, but ends nothing either */
		{{PLAY(pop3_enters_slowly), C("LIST"), S("+OK"), S("..1 10"), S("2 20"), S("3 30"), S("."), C("UIDL"), S("-ERR what?"), END},
			"2=none(20) 3=none(30) ", true, ERR_NONE, ""},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("1 10"), S("2 20"), S("3 30"), S("."), S("-ERR what?"), END},
			"1=none(10) 2=none(20) 3=none(30) ", false, ERR_NONE, ""},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("1 10"), S("2 20"), S("3 30"), S("."), S("+OK"), S("."), END}, "",
			true, ERR_NONE, ""},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("-ERR [SYS/TEMP] later"), END}, NULL, false, ERR_TEMP,
			"refused to list the mailbox"},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("1 10"), CLOSE, END}, NULL, false, ERR_TEMP, "closed the connection"},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("1 10"), S("."), S("+OK"), S("1 a"), CLOSE, END}, NULL, false,
			ERR_TEMP, "closed the connection"},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), RAW("1 10\n"), END}, NULL, false, ERR_PROTO, "LF alone"},
		{{PLAY(pop3_enters_quickly), C("LIST"), C("UIDL"), S("+OK"), S("."), S("+OK"), RAW("1 "), BYTES(long_uidl, sizeof(long_uidl) - 1),
			 POUR("\r\n", 2), END},
			NULL, false, ERR_PROTO, "more than 8192 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			struct pop3_fixture fixture;
			bool contradictory = false;
			struct str out = {0};

			pop3_fixture_init(&fixture);
			pop3_fixture_enter(&fixture, cases[i].script, flags);
			assert_int_equal(
				source_list(fixture.source, 0, collect, &out, &contradictory, &fixture.err), cases[i].result != NULL ? 0 : -1);
			if (cases[i].result == NULL)
				expect_error(&fixture.err, cases[i].kind, cases[i].text);
			assert_string_equal(str_text(&out), cases[i].result != NULL ? cases[i].result : "");
			assert_int_equal(contradictory, cases[i].contradictory);
			str_done(&out);
			pop3_fixture_end(&fixture);
		}
	}
}

/* RFC 1939 says +OK to LIST in an empty mailbox, some servers do not. */
static void an_empty_mailbox_lists_nothing(void **state)
{
	static const struct step enters[] = {PLAY(greets), C("USER anna"), S("+OK"), C("PASS secret"), S("+OK"), C("CAPA"), S("-ERR"), END};
	static const struct step script[] = {PLAY(enters), C("STAT"), S("+OK 0 0"), C("LIST"), S("-ERR empty"), C("UIDL"), S("-ERR empty"), END};
	struct folder_status status;
	struct pop3_fixture fixture;
	bool contradictory = false;

	(void)state;
	pop3_fixture_init(&fixture);
	pop3_fixture_start(&fixture, script, PEER_WHOLE);
	assert_int_equal(source_open(fixture.source, &fixture.err), 0);
	assert_int_equal(source_select(fixture.source, NULL, true, &status, &fixture.err), 0);
	assert_int_equal(status.exists, 0);
	assert_int_equal(source_list(fixture.source, 0, collect, NULL, &contradictory, &fixture.err), 0);
	assert_false(contradictory);
	pop3_fixture_end(&fixture);
}

/* -- Every command against everything that is no answer. -- */

enum stage { OPENS, SELECTS, LISTS, FETCHES, DELETES, CLOSES };

/* One stage of a session. */
static int do_stage(struct pop3_fixture *fixture, enum stage stage)
{
	struct error *err = &fixture->err;
	struct folder_status status;
	struct str out = {0};
	struct haul *haul;
	bool contradictory;
	int done = -1;

	switch (stage) {
	case OPENS:
		return source_open(fixture->source, err);
	case SELECTS:
		return source_select(fixture->source, NULL, true, &status, err);
	case LISTS:
		done = source_list(fixture->source, 0, collect, &out, &contradictory, err);
		str_done(&out);
		return done;
	case FETCHES:
		pop3_fixture_request(fixture, 1, 1);
		haul = pop3_fixture_next(fixture);
		haul_free(haul);
		return haul != NULL ? 0 : -1;
	case DELETES:
		return source_dispose(fixture->source, 101, 1, DISPOSE_DELETE, NULL, err) < 0 ? -1 : source_settle(fixture->source, err);
	case CLOSES:
		return source_close(fixture->source, err);
	}
	return done;
}

static const struct step enters[] = {PLAY(sends_user), S("+OK"), C("CAPA"), S("-ERR"), C("STAT"), S("+OK 1 9"), END};
static const struct step listed[] = {PLAY(enters), C("LIST"), S("+OK"), S("1 9"), S("."), C("UIDL"), S("-ERR"), END};
static const struct step fetched[] = {PLAY(listed), C("RETR 1"), S("+OK"), S("a"), S("."), END};
static const struct step deleted[] = {PLAY(fetched), C("DELE 1"), S("+OK"), END};

static const struct {
	struct step asks[4]; /* up to the command in question */
	enum stage stage;
	enum tls_mode tls;
} questions[] = {
	{{END}, OPENS, TLS_NONE},
	{{S("+OK"), C("CAPA"), END}, OPENS, TLS_NONE},
	{{PLAY(greets), C("USER anna"), END}, OPENS, TLS_NONE},
	{{PLAY(sends_user), END}, OPENS, TLS_NONE},
	{{PLAY(greets), C("STLS"), END}, OPENS, TLS_STARTTLS},
	{{PLAY(sends_user), S("+OK"), C("CAPA"), END}, SELECTS, TLS_NONE},
	{{PLAY(enters), C("LIST"), END}, LISTS, TLS_NONE},
	{{PLAY(listed), C("RETR 1"), END}, FETCHES, TLS_NONE},
	{{PLAY(fetched), C("DELE 1"), END}, DELETES, TLS_NONE},
	{{PLAY(deleted), C("QUIT"), END}, CLOSES, TLS_NONE},
};

static const struct {
	struct step says[3];
	enum error_kind kind;
} answers[] = {
	{{CLOSE, END}, ERR_TEMP},
	{{RAW("+O"), CLOSE, END}, ERR_TEMP},
	{{SILENCE, END}, ERR_TEMP},
	{{RAW("+"), SILENCE, END}, ERR_TEMP},
	{{S("* 1 FETCH"), END}, ERR_PROTO},
	{{S("+ go on"), END}, ERR_PROTO},
	{{S(""), END}, ERR_PROTO},
	{{RAW("+OK\n"), END}, ERR_PROTO},
	{{RAW("+OK \0\r\n"), END}, ERR_PROTO},
};

static void no_answer_is_taken_for_one(void **state)
{
	(void)state;
	for (size_t q = 0; q < ARRAY_SIZE(questions); q++) {
		for (size_t a = 0; a < ARRAY_SIZE(answers); a++) {
			const struct step script[] = {PLAY(questions[q].asks), PLAY(answers[a].says), END};
			struct pop3_fixture fixture;
			uint64_t id;

			pop3_fixture_init(&fixture);
			fixture.mailbox.server.endpoint.tls = questions[q].tls;
			fixture.mailbox.server.timeout_s = TIMEOUT_S;
			pop3_fixture_start(&fixture, script, PEER_WHOLE);
			for (enum stage stage = OPENS; stage < questions[q].stage; stage++)
				assert_int_equal(do_stage(&fixture, stage), 0);
			if (answers[a].kind == ERR_TEMP)
				deadline_set_factor(SECONDS_ARE_3_MS);
			assert_int_equal(do_stage(&fixture, questions[q].stage), -1);
			deadline_set_factor(1.0);
			expect_error(&fixture.err, answers[a].kind, "");
			(void)source_close(fixture.source, &fixture.err);
			assert_int_equal(source_disposed(fixture.source, &id), 0);
			pop3_fixture_end(&fixture);
		}
	}
}

/* A handshake that never ends is cut off too. */
static void a_silent_handshake_ends(void **state)
{
	static const struct step script[] = {S("+OK"), C("CAPA"), S("-ERR"), C("STLS"), S("+OK"), DRAIN, END};
	struct pop3_fixture fixture;

	(void)state;
	pop3_fixture_init(&fixture);
	fixture.mailbox.server.endpoint.tls = TLS_STARTTLS;
	pop3_fixture_start(&fixture, script, PEER_WHOLE);
	deadline_set_factor(SECONDS_ARE_3_MS);
	assert_int_equal(source_open(fixture.source, &fixture.err), -1);
	deadline_set_factor(1.0);
	pop3_fixture_end(&fixture);
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
		cmocka_unit_test(logs_in),
		cmocka_unit_test(long_responses_go_apart),
		cmocka_unit_test(line_breaks_never_reach_the_server),
		cmocka_unit_test(starttls_is_mandatory),
		cmocka_unit_test(implicit_tls_comes_first),
		cmocka_unit_test(capabilities_are_asked_for_again),
		cmocka_unit_test(lists),
		cmocka_unit_test(an_empty_mailbox_lists_nothing),
		cmocka_unit_test(no_answer_is_taken_for_one),
		cmocka_unit_test(a_silent_handshake_ends),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
