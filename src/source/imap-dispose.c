#include "source/imap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Of one group: 11 bytes each at worst, which keeps the set below the 8 KiB that every server takes in one line. */
#define GROUP_MESSAGES_MAX 700

static imap_done_fn answered, searched;

void imap_dispose_init(struct imap *imap)
{
	STAILQ_INIT(&imap->owed);
	STAILQ_INIT(&imap->released);
	STAILQ_INIT(&imap->confirmed);
	STAILQ_INIT(&imap->group.members);
}

static void free_disposals(struct imap_disposals *queue)
{
	struct imap_disposal *disposal;

	while ((disposal = STAILQ_FIRST(queue)) != NULL) {
		STAILQ_REMOVE_HEAD(queue, next);
		free(disposal->folder);
		free(disposal);
	}
}

void imap_dispose_done(struct imap *imap)
{
	free_disposals(&imap->owed);
	free_disposals(&imap->released);
	free_disposals(&imap->confirmed);
	free_disposals(&imap->group.members);
	free(imap->group.uids);
	str_done(&imap->group.set);
}

int imap_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	struct imap_disposal *disposal = xmalloc(sizeof(*disposal));

	(void)err;
	assert(what != DISPOSE_KEEP);
	*disposal = (struct imap_disposal){.id = id, .uid = uid, .what = what, .folder = folder != NULL ? xstrdup(folder) : NULL};
	STAILQ_INSERT_TAIL(&imap->owed, disposal, next);
	return 0;
}

int imap_disposed(struct source *source, uint64_t *ret_id)
{
	struct imap *imap = (struct imap *)source;
	struct imap_disposal *disposal = STAILQ_FIRST(&imap->confirmed);

	if (disposal == NULL)
		return 0;
	*ret_id = disposal->id;
	STAILQ_REMOVE_HEAD(&imap->confirmed, next);
	free(disposal->folder);
	free(disposal);
	return 1;
}

/* --- one group --- */

static enum disposal kind_of(const struct imap_group *group)
{
	return STAILQ_FIRST(&group->members)->what;
}

static void begin_step(struct imap *imap, enum imap_step step)
{
	imap->group.step = step;
	imap->group.worst = (struct imap_answer){.status = IMAP_OK};
}

static struct wire *begin_command(struct imap *imap, imap_done_fn *done)
{
	imap_begin(imap, done, NULL);
	imap->group.outstanding++;
	return imap->source.wire;
}

static void add_folder_command(struct imap *imap, const char *verb, const char *set)
{
	wire_addf(begin_command(imap, answered), "%s%s%s ", verb, set[0] != '\0' ? " " : "", set);
	imap_add_folder(imap, STAILQ_FIRST(&imap->group.members)->folder);
	wire_addf(imap->source.wire, "\r\n");
}

static void add_store(struct imap *imap, const char *flag)
{
	wire_addf(begin_command(imap, answered), "UID STORE %s +FLAGS.SILENT (%s)\r\n", str_text(&imap->group.set), flag);
}

/* MOVE is one command (RFC 6851); COPY leaves a message to be deleted, and only when its copy is certain. */
static void begin_transfer(struct imap *imap)
{
	begin_step(imap, IMAP_STEP_TRANSFER);
	add_folder_command(imap, (imap->capabilities & IMAP_CAP_MOVE) != 0 ? "UID MOVE" : "UID COPY", str_text(&imap->group.set));
}

static void begin_create(struct imap *imap)
{
	begin_step(imap, IMAP_STEP_CREATE);
	imap->group.created = true;
	add_folder_command(imap, "CREATE", "");
}

/* UID EXPUNGE removes exactly ours (RFC 4315). Plain EXPUNGE removes what others have marked too, so first we look whether there is any such. */
static void begin_delete(struct imap *imap)
{
	begin_step(imap, IMAP_STEP_FLAG);
	add_store(imap, "\\Deleted");
	imap->group.searched = imap->group.foreign = false;
	if ((imap->capabilities & IMAP_CAP_UIDPLUS) != 0)
		wire_addf(begin_command(imap, answered), "UID EXPUNGE %s\r\n", str_text(&imap->group.set));
	else
		wire_addf(begin_command(imap, searched), "UID SEARCH DELETED\r\n");
}

static void begin_expunge(struct imap *imap)
{
	begin_step(imap, IMAP_STEP_EXPUNGE);
	wire_addf(begin_command(imap, answered), "EXPUNGE\r\n");
}

static void begin_group(struct imap *imap)
{
	switch (kind_of(&imap->group)) {
	case DISPOSE_MOVE:
		begin_transfer(imap);
		break;
	case DISPOSE_DELETE:
		begin_delete(imap);
		break;
	default:
		begin_step(imap, IMAP_STEP_FLAG);
		add_store(imap, "\\Seen");
	}
}

