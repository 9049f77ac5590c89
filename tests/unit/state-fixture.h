/* state-fixture.h - a state in a directory of its own, with one mailbox, one folder and three targets; plans and records as a worker would send
 * them. */
#ifndef MAILHAUL_TESTS_STATE_FIXTURE_H
#define MAILHAUL_TESTS_STATE_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "policy/policy.h"
#include "state/store.h"

#define START 1800000000 /* where the test's clock begins */
#define HOUR 3600
#define DAY 86400

struct fixture {
	char parent[40], dir[48];
	struct state *state;
	struct mailbox_config config;
	int64_t mailbox, folder;
	int64_t now;
	struct state_target targets[3];
	struct after_delivery disposal;
	struct error error;
};

static inline void remove_tree(const char *dir)
{
	char *command = xasprintf("rm -rf '%s'", dir);

	assert_int_equal(system(command), 0);
	free(command);
}

static inline void fixture_reopen(struct fixture *f)
{
	bool is_new;

	state_close(f->state);
	f->state = state_open(f->dir, false, &is_new, &f->error);
	if (f->state == NULL)
		fail_msg("%s", f->error.text);
}

static inline void fixture_begin(struct fixture *f, enum protocol protocol)
{
	static char name[] = "anna", host[] = "imap.example", user[] = "anna@example";
	struct mailbox_state mailbox;

	*f = (struct fixture){
		.now = START,
		.config = {.name = name, .protocol = protocol, .server = {.endpoint = {.host = host}, .user = user}},
		.targets = {{"home", "anna@home"}, {"home", "bert@home"}, {"archive", ""}},
	};
	strcpy(f->parent, "/tmp/mailhaul-state-XXXXXX");
	assert_non_null(mkdtemp(f->parent));
	snprintf(f->dir, sizeof(f->dir), "%s/state", f->parent);
	fixture_reopen(f);
	assert_int_equal(state_mailbox_open(f->state, NULL, &f->config, &mailbox, &f->error), 0);
	f->mailbox = mailbox.id;
	assert_int_equal(state_folder_open(f->state, f->mailbox, "INBOX", &f->folder, &f->error), 0);
}

static inline void fixture_end(struct fixture *f)
{
	state_close(f->state);
	remove_tree(f->parent);
}

