#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "channel/record.h"
#include "channel/channel.h"
#include "spawner/spawner.h"

#define ATTEMPTS_MAX 16      /* addresses tried; a name with more of them is no mail server */
#define ATTEMPT_DELAY_S 0.25 /* RFC 8305 5: the next address is tried after this */
#define CONNECT_S 30
#define RESOLVED_S 5 /* addresses serve the next request, too, if it comes so soon: mailboxes of one server are looked into together */

/* One race between the addresses of a name. */
struct race {
	const struct addrinfo *order[ATTEMPTS_MAX];
	struct pollfd attempt[ATTEMPTS_MAX];
	unsigned count, started, running;
	int last_errno;
};

/* What a name stands for, as it was found last. */
struct resolution {
	struct addrinfo *list; /* NULL: to be found */
	struct deadline until;
};

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
	if (address->sa_family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
	}
	return false;
}

/* RFC 8305 4: the families take turns, beginning with the one that the system prefers. */
static void interleave(struct race *race, const struct addrinfo *list, bool loopback_only)
{
	const struct addrinfo *preferred = list, *other = list;
	int family = list->ai_family;

	while (race->count < ATTEMPTS_MAX && (preferred != NULL || other != NULL)) {
		while (preferred != NULL && (preferred->ai_family != family || (loopback_only && !is_loopback(preferred->ai_addr))))
			preferred = preferred->ai_next;
		if (preferred != NULL) {
			race->order[race->count++] = preferred;
			preferred = preferred->ai_next;
		}
		while (other != NULL && (other->ai_family == family || (loopback_only && !is_loopback(other->ai_addr))))
			other = other->ai_next;
		if (other != NULL && race->count < ATTEMPTS_MAX) {
			race->order[race->count++] = other;
			other = other->ai_next;
		}
	}
}

static void start_next(struct race *race)
{
	unsigned index = race->started++;
	const struct addrinfo *to = race->order[index];
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	race->attempt[index] = (struct pollfd){.fd = fd, .events = POLLOUT};
	if (fd >= 0 && (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS)) {
		race->running++;
		return;
	}
	race->last_errno = errno;
	if (fd >= 0)
		close(fd);
	race->attempt[index].fd = -1;
}

/* Index of an attempt that has succeeded, or -1. Failed ones leave the race. */
static int winner(struct race *race)
{
	for (unsigned i = 0; i < race->started; i++) {
		struct pollfd *attempt = &race->attempt[i];
		int problem = 0;
		socklen_t len = sizeof(problem);

		if (attempt->fd < 0 || attempt->revents == 0)
			continue;
		if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &problem, &len) == 0 && problem == 0)
			return (int)i;
		race->last_errno = problem;
		close(attempt->fd);
		attempt->fd = -1;
		race->running--;
	}
	return -1;
}

/* Index of the attempt that came first, or -1. */
static int run_race(struct race *race, struct deadline deadline)
{
	while (!deadline_passed(deadline)) {
		struct deadline wake = deadline;
		int first;

		if (race->started < race->count) {
			start_next(race);
			wake = deadline_min(wake, deadline_in_s(race->running != 0 ? ATTEMPT_DELAY_S : 0));
		} else if (race->running == 0) {
			return -1;
		}
		if (poll(race->attempt, race->started, deadline_poll_ms(wake)) < 0 && errno != EINTR)
			return -1;
		first = winner(race);
		if (first >= 0)
			return first;
	}
	race->last_errno = ETIMEDOUT;
	return -1;
}

static void end_race(struct race *race, int winner)
{
	for (unsigned i = 0; i < race->started; i++)
		if ((int)i != winner)
			fs_close(race->attempt[i].fd);
}

static void forget(struct resolution *resolution)
{
	if (resolution->list != NULL)
		freeaddrinfo(resolution->list);
	resolution->list = NULL;
}

static int resolve(struct resolution *resolution, const struct connect_request *request, const char *port, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
	int problem;

	if (resolution->list != NULL && !deadline_passed(resolution->until))
		return 0;
	forget(resolution);
	problem = getaddrinfo(request->host, port, &hints, &resolution->list);
	if (problem == EAI_ADDRFAMILY || problem == EAI_NODATA || problem == EAI_NONAME) {
		hints.ai_flags = AI_NUMERICSERV; /* a machine with nothing but loopback: AI_ADDRCONFIG hides even that */
		problem = getaddrinfo(request->host, port, &hints, &resolution->list);
	}
	if (problem != 0)
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "cannot find host \"%s\": %s; check the spelling and the network", request->host,
			gai_strerror(problem));
	resolution->until = deadline_in_s(RESOLVED_S);
	return 0;
}

/* The descriptor, and in address whom it leads to. */
static int connect_host(struct resolution *resolution, const struct connect_request *request, char *address, size_t size, struct error *err)
{
	struct race race = {0};
	char port[8];
	int first;

	snprintf(port, sizeof(port), "%u", (unsigned)request->port);
	if (resolve(resolution, request, port, err) < 0)
		return -1;
	interleave(&race, resolution->list, request->loopback_only);
	if (race.count == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "\"%s\" is not an address of this machine, so it needs tls: implicit or starttls",
			request->host);
	first = run_race(&race, deadline_in_s(CONNECT_S));
	end_race(&race, first);
	if (first < 0) {
		forget(resolution); /* it may have moved */
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "cannot connect to %s port %s: %s", request->host, port, strerror(race.last_errno));
	}
	getnameinfo(race.order[first]->ai_addr, race.order[first]->ai_addrlen, address, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
	return race.attempt[first].fd;
}

static int connect_path(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the path of the unix socket is too long");
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error_set(err, ERR_TEMP, SCOPE_MAILBOX, "cannot connect to %s: %s", path, strerror(errno));
		return fs_close(fd);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void answer(int result_fd, int connected, const char *address, const struct error *err)
{
	struct record record = {.kind = REC_CONNECTED};

	if (connected < 0)
		record = (struct record){.kind = REC_FAILED, .error = (uint8_t)err->kind, .scope = (uint8_t)err->scope};
	record_set_text(&record, connected < 0 ? err->text : address, strlen(connected < 0 ? err->text : address));
	if (record_send(result_fd, &record, &connected, connected >= 0 ? 1 : 0) <= 0)
		_exit(0);
	fs_close(connected);
}

void connector_main(int result_fd, const struct connect_request *request)
{
	static const struct rlimit no_core = {0, 0};
	struct resolution resolution = {0};
	char again;

	signal(SIGINT, SIG_IGN);
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	result_fd = dup2(result_fd, 3);
	syscall(SYS_close_range, 4U, ~0U, 0U);
	do {
		char address[64] = "";
		struct error err = {0};
		int connected = request->host != NULL ? connect_host(&resolution, request, address, sizeof(address), &err)
						      : connect_path(request->path, &err);

		answer(result_fd, connected, request->host != NULL ? address : request->path, &err);
	} while (read(result_fd, &again, 1) == 1);
	_exit(0);
}
