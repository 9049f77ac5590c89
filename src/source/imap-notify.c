#include "source/imap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* NOTIFY, RFC 5465: one connection hears of all folders. What happens in the folder that is open comes as EXISTS, in the others as STATUS; so what is known
 * of a folder is kept when it is left. */

#define NOTIFY_BYTES_MAX 4096 /* of the names: the command stays below what every server takes in one line */
#define OVERFLOWS_MAX 3       /* a server that cannot keep up so often is asked for less */

bool imap_notify_pays(const struct imap *imap)
{
	char *const *folders = imap->context->mailbox->folders;
	size_t bytes = 0;

	if ((imap->capabilities & IMAP_CAP_NOTIFY) == 0 || folders == NULL || folders[0] == NULL || folders[1] == NULL)
		return false;
	for (; *folders != NULL; folders++)
		bytes += 3 * strlen(*folders) + 3; /* in modified UTF-7 */
	return bytes <= NOTIFY_BYTES_MAX;
}

/* The place of the folder that is open, or NULL. */
static struct imap_place *open_place(struct imap *imap)
{
	char *const *folders = imap->context->mailbox->folders;

	for (unsigned i = 0; i < imap->notify.count && imap->selected != NULL; i++)
		if (strcmp(folders[i], imap->selected) == 0)
			return &imap->notify.places[i];
	return NULL;
}

/* From the first SELECT on, so that nothing is forgotten between that and NOTIFY. */
static void prepare(struct imap *imap)
{
	struct imap_notify *notify = &imap->notify;
	char *const *folders = imap->context->mailbox->folders;
	struct str name = {0};

	if (notify->places != NULL)
		return;
	notify->count = (unsigned)strv_length(folders);
	notify->places = xcalloc(notify->count, sizeof(*notify->places));
	for (unsigned i = 0; i < notify->count; i++) {
		str_clear(&name);
		imap_encode_folder(imap, folders[i], &name);
		notify->places[i].name = xstrdup(str_text(&name));
	}
	str_done(&name);
}

void imap_notify_leave(struct imap *imap)
{
	struct imap_place *place;

	if (!imap_notify_pays(imap))
		return;
	prepare(imap);
	place = open_place(imap);
	if (place == NULL)
		return;
	place->left = imap->folder;
	place->unsure = true;
	place->left.exists -= imap->arrived;
	place->news = place->news || imap->arrived != 0;
}

void imap_notify_enter(struct imap *imap)
{
	struct imap_place *place = open_place(imap);

	if (place == NULL)
		return;
	place->news = place->unsure = false;
	place->told = (struct folder_status){0};
}

static bool is_ascii(const struct imap *imap, unsigned i)
{
	return strcmp(imap->notify.places[i].name, imap->context->mailbox->folders[i]) == 0;
}

/* Dovecot 2.3 says here in bare UTF-8 what has to be in modified UTF-7. Which folder it is shows when all that it may be are looked into. */
static void note_unnamed(struct imap *imap)
{
	for (unsigned i = 0; i < imap->notify.count && imap->notify.told_all; i++)
		if (!is_ascii(imap, i))
			imap->notify.places[i].news = true;
}

void imap_notify_data(struct imap *imap, const struct imap_response *response)
{
	struct imap_cursor cursor = {response->text, response->text + response->text_len};
	struct folder_status status;
	struct imap_token name;

	if (response->text_len == 0) { /* a name that came as a literal */
		note_unnamed(imap);
		return;
	}
	if (!imap_take_token(&cursor, &name) || !imap_read_status(&cursor, &status))
		return;
	for (unsigned i = 0; i < imap->notify.count; i++)
		if (imap_is_folder(&name, imap->notify.places[i].name))
			imap->notify.places[i].told = status;
}

void imap_notify_overflow(struct imap *imap)
{
	struct imap_notify *notify = &imap->notify;

	if (!notify->active)
		return;
	notify->active = false;
	if (++notify->overflows >= OVERFLOWS_MAX)
		imap->capabilities &= ~(unsigned)IMAP_CAP_NOTIFY;
	for (unsigned i = 0; i < notify->count; i++)
		notify->places[i].news = true;
}

/* Where the folder was not open in this session, what the session knows of it has to do. */
static bool has_news(const struct imap_place *place, const struct folder_status *seen)
{
	const struct folder_status *known = place->left.uidvalidity != 0 ? &place->left : seen, *told = &place->told;

	if (place->news || told->uidnext == 0)
		return place->news;
	if (told->uidvalidity != 0 && told->uidvalidity != known->uidvalidity)
		return true;
	return known->uidnext != 0 ? told->uidnext > known->uidnext : told->exists > known->exists;
}

