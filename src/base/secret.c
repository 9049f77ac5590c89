#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

void secret_wipe(void *memory, size_t len)
{
	if (memory != NULL)
		explicit_bzero(memory, len);
}
