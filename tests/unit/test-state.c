#include "tests/unit/state-fixture.h"

#include <errno.h>
#include <sys/wait.h>

/* A directory of the test's own, and in it the name of a state that is not there yet. */
struct room {
	char parent[40], dir[60], path[120];
	struct error error;
	bool is_new;
};

static int room_begin(void **ctx)
{
	struct room *room = xcalloc(1, sizeof(*room));

	strcpy(room->parent, "/tmp/mailhaul-room-XXXXXX");
	assert_non_null(mkdtemp(room->parent));
	snprintf(room->dir, sizeof(room->dir), "%s/a/state", room->parent);
	*ctx = room;
	return 0;
}

static int room_end(void **ctx)
{
	struct room *room = *ctx;

	remove_tree(room->parent);
	free(room);
	return 0;
}

static const char *in_room(struct room *room, const char *name)
{
	snprintf(room->path, sizeof(room->path), "%s/%s", room->dir, name);
	return room->path;
}

static void assert_mode(const char *path, mode_t mode)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static struct state *open_state(struct room *room)
{
	struct state *state = state_open(room->dir, false, &room->is_new, &room->error);

	if (state == NULL)
		fail_msg("%s", room->error.text);
	return state;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, bytes, len), 0);
	close(fd);
}

static void made_once_and_found_again(void **ctx)
{
	struct room *room = *ctx;
	struct state *state;
	char first[33];
	struct stat st;

	state = open_state(room);
	assert_true(room->is_new);
	assert_mode(room->dir, 0700);
	assert_mode(in_room(room, "state.db"), 0600);
	assert_mode(in_room(room, "state.db-wal"), 0600);
	assert_mode(in_room(room, "reserve"), 0600);
	assert_int_equal(stat(in_room(room, "reserve"), &st), 0);
	assert_int_equal(st.st_size, RESERVE_BYTES);
	assert_true((uint64_t)st.st_blocks * 512 >= RESERVE_BYTES);
	assert_int_equal(stat(in_room(room, "state.db.new"), &st), -1);
	assert_int_equal(strspn(state_installation(state), "0123456789abcdef"), 32);
	strcpy(first, state_installation(state));
	assert_int_equal(state_check(state, &room->error), 0);
	state_close(state);

	state = open_state(room);
	assert_false(room->is_new);
	assert_string_equal(state_installation(state), first);
	assert_true(fcntl(state_dir_fd(state), F_GETFD) & FD_CLOEXEC);
	state_close(state);
}

static void read_only_makes_nothing(void **ctx)
{
	static char name[] = "isp", host[] = "imap.example";
	const struct mailbox_config never_hauled = {.name = name, .protocol = PROTOCOL_IMAP, .server.endpoint.host = host};
	struct room *room = *ctx;
	struct mailbox_state mailbox;
	struct state *state;
	int64_t folder;

	room->error.kind = ERR_LOCAL;
	assert_null(state_open(room->dir, true, &room->is_new, &room->error));
	assert_int_equal(room->error.kind, ERR_NONE);
	assert_int_equal(access(room->dir, F_OK), -1);
	assert_int_equal(fs_mkdir_parents(room->dir, 0700, &room->error), 0);
	assert_null(state_open(room->dir, true, &room->is_new, &room->error));
	assert_int_equal(room->error.kind, ERR_NONE);
	assert_int_equal(access(in_room(room, "state.db"), F_OK), -1);

	state_close(open_state(room));
	state = state_open(room->dir, true, &room->is_new, &room->error);
	assert_non_null(state);
	assert_false(room->is_new);
	assert_int_equal(strlen(state_installation(state)), 32);
	assert_int_equal(state_folder_open(state, 1, "INBOX", &folder, &room->error), -1);
	assert_int_equal(room->error.kind, ERR_LOCAL);
	assert_int_equal(state_mailbox_open(state, NULL, &never_hauled, &mailbox, &room->error), 0);
	assert_int_equal(mailbox.id, 0);
	state_close(state);
}

/* -- Places that are refused, each with what to do about it -- */

static void spoil_directory_mode(struct room *room)
{
	assert_int_equal(chmod(room->dir, 0755), 0);
}

static void spoil_directory_owner(struct room *room)
{
	assert_int_equal(chown(room->dir, 12345, 12345), 0);
}

static void spoil_directory_link(struct room *room)
{
	char other[100];

	snprintf(other, sizeof(other), "%s/elsewhere", room->parent);
	assert_int_equal(rename(room->dir, other), 0);
	assert_int_equal(symlink(other, room->dir), 0);
}

