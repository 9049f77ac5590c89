/* tls-rehearsal.h - one handshake with ourselves, in memory. What OpenSSL sets up on its first handshake (providers, tables, its random
 * generator) is then in the pages that all workers share, instead of being made again by each. */
#ifndef MAILHAUL_NET_TLS_REHEARSAL_H
#define MAILHAUL_NET_TLS_REHEARSAL_H

#include <openssl/types.h>

struct error;
struct tls_settings;

/* Makes a client's end that verifies by these settings. */
typedef SSL *tls_client_fn(const struct tls_settings *settings, void *context, struct error *err);

int tls_rehearse(tls_client_fn *client, void *context, struct error *err);

#endif
