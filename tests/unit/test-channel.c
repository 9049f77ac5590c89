/* Both ends of a channel in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "channel/channel.h"
#include "channel/wait.h"

struct ends {
	struct channel worker;
	int supervisor;
};

static int open_ends(void **state)
{
	static struct ends ends;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	channel_init(&ends.worker, pair[0]);
	ends.supervisor = pair[1];
	*state = &ends;
	return 0;
}

static int close_ends(void **state)
{
	struct ends *ends = *state;

	channel_done(&ends->worker);
	fs_close(ends->supervisor);
	return 0;
}

static void acknowledge(const struct ends *ends, uint32_t seq)
{
	assert_int_equal(record_send(ends->supervisor, &(struct record){.kind = REC_ACK, .seq = seq}, NULL, 0), 1);
}

static struct record take(const struct ends *ends, int *fds, unsigned *count)
{
	struct record record;

	assert_int_equal(record_receive(ends->supervisor, &record, fds, count), 1);
	return record;
}

static void test_durable_records_are_numbered(void **state)
{
	struct ends *ends = *state;
	struct error err;
	int fds[RECORD_FDS_MAX];
	unsigned count;

	for (uint32_t i = 1; i <= 3; i++) {
		struct record record = {.kind = REC_DISPOSED, .id = i};

		assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
		assert_int_equal(record.seq, i);
		assert_int_equal(channel_flush(&ends->worker, &err), 0);
		assert_int_equal(take(ends, fds, &count).seq, i);
	}
	assert_false(channel_is_durable(&ends->worker, 1));
	acknowledge(ends, 2);
	assert_int_equal(channel_drain(&ends->worker, &err), 0);
	assert_true(channel_is_durable(&ends->worker, 2));
	assert_false(channel_is_durable(&ends->worker, 3));
}

static void test_acknowledgements_never_go_back(void **state)
{
	struct ends *ends = *state;
	struct error err;

	acknowledge(ends, 9);
	acknowledge(ends, 4);
	assert_int_equal(channel_drain(&ends->worker, &err), 0);
	assert_int_equal(ends->worker.acked, 9);
}

static void test_numbers_wrap(void **state)
{
	struct ends *ends = *state;

	ends->worker.acked = 2;
	assert_true(channel_is_durable(&ends->worker, UINT32_MAX));
	ends->worker.acked = UINT32_MAX;
	assert_false(channel_is_durable(&ends->worker, 2));
}

static void test_call_takes_the_answer_and_its_descriptors(void **state)
{
	struct ends *ends = *state;
	struct record request = {.kind = REC_WANT_FILE}, answer;
	struct error err;
	int pipe_ends[2], fds[1];
	char byte;

	assert_int_equal(pipe(pipe_ends), 0);
	acknowledge(ends, 5); /* comes in between, and is not lost */
	assert_int_equal(record_send(ends->supervisor, &(struct record){.kind = REC_STOP}, NULL, 0), 1);
	assert_int_equal(record_send(ends->supervisor, &(struct record){.kind = REC_FILE}, &pipe_ends[0], 1), 1);
	assert_int_equal(channel_drain(&ends->worker, &err), 0);
	assert_true(ends->worker.stop);
	/* An answer that nobody asked for is dropped with its descriptor when the next request goes out. */
	assert_int_equal(record_send(ends->supervisor, &(struct record){.kind = REC_FILE}, &pipe_ends[0], 1), 1);
	assert_int_equal(channel_call(&ends->worker, &request, NULL, 0, REC_FILE, &answer, fds, 1, &err), 0);
	assert_int_equal(ends->worker.acked, 5);
	assert_int_equal(write(pipe_ends[1], "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

static void test_refusal_becomes_the_error(void **state)
{
	struct ends *ends = *state;
	struct record request = {.kind = REC_CONNECT}, answer;
	struct record refusal = {.kind = REC_FAILED, .error = ERR_TEMP, .scope = SCOPE_DESTINATION, .code = 111};
	struct error err;

	record_set_text(&refusal, "no route", 8);
	assert_int_equal(record_send(ends->supervisor, &refusal, NULL, 0), 1);
	assert_int_equal(channel_call(&ends->worker, &request, NULL, 0, REC_CONNECTED, &answer, NULL, 0, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_int_equal(err.scope, SCOPE_DESTINATION);
	assert_int_equal(err.code, 111);
	assert_string_equal(err.text, "no route");
}

static void test_the_supervisor_is_gone(void **state)
{
	struct ends *ends = *state;
	struct record request = {.kind = REC_WANT_FILE}, answer;
	struct error err;

	ends->supervisor = fs_close(ends->supervisor);
	assert_int_equal(channel_call(&ends->worker, &request, NULL, 0, REC_FILE, &answer, NULL, 0, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELED);
	assert_true(ends->worker.closed);
	assert_int_equal(wait_io(NULL, 0, deadline_in_s(5), &ends->worker, &err), -1);
}

static void test_nonsense_from_above_is_the_end(void **state)
{
	struct ends *ends = *state;
	struct error err;

	assert_int_equal(send(ends->supervisor, "short", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(channel_drain(&ends->worker, &err), -1);
	assert_true(ends->worker.closed);
}

/* A worker leaves without reading its last acknowledgement: the kernel reports a reset before it hands out what the worker said. */
static void test_last_words_survive_unread_answers(void **state)
{
	struct ends *ends = *state;
	struct record record = {.kind = REC_DISPOSED, .id = 7};
	struct error err;
	int fds[RECORD_FDS_MAX];
	unsigned count;

	assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
	assert_int_equal(channel_flush(&ends->worker, &err), 0);
	acknowledge(ends, 1);
	channel_done(&ends->worker);
	assert_int_equal(take(ends, fds, &count).id, 7);
	assert_int_equal(record_receive(ends->supervisor, &record, fds, &count), -1);
}

static struct record step_of(uint64_t id, const char *text)
{
	struct record record = {.kind = REC_OUTCOME, .id = id, .verdict = VERDICT_ACCEPTED};

	record_set_text(&record, text, strlen(text));
	return record;
}

/* One datagram with these numbers, and then no other one. */
static void expect_batch(const struct ends *ends, uint32_t first, uint32_t last)
{
	static struct batch_reader reader;
	int fds[RECORD_FDS_MAX];
	unsigned count;
	bool broken;

	assert_int_equal(batch_receive(&reader, ends->supervisor, fds, &count), 1);
	for (uint32_t seq = first; seq <= last; seq++) {
		const struct record *record = batch_next(&reader, &broken);

		assert_non_null(record);
		assert_int_equal(record->seq, seq);
	}
	assert_null(batch_next(&reader, &broken));
	assert_false(broken);
	assert_int_equal(batch_receive(&reader, ends->supervisor, fds, &count), 0);
}

static void test_steps_leave_together(void **state)
{
	static const struct {
		enum record_kind kind;
		unsigned flags;
	} last[] = {{REC_OUTCOME, REC_WAITING}, {REC_PROGRESS, 0}};
	struct ends *ends = *state;
	struct error err;
	uint32_t seq = 1;

	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		static const char *const texts[] = {"", "x", "eightbyt", "250 2.0.0 Ok: queued as 4ABCDEF"};

		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
			struct record record = step_of(1 + k, texts[k]);

			assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
		}
		struct record record = step_of(9, "");
		record.kind = (uint16_t)last[i].kind;
		record.flags = (uint16_t)last[i].flags;
		assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
		if (last[i].kind == REC_OUTCOME)
			expect_batch(ends, seq, seq + 4);
	}
	/* What is no step goes behind, by itself. */
	int fds[RECORD_FDS_MAX];
	unsigned count;
	static struct batch_reader reader;
	bool broken;

	assert_int_equal(batch_receive(&reader, ends->supervisor, fds, &count), 1);
	assert_int_equal(batch_next(&reader, &broken)->seq, 6);
	assert_int_equal(take(ends, fds, &count).kind, REC_PROGRESS);
}

static void test_whoever_sleeps_has_sent_all(void **state)
{
	struct ends *ends = *state;
	struct record record = step_of(1, "");
	struct error err;

	assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
	assert_int_equal(wait_io(NULL, 0, deadline_in_s(0.01), &ends->worker, &err), 0);
	expect_batch(ends, 1, 1);
}

/* Takes one datagram, whose records go on behind *last. False: there is none. */
static bool take_more(const struct ends *ends, uint32_t *last)
{
	static struct batch_reader reader;
	const struct record *record;
	int fds[RECORD_FDS_MAX];
	unsigned count;
	bool broken;

	if (batch_receive(&reader, ends->supervisor, fds, &count) == 0)
		return false;
	while ((record = batch_next(&reader, &broken)) != NULL)
		assert_int_equal(record->seq, ++*last);
	return true;
}

/* The other side does not read: nothing is lost, and nothing comes twice. */
static void test_a_full_channel_is_waited_for(void **state)
{
	struct ends *ends = *state;
	struct record record = step_of(1, "250 2.0.0 Ok: queued as 4ABCDEF");
	struct error err;
	uint32_t last = 0;

	for (bool full = false; !full;) {
		record.seq++;
		while (!full && !batch_add(&ends->worker.unsent, &record)) {
			assert_int_equal(wait_io(NULL, 0, deadline_in_s(0), &ends->worker, &err), 0);
			full = ends->worker.unsent.len != 0;
		}
	}
	assert_true(take_more(ends, &last));
	assert_int_equal(wait_io(NULL, 0, deadline_in_s(0), &ends->worker, &err), 0);
	assert_int_equal(ends->worker.unsent.len, 0);
	while (take_more(ends, &last))
		continue;
	assert_int_equal(last, record.seq - 1);
}

static void test_a_batch_that_is_cut_short(void **state)
{
	static struct batch_reader reader;
	struct batch batch = {0};
	const struct record one = step_of(1, "one"), two = step_of(2, "two");
	size_t first, all;

	(void)state;
	assert_true(batch_add(&batch, &one));
	first = batch.len;
	assert_true(batch_add(&batch, &two));
	all = first + record_size(&two);
	memcpy(reader.bytes, batch.bytes, batch.len);
	for (size_t len = 0; len <= batch.len; len++) {
		bool broken;

		reader.len = len;
		reader.at = 0;
		if (len >= record_size(&one))
			assert_int_equal(batch_next(&reader, &broken)->id, 1);
		if (len >= all)
			assert_int_equal(batch_next(&reader, &broken)->id, 2);
		assert_null(batch_next(&reader, &broken));
		assert_int_equal(broken, len != 0 && len < record_size(&one) ? true : len > first && len < all);
	}
	batch_done(&batch);
}

static void test_wait_tells_what_woke_it(void **state)
{
	struct ends *ends = *state;
	struct pollfd input = {.events = POLLIN};
	struct error err;
	int pipe_ends[2];

	assert_int_equal(pipe(pipe_ends), 0);
	input.fd = pipe_ends[0];
	assert_int_equal(wait_io(&input, 1, deadline_in_s(0.01), &ends->worker, &err), 0);
	acknowledge(ends, 1);
	assert_int_equal(wait_io(&input, 1, deadline_in_s(5), &ends->worker, &err), 2);
	assert_int_equal(ends->worker.acked, 1);
	assert_int_equal(write(pipe_ends[1], "x", 1), 1);
	assert_int_equal(wait_io(&input, 1, deadline_in_s(5), &ends->worker, &err), 1);
	assert_int_equal(input.revents & POLLIN, POLLIN);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
}

static void test_settle_waits_for_all(void **state)
{
	struct ends *ends = *state;
	struct record record = {.kind = REC_DISPOSED, .id = 1};
	struct error err;

	assert_int_equal(channel_send(&ends->worker, &record, NULL, 0, &err), 0);
	acknowledge(ends, 1);
	assert_int_equal(channel_settle(&ends->worker, &err), 0);
	assert_true(channel_is_durable(&ends->worker, 1));
}

#define WITH_ENDS(test) cmocka_unit_test_setup_teardown(test, open_ends, close_ends)

/* Whoever waits for somebody says that it does; it is silent when it is at rest, and nothing that it says ends the wait. */
static void test_who_waits_is_alive(void **state)
{
	struct ends *ends = *state;
	struct error err;
	int fds[RECORD_FDS_MAX];
	unsigned count;

	deadline_set_factor(5e-5); /* every 3 ms */
	channel_init(&ends->worker, ends->worker.fd);
	assert_int_equal(wait_io(NULL, 0, deadline_in_s(100 * CHANNEL_ALIVE_S), &ends->worker, &err), 0);
	assert_int_equal(take(ends, fds, &count).kind, REC_ALIVE);
	assert_int_equal(take(ends, fds, &count).kind, REC_ALIVE);
	while (record_receive(ends->supervisor, &(struct record){0}, fds, &count) > 0)
		continue;
	ends->worker.at_rest = true;
	assert_int_equal(wait_io(NULL, 0, deadline_in_s(3 * CHANNEL_ALIVE_S), &ends->worker, &err), 0);
	assert_int_equal(record_receive(ends->supervisor, &(struct record){0}, fds, &count), 0);
	deadline_set_factor(1.0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_ENDS(test_durable_records_are_numbered),
		WITH_ENDS(test_acknowledgements_never_go_back),
		WITH_ENDS(test_numbers_wrap),
		WITH_ENDS(test_call_takes_the_answer_and_its_descriptors),
		WITH_ENDS(test_refusal_becomes_the_error),
		WITH_ENDS(test_the_supervisor_is_gone),
		WITH_ENDS(test_nonsense_from_above_is_the_end),
		WITH_ENDS(test_last_words_survive_unread_answers),
		WITH_ENDS(test_steps_leave_together),
		WITH_ENDS(test_whoever_sleeps_has_sent_all),
		WITH_ENDS(test_a_full_channel_is_waited_for),
		cmocka_unit_test(test_a_batch_that_is_cut_short),
		WITH_ENDS(test_wait_tells_what_woke_it),
		WITH_ENDS(test_settle_waits_for_all),
		WITH_ENDS(test_who_waits_is_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
