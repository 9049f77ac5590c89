#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "channel/channel.h"
#include "config/password.h"
#include "supervisor/attendant.h"
#include "supervisor/credential.h"
#include "supervisor/maildirs.h"

/* A command that asks a key ring may wait for a person, but not for ever. */
#define PASSWORD_COMMAND_S 60
#define CA_FILE_MAX (1024u * 1024)

/* -- the job -- */

static int dest_index(struct job *job, const struct config *config, const char *name)
{
	const struct dest_config *dest;

	for (unsigned i = 0; i < job->destination_count; i++)
		if (strcmp(job->destinations[i].name, name) == 0)
			return (int)i;
	dest = config_destination(config, name);
	if (dest == NULL || job->destination_count == TARGETS_MAX)
		return -1;
	job->destinations = xreallocarray(job->destinations, job->destination_count + 1, sizeof(*job->destinations));
	job->destinations[job->destination_count] = *dest; /* its strings stay the configuration's */
	return (int)job->destination_count++;
}

static void add_target(struct attendant *attendant, const char *destination, const char *recipient)
{
	struct job *job = &attendant->job;
	int dest = dest_index(job, attendant->config, destination);

	if (dest < 0 || job->target_count == TARGETS_MAX)
		return;
	for (unsigned i = 0; i < job->target_count; i++)
		if (job->targets[i].dest == (unsigned)dest && strcmp(job->targets[i].recipient, recipient) == 0)
			return;
	job->targets[job->target_count++] = (struct target){(unsigned)dest, xstrdup(recipient)};
}

static void add_open_target(void *context, const char *destination, const char *recipient)
{
	add_target(context, destination, recipient);
}

static void add_configured_targets(struct attendant *attendant, const char *destination)
{
	const struct dest_config *dest = config_destination(attendant->config, destination);
	char *const *recipients = config_recipients(attendant->mailbox, dest);

	if (recipients == NULL)
		add_target(attendant, dest->name, "");
	for (size_t i = 0; recipients != NULL && recipients[i] != NULL; i++)
		add_target(attendant, dest->name, recipients[i]);
}

unsigned attendant_targets(const struct attendant *attendant, struct state_target *targets)
{
	for (unsigned i = 0; i < attendant->job.target_count; i++)
		targets[i] = (struct state_target){.destination = attendant->job.destinations[attendant->job.targets[i].dest].name,
			.recipient = attendant->job.targets[i].recipient,
			.place = attendant->places[attendant->job.targets[i].dest]};
	return attendant->job.target_count;
}

int attendant_recall_folders(const struct attendant *attendant, int64_t now, struct folder_facts *facts, struct error *err)
{
	struct state *state = attendant->service->state;
	char *const *folders = attendant->job.mailbox->folders;
	size_t count = strv_length(folders);
	struct state_target targets[TARGETS_MAX];
	unsigned target_count = attendant_targets(attendant, targets);

	for (size_t i = 0; i == 0 || i < count; i++) {
		const char *name = count != 0 ? folders[i] : "";
		int64_t id;

		facts[i] = (struct folder_facts){0};
		if (state_folder_find(state, attendant->mailbox_state.id, name, &id, err) < 0 ||
			(id != 0 && state_folder_facts(state, id, targets, target_count, now, &facts[i], err) < 0))
			return -1;
	}
	return 0;
}

static int recall_facts(struct attendant *attendant, struct error *err)
{
	int64_t now = clock_wall_s();

	if (state_host_load(attendant->service->state, attendant->mailbox, now, &attendant->job.host_facts, err) < 0)
		return -1;
	attendant->host_facts = attendant->job.host_facts;
	/* Whoever only looks wants to see what a listing would show. */
	if (attendant->mode != JOB_HAUL && attendant->mode != JOB_LISTEN)
		return 0;
	attendant->job.folder_facts = xcalloc(strv_length(attendant->job.mailbox->folders) + 1, sizeof(*attendant->job.folder_facts));
	return attendant_recall_folders(attendant, now, attendant->job.folder_facts, err);
}

static int read_ca_file(struct spawner *spawner, const char *path, char **ret_pem, struct error *err)
{
	struct str text = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fs_read_all(fd, CA_FILE_MAX, &text) < 0) {
		error_errno(err, SCOPE_MAILBOX, "cannot read ca_file %s", path);
		err->kind = ERR_CONFIG;
		fs_close(fd);
		str_done(&text);
		return -1;
	}
	close(fd);
	*ret_pem = text.data != NULL ? text.data : xstrdup("");
	spawner_trust(spawner, *ret_pem);
	return 0;
}

