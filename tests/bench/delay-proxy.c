/* delay-proxy.c - a network of a given round trip and of any bandwidth, between a client and servers on this machine.
 *
 *   delay-proxy ROUND_TRIP_MS PORT...      for each PORT of 127.0.0.1 one line on stdout: "PORT LISTENING_PORT"
 *
 * Connecting takes one round trip, then each direction delays what it carries by half of one. A flight is a turn of direction: the client speaks after it
 * has heard something (or at the beginning). On SIGUSR1 and at the end a line says what was seen since the last one, and the counters start anew:
 * "connections N flights N up BYTES down BYTES". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 * 1024)
#define QUEUE_BYTES_MAX ((size_t)64 * 1024 * 1024) /* of one direction: beyond it nothing more is read, as with a receiver's window */
#define EVENTS_MAX 64

struct chunk {
	STAILQ_ENTRY(chunk) next;
	uint64_t due_ns;
	size_t len, sent; /* len 0: the sender has closed */
	char bytes[];
};
STAILQ_HEAD(chunk_queue, chunk);

enum side { CLIENT, SERVER };

struct end {
	struct connection *connection;
	int fd; /* -1: not connected yet, or gone */
	uint32_t watched;
	struct chunk_queue queue; /* on its way to this end */
	size_t queued;
	bool heard_all; /* this end will say no more */
	bool told_all;  /* and was told that the other will not */
	bool blocked;   /* its socket takes no more just now */
	bool gone;      /* closed, or broken: nothing reaches it any more */
};

struct connection {
	LIST_ENTRY(connection) next;
	struct end ends[2];
	uint16_t port;
	uint64_t open_ns; /* when the handshake is over for the client; the server hears of it half a round trip later */
	bool client_spoke_last, dead;
};

struct listener {
	int fd;
	uint16_t port;
};

static struct {
	uint64_t connections, flights, up_bytes, down_bytes;
} seen;

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static uint64_t half_ns;
static int poller;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void report(void)
{
	printf("connections %llu flights %llu up %llu down %llu\n", (unsigned long long)seen.connections, (unsigned long long)seen.flights,
		(unsigned long long)seen.up_bytes, (unsigned long long)seen.down_bytes);
	fflush(stdout);
	memset(&seen, 0, sizeof(seen));
}

static struct end *other_end(struct end *end)
{
	return &end->connection->ends[end == &end->connection->ends[CLIENT] ? SERVER : CLIENT];
}

static bool is_client(const struct end *end)
{
	return end == &end->connection->ends[CLIENT];
}

/* Level triggered, and only for what can be used: reading while there is room for it, writing while the socket is full. */
static void watch(struct end *end)
{
	uint32_t wanted = 0;
	struct epoll_event event = {.data.ptr = end};

	if (end->fd < 0)
		return;
	if (!end->heard_all && other_end(end)->queued < QUEUE_BYTES_MAX)
		wanted |= EPOLLIN;
	if (end->blocked)
		wanted |= EPOLLOUT;
	if (wanted == end->watched)
		return;
	event.events = wanted;
	epoll_ctl(poller, EPOLL_CTL_MOD, end->fd, &event);
	end->watched = wanted;
}

