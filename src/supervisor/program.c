#include "supervisor/program.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "supervisor/attendant.h"
#include "supervisor/child.h"

/* What a program gets of our environment: enough to find its own configuration and the user's key ring, no more; and none of it is a secret of ours. */
static const char *const passed_on[] = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "GNUPGHOME", "XDG_RUNTIME_DIR",
	"XDG_CONFIG_HOME", "XDG_DATA_HOME", "GPG_AGENT_INFO", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "PASSWORD_STORE_DIR", "TMPDIR"};

struct ending {
	struct program *program;
	void (*ended)(void *);
	void *context;
};

static void add_variable(char ***list, const char *name, const char *value)
{
	char *entry = xasprintf("%s=%s", name, value);

	strv_add(list, entry);
	free(entry);
}

static char **make_environment(const struct program_call *call)
{
	char **list = xcalloc(1, sizeof(*list));

	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++) {
		const char *value = getenv(passed_on[i]);

		if (value != NULL)
			add_variable(&list, passed_on[i], value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(call->variables) && call->variables[i][0] != NULL; i++)
		add_variable(&list, call->variables[i][0], call->variables[i][1]);
	return list;
}

static int on_exit_of_program(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct ending ending;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);   /* it is on until then */
	if (context == NULL) {                               /* forgotten: only to be reaped */
		sd_event_source_set_floating(source, false); /* gives up the last reference */
		return 0;
	}
	ending = *(struct ending *)context;
	ending.program->status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
	ending.program->ended = true;
	ending.program->child.pid = 0;
	ending.program->deadline = sd_event_source_disable_unref(ending.program->deadline);
	ending.ended(ending.context);
	return 0;
}

static int on_deadline_of_program(sd_event_source *source, uint64_t when_us, void *context)
{
	struct program *program = context;

	(void)source;
	(void)when_us;
	program->late = true;
	program_kill(program);
	return 0;
}

int program_start(struct service *service, struct program *program, const struct program_call *call, struct error *err)
{
	char **environment = make_environment(call);
	struct ending *ending;
	int result;

	program_done(program);
	result = spawner_helper(service->spawner, call->argv, environment, call->stdio, &program->child, err);
	strv_free(environment);
	if (result < 0)
		return -1;
	ending = xmalloc(sizeof(*ending));
	*ending = (struct ending){program, call->ended, call->context};
	if (child_watch(service->event, &program->exit_event, program->child.pidfd, on_exit_of_program, ending) < 0) {
		free(ending);
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a program");
	}
	sd_event_source_set_destroy_callback(program->exit_event, free);
	if (call->deadline_s > 0 && sd_event_add_time_relative(service->event, &program->deadline, CLOCK_MONOTONIC,
					    (uint64_t)(call->deadline_s * 1e6), 100000, on_deadline_of_program, program) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch a program");
	return 0;
}

void program_kill(struct program *program)
{
	/* Not yet reaped, so the number is still its own. One that was born this moment has no group yet. */
	if (program->child.pid > 0 && kill(-program->child.pid, SIGKILL) < 0)
		kill(program->child.pid, SIGKILL);
}

void program_done(struct program *program)
{
	program_kill(program);
	program->deadline = sd_event_source_disable_unref(program->deadline);
	if (program->child.pid > 0 && program->exit_event != NULL) {
		free(sd_event_source_set_userdata(program->exit_event, NULL)); /* the event loop reaps it */
		sd_event_source_set_floating(program->exit_event, true);
		sd_event_source_unref(program->exit_event);
	} else {
		sd_event_source_disable_unref(program->exit_event);
	}
	*program = (struct program){0};
}
