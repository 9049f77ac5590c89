#include "tests/lib/delivery.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/message.h"
#include "mail/spool.h"

static struct spool_file *spool_file;
static pid_t supervisor;

struct delivery *delivery_arriving(size_t len, const char *sender, const char *recipient)
{
	struct haul *haul = haul_new(1, 1, len, 0);
	struct delivery *delivery = xcalloc(1, sizeof(*delivery));

	if (spool_file == NULL)
		spool_file = spool_file_new(memfd_create("spool", MFD_CLOEXEC));
	haul->message = message_new(spool_file, "cafecafe");
	haul->delivery_count = 1;
	haul->deliveries = delivery;
	*delivery = (struct delivery){
		.haul = haul,
		.message = haul->message,
		.sender = sender,
		.recipient = recipient,
		.intent_at = 1700000000,
		.id = DELIVERY_ID,
		.prepend = xstrdup(DELIVERY_PREPEND),
		.prepend_len = strlen(DELIVERY_PREPEND),
	};
	return delivery;
}

void delivery_arrives(struct delivery *delivery, const char *bytes, size_t len)
{
	struct error err;

	assert_int_equal(message_add(delivery->haul->message, bytes, len, &err), 0);
}

void delivery_has_arrived(struct delivery *delivery)
{
	struct error err;

	assert_int_equal(message_end(delivery->haul->message, &err), 0);
}

struct delivery *delivery_new(const char *bytes, size_t len, const char *sender, const char *recipient)
{
	struct delivery *delivery = delivery_arriving(len, sender, recipient);

	delivery_arrives(delivery, bytes, len);
	delivery_has_arrived(delivery);
	return delivery;
}

void delivery_free(struct delivery *delivery)
{
	haul_free(delivery->haul);
}

static void serve(int fd, const int *fds, unsigned count) __attribute__((noreturn));
static void serve(int fd, const int *fds, unsigned count)
{
	unsigned used = 0;

	for (;;) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		struct record record, answer = {.kind = REC_CONNECTED};
		int passed[RECORD_FDS_MAX];
		unsigned passed_count;

		poll(&readable, 1, -1);
		if (record_receive(fd, &record, passed, &passed_count) <= 0)
			_exit(0);
		if (record.kind == REC_ALIVE)
			continue;
		if (record.kind != REC_CONNECT)
			_exit(0);
		if (used == count) {
			char text[60];

			snprintf(text, sizeof(text), "cannot connect, given %u seconds", record.count);
			answer = (struct record){.kind = REC_FAILED, .error = ERR_TEMP, .scope = SCOPE_MAILBOX};
			record_set_text(&answer, text, strlen(text));
			record_send(fd, &answer, NULL, 0);
			continue;
		}
		record_set_text(&answer, "127.0.0.1", 9);
		record_send(fd, &answer, &fds[used], 1);
		close(fds[used++]); /* else nobody would see the client hang up */
	}
}

void connections_start(struct channel *channel, const int *fds_take, unsigned count)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	supervisor = fork();
	assert_true(supervisor >= 0);
	if (supervisor == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		serve(pair[1], fds_take, count);
	}
	close(pair[1]);
	for (unsigned i = 0; i < count; i++)
		close(fds_take[i]);
	channel_init(channel, pair[0]);
}

void connections_stop(struct channel *channel)
{
	channel_done(channel);
	waitpid(supervisor, NULL, 0);
}