static inline int64_t number(struct fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int64_t number(struct fixture *f, const char *format, ...)
{
	char sql[400];
	sqlite3_stmt *row;
	int64_t result;
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	if (sqlite3_prepare_v2(f->state->db, sql, -1, &row, NULL) != SQLITE_OK || sqlite3_step(row) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(f->state->db));
	result = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return result;
}

static inline enum stage stage_of(struct fixture *f, uint64_t id)
{
	return (enum stage)number(f, "SELECT stage FROM message WHERE id = %lld", (long long)id);
}

static inline enum delivery_stage status_of(struct fixture *f, uint64_t id, unsigned target)
{
	return (enum delivery_stage)number(f,
		"SELECT status FROM delivery d JOIN target t ON t.id = d.target WHERE message = %lld AND destination = '%s' AND recipient = '%s'",
		(long long)id, f->targets[target].destination, f->targets[target].recipient);
}

/* The counter that decides about complete listings must agree with the rows, always. */
static inline void check_present(struct fixture *f)
{
	assert_int_equal(number(f, "SELECT present FROM folder WHERE id = %lld", (long long)f->folder),
		number(f, "SELECT count(*) FROM message m JOIN folder f ON f.id = m.folder WHERE f.id = %lld AND m.epoch = f.epoch AND gone_at = 0",
			(long long)f->folder));
}

/* -- Plans -- */

struct draft {
	struct plan_header header;
	struct str entries, gone;
};

static inline void draft_add(struct draft *draft, const char *key, uint32_t uid, uint64_t size, int64_t date, bool baseline)
{
	struct plan_entry entry = {.size = size, .date = date, .uid = uid, .key_len = (uint16_t)strlen(key), .baseline = baseline};

	str_add(&draft->entries, &entry, sizeof(entry));
	str_add(&draft->entries, key, strlen(key));
	draft->header.entry_count++;
	if (uid > draft->header.mark)
		draft->header.mark = uid;
}

static inline void draft_uid(struct draft *draft, uint32_t uid)
{
	char key[12];

	snprintf(key, sizeof(key), "%u", (unsigned)uid);
	draft_add(draft, key, uid, 1000 + uid, START - uid, false);
}

static inline void draft_gone(struct draft *draft, uint64_t id)
{
	str_add(&draft->gone, &id, sizeof(id));
	draft->header.gone_count++;
}

static inline struct str draft_bytes(const struct draft *draft)
{
	struct str bytes = {0};

	str_add(&bytes, &draft->header, sizeof(draft->header));
	str_add(&bytes, draft->entries.data, draft->entries.len);
	str_add(&bytes, draft->gone.data, draft->gone.len);
	return bytes;
}

static inline void draft_done(struct draft *draft)
{
	str_done(&draft->entries);
	str_done(&draft->gone);
	*draft = (struct draft){0};
}

/* Any bytes; len of them are passed in memory of exactly that size, so that a sanitizer sees a read beyond. */
static inline int plan_raw(
	struct fixture *f, const void *bytes, size_t len, unsigned flags, uint64_t uidvalidity, uint64_t frozen, uint64_t *ret_first_id)
{
	struct record record = {.kind = REC_PLAN, .flags = (uint16_t)flags, .uidvalidity = uidvalidity};
	void *copy = xmalloc(len);
	struct planned planned = {0};
	int result;

	memcpy(copy, bytes, len);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	result = state_plan(
		f->state, f->folder, &record, copy, len, f->targets, ARRAY_SIZE(f->targets), frozen, &f->disposal, f->now, &planned, &f->error);
	*ret_first_id = planned.first_id;
	/* Committed even after a lie: it must have changed nothing. */
	assert_int_equal(state_commit(f->state, &f->error), 0);
	free(copy);
	check_present(f);
	return result;
}

static inline int plan_send(struct fixture *f, struct draft *draft, unsigned flags, uint64_t uidvalidity, uint64_t frozen, uint64_t *ret_first_id)
{
	struct str bytes = draft_bytes(draft);
	int result = plan_raw(f, bytes.data, bytes.len, flags, uidvalidity, frozen, ret_first_id);

	str_done(&bytes);
	draft_done(draft);
	return result;
}

/* Messages with UIDs from first to last, for the targets in the mask, under UIDVALIDITY 7. Returns the id of the first. */
static inline uint64_t plan_uids(struct fixture *f, uint32_t first, uint32_t last, uint64_t frozen)
{
	struct draft draft = {0};
	uint64_t id = 0;

	for (uint32_t uid = first; uid <= last; uid++)
		draft_uid(&draft, uid);
	if (plan_send(f, &draft, REC_COMPLETE, 7, frozen, &id) < 0)
		fail_msg("%s", f->error.text);
	return id;
}

/* -- Records -- */

static inline int apply(struct fixture *f, const struct record *record)
{
	int result;

	assert_int_equal(state_begin(f->state, &f->error), 0);
	result = state_apply(f->state, f->mailbox, record, f->targets, ARRAY_SIZE(f->targets), f->now, &f->error);
	assert_int_equal(state_commit(f->state, &f->error), 0);
	check_present(f);
	return result;
}

/* A message is known by one byte here: its hash and its trace are full of it. */
static inline int intend(struct fixture *f, uint64_t id, uint64_t targets, uint8_t print)
{
	struct record record = {.kind = REC_INTENT, .id = id, .targets = targets, .size = 500, .when = f->now, .has_trace = 1};

	memset(record.hash, print, sizeof(record.hash));
	memset(record.trace, print ^ 0x80, sizeof(record.trace));
	return apply(f, &record);
}

static inline int outcome(struct fixture *f, uint64_t id, unsigned target, enum verdict verdict, enum error_scope scope)
{
	struct record record = {.kind = REC_OUTCOME, .id = id, .index = target, .verdict = (uint8_t)verdict, .scope = (uint8_t)scope, .code = 451};

	if (verdict == VERDICT_DEFERRED)
		record.error = ERR_TEMP;
	if (verdict == VERDICT_REFUSED)
		record.error = ERR_REFUSED;
	strcpy(record.text, "the peer's words");
	record.len = (uint16_t)strlen(record.text);
	return apply(f, &record);
}

static inline int unfetched(struct fixture *f, uint64_t id, enum error_kind kind)
{
	struct record record = {.kind = REC_UNFETCHED, .id = id, .error = (uint8_t)kind, .len = 7, .text = "no body"};

	return apply(f, &record);
}

static inline int disposed(struct fixture *f, uint64_t id)
{
	struct record record = {.kind = REC_DISPOSED, .id = id};

	return apply(f, &record);
}

static inline void deliver(struct fixture *f, uint64_t id, unsigned target, uint8_t print)
{
	assert_int_equal(intend(f, id, UINT64_C(1) << target, print), 0);
	assert_int_equal(outcome(f, id, target, VERDICT_ACCEPTED, SCOPE_MESSAGE), 0);
}

/* A refused lie: said so, and the row is as it was. */
#define assert_lie(f, call)                                         \
	do {                                                        \
		(f)->error = (struct error){0};                     \
		assert_int_equal((call), -1);                       \
		assert_int_equal((f)->error.kind, ERR_PROTO);       \
		assert_int_equal((f)->error.scope, SCOPE_MAILBOX);  \
		assert_non_null(strstr((f)->error.text, "worker")); \
	} while (0)

/* -- What is known -- */

struct view {
	const void *bytes;
	size_t len;
	struct known_header header;
	const struct known_item *items;
	const struct known_key *keys;
};

static inline struct view known_as(struct fixture *f, uint64_t uidvalidity, uint32_t exists, bool all_keys)
{
	struct view view;
	int fd;

	if (state_known(f->state, f->folder, uidvalidity, exists, all_keys, f->targets, ARRAY_SIZE(f->targets), f->now, &fd, &f->error) < 0)
		fail_msg("%s", f->error.text);
	assert_int_equal(fs_map_sealed(fd, SIZE_MAX, &view.bytes, &view.len, &f->error), 0);
	memcpy(&view.header, view.bytes, sizeof(view.header));
	view.items = (const struct known_item *)((const char *)view.bytes + sizeof(view.header));
	view.keys = (const struct known_key *)(view.items + view.header.item_count);
	assert_int_equal(view.len, sizeof(view.header) + view.header.item_count * sizeof(*view.items) + view.header.key_count * sizeof(*view.keys) +
					   view.header.folders_len);
	return view;
}

static inline void view_done(struct view *view)
{
	munmap((void *)(uintptr_t)view->bytes, view->len);
}

/* open and doubtful of a message that is due, or 0. */
static inline struct known_item due_item(struct fixture *f, uint64_t id)
{
	struct view view = known_as(f, 7, 0, false);
	struct known_item item = {0};

	for (uint64_t i = 0; i < view.header.item_count; i++)
		if (view.items[i].id == id)
			item = view.items[i];
	view_done(&view);
	return item;
}

#endif
