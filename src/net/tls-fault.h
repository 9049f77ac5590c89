/* tls-fault.h - why a TLS connection did not come about, in one sentence that says what to change. */
#ifndef MAILHAUL_NET_TLS_FAULT_H
#define MAILHAUL_NET_TLS_FAULT_H

#include <openssl/types.h>
#include <stdint.h>

struct error;

struct tls_fault_certificate {
	const char *host;
	long code; /* X509_V_ERR_... */
	int depth; /* 0: the server's own certificate, else one above it */
	const X509 *leaf;
	const X509 *current; /* where verification stopped */
	int64_t now_s;       /* wall clock */
};

/* The chain or the name did not verify. All return -1. */
int tls_fault_certificate(const struct tls_fault_certificate *fault, struct error *err);
int tls_fault_pin(const char *host, const X509 *leaf, struct error *err);
/* The handshake itself failed; reads OpenSSL's error queue. */
int tls_fault_handshake(const char *host, struct error *err);
/* The peer does not speak TLS; said: its first words, escaped. */
int tls_fault_not_tls(const char *host, const char *said, struct error *err);

#endif
