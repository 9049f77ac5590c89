#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "channel/record.h"
#include "command/command.h"
#include "config/value.h"
#include "state/state.h"

struct refetching {
	const struct config *config;
	const struct mailbox_config *mailbox;
	char *const *words; /* none: by date */
	int64_t since_s;
	struct state *state;
	struct state_target targets[TARGETS_MAX];
	unsigned target_count;
	struct refetch_counts counts;
	enum refetch *found; /* per word */
	uint64_t chosen;
};

static void add_targets(struct refetching *refetching, const char *name)
{
	const struct dest_config *destination = config_destination(refetching->config, name);
	char *const *recipients = config_recipients(refetching->mailbox, destination);

	if (recipients == NULL)
		refetching->targets[refetching->target_count++] = (struct state_target){.destination = destination->name, .recipient = ""};
	for (size_t i = 0; recipients != NULL && recipients[i] != NULL; i++)
		refetching->targets[refetching->target_count++] = (struct state_target){.destination = destination->name, .recipient = recipients[i]};
}

/* -- one message by its name -- */

/* UID, or FOLDER/UID. */
static int choose_uid(struct refetching *refetching, int64_t mailbox_id, const char *word, enum refetch *ret_what, struct error *err)
{
	const struct mailbox_config *mailbox = refetching->mailbox;
	const char *slash = strrchr(word, '/'), *uid = slash != NULL ? slash + 1 : word;
	char *const *folders = mailbox->folders;
	unsigned long long number;

	if (!parse_u64(uid, strlen(uid), UINT32_MAX, &number) || number == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "\"%s\" is no UID; \"mailhaul list %s\" shows them", word, mailbox->name);
	if (slash == NULL && strv_length(folders) > 1)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s has several folders; write FOLDER/%s", mailbox->name, uid);
	for (size_t i = 0; folders[i] != NULL; i++) {
		bool same = slash == NULL || (strlen(folders[i]) == (size_t)(slash - word) && strncmp(folders[i], word, (size_t)(slash - word)) == 0);

		if (same)
			return state_refetch_key(refetching->state, mailbox_id, folders[i], uid, ret_what, err);
	}
	return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s hauls no folder \"%.*s\"", mailbox->name, (int)(slash - word), word);
}

/* UIDL, or the number that list and held show. */
static int choose_uidl(struct refetching *refetching, int64_t mailbox_id, const char *word, enum refetch *ret_what, struct error *err)
{
	unsigned long long number;

	if (state_refetch_key(refetching->state, mailbox_id, "", word, ret_what, err) < 0)
		return -1;
	if (*ret_what != REFETCH_UNKNOWN || !parse_u64(word, strlen(word), INT64_MAX, &number))
		return 0;
	return state_refetch_id(refetching->state, mailbox_id, number, ret_what, err);
}

static int choose(struct refetching *refetching, int64_t mailbox_id, struct error *err)
{
	if (refetching->words[0] == NULL)
		return state_refetch_since(refetching->state, mailbox_id, refetching->since_s, &refetching->counts, err);
	for (size_t i = 0; refetching->words[i] != NULL; i++) {
		const char *word = refetching->words[i];
		int result = refetching->mailbox->protocol == PROTOCOL_IMAP ? choose_uid(refetching, mailbox_id, word, &refetching->found[i], err)
									    : choose_uidl(refetching, mailbox_id, word, &refetching->found[i], err);

		if (result < 0)
			return -1;
		if (refetching->found[i] == REFETCH_UNKNOWN)
			return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s: no message %s was ever seen; \"mailhaul list %s\" shows them",
				refetching->mailbox->name, word, refetching->mailbox->name);
	}
	return 0;
}

/* -- the whole -- */

/* The lock is that of this name alone, so a mailbox that was renamed is left to the next run. */
static int refetch_within(struct refetching *refetching, struct error *err)
{
	int64_t mailbox_id;

	if (state_mailbox_find(refetching->state, refetching->mailbox->name, &mailbox_id, err) < 0)
		return -1;
	if (mailbox_id == 0)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing was hauled under the name %s yet; run it once, then it can be hauled again",
			refetching->mailbox->name);
	if (state_refetch_begin(refetching->state, err) < 0 || choose(refetching, mailbox_id, err) < 0)
		return -1;
	return state_refetch(
		refetching->state, refetching->targets, refetching->target_count, &refetching->mailbox->after_delivery, &refetching->chosen, err);
}