bool imap_notify_has_news(struct imap *imap, const struct source_watch *watch)
{
	const struct imap_place *open = open_place(imap);

	for (unsigned i = 0; i < imap->notify.count; i++)
		if (&imap->notify.places[i] != open ? has_news(&imap->notify.places[i], &watch->seen[i]) : open->news)
			return true;
	return false;
}

void imap_notify_collect(struct imap *imap, struct source_watch *watch)
{
	const struct imap_place *open = open_place(imap);

	for (unsigned i = 0; i < imap->notify.count; i++) {
		struct imap_place *place = &imap->notify.places[i];

		if (place->left.uidvalidity == 0)
			place->left = watch->seen[i];
		place->announced = place != open && has_news(place, &watch->seen[i]);
		watch->news[i] = place == open ? imap->arrived != 0 || place->news : place->announced;
		place->news = false;
	}
}

static bool all_are_ascii(const struct imap *imap)
{
	for (unsigned i = 0; i < imap->notify.count; i++)
		if (!is_ascii(imap, i))
			return false;
	return true;
}

static void add_names(struct imap *imap)
{
	wire_addf(imap->source.wire, "MAILBOXES (");
	for (unsigned i = 0; i < imap->notify.count; i++) {
		wire_addf(imap->source.wire, i != 0 ? " " : "");
		imap_add_quoted(imap, imap->notify.places[i].name);
	}
	wire_addf(imap->source.wire, ")");
}

static void add_notify(struct imap *imap, struct imap_answer *answer)
{
	imap_begin(imap, imap_keep_answer, answer);
	/* STATUS: of all that is not open, so that nothing which came before is missed. Expunges have to be asked for with new messages (RFC 5465 5.2). */
	wire_addf(imap->source.wire, "NOTIFY SET STATUS (SELECTED-DELAYED (MessageNew MessageExpunge)) (");
	if (all_are_ascii(imap))
		add_names(imap);
	else
		wire_addf(imap->source.wire, "PERSONAL"); /* Dovecot 2.3 does not find folders by names in modified UTF-7, either */
	wire_addf(imap->source.wire, " (MessageNew MessageExpunge))\r\n");
}

/* Of a folder that was left: servers gather news for a moment (Dovecot for half a second), and what they had gathered of it then may be told never. */
static int ask_about_left(struct imap *imap, struct error *err)
{
	const struct imap_place *open = open_place(imap);

	for (unsigned i = 0; i < imap->notify.count; i++) {
		struct imap_place *place = &imap->notify.places[i];
		struct imap_answer answer = {0};

		if (!place->unsure || place->news || place == open)
			continue;
		place->unsure = false;
		imap_begin(imap, imap_keep_answer, &answer);
		wire_addf(imap->source.wire, "STATUS ");
		imap_add_quoted(imap, place->name);
		wire_addf(imap->source.wire, " (MESSAGES UIDNEXT UIDVALIDITY)\r\n");
		if (imap_wait(imap, &answer.done, err) < 0)
			return -1;
	}
	return 1;
}

int imap_notify_begin(struct imap *imap, struct error *err)
{
	struct imap_answer answer = {0};

	if (imap->notify.active)
		return ask_about_left(imap, err);
	prepare(imap);
	imap->notify.active = true; /* an overflow may come before the answer */
	imap->notify.told_all = false;
	add_notify(imap, &answer);
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	imap->notify.told_all = true;
	for (unsigned i = 0; i < imap->notify.count; i++)
		imap->notify.places[i].unsure = false; /* it has just told of all */
	if (answer.status == IMAP_OK)
		return 1;
	imap_notify_done(imap);
	imap->capabilities &= ~(unsigned)IMAP_CAP_NOTIFY; /* it can do less than it says, but maybe IDLE */
	return 0;
}

/* --- a folder that was announced, in one round trip --- */

uint64_t imap_notify_announced(struct imap *imap, const char *folder, uint64_t *ret_uidnext)
{
	char *const *folders = imap->context->mailbox->folders;

	for (unsigned i = 0; i < imap->notify.count; i++)
		if (strcmp(folders[i], folder) == 0) {
			struct imap_place *place = &imap->notify.places[i];
			bool known = place->announced && place->left.uidnext != 0 && place->told.uidnext > place->left.uidnext;

			place->announced = false;
			*ret_uidnext = place->told.uidnext;
			return known ? place->left.uidnext : 0;
		}
	return 0;
}

void imap_notify_done(struct imap *imap)
{
	for (unsigned i = 0; i < imap->notify.count; i++)
		free(imap->notify.places[i].name);
	free(imap->notify.places);
	imap->notify = (struct imap_notify){0};
}
