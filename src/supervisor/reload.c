#include "supervisor/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "config/config.h"
#include "config/password.h"
#include "config/schema.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"
#include "supervisor/supervisor.h"

static void log_lines(char *lines)
{
	char *rest = NULL;

	for (char *line = strtok_r(lines, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		log_say(NULL, LEVEL_ERROR, "config_broken", "%s", line);
}

struct config *reload_config(const struct config *now, const struct supervisor_options *options)
{
	struct config *config;
	char *errors = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&errors, &len);

	if (to == NULL)
		return NULL;
	config = options->load(options->load_context, to);
	if (config != NULL && strcmp(config->state_dir, now->state_dir) != 0) {
		fprintf(to, "%s: another state_dir needs a restart\n", config->file);
		config_free(config);
		config = NULL;
	}
	fclose(to);
	log_lines(errors);
	free(errors);
	if (config != NULL)
		passwords_keep(config, now);
	return config;
}

/* All that a session would be told, but for passwords: whether these are new is seen when they are used. */
static void describe(const struct config *config, const struct mailbox_config *mailbox, struct str *out)
{
	schema_encode(&schema_mailbox, mailbox, out);
	for (size_t i = 0; mailbox->deliver_to[i] != NULL; i++)
		schema_encode(&schema_destination, config_destination(config, mailbox->deliver_to[i]), out);
}

static bool is_same(
	const struct config *config, const struct mailbox_config *mailbox, const struct config *other_config, const struct mailbox_config *other)
{
	struct str one = {0}, two = {0};
	bool same;

	describe(config, mailbox, &one);
	describe(other_config, other, &two);
	same = one.len == two.len && memcmp(one.data, two.data, one.len) == 0;
	str_done(&one);
	str_done(&two);
	return same;
}

static void dismiss(struct roster *roster, struct post *post)
{
	if (post->attendant == NULL) {
		roster_remove(roster, post);
		return;
	}
	post->gone = true;
	attendant_stop(post->attendant);
}

void reload_roster(struct roster *roster, const struct config *now, const struct config *config, void (*fresh)(void *, struct post *), void *context)
{
	for (unsigned i = roster->count; i-- != 0;) {
		struct post *post = roster->posts[i];
		const struct mailbox_config *mailbox = config_mailbox(config, post->mailbox->name);
		bool changed;

		if (mailbox == NULL || !mailbox->enabled) {
			dismiss(roster, post);
			continue;
		}
		post->gone = false;
		post->changed |= !is_same(now, post->later != NULL ? post->later : post->mailbox, config, mailbox);
		post->later = mailbox;
		if (post->attendant == NULL && reload_settle(roster, post, &changed) && changed)
			fresh(context, post);
	}
	for (size_t i = 0; i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled && roster_find(roster, config->mailboxes[i].name) == NULL)
			fresh(context, roster_add(roster, &config->mailboxes[i]));
}

bool reload_settle(struct roster *roster, struct post *post, bool *ret_changed)
{
	if (post->gone) {
		roster_remove(roster, post);
		return false;
	}
	*ret_changed = post->changed;
	post->changed = false;
	if (post->later != NULL)
		roster_assign(roster, post, post->later);
	post->later = NULL;
	return true;
}

bool reload_is_under_way(const struct roster *roster)
{
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->attendant != NULL && (roster->posts[i]->later != NULL || roster->posts[i]->gone))
			return true;
	return false;
}
