/* test-state-marker.c - what tells that mail was hauled before: a state that is lost, or another's, or an older one. */
#include "tests/unit/state-fixture.h"

#include "state/marker.h"

/* A configuration in etc/, a Maildir in mail/, and the fixture's state. */
struct scene {
	struct fixture f;
	struct config config;
	struct dest_config destinations[2];
	char file[80], mail[80], missing[80], database[80];
};

static int begin(void **ctx)
{
	static char name[] = "home";
	struct scene *scene = xcalloc(1, sizeof(*scene));
	const char *parent = scene->f.parent;
	char etc[80];

	fixture_begin(&scene->f, PROTOCOL_IMAP);
	snprintf(etc, sizeof(etc), "%s/etc", parent);
	snprintf(scene->file, sizeof(scene->file), "%s/etc/config.yaml", parent);
	snprintf(scene->mail, sizeof(scene->mail), "%s/mail", parent);
	snprintf(scene->missing, sizeof(scene->missing), "%s/not/there", parent);
	snprintf(scene->database, sizeof(scene->database), "%s/state.db", scene->f.dir);
	assert_int_equal(mkdir(etc, 0700), 0);
	assert_int_equal(mkdir(scene->mail, 0700), 0);
	scene->destinations[0] = (struct dest_config){.name = name, .kind = DEST_MAILDIR, .path = scene->missing};
	scene->destinations[1] = (struct dest_config){.name = name, .kind = DEST_MAILDIR, .path = scene->mail};
	scene->config = (struct config){.file = scene->file, .state_dir = scene->f.dir, .destinations = scene->destinations, .destination_count = 2};
	*ctx = scene;
	return 0;
}

static int end(void **ctx)
{
	struct scene *scene = *ctx;

	fixture_end(&scene->f);
	free(scene);
	return 0;
}

/* How many files of a directory have this in their name. */
static int count(struct scene *scene, const char *dir, const char *word)
{
	char *command = xasprintf("exit $(ls -A '%s/%s' | grep -c -e '%s')", scene->f.parent, dir, word);
	int status = system(command);

	free(command);
	return status >> 8;
}

static void look_at_all(struct markers *markers, const struct config *config)
{
	markers_init(markers, config);
	for (size_t i = 0; i < markers->count; i++)
		marker_look(&markers->list[i]);
}

/* As the supervisor does, in one process. */
static void marker_write_all(struct scene *scene, int64_t now)
{
	struct marker_note note;
	struct markers markers;

	assert_int_equal(marker_compose(&scene->config, scene->f.state, &note, &scene->f.error), 0);
	look_at_all(&markers, &scene->config);
	for (size_t i = 0; i < markers.count; i++)
		if (!marker_is_current(&markers.list[i], &note, now))
			marker_write(&markers.list[i], note.text);
	markers_done(&markers);
}

static int compare(struct scene *scene, bool *ret_behind)
{
	struct markers markers;
	int result;

	look_at_all(&markers, &scene->config);
	result = markers_compare(&markers, &scene->config, scene->f.state, ret_behind, &scene->f.error);
	markers_done(&markers);
	return result;
}

static void write_markers(struct scene *scene)
{
	plan_uids(&scene->f, 1, 5, 1);
	marker_write_all(scene, clock_wall_s());
}

static void lose(struct scene *scene, const char *what)
{
	char *command = xasprintf("cd '%s' && rm -rf %s", scene->f.parent, what);

	state_close(scene->f.state);
	scene->f.state = NULL;
	assert_int_equal(system(command), 0);
	free(command);
}

static void assert_missed(struct scene *scene, const char *evidence)
{
	struct error err = {0};

	assert_int_equal(markers_expect_state(&scene->config, &err), -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_PROGRAM);
	if (strstr(err.text, "state.db is missing") == NULL || strstr(err.text, evidence) == NULL ||
		strstr(err.text, "restore it from a backup") == NULL || strstr(err.text, "--accept-duplicates") == NULL)
		fail_msg("%s", err.text);
}

