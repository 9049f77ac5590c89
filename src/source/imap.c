#include "source/imap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "source/connect.h"

static int open_session(struct imap *imap, struct error *err)
{
	if (source_connect(imap->context, IMAP_LINE_MAX, &imap->source.wire, err) < 0)
		return -1;
	imap_set_deadline(imap, SOURCE_GREETING_S);
	if (imap_wait(imap, &imap->greeted, err) < 0)
		return -1;
	return imap_log_in(imap, err);
}

static void be_fresh(struct imap *imap, const struct source_context *context, struct secret *secret);

/* As if nothing had happened yet. Nothing has been asked for before the login. */
static void start_over(struct imap *imap)
{
	const struct source_context *context = imap->context;
	struct secret *secret = imap->secret;

	wire_free(imap->source.wire);
	imap_parser_done(&imap->parser);
	imap_survey_done(imap);
	imap_list_done(imap);
	imap_places_done(imap);
	str_done(&imap->challenge);
	be_fresh(imap, context, secret);
}

static int imap_open(struct source *source, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	int rc = open_session(imap, err);

	/* The password was right, so it may be given a second time. A test has only one connection to give. */
	if (rc < 0 && imap->ahead.lost && imap->context->channel != NULL) {
		start_over(imap);
		rc = open_session(imap, err);
	}
	secret_free(imap->secret);
	imap->secret = NULL;
	return rc;
}

static bool owes_something(const struct imap *imap)
{
	return imap->fetches != 0 || imap->group.step != IMAP_STEP_IDLE || imap_list_is_under_way(imap);
}

/* What is still on its way belongs to the folder that is left behind, and its UIDs must not be taken for those of the next. */
static int leave_folder(struct imap *imap, struct error *err)
{
	if (owes_something(imap) && imap_send(imap, err) < 0) /* what else is unsent may ride with SELECT */
		return -1;
	while (owes_something(imap))
		if (imap_wait_one(imap, err) < 0)
			return -1;
	imap_list_done(imap);
	return 0;
}

static int no_folder(const struct imap_answer *answer, const char *folder, struct error *err)
{
	char what[128];

	snprintf(what, sizeof(what), "server has no folder \"%.80s\"", folder);
	return imap_refused(err, answer, ERR_REFUSED, SCOPE_FOLDER, what);
}

static int select_answered(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	imap->selecting = false;
	return imap_keep_answer(imap, command, answer, err);
}

void imap_add_select(struct imap *imap, const char *folder, bool writable, struct imap_answer *answer)
{
	imap_place_leave(imap);
	imap_guess_drop(imap);
	imap->folder = (struct folder_status){0};
	imap->has_exists = imap->current = false;
	imap->selected = NULL;
	imap->arrived = 0;
	imap_begin(imap, select_answered, answer);
	wire_addf(imap->source.wire, writable ? "SELECT " : "EXAMINE ");
	imap_add_folder(imap, folder);
	wire_addf(imap->source.wire, "\r\n");
	imap->selecting = true;
	imap_list_ahead(imap, folder);
}

/* Mail was announced in the folder that is selected: it is as it was, and what has come is still to be listed. */
static bool is_current(struct imap *imap, const char *folder, bool writable, struct folder_status *ret_status)
{
	bool current = imap->current && imap->selected != NULL && strcmp(imap->selected, folder) == 0 && imap->selected_writable == writable;

	imap->current = false;
	if (!current)
		return false;
	imap_list_done(imap);
	*ret_status = imap->folder;
	ret_status->arrived = imap->arrived;
	if (imap->arrived != 0)
		ret_status->uidnext = 0;
	return true;
}

static int select_now(struct imap *imap, const char *folder, bool writable, struct error *err)
{
	struct imap_answer answer = {0};

	if (leave_folder(imap, err) < 0)
		return -1;
	imap_add_select(imap, folder, writable, &answer);
	if (imap_wait(imap, &answer.done, err) < 0)
		return -1;
	if (answer.status != IMAP_OK)
		return no_folder(&answer, folder, err);
	if (!imap->has_exists)
		return error_set(err, ERR_PROTO, SCOPE_FOLDER, "server opened folder \"%.80s\" without saying how many messages it holds", folder);
	return 0;
}

