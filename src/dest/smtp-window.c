#include "dest/smtp-window.h"

#include <assert.h>
#include <stddef.h>

#include "dest/smtp-reply.h"

#define SUBJECT_ADDRESS 1 /* RFC 3463 3.2 */

struct smtp_slot *smtp_window_add(struct smtp_window *window, struct delivery *delivery, uint64_t begin, uint64_t end)
{
	struct smtp_slot *slot = &window->slots[(window->first + window->count) % SMTP_WINDOW_MAX];

	assert(window->count < SMTP_WINDOW_MAX);
	window->count++;
	*slot = (struct smtp_slot){.delivery = delivery, .step = SMTP_MAIL, .begin = begin, .end = end};
	return slot;
}

struct smtp_slot *smtp_window_first(struct smtp_window *window)
{
	return window->count != 0 ? &window->slots[window->first] : NULL;
}

void smtp_window_pop(struct smtp_window *window)
{
	assert(window->count != 0);
	window->first = (window->first + 1) % SMTP_WINDOW_MAX;
	window->count--;
}

bool smtp_reply_fits(const struct smtp_reply *reply, enum smtp_step step)
{
	unsigned subject = reply->enhanced[1], detail = reply->enhanced[2];

	if (reply->enhanced[0] != 2)
		return false;
	switch (step) {
	case SMTP_MAIL:
		return subject == SUBJECT_ADDRESS && detail == 0;
	case SMTP_RCPT:
		return subject == SUBJECT_ADDRESS && detail != 0;
	default:
		return subject != SUBJECT_ADDRESS;
	}
}

enum smtp_fit smtp_window_take(struct smtp_window *window, const struct smtp_reply *reply, uint64_t sent)
{
	struct smtp_slot *slot = smtp_window_first(window);
	bool accepts = reply->code < 300;

	if (slot == NULL || reply->code / 100 == 3 || sent <= slot->begin)
		return SMTP_FIT_NOT;
	if (accepts && !smtp_reply_fits(reply, slot->step))
		return SMTP_FIT_NOT;
	/* Nobody can take a message whose envelope was refused, or whose last byte has not left. */
	if (accepts && slot->step == SMTP_DOT && (slot->refused || sent < slot->end))
		return SMTP_FIT_NOT;
	slot->step = slot->step == SMTP_MAIL ? SMTP_RCPT : SMTP_DOT;
	return accepts ? SMTP_FIT_ACCEPTS : SMTP_FIT_REFUSES;
}
