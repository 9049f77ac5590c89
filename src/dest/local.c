#include "dest/local.h"

#include "base/error.h"
#include "base/fs.h"
#include "mail/haul.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/spool.h"

#define PIECE_BYTES ((size_t)32 * 1024)

static int write_encoded(int fd, struct local_encoder *encoder, const char *bytes, size_t len)
{
	while (len != 0) {
		char out[PIECE_BYTES + 1];
		size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;

		if (fs_write_all(fd, out, local_encode(encoder, bytes, piece, out)) < 0)
			return -1;
		bytes += piece;
		len -= piece;
	}
	return 0;
}

int local_write(int fd, const struct delivery *delivery, const char *where, struct error *err)
{
	struct local_encoder encoder;
	const char *bytes = delivery->prepend;
	size_t len = delivery->prepend_len;
	uint64_t offset = 0;
	char end[2];

	local_encoder_init(&encoder);
	do {
		if (write_encoded(fd, &encoder, bytes, len) < 0)
			return error_errno(err, SCOPE_DESTINATION, "cannot write to %s", where);
		if (spool_read(delivery->haul->message->spool, offset, &bytes, &len, err) < 0)
			return -1;
		offset += len;
	} while (len != 0);
	if (fs_write_all(fd, end, local_encode_end(&encoder, end)) < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot write to %s", where);
	return 0;
}
