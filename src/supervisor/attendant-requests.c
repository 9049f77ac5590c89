#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "mail/address.h"
#include "supervisor/attendant.h"
#include "supervisor/child.h"
#include "supervisor/destinations.h"
#include "supervisor/ledger.h"

/* The connector gives up by itself after 30 s of connecting; a resolver may take longer than that, and has no deadline of its own. */
#define CONNECTOR_S 60
#define MDA_S 600
#define MDA_GRACE_S 30

int attendant_nonsense(struct error *err, const char *what)
{
	return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the worker asked for %s", what);
}

/* -- CONNECT -- */

void attendant_end_connector(struct attendant *attendant)
{
	if (attendant->connector.pid > 0)
		kill(attendant->connector.pid, SIGKILL);
	attendant->connector.pid = 0;
	attendant->connector_event = sd_event_source_disable_unref(attendant->connector_event);
	attendant->connector_deadline = sd_event_source_disable_unref(attendant->connector_deadline);
	attendant->connector_fd = fs_close(attendant->connector_fd);
}

static void forward(struct attendant *attendant, struct record *answer, const int *fds, unsigned fd_count)
{
	if (answer->kind == REC_FAILED && attendant->connector_index != 0)
		answer->scope = SCOPE_DESTINATION;
	attendant_send(attendant, answer, fds, fd_count);
}

static void connector_failed(struct attendant *attendant, const char *text)
{
	struct record answer = {.kind = REC_FAILED, .error = ERR_TEMP, .scope = SCOPE_MAILBOX};

	record_set_text(&answer, text, strlen(text));
	forward(attendant, &answer, NULL, 0);
}

static int on_connector(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct attendant *attendant = context;
	struct record answer;
	int fds[RECORD_FDS_MAX];
	unsigned fd_count = 0;
	int result = record_receive(fd, &answer, fds, &fd_count);

	(void)source;
	(void)events;
	if (result == 0)
		return 0;
	if (result > 0 && record_check(&answer, record_size(&answer), fd_count, false) == NULL &&
		(answer.kind == REC_CONNECTED || answer.kind == REC_FAILED))
		forward(attendant, &answer, fds, fd_count);
	else
		connector_failed(attendant, "the process that connects has died");
	while (fd_count != 0)
		fs_close(fds[--fd_count]);
	attendant->connector.pid = 0; /* it leaves by itself, and may be reaped already */
	attendant_end_connector(attendant);
	return 0;
}

static int on_connector_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	struct attendant *attendant = context;

	(void)source;
	(void)when_us;
	attendant_end_connector(attendant);
	connector_failed(attendant, "no connection in time: the name server or the server does not answer");
	return 0;
}

/* Reaps; what it had to say came through its socket. */
static int on_connector_exit(sd_event_source *source, const siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	sd_event_source_set_floating(source, false); /* gives up the last reference */
	return 0;
}