static void end_group(struct imap *imap)
{
	imap->group.step = IMAP_STEP_IDLE;
	free(imap->group.uids);
	imap->group.uids = NULL;
	str_clear(&imap->group.set);
	imap_dispose_add(imap);
}

static void confirm_group(struct imap *imap)
{
	STAILQ_CONCAT(&imap->confirmed, &imap->group.members);
	end_group(imap);
}

static void refuse_group(struct imap *imap)
{
	static const char *const what[] = {
		[DISPOSE_DELETE] = "server refused to delete messages that were delivered",
		[DISPOSE_MARK_SEEN] = "server refused to mark delivered messages as seen",
		[DISPOSE_MOVE] = "server refused to move delivered messages",
	};

	if (imap->refused.kind == ERR_NONE)
		imap_refused(&imap->refused, &imap->group.worst, ERR_REFUSED, SCOPE_FOLDER, what[kind_of(&imap->group)]);
	free_disposals(&imap->group.members);
	end_group(imap);
}

/* The step is answered; what now? */
static void next_step(struct imap *imap)
{
	struct imap_group *group = &imap->group;
	bool ok = group->worst.status == IMAP_OK;

	if (group->step == IMAP_STEP_CREATE)
		begin_transfer(imap); /* whatever CREATE said: perhaps somebody else was faster */
	else if (group->step == IMAP_STEP_TRANSFER && !ok && !group->created && strcmp(group->worst.code, "TRYCREATE") == 0)
		begin_create(imap);
	else if (!ok)
		refuse_group(imap);
	else if (group->step == IMAP_STEP_TRANSFER && (imap->capabilities & IMAP_CAP_MOVE) == 0)
		begin_delete(imap);
	else if (group->step == IMAP_STEP_FLAG && group->searched && !group->foreign)
		begin_expunge(imap);
	else
		confirm_group(imap); /* without UIDPLUS and among messages that others marked, ours stay marked: EXPUNGE is theirs */
}

static int answered(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	struct imap_group *group = &imap->group;

	(void)command;
	(void)err;
	if (answer->status != IMAP_OK && group->worst.status == IMAP_OK)
		group->worst = *answer;
	if (--group->outstanding == 0)
		next_step(imap);
	return 0;
}

/* Servers that cannot search are believed to hold messages that others marked. */
static int searched(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	static const struct imap_answer ok = {.status = IMAP_OK};

	if (answer->status != IMAP_OK)
		imap->group.foreign = true;
	return answered(imap, command, &ok, err);
}

static int compare_uids(const void *key, const void *element)
{
	const uint64_t *uid = key;
	const uint32_t *ours = element;

	return (*uid > *ours) - (*uid < *ours);
}

void imap_dispose_search(struct imap *imap, const struct imap_response *response)
{
	struct imap_group *group = &imap->group;
	const char *text = response->text;
	size_t len = response->text_len;
	uint64_t uid;

	if (group->step != IMAP_STEP_FLAG)
		return;
	while (imap_next_number(&text, &len, &uid))
		if (bsearch(&uid, group->uids, group->count, sizeof(*group->uids), compare_uids) == NULL)
			group->foreign = true;
	group->searched = true;
}

/* --- the queue --- */

static bool belongs(const struct imap_disposal *first, const struct imap_disposal *other)
{
	return first->what == other->what && (first->folder == NULL || strcmp(first->folder, other->folder) == 0);
}

void imap_dispose_add(struct imap *imap)
{
	struct imap_group *group = &imap->group;
	struct imap_disposal *disposal;

	if (group->step != IMAP_STEP_IDLE || STAILQ_EMPTY(&imap->released))
		return;
	group->uids = xcalloc(GROUP_MESSAGES_MAX, sizeof(*group->uids));
	group->count = 0;
	group->created = false;
	while (group->count < GROUP_MESSAGES_MAX && (disposal = STAILQ_FIRST(&imap->released)) != NULL) {
		if (group->count != 0 && !belongs(STAILQ_FIRST(&group->members), disposal))
			break;
		STAILQ_REMOVE_HEAD(&imap->released, next);
		STAILQ_INSERT_TAIL(&group->members, disposal, next);
		group->uids[group->count++] = disposal->uid;
	}
	imap_write_set(&group->set, group->uids, group->count);
	begin_group(imap);
}

int imap_settle(struct source *source, struct error *err)
{
	struct imap *imap = (struct imap *)source;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	STAILQ_CONCAT(&imap->released, &imap->owed);
	imap_dispose_add(imap);
	if (imap_send(imap, err) < 0)
		return -1;
	while (imap->group.step != IMAP_STEP_IDLE)
		if (imap_wait_one(imap, err) < 0)
			return -1;
	if (imap->refused.kind == ERR_NONE)
		return 0;
	if (err != NULL)
		*err = imap->refused;
	imap->refused = (struct error){0};
	return -1;
}
