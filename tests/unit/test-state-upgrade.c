/* test-state-upgrade.c - a database of the first version, opened with this program: every row is as it was; killed in between, it is the old one. */
#include "tests/unit/state-fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* What the rows of the first version hold, in its own columns. */
static const struct {
	const char *table, *columns;
} contents[] = {
	{"meta", "key, value"},
	{"mailbox", "id, name, protocol, host, user, failures, clock, retry_at, last_success, last_mail, last_error, last_error_kind, last_error_at, "
		    "credential"},
	{"folder", "id, mailbox, name, epoch, uidvalidity, mark, present, listed_at"},
	{"target", "id, destination, recipient"},
	{"message", "id, folder, epoch, key, key_hash, uid, size, date, stage, disposal, disposal_folder, bytes, hash, trace, has_trace, "
		    "delivered_at, gone_at,"
		    " successor, attempts, first_failed_at, next_try, fetch_error"},
	{"delivery", "message, target, status, code, reply, attempts, doubts, first_failed_at, next_try, intent_at, held_at, held_tries"},
	{"sqlite_sequence", "name, seq"},
};

static const char rows[] = "INSERT INTO meta VALUES ('installation', '0123456789abcdef0123456789abcdef');"
			   "INSERT INTO mailbox VALUES (3, 'anna', 2, 'imap.example', 'anna@example', 4, 1, 5, 6, 7, 'not now', 1, 8, 9);"
			   "INSERT INTO mailbox (id, name, protocol, host, user) VALUES (4, 'bert', 1, 'pop.example', 'bert');"
			   "INSERT INTO folder VALUES (2, 3, 'INBOX', 1, 77, 12, 2, 13);"
			   "INSERT INTO folder (id, mailbox, name) VALUES (5, 4, '');"
			   "INSERT INTO target VALUES (6, 'home', 'anna@home');"
			   "INSERT INTO message VALUES (20, 2, 1, x'3131', x'4fc82b26aecb47d2868c4efbe3581732', 11, 100, 200, 4, 1, NULL, 300, "
			   "zeroblob(32), zeroblob(32), 1, 400,"
			   " 0, 0, 0, 0, 0, NULL);"
			   "INSERT INTO message VALUES (21, 2, 1, x'3132', x'6b51d431df5d7f141cbececcf79edf3d', 12, 101, 201, 2, 3, 'Archive', NULL, "
			   "NULL, NULL, 0, 0, 0, 0, 3, 500, 600,"
			   " x'6e6f');"
			   "INSERT INTO delivery VALUES (20, 6, 3, 250, x'6f6b', 1, 0, 0, 0, 10, 0, 0);"
			   "INSERT INTO delivery VALUES (21, 6, 5, 550, NULL, 2, 1, 3, 4, 5, 6, 7);"
			   "UPDATE sqlite_sequence SET seq = 99;";

struct old {
	struct fixture f;
	char path[80];
	struct str before;
};

static sqlite3 *open_raw(const struct old *old)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(old->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
	return db;
}

static void describe(sqlite3 *db, struct str *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		char *sql = xasprintf("SELECT * FROM (SELECT %s FROM %s %s ORDER BY 1, 2)", contents[i].columns, contents[i].table,
			i == 0 ? "WHERE key = 'installation'" : "");
		sqlite3_stmt *row;

		assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
		while (sqlite3_step(row) == SQLITE_ROW) {
			str_add_text(out, contents[i].table);
			for (int k = 0; k < sqlite3_column_count(row); k++) {
				str_addf(out, " %d:", sqlite3_column_type(row, k));
				str_add_escaped(out, sqlite3_column_blob(row, k), (size_t)sqlite3_column_bytes(row, k), 1000);
			}
			str_add_byte(out, '\n');
		}
		sqlite3_finalize(row);
		free(sql);
	}
}

static int begin(void **ctx)
{
	struct old *old = xcalloc(1, sizeof(*old));
	struct state state = {.dir = old->f.dir};

	strcpy(old->f.parent, "/tmp/mailhaul-state-XXXXXX");
	assert_non_null(mkdtemp(old->f.parent));
	snprintf(old->f.dir, sizeof(old->f.dir), "%s/state", old->f.parent);
	snprintf(old->path, sizeof(old->path), "%s/state.db", old->f.dir);
	assert_int_equal(mkdir(old->f.dir, 0700), 0);
	close(open(old->path, O_CREAT | O_WRONLY, 0600));
	state.db = open_raw(old);
	assert_int_equal(schema_take_steps(&state, 0, 1, &old->f.error), 0);
	assert_int_equal(sql_script(&state, rows, &old->f.error), 0);
	describe(state.db, &old->before);
	sql_forget(&state);
	sqlite3_close(state.db);
	*ctx = old;
	return 0;
}

static int end(void **ctx)
{
	struct old *old = *ctx;

	fixture_end(&old->f);
	str_done(&old->before);
	free(old);
	return 0;
}

