#include "dest/local.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/fs.h"
#include "mail/haul.h"
#include "mail/message.h"
#include "mail/spool.h"

#define PIECE_BYTES ((size_t)32 * 1024)
#define URGE_BYTES (UINT64_C(4) * 1024 * 1024) /* as much as a disk likes to get at once */

/* Gathers, so that a small message with its header is one write. */
struct writer {
	struct local_file *file;
	size_t len;
	char out[PIECE_BYTES + 2]; /* a CR may have been held back before a piece, and another one at the end */
};

static int flush(struct writer *writer)
{
	int result = fs_write_all(writer->file->fd, writer->out, writer->len);

	writer->file->size += writer->len;
	writer->len = 0;
	return result;
}

static int add(struct writer *writer, const char *bytes, size_t len)
{
	while (len != 0) {
		size_t room = PIECE_BYTES - writer->len, piece = len < room ? len : room;

		writer->len += local_encode(&writer->file->encoder, bytes, piece, writer->out + writer->len);
		if (writer->len >= PIECE_BYTES && flush(writer) < 0)
			return -1;
		bytes += piece;
		len -= piece;
	}
	return 0;
}

static int failed(const char *where, struct error *err)
{
	return error_errno(err, SCOPE_DESTINATION, "cannot write to %s", where);
}

/* What there is of the message, behind bytes that come before it. */
static int add_message(struct writer *writer, const char *bytes, size_t len, const struct delivery *delivery, const char *where, struct error *err)
{
	struct local_file *file = writer->file;

	do {
		if (add(writer, bytes, len) < 0)
			return failed(where, err);
		if (spool_read(delivery->message->spool, file->offset, &bytes, &len, err) < 0)
			return -1;
		file->offset += len;
	} while (len != 0);
	return 0;
}

/* Waiting until the sync would make the disk the last of all to begin. That the kernel cannot do it here, or is not able to, is no matter. */
static void urge(struct local_file *file)
{
	if (file->size - file->urged < URGE_BYTES)
		return;
	(void)sync_file_range(file->fd, (off_t)file->urged, (off_t)(file->size - file->urged), SYNC_FILE_RANGE_WRITE);
	file->urged = file->size;
}

int local_begin(struct local_file *file, int fd, const struct delivery *delivery, const char *where, struct error *err)
{
	struct writer writer;

	*file = (struct local_file){.fd = fd};
	local_encoder_init(&file->encoder);
	writer.file = file;
	writer.len = 0;
	return add(&writer, delivery->prepend, delivery->prepend_len) < 0 || flush(&writer) < 0 ? failed(where, err) : 0;
}

int local_add(struct local_file *file, const struct delivery *delivery, const char *where, struct error *err)
{
	struct writer writer;

	writer.file = file;
	writer.len = 0;
	if (add_message(&writer, "", 0, delivery, where, err) < 0)
		return -1;
	if (flush(&writer) < 0)
		return failed(where, err);
	urge(file);
	return 0;
}

/* The rest of it, and what comes before the rest. */
static int finish(struct local_file *file, const char *bytes, size_t len, const struct delivery *delivery, const char *where, struct error *err)
{
	struct writer writer;

	writer.file = file;
	writer.len = 0;
	if (add_message(&writer, bytes, len, delivery, where, err) < 0)
		return -1;
	writer.len += local_encode_end(&file->encoder, writer.out + writer.len);
	return flush(&writer) < 0 ? failed(where, err) : 0;
}

int local_end(struct local_file *file, const struct delivery *delivery, const char *where, struct error *err)
{
	return finish(file, "", 0, delivery, where, err);
}

int local_write(int fd, const struct delivery *delivery, const char *where, struct error *err)
{
	struct local_file file = {.fd = fd};

	local_encoder_init(&file.encoder);
	return finish(&file, delivery->prepend, delivery->prepend_len, delivery, where, err);
}
