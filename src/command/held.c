#include "command/held.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/beside.h"
#include "command/command.h"
#include "state/state.h"

/* What the words after "held" work on. Errors that come from these words have SCOPE_MESSAGE: exit 64. */
struct scene {
	const struct options *options;
	const struct config *config;
	struct state *state; /* NULL: mailhaul has not run yet */
	bool for_writing;
	int64_t mailbox; /* what is being decided: of this mailbox, or this message; 0: any */
	uint64_t id;
	unsigned count;
};

/* Only looked for: to open it could rename the one that it was, which somebody may be hauling. *ret_id 0: it was never hauled. */
static int find_mailbox(const struct scene *scene, const char *name, int64_t *ret_id, struct error *err)
{
	if (config_mailbox(scene->config, name) == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s has no mailbox \"%s\"", scene->config->file, name);
	return state_mailbox_find(scene->state, name, ret_id, err);
}

static int parse_id(const char *word, uint64_t *ret_id, struct error *err)
{
	unsigned long long id;

	if (!parse_u64(word, strlen(word), INT64_MAX, &id) || id == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "\"%s\" is not the number of a message; \"mailhaul held list\" shows them", word);
	*ret_id = id;
	return 0;
}

static int not_held(const char *word, struct error *err)
{
	return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is held under \"%s\"", word);
}

/* -- list, show -- */

static int list(struct scene *scene, const char *name, struct error *err)
{
	struct held_show show = {.state = scene->state, .json = scene->options->json};
	int64_t mailbox = 0;
	int result = 0;

	if (name != NULL && scene->state != NULL && find_mailbox(scene, name, &mailbox, err) < 0)
		return -1;
	held_show_begin(&show);
	if (name == NULL || mailbox != 0) /* else it was never hauled */
		result = held_show_lines(&show, mailbox, err);
	held_show_end(&show);
	return result;
}

static int show(struct scene *scene, char *const *words, struct error *err)
{
	struct held_show show = {.state = scene->state, .json = scene->options->json};
	int result = 0;

	for (size_t i = 0; words[i] != NULL; i++)
		if (parse_id(words[i], &(uint64_t){0}, err) < 0)
			return -1;
	held_show_begin(&show);
	for (size_t i = 0; words[i] != NULL && result == 0; i++) {
		unsigned before = show.shown;
		uint64_t id;

		result = parse_id(words[i], &id, err);
		if (result == 0)
			result = held_show_whole(&show, id, err);
		if (result == 0 && show.shown == before)
			result = not_held(words[i], err);
	}
	held_show_end(&show);
	return result;
}

/* -- retry, drop -- */

static int retry_once(void *context, struct error *err)
{
	struct scene *scene = context;

	return state_held_retry(scene->state, scene->mailbox, scene->id, &scene->count, err);
}

static int drop_once(void *context, struct error *err)
{
	struct scene *scene = context;

	return state_held_drop(scene->state, scene->id, scene->options->delete_at_source, &scene->count, err);
}

static int say_count(unsigned count, const char *what)
{
	printf("%u deliver%s %s\n", count, count == 1 ? "y" : "ies", what);
	return 0;
}

static int retry(struct scene *scene, char *const *words, struct error *err)
{
	unsigned total = 0;

	for (size_t i = 0; words[i] != NULL || scene->options->all; i++) {
		scene->mailbox = 0;
		scene->id = 0;
		if (!scene->options->all && config_mailbox(scene->config, words[i]) != NULL) {
			if (find_mailbox(scene, words[i], &scene->mailbox, err) < 0)
				return -1;
			if (scene->mailbox == 0)
				return not_held(words[i], err);
		} else if (!scene->options->all && parse_id(words[i], &scene->id, err) < 0) {
			return -1;
		}
		if (command_patiently(retry_once, scene, err) < 0)
			return -1;
		if (scene->count == 0)
			return scene->options->all ? error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is held") : not_held(words[i], err);
		total += scene->count;
		if (scene->options->all)
			break;
	}
	beside_wake(scene->config, NULL);
	return say_count(total, "will be tried again by the next run");
}

