#include "mail/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"

#define MEMORY_MIN 4096            /* most mail is a few KiB */
#define READ_BYTES (64 * 1024)     /* at a time from the file */
#define GATHER_BYTES (64 * 1024)   /* at a time to the file: a source that dribbles must not cost a system call per segment */
#define BLOCK_BYTES UINT64_C(4096) /* regions begin on one, so that a hole frees all of it */

struct spool_file {
	int fd; /* -1: none yet */
	spool_open_fn *open;
	void *context;
	uint64_t end;    /* behind all that was written; the next region begins here or a little later */
	uint64_t memory; /* bytes allocated by all spools together */
	unsigned spools, regions;
	struct spool *growing; /* NULL: none */
	char *gathered;        /* GATHER_BYTES: of the growing spool, still to be written; NULL while none grows in the file */
	size_t gathered_len;
	char *buffer; /* READ_BYTES; NULL until something is read back, and when no region is left */
};

struct spool {
	struct spool_file *file;
	char *memory;    /* NULL: empty or in the file */
	size_t capacity; /* of memory */
	bool in_file, ended;
	uint64_t offset, size; /* offset: of its region */
};

struct spool_file *spool_file_new(int fd_take)
{
	struct spool_file *file = xcalloc(1, sizeof(*file));

	file->fd = fd_take;
	return file;
}

void spool_file_on_demand(struct spool_file *file, spool_open_fn *open, void *context)
{
	file->open = open;
	file->context = context;
}

void spool_file_free(struct spool_file *file)
{
	if (file == NULL)
		return;
	assert(file->spools == 0);
	fs_close(file->fd);
	free(file->buffer);
	free(file);
}

struct spool *spool_new(struct spool_file *file)
{
	struct spool *spool = xcalloc(1, sizeof(*spool));

	spool->file = file;
	file->spools++;
	return spool;
}

static void set_capacity(struct spool *spool, size_t capacity)
{
	spool->file->memory = spool->file->memory - spool->capacity + capacity;
	spool->capacity = capacity;
	if (capacity != 0) {
		spool->memory = xreallocarray(spool->memory, capacity, 1);
	} else {
		free(spool->memory);
		spool->memory = NULL;
	}
}

/* Gives the region's blocks back to the disk. A failure costs space until the file is cut, nothing else. */
static void free_region(struct spool *spool, bool is_last)
{
	struct spool_file *file = spool->file;
	uint64_t blocks = (spool->size + BLOCK_BYTES - 1) / BLOCK_BYTES;
	int ignored;

	if (--file->regions == 0)
		file->end = 0;
	else if (is_last)
		file->end = spool->offset;
	if (file->regions == 0 || is_last)
		ignored = ftruncate(file->fd, (off_t)file->end);
	else
		ignored = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)spool->offset, (off_t)(blocks * BLOCK_BYTES));
	(void)ignored;
	if (file->regions == 0) {
		free(file->buffer);
		file->buffer = NULL;
	}
}

static void stop_growing(struct spool_file *file)
{
	file->growing = NULL;
	free(file->gathered);
	file->gathered = NULL;
	file->gathered_len = 0;
}

void spool_free(struct spool *spool)
{
	bool is_growing;

	if (spool == NULL)
		return;
	is_growing = spool->file->growing == spool;
	if (is_growing)
		stop_growing(spool->file);
	if (spool->in_file)
		free_region(spool, is_growing || spool->offset + spool->size == spool->file->end);
	set_capacity(spool, 0);
	spool->file->spools--;
	free(spool);
}

/* Doubling, so that each byte is copied about once; false: a limit forbids it. */
static bool grow_memory(struct spool *spool, size_t len)
{
	size_t need, capacity;

	if (len > SPOOL_MEMORY_MAX - spool->size)
		return false;
	need = (size_t)spool->size + len;
	if (need <= spool->capacity)
		return true;
	capacity = spool->capacity != 0 ? spool->capacity : MEMORY_MIN;
	while (capacity < need)
		capacity *= 2;
	if (spool->file->memory - spool->capacity + capacity > SPOOL_MEMORY_TOTAL)
		return false;
	set_capacity(spool, capacity);
	return true;
}

