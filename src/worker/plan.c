#include "worker/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/source.h"
#include "worker/nouidl.h"
#include "worker/session.h"
#include "worker/survey.h"

/* The server's listing as it meets what we know. */
struct view {
	struct plan *plan;
	const struct known *known;
	const struct known_header *header; /* of known */
	uint32_t *numbers;                 /* per known item: its number in this listing, 0: not listed */
	uint8_t *seen;                     /* per known key: listed */
	struct str entries;                /* of the plan file: new messages */
	uint64_t entry_count, mark;
	size_t listed, capacity;
	struct listing_gap gap; /* messages without a key */
	bool by_key;            /* POP3, or a complete IMAP listing: the keys decide, not the mark */
	const struct mailbox_config *mailbox;
	uint64_t frozen; /* targets of new messages */
	bool first_run, renumbered;
	bool set_back;   /* IMAP: UIDNEXT is lower than it was, so UIDs are being given out again, which RFC 9051 2.3.1.1 forbids */
	bool everything; /* list: what is settled, too */
};

static struct plan_item *add_item(struct plan *plan, size_t *capacity)
{
	if (plan->count == *capacity) {
		*capacity = *capacity != 0 ? *capacity * 2 : 64;
		plan->items = xreallocarray(plan->items, *capacity, sizeof(*plan->items));
	}
	plan->items[plan->count] = (struct plan_item){0};
	return &plan->items[plan->count++];
}

static void add_settled(struct view *view, uint64_t id, const struct listed *entry)
{
	struct plan_item *item = add_item(view->plan, &view->capacity);

	*item = (struct plan_item){.id = id, .size = entry->size, .date = entry->date, .uid = entry->uid, .settled = true};
}

/* Items come sorted by id. False: a message of another size cannot be the one that had this UIDL before, so it is not disposed of in its place. */
static bool note_number(struct view *view, uint64_t id, const struct listed *entry)
{
	const struct known_item *item = known_find_item(view->known, id);

	if (item == NULL) {
		if (view->everything)
			add_settled(view, id, entry);
		return true;
	}
	if (view->mailbox->protocol == PROTOCOL_POP3 && item->size != entry->size)
		return false;
	view->numbers[item - view->known->items] = entry->uid;
	return true;
}

static bool is_baseline(const struct view *view, const struct listed *entry)
{
	const struct first_run_setting *setting = &view->mailbox->first_run;

	if (!view->first_run || setting->what == FIRST_RUN_ALL)
		return false;
	return setting->what == FIRST_RUN_NEW || (entry->date != 0 && entry->date < setting->date_s);
}

static void add_new(struct view *view, const struct listed *entry)
{
	struct plan_entry packed = {
		.size = entry->size,
		.date = entry->date,
		.uid = view->mailbox->protocol == PROTOCOL_IMAP ? entry->uid : 0,
		.key_len = (uint16_t)entry->key_len,
		.baseline = is_baseline(view, entry),
	};
	struct plan_item *item;

	str_add(&view->entries, &packed, sizeof(packed));
	str_add(&view->entries, entry->key, entry->key_len);
	view->plan->new_count++;
	item = add_item(view->plan, &view->capacity);
	item->id = view->everything ? 0 : view->entry_count; /* relative until the supervisor says where numbers begin */
	view->entry_count++;
	item->size = entry->size;
	item->date = entry->date;
	item->uid = entry->uid;
	/* With a retention it is known and left alone, until the supervisor says that it is due. */
	item->dispose = view->mailbox->after_delivery.retention_s == 0 ? view->mailbox->after_delivery.what : DISPOSE_KEEP;
	item->open = packed.baseline ? 0 : view->frozen & ~view->header->resting;
	item->held_back = (view->frozen & view->header->resting) != 0;
	item->settled = packed.baseline;
	view->plan->baseline_count += packed.baseline;
}

/* The same UID, but neither the size nor the date of the message that had it: a mailbox that was set back gives its numbers again. One of them alone
 * says nothing, since servers rewrite messages and lose dates. */
static bool is_another(const struct view *view, const struct known_key *known, const struct listed *entry)
{
	return view->mailbox->protocol == PROTOCOL_IMAP && entry->date != 0 && known->date != 0 && known->size != (uint32_t)entry->size &&
	       known->date != (uint32_t)entry->date;
}

