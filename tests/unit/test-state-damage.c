/* test-state-damage.c - a state file cut short, zeroed, with bits turned over, without its log or with half of it: it opens and is in order, or it is
 * refused with a sentence that says what to do. Nothing is ever begun anew, and no row goes missing where that could be noticed. */
#include "tests/unit/state-fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define MESSAGES 600
#define PAGE 4096

/* A state with mail in it, closed, and its bytes. */
struct ward {
	struct fixture f;
	char path[80];
	struct str whole;
	int64_t rows;
};

static int64_t count_rows(struct fixture *f)
{
	return number(f, "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM delivery) + (SELECT count(*) FROM folder)");
}

static void read_into(const char *path, struct str *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fs_read_all(fd, SIZE_MAX, out), 0);
	close(fd);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, bytes, len), 0);
	close(fd);
}

static int begin(void **ctx)
{
	struct ward *ward = xcalloc(1, sizeof(*ward));
	struct fixture *f = &ward->f;
	uint64_t first;

	fixture_begin(f, PROTOCOL_IMAP);
	first = plan_uids(f, 1, MESSAGES, 3);
	for (unsigned i = 0; i < MESSAGES / 5; i++)
		deliver(f, first + i, 0, (uint8_t)i);
	ward->rows = count_rows(f);
	state_close(f->state);
	f->state = NULL;
	snprintf(ward->path, sizeof(ward->path), "%s/state.db", f->dir);
	read_into(ward->path, &ward->whole);
	assert_true(ward->whole.len > 20 * PAGE);
	*ctx = ward;
	return 0;
}

static int end(void **ctx)
{
	struct ward *ward = *ctx;

	fixture_end(&ward->f);
	str_done(&ward->whole);
	free(ward);
	return 0;
}

static void assert_explained(const struct error *err)
{
	assert_int_equal(err->kind, ERR_LOCAL);
	assert_int_equal(err->scope, SCOPE_PROGRAM);
	if (strstr(err->text, "restore it from a backup") == NULL)
		fail_msg("no way out: %s", err->text);
}

/* True: it was noticed. */
static bool look(struct ward *ward)
{
	struct fixture *f = &ward->f;
	bool is_new = false, noticed;

	f->error = (struct error){0};
	f->state = state_open(f->dir, false, &is_new, &f->error);
	assert_false(is_new);
	noticed = f->state == NULL || state_check(f->state, &f->error) < 0;
	if (noticed)
		assert_explained(&f->error);
	else
		assert_int_equal(count_rows(f), ward->rows);
	state_close(f->state);
	f->state = NULL;
	return noticed;
}

static void cut_short_at_every_page(void **ctx)
{
	struct ward *ward = *ctx;

	for (size_t len = 0; len < ward->whole.len; len += PAGE) {
		write_file(ward->path, ward->whole.data, len);
		if (!look(ward))
			fail_msg("%zu of %zu bytes, and nobody noticed", len, ward->whole.len);
		write_file(ward->path, ward->whole.data, len + PAGE / 3);
		assert_true(look(ward));
	}
}

static void zeroed_anywhere(void **ctx)
{
	struct ward *ward = *ctx;
	struct str damaged = {0};

	for (size_t at = 0; at < ward->whole.len; at += PAGE) {
		str_clear(&damaged);
		str_add(&damaged, ward->whole.data, ward->whole.len);
		memset(damaged.data + at, 0, PAGE);
		write_file(ward->path, damaged.data, damaged.len);
		if (!look(ward))
			fail_msg("page %zu is zero, and nobody noticed", at / PAGE + 1);
	}
	str_done(&damaged);
}

static void bits_turned_over(void **ctx)
{
	struct ward *ward = *ctx;
	unsigned noticed = 0, tried = 0;

	for (size_t at = 3; at < ward->whole.len; at += 487, tried++) {
		ward->whole.data[at] ^= (char)(1 << at % 8);
		write_file(ward->path, ward->whole.data, ward->whole.len);
		ward->whole.data[at] ^= (char)(1 << at % 8);
		noticed += look(ward); /* either way what look asserts holds */
	}
	assert_true(noticed > tried / 4);
	write_file(ward->path, ward->whole.data, ward->whole.len);
	assert_false(look(ward));
}