static int make_targets(struct attendant *attendant, struct error *err)
{
	const struct mailbox_config *mailbox = attendant->mailbox;
	struct job *job = &attendant->job;

	if (attendant->mode == JOB_LISTEN)
		return 0;
	for (size_t i = 0; mailbox->deliver_to[i] != NULL; i++)
		add_configured_targets(attendant, mailbox->deliver_to[i]);
	job->frozen = job->target_count == TARGETS_MAX ? UINT64_MAX : (UINT64_C(1) << job->target_count) - 1;
	if (attendant->mode == JOB_CHECK && mailbox->on_refuse.destination != NULL)
		add_configured_targets(attendant, mailbox->on_refuse.destination);
	if (attendant->mode != JOB_HAUL)
		return 0;
	return state_open_targets(attendant->service->state, attendant->mailbox_state.id, add_open_target, attendant, err);
}

int attendant_make_job(struct attendant *attendant, struct error *err)
{
	struct service *service = attendant->service;
	struct job *job = &attendant->job;
	struct mailbox_config *mailbox = xmalloc(sizeof(*mailbox));

	*mailbox = *attendant->mailbox;
	if (attendant->mode == JOB_LISTEN)
		mailbox->folders = attendant->folders;
	*job = (struct job){
		.mode = attendant->mode,
		.trace = service->trace != NULL && strcmp(service->trace, mailbox->name) == 0,
		.log_level = log_max_level(),
		.sandbox = attendant->config->sandbox,
		.host = service->host,
		.installation = (char *)(uintptr_t)state_installation(service->state),
		.mailbox = mailbox,
	};
	if (state_begun_anew_at(service->state, clock_wall_s(), &job->adopt_before, err) < 0)
		return -1;
	if (make_targets(attendant, err) < 0)
		return -1;
	maildirs_expect(attendant);
	if (recall_facts(attendant, err) < 0)
		return -1;
	if (mailbox->server.ca_file != NULL && read_ca_file(service->spawner, mailbox->server.ca_file, &mailbox->server.ca_pem, err) < 0)
		return -1;
	for (unsigned i = 0; i < job->destination_count; i++)
		if (job->destinations[i].server.ca_file != NULL &&
			read_ca_file(service->spawner, job->destinations[i].server.ca_file, &job->destinations[i].server.ca_pem, err) < 0)
			return -1;
	return 0;
}

/* -- secrets: each ends up as a complete pipe that the worker reads -- */

static const struct server *server_of(const struct attendant *attendant, unsigned index)
{
	return index == 0 ? &attendant->mailbox->server : &attendant->job.destinations[index - 1].server;
}

static int put_into_pipe(const struct secret *secret, struct error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot make a pipe");
	/* A pipe takes 64 KiB, unless this user has too many of them: then it fails rather than wait. */
	if (fs_write_all(ends[1], secret_bytes(secret), secret_length(secret)) < 0)
		ends[0] = fs_close(ends[0]);
	close(ends[1]);
	return ends[0] >= 0 ? ends[0] : error_errno(err, SCOPE_PROGRAM, "cannot pass a password on");
}

/* For errors: whose password, if it is not the mailbox's own. */
static int for_destination(const struct attendant *attendant, struct error *err)
{
	if (attendant->next_secret != 0)
		error_prefix(err, "destination %s: ", attendant->job.destinations[attendant->next_secret - 1].name);
	return -1;
}

static int judge_command(struct attendant *attendant, struct error *err)
{
	const struct program *command = &attendant->command;
	const char *name = server_of(attendant, attendant->next_secret)->password.command[0];
	int unread = 0;

	if (attendant->stopping)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	if (command->status == 0)
		return 0;
	if (command->late && ioctl(attendant->command_output, FIONREAD, &unread) == 0 && unread >= SECRET_MAX_BYTES)
		error_set(
			err, ERR_CONFIG, SCOPE_MAILBOX, "the password command %s prints without end; it has to print the password in one line", name);
	else if (command->late)
		error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the password command %s has not ended within %d seconds; it has no terminal to ask at",
			name, PASSWORD_COMMAND_S);
	else if (command->status > 128)
		error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the password command %s was ended by signal %d", name, command->status - 128);
	else
		error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "the password command %s failed with exit status %d", name, command->status);
	return for_destination(attendant, err);
}

