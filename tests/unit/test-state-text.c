/* test-state-text.c - the state as text: export, import, export again is the same; a text that is wrong is refused by line, and leaves nothing behind. */
#include "tests/unit/state-fixture.h"

#include <sys/wait.h>

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_begin(f, PROTOCOL_IMAP);
	*ctx = f;
	return 0;
}

static int end(void **ctx)
{
	fixture_end(*ctx);
	free(*ctx);
	return 0;
}

/* Something of everything: each stage, doubts, holds, a disposal into a folder, keys that are no text, replies with any byte, a UIDL of two messages. */
static void fill(struct fixture *f)
{
	static char archive[] = "Entw\303\274rfe \"2026\"";
	uint64_t id = plan_uids(f, 1, 6, 3), other;
	struct draft draft = {0};

	deliver(f, id, 0, 1);
	deliver(f, id, 1, 1);
	assert_int_equal(intend(f, id + 1, 1, 2), 0);
	assert_int_equal(intend(f, id + 2, 1, 3), 0);
	assert_int_equal(outcome(f, id + 2, 0, VERDICT_REFUSED, SCOPE_MESSAGE), 0);
	assert_int_equal(unfetched(f, id + 3, ERR_TEMP), 0);
	f->disposal = (struct after_delivery){.what = DISPOSE_MOVE, .folder = archive};
	other = plan_uids(f, 7, 7, 4);
	deliver(f, other, 2, 7);
	draft_add(&draft, "9", 9, 1, 0, true);
	draft_gone(&draft, id + 4);
	assert_int_equal(plan_send(f, &draft, REC_COMPLETE, 7, 1, &other), 0);
	assert_int_equal(
		sql_script(f->state,
			"INSERT INTO mailbox (id, name, protocol, host, user, last_error, stopped) VALUES (9, 'pop', 1, '::1', '', 'a \"b\" "
			"\\\303\244', 'why');"
			"INSERT INTO folder (id, mailbox, name) VALUES (9, 9, '');"
			"INSERT INTO message (folder, epoch, key, key_hash, uid, size, date, stage, disposal) VALUES"
			" (9, 0, x'616263646566676800ff', x'bfd49f1ad12f43fec3a9f8c3ec9a8b93', 0, 9223372036854775807, -5, 1, 0);"
			"UPDATE message SET key_hash = zeroblob(16) WHERE folder = 9;"
			"UPDATE delivery SET reply = x'000102' WHERE status = 5; UPDATE message SET fetch_error = x'' WHERE fetch_error IS NOT NULL;"
			"INSERT OR REPLACE INTO destination (name, failures, last_error) VALUES ('home', 3, 'gone');"
			"INSERT INTO host VALUES (2, 'imap.example', 993, 1, 7, 15, 2, 1800000000, 1, 1800000001, 600, 900);"
			"INSERT INTO meta VALUES ('a test', 1800000000); UPDATE folder SET present = 1, listing = x'0001ff' WHERE id = 9;"
			"UPDATE sqlite_sequence SET seq = 4711",
			&f->error),
		0);
	/* Its hash is what import makes of it. */
	uint8_t digest[SHA256_BYTES];
	sha256_of("abcdefgh\0\377", 10, digest);
	assert_int_equal(sql_run(f->state, &f->error, "UPDATE message SET key_hash = ?1 WHERE folder = 9", SQL_BLOB(digest, KEY_HASH_BYTES)), 0);
	if (state_check(f->state, &f->error) < 0)
		fail_msg("%s", f->error.text);
}

static char *export_text(struct fixture *f, struct state *state)
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (state_export(state, to, &f->error) < 0)
		fail_msg("%s", f->error.text);
	fclose(to);
	assert_int_equal(strlen(text), len);
	return text;
}

static int import_text(struct fixture *f, const char *dir, const char *text, size_t len)
{
	FILE *from = len != 0 ? fmemopen((void *)(uintptr_t)text, len, "r") : fopen("/dev/null", "r");
	int result;

	f->error = (struct error){0};
	result = state_import(dir, from, "kept.txt", &f->error);
	fclose(from);
	return result;
}