/* -- the log -- */

/* Commits one message after the other, and is killed; the log stays. */
static void leave_log(struct ward *ward, struct str *ret_log, struct str *ret_base)
{
	pid_t child = fork();
	char *log = xasprintf("%s-wal", ward->path);
	int status;

	if (child == 0) {
		fixture_reopen(&ward->f);
		for (uint32_t uid = MESSAGES + 1; uid <= MESSAGES + 20; uid++)
			plan_uids(&ward->f, uid, uid, 3);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	read_into(log, ret_log);
	read_into(ward->path, ret_base);
	free(log);
}

static void log_cut_or_changed(void **ctx)
{
	struct ward *ward = *ctx;
	char *log = xasprintf("%s-wal", ward->path), *index = xasprintf("%s-shm", ward->path);
	struct str bytes = {0}, base = {0};
	int64_t last = 0;

	leave_log(ward, &bytes, &base);
	for (size_t step = 0; step <= bytes.len * 2; step += bytes.len / 23) {
		bool cut = step <= bytes.len;
		size_t at = cut ? step : step - bytes.len;
		int64_t messages;

		write_file(ward->path, base.data, base.len);
		unlink(index);
		if (!cut)
			bytes.data[at] ^= 0x10;
		write_file(log, bytes.data, cut ? at : bytes.len);
		if (!cut)
			bytes.data[at] ^= 0x10;
		fixture_reopen(&ward->f);
		if (state_check(ward->f.state, &ward->f.error) < 0)
			fail_msg("%s", ward->f.error.text);
		/* What was committed before the damage is there, all of a commit or nothing. */
		messages = number(&ward->f, "SELECT count(*) FROM message");
		assert_in_range(messages, MESSAGES, MESSAGES + 20);
		assert_int_equal(number(&ward->f, "SELECT count(*) FROM delivery"), messages * 2);
		if (cut)
			assert_true(messages >= last);
		last = messages;
		state_close(ward->f.state);
		ward->f.state = NULL;
	}
	write_file(ward->path, base.data, base.len);
	write_file(log, bytes.data, bytes.len);
	fixture_reopen(&ward->f);
	assert_int_equal(number(&ward->f, "SELECT count(*) FROM message"), MESSAGES + 20);
	str_done(&bytes);
	str_done(&base);
	free(log);
	free(index);
}

/* Only after a crash is the file looked through at the start; a clean end takes the log away. */
static void looked_through_after_a_crash(void **ctx)
{
	struct ward *ward = *ctx;
	struct str bytes = {0}, base = {0};
	struct error err = {0};
	bool is_new;
	size_t at;

	leave_log(ward, &bytes, &base);
	assert_true(base.len > 0);
	/* A page of rows, which no opening reads. */
	for (at = base.len - PAGE; (unsigned char)base.data[at] != 13 && at != 0; at -= PAGE)
		;
	assert_true(at > 0);
	memset(base.data + at, 0, PAGE);
	write_file(ward->path, base.data, base.len);
	ward->f.state = state_open(ward->f.dir, false, &is_new, &err);
	if (ward->f.state != NULL)
		fail_msg("a damaged file after a crash was opened");
	assert_explained(&err);
	str_done(&bytes);
	str_done(&base);
}

static void a_clean_end_leaves_no_log(void **ctx)
{
	struct ward *ward = *ctx;
	char *log = xasprintf("%s-wal", ward->path), *index = xasprintf("%s-shm", ward->path);
	struct stat st;
	bool is_new;

	assert_int_equal(access(log, F_OK), -1);
	assert_int_equal(access(index, F_OK), -1);
	/* Who only looks may leave an empty one. */
	state_close(state_open(ward->f.dir, true, &is_new, &ward->f.error));
	assert_true(stat(log, &st) < 0 || st.st_size == 0);
	fixture_reopen(&ward->f);
	state_close(ward->f.state);
	ward->f.state = NULL;
	assert_int_equal(access(log, F_OK), -1);
	assert_int_equal(access(index, F_OK), -1);
	free(log);
	free(index);
}

/* However long a haul is, the log stays bounded, and is given back at the end. */
static void a_long_haul_has_a_short_log(void **ctx)
{
	struct ward *ward = *ctx;
	struct fixture *f = &ward->f;
	char *log = xasprintf("%s-wal", ward->path);
	off_t longest = 0;
	struct stat st;

	fixture_reopen(f);
	assert_int_equal(sql_script(f->state, "PRAGMA synchronous = OFF; CREATE TABLE filler (bytes)", &f->error), 0);
	for (unsigned i = 0; i < 120; i++) {
		assert_int_equal(
			sql_script(f->state, "INSERT INTO filler VALUES (randomblob(400000)); DELETE FROM filler WHERE rowid % 2", &f->error), 0);
		assert_int_equal(stat(log, &st), 0);
		longest = st.st_size > longest ? st.st_size : longest;
	}
	assert_true(longest > 4 * 1024 * 1024); /* the test would notice nothing with less */
	assert_true(longest < 24 * 1024 * 1024);
	state_close(f->state);
	f->state = NULL;
	assert_int_equal(access(log, F_OK), -1);
	free(log);
}

/* While it is open somebody writes into it: the next call that meets this says so, and changes nothing. */
static void damage_under_way(void **ctx)
{
	struct ward *ward = *ctx;
	struct fixture *f = &ward->f;
	struct str zeros = {0};
	int fd, result;

	fixture_reopen(f);
	memset(str_reserve(&zeros, ward->whole.len), 0x5a, ward->whole.len);
	fd = open(ward->path, O_WRONLY);
	assert_true(pwrite(fd, zeros.data, ward->whole.len - 3 * PAGE, 3 * PAGE) > 0);
	close(fd);
	sqlite3_db_release_memory(f->state->db);
	assert_int_equal(state_begin(f->state, &f->error), 0);
	result = sql_script(f->state, "UPDATE message SET attempts = attempts + 1; UPDATE delivery SET attempts = attempts + 1", &f->error);
	assert_int_equal(result, -1);
	assert_explained(&f->error);
	state_rollback(f->state);
	state_close(f->state);
	f->state = NULL;
	str_done(&zeros);
}

/* -- a disk that cannot be written; in a mount of the test's own -- */

enum { REFUSED_WELL = 0, WENT_WRONG = 1, NOT_HERE = 77 };

static int open_read_only_disk(struct ward *ward)
{
	struct error err = {0};
	bool is_new = false;

	if (unshare(CLONE_NEWNS | (geteuid() != 0 ? CLONE_NEWUSER : 0)) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount(ward->f.dir, ward->f.dir, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, ward->f.dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		return NOT_HERE;
	if (state_open(ward->f.dir, false, &is_new, &err) != NULL || is_new)
		return WENT_WRONG;
	print_message("%s\n", err.text);
	return err.kind == ERR_LOCAL && err.scope == SCOPE_PROGRAM && strstr(err.text, "check owner, modes and mount options") != NULL ? REFUSED_WELL
																       : WENT_WRONG;
}

static void on_a_read_only_disk(void **ctx)
{
	struct ward *ward = *ctx;
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(open_read_only_disk(ward));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NOT_HERE)
		skip();
	assert_int_equal(WEXITSTATUS(status), REFUSED_WELL);
	assert_false(look(ward));
}

int main(void)
{
#define WARD_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		WARD_TEST(cut_short_at_every_page),
		WARD_TEST(zeroed_anywhere),
		WARD_TEST(bits_turned_over),
		WARD_TEST(log_cut_or_changed),
		WARD_TEST(looked_through_after_a_crash),
		WARD_TEST(a_clean_end_leaves_no_log),
		WARD_TEST(a_long_haul_has_a_short_log),
		WARD_TEST(damage_under_way),
		WARD_TEST(on_a_read_only_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
