#include "source/imap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* LIST with a status for each folder. RFC 5819, and RFC 5258 for more than one name. Only where the server has LIST-STATUS: Exchange, which has not, answers
 * STATUS from what it knew at some time. */

#define SURVEY_BYTES_MAX 4096 /* of the names: the command stays below what every server takes in one line */

bool imap_survey_pays(const struct imap *imap, unsigned capabilities)
{
	const struct source_context *context = imap->context;
	char *const *folders = context->mailbox->folders;
	size_t bytes = 0, count = 0;
	bool settled = false;

	if ((capabilities & (IMAP_CAP_LIST_EXTENDED | IMAP_CAP_LIST_STATUS)) != (IMAP_CAP_LIST_EXTENDED | IMAP_CAP_LIST_STATUS) ||
		context->folders == NULL || folders == NULL)
		return false;
	for (; folders[count] != NULL; count++) {
		bytes += 3 * strlen(folders[count]) + 3; /* in modified UTF-7 */
		settled = settled || context->folders[count].settled;
	}
	return count > 1 && settled && bytes <= SURVEY_BYTES_MAX;
}

void imap_survey_add(struct imap *imap)
{
	struct imap_survey *survey = &imap->survey;
	char *const *folders = imap->context->mailbox->folders;
	struct str name = {0};

	survey->asked = true;
	survey->statuses = xcalloc(strv_length(folders), sizeof(*survey->statuses));
	imap_begin(imap, imap_keep_answer, &survey->answer);
	wire_addf(imap->source.wire, "LIST \"\" (");
	for (size_t i = 0; folders[i] != NULL; i++) {
		str_clear(&name);
		imap_encode_folder(imap, folders[i], &name);
		strv_add(&survey->names, str_text(&name));
		wire_addf(imap->source.wire, i != 0 ? " " : "");
		imap_add_quoted(imap, str_text(&name));
	}
	wire_addf(imap->source.wire, ") RETURN (STATUS (MESSAGES UIDNEXT UIDVALIDITY))\r\n");
	str_done(&name);
}

/* A name that comes as a literal is not recognised, and its folder is selected: no server needs one for a name that we could quote. */
void imap_survey_data(struct imap *imap, const struct imap_response *response)
{
	struct imap_survey *survey = &imap->survey;
	struct imap_cursor cursor = {response->text, response->text + response->text_len};
	struct folder_status status;
	struct imap_token name;

	if (!survey->asked || survey->answer.done || !imap_take_token(&cursor, &name) || !imap_read_status(&cursor, &status))
		return;
	for (size_t i = 0; survey->names[i] != NULL; i++)
		if (status.uidvalidity != 0 && imap_is_folder(&name, survey->names[i]))
			survey->statuses[i] = status;
}

int imap_survey(struct source *source, struct folder_status *ret_statuses, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	struct imap_survey *survey = &imap->survey;
	int rc;

	if (!survey->asked) {
		if (!imap->capabilities_known || !imap_survey_pays(imap, imap->capabilities))
			return 0;
		imap_survey_add(imap);
	}
	rc = imap_wait(imap, &survey->answer.done, err);
	if (survey->ahead && ((rc < 0 && err->kind != ERR_CANCELED) || survey->answer.status == IMAP_BAD))
		imap_ahead_distrust(imap, true);
	if (rc < 0)
		return -1;
	if (survey->answer.status != IMAP_OK)
		return 0; /* each folder is selected then */
	for (size_t i = 0; survey->names[i] != NULL; i++)
		ret_statuses[i] = survey->statuses[i];
	return 1;
}

void imap_survey_done(struct imap *imap)
{
	strv_free(imap->survey.names);
	free(imap->survey.statuses);
	imap->survey = (struct imap_survey){0};
}
