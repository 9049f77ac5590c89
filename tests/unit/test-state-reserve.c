#include "tests/unit/state-fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

/* The disk is full as long as the reserve stands (FULL_UNTIL_RELEASED), or whatever anybody does (FULL). SQLite lets its system calls be replaced
 * for such tests, below our own VFS. */
static enum { ROOM, FULL_UNTIL_RELEASED, FULL } disk;
static int disk_error;
static char reserve_path[80];
static ssize_t (*true_pwrite)(int, const void *, size_t, off_t);

static ssize_t pwrite_on_full_disk(int fd, const void *bytes, size_t len, off_t offset)
{
	if (disk == FULL || (disk == FULL_UNTIL_RELEASED && access(reserve_path, F_OK) == 0)) {
		errno = disk_error;
		return -1;
	}
	return true_pwrite(fd, bytes, len, offset);
}

/* SQLite calls one or the other, as it was compiled. */
static const char *const calls[] = {"pwrite", "pwrite64"};

static int begin(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	disk = ROOM;
	fixture_begin(f, PROTOCOL_IMAP);
	snprintf(reserve_path, sizeof(reserve_path), "%s/reserve", f->dir);
	true_pwrite = pwrite;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (vfs->xGetSystemCall(vfs, calls[i]) != NULL)
			assert_int_equal(vfs->xSetSystemCall(vfs, calls[i], (sqlite3_syscall_ptr)pwrite_on_full_disk), SQLITE_OK);
	*ctx = f;
	return 0;
}

static int end(void **ctx)
{
	struct fixture *f = *ctx;
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

	disk = ROOM;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		vfs->xSetSystemCall(vfs, calls[i], NULL);
	fixture_end(f);
	free(f);
	return 0;
}

static void an_outcome_is_recorded_on_a_full_disk(void **ctx)
{
	static const int errors[] = {ENOSPC, EDQUOT};
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 2, 1);

	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++) {
		assert_int_equal(intend(f, id + i, 1, 1), 0);
		assert_int_equal(access(reserve_path, F_OK), 0);
		assert_false(state_is_short_of_room(f->state));
		disk = FULL_UNTIL_RELEASED;
		disk_error = errors[i];
		assert_int_equal(outcome(f, id + i, 0, VERDICT_ACCEPTED, SCOPE_MESSAGE), 0);
		assert_int_equal(access(reserve_path, F_OK), -1);
		assert_true(state_is_short_of_room(f->state));
		disk = ROOM;
		fixture_reopen(f);
		assert_int_equal(stage_of(f, id + i), STAGE_DELIVERED);
		assert_int_equal(access(reserve_path, F_OK), 0); /* made again */
	}
}

static void a_disk_that_stays_full_undoes_all(void **ctx)
{
	struct fixture *f = *ctx;
	uint64_t id = plan_uids(f, 1, 1, 1);
	struct record record = {.kind = REC_INTENT, .id = id, .targets = 1, .size = 1, .when = START};

	disk = FULL;
	disk_error = ENOSPC;
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(state_apply(f->state, f->mailbox, &record, f->targets, ARRAY_SIZE(f->targets), f->now, &f->error), 0);
	assert_int_equal(state_commit(f->state, &f->error), -1);
	assert_int_equal(f->error.kind, ERR_LOCAL);
	assert_int_equal(f->error.code, ENOSPC);
	assert_non_null(strstr(f->error.text, "full"));
	assert_non_null(strstr(f->error.text, "make room"));
	state_rollback(f->state);
	assert_int_equal(stage_of(f, id), STAGE_OPEN);
	disk = ROOM;
	assert_int_equal(apply(f, &record), 0);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	fixture_reopen(f);
	assert_int_equal(stage_of(f, id), STAGE_INTENT);
	assert_int_equal(state_check(f->state, &f->error), 0);
}

static void a_checkpoint_does_not_spend_it(void **ctx)
{
	struct fixture *f = *ctx;

	plan_uids(f, 1, 200, 1);
	disk = FULL;
	disk_error = ENOSPC;
	state_checkpoint(f->state);
	assert_int_equal(access(reserve_path, F_OK), 0);
	disk = ROOM;
	assert_int_equal(state_check(f->state, &f->error), 0);
}

static void a_reserve_of_another_size_is_made_anew(void **ctx)
{
	struct fixture *f = *ctx;
	struct stat st;

	assert_int_equal(truncate(reserve_path, 10), 0);
	fixture_reopen(f);
	assert_int_equal(stat(reserve_path, &st), 0);
	assert_int_equal(st.st_size, RESERVE_BYTES);
}

/* What a full disk undoes must not leave a transaction behind, in which all that follows would fail. */
static void a_part_that_cannot_be_written_is_undone(void **ctx)
{
	static char name[] = "bert";
	struct fixture *f = *ctx;
	struct mailbox_config config = f->config;
	struct mailbox_state mailbox;

	config.name = name;
	disk = FULL;
	disk_error = ENOSPC;
	assert_int_equal(state_mailbox_open(f->state, NULL, &config, &mailbox, &f->error), -1);
	assert_non_null(strstr(f->error.text, "make room"));
	disk = ROOM;
	assert_int_equal(state_begin(f->state, &f->error), 0);
	assert_int_equal(state_commit(f->state, &f->error), 0);
	assert_int_equal(state_mailbox_open(f->state, NULL, &config, &mailbox, &f->error), 0);
}

/* Here there is room only below the largest file that we may write. */
static void nothing_begins_without_room_for_it(void **ctx)
{
	const struct rlimit small = {.rlim_cur = RESERVE_BYTES / 2, .rlim_max = RLIM_INFINITY};
	struct fixture *f = *ctx;
	struct rlimit before;
	bool is_new;

	state_close(f->state);
	assert_int_equal(unlink(reserve_path), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	f->state = state_open(f->dir, false, &is_new, &f->error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_null(f->state);
	assert_int_equal(f->error.kind, ERR_LOCAL);
	assert_non_null(strstr(f->error.text, "make room"));
	assert_int_equal(access(reserve_path, F_OK), -1);
	fixture_reopen(f);
	assert_int_equal(access(reserve_path, F_OK), 0);
}

/* What there is can be looked at: nobody has it open, and for the file that SQLite would like to make there is no room. */
static void a_full_disk_can_be_read(void **ctx)
{
	struct fixture *f = *ctx;
	bool is_new;

	plan_uids(f, 1, 3, 1);
	state_close(f->state);
	disk = FULL;
	disk_error = ENOSPC;
	f->state = state_open(f->dir, true, &is_new, &f->error);
	if (f->state == NULL)
		fail_msg("%s", f->error.text);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 3);
	state_close(f->state);
	disk = ROOM;
	f->state = state_open(f->dir, false, &is_new, &f->error); /* and goes on when there is room */
	assert_non_null(f->state);
	assert_int_equal(number(f, "SELECT count(*) FROM message"), 3);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_outcome_is_recorded_on_a_full_disk, begin, end),
		cmocka_unit_test_setup_teardown(a_disk_that_stays_full_undoes_all, begin, end),
		cmocka_unit_test_setup_teardown(a_checkpoint_does_not_spend_it, begin, end),
		cmocka_unit_test_setup_teardown(a_reserve_of_another_size_is_made_anew, begin, end),
		cmocka_unit_test_setup_teardown(a_part_that_cannot_be_written_is_undone, begin, end),
		cmocka_unit_test_setup_teardown(nothing_begins_without_room_for_it, begin, end),
		cmocka_unit_test_setup_teardown(a_full_disk_can_be_read, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
