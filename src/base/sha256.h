/* sha256.h - SHA-256, and bytes as hexadecimal text. */
#ifndef MAILHAUL_BASE_SHA256_H
#define MAILHAUL_BASE_SHA256_H

#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 {
	SHA256_CTX context;
};

void sha256_init(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t len);
void sha256_end(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES]); /* init again before the next use */
void sha256_of(const void *bytes, size_t len, uint8_t ret_digest[SHA256_BYTES]);
/* Lower-case hexadecimal; out: 2 * len + 1 bytes. */
char *hex_encode(char *out, const uint8_t *bytes, size_t len);

#endif
