#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "command/command.h"
#include "policy/policy.h"
#include "state/place.h"
#include "state/state.h"
#include "supervisor/lock.h"

static int cannot_write(const char *file, struct error *err)
{
	return error_errno(err, SCOPE_PROGRAM, "cannot write %s", file);
}

/* Complete and on disk, or what was there before. */
static int export_into(struct state *state, const char *file, struct error *err)
{
	char *draft = xasprintf("%s.new", file);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), result = -1;
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (to == NULL)
		cannot_write(draft, err);
	else if (state_export(state, to, err) == 0)
		result = fsync(fd) == 0 && rename(draft, file) == 0 ? 0 : cannot_write(file, err);
	if (to != NULL)
		fclose(to);
	if (to != NULL && result < 0)
		unlink(draft);
	free(draft);
	return result;
}

static int export(const struct config *config, const char *file, struct error *err)
{
	struct state *state = command_open_state(config, true, err);
	int result;

	if (state == NULL && err->kind == ERR_NONE)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "there is nothing to export: mailhaul has not hauled with this configuration yet");
	if (state == NULL)
		return -1;
	result = strcmp(file, "-") == 0 ? state_export(state, stdout, err) : export_into(state, file, err);
	state_close(state);
	return result;
}

/* -- import -- */

/* Whoever hauls, though its state.db was moved away meanwhile, holds one of these. None is made, since it would tell of a state that was lost should
 * the import fail. The descriptors end with the process. */
static int lock_all(const struct config *config, struct error *err)
{
	int dir_fd = place_open(config->state_dir, true, err), fd, result = dir_fd < 0 ? -1 : 0;

	for (size_t i = 0; i < config->mailbox_count && result == 0; i++)
		if (lock_exists(dir_fd, config->mailboxes[i].name))
			result = lock_mailbox(dir_fd, config->mailboxes[i].name, &fd, err);
	fs_close(dir_fd);
	return result;
}

static int import(const struct config *config, const char *file, struct error *err)
{
	FILE *from = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
	int result;

	if (from == NULL) {
		error_errno(err, SCOPE_MESSAGE, "cannot open %s", file);
		err->kind = ERR_CONFIG;
		return -1;
	}
	result = command_become(config, err) < 0 || lock_all(config, err) < 0 ? -1 : state_import(config->state_dir, from, file, err);
	fclose(from);
	return result;
}

int command_state(const struct options *options, struct spawner *spawner)
{
	size_t count = strv_length(options->arguments);
	const char *word = count != 0 ? options->arguments[0] : "", *file = count > 1 ? options->arguments[1] : "-";
	struct error err = {0};
	struct config *config;
	int result;

	(void)spawner;
	if (!((strcmp(word, "export") == 0 && count <= 2) || (strcmp(word, "import") == 0 && count == 2))) {
		print_help(stderr, command_find("state"));
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	result = word[0] == 'e' ? export(config, file, &err) : import(config, file, &err);
	config_free(config);
	if (result == 0)
		return EX_OK;
	fprintf(stderr, "mailhaul: %s\n", err.text);
	/* What was given to import is no fault of the configuration. */
	return err.kind == ERR_CONFIG && err.scope == SCOPE_MESSAGE ? EX_DATAERR : policy_exit_code(err.kind, err.scope);
}
