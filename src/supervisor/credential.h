/* credential.h - whether the operator has replaced a password that was refused: then its back-off is over. */
#ifndef MAILHAUL_SUPERVISOR_CREDENTIAL_H
#define MAILHAUL_SUPERVISOR_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

struct mailbox_config;
struct mailbox_state;
struct secret;
struct service;

/* A fingerprint, never 0. It says nothing without the state that it is kept in. */
uint64_t credential_print(const struct service *service, const struct secret *secret);
/* Was its last login refused, with another password than it has now? Reads it: a small file at most. False for passwords that a program prints. */
bool credential_was_replaced(const struct service *service, const struct mailbox_config *mailbox, const struct mailbox_state *state);

#endif
