#include "spawner/scribe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include "config/code.h"
#include "state/marker.h"

#define LIST_MAX_BYTES (16 * 1024 * 1024) /* a configuration is at most 1 MiB */

int scribe_encode(const struct marker *list, size_t count, const char *text, struct error *err)
{
	struct str out = {0};
	int fd;

	encode_text(&out, text);
	for (size_t i = 0; i < count; i++) {
		encode_text(&out, list[i].dir);
		encode_text(&out, list[i].name);
	}
	fd = fs_sealed("markers", out.data, out.len, err);
	str_done(&out);
	return fd;
}

/* Neither the terminal nor a pipe may stay open for as long as it hangs. */
static void close_others(int *list_fd, int *reply_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int list = fcntl(*list_fd, F_DUPFD, 10), reply = fcntl(*reply_fd, F_DUPFD, 10);

	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	*list_fd = dup2(list, 3);
	*reply_fd = dup2(reply, 4);
	syscall(SYS_close_range, 5U, ~0U, 0U);
}

static void answer(int reply_fd, const struct marker *marker)
{
	struct scribe_reply reply = {.sight = marker->sight, .messages = marker->messages, .written_at = marker->written_at};

	snprintf(reply.installation, sizeof(reply.installation), "%s", marker->installation);
	if (send(reply_fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
		_exit(0);
}

void scribe_main(int list_fd, int reply_fd)
{
	struct decoder in = {0};
	const void *bytes;
	char *text;

	close_others(&list_fd, &reply_fd);
	if (fs_map_sealed(list_fd, LIST_MAX_BYTES, &bytes, &in.left, NULL) < 0)
		_exit(70);
	in.at = bytes;
	if (!decode_text(&in, false, &text))
		_exit(70);
	while (in.left != 0) {
		struct marker marker = {0};

		if (!decode_text(&in, true, &marker.dir) || !decode_text(&in, true, &marker.name))
			_exit(70);
		if (text != NULL)
			marker_write(&marker, text);
		marker_look(&marker);
		answer(reply_fd, &marker);
		free(marker.dir);
		free(marker.name);
	}
	_exit(0);
}
