/* What two mailboxes cannot share. Sorted, since there may be thousands. */
#include "config/validate.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/schema.h"

/* One folder of one mailbox; POP3 has one without a name. */
struct hauled {
	const struct mailbox_config *mailbox;
	const char *folder;
	size_t index; /* of the folder in its list */
};

static int by_name(const void *left, const void *right)
{
	const struct mailbox_config *a = *(const struct mailbox_config *const *)left, *b = *(const struct mailbox_config *const *)right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : a < b ? -1 : a > b;
}

static void check_names(const struct config *config, const struct schema_source *mailboxes, struct problems *problems)
{
	const struct mailbox_config **sorted = xcalloc(config->mailbox_count, sizeof(*sorted));
	size_t count = 0;

	for (size_t i = 0; i < config->mailbox_count; i++)
		if (config->mailboxes[i].name != NULL)
			sorted[count++] = &config->mailboxes[i];
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			problems_add(problems, validate_place(&mailboxes[sorted[i] - config->mailboxes], "name", 0),
				"there is already a mailbox '%s' in line %u; choose another name", sorted[i]->name, sorted[i - 1]->line);
	free(sorted);
}

/* INBOX is the one folder name without case, RFC 9051 5.1. */
static int compare_folders(const char *a, const char *b)
{
	return strcmp(ascii_equal_nocase(a, "INBOX") ? "INBOX" : a, ascii_equal_nocase(b, "INBOX") ? "INBOX" : b);
}

static int same_place(const void *left, const void *right)
{
	const struct hauled *a = left, *b = right;
	const struct server *x = &a->mailbox->server, *y = &b->mailbox->server;
	int order = strcmp(x->endpoint.host, y->endpoint.host); /* both lower case */

	if (order == 0)
		order = (int)x->endpoint.port - (int)y->endpoint.port;
	if (order == 0)
		order = (int)a->mailbox->protocol - (int)b->mailbox->protocol;
	if (order == 0)
		order = strcmp(x->user, y->user);
	return order != 0 ? order : compare_folders(a->folder, b->folder);
}

static int by_place(const void *left, const void *right)
{
	const struct hauled *a = left, *b = right;
	int order = same_place(left, right);

	if (order != 0)
		return order;
	if (a->mailbox != b->mailbox)
		return a->mailbox < b->mailbox ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static struct hauled *list_hauled(const struct config *config, size_t *ret_count)
{
	struct hauled *list;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < config->mailbox_count; i++)
		room += 1 + strv_length(config->mailboxes[i].folders);
	list = xcalloc(room, sizeof(*list));
	for (size_t i = 0; i < config->mailbox_count; i++) {
		const struct mailbox_config *mailbox = &config->mailboxes[i];

		if (!mailbox->enabled || mailbox->server.endpoint.host == NULL || mailbox->server.user == NULL)
			continue;
		if (mailbox->protocol == PROTOCOL_POP3)
			list[count++] = (struct hauled){mailbox, "", 0};
		for (size_t j = 0; mailbox->folders != NULL && mailbox->folders[j] != NULL; j++)
			list[count++] = (struct hauled){mailbox, mailbox->folders[j], j};
	}
	*ret_count = count;
	return list;
}

static const char *name_of(const struct mailbox_config *mailbox)
{
	return mailbox->name != NULL ? mailbox->name : "without a name";
}

/* two comes later in the file. */
static void report_shared(const struct config *config, const struct schema_source *mailboxes, const struct hauled *one, const struct hauled *two,
	struct problems *problems)
{
	const struct schema_source *source = &mailboxes[two->mailbox - config->mailboxes];

	if (one->mailbox == two->mailbox)
		problems_add(problems, validate_place(source, "folders", two->index), "mailbox %s: folder '%s' stands here twice; remove one",
			name_of(two->mailbox), two->folder);
	else if (two->mailbox->protocol == PROTOCOL_POP3)
		problems_add(problems, validate_place(source, "user", 0),
			"mailbox %s is the same POP3 account as mailbox %s; keep one of them (deliver_to may be a list)", name_of(two->mailbox),
			name_of(one->mailbox));
	else
		problems_add(problems, validate_place(source, "folders", two->index),
			"mailbox %s: folder '%s' is hauled by mailbox %s already; name it in one of them only (deliver_to may be a list)",
			name_of(two->mailbox), two->folder, name_of(one->mailbox));
}

static void check_moves(
	const struct config *config, const struct schema_source *mailboxes, const struct hauled *list, size_t count, struct problems *problems)
{
	for (size_t i = 0; i < config->mailbox_count; i++) {
		const struct mailbox_config *mailbox = &config->mailboxes[i];
		const struct hauled wanted = {mailbox, mailbox->after_delivery.folder, 0}, *found;

		if (mailbox->after_delivery.what != DISPOSE_MOVE || mailbox->server.endpoint.host == NULL || mailbox->server.user == NULL)
			continue;
		found = bsearch(&wanted, list, count, sizeof(*list), same_place);
		if (found != NULL)
			problems_add(problems, validate_place(&mailboxes[i], "after_delivery", 0),
				"mailbox %s: '%s' is hauled itself (by mailbox %s), so what is moved there would come again; move it elsewhere",
				name_of(mailbox), wanted.folder, name_of(found->mailbox));
	}
}

void validate_overlap(const struct config *config, const struct schema_source *mailboxes, struct problems *problems)
{
	size_t count;
	struct hauled *list = list_hauled(config, &count);

	check_names(config, mailboxes, problems);
	qsort(list, count, sizeof(*list), by_place);
	for (size_t i = 1; i < count; i++)
		if (same_place(&list[i - 1], &list[i]) == 0)
			report_shared(config, mailboxes, &list[i - 1], &list[i], problems);
	check_moves(config, mailboxes, list, count, problems);
	free(list);
}
