#include "command/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/command.h"
#include "supervisor/control.h"
#include "supervisor/visitor.h"

#define ANSWER_S 10  /* the daemon is busy for milliseconds */
#define NOTICE_S 1   /* then a person wants to know what it is waiting for */
#define LET_GO_S 120 /* a message in hand may take a minute */

/* -- the line -- */

/* By descriptor: the path may be longer than the address of a socket, and what was looked at is what is connected to. */
static int connect_to(int socket_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", socket_fd);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	return fs_close(fd);
}

/* -1: there is no daemon. */
static int call(const struct config *config)
{
	int dir_fd = open(config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), socket_fd, fd = -1;
	struct stat st;

	if (dir_fd < 0)
		return -1;
	socket_fd = openat(dir_fd, CONTROL_FILE, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	/* Root asks the daemon of another user, too. */
	if (socket_fd >= 0 && fstat(socket_fd, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_uid == geteuid() || geteuid() == 0))
		fd = connect_to(socket_fd);
	fs_close(socket_fd);
	fs_close(dir_fd);
	return fd;
}

bool beside_is_there(const struct config *config)
{
	int fd = call(config);

	fs_close(fd);
	return fd >= 0;
}

static void add_word(struct str *request, const char *word)
{
	str_add(request, word, strlen(word) + 1);
}

/* One that cannot be said was refused before: the reply is there. */
static void say(int fd, struct str *request)
{
	if (fd >= 0)
		(void)fdpass_send(fd, request->data, request->len, NULL, 0, 0);
	str_done(request);
}

static int ask_for_run(const struct config *config, const char *flags, char *const *names)
{
	struct str request = {0};
	int fd = call(config);

	add_word(&request, "run");
	add_word(&request, flags);
	for (size_t i = 0; i < strv_length(names); i++)
		add_word(&request, names[i]);
	say(fd, &request);
	return fd;
}

struct reply {
	enum visit_reply what;
	char text[VISIT_REPLY_MAX + 1]; /* with a NUL */
	size_t len;
	int fd; /* or -1; the caller's */
};

/* 1; 0: not until then; -1: the line is closed. */
static int listen_to(int fd, struct deadline until, struct reply *ret_reply)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	char bytes[1 + VISIT_REPLY_MAX];
	int fds[FDPASS_MAX];
	unsigned fd_count;
	ssize_t len;
	int ready;

	do
		ready = poll(&input, 1, deadline_poll_ms(until));
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return ready;
	len = fdpass_receive(fd, bytes, sizeof(bytes), fds, &fd_count, 0);
	ret_reply->fd = len > 0 && fd_count != 0 ? fds[--fd_count] : -1;
	while (fd_count != 0)
		fs_close(fds[--fd_count]);
	if (len <= 0)
		return -1;
	ret_reply->what = (enum visit_reply)bytes[0];
	ret_reply->len = (size_t)len - 1;
	memcpy(ret_reply->text, bytes + 1, ret_reply->len);
	ret_reply->text[ret_reply->len] = '\0';
	return 1;
}

/* -- run -- */

struct watch {
	bool shows_progress;
	struct progress_total total;
	int64_t started_ns;
};

static void show_progress(struct watch *watch, const struct reply *reply)
{
	unsigned long long done, messages, done_bytes, bytes;
	unsigned mailboxes;

	if (!watch->shows_progress ||
		sscanf(reply->text, "%u %llu %llu %llu %llu", &mailboxes, &done, &messages, &done_bytes, &bytes) != 5) /* NOLINT: our own digits */
		return;
	watch->total = (struct progress_total){mailboxes, done, messages, done_bytes, bytes};
	progress_draw(&watch->total, watch->started_ns);
}

static void show_trouble(const struct reply *reply)
{
	const char *name = reply->text, *why = name + strlen(name) + 1;

	progress_clear();
	if (why <= reply->text + reply->len)
		log_say(&(struct log){.key = "mailbox", .value = name}, LEVEL_WARNING, "mailbox_failed", "%s", why);
}

