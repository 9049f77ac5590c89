#include "auth/sasl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "auth/bearer.h"
#include "base/base64.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"

/* No challenge of ours is longer; servers that answer a token with a page of JSON stay well below. */
#define CHALLENGE_BYTES_MAX 8192

enum { OFFERED_SOMETHING = 1 << 0 };

static const struct mechanism {
	enum auth_mode mode;
	const char *name;
	bool token;
} mechanisms[] = {
	{AUTH_PLAIN, "PLAIN", false},
	{AUTH_LOGIN, "LOGIN", false},
	{AUTH_XOAUTH2, "XOAUTH2", true},
	{AUTH_OAUTHBEARER, "OAUTHBEARER", true},
};

static unsigned bit_of(enum auth_mode mode)
{
	return 1U << (unsigned)mode; /* AUTH_DEFAULT's bit is OFFERED_SOMETHING */
}

void sasl_offer(unsigned *offered, const char *name, size_t len)
{
	if (len == 0)
		return;
	*offered |= OFFERED_SOMETHING;
	for (size_t i = 0; i < ARRAY_SIZE(mechanisms); i++)
		if (len == strlen(mechanisms[i].name) && ascii_prefix_nocase(name, len, mechanisms[i].name))
			*offered |= bit_of(mechanisms[i].mode);
}

void sasl_offer_list(unsigned *offered, const char *names, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i != len && names[i] != ' ')
			continue;
		sasl_offer(offered, names + start, i - start);
		start = i + 1;
	}
}

const char *sasl_name(enum auth_mode mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(mechanisms); i++)
		if (mechanisms[i].mode == mode)
			return mechanisms[i].name;
	return "";
}

static bool takes_only_tokens(unsigned offered)
{
	unsigned tokens = bit_of(AUTH_XOAUTH2) | bit_of(AUTH_OAUTHBEARER), passwords = bit_of(AUTH_PLAIN) | bit_of(AUTH_LOGIN);

	return (offered & tokens) != 0 && (offered & passwords) == 0;
}

static int not_offered(enum auth_mode wanted, unsigned offered, struct error *err)
{
	struct str names = {0};

	for (size_t i = 0; i < ARRAY_SIZE(mechanisms); i++)
		if ((offered & bit_of(mechanisms[i].mode)) != 0)
			str_addf(&names, "%s%s", names.len != 0 ? ", " : "", mechanisms[i].name);
	error_set(err, ERR_CONFIG, SCOPE_MAILBOX,
		"the server does not offer the login mechanism %s that \"auth\" names; of those we know it offers: %s", sasl_name(wanted),
		names.len != 0 ? str_text(&names) : "none");
	str_done(&names);
	return -1;
}

int sasl_choose(enum auth_mode wanted, unsigned offered, enum auth_mode *ret_mode, struct error *err)
{
	if (wanted != AUTH_DEFAULT) {
		if (offered != 0 && (offered & bit_of(wanted)) == 0)
			return not_offered(wanted, offered, err);
		*ret_mode = wanted;
		return 0;
	}
	if (takes_only_tokens(offered))
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX,
			"the server takes no passwords, only OAuth2 tokens: set \"auth: xoauth2\" and a password command that prints a token");
	*ret_mode = (offered & bit_of(AUTH_PLAIN)) != 0 ? AUTH_PLAIN : (offered & bit_of(AUTH_LOGIN)) != 0 ? AUTH_LOGIN : AUTH_DEFAULT;
	return 0;
}

static bool is_token_mode(enum auth_mode mode)
{
	return mode == AUTH_XOAUTH2 || mode == AUTH_OAUTHBEARER;
}

int sasl_start(
	struct sasl *sasl, enum auth_mode mode, const char *user, const struct secret *secret, const char *host, uint16_t port, struct error *err)
{
	assert(mode != AUTH_DEFAULT);
	if (is_token_mode(mode)) {
		if (bearer_check(user, secret, err) < 0)
			return -1;
	} else if (memchr(secret_bytes(secret), '\0', secret_length(secret)) != NULL) {
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the password contains a NUL byte, which no login can carry"); /* RFC 4616 2 */
	}
	*sasl = (struct sasl){.mode = mode, .user = user, .secret = secret, .host = host, .port = port};
	return 0;
}