static void there_and_back_is_the_same(void **ctx)
{
	struct fixture *f = *ctx;
	char *first, *second, *dir = xasprintf("%s/other", f->parent);
	struct state *other;
	bool is_new;

	fill(f);
	first = export_text(f, f->state);
	if (import_text(f, dir, first, strlen(first)) < 0)
		fail_msg("%s", f->error.text);
	other = state_open(dir, false, &is_new, &f->error);
	assert_non_null(other);
	assert_false(is_new);
	assert_string_equal(state_installation(other), state_installation(f->state));
	if (state_check(other, &f->error) < 0)
		fail_msg("%s", f->error.text);
	second = export_text(f, other);
	assert_string_equal(first, second);
	free(first);
	free(second);
	/* Work goes on where it stood. */
	state_close(f->state);
	f->state = other;
	assert_int_equal(plan_uids(f, 20, 20, 1), 4712);
	assert_int_equal(stage_of(f, 1), STAGE_DELIVERED);
	assert_int_equal(number(f, "PRAGMA auto_vacuum"), 2);
	free(dir);
}

/* Random rows: whatever bytes and numbers they hold. */
static void any_bytes_survive(void **ctx)
{
	struct fixture *f = *ctx;
	uint32_t random = 1;
	char *first, *second, *dir = xasprintf("%s/other", f->parent);
	struct state *other;
	bool is_new;

	assert_int_equal(state_begin(f->state, &f->error), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint8_t bytes[1024], digest[SHA256_BYTES];
		size_t len = 1 + i * 3 % sizeof(bytes);

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24) >> (i % 3);
		sha256_of(bytes, len, digest);
		assert_int_equal(sql_run(f->state, &f->error,
					 "INSERT INTO message (folder, epoch, key, key_hash, uid, size, date, stage, disposal, hash, fetch_error)"
					 " VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, 1, 0, ?7, ?8)",
					 SQL_NUMBER(f->folder), SQL_BLOB(bytes, len), SQL_BLOB(digest, KEY_HASH_BYTES), SQL_NUMBER(random),
					 SQL_NUMBER((uint64_t)random << 31), SQL_NUMBER(-(int64_t)random), SQL_BLOB(bytes, 32),
					 SQL_BLOB(bytes + 100, len % 300)),
			0);
	}
	assert_int_equal(sql_script(f->state, "UPDATE folder SET present = 300", &f->error), 0);
	assert_int_equal(state_commit(f->state, &f->error), 0);
	first = export_text(f, f->state);
	if (import_text(f, dir, first, strlen(first)) < 0)
		fail_msg("%s", f->error.text);
	other = state_open(dir, true, &is_new, &f->error);
	second = export_text(f, other);
	assert_string_equal(first, second);
	state_close(other);
	free(first);
	free(second);
	free(dir);
}

/* Every table and every column that holds something is in the text; only what is made from another column is not. */
static void nothing_is_left_out(void **ctx)
{
	struct fixture *f = *ctx;
	sqlite3_stmt *row;
	char *text;

	fill(f);
	text = export_text(f, f->state);
	assert_int_equal(
		sqlite3_prepare_v2(f->state->db,
			"SELECT '\n' || t.name || ' ' FROM sqlite_schema t WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'", -1, &row, NULL),
		SQLITE_OK);
	while (sqlite3_step(row) == SQLITE_ROW)
		if (strstr(text, sql_column_text(row, 0)) == NULL)
			fail_msg("no line of %s", sql_column_text(row, 0));
	sqlite3_finalize(row);
	assert_non_null(strstr(text, "disposal_folder=\"Entw\\xC3\\xBCrfe \\x222026\\x22\""));
	assert_non_null(strstr(text, " key=b\"abcdefgh\\x00\\xFF\""));
	assert_non_null(strstr(text, " reply=x\"000102\""));
	assert_non_null(strstr(text, "last_message=4711\n"));
	assert_null(strstr(text, "key_hash"));
	assert_null(strstr(text, "version\""));
	free(text);
}

/* Another one writes meanwhile: what is exported is of one moment. */
static void while_somebody_hauls(void **ctx)
{
	struct fixture *f = *ctx;
	struct state *reader;
	char *text;
	bool is_new;

	fill(f);
	reader = state_open(f->dir, true, &is_new, &f->error);
	assert_non_null(reader);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(sql_script(f->state, "INSERT INTO target (destination, recipient) VALUES ('uncommitted', '')", &f->error), 0);
	text = export_text(f, reader);
	assert_null(strstr(text, "uncommitted"));
	assert_int_equal(state_commit(f->state, &f->error), 0);
	free(text);
	text = export_text(f, reader);
	assert_non_null(strstr(text, "uncommitted"));
	free(text);
	state_close(reader);
}

