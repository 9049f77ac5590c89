#include "dest/local.h"

#include "base/error.h"
#include "base/fs.h"
#include "mail/haul.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/spool.h"

#define PIECE_BYTES ((size_t)32 * 1024)

/* Gathers, so that a small message with its header is one write. */
struct writer {
	int fd;
	struct local_encoder encoder;
	size_t len;
	char out[PIECE_BYTES + 2]; /* a CR may have been held back before a piece, and another one at the end */
};

static int flush(struct writer *writer)
{
	int result = fs_write_all(writer->fd, writer->out, writer->len);

	writer->len = 0;
	return result;
}

static int add(struct writer *writer, const char *bytes, size_t len)
{
	while (len != 0) {
		size_t room = PIECE_BYTES - writer->len, piece = len < room ? len : room;

		writer->len += local_encode(&writer->encoder, bytes, piece, writer->out + writer->len);
		if (writer->len >= PIECE_BYTES && flush(writer) < 0)
			return -1;
		bytes += piece;
		len -= piece;
	}
	return 0;
}

int local_write(int fd, const struct delivery *delivery, const char *where, struct error *err)
{
	struct writer writer;
	const char *bytes = delivery->prepend;
	size_t len = delivery->prepend_len;
	uint64_t offset = 0;

	writer.fd = fd;
	writer.len = 0;
	local_encoder_init(&writer.encoder);
	do {
		if (add(&writer, bytes, len) < 0)
			return error_errno(err, SCOPE_DESTINATION, "cannot write to %s", where);
		if (spool_read(delivery->haul->message->spool, offset, &bytes, &len, err) < 0)
			return -1;
		offset += len;
	} while (len != 0);
	writer.len += local_encode_end(&writer.encoder, writer.out + writer.len);
	if (flush(&writer) < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot write to %s", where);
	return 0;
}