static int watch_connector(struct attendant *attendant, struct error *err)
{
	sd_event *event = attendant->service->event;
	sd_event_source *reaper;

	if (child_watch(event, &reaper, attendant->connector.pidfd, on_connector_exit, NULL) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a connector");
	/* It outlives the request, and maybe the attendant: the event loop owns it. */
	sd_event_source_set_floating(reaper, true);
	sd_event_source_unref(reaper);
	if (sd_event_add_io(event, &attendant->connector_event, attendant->connector_fd, EPOLLIN, on_connector, attendant) < 0 ||
		sd_event_add_time_relative(event, &attendant->connector_deadline, CLOCK_MONOTONIC, (uint64_t)(CONNECTOR_S * deadline_factor() * 1e6),
			100000, on_connector_deadline, attendant) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a connector");
	return 0;
}

static int serve_connect(struct attendant *attendant, const struct record *request, struct error *err)
{
	const struct server *server;
	struct connect_request wanted;
	int ends[2], result;

	if (attendant->connector_fd >= 0 || request->index > attendant->job.destination_count)
		return attendant_nonsense(err, "a connection that is not its own");
	server = request->index == 0 ? &attendant->mailbox->server : &attendant->job.destinations[request->index - 1].server;
	if (server->endpoint.host == NULL && server->endpoint.path == NULL)
		return attendant_nonsense(err, "a connection to a destination that has none");
	wanted = (struct connect_request){
		.host = server->endpoint.host,
		.port = server->endpoint.port,
		.path = server->endpoint.path,
		.loopback_only = server->endpoint.tls == TLS_NONE && !server->insecure,
	};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot make a socket pair");
	result = spawner_connector(attendant->service->spawner, ends[1], &wanted, &attendant->connector, err);
	close(ends[1]);
	attendant->connector_fd = ends[0];
	attendant->connector_index = request->index;
	if (result == 0)
		result = watch_connector(attendant, err);
	if (result < 0)
		attendant_end_connector(attendant);
	return result;
}

/* -- DESTINATION -- */

static int serve_destination(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct error why;

	if (attendant->mode != JOB_HAUL || request->index >= attendant->job.destination_count)
		return attendant_nonsense(err, "a back-off of what is not its own");
	error_code(&why, request->error, SCOPE_DESTINATION, (int)request->code, "%.*s", (int)request->len, request->text);
	if (destinations_note_failure(attendant, request->index, &why, err) < 0)
		return -1;
	attendant_send(attendant, &(struct record){.kind = REC_NOTED}, NULL, 0);
	return 0;
}

/* -- WANT_FILE, RUN, WAIT: what an MDA needs -- */

static int serve_file(struct attendant *attendant, struct error *err)
{
	int fd = fs_unnamed(state_dir_fd(attendant->service->state), err);

	if (fd < 0)
		return -1;
	attendant_send(attendant, &(struct record){.kind = REC_FILE}, &fd, 1);
	close(fd);
	return 0;
}

static void answer_exit(struct attendant *attendant)
{
	struct record answer = {.kind = REC_EXITED, .code = (uint32_t)attendant->command.status};

	attendant->command.asked = false;
	attendant_send(attendant, &answer, NULL, 0);
}

static void on_mda_end(void *context)
{
	struct attendant *attendant = context;

	if (attendant->command.asked)
		answer_exit(attendant);
}

/* {sender} and {recipient} stand for whole arguments; both were checked, so neither can look like an option. */
static char **make_arguments(const struct dest_config *dest, const char *sender, const char *recipient)
{
	char **argv = NULL;

	for (size_t i = 0; dest->argv[i] != NULL; i++)
		strv_add(&argv, strcmp(dest->argv[i], "{recipient}") == 0 ? recipient
				: strcmp(dest->argv[i], "{sender}") == 0  ? sender
									  : dest->argv[i]);
	return argv;
}

static bool is_target(const struct attendant *attendant, unsigned dest, const char *recipient)
{
	for (unsigned i = 0; i < attendant->job.target_count; i++)
		if (attendant->job.targets[i].dest == dest && strcmp(attendant->job.targets[i].recipient, recipient) == 0)
			return true;
	return false;
}

/* The same file, but neither writable nor anywhere but at its beginning. Anything but a file is refused: to open a pipe could take for ever. */
static int reopen_read_only(int fd)
{
	char path[40];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int run_mda(
	struct attendant *attendant, const struct dest_config *dest, const char *sender, const char *recipient, int input, struct error *err)
{
	char **argv = make_arguments(dest, sender, recipient);
	int ends[2], result;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		strv_free(argv);
		return error_errno(err, SCOPE_PROGRAM, "cannot make a pipe");
	}
	/* What it prints is for the operator, so both outputs go the same way. The worker keeps the deadline; ours is for one that closed them and stays. */
	result = program_start(attendant->service, &attendant->command,
		&(struct program_call){
			.argv = argv,
			.variables = {{"SENDER", sender}, {"RECIPIENT", recipient}},
			.stdio = {input, ends[1], ends[1]},
			.deadline_s = deadline_factor() * (dest->server.timeout_s != 0 ? dest->server.timeout_s : MDA_S) + MDA_GRACE_S,
			.ended = on_mda_end,
			.context = attendant,
		},
		err);
	if (result == 0) {
		attendant_send(attendant, &(struct record){.kind = REC_STARTED}, &ends[0], 1);
	} else if (attendant->command.child.pid > 0) {
		/* Born, but nobody will hear of its end: it may have filed the message. A worker that can say nothing more leaves it in doubt. */
		attendant->result = *err;
		attendant_kill(attendant);
	}
	close(ends[0]);
	close(ends[1]);
	strv_free(argv);
	return result;
}

static int serve_run(struct attendant *attendant, const struct record *request, int message_fd, struct error *err)
{
	const char *sender = request->text, *recipient = request->text + strlen(request->text) + 1;
	const struct dest_config *dest;
	int input, result;

	if (attendant->mode != JOB_HAUL || attendant->command.child.pid > 0 || request->index >= attendant->job.destination_count)
		return attendant_nonsense(err, "a program that is not its own");
	dest = &attendant->job.destinations[request->index];
	if (dest->kind != DEST_MDA || !is_target(attendant, request->index, recipient) ||
		(sender[0] != '\0' && !address_is_valid(sender, strlen(sender))))
		return attendant_nonsense(err, "a program with arguments that are not its own");
	input = reopen_read_only(message_fd);
	if (input < 0)
		return error_errno(err, SCOPE_DESTINATION, "cannot hand the message to %s", dest->argv[0]);
	result = run_mda(attendant, dest, sender, recipient, input, err);
	close(input);
	return result;
}

static int serve_wait(struct attendant *attendant, const struct record *request, struct error *err)
{
	if (!attendant->command.ended && attendant->command.child.pid == 0)
		return attendant_nonsense(err, "the end of a program that was never started");
	if (request->when != 0)
		program_kill(&attendant->command);
	attendant->command.asked = true;
	if (attendant->command.ended)
		answer_exit(attendant);
	return 0;
}

int attendant_serve(struct attendant *attendant, const struct record *request, const int *fds, unsigned fd_count, struct error *err)
{
	switch (request->kind) { /* record_check has counted the descriptors */
	case REC_CONNECT:
		return serve_connect(attendant, request, err);
	case REC_FOLDER:
	case REC_PLAN:
	case REC_MATCH:
	case REC_JUDGE:
	case REC_VERIFY:
		return attendant_identify(attendant, request, fd_count != 0 ? fds[0] : -1, err);
	case REC_DESTINATION:
		return serve_destination(attendant, request, err);
	case REC_IDLE:
		return attendant_let_idle(attendant, request, err);
	case REC_WANT_FILE:
		return serve_file(attendant, err);
	case REC_RUN:
		return serve_run(attendant, request, fds[0], err);
	case REC_WAIT:
		return serve_wait(attendant, request, err);
	default:
		return attendant_nonsense(err, "nothing that exists");
	}
}