static void never_over_a_state(void **ctx)
{
	struct fixture *f = *ctx;
	char *text;

	fill(f);
	text = export_text(f, f->state);
	assert_int_equal(import_text(f, f->dir, text, strlen(text)), -1);
	assert_int_equal(f->error.kind, ERR_LOCAL);
	assert_non_null(strstr(f->error.text, "there is a state in"));
	free(text);
	assert_int_equal(number(f, "SELECT seq FROM sqlite_sequence"), 4711);
}

#define HEAD "mailhaul-state 1 version=2 last_message=5\n"
#define META "meta key=\"installation\" value=\"0123456789abcdef0123456789abcdef\"\n"
#define BOX "mailbox id=1 name=\"isp\" protocol=2 host=\"h\" user=\"u\"\n"
#define FOLDER "folder id=1 mailbox=1 name=\"INBOX\"\n"
#define BASELINE "message id=1 folder=1 epoch=0 key=b\"1\" uid=1 size=1 date=0 stage=1 disposal=0\n"
#define END_LINE "end\n"

static const struct {
	const char *text, *words;
} wrong[] = {
	{"", ":1: this is not what"},
	{"something else\n", ":1: this is not what"},
	{"mailhaul-state 1 version=0 last_message=5\n" META END_LINE, ":1: this is not what"},
	{"mailhaul-state 1 version=2 last_message=-5\n" META END_LINE, ":1: this is not what"},
	{"mailhaul-state 1 version=2 last_message=5 more\n" META END_LINE, ":1: this is not what"},
	{"mailhaul-state 2 version=2 last_message=5\n" META END_LINE, ":1: this was written by a newer mailhaul"},
	{"mailhaul-state 1 version=99 last_message=5\n" META END_LINE, ":1: this was written by a newer mailhaul"},
	{HEAD META, ":3: the file is cut short"},
	{HEAD META "end", ":3: the last line is cut short"},
	{HEAD META BOX "folder id=1 mailbox=1 na", ":4: the last line is cut short"},
	{HEAD META END_LINE BOX, ":4: there is more behind the end"},
	{HEAD META "\n" END_LINE, ":3: an empty line"},
	{HEAD END_LINE, "no record meta key"},
	{HEAD "meta key=\"installation\" value=\"short\"\n" END_LINE, "no record meta key"},
	{HEAD META META END_LINE, ":3: the record does not fit those before it: UNIQUE"},
	{HEAD META "letter id=1\n" END_LINE, ":3: there is no record called \"letter\""},
	{HEAD META "sqlite_sequence name=\"message\" seq=1\n" END_LINE, ":3: there is no record called"},
	{HEAD META "me\033ta key=\"a\" value=1\n" END_LINE, "me\\x1Bta"},
	{HEAD META BOX "mailbox id=1 name=\"other\" protocol=2 host=\"h\" user=\"u\"\n" END_LINE, ":4: the record does not fit"},
	{HEAD META "mailbox id=1 name=\"isp\" protocol=2 host=\"h\" user=\"u\" color=1\n" END_LINE, ":3: a mailbox has no \"color\""},
	{HEAD META "mailbox id=1 name=\"isp\" protocol=2 host=\"h\"\n" END_LINE, ":3: \"user\" is missing"},
	{HEAD META "mailbox id=1 id=1 name=\"isp\" protocol=2 host=\"h\" user=\"u\"\n" END_LINE, ":3: \"id\" stands there twice"},
	{HEAD META "mailbox id=\"1\" name=\"isp\" protocol=2 host=\"h\" user=\"u\"\n" END_LINE, ":3: \"id\" cannot be a text"},
	{HEAD META "mailbox id=1 name=5 protocol=2 host=\"h\" user=\"u\"\n" END_LINE, ":3: \"name\" cannot be a number"},
	{HEAD META "mailbox id=1 name=b\"isp\" protocol=2 host=\"h\" user=\"u\"\n" END_LINE, ":3: \"name\" cannot be bytes"},
	{HEAD META "mailbox id=99999999999999999999 name=\"a\"\n" END_LINE, ":3: there is a number that is too large"},
	{HEAD META "mailbox id=- name=\"a\"\n" END_LINE, ":3: there is a value that is neither"},
	{HEAD META "mailbox id= name=\"a\"\n" END_LINE, ":3: there is a value that is neither"},
	{HEAD META "mailbox id=1x\n" END_LINE, ":3: there is a field that is not name=value"},
	{HEAD META "mailbox id\n" END_LINE, ":3: there is a field that is not name=value"},
	{HEAD META "mailbox  id=1\n" END_LINE, ":3: there is a field that is not name=value"},
	{HEAD META "mailbox name=\"isp\n" END_LINE, ":3: there is a value without a closing quote"},
	{HEAD META "mailbox name=\"i\\ysp\"\n" END_LINE, ":3: there is a backslash that"},
	{HEAD META "mailbox name=\"i\\x1\"\n" END_LINE, ":3: there is a backslash that"},
	{HEAD META "mailbox name=\"i\\\n" END_LINE, ":3: there is a backslash that"},
	{HEAD META "mailbox name=\"i\303\244\"\n" END_LINE, ":3: there is a byte that"},
	{HEAD META "mailbox name=\"i\\x00\"\n" END_LINE, ":3: there is a NUL in a text"},
	{HEAD META BOX FOLDER "message id=1 folder=1 epoch=0 key=x\"3\" uid=1\n" END_LINE, ":5: there is a value that is not hexadecimal"},
	{HEAD META BOX FOLDER "message id=1 folder=1 epoch=0 key=x\"31\n" END_LINE, ":5: there is a value that is not hexadecimal"},
	{HEAD META BOX FOLDER "message id=1 folder=1 epoch=0 uid=1 size=1 date=0 stage=1 disposal=0\n" END_LINE, ":5: \"key\" is missing"},
	{HEAD META BOX FOLDER "message id=1 folder=1 epoch=0 key=b\"1\" key_hash=x\"00\" uid=1\n" END_LINE, ":5: a message has no \"key_hash\""},
	{HEAD META "meta key=\"clock\" value=\"noon\"\n" END_LINE, "a clock that cannot be read"},
	{HEAD META FOLDER END_LINE, "a folder that belongs to no mailbox"},
	{HEAD META BOX "folder id=1 mailbox=1 name=\"INBOX\" present=3\n" END_LINE, "another number of messages than it has (number 1)"},
	{HEAD META BOX FOLDER BASELINE END_LINE, "another number of messages than it has"},
	{HEAD META BOX "folder id=1 mailbox=1 name=\"INBOX\" present=1\nmessage id=6 folder=1 epoch=0 key=b\"1\" uid=1 size=1 date=0 stage=1 "
		       "disposal=0\n" END_LINE,
		"may be given again (number 6)"},
	{HEAD META BOX "folder id=1 mailbox=1 name=\"INBOX\" present=1\nmessage id=1 folder=1 epoch=0 key=b\"1\" uid=1 size=1 date=0 stage=2 "
		       "disposal=0\n" END_LINE,
		"a message that waits for no delivery (number 1)"},
	{HEAD META BOX "folder id=1 mailbox=1 name=\"INBOX\" present=1\nmessage id=1 folder=1 epoch=0 key=b\"1\" uid=1 size=1 date=0 stage=9 "
		       "disposal=0\n" END_LINE,
		"unknown stage"},
	{HEAD META "mailbox id=7 name=\"isp\" protocol=2 host=\"h\" user=\"u\" failures=1 clock=1000000000\n" END_LINE,
		"unknown back-off (number 7)"},
	{HEAD META "destination name=\"home\" failures=1 clock=-1\n" END_LINE, "a destination with an unknown back-off"},
	{HEAD META "host protocol=2 host=\"h\" port=993 tls=1 before_login=0 after_login=0 mechanisms=0 learned_at=0 boundary=3 "
		   "boundary_at=0\n" END_LINE,
		"a server that answers in an unknown way"},
	{HEAD META "meta key=\"clock\" value=\"1800000000 10 9223372036854775807 0\"\n" END_LINE, "a clock that cannot be read"},
};

