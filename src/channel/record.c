#include "channel/record.h"

#include <string.h>

#include "base/error.h"
#include "channel/facts.h"

enum {
	TO_WORKER = 1,
	FROM_WORKER = 2,
	DURABLE = 4,
	WITH_TEXT = 8,   /* text may be there */
	WITH_ERROR = 16, /* error, scope and code mean something */
};

/* The grammar of the channel: who may say what, with how many descriptors. */
static const struct grammar {
	const char *name;
	uint8_t flags, min_fds, max_fds;
} grammar[] = {
	[REC_JOB] = {"JOB", TO_WORKER, 1, 1},
	[REC_SECRET] = {"SECRET", TO_WORKER, 1, 1},
	[REC_READY] = {"READY", TO_WORKER, 0, 1}, /* the mailbox lock rides along */
	[REC_ACK] = {"ACK", TO_WORKER, 0, 0},
	[REC_STOP] = {"STOP", TO_WORKER, 0, 0},
	[REC_POLL] = {"POLL", TO_WORKER, 0, 0},
	[REC_WOKE] = {"WOKE", TO_WORKER, 0, 0},
	[REC_KNOWN] = {"KNOWN", TO_WORKER, 1, 1},
	[REC_PLANNED] = {"PLANNED", TO_WORKER, 0, 0},
	[REC_CONNECTED] = {"CONNECTED", TO_WORKER | WITH_TEXT, 1, 1},
	[REC_FILE] = {"FILE", TO_WORKER, 1, 1},
	[REC_STARTED] = {"STARTED", TO_WORKER, 1, 1},
	[REC_EXITED] = {"EXITED", TO_WORKER, 0, 0},
	[REC_FAILED] = {"FAILED", TO_WORKER | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_MATCHED] = {"MATCHED", TO_WORKER, 0, 0},
	[REC_NOTED] = {"NOTED", TO_WORKER, 0, 0},
	[REC_JUDGED] = {"JUDGED", TO_WORKER, 0, 0},
	[REC_WATCH] = {"WATCH", TO_WORKER, 0, 0},
	[REC_CONNECT] = {"CONNECT", FROM_WORKER, 0, 0},
	[REC_FOLDER] = {"FOLDER", FROM_WORKER, 0, 0},
	[REC_PLAN] = {"PLAN", FROM_WORKER, 1, 1},
	[REC_WANT_FILE] = {"WANT_FILE", FROM_WORKER, 0, 0},
	[REC_RUN] = {"RUN", FROM_WORKER | WITH_TEXT, 1, 1},
	[REC_WAIT] = {"WAIT", FROM_WORKER, 0, 0},
	[REC_MATCH] = {"MATCH", FROM_WORKER, 0, 0},
	[REC_DESTINATION] = {"DESTINATION", FROM_WORKER | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_JUDGE] = {"JUDGE", FROM_WORKER, 0, 0},
	[REC_VERIFY] = {"VERIFY", FROM_WORKER, 0, 0},
	[REC_IDLE] = {"IDLE", FROM_WORKER | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_BUSY] = {"BUSY", FROM_WORKER, 0, 0},
	[REC_LOOKED] = {"LOOKED", FROM_WORKER, 0, 0},
	[REC_INTENT] = {"INTENT", FROM_WORKER | DURABLE, 0, 0},
	[REC_OUTCOME] = {"OUTCOME", FROM_WORKER | DURABLE | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_UNFETCHED] = {"UNFETCHED", FROM_WORKER | DURABLE | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_DISPOSED] = {"DISPOSED", FROM_WORKER | DURABLE, 0, 0},
	[REC_RECOGNIZE] = {"RECOGNIZE", FROM_WORKER | DURABLE, 0, 0},
	[REC_LOG] = {"LOG", FROM_WORKER | WITH_TEXT, 0, 0},
	[REC_PROGRESS] = {"PROGRESS", FROM_WORKER, 0, 0},
	[REC_REPORT] = {"REPORT", FROM_WORKER | WITH_TEXT, 0, 0},
	[REC_TRACE] = {"TRACE", FROM_WORKER | WITH_TEXT, 0, 0},
	[REC_END] = {"END", FROM_WORKER | WITH_TEXT | WITH_ERROR, 0, 0},
	[REC_HOST] = {"HOST", FROM_WORKER, 0, 0},
	[REC_MAILDIR] = {"MAILDIR", FROM_WORKER, 0, 0},
	[REC_ALIVE] = {"ALIVE", FROM_WORKER, 0, 0},
	[REC_HEARD] = {"HEARD", FROM_WORKER, 0, 0},
};