static int imap_select(struct source *source, const char *folder, bool writable, struct folder_status *ret_status, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	uint32_t above_mark;
	int rc;

	if (is_current(imap, folder, writable, ret_status))
		return 0;
	rc = imap_ahead_select(imap, folder, writable, err);
	if (rc == 0)
		rc = select_now(imap, folder, writable, err);
	if (rc < 0 || imap_list_count_ahead(imap, &above_mark, err) < 0)
		return -1;
	imap->selected = folder;
	imap->selected_writable = writable;
	imap_place_enter(imap);
	*ret_status = imap->folder;
	ret_status->above_mark = above_mark;
	return 0;
}

static int imap_flush(struct source *source, struct error *err)
{
	struct imap *imap = (struct imap *)source;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	STAILQ_CONCAT(&imap->ready, &imap->requested);
	STAILQ_CONCAT(&imap->released, &imap->owed);
	imap_fetch_add(imap);
	imap_dispose_add(imap);
	return imap_send(imap, err);
}

static int imap_part(struct source *source, struct error *err)
{
	struct imap *imap = (struct imap *)source;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	imap->leaving = true;
	imap_begin(imap, imap_keep_answer, &imap->farewell);
	wire_addf(imap->source.wire, "LOGOUT\r\n");
	return imap_send(imap, err);
}

static int log_out(struct imap *imap, struct error *err)
{
	if (!imap->leaving && imap_part(&imap->source, err) < 0)
		return -1;
	imap_set_deadline(imap, IMAP_LOGOUT_S);
	if (imap_wait(imap, &imap->farewell.done, err) < 0)
		return -1;
	return imap->farewell.status == IMAP_OK ? 0 : imap_refused(err, &imap->farewell, ERR_TEMP, SCOPE_MAILBOX, "server refused the logout");
}

static int imap_close(struct source *source, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	struct error closed = {0};
	int rc;

	if (source->wire == NULL)
		return 0;
	rc = log_out(imap, err);
	error_set(&closed, ERR_TEMP, SCOPE_MAILBOX, "session is closed");
	imap_lose(imap, &closed, NULL);
	imap_fetch_done(imap);
	wire_free(source->wire);
	source->wire = NULL;
	return rc;
}

static void imap_free(struct source *source)
{
	struct imap *imap = (struct imap *)source;

	imap_fetch_done(imap);
	imap_dispose_done(imap);
	imap_parser_done(&imap->parser);
	imap_survey_done(imap);
	imap_list_done(imap);
	imap_places_done(imap);
	str_done(&imap->challenge);
	wire_free(source->wire);
	secret_free(imap->secret);
	free(imap);
}

static const struct source_ops imap_ops = {
	.name = "IMAP",
	.open = imap_open,
	.survey = imap_survey,
	.select = imap_select,
	.list = imap_list,
	.request = imap_request,
	.dispose = imap_dispose,
	.flush = imap_flush,
	.receive = imap_receive,
	.arriving = imap_arriving,
	.settle = imap_settle,
	.disposed = imap_disposed,
	.can_wait = imap_can_wait,
	.tells_of_all = imap_tells_of_all,
	.wait = imap_watch,
	.part = imap_part,
	.close = imap_close,
	.free = imap_free,
};

static void be_fresh(struct imap *imap, const struct source_context *context, struct secret *secret)
{
	*imap = (struct imap){.source = {.ops = &imap_ops}, .context = context, .secret = secret};
	imap_command_init(imap);
	imap_fetch_init(imap);
	imap_dispose_init(imap);
}

struct source *imap_new(const struct source_context *context)
{
	struct imap *imap = xmalloc(sizeof(*imap));

	be_fresh(imap, context, context->secret);
	return &imap->source;
}
