#include "source/imap.h"

#include <inttypes.h>

#include "mail/message.h"

/* What was announced just now has the next UIDs, most likely: it is asked for behind the listing that will show them, and saves a round trip. It may come
 * before anybody knows that it is wanted (Dovecot answers both commands as one), so it is kept until the session asks for it. */

static bool is_guessed(const struct imap_guess *guess, uint64_t uid)
{
	return guess->first != 0 && uid >= guess->first && uid <= guess->last;
}

void imap_guess_drop(struct imap *imap)
{
	struct imap_guess *guess = &imap->guess;

	for (unsigned i = 0; i < IMAP_GUESS_MAX; i++) {
		message_free(guess->kept[i]);
		guess->kept[i] = NULL;
	}
	guess->first = guess->last = 0; /* what is still to come of it is thrown away */
}

static struct imap_command *command_of(struct imap *imap)
{
	for (unsigned i = 0; i < IMAP_OUTSTANDING_MAX && imap->guess.number != 0; i++)
		if (imap->commands[i].number == imap->guess.number)
			return &imap->commands[i];
	return NULL;
}

/* Whoever waits for what did not come asks for it anew: a guess is no verdict. */
static int guessed(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	struct haul *haul;

	(void)err;
	imap->guess.number = 0;
	if (answer->status != IMAP_OK)
		imap_guess_drop(imap);
	while ((haul = STAILQ_FIRST(&command->hauls)) != NULL) {
		STAILQ_REMOVE_HEAD(&command->hauls, next);
		imap_fetch_end(imap, haul, answer->status == IMAP_OK && haul->message != NULL ? answer : NULL);
	}
	imap->fetches--;
	imap_fetch_add(imap);
	return 0;
}

void imap_guess_add(struct imap *imap, uint64_t first, uint64_t count)
{
	struct imap_guess *guess = &imap->guess;

	if (first < imap->folder.uidnext)
		first = imap->folder.uidnext;
	if (count == 0 || count > IMAP_GUESS_MAX || first > UINT32_MAX - count || guess->number != 0 || imap_goes_step_by_step(imap))
		return;
	imap_guess_drop(imap);
	guess->first = (uint32_t)first;
	guess->last = (uint32_t)(first + count - 1);
	guess->number = imap_begin(imap, guessed, NULL)->number;
	wire_addf(imap->source.wire, "UID FETCH %" PRIu32 ":%" PRIu32 " (UID BODY.PEEK[])\r\n", guess->first, guess->last);
	imap->fetches++;
}

bool imap_guess_wants(const struct imap *imap, const struct imap_fetch *fetch)
{
	const struct imap_guess *guess = &imap->guess;

	return guess->number != 0 && fetch->has_uid && !fetch->is_header && is_guessed(guess, fetch->uid) && fetch->body == IMAP_BODY_LITERAL &&
	       fetch->body_size != 0 && fetch->body_size <= imap->context->mailbox->max_message && guess->kept[fetch->uid - guess->first] == NULL;
}

void imap_guess_keep(struct imap *imap, const struct imap_fetch *fetch)
{
	if (imap->incoming == NULL || !imap_guess_wants(imap, fetch))
		return;
	imap->guess.kept[fetch->uid - imap->guess.first] = imap->incoming;
	imap->incoming = NULL;
}

void imap_guess_serve(struct imap *imap, struct haul_queue *queue)
{
	static const struct imap_answer well = {.done = true, .status = IMAP_OK};
	struct imap_guess *guess = &imap->guess;
	struct imap_command *command = command_of(imap);
	struct haul *haul, *next;

	for (haul = STAILQ_FIRST(queue); haul != NULL && guess->first != 0; haul = next) {
		next = STAILQ_NEXT(haul, next);
		if (haul->header_only || !is_guessed(guess, haul->uid) || (command == NULL && guess->kept[haul->uid - guess->first] == NULL))
			continue;
		STAILQ_REMOVE(queue, haul, haul, next);
		haul->message = guess->kept[haul->uid - guess->first];
		guess->kept[haul->uid - guess->first] = NULL;
		if (command != NULL)
			STAILQ_INSERT_TAIL(&command->hauls, haul, next);
		else
			imap_fetch_end(imap, haul, &well);
	}
}