static void spoil_directory_kind(struct room *room)
{
	remove_tree(room->dir);
	write_file(room->dir, "", 0);
}

static void spoil_file_mode(struct room *room)
{
	assert_int_equal(chmod(in_room(room, "state.db"), 0640), 0);
}

static void spoil_file_owner(struct room *room)
{
	assert_int_equal(chown(in_room(room, "state.db"), 12345, 12345), 0);
}

static void spoil_file_link(struct room *room)
{
	char other[100];

	snprintf(other, sizeof(other), "%s/elsewhere", room->parent);
	assert_int_equal(rename(in_room(room, "state.db"), other), 0);
	assert_int_equal(symlink(other, in_room(room, "state.db")), 0);
}

static void spoil_file_hard_link(struct room *room)
{
	char other[100];

	snprintf(other, sizeof(other), "%s/elsewhere", room->parent);
	assert_int_equal(link(in_room(room, "state.db"), other), 0);
}

static void spoil_file_kind(struct room *room)
{
	assert_int_equal(unlink(in_room(room, "state.db")), 0);
	assert_int_equal(mkdir(in_room(room, "state.db"), 0600), 0);
}

static void spoil_wal(struct room *room)
{
	assert_int_equal(symlink("/etc/passwd", in_room(room, "state.db-wal")), 0);
}

static void spoil_shm_mode(struct room *room)
{
	write_file(in_room(room, "state.db-shm"), "", 0);
	assert_int_equal(chmod(in_room(room, "state.db-shm"), 0644), 0);
}

static void spoil_reserve(struct room *room)
{
	assert_int_equal(unlink(in_room(room, "reserve")), 0);
	assert_int_equal(symlink("/etc/passwd", in_room(room, "reserve")), 0);
}

static void spoil_content(struct room *room)
{
	write_file(in_room(room, "state.db"),
		"this is no database, but it is longer than a hundred bytes, so that SQLite looks at its head and sees that "
		"it has not made it. Nobody should ever lose a line of it.",
		160);
}

static void spoil_empty(struct room *room)
{
	assert_int_equal(truncate(in_room(room, "state.db"), 0), 0);
}

static void spoil_page(struct room *room)
{
	int fd = open(in_room(room, "state.db"), O_WRONLY);
	char junk[4000];

	memset(junk, 0x5a, sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 100), sizeof(junk)); /* the schema; the file's head stays */
	close(fd);
}