static void assert_contents(struct old *old, sqlite3 *db)
{
	struct str now = {0};

	describe(db, &now);
	assert_string_equal(str_text(&now), str_text(&old->before));
	str_done(&now);
}

static void every_row_is_kept(void **ctx)
{
	struct old *old = *ctx;
	struct fixture *f = &old->f;

	fixture_reopen(f);
	assert_int_equal(number(f, "SELECT value FROM meta WHERE key = 'version'"), SCHEMA_VERSION);
	assert_contents(old, f->state->db);
	assert_string_equal(state_installation(f->state), "0123456789abcdef0123456789abcdef");
	assert_int_equal(number(f, "SELECT count(*) FROM mailbox WHERE stopped = '' AND error_since = 0"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM folder WHERE renumberings = 0 AND renumbered_at = 0 AND accepted_epoch = -1"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM message WHERE retention = 0 AND delivered_clock = 0"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM delivery WHERE intent_clock = intent_at"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM destination"), 0);
	assert_int_equal(number(f, "PRAGMA auto_vacuum"), 2); /* what was made without it can shrink from now on */
	if (state_check(f->state, &f->error) < 0)
		fail_msg("%s", f->error.text);
	fixture_reopen(f);
	assert_contents(old, f->state->db);
}

/* Columns as in a new database: nobody can tell where it began. */
static void it_is_like_a_new_one(void **ctx)
{
	static const char columns[] =
		"SELECT group_concat(t.name || ' ' || c.cid || c.name || c.type || c.\"notnull\" || coalesce(c.dflt_value, '-') || c.pk)"
		" FROM (SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name) t, pragma_table_info(t.name) c";
	struct old *old = *ctx;
	struct state *fresh = state_open_scratch(&old->f.error);
	sqlite3 *dbs[2];
	char *texts[2];

	fixture_reopen(&old->f);
	dbs[0] = old->f.state->db;
	dbs[1] = fresh->db;
	for (int i = 0; i < 2; i++) {
		sqlite3_stmt *row;

		assert_int_equal(sqlite3_prepare_v2(dbs[i], columns, -1, &row, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(row), SQLITE_ROW);
		texts[i] = xstrdup(sql_column_text(row, 0));
		sqlite3_finalize(row);
	}
	assert_string_equal(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
	state_close(fresh);
}

static void to_look_at_it_is_not_enough(void **ctx)
{
	struct old *old = *ctx;
	bool is_new;

	assert_null(state_open(old->f.dir, true, &is_new, &old->f.error));
	assert_int_equal(old->f.error.kind, ERR_LOCAL);
	assert_non_null(strstr(old->f.error.text, "older mailhaul; the next run will upgrade it"));
}

/* -- killed at every statement of the upgrade -- */

static unsigned statements_left;

static int on_statement(unsigned what, void *context, void *statement, void *text)
{
	(void)what;
	(void)context;
	(void)text;
	if (strncmp(sqlite3_sql(statement), "PRAGMA", 6) != 0 && strncmp(sqlite3_sql(statement), "SELECT", 6) != 0 && statements_left-- == 0)
		raise(SIGKILL);
	return 0;
}

static int watch(sqlite3 *db, char **message, const struct sqlite3_api_routines *routines)
{
	(void)message;
	(void)routines;
	return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

static bool is_killed_at(struct old *old, unsigned statement)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		bool is_new;

		statements_left = statement;
		sqlite3_auto_extension((void (*)(void))watch);
		_exit(state_open(old->f.dir, false, &is_new, &old->f.error) == NULL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static void killed_in_between_it_is_the_old_one(void **ctx)
{
	struct old *old = *ctx;
	unsigned kills = 0, olds = 0;

	while (is_killed_at(old, kills)) {
		sqlite3 *db = open_raw(old);
		sqlite3_stmt *row;

		assert_contents(old, db);
		assert_int_equal(
			sqlite3_prepare_v2(db, "SELECT value, (SELECT count(*) FROM pragma_table_info('mailbox')) FROM meta WHERE key = 'version'",
				-1, &row, NULL),
			SQLITE_OK);
		assert_int_equal(sqlite3_step(row), SQLITE_ROW);
		/* The number and the columns go together. */
		assert_int_equal(sqlite3_column_int(row, 1) == 14, sqlite3_column_int(row, 0) == 1);
		olds += sqlite3_column_int(row, 0) == 1;
		sqlite3_finalize(row);
		sqlite3_close(db);
		kills++;
	}
	assert_true(olds >= 8); /* the savepoint, seven columns and more */
	fixture_reopen(&old->f);
	assert_contents(old, old->f.state->db);
	assert_int_equal(state_check(old->f.state, &old->f.error), 0);
}

int main(void)
{
#define OLD_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		OLD_TEST(every_row_is_kept),
		OLD_TEST(it_is_like_a_new_one),
		OLD_TEST(to_look_at_it_is_not_enough),
		OLD_TEST(killed_in_between_it_is_the_old_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
