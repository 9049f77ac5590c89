#include "supervisor/credential.h"

#include <string.h>

#include "base/secret.h"
#include "base/sha256.h"
#include "config/password.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"

uint64_t credential_print(const struct service *service, const struct secret *secret)
{
	const char *key = state_installation(service->state);
	uint8_t digest[SHA256_BYTES];
	struct sha256 sha;
	uint64_t print;

	sha256_init(&sha);
	sha256_add(&sha, key, strlen(key) + 1);
	sha256_add(&sha, secret_bytes(secret), secret_length(secret));
	sha256_end(&sha, digest);
	memcpy(&print, digest, sizeof(print));
	return print != 0 ? print : 1;
}

bool credential_was_replaced(const struct service *service, const struct mailbox_config *mailbox, const struct mailbox_state *state)
{
	const struct password *password = &mailbox->server.password;
	struct secret *secret;
	struct error err;
	bool replaced;

	if (state->failures == 0 || state->clock != BACKOFF_LOGIN || state->credential == 0 || password->kind == PASSWORD_NONE ||
		password->kind == PASSWORD_COMMAND)
		return false;
	secret = password_read(password, &err);
	if (secret == NULL)
		return false; /* half written, perhaps */
	replaced = credential_print(service, secret) != state->credential;
	secret_free(secret);
	return replaced;
}
