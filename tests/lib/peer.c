#include "tests/lib/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/lib/certificate.h"

#define RECEIVED_MAX (64 * 1024 * 1024) /* a mapping without reserve: only what is used counts */
#define REGISTERS 10

/* In memory that both processes map, so that the test can tell what happened however the child ended. */
struct peer_report {
	volatile bool hanging, here, go;
	unsigned step; /* counted from 1, those of nested scripts included */
	char doing[120];
	char problem[512];
	size_t received;
	char bytes[RECEIVED_MAX];
};

/* The child's side. */
struct player {
	int fd;
	SSL *ssl;
	unsigned flags;
	struct peer_report *report;
	struct str in; /* received, not yet matched */
	bool client_left;
	struct str words[REGISTERS]; /* %1 to %9 */
};

static struct certificate authority, identity;
static char *authority_pem;

static void make_certificates(void)
{
	if (authority_pem != NULL)
		return;
	authority = certificate_make(&(struct certificate_spec){.name = "mailhaul test authority"});
	identity = certificate_make(
		&(struct certificate_spec){.name = "test peer", .alt_names = "DNS:" PEER_HOST ",DNS:localhost,IP:127.0.0.1", .issuer = &authority});
	authority_pem = certificate_pem(&authority);
}

const char *peer_ca_pem(void)
{
	make_certificates();
	return authority_pem;
}

/* Ends the child. Written to stderr at once too: the client's own failure often comes first in the test. */
static _Noreturn void give_up(struct player *player, const char *format, ...) __attribute__((format(printf, 2, 3)));
static _Noreturn void give_up(struct player *player, const char *format, ...)
{
	struct peer_report *report = player->report;
	char what[300];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(report->problem, sizeof(report->problem), "step %u (%s): %s", report->step, report->doing, what);
	fprintf(stderr, "peer: %s\n", report->problem);
	_exit(1);
}

static void record(struct peer_report *report, const char *bytes, size_t len)
{
	if (len > RECEIVED_MAX - report->received)
		len = RECEIVED_MAX - report->received;
	memcpy(report->bytes + report->received, bytes, len);
	report->received += len;
}

/* Waits for input. False: the client has hung up (a reset by one that left our last words unread is no less). */
static bool fill(struct player *player)
{
	char *to = str_reserve(&player->in, 65536);
	ssize_t got = player->ssl != NULL ? SSL_read(player->ssl, to, 65536) : read(player->fd, to, 65536);

	if (got <= 0)
		return false;
	record(player->report, to, (size_t)got);
	player->in.len += (size_t)got;
	return true;
}

static void drop(struct player *player, size_t len)
{
	memmove(player->in.data, player->in.data + len, player->in.len - len);
	player->in.len -= len;
}

static void need(struct player *player, size_t len)
{
	while (player->in.len < len)
		if (!fill(player))
			give_up(player, "the client hung up after %zu of %zu bytes", player->in.len, len);
}

static bool write_all(struct player *player, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t put = player->ssl != NULL ? SSL_write(player->ssl, bytes, (int)(len < 65536 ? len : 65536)) : write(player->fd, bytes, len);

		if (put <= 0)
			return false;
		bytes += put;
		len -= (size_t)put;
	}
	return true;
}

