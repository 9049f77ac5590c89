#include "supervisor/credential.h"

#include <string.h>

#include "base/secret.h"
#include "base/sha256.h"
#include "config/password.h"
#include "policy/policy.h"
#include "supervisor/attendant.h"

static void add_word(struct sha256 *sha, const char *word)
{
	sha256_add(sha, word != NULL ? word : "", word != NULL ? strlen(word) + 1 : 1);
}

uint64_t credential_print(const struct service *service, const struct server *server, const struct secret *secret)
{
	uint8_t digest[SHA256_BYTES];
	struct sha256 sha;
	uint64_t print;

	sha256_init(&sha);
	add_word(&sha, state_installation(service->state));
	add_word(&sha, server->endpoint.host != NULL ? server->endpoint.host : server->endpoint.path);
	add_word(&sha, server->user);
	if (secret != NULL)
		sha256_add(&sha, secret_bytes(secret), secret_length(secret));
	sha256_end(&sha, digest);
	memcpy(&print, digest, sizeof(print));
	return print != 0 ? print : 1;
}

static bool is_another(const struct service *service, const struct server *server, uint64_t credential)
{
	bool is_readable = server->password.kind != PASSWORD_NONE && server->password.kind != PASSWORD_COMMAND;
	struct secret *secret = NULL;
	struct error err;
	bool another;

	if (is_readable && (secret = password_read(&server->password, &err)) == NULL)
		return false; /* half written, perhaps */
	another = credential_print(service, server, secret) != credential;
	secret_free(secret);
	return another;
}

bool credential_was_replaced(const struct service *service, const struct mailbox_config *mailbox, const struct mailbox_state *state)
{
	return state->failures != 0 && state->clock == BACKOFF_LOGIN && state->credential != 0 &&
	       is_another(service, &mailbox->server, state->credential);
}

bool credential_of_destination_was_replaced(
	const struct service *service, const struct dest_config *destination, const struct destination_state *state)
{
	return state->failures != 0 && state->clock == BACKOFF_LOGIN && state->credential != 0 &&
	       is_another(service, &destination->server, state->credential);
}