static int take_entry(void *context, const struct listed *entry, struct error *err)
{
	struct view *view = context;
	const struct known_key *known;

	if (view->listed + view->gap.count >= KNOWN_LISTING_MAX)
		return error_set(err, ERR_LOCAL, SCOPE_FOLDER, "the folder holds more than %u messages", KNOWN_LISTING_MAX);
	if (entry->key == NULL)
		return listing_gap_add(&view->gap, entry);
	view->listed++;
	if (view->mailbox->protocol == PROTOCOL_IMAP) {
		if (entry->uid > view->mark)
			view->mark = entry->uid;
		if (!view->by_key) {
			if (entry->uid > view->header->mark || view->renumbered)
				add_new(view, entry);
			return 0;
		}
	}
	known = known_find_key(view->known, entry->key, entry->key_len);
	if (known == NULL || is_another(view, known, entry)) {
		add_new(view, entry);
		return 0;
	}
	view->seen[known - view->known->keys] = 1;
	if (!note_number(view, known->id, entry))
		add_new(view, entry);
	return 0;
}

static void fill_item(struct plan_item *item, const struct known_item *known, uint32_t number)
{
	*item = (struct plan_item){
		.id = known->id,
		.origin = known->origin,
		.size = known->size,
		.date = known->date,
		.intent_at = known->intent_at,
		.intent_age_s = known->intent_age_s,
		.open = known->open,
		.doubtful = known->doubtful,
		.hash = known->hash,
		.uid = number,
		.dispose = known->dispose,
		.folder = known->folder,
		.recognition = known->recognition,
		.held_back = known->held_back != 0,
	};
}

static bool was_fetched(const struct known_item *known)
{
	static const uint8_t none[sizeof(known->hash)];

	return memcmp(known->hash, none, sizeof(none)) != 0;
}

/* What was open, in doubt or owed before; on IMAP by its UID, whether this listing reached back to it or not. */
static void add_known_items(struct view *view, bool complete)
{
	bool imap = view->mailbox->protocol == PROTOCOL_IMAP;

	for (uint64_t i = 0; i < view->header->item_count; i++) {
		const struct known_item *known = &view->known->items[i];
		uint32_t number = imap && !complete ? known->uid : view->numbers[i];
		struct plan_item *item;

		if (number == 0)
			continue;
		item = add_item(view->plan, &view->capacity);
		fill_item(item, known, number);
		item->match = view->plan->match;
		/* Where the key is the content, it was fetched just now; and what was never fetched, and dropped by hand, has nothing to compare. */
		item->unsure = known->open == 0 && was_fetched(known) && (imap ? view->set_back : view->listed != view->gap.count);
	}
}

static int compare_uid(const void *a, const void *b)
{
	const struct plan_item *left = a, *right = b;

	return left->uid < right->uid ? -1 : left->uid > right->uid;
}

/* Sends the plan; on return its new messages have their ids. */
static int record_plan(struct view *view, bool complete, struct session *session, struct error *err)
{
	struct plan_header header = {.mark = view->mark, .entry_count = view->entry_count};
	struct record request = {
		.kind = REC_PLAN, .index = view->plan->folder_index, .uidvalidity = view->plan->uidvalidity, .flags = complete ? REC_COMPLETE : 0};
	struct record answer;
	struct str file = {0};
	int fd, result;

	if (session->source->has_listing) {
		request.flags |= REC_LISTING;
		memcpy(request.hash, session->source->listing, sizeof(request.hash));
	}

	str_add(&file, &header, sizeof(header));
	str_add(&file, str_text(&view->entries), view->entries.len);
	str_done(&view->entries);
	for (uint64_t i = 0; complete && i < view->header->key_count; i++) {
		if (view->seen[i])
			continue;
		str_add(&file, &view->known->keys[i].id, sizeof(view->known->keys[i].id));
		header.gone_count++;
	}
	memcpy(file.data, &header, sizeof(header));
	fd = fs_sealed("plan", file.data, file.len, err);
	str_done(&file);
	if (fd < 0)
		return -1;
	result = channel_call(session->channel, &request, &fd, 1, REC_PLANNED, &answer, NULL, 0, err);
	fs_close(fd);
	view->plan->outdated = result == 0 && answer.index != 0;
	for (size_t i = 0; result == 0 && i < view->entry_count; i++) {
		struct plan_item *item = &view->plan->items[i];

		item->origin = item->id += answer.id;
		item->match = answer.count != 0;
		item->recognition = item->settled ? RECOGNITION_NONE : (uint8_t)answer.code;
	}
	return result;
}