static void a_first_run(void **ctx)
{
	struct scene *scene = *ctx;
	bool behind = true;

	assert_int_equal(count(scene, "state", "mailhaul"), 0);
	assert_int_equal(markers_expect_state(&scene->config, &scene->f.error), 0);
	assert_int_equal(compare(scene, &behind), 0);
	assert_false(behind);
	lose(scene, "state");
	assert_int_equal(markers_expect_state(&scene->config, &scene->f.error), 0);
}

static void in_three_places(void **ctx)
{
	struct scene *scene = *ctx;
	bool behind = true;

	write_markers(scene);
	assert_int_equal(count(scene, "state", "^mailhaul-state-"), 1);
	assert_int_equal(count(scene, "etc", "^\\.mailhaul-state-"), 1);
	assert_int_equal(count(scene, "mail", "^mailhaul-state-"), 1);
	assert_int_equal(access(scene->missing, F_OK), -1);
	assert_int_equal(markers_expect_state(&scene->config, &scene->f.error), 0);
	assert_int_equal(compare(scene, &behind), 0);
	assert_false(behind);
}

static const struct {
	const char *lost, *evidence;
} losses[] = {
	{"state/state.db", "/state/mailhaul-state-"},
	{"state/state.db state/mailhaul-state-*", "/etc/.mailhaul-state-"},
	{"state", "/etc/.mailhaul-state-"},
	{"state etc/.mailhaul-state-*", "/mail/mailhaul-state-"},
	{"state/state.db state/mailhaul* etc/.mailhaul* mail/mailhaul*", "/state/reserve"},
	{"state/state.db state/reserve state/mailhaul* etc/.mailhaul* mail/mailhaul*; touch state/lock.isp", "/state/lock.isp"},
	{"state/state.db state/reserve state/mailhaul* etc/.mailhaul* mail/mailhaul*; touch state/state.db-wal", "/state/state.db-wal"},
};

static void each_tells_of_a_lost_state(void **ctx)
{
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		struct scene *scene;

		end(ctx);
		begin(ctx);
		scene = *ctx;
		write_markers(scene);
		print_message("%s\n", losses[i].lost);
		lose(scene, losses[i].lost);
		assert_missed(scene, losses[i].evidence);
	}
}

/* Another configuration with a state of its own, beside this one and into the same Maildir. */
static void two_configurations_side_by_side(void **ctx)
{
	struct scene *scene = *ctx;
	struct config other = scene->config;
	char dir[80];

	snprintf(dir, sizeof(dir), "%s/other-state", scene->f.parent);
	other.state_dir = dir;
	write_markers(scene);
	assert_int_equal(markers_expect_state(&other, &scene->f.error), 0);
	lose(scene, "state");
	assert_int_equal(markers_expect_state(&other, &scene->f.error), 0);
	assert_missed(scene, "/etc/.mailhaul-state-");
}

static void a_state_of_another_machine(void **ctx)
{
	struct scene *scene = *ctx;
	bool behind;

	write_markers(scene);
	lose(scene, "state/state.db");
	fixture_reopen(&scene->f);
	assert_int_equal(markers_expect_state(&scene->config, &scene->f.error), 0);
	assert_int_equal(compare(scene, &behind), -1);
	assert_int_equal(scene->f.error.kind, ERR_LOCAL);
	assert_non_null(strstr(scene->f.error.text, "is not the one that"));
	assert_non_null(strstr(scene->f.error.text, "--accept-duplicates"));
	/* Once that is accepted and mail is hauled, it is the right one. */
	marker_write_all(scene, clock_wall_s());
	assert_int_equal(compare(scene, &behind), 0);
}

static void an_older_copy_of_our_own(void **ctx)
{
	struct scene *scene = *ctx;
	bool behind = false;

	write_markers(scene);
	assert_int_equal(sql_script(scene->f.state, "UPDATE sqlite_sequence SET seq = 4", &scene->f.error), 0);
	assert_int_equal(compare(scene, &behind), 0);
	assert_true(behind);
	marker_write_all(scene, clock_wall_s());
	assert_int_equal(compare(scene, &behind), 0);
	assert_false(behind);
}

