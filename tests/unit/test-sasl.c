#include "auth/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/bearer.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"

#define TOKEN "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="

static unsigned offer_of(const char *names)
{
	unsigned offered = 0;

	sasl_offer_list(&offered, names, strlen(names));
	return offered;
}

static void chooses_what_both_want(void **state)
{
	static const struct {
		enum auth_mode wanted;
		const char *offered;
		int result;
		enum auth_mode mode;
		const char *error; /* a part of it */
	} cases[] = {
		{AUTH_DEFAULT, "", 0, AUTH_DEFAULT, NULL},
		{AUTH_DEFAULT, "PLAIN", 0, AUTH_PLAIN, NULL},
		{AUTH_DEFAULT, "LOGIN plain XOAUTH2", 0, AUTH_PLAIN, NULL},
		{AUTH_DEFAULT, "LOGIN", 0, AUTH_LOGIN, NULL},
		{AUTH_DEFAULT, "  CRAM-MD5  LOGIN ", 0, AUTH_LOGIN, NULL},
		{AUTH_DEFAULT, "CRAM-MD5 GSSAPI", 0, AUTH_DEFAULT, NULL},
		{AUTH_DEFAULT, "PLAIN-CLIENTTOKEN PLAI", 0, AUTH_DEFAULT, NULL},
		{AUTH_DEFAULT, "XOAUTH2 OAUTHBEARER", -1, 0, "takes no passwords, only OAuth2 tokens"},
		{AUTH_DEFAULT, "OAUTHBEARER GSSAPI", -1, 0, "auth: xoauth2"},
		{AUTH_LOGIN, "PLAIN LOGIN", 0, AUTH_LOGIN, NULL},
		{AUTH_XOAUTH2, "PLAIN XOAUTH2", 0, AUTH_XOAUTH2, NULL},
		{AUTH_OAUTHBEARER, "", 0, AUTH_OAUTHBEARER, NULL},
		{AUTH_OAUTHBEARER, "XOAUTH2 PLAIN", -1, 0, "OAUTHBEARER that \"auth\" names; of those we know it offers: PLAIN, XOAUTH2"},
		{AUTH_PLAIN, "GSSAPI", -1, 0, "it offers: none"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum auth_mode mode = (enum auth_mode)77;
		struct error err = {0};

		assert_int_equal(sasl_choose(cases[i].wanted, offer_of(cases[i].offered), &mode, &err), cases[i].result);
		if (cases[i].result == 0) {
			assert_int_equal(mode, cases[i].mode);
		} else {
			assert_int_equal(mode, 77);
			assert_int_equal(err.kind, ERR_CONFIG);
			assert_non_null(strstr(err.text, cases[i].error));
		}
	}
	assert_string_equal(sasl_name(AUTH_OAUTHBEARER), "OAUTHBEARER");
	assert_string_equal(sasl_name(AUTH_DEFAULT), "");
}

/* One login: what the server asks, and the bytes we answer with before base64. */
struct exchange {
	const char *challenge; /* before base64 */
	const char *answer;    /* NULL: an error */
	size_t answer_len;
};

static void assert_answer(struct secret *secret, const char *answer, size_t len)
{
	char *plain = xmalloc(secret_length(secret) + 1);
	size_t plain_len;

	assert_true(base64_decode(plain, &plain_len, secret_bytes(secret), secret_length(secret)));
	assert_int_equal(plain_len, len);
	assert_memory_equal(plain, answer, len);
	free(plain);
	secret_free(secret);
}

static int answer(struct sasl *sasl, const char *challenge, struct secret **ret_secret, struct error *err)
{
	char text[512];
	size_t len = base64_encode(text, challenge, strlen(challenge));

	return sasl_step(sasl, text, len, ret_secret, err);
}

#define A(literal) literal, sizeof(literal) - 1
static const struct {
	enum auth_mode mode;
	const char *secret;
	const char *initial; /* NULL: has none */
	size_t initial_len;
	struct exchange steps[4];
} logins[] = {
	{AUTH_PLAIN, "tanstaaftanstaaf", A("\0anna,=@home\0tanstaaftanstaaf"), {{"", NULL, 0}}},
	{AUTH_PLAIN, "", A("\0anna,=@home\0"), {{"more?", NULL, 0}}},
	{AUTH_LOGIN, "pass w\303\266rd^\"%", NULL, 0,
		{{"Username:", A("anna,=@home")}, {"Password:", A("pass w\303\266rd^\"%")}, {"Again:", NULL, 0}}},
	{AUTH_XOAUTH2, TOKEN, A("user=anna,=@home\001auth=Bearer " TOKEN "\001\001"), {{"{\"status\":\"401\"}", A("")}, {"", NULL, 0}}},
	{AUTH_OAUTHBEARER, TOKEN, A("n,a=anna=2C=3D@home,\001host=imap.example.com\001port=143\001auth=Bearer " TOKEN "\001\001"),
		{{"{\"status\":\"invalid_token\"}", A("\001")}, {"{}", NULL, 0}}},
};

static void follow(struct sasl *sasl, const struct exchange *steps)
{
	bool over = false;

	for (size_t i = 0; !over; i++) {
		struct secret *response = NULL;
		struct error err = {0};
		int result = answer(sasl, steps[i].challenge, &response, &err);

		over = steps[i].answer == NULL;
		assert_int_equal(result, over ? -1 : 0);
		if (over) {
			assert_int_equal(err.kind, ERR_PROTO);
			assert_non_null(strstr(err.text, "asks for more than the login mechanism"));
		} else {
			assert_answer(response, steps[i].answer, steps[i].answer_len);
		}
	}
}

static void logs_in_with_every_mechanism(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(logins); i++) {
		struct secret *secret = secret_new(logins[i].secret, strlen(logins[i].secret));

		for (int with_initial = 0; with_initial < 2; with_initial++) {
			struct secret *response = NULL;
			struct error err = {0};
			struct sasl sasl;

			assert_int_equal(sasl_start(&sasl, logins[i].mode, "anna,=@home", secret, "imap.example.com", 143, &err), 0);
			if (with_initial) {
				response = sasl_initial(&sasl);
				assert_int_equal(response == NULL, logins[i].initial == NULL);
			} else if (logins[i].initial != NULL) {
				assert_int_equal(answer(&sasl, "", &response, &err), 0);
			}
			if (response != NULL)
				assert_answer(response, logins[i].initial, logins[i].initial_len);
			follow(&sasl, logins[i].steps);
		}
		secret_free(secret);
	}
}

