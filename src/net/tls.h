/* tls.h - TLS as a client: 1.2 or later, chain and name always verified (RFC 9525: subjectAltName only, no partial wildcards).
 * There is no switch that skips verification; a private CA file or a pin replaces or adds to the system's trust store. */
#ifndef MAILHAUL_NET_TLS_H
#define MAILHAUL_NET_TLS_H

#include <stdint.h>

#include "base/clock.h"

struct channel;
struct error;
struct stream;

/* What every tls_start needs, made once, in the spawner: the shared settings, and the default trust store as a hashed directory (nothing is read until a
 * certificate is looked for). */
int tls_prepare(struct error *err);
/* The same, and one handshake with ourselves in memory, so that what OpenSSL sets up on its first one is shared by all that are forked later. Pays from the
 * second worker on. */
int tls_warm_up(struct error *err);
/* The directories of the trust store, real paths included, for the sandbox. NULL-terminated. */
const char *const *tls_trust_directories(void);

/* Reads a ca_file before others are forked that may need it; what is wrong with it is theirs to say. OpenSSL 3.0 takes half a millisecond for each
 * certificate. No more than TLS_TRUST_KEPT_MAX are kept. */
void tls_trust_keep(const char *pem);
#define TLS_TRUST_KEPT_MAX 16

struct tls_settings {
	const char *host;   /* A-label or address: SNI and the name that is verified; no SNI for an address */
	const char *ca_pem; /* PEM text of ca_file instead of the system's trust store; NULL: the system's */
	char *const *pins;  /* hex SHA-256 of SubjectPublicKeyInfo; one of them must match the leaf. NULL: none. A pin without ca_pem replaces
			     * the checks of chain, name and dates (self-signed servers), with ca_pem it comes on top */
};

/* What check shows. */
struct tls_summary {
	char version[16], cipher[48];
	char subject[128], issuer[128]; /* escaped */
	char pin[65];                   /* of the leaf, so that the operator can write it down */
	int64_t not_after_s;            /* wall clock */
};

/* Handshakes over *stream until the deadline; on success *stream is the TLS stream, which owns the old one. On failure *stream is unchanged and still
 * the caller's; the error (ERR_TLS; ERR_TEMP for a lost connection or a passed deadline; ERR_CONFIG for a ca_pem without certificates) says in words
 * what is wrong with which certificate. tls_warm_up must have been called in this process or its parent. ret_summary may be NULL. */
int tls_start(struct stream **stream, const struct tls_settings *settings, struct deadline deadline, struct channel *channel,
	struct tls_summary *ret_summary, struct error *err);

#endif
