#include "worker/birth.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "channel/channel.h"
#include "channel/job.h"
#include "channel/wait.h"
#include "config/config.h"
#include "dest/maildir.h"

#define BIRTH_S 30 /* the supervisor has everything at hand */

/* -- what it is handed -- */

/* First line of what a program printed or a file held; the pipe is complete, its writer is gone. */
static struct secret *read_secret(int pipe_fd)
{
	struct secret *raw = secret_new_size(SECRET_MAX_BYTES), *secret;
	char *buffer = secret_buffer(raw);
	size_t len = 0;
	ssize_t got;

	while (len < SECRET_MAX_BYTES && (got = read(pipe_fd, buffer + len, SECRET_MAX_BYTES - len)) > 0)
		len += (size_t)got;
	close(pipe_fd);
	char *end = memchr(buffer, '\n', len);
	if (end != NULL)
		len = (size_t)(end - buffer);
	if (len != 0 && buffer[len - 1] == '\r')
		len--;
	secret = secret_new(buffer, len);
	secret_free(raw);
	return secret;
}

static int take_record(struct birth *birth, const struct record *record, const int *fds, unsigned fd_count, struct error *err)
{
	switch (record->kind) {
	case REC_JOB:
		birth->job = job_decode(fds[0], err);
		return birth->job != NULL ? 0 : -1;
	case REC_SECRET:
		if (record->index > TARGETS_MAX)
			break;
		birth->secrets[record->index] = read_secret(fds[0]);
		if (secret_length(birth->secrets[record->index]) == 0)
			return error_set(
				err, ERR_CONFIG, SCOPE_MAILBOX, "the password command printed no password: the first line of its output is empty");
		return 0;
	case REC_READY:
		birth->lock_fd = fd_count != 0 ? fds[0] : -1; /* held for as long as we live */
		birth->ready = true;
		return birth->job != NULL ? 0 : error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "the supervisor gave no job");
	case REC_WOKE:
		return 0; /* nobody has been asked for anything yet */
	case REC_STOP:
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	default:
		break;
	}
	return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "unexpected %s from the supervisor", record_kind_name(record->kind));
}

static int take_records(struct birth *birth, int channel_fd, struct error *err)
{
	struct deadline deadline = deadline_in_s(BIRTH_S);

	while (!birth->ready) {
		struct pollfd input = {.fd = channel_fd, .events = POLLIN};
		struct record record;
		int fds[RECORD_FDS_MAX];
		unsigned fd_count;

		if (wait_io(&input, 1, deadline, NULL, err) <= 0)
			return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "the supervisor said nothing");
		if (record_receive(channel_fd, &record, fds, &fd_count) <= 0 || record_check(&record, record_size(&record), fd_count, false) != NULL)
			return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "the supervisor is gone");
		if (take_record(birth, &record, fds, fd_count, err) < 0)
			return -1;
	}
	return 0;
}

/* -- what it opens for itself -- */

static int tell(struct channel *channel, unsigned index, const struct maildir_sight *sight, struct error *err)
{
	struct record record = {.kind = REC_MAILDIR, .index = index};

	if (sight != NULL) {
		record.count = 1;
		record.id = sight->inode;
		record.when = sight->born_s;
		record.size = sight->born_ns;
		record.targets = sight->number;
	}
	return channel_send(channel, &record, NULL, 0, err);
}

static int open_maildir(struct birth *birth, unsigned i, struct channel *channel, struct error *err)
{
	struct maildir_sight sight;

	if ((birth->job->closed >> i & 1) != 0) {
		error_set(&birth->refusals[i], ERR_TEMP, SCOPE_DESTINATION, "destination %s: not tried now, because it failed before",
			birth->job->destinations[i].name);
		return 0;
	}
	if (maildir_open_directories(birth->job->destinations[i].path, birth->job->tidied[i], birth->directories[i], &sight, &birth->refusals[i]) < 0)
		return tell(channel, i, NULL, err);
	return tell(channel, i, &sight, err);
}

/* A Maildir that cannot be opened, or a program that is not there, is that destination's trouble: the others are served. A dead file system keeps us here,
 * and nobody but us. */
static int open_destinations(struct birth *birth, struct channel *channel, struct error *err)
{
	for (unsigned i = 0; i < birth->job->destination_count; i++) {
		const struct dest_config *dest = &birth->job->destinations[i];

		if (dest->kind == DEST_MAILDIR && open_maildir(birth, i, channel, err) < 0)
			return -1;
		if (dest->kind == DEST_MDA && access(dest->argv[0], X_OK) < 0)
			error_set(&birth->refusals[i], ERR_TEMP, SCOPE_DESTINATION, "destination %s: cannot start the program %s: %s", dest->name,
				dest->argv[0], strerror(errno));
	}
	return 0;
}

int birth_await(struct birth *birth, struct channel *channel, struct error *err)
{
	memset(birth->directories, -1, sizeof(birth->directories));
	return take_records(birth, channel->fd, err) < 0 ? -1 : open_destinations(birth, channel, err);
}
