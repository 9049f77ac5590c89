#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base64.h"

struct secret {
	size_t len, mapped;
	char bytes[];
};

struct secret *secret_new_size(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t mapped = (sizeof(struct secret) + len + 1 + page - 1) / page * page;
	struct secret *secret = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		abort();
	/* Best effort: an ordinary user's RLIMIT_MEMLOCK may be small, and old kernels lack the advice. */
	(void)mlock(secret, mapped);
	(void)madvise(secret, mapped, MADV_DONTDUMP);
	(void)madvise(secret, mapped, MADV_WIPEONFORK);
	secret->len = len;
	secret->mapped = mapped;
	return secret;
}

struct secret *secret_new(const void *bytes, size_t len)
{
	struct secret *secret = secret_new_size(len);

	memcpy(secret->bytes, bytes, len);
	return secret;
}

void secret_free(struct secret *secret)
{
	if (secret == NULL)
		return;
	size_t mapped = secret->mapped;
	explicit_bzero(secret, mapped);
	munmap(secret, mapped);
}

char *secret_buffer(struct secret *secret)
{
	return secret->bytes;
}

const char *secret_bytes(const struct secret *secret)
{
	return secret->bytes;
}

size_t secret_length(const struct secret *secret)
{
	return secret->len;
}

/* Backslashes on either side count for nothing, so that an escaped secret is found too. */
static bool repeats_at(const struct secret *secret, const char *text, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < secret->len; i++) {
		if (secret->bytes[i] == '\\')
			continue;
		while (at < len && text[at] == '\\')
			at++;
		if (at == len || text[at++] != secret->bytes[i])
			return false;
	}
	return at != 0;
}

/* What of the encoding does not depend on the bytes before and after: all but the first and last characters that share bits with them. */
static bool repeats_in_base64(const struct secret *secret, size_t before, const char *text, size_t len)
{
	size_t plain_len = before + secret->len, first = (before * 8 + 5) / 6, last = plain_len * 8 / 6;
	struct secret *plain = secret_new_size(plain_len), *encoded = secret_new_size(BASE64_LENGTH(plain_len));
	bool found;

	memcpy(plain->bytes + before, secret->bytes, secret->len);
	base64_encode(encoded->bytes, plain->bytes, plain_len);
	found = last > first && memmem(text, len, encoded->bytes + first, last - first) != NULL;
	secret_free(plain);
	secret_free(encoded);
	return found;
}

bool secret_is_in(const struct secret *secret, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (repeats_at(secret, text + i, len - i))
			return true;
	for (size_t before = 0; before < 3; before++)
		if (repeats_in_base64(secret, before, text, len))
			return true;
	return false;
}

void secret_wipe(void *memory, size_t len)
{
	if (memory != NULL)
		explicit_bzero(memory, len);
}
