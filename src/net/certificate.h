/* certificate.h - what a person wants to know about a certificate. Everything in it was written by the peer: all text is escaped. */
#ifndef MAILHAUL_NET_CERTIFICATE_H
#define MAILHAUL_NET_CERTIFICATE_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#define PIN_LENGTH 64 /* hexadecimal digits */

/* "CN=mail.example.org, O=Example"; returns out. */
char *certificate_name_text(char *out, size_t size, const X509_NAME *name);
/* The names it is good for (RFC 9525): dNSName and iPAddress, at most three of them, "and N more"; "" if it has none. Returns out. */
char *certificate_hosts(char *out, size_t size, const X509 *certificate);
/* Lower-case hexadecimal SHA-256 of its SubjectPublicKeyInfo. */
void certificate_pin(char out[PIN_LENGTH + 1], const X509 *certificate);
int64_t certificate_not_before_s(const X509 *certificate); /* wall clock */
int64_t certificate_not_after_s(const X509 *certificate);

#endif
