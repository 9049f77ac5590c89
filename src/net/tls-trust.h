/* tls-trust.h - whom to believe: the system's certificate authorities, or those of a file. */
#ifndef MAILHAUL_NET_TLS_TRUST_H
#define MAILHAUL_NET_TLS_TRUST_H

#include <openssl/types.h>
#include <stdbool.h>

struct error;

/* The system's: a hashed directory (SSL_CERT_DIR, else OpenSSL's own), from which nothing is read before a certificate is looked for; a process that
 * uses it must be able to open files there (tls_trust_directories). The bundle (SSL_CERT_FILE, else OpenSSL's own) costs 15 ms to read, so it is only
 * for computers without such a directory. Never NULL: who has no list at all can still work with pins. */
X509_STORE *tls_trust_system(void);
bool tls_trust_has_system(void); /* tls_trust_system has found somebody to believe */
/* Exactly the certificates of a PEM text, be they roots, intermediates or the server's own, as kept (tls_trust_keep) or read now. ERR_CONFIG: it holds
 * none, or nonsense. */
X509_STORE *tls_trust_pem(const char *pem, struct error *err);

#endif
