#include "source/imap.h"

#include <string.h>

#include "base/str.h"

/* NOTIFY, RFC 5465: one connection hears of all folders. What happens in the folder that is open comes as EXISTS, in the others as STATUS; so what is known
 * of a folder is kept when it is left (imap-place.c).
 * It could bring the messages themselves (5.2), but only those of the folder that is open, and whatever their size. */

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

static bool is_ascii(const struct imap *imap, unsigned i)
{
	return strcmp(imap->places[i].name, imap->context->mailbox->folders[i]) == 0;
}

/* Dovecot 2.3 says here in bare UTF-8 what has to be in modified UTF-7. Which folder it is shows when all that it may be are looked into. */
static void note_unnamed(struct imap *imap)
{
	for (unsigned i = 0; i < imap->place_count && imap->notify.told_all; i++)
		if (!is_ascii(imap, i))
			imap->places[i].news = true;
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
	for (unsigned i = 0; i < imap->place_count; i++)
		if (imap_is_folder(&name, imap->places[i].name))
			imap->places[i].told = status;
}

void imap_notify_overflow(struct imap *imap)
{
	struct imap_notify *notify = &imap->notify;

	if (!notify->active)
		return;
	notify->active = false;
	if (++notify->overflows >= OVERFLOWS_MAX)
		imap->capabilities &= ~(unsigned)IMAP_CAP_NOTIFY;
	for (unsigned i = 0; i < imap->place_count; i++)
		imap->places[i].news = true;
}

static bool all_are_ascii(const struct imap *imap)
{
	for (unsigned i = 0; i < imap->place_count; i++)
		if (!is_ascii(imap, i))
			return false;
	return true;
}

static void add_names(struct imap *imap)
{
	wire_addf(imap->source.wire, "MAILBOXES (");
	for (unsigned i = 0; i < imap->place_count; i++) {
		wire_addf(imap->source.wire, i != 0 ? " " : "");
		imap_add_quoted(imap, imap->places[i].name);
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
	const struct imap_place *open = imap_place_of(imap, imap->selected);

	for (unsigned i = 0; i < imap->place_count; i++) {
		struct imap_place *place = &imap->places[i];
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
	imap_places_prepare(imap);
	imap->notify.active = true; /* an overflow may come before the answer */
	imap->notify.told_all = false;
	add_notify(imap, &answer);
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	imap->notify.told_all = true;
	for (unsigned i = 0; i < imap->place_count; i++)
		imap->places[i].unsure = false; /* it has just told of all */
	if (answer.status == IMAP_OK)
		return 1;
	imap->notify.active = false;
	imap->capabilities &= ~(unsigned)IMAP_CAP_NOTIFY; /* it can do less than it says, but maybe IDLE */
	return 0;
}