static void what_is_wrong_is_refused_by_line(void **ctx)
{
	struct fixture *f = *ctx;
	char *dir = xasprintf("%s/other", f->parent), *file = xasprintf("%s/state.db", dir), *draft = xasprintf("%s/state.db.new", dir);

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		print_message("%s\n", wrong[i].words);
		assert_int_equal(import_text(f, dir, wrong[i].text, strlen(wrong[i].text)), -1);
		assert_int_equal(f->error.kind, ERR_CONFIG);
		if (strstr(f->error.text, wrong[i].words) == NULL || strncmp(f->error.text, "kept.txt", 8) != 0)
			fail_msg("%s", f->error.text);
		assert_int_equal(access(file, F_OK), -1);
		assert_int_equal(access(draft, F_OK), -1);
	}
	assert_int_equal(import_text(f, dir, HEAD META END_LINE, strlen(HEAD META END_LINE)), 0);
	assert_int_equal(access(file, F_OK), 0);
	free(dir);
	free(file);
	free(draft);
}

static void lines_that_cannot_be(void **ctx)
{
	static const char with_nul[] = HEAD META "mailbox id=1\0 name=\"a\"\n" END_LINE;
	struct fixture *f = *ctx;
	char *dir = xasprintf("%s/other", f->parent);
	struct str text = {0};

	assert_int_equal(import_text(f, dir, with_nul, sizeof(with_nul) - 1), -1);
	assert_non_null(strstr(f->error.text, "kept.txt:3: there is a NUL"));
	str_add_text(&text, HEAD META "mailbox id=1 name=\"");
	while (text.len < 200000)
		str_add_text(&text, "aaaaaaaa");
	str_add_text(&text, "\"\n" END_LINE);
	assert_int_equal(import_text(f, dir, text.data, text.len), -1);
	assert_non_null(strstr(f->error.text, "kept.txt:3: the line is longer"));
	str_done(&text);
	free(dir);
}

