#include <stdio.h>
#include <sysexits.h>

#include "base/mem.h"
#include "command/command.h"
#include "supervisor/supervisor.h"

static struct config *load_again(const void *context, FILE *errors)
{
	return command_load_again(context, errors);
}

int command_daemon(const struct options *options, struct spawner *spawner)
{
	struct options lasting = *options;
	const struct supervisor_options wanted = {.mode = JOB_HAUL, .trace = options->trace, .load = load_again, .load_context = options};
	struct config *config;
	int code;

	if (strv_length(options->arguments) != 0) {
		fputs("mailhaul: daemon takes no names, it serves all mailboxes; \"enabled: no\" in the configuration leaves one out\n", stderr);
		return EX_USAGE;
	}
	lasting.keeps_log = true;
	config = command_load(&lasting);
	if (config == NULL)
		return EX_CONFIG;
	code = supervisor_run(config, spawner, &wanted);
	config_free(config);
	return code;
}