static void refuses_challenges_that_are_none(void **state)
{
	static const char *const bad[] = {"hello", "=", "VXNlcm5hbWU6=", "VXNl cm5h", "ok, go on"};
	struct secret *secret = secret_new("x", 1), *response;
	struct error err = {0};
	struct sasl sasl;
	char *flood = xmalloc(12000);

	(void)state;
	assert_int_equal(sasl_start(&sasl, AUTH_LOGIN, "anna", secret, "h", 1, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(sasl_step(&sasl, bad[i], strlen(bad[i]), &response, &err), -1);
		assert_int_equal(err.kind, ERR_PROTO);
		assert_string_equal(err.text, "the server's login challenge is not base64");
	}
	memset(flood, 'A', 12000);
	assert_int_equal(sasl_step(&sasl, flood, 12000, &response, &err), -1);
	assert_string_equal(err.text, "the server's login challenge is too long");
	free(flood);
	secret_free(secret);
}

static void refuses_what_a_mechanism_cannot_carry(void **state)
{
	static const struct {
		enum auth_mode mode;
		const char *user, *secret;
		size_t len;
		const char *error;
	} cases[] = {
		{AUTH_PLAIN, "anna", A("a\0b"), "NUL byte"},
		{AUTH_LOGIN, "anna", A("\0"), "NUL byte"},
		{AUTH_XOAUTH2, "anna", A(""), "token is empty"},
		{AUTH_XOAUTH2, "anna", A("ya29.x\n"), "must print nothing else"},
		{AUTH_OAUTHBEARER, "anna", A("a b"), "must print nothing else"},
		{AUTH_OAUTHBEARER, "anna", A("a\001b"), "must print nothing else"},
		{AUTH_OAUTHBEARER, "anna", A("\303\274"), "must print nothing else"},
		{AUTH_XOAUTH2, "an\001na", A("x"), "control character"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct secret *secret = secret_new(cases[i].secret, cases[i].len);
		struct error err = {0};
		struct sasl sasl;

		assert_int_equal(sasl_start(&sasl, cases[i].mode, cases[i].user, secret, "h", 1, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_non_null(strstr(err.text, cases[i].error));
		secret_free(secret);
	}
}

static void tells_what_the_server_said(void **state)
{
	static const struct {
		const char *challenge, *reply, *error;
	} cases[] = {
		{"{\"status\":\"401\",\"schemes\":\"bearer\"}", "A1 NO", "the server refused the OAuth2 token (status 401): \"A1 NO\""},
		{"{ \"x\":\"status\", \"status\" : \"invalid_token\" }", "NO", "the server refused the OAuth2 token (status invalid_token): \"NO\""},
		{"{\"status\":400,\"a\":1}", "NO", "the server refused the OAuth2 token (status 400): \"NO\""},
		{"{\"status\":\"\033[2J\\n\"}", "\033", "the server refused the OAuth2 token (status \\x1B[2J\\x5Cn): \"\\x1B\""},
		{"{}", "NO", "the server refused the OAuth2 token: \"NO\""},
		{"{\"status\"", "NO", "the server refused the OAuth2 token: \"NO\""},
		{"{\"status\":", "NO", "the server refused the OAuth2 token: \"NO\""},
		{"{\"status\":\"40", "NO", "the server refused the OAuth2 token (status 40): \"NO\""},
		{"status", "NO", "the server refused the OAuth2 token: \"NO\""},
		{"", "NO", "the server refused the OAuth2 token: \"NO\""},
	};
	struct secret *secret = secret_new("x", 1);
	struct error err = {0};
	struct sasl sasl;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct secret *response;

		assert_int_equal(sasl_start(&sasl, AUTH_XOAUTH2, "anna", secret, "h", 1, &err), 0);
		secret_free(sasl_initial(&sasl));
		assert_int_equal(answer(&sasl, cases[i].challenge, &response, &err), 0);
		secret_free(response);
		assert_int_equal(sasl_refused(&sasl, cases[i].reply, strlen(cases[i].reply), &err), -1);
		assert_int_equal(err.kind, ERR_AUTH);
		assert_string_equal(err.text, cases[i].error);
	}
	assert_int_equal(sasl_start(&sasl, AUTH_PLAIN, "anna", secret, "h", 1, &err), 0);
	assert_int_equal(sasl_refused(&sasl, "535 5.7.8 no", 12, &err), -1);
	assert_string_equal(err.text, "the server refused user name or password: \"535 5.7.8 no\"");
	secret_free(secret);
}

/* In memory of its exact length, truncated everywhere. */
static void finds_a_status_in_any_piece_of_json(void **state)
{
	static const char json[] = "{\"schemes\":\"status\", \"status\" \t: \"invalid_request\",\"scope\":\"x\"}";
	char out[8];

	(void)state;
	for (size_t len = 0; len < sizeof(json); len++) {
		char *copy = xmalloc(len);

		memcpy(copy, json, len);
		bearer_status(out, sizeof(out), copy, len);
		assert_true(strlen(out) < sizeof(out));
		free(copy);
	}
	assert_string_equal(out, "inva...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses_what_both_want),
		cmocka_unit_test(logs_in_with_every_mechanism),
		cmocka_unit_test(refuses_challenges_that_are_none),
		cmocka_unit_test(refuses_what_a_mechanism_cannot_carry),
		cmocka_unit_test(tells_what_the_server_said),
		cmocka_unit_test(finds_a_status_in_any_piece_of_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
