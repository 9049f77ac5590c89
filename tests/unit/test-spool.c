#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/spool.h"

#define MIB (1024 * 1024)

static int memory_file(void)
{
	int fd = memfd_create("spool", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	return fd;
}

/* Bytes that tell their place, another sequence for each seed. */
static char pattern(uint64_t at, unsigned seed)
{
	return (char)(((at + seed) * 2654435761U) >> 13);
}

static int add_pattern(struct spool *spool, size_t len, size_t piece, unsigned seed, struct error *err)
{
	char *bytes = xmalloc(piece);
	int result = 0;

	for (size_t at = 0; result == 0 && at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(at + i, seed);
		result = spool_add(spool, bytes, n, err);
	}
	free(bytes);
	return result;
}

static struct spool *filled(struct spool_file *file, size_t len, size_t piece, unsigned seed)
{
	struct spool *spool = spool_new(file);
	struct error err = {0};

	assert_int_equal(add_pattern(spool, len, piece, seed, &err), 0);
	assert_int_equal(spool_end(spool, &err), 0);
	assert_int_equal(spool_size(spool), len);
	return spool;
}

static void assert_holds(struct spool *spool, size_t len, uint64_t from, unsigned seed)
{
	struct error err = {0};
	uint64_t at = from;

	for (;;) {
		const char *bytes;
		size_t n;

		assert_int_equal(spool_read(spool, at, &bytes, &n, &err), 0);
		if (n == 0)
			break;
		for (size_t i = 0; i < n; i++)
			if (bytes[i] != pattern(at + i, seed))
				fail_msg("byte %llu", (unsigned long long)(at + i));
		at += n;
	}
	assert_int_equal(at, len);
}

static struct stat status(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

static void bytes_come_back(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, MIB - 1, MIB, MIB + 1, 3 * MIB + 17};
	static const size_t pieces[] = {1, 1000, 65535, 65536, 65537, 2 * MIB};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(pieces); j++) {
			int fd = memory_file();
			struct spool_file *file = spool_file_new(fd);
			struct spool *spool = filled(file, sizes[i], pieces[j], 1);

			assert_holds(spool, sizes[i], 0, 1);
			assert_holds(spool, sizes[i], sizes[i] / 2, 1);
			assert_int_equal(status(fd).st_size != 0, sizes[i] > SPOOL_MEMORY_MAX);
			spool_free(spool);
			assert_int_equal(status(fd).st_size, 0);
			spool_file_free(file);
		}
	}
}

/* Another one, complete and in the file, is read in between: both use the same buffer. */
static void what_there_is_comes_back_while_it_grows(void **state)
{
	static const size_t pieces[] = {1000, 65535, 65536, 2 * MIB};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct spool_file *file = spool_file_new(memory_file());
		struct spool *other = filled(file, 2 * MIB, 2 * MIB, 2), *spool = spool_new(file);
		struct error err = {0};
		size_t size = 0, read = 0;

		while (size < 3 * MIB) {
			static char bytes[2 * MIB];

			for (size_t j = 0; j < pieces[i]; j++)
				bytes[j] = pattern(size + j, 1);
			assert_int_equal(spool_add(spool, bytes, pieces[i], &err), 0);
			size += pieces[i];
			if (size - read < 100000)
				continue;
			assert_holds(spool, size, read, 1);
			assert_holds(other, 2 * MIB, 2 * MIB - 5, 2);
			read = size - 1;
		}
		assert_holds(spool, size, 0, 1);
		assert_int_equal(spool_end(spool, &err), 0);
		assert_holds(spool, size, 0, 1);
		spool_free(spool);
		spool_free(other);
		spool_file_free(file);
	}
}