static void note_mailbox(void *context, const struct held_message *held)
{
	snprintf(context, 80, "%s", held->mailbox);
}

/* Under the lock: a worker may be about to deliver this very message. */
static int drop(struct scene *scene, const char *word, struct error *err)
{
	struct mailbox_lock lock;
	char mailbox[80] = "";
	int result;

	if (parse_id(word, &scene->id, err) < 0 || state_held(scene->state, 0, scene->id, note_mailbox, mailbox, err) < 0)
		return -1;
	if (mailbox[0] == '\0')
		return not_held(word, err);
	if (command_lock(scene->config, scene->state, mailbox, &lock, err) < 0)
		return -1;
	result = command_patiently(drop_once, scene, err);
	command_unlock(&lock);
	if (result < 0)
		return -1;
	return scene->count != 0 ? 0 : not_held(word, err);
}

static int drop_all(struct scene *scene, char *const *words, struct error *err)
{
	bool deletes = scene->options->delete_at_source;
	unsigned total = 0;

	for (size_t i = 0; words[i] != NULL; i++)
		if (parse_id(words[i], &scene->id, err) < 0)
			return -1;
	if (deletes && command_confirm(scene->options, "The next run would delete this at the source, and no copy is left.", err) < 0)
		return -1;
	for (size_t i = 0; words[i] != NULL; i++) {
		if (drop(scene, words[i], err) < 0)
			return -1;
		total += scene->count;
	}
	return say_count(total, deletes ? "dropped; the next run deletes the message at the source" : "dropped; the message stays at the source");
}

/* -- the whole -- */

/* Returns 1 when the words make no sense. */
static int dispatch(struct scene *scene, struct error *err)
{
	char *const *words = scene->options->arguments;
	size_t count = strv_length(words);
	const char *verb = count != 0 ? words[0] : "list";

	if (strcmp(verb, "list") == 0 && count <= 2)
		return list(scene, count == 2 ? words[1] : NULL, err);
	if (strcmp(verb, "show") == 0 && count >= 2)
		return show(scene, words + 1, err);
	if (scene->for_writing && scene->state == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is held: mailhaul has not run with this configuration yet");
	if (strcmp(verb, "retry") == 0 && (count >= 2) != scene->options->all)
		return retry(scene, words + 1, err);
	if (strcmp(verb, "drop") == 0 && count >= 2)
		return drop_all(scene, words + 1, err);
	return 1;
}

/* Looking makes no state, and neither does changing what is not there. */
static int open_state(void *context, struct error *err)
{
	struct scene *scene = context;

	*err = (struct error){0};
	scene->state = command_open_state(scene->config, true, err);
	if (scene->state != NULL && scene->for_writing) {
		state_close(scene->state);
		scene->state = command_open_state(scene->config, false, err);
	}
	return scene->state == NULL && err->kind != ERR_NONE ? -1 : 0;
}

static int work_on_state(struct scene *scene, struct error *err)
{
	if (command_patiently(open_state, scene, err) < 0)
		return -1;
	return dispatch(scene, err);
}

int command_held(const struct options *options, struct spawner *spawner)
{
	struct config *config = command_load(options);
	struct scene scene = {.options = options, .config = config};
	struct error err = {0};
	int code = EX_OK, result;

	(void)spawner;
	if (config == NULL)
		return EX_CONFIG;
	scene.for_writing = options->arguments != NULL && (strcmp(options->arguments[0], "retry") == 0 || strcmp(options->arguments[0], "drop") == 0);
	result = work_on_state(&scene, &err);
	if (result > 0) {
		print_help(stderr, command_find("held"));
		code = EX_USAGE;
	} else if (result < 0) {
		code = command_failed(&err);
	}
	state_close(scene.state);
	config_free(config);
	return code;
}
