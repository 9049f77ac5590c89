#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/command.h"
#include "policy/policy.h"
#include "state/state.h"

/* What the words after "held" work on. Errors that come from these words have SCOPE_MESSAGE: exit 64. */
struct scene {
	const struct options *options;
	const struct config *config;
	struct state *state;
	unsigned shown;
};

static int find_mailbox(struct scene *scene, const char *name, int64_t *ret_id, struct error *err)
{
	const struct mailbox_config *config = config_mailbox(scene->config, name);
	struct mailbox_state mailbox;

	if (config == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s has no mailbox \"%s\"", scene->config->file, name);
	if (state_mailbox_open(scene->state, scene->config, config, &mailbox, err) < 0)
		return -1;
	*ret_id = mailbox.id;
	return 0;
}

static int parse_id(const char *word, uint64_t *ret_id, struct error *err)
{
	unsigned long long id;

	if (!parse_u64(word, strlen(word), INT64_MAX, &id) || id == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "\"%s\" is not the number of a message; \"mailhaul held list\" shows them", word);
	*ret_id = id;
	return 0;
}

static void show_line(void *context, const struct held_message *held)
{
	struct scene *scene = context;
	char date[24], reply[160];

	if (scene->shown++ == 0)
		printf("%-8s %-16s %10s  %-20s %s\n", "ID", "MAILBOX", "BYTES", "SINCE", "WHY");
	printable_into(reply, sizeof(reply), held->reply != NULL ? held->reply : "", held->reply != NULL ? strlen(held->reply) : 0);
	printf("%-8" PRIu64 " %-16s %10" PRIu64 "  %-20s %s%s%s\n", held->id, held->mailbox, held->size, clock_iso8601(date, held->held_at),
		held->destination != NULL ? held->destination : "", held->destination != NULL ? ": " : "", reply);
}

static void show_all(void *context, const struct held_message *held)
{
	struct scene *scene = context;
	char date[24], text[4 * 1024];

	scene->shown++;
	printf("message      %" PRIu64 "\nmailbox      %s%s%s\n", held->id, held->mailbox, held->folder[0] != '\0' ? "/" : "", held->folder);
	printf("uid          %s\n", escape_into(text, sizeof(text), held->key, held->key_len));
	printf("size         %" PRIu64 " bytes\n", held->size);
	if (held->date != 0)
		printf("arrived      %s\n", clock_iso8601(date, held->date));
	printf("held since   %s\n", clock_iso8601(date, held->held_at));
	if (held->destination != NULL)
		printf("destination  %s%s%s\n", held->destination, held->recipient[0] != '\0' ? " for " : "", held->recipient);
	printf("why          %s\n",
		printable_into(text, sizeof(text), held->reply != NULL ? held->reply : "", held->reply != NULL ? strlen(held->reply) : 0));
	printf("attempts     %u\nnext try     %s\n", held->attempts,
		held->next_try < 0    ? "only by hand"
		: held->next_try == 0 ? "at the next run"
				      : clock_iso8601(date, held->next_try));
	puts("the message is still at the source");
}

static int held_list(struct scene *scene, const char *name, struct error *err)
{
	int64_t mailbox = 0;

	if (name != NULL && find_mailbox(scene, name, &mailbox, err) < 0)
		return -1;
	if (name != NULL && mailbox == 0)
		return 0; /* never hauled */
	return state_held(scene->state, mailbox, 0, show_line, scene, err);
}

static int held_show(struct scene *scene, const char *word, struct error *err)
{
	uint64_t id;

	if (parse_id(word, &id, err) < 0 || state_held(scene->state, 0, id, show_all, scene, err) < 0)
		return -1;
	return scene->shown != 0 ? 0 : error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "message %s is not held", word);
}

static int say_count(unsigned count, const char *word, const char *what, struct error *err)
{
	if (count == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is held under \"%s\"", word);
	printf("%u deliver%s %s\n", count, count == 1 ? "y" : "ies", what);
	return 0;
}

static int held_retry(struct scene *scene, const char *word, struct error *err)
{
	int64_t mailbox = 0;
	uint64_t id = 0;
	unsigned count;

	if (config_mailbox(scene->config, word) != NULL ? find_mailbox(scene, word, &mailbox, err) < 0 : parse_id(word, &id, err) < 0)
		return -1;
	if (state_held_retry(scene->state, mailbox, id, &count, err) < 0)
		return -1;
	return say_count(count, word, "will be tried again by the next run", err);
}

static int held_drop(struct scene *scene, const char *word, struct error *err)
{
	uint64_t id;
	unsigned count;

	if (parse_id(word, &id, err) < 0 || state_held_drop(scene->state, id, scene->options->delete_at_source, &count, err) < 0)
		return -1;
	return say_count(count, word,
		scene->options->delete_at_source ? "dropped; the next run deletes the message at the source"
						 : "dropped; the message stays at the source",
		err);
}

static bool is_word(const struct scene *scene, const char *word)
{
	return strcmp(scene->options->arguments[0], word) == 0;
}

/* Returns 1 when the words make no sense. */
static int dispatch(struct scene *scene, struct error *err)
{
	char *const *words = scene->options->arguments;
	size_t count = strv_length(words);

	if (count == 0 || (is_word(scene, "list") && count <= 2))
		return held_list(scene, count == 2 ? words[1] : NULL, err);
	if (count != 2)
		return 1;
	if (is_word(scene, "show"))
		return held_show(scene, words[1], err);
	if (is_word(scene, "retry"))
		return held_retry(scene, words[1], err);
	if (is_word(scene, "drop"))
		return held_drop(scene, words[1], err);
	return 1;
}

/* Looking makes no state, and neither does changing what is not there. NULL with ERR_NONE: mailhaul has not run yet. */
static struct state *open_state(const struct scene *scene, struct error *err)
{
	struct state *state = state_open(scene->config->state_dir, true, &(bool){false}, err);

	if (state == NULL || strv_length(scene->options->arguments) == 0 || is_word(scene, "list") || is_word(scene, "show"))
		return state;
	state_close(state);
	return state_open(scene->config->state_dir, false, &(bool){false}, err);
}

static int work_on_state(struct scene *scene, struct error *err)
{
	if (command_become(scene->config, err) < 0)
		return -1;
	scene->state = open_state(scene, err);
	if (scene->state != NULL)
		return dispatch(scene, err);
	if (err->kind == ERR_NONE && strv_length(scene->options->arguments) >= 2)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing is held: mailhaul has not run with this configuration yet");
	return err->kind == ERR_NONE ? 0 : -1;
}

int command_held(const struct options *options, struct spawner *spawner)
{
	struct scene scene = {.options = options, .config = command_load(options)};
	struct error err = {0};
	int code = EX_OK, result;

	(void)spawner;
	if (scene.config == NULL)
		return EX_CONFIG;
	result = work_on_state(&scene, &err);
	if (result > 0) {
		print_help(stderr, command_find("held"));
		code = EX_USAGE;
	} else if (result < 0) {
		fprintf(stderr, "mailhaul: %s\n", err.text);
		code = err.scope == SCOPE_MESSAGE ? EX_USAGE : policy_exit_code(err.kind, err.scope);
	}
	state_close(scene.state);
	config_free((struct config *)(uintptr_t)scene.config);
	return code;
}
