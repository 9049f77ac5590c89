#include "channel/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "channel/wait.h"

int record_send(int fd, const struct record *record, const int *fds, unsigned fd_count)
{
	if (fdpass_send(fd, record, record_size(record), fds, fd_count, MSG_DONTWAIT) == 0)
		return 1;
	return errno == EAGAIN ? 0 : -1;
}

int record_receive(int fd, struct record *ret_record, int *ret_fds, unsigned *ret_fd_count)
{
	ssize_t got = fdpass_receive(fd, ret_record, sizeof(*ret_record), ret_fds, ret_fd_count, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	/* The text is left as it came; the header must be whole before anybody looks at len. */
	if (got < (ssize_t)offsetof(struct record, text) || (size_t)got != record_size(ret_record)) {
		while (*ret_fd_count != 0)
			fs_close(ret_fds[--*ret_fd_count]);
		return -1;
	}
	return 1;
}

void channel_init(struct channel *channel, int fd_take)
{
	*channel = (struct channel){.fd = fd_take, .alive_until = deadline_in_s(CHANNEL_ALIVE_S)};
}

static void take_poll(struct channel *channel, const struct record *record)
{
	unsigned folder = record->index - 1, announced;

	if (record->index == 0) {
		channel->poll = true;
		return;
	}
	announced = channel->tips[folder] + (record->count < UINT8_MAX ? record->count : UINT8_MAX);
	channel->tips[folder] = (uint8_t)(announced < UINT8_MAX ? announced : UINT8_MAX);
	channel->tipped |= UINT64_C(1) << folder;
}

void channel_take_tip(struct channel *channel, unsigned folder)
{
	if (folder >= TIPS_MAX)
		return;
	channel->tips[folder] = 0;
	channel->tipped &= ~(UINT64_C(1) << folder);
}

static void drop_answer(struct channel *channel)
{
	while (channel->answer_fd_count != 0)
		fs_close(channel->answer_fds[--channel->answer_fd_count]);
	channel->has_answer = false;
}

void channel_done(struct channel *channel)
{
	drop_answer(channel);
	batch_done(&channel->unsent);
	channel->fd = fs_close(channel->fd);
}

static int lost(struct channel *channel, struct error *err)
{
	channel->closed = true;
	return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "the supervisor is gone");
}

int channel_drain(struct channel *channel, struct error *err)
{
	struct record record;
	int fds[RECORD_FDS_MAX];
	unsigned fd_count;

	for (;;) {
		int result = record_receive(channel->fd, &record, fds, &fd_count);

		if (result == 0)
			return 0;
		if (result < 0 || record_check(&record, record_size(&record), fd_count, false) != NULL)
			return lost(channel, err);
		if (record.kind == REC_ACK) {
			if ((int32_t)(record.seq - channel->acked) > 0)
				channel->acked = record.seq;
		} else if (record.kind == REC_STOP) {
			channel->stop = true;
			channel->hurry |= (record.flags & REC_AT_ONCE) != 0;
		} else if (record.kind == REC_POLL) {
			take_poll(channel, &record);
		} else if (record.kind == REC_WOKE) {
			channel->woke_ns = clock_monotonic_ns();
		} else {
			drop_answer(channel); /* of a request that was given up */
			memcpy(&channel->answer, &record, record_size(&record));
			memcpy(channel->answer_fds, fds, sizeof(fds));
			channel->answer_fd_count = fd_count;
			channel->has_answer = true;
		}
	}
}

int channel_push(struct channel *channel, struct error *err)
{
	int result = batch_send(&channel->unsent, channel->fd);

	return result < 0 ? lost(channel, err) : result;
}

struct deadline channel_pulse(struct channel *channel)
{
	const struct record alive = {.kind = REC_ALIVE};

	if (channel->at_rest)
		return DEADLINE_NEVER;
	if (deadline_passed(channel->alive_until)) {
		record_send(channel->fd, &alive, NULL, 0); /* whoever has not read the last one yet needs none */
		channel->alive_until = deadline_in_s(CHANNEL_ALIVE_S);
	}
	return channel->alive_until;
}

static int await_room(struct channel *channel, struct error *err)
{
	struct pollfd writable = {.fd = channel->fd, .events = POLLOUT};

	return wait_io(&writable, 1, DEADLINE_NEVER, channel, err);
}

int channel_flush(struct channel *channel, struct error *err)
{
	int result;

	while ((result = channel_push(channel, err)) == 0)
		if (await_room(channel, err) < 0)
			return -1;
	return result < 0 ? -1 : 0;
}

static int gather(struct channel *channel, struct record *record, struct error *err)
{
	while (channel->sent - channel->acked >= CHANNEL_WINDOW)
		if (wait_io(NULL, 0, DEADLINE_NEVER, channel, err) < 0)
			return -1;
	record->seq = ++channel->sent;
	while (!batch_add(&channel->unsent, record))
		if (channel_flush(channel, err) < 0)
			return -1;
	return (record->flags & REC_WAITING) != 0 ? channel_flush(channel, err) : 0;
}

int channel_send(struct channel *channel, struct record *record, const int *fds, unsigned fd_count, struct error *err)
{
	int result;

	if (record_is_durable(record->kind))
		return gather(channel, record, err);
	if (channel_flush(channel, err) < 0)
		return -1;
	while ((result = record_send(channel->fd, record, fds, fd_count)) == 0)
		if (await_room(channel, err) < 0)
			return -1;
	return result < 0 ? lost(channel, err) : 0;
}

/* The others are answered from memory or disk. */
static bool takes_its_time(enum record_kind request)
{
	return request == REC_CONNECT || request == REC_WAIT;
}

int channel_call(struct channel *channel, struct record *request, const int *fds, unsigned fd_count, enum record_kind answer,
	struct record *ret_answer, int *ret_fds, unsigned max_fds, struct error *err)
{
	drop_answer(channel);
	if (channel_send(channel, request, fds, fd_count, err) < 0)
		return -1;
	while (!channel->has_answer) {
		if (channel->hurry && takes_its_time(request->kind))
			return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
		if (wait_io(NULL, 0, DEADLINE_NEVER, channel, err) < 0)
			return -1;
	}
	if (channel->answer.kind == REC_FAILED) {
		error_code(err, channel->answer.error, channel->answer.scope, (int)channel->answer.code, "%.*s", (int)channel->answer.len,
			channel->answer.text);
		drop_answer(channel);
		return -1;
	}
	if (channel->answer.kind != answer) {
		enum record_kind got = channel->answer.kind;

		drop_answer(channel);
		return error_set(
			err, ERR_LOCAL, SCOPE_PROGRAM, "expected %s from the supervisor, got %s", record_kind_name(answer), record_kind_name(got));
	}
	memcpy(ret_answer, &channel->answer, record_size(&channel->answer));
	for (unsigned i = 0; i < channel->answer_fd_count; i++) {
		if (i < max_fds)
			ret_fds[i] = channel->answer_fds[i];
		else
			fs_close(channel->answer_fds[i]);
	}
	channel->answer_fd_count = 0;
	channel->has_answer = false;
	return 0;
}

int channel_settle(struct channel *channel, struct error *err)
{
	while (channel->acked != channel->sent)
		if (wait_io(NULL, 0, DEADLINE_NEVER, channel, err) < 0)
			return -1;
	return 0;
}