static int give_up(const char *why)
{
	progress_clear();
	log_say(NULL, LEVEL_ERROR, "not_done", "%s", why);
	return EX_TEMPFAIL;
}

/* Whether it took part is in the reply; *ret_exit_code if so. */
static bool follow(int fd, struct watch *watch, struct deadline until, int *ret_exit_code)
{
	struct reply reply;
	int heard;

	while ((heard = listen_to(fd, until, &reply)) > 0) {
		fs_close(reply.fd);
		switch (reply.what) {
		case VISIT_PROGRESS:
			show_progress(watch, &reply);
			break;
		case VISIT_TROUBLE:
			show_trouble(&reply);
			break;
		case VISIT_END:
			progress_clear();
			*ret_exit_code = atoi(reply.text);
			return true;
		case VISIT_UNKNOWN:
			return false;
		case VISIT_REFUSED:
			*ret_exit_code = give_up(reply.text);
			return true;
		default:
			break;
		}
	}
	*ret_exit_code = give_up(heard == 0 ? "the mailboxes are still not free" : "the daemon has ended before it was done");
	return true;
}

bool beside_run(const struct config *config, const struct options *options, int *ret_exit_code)
{
	bool terminal = isatty(STDERR_FILENO) == 1, done;
	struct deadline until = options->wait && options->wait_s != 0 ? deadline_in_s(options->wait_s) : DEADLINE_NEVER;
	struct watch watch = {.shows_progress = terminal && !options->no_progress && options->verbosity >= 0, .started_ns = clock_monotonic_ns()};
	char flags[3] = "";
	int fd;

	if (terminal || strv_length(options->arguments) != 0)
		flags[strlen(flags)] = CONTROL_INSISTS;
	if (options->wait)
		flags[strlen(flags)] = CONTROL_WAITS;
	fd = ask_for_run(config, flags, options->arguments);
	if (fd < 0)
		return false;
	done = follow(fd, &watch, until, ret_exit_code);
	if (done && watch.shows_progress)
		progress_finish(&watch.total, watch.started_ns);
	fs_close(fd);
	return done;
}

void beside_wake(const struct config *config, char *const *names)
{
	fs_close(ask_for_run(config, "", names));
}

/* -- the rest -- */

/* Until it is ours. 0: not until then. -1: refused or closed. */
static int wait_for_claim(int fd, struct deadline until, struct error *err)
{
	struct reply reply;
	int heard = listen_to(fd, until, &reply);

	if (heard <= 0)
		return heard == 0 ? 0 : error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the daemon has ended meanwhile; try again");
	fs_close(reply.fd);
	if (reply.what == VISIT_YOURS)
		return 1;
	return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "%s", reply.what == VISIT_REFUSED ? reply.text : "the daemon answers nonsense: restart it");
}

int beside_claim(const struct config *config, const char *name, int *ret_fd, struct error *err)
{
	struct str request = {0};
	int fd = call(config), result;

	add_word(&request, "claim");
	add_word(&request, name);
	say(fd, &request);
	*ret_fd = fd;
	if (fd < 0)
		return 0;
	result = wait_for_claim(fd, deadline_in_s(NOTICE_S), err);
	if (result == 0) {
		fprintf(stderr, "waiting until the daemon has finished the message of %s that it has in hand\n", name);
		result = wait_for_claim(fd, deadline_in_s(LET_GO_S), err);
	}
	if (result == 0)
		result = error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the daemon does not let go of mailbox %s; try again later", name);
	if (result > 0)
		return 0;
	*ret_fd = fs_close(fd);
	return -1;
}

int beside_outlook(const struct config *config)
{
	struct str request = {0};
	struct reply reply;
	int fd = call(config), outlook = -1;

	add_word(&request, "outlook");
	say(fd, &request);
	if (fd >= 0 && listen_to(fd, deadline_in_s(ANSWER_S), &reply) > 0) {
		outlook = reply.what == VISIT_OUTLOOK ? reply.fd : -1;
		if (outlook < 0)
			fs_close(reply.fd);
	}
	fs_close(fd);
	return outlook;
}
