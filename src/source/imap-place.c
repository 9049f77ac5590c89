#include "source/imap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "channel/channel.h"

/* What a session that waits for mail knows of the folders that are not open: news of them comes by NOTIFY, or from those who listen to them. */

static bool has_several(const struct imap *imap)
{
	char *const *folders = imap->context->mailbox->folders;

	return folders != NULL && folders[0] != NULL && folders[1] != NULL && imap_can_wait(&imap->source);
}

void imap_places_prepare(struct imap *imap)
{
	char *const *folders = imap->context->mailbox->folders;
	struct str name = {0};

	if (imap->places != NULL)
		return;
	imap->place_count = (unsigned)strv_length(folders);
	imap->places = xcalloc(imap->place_count, sizeof(*imap->places));
	for (unsigned i = 0; i < imap->place_count; i++) {
		str_clear(&name);
		imap_encode_folder(imap, folders[i], &name);
		imap->places[i].name = xstrdup(str_text(&name));
	}
	str_done(&name);
}

struct imap_place *imap_place_of(struct imap *imap, const char *folder)
{
	char *const *folders = imap->context->mailbox->folders;

	for (unsigned i = 0; i < imap->place_count && folder != NULL; i++)
		if (strcmp(folders[i], folder) == 0)
			return &imap->places[i];
	return NULL;
}

void imap_place_leave(struct imap *imap)
{
	struct imap_place *place;

	if (!has_several(imap))
		return;
	imap_places_prepare(imap); /* from the first SELECT on, so that nothing is forgotten between that and NOTIFY */
	place = imap_place_of(imap, imap->selected);
	if (place == NULL)
		return;
	place->left = imap->folder;
	place->unsure = true;
	place->left.exists -= imap->arrived;
	place->news = place->news || imap->arrived != 0;
}

void imap_place_enter(struct imap *imap)
{
	struct imap_place *place = imap_place_of(imap, imap->selected);

	if (place == NULL)
		return;
	place->news = place->unsure = false;
	place->told = (struct folder_status){0};
}

bool imap_place_has_more(const struct imap_place *place, const struct folder_status *seen, const struct folder_status *now)
{
	const struct folder_status *known = place != NULL && place->left.uidvalidity != 0 ? &place->left : seen;

	if (now->uidvalidity != 0 && now->uidvalidity != known->uidvalidity)
		return true;
	return known->uidnext != 0 && now->uidnext != 0 ? now->uidnext > known->uidnext : now->exists > known->exists;
}

static bool has_news(const struct imap_place *place, const struct folder_status *seen)
{
	return place->news || (place->told.uidnext != 0 && imap_place_has_more(place, seen, &place->told));
}

bool imap_places_have_news(struct imap *imap, const struct source_watch *watch)
{
	const struct imap_place *open = imap_place_of(imap, imap->selected);

	for (unsigned i = 0; i < imap->place_count; i++)
		if (&imap->places[i] != open ? has_news(&imap->places[i], &watch->seen[i]) : open->news)
			return true;
	return imap->context->channel != NULL && imap->context->channel->tipped != 0;
}

/* Somebody else has heard of so many messages. */
static void take_tip(struct imap_place *place, unsigned count)
{
	place->told.uidnext = place->left.uidnext + count;
	place->news = true;
}

void imap_places_collect(struct imap *imap, struct source_watch *watch)
{
	const struct channel *channel = imap->context->channel;
	const struct imap_place *open = imap_place_of(imap, imap->selected);

	for (unsigned i = 0; i < imap->place_count; i++) {
		struct imap_place *place = &imap->places[i];

		if (place->left.uidvalidity == 0)
			place->left = watch->seen[i];
		if (channel != NULL && i < TIPS_MAX && (channel->tipped >> i & 1) != 0)
			take_tip(place, channel->tips[i]);
		place->announced = place != open && has_news(place, &watch->seen[i]);
		watch->news[i] |= place == open ? imap->arrived != 0 || place->news : place->announced;
		place->news = false;
	}
}

/* --- a folder that was announced, in one round trip --- */

uint64_t imap_place_announced(struct imap *imap, const char *folder, uint64_t *ret_uidnext)
{
	struct imap_place *place = imap_place_of(imap, folder);
	bool known;

	if (place == NULL)
		return 0;
	known = place->announced && place->left.uidnext != 0 && place->told.uidnext > place->left.uidnext;
	place->announced = false;
	*ret_uidnext = place->told.uidnext;
	return known ? place->left.uidnext : 0;
}

void imap_places_done(struct imap *imap)
{
	for (unsigned i = 0; i < imap->place_count; i++)
		free(imap->places[i].name);
	free(imap->places);
	imap->places = NULL;
	imap->place_count = 0;
}
