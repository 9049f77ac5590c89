#include "source/imap.h"

#include <string.h>

/* From the answer to the login: a server that has the next command answers it at once. */
#define BOUNDARY_S 10

/* RFC 9051 5.5 allows it all. But where the process that logs in hands the connection to another one, what it has read ahead may be lost (Courier, and
 * many proxies). So a host gets one harmless command behind its login first, and all that a poll needs from the next session on if it was answered. */

bool imap_goes_step_by_step(const struct imap *imap)
{
	return (imap->context->mailbox->quirks & QUIRK_NO_PIPELINING) != 0;
}

static bool may_send_ahead(const struct imap *imap)
{
	const struct host_facts *facts = imap->context->facts;

	return facts != NULL && facts->known && facts->boundary != BOUNDARY_UNSAFE && !imap_goes_step_by_step(imap);
}

void imap_ahead_add(struct imap *imap)
{
	struct imap_ahead *ahead = &imap->ahead;
	const struct source_context *context = imap->context;

	if (!may_send_ahead(imap))
		return;
	ahead->under_way = true;
	imap_begin(imap, imap_keep_answer, &ahead->capability);
	wire_addf(imap->source.wire, "CAPABILITY\r\n");
	if (context->facts->boundary != BOUNDARY_SAFE)
		return;
	ahead->introduced = true;
	imap_add_id(imap, context->facts->after);
	if (imap_survey_pays(imap, context->facts->after)) {
		imap->survey.ahead = true;
		imap_survey_add(imap);
	} else if (context->mailbox->folders != NULL) {
		ahead->folder = context->mailbox->folders[0];
		ahead->writable = context->writable;
		imap_add_select(imap, ahead->folder, ahead->writable, &ahead->select);
	}
}

void imap_ahead_distrust(struct imap *imap, bool answered)
{
	struct host_facts *facts = imap->context->facts;

	if (facts == NULL)
		return;
	/* A connection may break at any moment, and once is no proof against a host that did well before. */
	facts->boundary = !answered && facts->boundary == BOUNDARY_SAFE ? BOUNDARY_UNKNOWN : BOUNDARY_UNSAFE;
}

int imap_ahead_settle(struct imap *imap, struct error *err)
{
	struct imap_ahead *ahead = &imap->ahead;
	bool crossed;

	if (!ahead->under_way)
		return 0;
	imap_set_deadline(imap, BOUNDARY_S);
	crossed = imap_wait(imap, &ahead->capability.done, err) == 0;
	ahead->under_way = false;
	if (crossed && ahead->capability.status == IMAP_OK) {
		imap->context->facts->boundary = BOUNDARY_SAFE;
		return 0;
	}
	if (!crossed && err->kind == ERR_CANCELED)
		return -1;
	imap_ahead_distrust(imap, true);
	if (crossed)
		return 0; /* refused, not lost: the session goes on, in lock step */
	ahead->lost = true;
	return -1;
}

int imap_ahead_select(struct imap *imap, const char *folder, bool writable, struct error *err)
{
	struct imap_ahead *ahead = &imap->ahead;
	bool wanted = ahead->folder != NULL && strcmp(ahead->folder, folder) == 0 && ahead->writable == writable;
	int rc;

	if (ahead->folder == NULL)
		return 0;
	ahead->folder = NULL;
	rc = imap_wait(imap, &ahead->select.done, err);
	if ((rc < 0 && err->kind != ERR_CANCELED) || ahead->select.status == IMAP_BAD)
		imap_ahead_distrust(imap, true);
	if (rc < 0)
		return -1;
	/* A refusal is asked for again: its words are not lost, and it may have been for being too early. */
	return wanted && ahead->select.status == IMAP_OK && imap->has_exists ? 1 : 0;
}
