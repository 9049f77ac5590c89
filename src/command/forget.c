#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/mem.h"
#include "command/command.h"
#include "state/state.h"

struct forgetting {
	const struct config *config;
	const char *name;
	struct state *state;
	int64_t mailbox;
	uint64_t messages;
};

/* A state that is not there is not made. */
static int open_state(void *context, struct error *err)
{
	struct forgetting *forgetting = context;

	*err = (struct error){0};
	forgetting->state = command_open_state(forgetting->config, true, err);
	if (forgetting->state == NULL)
		return err->kind == ERR_NONE ? 0 : -1;
	state_close(forgetting->state);
	forgetting->state = command_open_state(forgetting->config, false, err);
	return forgetting->state != NULL ? 0 : -1;
}

static int forget_once(void *context, struct error *err)
{
	struct forgetting *forgetting = context;
	struct state *state = forgetting->state;

	if (state_begin(state, err) < 0)
		return -1;
	if (state_forget(state, forgetting->mailbox, &forgetting->messages, err) == 0 && state_commit(state, err) == 0)
		return 0;
	state_rollback(state);
	return -1;
}

/* It need not be in the configuration any more. */
static int find(void *context, struct error *err)
{
	struct forgetting *forgetting = context;

	if (forgetting->state != NULL && state_mailbox_find(forgetting->state, forgetting->name, &forgetting->mailbox, err) < 0)
		return -1;
	if (forgetting->mailbox == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is known of a mailbox \"%s\"", forgetting->name);
	return 0;
}

static int forget(struct forgetting *forgetting, const struct options *options, struct error *err)
{
	struct mailbox_lock lock;
	char question[400];
	int result;

	if (command_patiently(open_state, forgetting, err) < 0 || command_patiently(find, forgetting, err) < 0)
		return -1;
	snprintf(question, sizeof(question),
		"All that is known of mailbox %s would be forgotten: the next run treats it by first_run, and what is still at the source may come "
		"again.",
		forgetting->name);
	if (command_confirm(options, question, err) < 0 || command_lock(forgetting->config, forgetting->state, forgetting->name, &lock, err) < 0)
		return -1;
	result = command_patiently(forget_once, forgetting, err);
	command_unlock(&lock);
	if (result == 0)
		printf("%s is forgotten (%" PRIu64
		       " message%s); the next run treats it by first_run, and what is still at the source may come again\n",
			forgetting->name, forgetting->messages, forgetting->messages == 1 ? "" : "s");
	return result;
}

int command_forget(const struct options *options, struct spawner *spawner)
{
	struct config *config;
	struct forgetting forgetting;
	struct error err = {0};
	int code = EX_OK;

	(void)spawner;
	if (strv_length(options->arguments) != 1) {
		fputs("mailhaul: forget wants the name of one mailbox\n", stderr);
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	forgetting = (struct forgetting){.config = config, .name = options->arguments[0]};
	if (forget(&forgetting, options, &err) < 0)
		code = command_failed(&err);
	state_close(forgetting.state);
	config_free(config);
	return code;
}
