/* credential.h - whether the operator has replaced a user name or a password that was refused: then the back-off is over. */
#ifndef MAILHAUL_SUPERVISOR_CREDENTIAL_H
#define MAILHAUL_SUPERVISOR_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

struct dest_config;
struct destination_state;
struct mailbox_config;
struct mailbox_state;
struct secret;
struct server;
struct service;

/* A fingerprint of who says it where, and of the password; never 0. NULL: a program prints that, and only the worker sees it. It says nothing without the
 * state that it is kept in. */
uint64_t credential_print(const struct service *service, const struct server *server, const struct secret *secret);
/* Was the last login refused, with something else than is configured now? Reads the password: a small file at most. */
bool credential_was_replaced(const struct service *service, const struct mailbox_config *mailbox, const struct mailbox_state *state);
bool credential_of_destination_was_replaced(
	const struct service *service, const struct dest_config *destination, const struct destination_state *state);

#endif