/* Returns when the client has read everything: only then is the next byte sure to come in a piece of its own. */
static void wait_until_taken(struct player *player)
{
	int unread;

	while (ioctl(player->fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
		struct pollfd gone = {.fd = player->fd, .events = POLLRDHUP};

		if (poll(&gone, 1, 0) > 0)
			return;
		sched_yield();
	}
}

static bool send_bytes(struct player *player, const char *bytes, size_t len)
{
	if (!(player->flags & PEER_BY_BYTE))
		return write_all(player, bytes, len);
	for (size_t i = 0; i < len; i++) {
		if (!write_all(player, bytes + i, 1))
			return false;
		wait_until_taken(player);
	}
	return true;
}

static bool is_register(const char *text, size_t len)
{
	return len >= 2 && text[0] == '%' && text[1] >= '1' && text[1] <= '9';
}

static void send_line(struct player *player, const char *text, size_t len)
{
	struct str line = {0};

	for (size_t i = 0; i < len; i++) {
		if (is_register(text + i, len - i)) {
			const struct str *word = &player->words[text[++i] - '0'];

			str_add(&line, str_text(word), word->len);
		} else {
			str_add_byte(&line, text[i]);
		}
	}
	str_add_text(&line, "\r\n");
	if (!send_bytes(player, line.data, line.len))
		give_up(player, "the client hung up before it had read this");
	str_done(&line);
}

/* '*': any bytes. %n: the word remembered, or, when there is none, a word to remember. */
static bool matches(struct player *player, const char *pattern, size_t plen, const char *line, size_t len)
{
	size_t p = 0, i = 0, star = SIZE_MAX, retry = 0;

	while (i < len || p < plen) {
		if (p < plen && pattern[p] == '*') {
			star = p++;
			retry = i;
		} else if (is_register(pattern + p, plen - p)) {
			struct str *word = &player->words[pattern[p + 1] - '0'];

			if (word->len == 0)
				str_add(word, line + i, strcspn(line + i, " \r\n"));
			if (word->len == 0 || len - i < word->len || memcmp(line + i, word->data, word->len) != 0)
				return false;
			i += word->len;
			p += 2;
		} else if (p < plen && i < len && pattern[p] == line[i]) {
			p++;
			i++;
		} else if (star != SIZE_MAX && retry < len) {
			p = star + 1;
			i = ++retry;
		} else {
			return false;
		}
	}
	return true;
}

/* Of a range of UIDs that has an end. */
static bool is_listing_ahead(const char *line, size_t len)
{
	static const char command[] = " UID FETCH ", end[] = " (UID RFC822.SIZE INTERNALDATE FLAGS)\r\n", all[] = ":4294967295 (";

	return memmem(line, len, command, sizeof(command) - 1) != NULL && memmem(line, len, end, sizeof(end) - 1) != NULL &&
	       memmem(line, len, all, sizeof(all) - 1) == NULL;
}

/* A server that wants to be asked once more, when it has answered SELECT. */
static void refuse_listings_ahead(struct player *player)
{
	char *end;

	while ((player->flags & PEER_LISTS) == 0 && (end = memchr(str_text(&player->in), '\n', player->in.len)) != NULL) {
		size_t len = (size_t)(end - player->in.data) + 1;
		char answer[48];

		if (!is_listing_ahead(player->in.data, len))
			return;
		send_line(player, answer,
			(size_t)snprintf(answer, sizeof(answer), "%.*s NO not yet", (int)strcspn(player->in.data, " "), player->in.data));
		drop(player, len);
	}
}

/* The length of the next line, with its end; got: the line for a message. */
static size_t await_line(struct player *player, char *got, size_t got_size)
{
	size_t len;
	char *end;

	for (refuse_listings_ahead(player); (end = memchr(str_text(&player->in), '\n', player->in.len)) == NULL; refuse_listings_ahead(player))
		if (!fill(player))
			give_up(player, "the client hung up%s%s", player->in.len > 0 ? " after " : "",
				escape_into(got, got_size, str_text(&player->in), player->in.len));
	len = (size_t)(end - player->in.data) + 1;
	escape_into(got, got_size, player->in.data, len);
	if (len < 2 || end[-1] != '\r')
		give_up(player, "the client's line does not end with CRLF: %s", got);
	return len;
}

static void expect_line(struct player *player, const struct step *step)
{
	char got[160];
	size_t len = await_line(player, got, sizeof(got));

	if (!matches(player, step->bytes, step->len, player->in.data, len - 2))
		give_up(player, "the client sent %s", got);
	drop(player, len);
}

/* A sequence set of UIDs up to 63, as one bit each (RFC 9051 9); anything else: 0. */
static uint64_t uids_of(const char *set)
{
	uint64_t uids = 0;

	for (;; set++) {
		char *end;
		unsigned long first = strtoul(set, &end, 10), last = *end == ':' ? strtoul(end + 1, &end, 10) : first;

		for (unsigned long uid = first; uid <= last && first > 0 && last < 64; uid++)
			uids |= UINT64_C(1) << uid;
		set = end;
		if (*set != ',')
			return *set == '\0' ? uids : 0;
	}
}

static void expect_deletions(struct player *player, const struct step *step)
{
	static const char flags[] = " +FLAGS.SILENT (\\Deleted)\r\n";
	uint64_t wanted = uids_of(step->bytes), marked = 0, gone = 0;

	while (gone != wanted) {
		char got[160], tag[32], what[8], set[64], answer[48];
		size_t len = await_line(player, got, sizeof(got));
		uint64_t uids;

		if (sscanf(player->in.data, "%31s UID %7s %63[0-9:,]", tag, what, set) != 3)
			give_up(player, "the client sent %s", got);
		uids = uids_of(set);
		if (strcmp(what, "STORE") == 0 && memmem(player->in.data, len, flags, sizeof(flags) - 1) != NULL)
			marked |= uids;
		else if (strcmp(what, "EXPUNGE") == 0 && (uids & ~marked) == 0)
			gone |= uids;
		else
			uids = 0;
		if (uids == 0 || (uids & ~wanted) != 0)
			give_up(player, "the client sent %s", got);
		drop(player, len);
		send_line(player, answer, (size_t)snprintf(answer, sizeof(answer), "%s OK", tag));
	}
}

static void expect_bytes(struct player *player, const struct step *step)
{
	size_t at = 0;
	char got[160];

	need(player, step->len);
	while (at < step->len && player->in.data[at] == step->bytes[at])
		at++;
	if (at < step->len)
		give_up(player, "differs at byte %zu: %s", at, escape_into(got, sizeof(got), player->in.data + at, player->in.len - at));
	drop(player, step->len);
}

static void read_to_dot(struct player *player)
{
	char *end;

	while ((end = memmem(str_text(&player->in), player->in.len, "\r\n.\r\n", 5)) == NULL)
		if (!fill(player))
			give_up(player, "the client hung up before its final dot");
	drop(player, (size_t)(end - player->in.data) + 5);
}

static void expect_nothing(struct player *player)
{
	char got[160];

	refuse_listings_ahead(player);
	if (player->in.len > 0)
		give_up(player, "unexpected from the client: %s", escape_into(got, sizeof(got), player->in.data, player->in.len));
}

static void expect_quiet(struct player *player)
{
	struct pollfd readable = {.fd = player->fd, .events = POLLIN};

	if (poll(&readable, 1, 0) > 0)
		(void)fill(player);
	expect_nothing(player);
}

static void start_tls(struct player *player, bool succeeds)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int accepted;

	expect_nothing(player);
	if (context == NULL || SSL_CTX_use_certificate(context, identity.x509) != 1 || SSL_CTX_use_PrivateKey(context, identity.key) != 1)
		give_up(player, "OpenSSL does not take the test certificate");
	player->ssl = SSL_new(context);
	SSL_set_fd(player->ssl, player->fd);
	accepted = SSL_accept(player->ssl);
	if ((accepted == 1) != succeeds)
		give_up(player, succeeds ? "the handshake failed" : "the handshake succeeded");
}