static void adopt(struct end *end, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	end->fd = fd;
	end->watched = EPOLLIN;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void drop_first(struct end *end)
{
	struct chunk *chunk = STAILQ_FIRST(&end->queue);

	STAILQ_REMOVE_HEAD(&end->queue, next);
	end->queued -= chunk->len;
	free(chunk);
}

/* What it has said before still reaches the other end. */
static void leave(struct end *end)
{
	close(end->fd);
	end->fd = -1;
	end->gone = end->told_all = true;
	while (!STAILQ_EMPTY(&end->queue))
		drop_first(end);
}

/* What arrives at one end is on its way to the other. */
static void take(struct end *end)
{
	static char buffer[CHUNK_BYTES];
	struct connection *connection = end->connection;
	struct end *target = other_end(end);
	ssize_t got = recv(end->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	uint64_t start = now_ns();
	struct chunk *chunk;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (end->heard_all) {
		leave(end);
		return;
	}
	if (got <= 0) {
		got = 0;
		end->heard_all = true;
	}
	if (is_client(end) && start < connection->open_ns)
		start = connection->open_ns;
	if (got > 0 && is_client(end) && !connection->client_spoke_last) {
		connection->client_spoke_last = true;
		seen.flights++;
	}
	*(is_client(end) ? &seen.up_bytes : &seen.down_bytes) += (uint64_t)got;
	chunk = malloc(sizeof(*chunk) + (size_t)got);
	if (chunk == NULL)
		die("malloc");
	chunk->due_ns = start + half_ns;
	chunk->len = (size_t)got;
	chunk->sent = 0;
	memcpy(chunk->bytes, buffer, (size_t)got);
	STAILQ_INSERT_TAIL(&target->queue, chunk, next); /* of one that is gone: never delivered */
	target->queued += (size_t)got;
}

/* Everything that is due, as far as the socket takes it. */
static void deliver(struct end *end, uint64_t now)
{
	struct chunk *chunk;

	end->blocked = false;
	while (end->fd >= 0 && (chunk = STAILQ_FIRST(&end->queue)) != NULL && chunk->due_ns <= now) {
		ssize_t sent;

		if (chunk->len == 0) {
			shutdown(end->fd, SHUT_WR);
			end->told_all = true;
			drop_first(end);
			continue;
		}
		sent = send(end->fd, chunk->bytes + chunk->sent, chunk->len - chunk->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			end->blocked = true;
			break;
		}
		if (sent < 0) {
			leave(end);
			break;
		}
		if (is_client(end))
			end->connection->client_spoke_last = false;
		chunk->sent += (size_t)sent;
		if (chunk->sent == chunk->len)
			drop_first(end);
	}
}

static void reach_server(struct connection *connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(connection->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* On this machine that takes no time. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		connection->dead = true;
		if (fd >= 0)
			close(fd);
		return;
	}
	adopt(&connection->ends[SERVER], fd);
}

static void welcome(const struct listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
	struct connection *connection;

	if (fd < 0)
		return;
	connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		die("calloc");
	connection->port = listener->port;
	connection->open_ns = now_ns() + 2 * half_ns;
	for (enum side side = CLIENT; side <= SERVER; side++) {
		connection->ends[side].connection = connection;
		connection->ends[side].fd = -1;
		STAILQ_INIT(&connection->ends[side].queue);
	}
	adopt(&connection->ends[CLIENT], fd);
	LIST_INSERT_HEAD(&connections, connection, next);
	seen.connections++;
}

static void bury(struct connection *connection)
{
	LIST_REMOVE(connection, next);
	for (enum side side = CLIENT; side <= SERVER; side++) {
		while (!STAILQ_EMPTY(&connection->ends[side].queue))
			drop_first(&connection->ends[side]);
		if (connection->ends[side].fd >= 0)
			close(connection->ends[side].fd);
	}
	free(connection);
}

/* Moves what is due; returns when the next thing will be. */
static uint64_t turn(uint64_t now)
{
	struct connection *connection = LIST_FIRST(&connections);
	uint64_t next_ns = UINT64_MAX;

	while (connection != NULL) {
		struct connection *following = LIST_NEXT(connection, next);
		uint64_t reach_ns = connection->open_ns + half_ns;
		bool unreached = connection->ends[SERVER].fd < 0 && !connection->ends[SERVER].gone;

		if (unreached && reach_ns <= now)
			reach_server(connection);
		else if (unreached && reach_ns < next_ns)
			next_ns = reach_ns;
		for (enum side side = CLIENT; side <= SERVER; side++) {
			struct end *end = &connection->ends[side];

			deliver(end, now);
			watch(end);
			watch(other_end(end));
			if (!end->blocked && end->fd >= 0 && !STAILQ_EMPTY(&end->queue) && STAILQ_FIRST(&end->queue)->due_ns < next_ns)
				next_ns = STAILQ_FIRST(&end->queue)->due_ns;
		}
		if (connection->dead || (connection->ends[CLIENT].told_all && connection->ends[SERVER].told_all))
			bury(connection);
		connection = following;
	}
	return next_ns;
}

static void sleep_until(uint64_t next_ns, int signals, const struct listener *listeners, size_t listener_count)
{
	struct epoll_event events[EVENTS_MAX];
	struct timespec span;
	uint64_t now = now_ns(), wait = next_ns > now ? next_ns - now : 0;
	int count;

	span = (struct timespec){.tv_sec = (time_t)(wait / 1000000000), .tv_nsec = (long)(wait % 1000000000)};
	count = epoll_pwait2(poller, events, EVENTS_MAX, next_ns == UINT64_MAX ? NULL : &span, NULL);
	for (int i = 0; i < count; i++) {
		const struct listener *listener = events[i].data.ptr;
		struct signalfd_siginfo info;

		if (events[i].data.ptr == &seen) {
			if (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
				report();
			if (info.ssi_signo != SIGUSR1)
				exit(0);
		} else if (listener >= listeners && listener < listeners + listener_count) {
			welcome(listener);
		} else if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
			take(events[i].data.ptr);
		}
	}
}

static int open_signals(void)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &seen};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
		die("signalfd");
	return fd;
}

static void open_listener(struct listener *listener, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};
	socklen_t len = sizeof(address);

	listener->port = (uint16_t)atoi(port);
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, len) < 0 || listen(listener->fd, 1024) < 0 ||
		getsockname(listener->fd, (struct sockaddr *)&address, &len) < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener->fd, &event) < 0)
		die("listen");
	printf("%s %u\n", port, ntohs(address.sin_port));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct listener *listeners = calloc((size_t)argc, sizeof(*listeners));
	int signals;

	if (argc < 3 || listeners == NULL) {
		fprintf(stderr, "usage: delay-proxy ROUND_TRIP_MS PORT...\n");
		return 64;
	}
	half_ns = (uint64_t)(atof(argv[1]) * 500000);
	poller = epoll_create1(EPOLL_CLOEXEC);
	signals = open_signals();
	for (int i = 2; i < argc; i++)
		open_listener(&listeners[i - 2], argv[i]);
	for (;;)
		sleep_until(turn(now_ns()), signals, listeners, (size_t)argc - 2);
}
