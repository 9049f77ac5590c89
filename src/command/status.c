#include "command/status.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "command/beside.h"
#include "command/command.h"
#include "policy/policy.h"
#include "supervisor/outlook.h"

#define EXIT_ATTENTION 1 /* as systemctl and others have it: shown, and not well */
#define LOOK_AGAIN_S 2

/* One look. */
struct look {
	const struct config *config;
	const struct status_form *form;
	FILE *to;
	struct state *state; /* NULL: never run */
	struct outlook outlook;
	bool has_daemon;
	bool attention;
};

static void note_latest(void *context, const struct held_message *held)
{
	struct status_line *line = context;

	if (held->held_at < line->held_at)
		return;
	line->held_at = held->held_at;
	snprintf(line->held_destination, sizeof(line->held_destination), "%s", held->destination != NULL ? held->destination : "");
	snprintf(line->held_reply, sizeof(line->held_reply), "%s", held->reply != NULL ? held->reply : "");
}

static int read_line(const struct look *look, struct status_line *line, struct error *err)
{
	struct state *state = look->state;

	line->now = clock_wall_s();
	line->counts.next_try = -1;
	if (look->has_daemon)
		line->outlook = outlook_find(&look->outlook, line->config->name);
	if (state == NULL)
		return 0; /* everything is zero */
	if (state_mailbox_open(state, look->config, line->config, &line->mailbox, err) < 0 ||
		state_counts(state, line->mailbox.id, &line->counts, err) < 0)
		return -1;
	if (line->counts.held != 0 && state_held(state, line->mailbox.id, 0, note_latest, line, err) < 0)
		return -1;
	line->backing_off =
		line->mailbox.failures != 0 && !backoff_is_over((enum backoff_clock)line->mailbox.clock, line->mailbox.retry_at, line->now);
	return 0;
}

/* What waits or is in doubt settles itself; this does not, or not soon. */
static bool needs_attention(const struct status_line *line)
{
	return line->config->enabled && (line->mailbox.failures != 0 || line->mailbox.stopped[0] != '\0' || line->counts.held != 0);
}

static int show_mailboxes(struct look *look, struct error *err)
{
	for (size_t i = 0; i < look->config->mailbox_count; i++) {
		struct status_line line = {.config = &look->config->mailboxes[i]};

		if (read_line(look, &line, err) < 0)
			return -1;
		look->form->mailbox(look->to, &line, i == 0);
		look->attention |= needs_attention(&line);
	}
	return 0;
}

static int show_destinations(struct look *look, struct error *err)
{
	for (size_t i = 0; i < look->config->destination_count; i++) {
		const char *name = look->config->destinations[i].name;
		struct destination_state destination = {0};

		if (look->state != NULL && state_destination_load(look->state, name, &destination, err) < 0)
			return -1;
		look->form->destination(look->to, name, &destination, i == 0);
		look->attention |= destination.failures != 0;
	}
	return 0;
}

static int show(struct look *look, struct error *err)
{
	look->form->begin(look->to, look->config, look->has_daemon ? &look->outlook : NULL);
	if (show_mailboxes(look, err) < 0)
		return -1;
	look->form->destinations(look->to);
	if (show_destinations(look, err) < 0)
		return -1;
	look->form->end(look->to);
	return 0;
}

/* The state is opened anew each time: it need not be the same. */
static int look_once(struct look *look, struct error *err)
{
	int result = -1;

	*err = (struct error){0};
	look->attention = false;
	look->state = command_open_state(look->config, true, err);
	look->has_daemon = outlook_read(beside_outlook(look->config), &look->outlook);
	if (look->state != NULL || err->kind == ERR_NONE)
		result = show(look, err);
	outlook_done(&look->outlook);
	state_close(look->state);
	return result;
}

/* Until somebody ends it; what is shown is shown again when it is another. */
static int watch(struct look *look, struct error *err)
{
	bool terminal = isatty(STDOUT_FILENO) == 1;
	char *shown = NULL;

	for (;;) {
		char *text = NULL;
		size_t len;
		int result;

		look->to = open_memstream(&text, &len);
		if (look->to == NULL)
			return error_errno(err, SCOPE_PROGRAM, "cannot remember what was shown");
		result = look_once(look, err);
		fclose(look->to);
		if (result == 0 && (shown == NULL || strcmp(shown, text) != 0)) {
			printf("%s%s", terminal ? "\033[H\033[2J" : "", text);
			fflush(stdout);
		}
		free(shown);
		shown = text;
		if (ferror(stdout) || (result < 0 && err->kind != ERR_TEMP)) { /* busy is over soon */
			free(shown);
			return result;
		}
		nanosleep(&(struct timespec){.tv_sec = LOOK_AGAIN_S}, NULL);
	}
}

int command_status(const struct options *options, struct spawner *spawner)
{
	struct look look = {.form = options->json ? &status_json : &status_text, .to = stdout};
	struct config *config;
	struct error err;
	int result;

	(void)spawner;
	if (strv_length(options->arguments) != 0) {
		fputs("mailhaul: status takes no names, it shows all mailboxes\n", stderr);
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	look.config = config;
	result = options->watch ? watch(&look, &err) : look_once(&look, &err);
	config_free(config);
	if (result < 0)
		return command_failed(&err);
	return look.attention ? EXIT_ATTENTION : EX_OK;
}