static void run_sql(struct room *room, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(in_room(room, "state.db"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void spoil_version(struct room *room)
{
	run_sql(room, "UPDATE meta SET value = 99 WHERE key = 'version'");
}

static void spoil_foreign(struct room *room)
{
	run_sql(room, "DROP TABLE meta");
}

static const struct {
	const char *name;
	void (*spoil)(struct room *room);
	const char *words, *way_out;
} refusals[] = {
	{"directory: mode", spoil_directory_mode, "mode 0755", "chmod 0700"},
	{"directory: owner", spoil_directory_owner, "belongs to user 12345", "chown"},
	{"directory: symbolic link", spoil_directory_link, "symbolic link", "state_dir"},
	{"directory: a file", spoil_directory_kind, "no directory", "state_dir"},
	{"file: mode", spoil_file_mode, "mode 0640", "chmod 0600"},
	{"file: owner", spoil_file_owner, "belongs to user 12345", "chown"},
	{"file: symbolic link", spoil_file_link, "symbolic link", "put the file itself there"},
	{"file: hard link", spoil_file_hard_link, "hard link", "remove that one"},
	{"file: a directory", spoil_file_kind, "not a regular file", "move it away"},
	{"write-ahead log: symbolic link", spoil_wal, "state.db-wal is a symbolic link", "put the file itself there"},
	{"shared memory: mode", spoil_shm_mode, "state.db-shm has mode 0644", "chmod 0600"},
	{"reserve: symbolic link", spoil_reserve, "reserve is a symbolic link", "put the file itself there"},
	{"content: no database", spoil_content, "damaged", "restore it from a backup"},
	{"content: empty", spoil_empty, "holds no state", "restore it from a backup"},
	{"content: overwritten", spoil_page, "damaged", "restore it from a backup"},
	{"content: newer", spoil_version, "newer mailhaul", "install that one"},
	{"content: another program's", spoil_foreign, "holds no state", "restore it from a backup"},
};

static void refused_with_the_way_out(void **ctx)
{
	struct room *room = *ctx;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		print_message("%s\n", refusals[i].name);
		if (strstr(refusals[i].name, "owner") != NULL && geteuid() != 0)
			continue; /* only root can give files away */
		state_close(open_state(room));
		refusals[i].spoil(room);
		for (int read_only = 0; read_only < 2; read_only++) {
			room->error = (struct error){0};
			assert_null(state_open(room->dir, read_only, &room->is_new, &room->error));
			assert_int_equal(room->error.kind, ERR_LOCAL);
			assert_int_equal(room->error.scope, SCOPE_PROGRAM);
			assert_non_null(strstr(room->error.text, refusals[i].words));
			assert_non_null(strstr(room->error.text, refusals[i].way_out));
		}
		remove_tree(room->parent);
		assert_int_equal(mkdir(room->parent, 0700), 0);
	}
}

/* Neither a crash while the first state was built nor another start at the same moment leaves half a state. */
static void built_beside_its_place(void **ctx)
{
	struct room *room = *ctx;
	struct state *state;

	assert_int_equal(fs_mkdir_parents(room->dir, 0700, &room->error), 0);
	write_file(in_room(room, "state.db.new"), "half a database", 15);
	write_file(in_room(room, "state.db.new-journal"), "half a journal", 14);
	state = open_state(room);
	assert_true(room->is_new);
	assert_int_equal(state_check(state, &room->error), 0);
	assert_int_equal(access(in_room(room, "state.db.new"), F_OK), -1);
	assert_int_equal(access(in_room(room, "state.db.new-journal"), F_OK), -1);
	state_close(state);
}

/* Whoever comes first builds; all get the same state. */
static void several_first_starts(void **ctx)
{
	enum { STARTS = 4 };
	struct room *room = *ctx;
	char words[STARTS][33] = {{0}};
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	for (int i = 0; i < STARTS; i++) {
		if (fork() == 0) {
			struct state *state = state_open(room->dir, false, &room->is_new, &room->error);

			_exit(state == NULL || fs_write_all(ends[1], state_installation(state), 32) < 0);
		}
	}
	close(ends[1]);
	for (int i = 0; i < STARTS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
		assert_int_equal(read(ends[0], words[i], 32), 32);
		assert_string_equal(words[i], words[0]);
	}
	close(ends[0]);
}

static void damage_behind_the_head_is_found_by_the_check(void **ctx)
{
	struct room *room = *ctx;
	struct state *state = open_state(room);
	char junk[4096];
	int fd;

	assert_int_equal(state_begin(state, &room->error), 0);
	assert_int_equal(sql_script(state, "INSERT INTO mailbox (name, protocol, host, user) VALUES ('a', 1, 'b', 'c')", &room->error), 0);
	assert_int_equal(state_commit(state, &room->error), 0);
	state_close(state);
	memset(junk, 0x5a, sizeof(junk));
	fd = open(in_room(room, "state.db"), O_WRONLY);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 3 * 4096), sizeof(junk));
	close(fd);
	state = open_state(room);
	assert_int_equal(state_check(state, &room->error), -1);
	assert_int_equal(room->error.kind, ERR_LOCAL);
	assert_non_null(strstr(room->error.text, "damaged"));
	assert_non_null(strstr(room->error.text, "restore it from a backup"));
	state_close(state);
}