/* Cut short anywhere, or with a byte changed: refused or a state that is in order, never half of one. */
static void damaged_texts(void **ctx)
{
	struct fixture *f = *ctx;
	char *dir = xasprintf("%s/other", f->parent), *text;
	unsigned refused = 0, tried = 0;
	size_t len;

	fill(f);
	text = export_text(f, f->state);
	len = strlen(text);
	for (size_t at = 0; at < len; at += 97) {
		assert_int_equal(import_text(f, dir, text, at), -1);
		assert_int_equal(f->error.kind, ERR_CONFIG);
	}
	for (size_t at = 1; at < len; at += 61, tried++) {
		char before = text[at];
		struct state *other;
		bool is_new;

		text[at] = (char)(before ^ (1 << at % 7));
		if (import_text(f, dir, text, len) < 0) {
			assert_int_equal(f->error.kind, ERR_CONFIG);
			refused++;
		} else {
			other = state_open(dir, false, &is_new, &f->error);
			assert_non_null(other);
			assert_int_equal(state_check(other, &f->error), 0);
			state_close(other);
			remove_tree(dir);
		}
		text[at] = before;
	}
	assert_true(refused > tried / 4);
	free(text);
	free(dir);
}

/* What an older mailhaul exported becomes a state of today. */
static void an_older_text(void **ctx)
{
	static const char old[] =
		"mailhaul-state 1 version=1 last_message=5\n" META BOX "folder id=1 mailbox=1 name=\"INBOX\" present=1\n" BASELINE END_LINE;
	struct fixture *f = *ctx;
	char *dir = xasprintf("%s/other", f->parent);

	if (import_text(f, dir, old, strlen(old)) < 0)
		fail_msg("%s", f->error.text);
	snprintf(f->dir, sizeof(f->dir), "%s/other", f->parent);
	fixture_reopen(f);
	assert_int_equal(number(f, "SELECT accepted_epoch FROM folder"), -1);
	assert_int_equal(number(f, "SELECT retention FROM message"), 0);
	assert_int_equal(number(f, "SELECT value FROM meta WHERE key = 'version'"), SCHEMA_VERSION);
	free(dir);
}

int main(void)
{
#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		FIXTURE_TEST(there_and_back_is_the_same),
		FIXTURE_TEST(any_bytes_survive),
		FIXTURE_TEST(nothing_is_left_out),
		FIXTURE_TEST(while_somebody_hauls),
		FIXTURE_TEST(never_over_a_state),
		FIXTURE_TEST(what_is_wrong_is_refused_by_line),
		FIXTURE_TEST(lines_that_cannot_be),
		FIXTURE_TEST(damaged_texts),
		FIXTURE_TEST(an_older_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
