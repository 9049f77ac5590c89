#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "command/beside.h"
#include "command/command.h"
#include "policy/policy.h"
#include "state/marker.h"
#include "state/state.h"

/* Another mailhaul that is hauling has the state for milliseconds at a time. */
#define BUSY_S 10
#define BUSY_RETRY_NS 20000000

static bool try_again(const struct error *err, struct deadline until)
{
	const struct timespec pause = {.tv_nsec = BUSY_RETRY_NS};

	return err->kind == ERR_TEMP && !deadline_passed(until) && nanosleep(&pause, NULL) == 0;
}

static int open_mailbox(
	struct state *state, const struct config *config, const struct mailbox_config *mailbox, struct mailbox_state *ret_mailbox, struct error *err)
{
	struct deadline until = deadline_in_s(BUSY_S);

	while (state_mailbox_open(state, config, mailbox, ret_mailbox, err) < 0)
		if (!try_again(err, until))
			return -1;
	return 0;
}

static int accept_mailbox(struct state *state, const struct config *config, const char *name, struct error *err)
{
	struct deadline until = deadline_in_s(BUSY_S);
	struct mailbox_state mailbox;

	if (open_mailbox(state, config, config_mailbox(config, name), &mailbox, err) < 0)
		return -1;
	if (mailbox.stopped[0] == '\0') {
		printf("%s: had not stopped, nothing to accept\n", name);
		return 0;
	}
	while (state_mailbox_accept(state, mailbox.id, err) < 0)
		if (!try_again(err, until))
			return -1;
	printf("%s: accepted, the next run goes on and hauls what is new\n", name);
	return 0;
}

static int accept_all(const struct options *options, const struct config *config, struct error *err)
{
	struct state *state;
	int result = 0;

	if (command_become(config, err) < 0 || markers_expect_state(config, err) < 0)
		return -1;
	state = state_open(config->state_dir, true, &(bool){false}, err);
	if (state == NULL)
		return err->kind == ERR_NONE
			       ? error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing has stopped: mailhaul has not run with this configuration yet")
			       : -1;
	state_close(state); /* it is there: now to be written to, which would have made it */
	state = state_open(config->state_dir, false, &(bool){false}, err);
	for (size_t i = 0; state != NULL && result == 0 && options->arguments[i] != NULL; i++)
		result = accept_mailbox(state, config, options->arguments[i], err);
	result = state != NULL ? result : -1;
	state_close(state);
	if (result == 0)
		beside_wake(config, options->arguments);
	return result;
}

static bool names_exist(const struct config *config, const struct options *options)
{
	for (size_t i = 0; options->arguments[i] != NULL; i++)
		if (config_mailbox(config, options->arguments[i]) == NULL) {
			fprintf(stderr, "mailhaul: %s has no mailbox \"%s\"\n", config->file, options->arguments[i]);
			return false;
		}
	return true;
}

int command_accept(const struct options *options, struct spawner *spawner)
{
	struct config *config;
	struct error err = {0};
	int code = EX_OK;

	(void)spawner;
	if (strv_length(options->arguments) == 0) {
		fputs("mailhaul: accept wants the names of mailboxes; \"mailhaul status\" shows which have stopped, and why\n", stderr);
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	if (!names_exist(config, options)) {
		code = EX_USAGE;
	} else if (accept_all(options, config, &err) < 0) {
		fprintf(stderr, "mailhaul: %s\n", err.text);
		code = err.scope == SCOPE_MESSAGE ? EX_USAGE : policy_exit_code(err.kind, err.scope);
	}
	config_free(config);
	return code;
}