static struct secret *encoded(const void *bytes, size_t len)
{
	struct secret *secret = secret_new_size(BASE64_LENGTH(len));

	base64_encode(secret_buffer(secret), bytes, len);
	return secret;
}

/* RFC 4616 2: authzid (left to the server), NUL, authcid, NUL, passwd. */
static struct secret *plain_message(const struct sasl *sasl)
{
	size_t user_len = strlen(sasl->user);
	struct secret *message = secret_new_size(user_len + 2 + secret_length(sasl->secret));
	char *to = secret_buffer(message);

	*to++ = '\0';
	memcpy(to, sasl->user, user_len);
	to[user_len] = '\0';
	memcpy(to + user_len + 1, secret_bytes(sasl->secret), secret_length(sasl->secret));
	return message;
}

static struct secret *whole_message(const struct sasl *sasl)
{
	switch (sasl->mode) {
	case AUTH_XOAUTH2:
		return bearer_xoauth2(sasl->user, sasl->secret);
	case AUTH_OAUTHBEARER:
		return bearer_oauthbearer(sasl->user, sasl->secret, sasl->host, sasl->port);
	default:
		return plain_message(sasl);
	}
}

struct secret *sasl_initial(struct sasl *sasl)
{
	struct secret *message, *response;

	if (sasl->mode == AUTH_LOGIN)
		return NULL; /* some servers take the user name there, others take it for nonsense */
	message = whole_message(sasl);
	response = encoded(secret_bytes(message), secret_length(message));
	secret_free(message);
	sasl->stage = SASL_SENT_ALL;
	return response;
}

static int next_response(struct sasl *sasl, const char *challenge, size_t len, struct secret **ret_response, struct error *err)
{
	if (sasl->stage == SASL_BEGIN && sasl->mode == AUTH_LOGIN) {
		sasl->stage = SASL_SENT_USER; /* what the prompts say differs between servers; their order does not */
		*ret_response = encoded(sasl->user, strlen(sasl->user));
	} else if (sasl->stage == SASL_BEGIN) {
		*ret_response = sasl_initial(sasl);
	} else if (sasl->stage == SASL_SENT_USER) {
		sasl->stage = SASL_SENT_ALL;
		*ret_response = encoded(secret_bytes(sasl->secret), secret_length(sasl->secret));
	} else if (sasl->stage == SASL_SENT_ALL && is_token_mode(sasl->mode)) {
		/* The token was refused and this says why; the refusal itself comes after our acknowledgement: an empty line, or ^A (RFC 7628 3.2.3). */
		sasl->stage = SASL_TOLD_WHY;
		bearer_status(sasl->status, sizeof(sasl->status), challenge, len);
		*ret_response = encoded("\001", sasl->mode == AUTH_OAUTHBEARER ? 1 : 0);
	} else {
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server asks for more than the login mechanism %s has", sasl_name(sasl->mode));
	}
	return 0;
}

int sasl_step(struct sasl *sasl, const char *challenge, size_t len, struct secret **ret_response, struct error *err)
{
	char *text;
	size_t text_len;
	int result;

	if (len > CHALLENGE_BYTES_MAX)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server's login challenge is too long");
	text = xmalloc(len / 4 * 3);
	if (base64_decode(text, &text_len, challenge, len))
		result = next_response(sasl, text, text_len, ret_response, err);
	else
		result = error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the server's login challenge is not base64");
	free(text);
	return result;
}

int sasl_refused(const struct sasl *sasl, const char *reply, size_t len, struct error *err)
{
	char words[112];

	escape_into(words, sizeof(words), reply, len);
	if (is_token_mode(sasl->mode))
		return error_set(err, ERR_AUTH, SCOPE_MAILBOX, "the server refused the OAuth2 token%s%s%s: \"%s\"",
			sasl->status[0] != '\0' ? " (status " : "", sasl->status, sasl->status[0] != '\0' ? ")" : "", words);
	return error_set(err, ERR_AUTH, SCOPE_MAILBOX, "the server refused user name or password: \"%s\"", words);
}