static void hang_up(struct player *player, bool politely)
{
	if (politely && player->ssl != NULL)
		SSL_shutdown(player->ssl);
	_exit(0);
}

static void describe(struct player *player, const struct step *step)
{
	static const char *const names[] = {
		[STEP_END] = "END",
		[STEP_SEND] = "sending",
		[STEP_SEND_LINE] = "S:",
		[STEP_POUR] = "pouring",
		[STEP_EXPECT_LINE] = "C:",
		[STEP_EXPECT_BYTES] = "GET",
		[STEP_READ] = "READ",
		[STEP_READ_TO_DOT] = "DOT",
		[STEP_DELETES] = "DELETES",
		[STEP_QUIET] = "QUIET",
		[STEP_TLS] = "TLS",
		[STEP_TLS_FAILS] = "TLS_FAILS",
		[STEP_SILENCE] = "SILENCE",
		[STEP_DRAIN] = "DRAIN",
		[STEP_HANG] = "HANG",
		[STEP_HERE] = "HERE",
		[STEP_PAUSE] = "PAUSE",
		[STEP_CLOSE] = "CLOSE",
		[STEP_CUT] = "CUT",
		[STEP_NEXT] = "NEXT",
		[STEP_ALSO] = "ALSO",
	};
	char text[80];

	escape_into(text, sizeof(text), step->bytes != NULL ? step->bytes : "", step->bytes != NULL ? step->len : 0);
	snprintf(player->report->doing, sizeof(player->report->doing), "%s%s%s", names[step->kind], text[0] != '\0' ? " " : "", text);
	player->report->step++;
}

