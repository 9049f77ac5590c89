#include "worker/survey.h"

#include <stdlib.h>

#include "base/mem.h"
#include "source/source.h"
#include "worker/session.h"

bool survey_settles(const struct session *session, unsigned folder_index, const struct folder_status *status)
{
	const struct job *job = session->job;
	const struct folder_facts *facts = job->folder_facts != NULL && !session->repeated ? &job->folder_facts[folder_index] : NULL;

	if (facts == NULL || !facts->settled || status->exists != facts->present)
		return false;
	if (job->mailbox->protocol == PROTOCOL_POP3)
		return status->unchanged;
	/* UIDNEXT is a hint: what it hides shows up as another number of messages, or in the daily complete listing. */
	return status->uidvalidity != 0 && status->uidvalidity == facts->uidvalidity && status->uidnext != 0 && status->uidnext <= facts->mark + 1;
}

int survey_run(struct session *session, struct error *err)
{
	struct folder_status *statuses = xcalloc(strv_length(session->job->mailbox->folders) + 1, sizeof(*statuses));
	int told = source_survey(session->source, statuses, err);

	for (unsigned i = 0; told > 0 && i < session->folder_count; i++)
		session->seen[i] = statuses[i];
	if (told > 0)
		session->surveyed = statuses;
	else
		free(statuses);
	return told < 0 ? -1 : 0;
}

bool survey_has_settled(const struct session *session, unsigned folder_index)
{
	return session->surveyed != NULL && survey_settles(session, folder_index, &session->surveyed[folder_index]);
}