static int write_error(struct error *err)
{
	if (fs_is_full(errno))
		return error_code(err, ERR_LOCAL, SCOPE_MAILBOX, errno,
			"no room for a message on the disk of the state directory (%s); free some space there, the mail stays at the source until "
			"then",
			strerror(errno));
	return error_errno(err, SCOPE_MAILBOX, "cannot write a message to the temporary file in the state directory");
}

static int write_out(struct spool_file *file, const char *bytes, size_t len, struct error *err)
{
	while (len != 0) {
		ssize_t n = pwrite(file->fd, bytes, len, (off_t)file->end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return write_error(err);
		bytes += n;
		len -= (size_t)n;
		file->end += (uint64_t)n;
	}
	return 0;
}

static int write_gathered(struct spool_file *file, struct error *err)
{
	size_t len = file->gathered_len;

	file->gathered_len = 0;
	return write_out(file, file->gathered, len, err);
}

static int append_to_file(struct spool *spool, const char *bytes, size_t len, struct error *err)
{
	struct spool_file *file = spool->file;

	spool->size += len;
	if (file->gathered_len + len > GATHER_BYTES && write_gathered(file, err) < 0)
		return -1;
	if (len >= GATHER_BYTES)
		return write_out(file, bytes, len, err);
	memcpy(file->gathered + file->gathered_len, bytes, len);
	file->gathered_len += len;
	return 0;
}

/* Moves a spool that has become too large from memory into a new region. */
static int move_to_file(struct spool *spool, struct error *err)
{
	struct spool_file *file = spool->file;
	int result;

	if (file->fd < 0 && file->open != NULL) {
		file->fd = file->open(file->context, err);
		if (file->fd < 0)
			return -1;
	}
	if (file->fd < 0)
		return error_set(err, ERR_LOCAL, SCOPE_MAILBOX, "the message does not fit into memory and there is no file to put it into");
	file->end = (file->end + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	file->regions++;
	spool->in_file = true;
	spool->offset = file->end;
	file->gathered = xmalloc(GATHER_BYTES);
	result = write_out(file, spool->memory, (size_t)spool->size, err);
	set_capacity(spool, 0);
	return result;
}

int spool_add(struct spool *spool, const void *bytes, size_t len, struct error *err)
{
	struct spool_file *file = spool->file;

	assert(!spool->ended && (file->growing == NULL || file->growing == spool));
	file->growing = spool;
	if (len == 0)
		return 0;
	if (!spool->in_file) {
		if (grow_memory(spool, len)) {
			memcpy(spool->memory + spool->size, bytes, len);
			spool->size += len;
			return 0;
		}
		if (move_to_file(spool, err) < 0)
			return -1;
	}
	return append_to_file(spool, bytes, len, err);
}

int spool_end(struct spool *spool, struct error *err)
{
	struct spool_file *file = spool->file;

	assert(!spool->ended && (file->growing == NULL || file->growing == spool));
	if (spool->in_file && write_gathered(file, err) < 0)
		return -1;
	spool->ended = true;
	stop_growing(file);
	if (!spool->in_file)
		set_capacity(spool, (size_t)spool->size);
	return 0;
}

uint64_t spool_size(const struct spool *spool)
{
	return spool->size;
}

int spool_read(struct spool *spool, uint64_t offset, const char **ret_bytes, size_t *ret_len, struct error *err)
{
	struct spool_file *file = spool->file;
	uint64_t written = spool->size - (spool->ended ? 0 : file->gathered_len); /* of one in the file */
	size_t len;

	assert((spool->ended || file->growing == spool) && offset <= spool->size);
	if (!spool->in_file || offset >= written) {
		const char *memory = spool->in_file ? file->gathered : spool->memory;

		*ret_bytes = offset == spool->size ? "" : memory + (offset - (spool->in_file ? written : 0));
		*ret_len = (size_t)(spool->size - offset);
		return 0;
	}
	if (file->buffer == NULL)
		file->buffer = xmalloc(READ_BYTES);
	len = written - offset < READ_BYTES ? (size_t)(written - offset) : READ_BYTES;
	if (fs_pread_all(file->fd, file->buffer, len, spool->offset + offset) < 0)
		return error_errno(err, SCOPE_MAILBOX, "cannot read a message back from the temporary file in the state directory");
	*ret_bytes = file->buffer;
	*ret_len = len;
	return 0;
}