static void settings_are_the_durable_ones(void **ctx)
{
	static const struct {
		const char *pragma;
		int64_t value;
	} numbers[] = {{"synchronous", 2}, {"foreign_keys", 1}, {"busy_timeout", 0}, {"wal_autocheckpoint", 4000}};
	struct room *room = *ctx;
	struct state *state = open_state(room);
	sqlite3_stmt *row;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char sql[60];

		snprintf(sql, sizeof(sql), "PRAGMA %s", numbers[i].pragma);
		assert_int_equal(sqlite3_prepare_v2(state->db, sql, -1, &row, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(row), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int64(row, 0), numbers[i].value);
		sqlite3_finalize(row);
	}
	assert_int_equal(sqlite3_prepare_v2(state->db, "PRAGMA journal_mode", -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	assert_string_equal(sql_column_text(row, 0), "wal");
	sqlite3_finalize(row);
	state_close(state);
}

static int64_t synchronous(struct state *state)
{
	sqlite3_stmt *row;
	int64_t value;

	assert_int_equal(sqlite3_prepare_v2(state->db, "PRAGMA synchronous", -1, &row, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(row), SQLITE_ROW);
	value = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return value;
}

/* However it ends, what comes behind one that need not be synced is. */
static void only_what_says_so_is_not_synced(void **ctx)
{
	struct room *room = *ctx;
	struct state *state = open_state(room), *other = open_state(room);

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(state_begin_unsynced(state, &room->error), 0);
		assert_int_equal(synchronous(state), 1);
		assert_int_equal(state_commit(state, &room->error), 0);
		assert_int_equal(synchronous(state), 2);
		assert_int_equal(state_begin(state, &room->error), 0);
		assert_int_equal(synchronous(state), 2);
		assert_int_equal(state_commit(state, &room->error), 0);
	}
	assert_int_equal(state_begin_unsynced(state, &room->error), 0);
	state_rollback(state);
	assert_int_equal(synchronous(state), 2);
	assert_int_equal(state_begin(other, &room->error), 0);
	assert_int_equal(state_begin_unsynced(state, &room->error), -1);
	assert_int_equal(state_commit(other, &room->error), 0);
	assert_int_equal(state_begin(state, &room->error), 0);
	assert_int_equal(synchronous(state), 2);
	assert_int_equal(state_commit(state, &room->error), 0);
	state_close(other);
	state_close(state);
}

static void two_at_once(void **ctx)
{
	struct room *room = *ctx;
	struct state *one = open_state(room), *two = open_state(room), *reader;

	assert_int_equal(state_begin(one, &room->error), 0);
	assert_int_equal(sql_script(one, "INSERT INTO mailbox (name, protocol, host, user) VALUES ('a', 1, 'b', 'c')", &room->error), 0);
	assert_int_equal(state_begin(two, &room->error), -1);
	assert_int_equal(room->error.kind, ERR_TEMP);
	assert_non_null(strstr(room->error.text, "another mailhaul"));
	reader = state_open(room->dir, true, &room->is_new, &room->error);
	assert_non_null(reader);
	state_rollback(two); /* of nothing: fine */
	assert_int_equal(state_commit(one, &room->error), 0);
	assert_int_equal(state_begin(two, &room->error), 0);
	assert_int_equal(state_commit(two, &room->error), 0);
	state_close(reader);
	state_close(two);
	state_close(one);
}

static void rolled_back_is_as_before(void **ctx)
{
	struct room *room = *ctx;
	struct state *state = open_state(room);
	int64_t count;

	assert_int_equal(state_begin(state, &room->error), 0);
	assert_int_equal(sql_script(state, "INSERT INTO mailbox (name, protocol, host, user) VALUES ('a', 1, 'b', 'c')", &room->error), 0);
	state_rollback(state);
	assert_int_equal(sql_number(state, &room->error, &count, "SELECT count(*) FROM mailbox WHERE name = ?1", SQL_TEXT("a")), 0);
	assert_int_equal(count, 0);
	state_close(state);
}

static void killed_after_commit_loses_nothing(void **ctx)
{
	static const struct {
		const char *name;
		int64_t count;
	} names[] = {{"kept", 1}, {"lost", 0}};
	struct room *room = *ctx;
	struct state *state;
	int64_t count;
	pid_t child;
	int status;

	state_close(open_state(room));
	child = fork();
	if (child == 0) {
		state = state_open(room->dir, false, &room->is_new, &room->error);
		if (state == NULL || state_begin(state, &room->error) < 0 ||
			sql_script(state, "INSERT INTO mailbox (name, protocol, host, user) VALUES ('kept', 1, 'b', 'c')", &room->error) < 0 ||
			state_commit(state, &room->error) < 0 || state_begin(state, &room->error) < 0 ||
			sql_script(state, "INSERT INTO mailbox (name, protocol, host, user) VALUES ('lost', 1, 'b', 'c')", &room->error) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	state = open_state(room);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(sql_number(state, &room->error, &count, "SELECT count(*) FROM mailbox WHERE name = ?1", SQL_TEXT(names[i].name)), 0);
		assert_int_equal(count, names[i].count);
	}
	state_close(state);
}

int main(void)
{
#define ROOM_TEST(test) cmocka_unit_test_setup_teardown(test, room_begin, room_end)
	static const struct CMUnitTest tests[] = {
		ROOM_TEST(made_once_and_found_again),
		ROOM_TEST(read_only_makes_nothing),
		ROOM_TEST(refused_with_the_way_out),
		ROOM_TEST(built_beside_its_place),
		ROOM_TEST(several_first_starts),
		ROOM_TEST(damage_behind_the_head_is_found_by_the_check),
		ROOM_TEST(settings_are_the_durable_ones),
		ROOM_TEST(only_what_says_so_is_not_synced),
		ROOM_TEST(two_at_once),
		ROOM_TEST(rolled_back_is_as_before),
		ROOM_TEST(killed_after_commit_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