static int ask_known(struct plan *plan, struct session *session, unsigned flags, struct error *err)
{
	struct record request = {
		.kind = REC_FOLDER, .index = plan->folder_index, .uidvalidity = plan->uidvalidity, .count = plan->old, .flags = (uint16_t)flags};
	struct record answer;
	int fd;

	if (channel_call(session->channel, &request, NULL, 0, REC_KNOWN, &answer, &fd, 1, err) < 0 || known_open(&plan->known, fd, err) < 0)
		return -1;
	plan->match = answer.count != 0;
	if (plan->known.header->held_now != 0)
		log_say(&session->log, LEVEL_WARNING, "held",
			"what was sent three times and never answered is held, since it may have arrived each time; \"mailhaul held\" knows more");
	return 0;
}

/* The end of the session says it, once per change. */
static void note_contradiction(struct session *session)
{
	if (session->trouble.kind == ERR_NONE)
		error_set(&session->trouble, ERR_PROTO, SCOPE_FOLDER,
			"the server's listing of %.80s contradicts itself; what it shows is hauled, and nothing is concluded from what it lacks",
			session->folder != NULL ? session->folder : "the mailbox");
}

/* *ret_complete: the listing showed all that the folder holds, so what it lacks is gone. */
static int list_folder(struct view *view, struct session *session, const struct folder_status *status, bool *ret_complete, struct error *err)
{
	bool imap = view->mailbox->protocol == PROTOCOL_IMAP, contradictory = false;
	uint64_t above = imap && !view->by_key && !view->renumbered ? view->header->mark : 0;

	*ret_complete = view->first_run && status->exists == 0;
	view->set_back = imap && status->uidnext != 0 && status->uidnext <= view->header->mark;
	/* UIDNEXT is a hint, but a cheap one: what it hides shows up as a wrong number of messages, and in the daily complete listing. */
	if (imap && !view->by_key && status->above_mark == 0 && status->uidnext != 0 && status->uidnext <= above + 1)
		return 0;
	if (source_list(session->source, above, take_entry, view, &contradictory, err) < 0)
		return -1;
	if (listing_gap_close(&view->gap, session, take_entry, view, err) < 0)
		return -1;
	*ret_complete = above == 0 && !contradictory && view->listed == status->exists;
	if (contradictory || (above == 0 && (view->listed > status->exists || view->listed < status->exists - status->arrived)))
		note_contradiction(session);
	return 0;
}

/* For what is owed in it, which was asked about by its numbers of a moment ago. */
static int open_for_writing(const struct plan *plan, struct session *session, struct folder_status *status, struct error *err)
{
	if (source_select(session->source, session->folder, true, status, err) < 0)
		return -1;
	if (status->uidvalidity == plan->uidvalidity)
		return 0;
	return error_set(
		err, ERR_TEMP, SCOPE_FOLDER, "the server renumbered folder \"%.80s\" just now; the next session looks at it again", session->folder);
}

/* 1: open, and what is known of it is here. 0: there is nothing to do in it. */
static int select_folder(struct plan *plan, struct session *session, struct folder_status *status, struct error *err)
{
	bool writable = session->source_context.writable;

	if (source_select(session->source, session->folder, writable, status, err) < 0)
		return -1;
	plan->exists = status->exists;
	plan->old = status->exists - status->arrived - status->above_mark;
	plan->uidvalidity = status->uidvalidity;
	session->seen[plan->folder_index] = *status;
	if (survey_settles(session, plan->folder_index, status))
		return 0;
	if (ask_known(plan, session, session->job->mode == JOB_LIST ? REC_COMPLETE : 0, err) < 0)
		return -1;
	for (uint64_t i = 0; !writable && session->job->mode == JOB_HAUL && i < plan->known.header->item_count; i++)
		if (plan->known.items[i].dispose != DISPOSE_KEEP) /* frozen when it was delivered, by an earlier configuration */
			return open_for_writing(plan, session, status, err) < 0 ? -1 : 1;
	return 1;
}

static void open_view(struct view *view, struct plan *plan, struct session *session)
{
	const struct known_header *header = plan->known.header;

	*view = (struct view){
		.plan = plan, .known = &plan->known, .header = header, .mailbox = session->job->mailbox, .frozen = session->job->frozen};
	view->numbers = xcalloc(header->item_count, sizeof(*view->numbers));
	view->seen = xcalloc(header->key_count, 1);
	view->first_run = header->first_run != 0;
	view->renumbered = header->renumbered != 0;
	view->everything = session->job->mode == JOB_LIST;
	view->by_key = view->mailbox->protocol == PROTOCOL_POP3 ||
		       ((header->want_complete != 0 || view->everything) && !view->renumbered && !view->first_run);
	view->mark = view->renumbered ? 0 : header->mark;
}

