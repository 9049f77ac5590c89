/* certificate.h - X.509 certificates made while a test runs, so that none of them expires in the tree. P-256, SHA-256. */
#ifndef MAILHAUL_TESTS_LIB_CERTIFICATE_H
#define MAILHAUL_TESTS_LIB_CERTIFICATE_H

#include <openssl/types.h>

struct certificate {
	X509 *x509;
	EVP_PKEY *key;
};

struct certificate_spec {
	const char *name;                 /* commonName */
	const char *alt_names;            /* "DNS:a.example,IP:127.0.0.1"; NULL: no subjectAltName */
	const struct certificate *issuer; /* NULL: signed by itself, and an authority */
	long from_s, until_s;             /* validity in seconds from now; both 0: from an hour ago for a day */
};

/* Aborts the process when OpenSSL refuses. */
struct certificate certificate_make(const struct certificate_spec *spec);
void certificate_free(struct certificate *certificate);
/* PEM text; free it. */
char *certificate_pem(const struct certificate *certificate);

#endif