#define KINDS (sizeof(grammar) / sizeof(grammar[0]))

static bool is_known(unsigned kind)
{
	return kind < KINDS && grammar[kind].name != NULL;
}

bool record_is_durable(enum record_kind kind)
{
	return is_known(kind) && (grammar[kind].flags & DURABLE) != 0;
}

const char *record_kind_name(enum record_kind kind)
{
	return is_known(kind) ? grammar[kind].name : "unknown";
}

size_t record_size(const struct record *record)
{
	return offsetof(struct record, text) + record->len;
}

void record_set_text(struct record *record, const void *bytes, size_t len)
{
	if (len > sizeof(record->text))
		len = sizeof(record->text);
	memcpy(record->text, bytes, len);
	record->len = (uint16_t)len;
}

static const char *check_outcome(const struct record *record)
{
	if (record->verdict < VERDICT_ACCEPTED || record->verdict > VERDICT_RETRACTED)
		return "no such verdict";
	if (record->index >= TARGETS_MAX)
		return "no such target";
	return NULL;
}

/* Two strings, each with its NUL, and nothing else. */
static const char *check_run(const struct record *record)
{
	const char *end = record->text + record->len;
	const char *first = memchr(record->text, '\0', record->len);

	if (first == NULL || first + 1 == end || memchr(first + 1, '\0', (size_t)(end - first - 1)) != end - 1)
		return "sender and recipient are not two strings";
	return NULL;
}

const char *record_check(const struct record *record, size_t received_bytes, unsigned fd_count, bool from_worker)
{
	const struct grammar *rule;

	if (received_bytes < offsetof(struct record, text) || received_bytes != record_size(record) || record->len > sizeof(record->text))
		return "wrong length";
	if (!is_known(record->kind))
		return "unknown kind";
	rule = &grammar[record->kind];
	if ((rule->flags & (from_worker ? FROM_WORKER : TO_WORKER)) == 0)
		return "wrong direction";
	if (fd_count < rule->min_fds || fd_count > rule->max_fds)
		return "wrong number of descriptors";
	if (record->len != 0 && (rule->flags & WITH_TEXT) == 0)
		return "text where none belongs";
	if ((rule->flags & WITH_ERROR) != 0 && (record->error > ERR_CANCELED || record->scope > SCOPE_PROGRAM))
		return "no such error kind or scope";
	if ((rule->flags & WITH_ERROR) != 0 && memchr(record->text, '\0', record->len) != NULL)
		return "a NUL in a text";
	if ((rule->flags & DURABLE) != 0 && (record->seq == 0 || record->id == 0))
		return "no sequence number or no message";
	if (record->kind == REC_OUTCOME)
		return check_outcome(record);
	if (record->kind == REC_INTENT && record->targets == 0)
		return "an intent without a target";
	if (record->kind == REC_DESTINATION && (record->error == ERR_NONE || record->index >= TARGETS_MAX))
		return "a failure of no destination, or without an error";
	if (record->kind == REC_MAILDIR && record->index >= TARGETS_MAX)
		return "of no Maildir";
	if (record->kind == REC_POLL && record->index > TIPS_MAX)
		return "news of a folder that nobody listens to";
	if (record->kind == REC_RUN)
		return check_run(record);
	if (record->kind == REC_HOST &&
		(record->code > 1 || record->verdict > BOUNDARY_UNSAFE || record->targets > UINT32_MAX || record->size > UINT32_MAX))
		return "facts that are none";
	return NULL;
}
