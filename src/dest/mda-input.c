#include "dest/mda-input.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "channel/channel.h"
#include "mail/haul.h"
#include "mail/message.h"

#define MEMORY_MAX (1024 * 1024) /* above this the program reads from a file in the state directory */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define PLACE "the file that the program reads"

static int failed(const struct mda_input *input, const char *what, struct error *err)
{
	return error_errno(err, SCOPE_DESTINATION, "destination %s: cannot %s " PLACE, input->destination, what);
}

static int file_on_disk(const struct mda_input *input, struct error *err)
{
	struct record request = {.kind = REC_WANT_FILE}, answer;
	int fd = -1;

	if (channel_call(input->channel, &request, NULL, 0, REC_FILE, &answer, &fd, 1, err) < 0)
		return -1;
	if (fd < 0)
		failed(input, "make", err);
	return fd;
}

static int file_in_memory(const struct mda_input *input, struct error *err)
{
	int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		failed(input, "make", err);
	return fd;
}

/* -- while the message arrives -- */

int mda_input_begin(struct mda_input *input, const struct delivery *delivery, struct error *err)
{
	int fd = file_on_disk(input, err);

	if (fd < 0)
		return -1;
	input->begun = delivery;
	if (local_begin(&input->file, fd, delivery, PLACE, err) == 0)
		return 0;
	mda_input_discard(input, delivery);
	return -1;
}

int mda_input_feed(struct mda_input *input, const struct delivery *delivery, struct error *err)
{
	if (local_add(&input->file, delivery, PLACE, err) == 0)
		return 0;
	mda_input_discard(input, delivery);
	return -1;
}

void mda_input_discard(struct mda_input *input, const struct delivery *delivery)
{
	if (delivery == NULL || input->begun != delivery)
		return;
	fs_close(input->file.fd);
	input->begun = NULL;
}

/* -- once it has -- */

static int finish_begun(struct mda_input *input, const struct delivery *delivery, struct error *err)
{
	int fd = input->file.fd;

	input->begun = NULL;
	return local_end(&input->file, delivery, PLACE, err) < 0 ? fs_close(fd) : fd;
}

static int write_new(const struct mda_input *input, const struct delivery *delivery, bool small, struct error *err)
{
	int fd = small ? file_in_memory(input, err) : file_on_disk(input, err);

	return fd >= 0 && local_write(fd, delivery, PLACE, err) < 0 ? fs_close(fd) : fd;
}

int mda_input_make(struct mda_input *input, const struct delivery *delivery, struct error *err)
{
	bool begun = input->begun == delivery, small = !begun && delivery->prepend_len + delivery->message->size <= MEMORY_MAX;
	int fd = begun ? finish_begun(input, delivery, err) : write_new(input, delivery, small, err);

	if (fd >= 0 && (lseek(fd, 0, SEEK_SET) < 0 || (small && fcntl(fd, F_ADD_SEALS, SEALS) < 0))) {
		failed(input, "complete", err);
		return fs_close(fd);
	}
	return fd;
}