static ino_t inode_of(struct scene *scene, const char *name)
{
	char *pattern = xasprintf("%s/%s", scene->f.parent, name), line[200] = "";
	char *command = xasprintf("stat -c %%i %s", pattern);
	FILE *from = popen(command, "r");
	ino_t inode;

	assert_non_null(fgets(line, sizeof(line), from));
	inode = (ino_t)strtoul(line, NULL, 10);
	pclose(from);
	free(command);
	free(pattern);
	return inode;
}

/* A poll with mail every few minutes is no reason to write three files. */
static void written_once_a_day(void **ctx)
{
	struct scene *scene = *ctx;
	int64_t now = clock_wall_s();
	ino_t first;

	write_markers(scene);
	first = inode_of(scene, "mail/mailhaul-state-*");
	marker_write_all(scene, now + 1);
	assert_int_equal(inode_of(scene, "mail/mailhaul-state-*"), first);
	marker_write_all(scene, now + 2 * DAY);
	assert_int_not_equal(inode_of(scene, "mail/mailhaul-state-*"), first);
}

static void places_that_cannot_be_written(void **ctx)
{
	struct scene *scene = *ctx;
	char *command =
		xasprintf("cd '%s' && mkdir target && rmdir mail && echo no directory >mail && rm -rf etc && ln -s nowhere etc", scene->f.parent);
	bool behind;

	assert_int_equal(system(command), 0);
	free(command);
	write_markers(scene);
	assert_int_equal(count(scene, "state", "^mailhaul-state-"), 1);
	assert_int_equal(compare(scene, &behind), 0);
}

/* Damaged, it still tells that there was something. A symbolic link tells nothing. */
static void markers_that_are_not_ours(void **ctx)
{
	struct scene *scene = *ctx;
	bool behind;
	char *command = xasprintf("cd '%s' && for f in state/mailhaul-state-* mail/mailhaul-state-*; do echo nonsense >$f; done", scene->f.parent);

	write_markers(scene);
	assert_int_equal(system(command), 0);
	free(command);
	assert_int_equal(compare(scene, &behind), 0);
	assert_false(behind);
	lose(scene, "state etc/.mailhaul*");
	assert_missed(scene, "/mail/mailhaul-state-");
	command = xasprintf("cd '%s/mail' && f=$(ls) && rm $f && ln -s /etc/passwd $f", scene->f.parent);
	assert_int_equal(system(command), 0);
	free(command);
	assert_int_equal(markers_expect_state(&scene->config, &scene->f.error), 0);
}

/* What cannot be looked at may say that there was a state, but not which. */
static void one_that_does_not_answer(void **ctx)
{
	struct scene *scene = *ctx;
	struct error *err = &scene->f.error;
	struct markers markers;
	bool behind = true;

	look_at_all(&markers, &scene->config);
	for (size_t i = 0; i < markers.count; i++)
		if (markers.list[i].in_maildir)
			markers.list[i].sight = MARKER_UNSEEN;
	assert_int_equal(markers_expect(&markers, &scene->config, err), 0);
	assert_int_equal(markers_compare(&markers, &scene->config, scene->f.state, &behind, err), 0);
	assert_false(behind);
	lose(scene, "state");
	assert_int_equal(markers_expect(&markers, &scene->config, err), -1);
	assert_int_equal(err->kind, ERR_LOCAL);
	assert_non_null(strstr(err->text, "does not answer: wait until it does, or run once with --accept-duplicates"));
	markers_done(&markers);
}

int main(void)
{
#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(a_first_run),
		SCENE_TEST(in_three_places),
		SCENE_TEST(each_tells_of_a_lost_state),
		SCENE_TEST(two_configurations_side_by_side),
		SCENE_TEST(a_state_of_another_machine),
		SCENE_TEST(an_older_copy_of_our_own),
		SCENE_TEST(written_once_a_day),
		SCENE_TEST(places_that_cannot_be_written),
		SCENE_TEST(one_that_does_not_answer),
		SCENE_TEST(markers_that_are_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
