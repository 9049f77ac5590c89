#include "source/imap.h"

#include <string.h>

#include "base/mem.h"

/* Whoever waits for mail looks into the folders now and then, and nearly always all is as it was. A thousand that wait wake up for that: so it is one
 * flight, and one or two wake-ups for the answer. Behind DONE a command may follow at once (RFC 2177 3: only before it the server could not tell one from
 * the other), and IDLE behind SELECT, since neither makes the other's answer ambiguous (RFC 9051 5.5). */

#define GLANCED_MAX 16 /* folders: each that is not open is a command, of IMAP_OUTSTANDING_MAX */
#define DONE_S 30      /* to end IDLE takes a server that is there no time, unlike what follows */

static size_t count_folders(const struct imap *imap)
{
	return strv_length(imap->context->mailbox->folders);
}

/* Exchange, which has neither, answers from what it knew at some time (imap-survey.c). */
static bool status_is_true(const struct imap *imap)
{
	return (imap->capabilities & (IMAP_CAP_LIST_STATUS | IMAP_CAP_NOTIFY)) != 0;
}

bool imap_may_glance(const struct imap *imap)
{
	size_t count = count_folders(imap);

	return imap->selected != NULL && count <= GLANCED_MAX && (count == 1 || status_is_true(imap)) && !imap_goes_step_by_step(imap);
}

static bool is_same(const struct folder_status *seen, const struct folder_status *now)
{
	return now->uidvalidity != 0 && now->uidnext != 0 && now->uidvalidity == seen->uidvalidity && now->uidnext == seen->uidnext &&
	       now->exists == seen->exists;
}

static void add_done(struct imap *imap, struct imap_answer *ended)
{
	ended->done = !imap->idling;
	if (!imap->idling)
		return;
	imap->idle_command->context = ended;
	imap->idling = false;
	wire_addf(imap->source.wire, "DONE\r\n");
}

/* RFC 9051 6.3.11: not of the folder that is open, which is opened again instead, since there are servers that go on to show what it held before. */
static void add_status(struct imap *imap, struct imap_place *place)
{
	place->told = (struct folder_status){0};
	imap_begin(imap, imap_ignore_answer, NULL);
	wire_addf(imap->source.wire, "STATUS ");
	imap_add_quoted(imap, place->name);
	wire_addf(imap->source.wire, " (MESSAGES UIDNEXT UIDVALIDITY)\r\n");
}

static bool all_are_same(struct imap *imap, const char *folder, const struct source_watch *watch)
{
	char *const *folders = imap->context->mailbox->folders;

	for (unsigned i = 0; folders[i] != NULL; i++) {
		bool is_open = strcmp(folders[i], folder) == 0;

		if (!is_same(&watch->seen[i], is_open ? &imap->folder : &imap->places[i].told))
			return false;
	}
	return true;
}

static int exchange(struct imap *imap, const char *folder, struct imap_answer *select, struct error *err)
{
	bool idles = (imap->capabilities & IMAP_CAP_IDLE) != 0;
	struct imap_answer ended = {0};
	int rc;

	add_done(imap, &ended);
	imap_add_select(imap, folder, imap->selected_writable, select);
	for (unsigned i = 0; i < imap->place_count; i++)
		if (strcmp(imap->context->mailbox->folders[i], folder) != 0)
			add_status(imap, &imap->places[i]);
	if (idles)
		imap_idle_add(imap);
	imap_set_deadline(imap, DONE_S);
	rc = imap_wait(imap, &ended.done, err);
	imap_set_deadline(imap, 0);
	if (rc == 0 && idles)
		rc = imap_wait_continuation(imap, &imap->idle, err);
	imap->idling = rc > 0;
	while (rc >= 0 && imap->outstanding > (imap->idling ? 1 : 0))
		rc = imap_wait_one(imap, err);
	return rc < 0 ? -1 : 0;
}

int imap_glance(struct imap *imap, const struct source_watch *watch, struct error *err)
{
	const char *folder = imap->selected;
	struct imap_answer select = {0};

	if (count_folders(imap) > 1)
		imap_places_prepare(imap);
	if (exchange(imap, folder, &select, err) < 0)
		return -1;
	if (select.status != IMAP_OK || !imap->has_exists)
		return 0;
	imap->selected = folder;
	imap_place_enter(imap);
	return all_are_same(imap, folder, watch) ? 1 : 0;
}
