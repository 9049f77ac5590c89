#include "base/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>

/* Looked up once: EVP_sha256() makes OpenSSL search its providers each time, which for a short text costs more than the hash. */
static const EVP_MD *algorithm(void)
{
	static EVP_MD *found;

	if (found == NULL)
		found = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	if (found == NULL)
		abort();
	return found;
}

void sha256_init(struct sha256 *sha)
{
	sha->context = EVP_MD_CTX_new();
	if (sha->context == NULL || EVP_DigestInit_ex(sha->context, algorithm(), NULL) != 1)
		abort();
}

void sha256_add(struct sha256 *sha, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(sha->context, bytes, len) != 1)
		abort();
}

void sha256_end(struct sha256 *sha, uint8_t ret_digest[SHA256_BYTES])
{
	if (EVP_DigestFinal_ex(sha->context, ret_digest, NULL) != 1)
		abort();
	sha256_done(sha);
}

void sha256_done(struct sha256 *sha)
{
	EVP_MD_CTX_free(sha->context);
	sha->context = NULL;
}

void sha256_of(const void *bytes, size_t len, uint8_t ret_digest[SHA256_BYTES])
{
	if (EVP_Digest(bytes, len, ret_digest, NULL, algorithm(), NULL) != 1)
		abort();
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
