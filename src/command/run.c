#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
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

static int supervise(const struct options *options, struct spawner *spawner, enum job_mode mode)
{
	struct config *config = command_load(options);
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
	int code;

	if (config == NULL)
		return EX_CONFIG;
	code = names_exist(config, options) ? supervisor_run(config, spawner, &wanted) : EX_USAGE;
	config_free(config);
	return code;
}

int command_run(const struct options *options, struct spawner *spawner)
{
	return supervise(options, spawner, JOB_HAUL);
}

int command_check(const struct options *options, struct spawner *spawner)
{
	return supervise(options, spawner, JOB_CHECK);
}

int command_list(const struct options *options, struct spawner *spawner)
{
	if (strv_length(options->arguments) != 1) {
		fputs("mailhaul: list wants the name of one mailbox\n", stderr);
		return EX_USAGE;
	}
	return supervise(options, spawner, JOB_LIST);
}