static void close_view(struct view *view)
{
	free(view->numbers);
	free(view->seen);
	str_done(&view->entries);
	listing_gap_done(&view->gap);
}

static bool is_wanted(const struct plan_item *item, bool everything)
{
	if (item->open != 0 || item->recognition != RECOGNITION_NONE || everything)
		return true;
	return item->dispose != DISPOSE_KEEP && !item->held_back && !item->settled; /* else baseline, or nothing that could be done now */
}

static void count_work(struct plan *plan, const struct job *job)
{
	uint64_t all_targets = job->target_count == TARGETS_MAX ? UINT64_MAX : (UINT64_C(1) << job->target_count) - 1;
	size_t kept = 0;

	plan->fetch_count = plan->questions = 0;
	plan->fetch_bytes = 0;
	for (size_t i = 0; i < plan->count; i++) {
		struct plan_item item = plan->items[i];

		item.open &= all_targets;
		if (!is_wanted(&item, job->mode == JOB_LIST))
			continue;
		plan->fetch_count += item.open != 0;
		plan->fetch_bytes += item.open != 0 ? item.size : 0;
		plan->questions += item.recognition != RECOGNITION_NONE;
		plan->items[kept++] = item;
	}
	plan->count = kept;
	if (plan->count != 0)
		qsort(plan->items, plan->count, sizeof(*plan->items), compare_uid);
}

/* What became of one that was recognised may be anything; what is not due now has no item. */
int plan_refresh(struct plan *plan, struct session *session, struct error *err)
{
	size_t kept = 0;

	known_done(&plan->known);
	if (ask_known(plan, session, REC_PLANNED_NOW, err) < 0)
		return -1;
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item old = plan->items[i];
		const struct known_item *known = known_find_item(&plan->known, old.id);

		if (known == NULL)
			continue;
		fill_item(&plan->items[kept], known, old.uid);
		plan->items[kept].match = old.match;
		plan->items[kept++].unsure = old.unsure;
	}
	plan->count = kept;
	count_work(plan, session->job);
	return 0;
}

void plan_drop_questions(struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++) {
		bool open = plan->items[i].recognition == RECOGNITION_BY_HEADER || plan->items[i].recognition == RECOGNITION_BY_BYTES;

		plan->items[i].recognition = RECOGNITION_NONE;
		if (!open) {
			plan->items[kept++] = plan->items[i];
			continue;
		}
		plan->fetch_count--;
		plan->fetch_bytes -= plan->items[i].size;
	}
	plan->count = kept;
	plan->questions = 0;
}

static int compare_doubt(const void *a, const void *b)
{
	const struct plan_item *left = a, *right = b;
	bool left_last = left->doubtful != 0, right_last = right->doubtful != 0;

	return left_last != right_last ? (left_last ? 1 : -1) : compare_uid(a, b);
}

/* A message at which a server breaks the connection each time it has taken it would else keep all later ones from being delivered. */
static void put_doubtful_last(struct plan *plan)
{
	if (plan->count != 0)
		qsort(plan->items, plan->count, sizeof(*plan->items), compare_doubt);
}

void plan_limit(struct plan *plan, struct session *session)
{
	uint32_t max = session->job->mailbox->max_messages;
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (max != 0 && plan->items[i].open != 0 && session->planned++ >= max) {
			plan->fetch_count--;
			plan->fetch_bytes -= plan->items[i].size;
			continue;
		}
		plan->items[kept++] = plan->items[i];
	}
	plan->count = kept;
	put_doubtful_last(plan);
}

int plan_make(struct plan *plan, struct session *session, const char *folder, unsigned folder_index, bool record, struct error *err)
{
	struct folder_status status;
	struct view view;
	bool complete;
	int result;

	*plan = (struct plan){.folder_index = folder_index};
	session->folder = folder;
	result = select_folder(plan, session, &status, err);
	if (result <= 0)
		return result;
	open_view(&view, plan, session);
	result = list_folder(&view, session, &status, &complete, err);
	if (result == 0 && record && (view.listed != 0 || view.first_run || view.renumbered || view.by_key))
		result = record_plan(&view, complete, session, err);
	if (result == 0) {
		add_known_items(&view, complete && view.by_key);
		count_work(plan, session->job);
	}
	close_view(&view);
	return result == 0 && plan->outdated ? plan_refresh(plan, session, err) : result;
}

void plan_done(struct plan *plan)
{
	free(plan->items);
	known_done(&plan->known);
	*plan = (struct plan){0};
}