/* 0: now, or when a password command has ended. */
static int gather_secrets_and_give_birth(struct attendant *attendant, struct error *err);

static int go_on(struct attendant *attendant, struct error *err)
{
	if (judge_command(attendant, err) < 0)
		return -1;
	attendant->secret_fds[attendant->next_secret++] = attendant->command_output;
	attendant->command_output = -1;
	return gather_secrets_and_give_birth(attendant, err);
}

static void on_command_end(void *context)
{
	struct attendant *attendant = context;

	if (go_on(attendant, &attendant->result) == 0)
		return;
	attendant->over = true;
	attendant->service->finished(attendant->service, attendant, &attendant->result);
}

static int run_password_command(struct attendant *attendant, const struct password *password, struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), ends[2], result;

	if (null < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		error_errno(err, SCOPE_PROGRAM, "cannot make a pipe");
		return fs_close(null);
	}
	/* What it leaves running, say an agent, may keep the other end: the worker takes what is there, and does not wait for more. */
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	result = program_start(attendant->service, &attendant->command,
		&(struct program_call){
			.argv = password->command,
			.stdio = {null, ends[1], STDERR_FILENO},
			.deadline_s = PASSWORD_COMMAND_S * deadline_factor(),
			.ended = on_command_end,
			.context = attendant,
		},
		err);
	close(null);
	close(ends[1]);
	if (result < 0)
		close(ends[0]);
	else
		attendant->command_output = ends[0];
	return result;
}

/* 1: all there, 0: a command is running, -1 */
static int gather_secrets(struct attendant *attendant, struct error *err)
{
	for (; attendant->next_secret <= attendant->job.destination_count; attendant->next_secret++) {
		const struct server *server = server_of(attendant, attendant->next_secret);
		const struct password *password = &server->password;
		uint64_t *print = &attendant->credentials[attendant->next_secret];
		struct secret *secret;

		if (password->kind == PASSWORD_NONE)
			continue;
		*print = credential_print(attendant->service, server, NULL);
		if (password->kind == PASSWORD_COMMAND)
			return run_password_command(attendant, password, err);
		secret = password_read(password, err);
		if (secret == NULL)
			return for_destination(attendant, err);
		*print = credential_print(attendant->service, server, secret);
		attendant->secret_fds[attendant->next_secret] = put_into_pipe(secret, err);
		secret_free(secret);
		if (attendant->secret_fds[attendant->next_secret] < 0)
			return -1;
	}
	return 1;
}

/* -- birth -- */

static int send_job(struct attendant *attendant, struct error *err)
{
	int fd = job_encode(&attendant->job, err);

	if (fd < 0)
		return -1;
	attendant_send(attendant, &(struct record){.kind = REC_JOB}, &fd, 1);
	close(fd);
	return 0;
}

static void send_secrets(struct attendant *attendant)
{
	for (unsigned i = 0; i <= attendant->job.destination_count; i++) {
		if (attendant->secret_fds[i] < 0)
			continue;
		attendant_send(attendant, &(struct record){.kind = REC_SECRET, .index = i}, &attendant->secret_fds[i], 1);
		attendant->secret_fds[i] = fs_close(attendant->secret_fds[i]);
	}
}

static int give_birth(struct attendant *attendant, struct error *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot make a channel");
	attendant->channel_fd = ends[0];
	if (send_job(attendant, err) < 0) {
		close(ends[1]);
		return -1;
	}
	send_secrets(attendant);
	attendant_send(attendant, &(struct record){.kind = REC_READY}, &attendant->lock_fd, attendant->lock_fd >= 0 ? 1 : 0);
	if (attendant->killed_ns != 0) { /* one of these could not be sent: it would wait for it */
		close(ends[1]);
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "cannot hand a new worker its work");
	}
	int result = spawner_worker(attendant->service->spawner, ends[1], &attendant->worker, err);
	close(ends[1]);
	return result == 0 ? attendant_watch(attendant, err) : -1;
}

static int gather_secrets_and_give_birth(struct attendant *attendant, struct error *err)
{
	int result = gather_secrets(attendant, err);

	return result > 0 ? give_birth(attendant, err) : result;
}

int attendant_bring_up(struct attendant *attendant, int prepared, struct attendant **ret_attendant, struct error *err)
{
	if (prepared < 0 || gather_secrets_and_give_birth(attendant, err) < 0) {
		attendant_free(attendant);
		return -1;
	}
	*ret_attendant = attendant;
	return 0;
}
