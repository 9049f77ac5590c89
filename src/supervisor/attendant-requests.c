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
#include "supervisor/connectors.h"
#include "supervisor/destinations.h"
#include "supervisor/ledger.h"

#define MDA_S 600
#define MDA_GRACE_S 30

int attendant_nonsense(struct error *err, const char *what)
{
	return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "the worker asked for %s", what);
}

/* -- CONNECT -- */

static void on_connected(void *context, struct record *answer, const int *fds, unsigned fd_count)
{
	struct attendant *attendant = context;

	attendant->connector = NULL;
	if (answer->kind == REC_FAILED && attendant->connector_index != 0)
		answer->scope = SCOPE_DESTINATION;
	attendant_send(attendant, answer, fds, fd_count);
}

static int serve_connect(struct attendant *attendant, const struct record *request, struct error *err)
{
	const struct server *server;
	struct connect_request wanted;

	if (attendant->connector != NULL || request->index > attendant->job.destination_count)
		return attendant_nonsense(err, "a connection that is not its own");
	server = request->index == 0 ? &attendant->mailbox->server : &attendant->job.destinations[request->index - 1].server;
	if (server->endpoint.host == NULL && server->endpoint.path == NULL)
		return attendant_nonsense(err, "a connection to a destination that has none");
	wanted = (struct connect_request){
		.host = server->endpoint.host,
		.port = server->endpoint.port,
		.path = server->endpoint.path,
		.loopback_only = server->endpoint.tls == TLS_NONE && !server->insecure,
		.within_s = request->count,
	};
	attendant->connector_index = request->index;
	return connectors_ask(attendant->service->connectors, &wanted, on_connected, attendant, &attendant->connector, err);
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
	} else if (attendant->command.child.pid > 0 || attendant->service->spawner->left_unanswered) {
		/* Born, as far as we know, but nobody will hear of its end: it may have filed the message. A worker that can say nothing more leaves it in doubt. */
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