static void wait_for_end(struct player *player)
{
	do
		expect_nothing(player);
	while (fill(player));
}

#define LISTENER_FD 3

static void accept_client(struct player *player)
{
	player->fd = accept4(LISTENER_FD, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(player->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static void next_client(struct player *player)
{
	wait_for_end(player);
	SSL_free(player->ssl);
	player->ssl = NULL;
	close(player->fd);
	for (size_t i = 0; i < REGISTERS; i++)
		str_clear(&player->words[i]);
	accept_client(player);
}

static void play(struct player *player, const struct step *step);

/* In a process of its own, which waits for its client. */
static void also_play(struct player *player, const struct step *script)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up(player, "fork: %s", strerror(errno));
	if (pid != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(player->fd);
	*player = (struct player){.flags = player->flags, .report = player->report};
	accept_client(player);
	play(player, script);
	wait_for_end(player);
	_exit(0);
}

static void play_step(struct player *player, const struct step *step)
{
	switch (step->kind) {
	case STEP_SEND:
		if (!send_bytes(player, step->bytes, step->len))
			give_up(player, "the client hung up before it had read this");
		break;
	case STEP_SEND_LINE:
		send_line(player, step->bytes, step->len);
		break;
	case STEP_POUR:
		if (!send_bytes(player, step->bytes, step->len))
			hang_up(player, false);
		break;
	case STEP_EXPECT_LINE:
		expect_line(player, step);
		break;
	case STEP_EXPECT_BYTES:
		expect_bytes(player, step);
		break;
	case STEP_READ:
		need(player, step->len);
		drop(player, step->len);
		break;
	case STEP_READ_TO_DOT:
		read_to_dot(player);
		break;
	case STEP_DELETES:
		expect_deletions(player, step);
		break;
	case STEP_QUIET:
		expect_quiet(player);
		break;
	case STEP_TLS:
	case STEP_TLS_FAILS:
		start_tls(player, step->kind == STEP_TLS);
		break;
	case STEP_DRAIN:
		while (fill(player))
			str_clear(&player->in);
		break;
	case STEP_HANG:
		player->report->hanging = true;
		for (;;)
			pause();
	case STEP_HERE:
		player->report->here = true;
		break;
	case STEP_PAUSE:
		while (!player->report->go)
			poll(NULL, 0, 2);
		player->report->go = false;
		break;
	case STEP_CLOSE:
	case STEP_CUT:
		hang_up(player, step->kind == STEP_CLOSE);
		break;
	case STEP_PLAY:
		play(player, step->steps);
		break;
	case STEP_NEXT:
		next_client(player);
		break;
	case STEP_ALSO:
		also_play(player, step->steps);
		break;
	case STEP_SILENCE:
	case STEP_END:
		wait_for_end(player);
		break;
	}
}

static void play(struct player *player, const struct step *step)
{
	for (; step->kind != STEP_END; step++) {
		if (step->kind != STEP_PLAY)
			describe(player, step);
		play_step(player, step);
	}
}

static _Noreturn void run_child(int fd, const struct step *script, unsigned flags, struct peer_report *report)
{
	static const struct step end = END;
	struct player player = {.flags = flags, .report = report};

	/* The test's end of this and of other peers must not stay open here: their end of file would never come. */
	if (dup2(fd, LISTENER_FD) < 0 || close_range(LISTENER_FD + 1, ~0U, 0) < 0)
		_exit(2);
	player.fd = LISTENER_FD;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	alarm(PEER_DEADLINE_S);
	if (flags & PEER_LISTEN)
		accept_client(&player);
	play(&player, script);
	describe(&player, &end);
	play_step(&player, &end);
	while (wait(NULL) > 0) /* what else is played; a client that never comes is found by our deadline */
		;
	_exit(0);
}

/* Never the same port twice in a process: the program remembers servers by host and port, and each peer is another server. */
static bool port_is_fresh(uint16_t port)
{
	static unsigned char used[65536 / 8];
	bool fresh = (used[port / 8] >> port % 8 & 1) == 0;

	used[port / 8] |= (unsigned char)(1 << port % 8);
	return fresh;
}

static int listen_on_loopback(uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 8) < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		fail_msg("no loopback socket: %s", strerror(errno));
	*ret_port = ntohs(address.sin_port);
	if (!port_is_fresh(*ret_port)) { /* kept open until another is found, else it might be given again */
		int stale = fd;

		fd = listen_on_loopback(ret_port);
		close(stale);
	}
	return fd;
}

struct peer *peer_start(const struct step *script, unsigned flags)
{
	struct peer *peer = xcalloc(1, sizeof(*peer));
	int fds[2] = {-1, -1};

	make_certificates();
	peer->report = mmap(NULL, sizeof(*peer->report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (peer->report == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	if (flags & PEER_LISTEN)
		fds[1] = listen_on_loopback(&peer->port);
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		fail_msg("socketpair: %s", strerror(errno));
	fflush(NULL);
	peer->pid = fork();
	if (peer->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (peer->pid == 0)
		run_child(fds[1], script, flags, peer->report);
	close(fds[1]);
	peer->fd = fds[0];
	return peer;
}

static void await_flag(const struct peer *peer, const volatile bool *flag)
{
	int64_t until_ns = clock_monotonic_ns() + PEER_DEADLINE_S * INT64_C(1000000000);

	while (!*flag) {
		if (peer->report->problem[0] != '\0' || clock_monotonic_ns() > until_ns)
			fail_msg("the peer never got to where it is awaited: %s", peer->report->problem);
		poll(NULL, 0, 2);
	}
}

void peer_await_hang(struct peer *peer)
{
	await_flag(peer, &peer->report->hanging);
}

void peer_await_here(struct peer *peer)
{
	await_flag(peer, &peer->report->here);
	peer->report->here = false;
}

void peer_go_on(struct peer *peer)
{
	peer->report->go = true;
}

const char *peer_problem(struct peer *peer)
{
	struct peer_report *report = peer->report;
	int status = 0;

	if (peer->pid > 0) {
		while (waitpid(peer->pid, &status, 0) < 0 && errno == EINTR)
			;
		peer->pid = 0;
		if (WIFSIGNALED(status))
			snprintf(report->problem, sizeof(report->problem), "step %u (%s): %s", report->step, report->doing,
				WTERMSIG(status) == SIGALRM ? "the client did nothing until the deadline" : strsignal(WTERMSIG(status)));
		else if (WEXITSTATUS(status) > 1)
			snprintf(report->problem, sizeof(report->problem), "step %u (%s): the peer left with status %d", report->step, report->doing,
				WEXITSTATUS(status));
	}
	return report->problem[0] != '\0' ? report->problem : NULL;
}

void peer_received(struct peer *peer, struct str *out)
{
	(void)peer_problem(peer);
	str_add(out, peer->report->bytes, peer->report->received);
}

void peer_free(struct peer *peer)
{
	if (peer->report->hanging && peer->pid > 0)
		kill(peer->pid, SIGKILL); /* else it would hang until its deadline */
	(void)peer_problem(peer);
	munmap(peer->report, sizeof(*peer->report));
	free(peer);
}

void peer_finish_at(struct peer *peer, const char *file, int line)
{
	const char *problem = peer_problem(peer);

	if (problem != NULL) {
		print_error("peer: %s\n", problem);
		_fail(file, line);
	}
	peer_free(peer);
}
