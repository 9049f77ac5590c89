/* The functions under EVP_Digest...(), which OpenSSL 3.0 has deprecated and kept: those would look for an algorithm in a provider, for which OpenSSL reads its
 * configuration and sets itself up. That is a third of what a supervisor does that finds no mail, and more than most of our hashes take: they are of short
 * texts. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/sha256.h"

#include <stdlib.h>

_Static_assert(SHA256_BYTES == SHA256_DIGEST_LENGTH, "its size is not ours to choose");

void sha256_init(struct sha256 *sha)
{
	if (SHA256_Init(&sha->context) != 1)
		abort();
}

void sha256_add(struct sha256 *sha, const void *bytes, size_t len)
{
	if (SHA256_Update(&sha->context, bytes, len) != 1)
		abort();
}

void sha256_end(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES])
{
	if (SHA256_Final(ret_digest, &sha->context) != 1)
		abort();
}

void sha256_of(const void *bytes, size_t len, uint8_t ret_digest[SHA256_BYTES])
{
	struct sha256 sha;

	sha256_init(&sha);
	sha256_add(&sha, bytes, len);
	sha256_end(&sha, ret_digest);
}

char *hex_encode(char *out, const uint8_t *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex[bytes[i] >> 4];
		out[2 * i + 1] = hex[bytes[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}
