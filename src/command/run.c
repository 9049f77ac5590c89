#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "command/beside.h"
#include "command/command.h"
#include "supervisor/supervisor.h"

static bool name_exists(const struct config *config, const char *name)
{
	const char **names;
	const char *nearest;

	if (config_mailbox(config, name) != NULL)
		return true;
	names = xcalloc(config->mailbox_count + 1, sizeof(*names));
	for (size_t i = 0; i < config->mailbox_count; i++)
		names[i] = config->mailboxes[i].name;
	nearest = config_nearest(name, names, config->mailbox_count);
	fprintf(stderr, "mailhaul: %s has no mailbox \"%s\"%s%s%s\n", config->file, name, nearest != NULL ? "; did you mean \"" : "",
		nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
	free(names);
	return false;
}

static bool names_exist(const struct config *config, const struct options *options)
{
	for (size_t i = 0; i < strv_length(options->arguments); i++)
		if (!name_exists(config, options->arguments[i]))
			return false;
	return options->trace == NULL || name_exists(config, options->trace);
}

static int supervise(const struct options *options, const struct config *config, struct spawner *spawner, enum job_mode mode)
{
	bool terminal = isatty(STDERR_FILENO) == 1;
	const struct supervisor_options wanted = {
		.mode = mode,
		.names = options->arguments,
		.trace = options->trace,
		.attended = terminal,
		.accept_duplicates = mode == JOB_HAUL && options->accept_duplicates,
		.wait = options->wait,
		.wait_s = options->wait_s,
		.show_progress = mode == JOB_HAUL && terminal && !options->no_progress && options->verbosity >= 0 && options->trace == NULL,
	};

	return supervisor_run(config, spawner, &wanted);
}

/* What one mailbox says on the wire shows the run that talks to it: the daemon lets go of it. */
static int trace(const struct options *options, const struct config *config, struct spawner *spawner)
{
	bool alone = strv_length(options->arguments) == 1 && strcmp(options->arguments[0], options->trace) == 0;
	struct error err;
	int claim, code;

	if (!alone && beside_is_there(config)) {
		fprintf(stderr, "mailhaul: a daemon serves these mailboxes: name %s alone to trace it\n", options->trace);
		return EX_USAGE;
	}
	if (beside_claim(config, options->trace, &claim, &err) < 0)
		return command_failed(&err);
	code = supervise(options, config, spawner, JOB_HAUL);
	fs_close(claim);
	return code;
}

static int run(const struct options *options, const struct config *config, struct spawner *spawner)
{
	int code;

	if (options->trace != NULL)
		return trace(options, config, spawner);
	/* Who begins anew has lost the state, and a daemon would not run. */
	if (!options->accept_duplicates && beside_run(config, options, &code))
		return code;
	return supervise(options, config, spawner, JOB_HAUL);
}

static int load_and_do(const struct options *options, struct spawner *spawner, enum job_mode mode)
{
	struct config *config = command_load(options);
	int code;

	if (config == NULL)
		return EX_CONFIG;
	if (!names_exist(config, options))
		code = EX_USAGE;
	else
		code = mode == JOB_HAUL ? run(options, config, spawner) : supervise(options, config, spawner, mode);
	config_free(config);
	return code;
}

int command_run(const struct options *options, struct spawner *spawner)
{
	return load_and_do(options, spawner, JOB_HAUL);
}

int command_check(const struct options *options, struct spawner *spawner)
{
	return load_and_do(options, spawner, JOB_CHECK);
}

int command_list(const struct options *options, struct spawner *spawner)
{
	if (strv_length(options->arguments) != 1) {
		fputs("mailhaul: list wants the name of one mailbox\n", stderr);
		return EX_USAGE;
	}
	return load_and_do(options, spawner, JOB_LIST);
}