static void memory_is_read_without_copying(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	struct spool *spool = filled(file, 100000, 999, 1);
	const char *all, *part;
	struct error err = {0};
	size_t n;

	(void)state;
	assert_int_equal(spool_read(spool, 0, &all, &n, &err), 0);
	assert_int_equal(n, 100000);
	assert_int_equal(spool_read(spool, 40000, &part, &n, &err), 0);
	assert_ptr_equal(part, all + 40000);
	assert_int_equal(n, 60000);
	spool_free(spool);
	spool_file_free(file);
}

static void all_spools_together_keep_within_memory(void **state)
{
	int fd = memory_file();
	struct spool_file *file = spool_file_new(fd);
	struct spool *spools[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		spools[i] = filled(file, MIB, 30000, i);
		assert_int_equal(status(fd).st_size, i < 6 ? 0 : (i - 5) * MIB);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_holds(spools[i], MIB, 0, i);
	for (unsigned i = 0; i < 8; i++)
		spool_free(spools[i]);
	assert_int_equal(status(fd).st_size, 0);
	spools[0] = filled(file, MIB, 30000, 9);
	assert_int_equal(status(fd).st_size, 0);
	spool_free(spools[0]);
	spool_file_free(file);
}

/* A small message must not keep the megabyte that a doubling may have reserved. */
static void memory_shrinks_to_the_message(void **state)
{
	enum { COUNT = 10, BYTES = SPOOL_MEMORY_MAX / 2 + 1 };
	int fd = memory_file();
	struct spool_file *file = spool_file_new(fd);
	struct spool *spools[COUNT];

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		spools[i] = filled(file, BYTES, 4096, i);
	assert_int_equal(status(fd).st_size, 0);
	for (unsigned i = 0; i < COUNT; i++)
		spool_free(spools[i]);
	spool_file_free(file);
}

static void freed_regions_go_back_to_the_disk(void **state)
{
	enum { COUNT = 4, BYTES = 2 * MIB + 5 };
	int fd = memory_file();
	struct spool_file *file = spool_file_new(fd);
	struct spool *spools[COUNT];
	blkcnt_t blocks;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		spools[i] = filled(file, BYTES, 50000, i);
	blocks = status(fd).st_blocks;
	spool_free(spools[0]);
	assert_int_equal(status(fd).st_blocks, blocks / COUNT * (COUNT - 1));
	spool_free(spools[1]);
	assert_int_equal(status(fd).st_blocks, blocks / COUNT * (COUNT - 2));
	assert_holds(spools[2], BYTES, 0, 2);
	spool_free(spools[3]);
	assert_int_equal(status(fd).st_blocks, blocks / COUNT);
	spools[3] = filled(file, BYTES, 50000, 7);
	assert_holds(spools[2], BYTES, 0, 2);
	assert_holds(spools[3], BYTES, 0, 7);
	spool_free(spools[2]);
	spool_free(spools[3]);
	assert_int_equal(status(fd).st_size, 0);
	assert_int_equal(status(fd).st_blocks, 0);
	spool_file_free(file);
}

/* Reading one message while the next one is still arriving. */
static void reading_does_not_disturb_a_growing_spool(void **state)
{
	struct spool_file *file = spool_file_new(memory_file());
	struct spool *first = filled(file, 2 * MIB, 50000, 1), *second = spool_new(file);
	struct error err = {0};
	char bytes[70000];

	(void)state;
	for (size_t at = 0; at < 20 * sizeof(bytes); at += sizeof(bytes) / 10) {
		for (size_t i = 0; i < sizeof(bytes) / 10; i++)
			bytes[i] = pattern(at + i, 2);
		assert_int_equal(spool_add(second, bytes, sizeof(bytes) / 10, &err), 0);
		if (at % sizeof(bytes) == 0)
			assert_holds(first, 2 * MIB, at, 1);
	}
	spool_free(first);
	assert_int_equal(spool_end(second, &err), 0);
	assert_holds(second, 20 * sizeof(bytes), 0, 2);
	spool_free(second);
	spool_file_free(file);
}

static void full_disk_is_said_clearly(void **state)
{
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct spool_file *file = spool_file_new(fd);
	struct spool *spool = spool_new(file);
	struct error err = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(add_pattern(spool, 2 * MIB, 10000, 1, &err), -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_MAILBOX);
	assert_int_equal(err.code, ENOSPC);
	assert_non_null(strstr(err.text, "no room"));
	assert_non_null(strstr(err.text, "state directory"));
	assert_true(strlen(err.text) < sizeof(err.text) - 1);
	spool_free(spool);
	spool_file_free(file);
}

/* The last bytes are written by spool_end; their failure must not look like a complete message. */
static void write_failure_at_the_end_is_seen(void **state)
{
	int fd = memory_file();
	struct spool_file *file = spool_file_new(fd);
	struct spool *spool = spool_new(file);
	struct error err = {0};

	(void)state;
	assert_int_equal(add_pattern(spool, MIB + 1000, 10000, 1, &err), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(spool_end(spool, &err), -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_MAILBOX);
	spool_free(spool);
	spool = filled(file, 1000, 100, 2);
	assert_holds(spool, 1000, 0, 2);
	spool_free(spool);
	spool_file_free(file);
}

static void shortened_file_is_an_error(void **state)
{
	int fd = memory_file();
	struct spool_file *file = spool_file_new(fd);
	struct spool *spool = filled(file, 2 * MIB, 50000, 1);
	struct error err = {0};
	const char *bytes;
	size_t n;

	(void)state;
	assert_int_equal(ftruncate(fd, MIB), 0);
	assert_int_equal(spool_read(spool, MIB - 10, &bytes, &n, &err), -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	spool_free(spool);
	spool_file_free(file);
}

static void without_a_file_long_messages_fail(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	struct spool *spool = spool_new(file);
	struct error err = {0};

	(void)state;
	assert_int_equal(add_pattern(spool, SPOOL_MEMORY_MAX, 10000, 1, &err), 0);
	assert_int_equal(spool_add(spool, "x", 1, &err), -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	spool_free(spool);
	spool_free(NULL);
	spool_file_free(file);
	spool_file_free(NULL);
}

static int open_counted(void *context, struct error *err)
{
	unsigned *asked = context;

	return ++*asked == 1 ? error_set(err, ERR_LOCAL, SCOPE_MAILBOX, "not now") : memory_file();
}

static void the_file_is_asked_for_when_it_is_needed(void **state)
{
	struct spool_file *file = spool_file_new(-1);
	unsigned asked = 0;
	struct error err = {0};

	(void)state;
	spool_file_on_demand(file, open_counted, &asked);
	for (unsigned round = 0; round < 3; round++) { /* refused, asked again, and still there */
		struct spool *spool = spool_new(file);
		unsigned before = asked;

		assert_int_equal(add_pattern(spool, SPOOL_MEMORY_MAX, 10000, 1, &err), 0);
		assert_int_equal(asked, before);
		assert_int_equal(spool_add(spool, "x", 1, &err), round == 0 ? -1 : 0);
		assert_int_equal(asked, round == 0 ? 1 : 2);
		spool_free(spool);
	}
	spool_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_back),
		cmocka_unit_test(the_file_is_asked_for_when_it_is_needed),
		cmocka_unit_test(what_there_is_comes_back_while_it_grows),
		cmocka_unit_test(memory_is_read_without_copying),
		cmocka_unit_test(all_spools_together_keep_within_memory),
		cmocka_unit_test(memory_shrinks_to_the_message),
		cmocka_unit_test(freed_regions_go_back_to_the_disk),
		cmocka_unit_test(reading_does_not_disturb_a_growing_spool),
		cmocka_unit_test(full_disk_is_said_clearly),
		cmocka_unit_test(write_failure_at_the_end_is_seen),
		cmocka_unit_test(shortened_file_is_an_error),
		cmocka_unit_test(without_a_file_long_messages_fail),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