static int refetch_once(void *context, struct error *err)
{
	struct refetching *refetching = context;

	if (state_begin(refetching->state, err) < 0)
		return -1;
	if (refetch_within(refetching, err) == 0 && state_commit(refetching->state, err) == 0)
		return 0;
	state_rollback(refetching->state);
	return -1;
}

static int open_state(void *context, struct error *err)
{
	struct refetching *refetching = context;

	*err = (struct error){0};
	refetching->state = command_open_state(refetching->config, true, err);
	if (refetching->state == NULL && err->kind == ERR_NONE)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing was hauled yet, so the next run hauls it");
	if (refetching->state == NULL)
		return -1;
	state_close(refetching->state);
	refetching->state = command_open_state(refetching->config, false, err);
	return refetching->state != NULL ? 0 : -1;
}

/* True: something was found to do. */
static bool report(const struct refetching *refetching)
{
	uint64_t waiting = refetching->counts.waiting;

	for (size_t i = 0; refetching->words[i] != NULL; i++) {
		if (refetching->found[i] == REFETCH_GONE)
			printf("message %s is no longer at the source\n", refetching->words[i]);
		waiting += refetching->found[i] == REFETCH_WAITS;
	}
	if (refetching->counts.gone != 0)
		printf("%" PRIu64 " message%s no longer at the source\n", refetching->counts.gone, refetching->counts.gone == 1 ? " is" : "s are");
	if (waiting != 0)
		printf("%" PRIu64 " message%s to be hauled anyway\n", waiting, waiting == 1 ? " is" : "s are");
	printf("%" PRIu64 " message%s of %s will be hauled again by the next run\n", refetching->chosen, refetching->chosen == 1 ? "" : "s",
		refetching->mailbox->name);
	return refetching->words[0] == NULL || waiting + refetching->chosen != 0;
}

static int refetch(struct refetching *refetching, struct error *err)
{
	struct mailbox_lock lock;
	int result;

	if (command_patiently(open_state, refetching, err) < 0 ||
		command_lock(refetching->config, refetching->state, refetching->mailbox->name, &lock, err) < 0)
		return -1;
	for (size_t i = 0; refetching->mailbox->deliver_to[i] != NULL; i++)
		add_targets(refetching, refetching->mailbox->deliver_to[i]);
	refetching->found = xcalloc(strv_length(refetching->words) + 1, sizeof(*refetching->found));
	result = command_patiently(refetch_once, refetching, err);
	command_unlock(&lock);
	if (result == 0 && !report(refetching))
		result = error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "there is nothing that could be hauled again");
	free(refetching->found);
	return result;
}

/* Either a date or messages, never both. */
static bool makes_sense(const struct options *options, int64_t *ret_since_s)
{
	size_t count = strv_length(options->arguments);

	if (count == 0 || (count == 1) != (options->since != NULL)) {
		fputs("mailhaul: refetch wants a mailbox, and either --since DATE or the numbers of messages\n", stderr);
		return false;
	}
	if (options->since == NULL || value_date(options->since, ret_since_s))
		return true;
	fprintf(stderr, "mailhaul: --since wants a date like 2026-01-31, not \"%s\"\n", options->since);
	return false;
}

int command_refetch(const struct options *options, struct spawner *spawner)
{
	struct refetching refetching = {0};
	struct error err = {0};
	struct config *config;
	int code = EX_OK;

	(void)spawner;
	if (!makes_sense(options, &refetching.since_s))
		return EX_USAGE;
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	refetching.config = config;
	refetching.words = options->arguments + 1;
	refetching.mailbox = config_mailbox(config, options->arguments[0]);
	if (refetching.mailbox == NULL)
		error_set(&err, ERR_CONFIG, SCOPE_MESSAGE, "%s has no mailbox \"%s\"", config->file, options->arguments[0]);
	if (refetching.mailbox == NULL || refetch(&refetching, &err) < 0)
		code = command_failed(&err);
	state_close(refetching.state);
	config_free(config);
	return code;
}
