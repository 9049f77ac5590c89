/* test-maildir-adopt.c - what a Maildir holds from before a loss is recognised by its names: each file once, only ours, only those of before. */
#include "dest/maildir-adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "dest/maildir.h"

#define KEY "0123456789abcdef"
#define LOSS 1800000000

struct place {
	char root[40];
	int new_fd, cur_fd;
	struct adoption adoption;
};

static int begin(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	int root;

	strcpy(place->root, "/tmp/mailhaul-adopt-XXXXXX");
	assert_non_null(mkdtemp(place->root));
	root = open(place->root, O_RDONLY | O_DIRECTORY);
	assert_int_equal(mkdirat(root, "new", 0700), 0);
	assert_int_equal(mkdirat(root, "cur", 0700), 0);
	place->new_fd = openat(root, "new", O_RDONLY | O_DIRECTORY);
	place->cur_fd = openat(root, "cur", O_RDONLY | O_DIRECTORY);
	place->adoption.before = LOSS;
	close(root);
	*state = place;
	return 0;
}

static int end(void **state)
{
	struct place *place = *state;
	char *command = xasprintf("rm -r %s", place->root);

	adoption_done(&place->adoption);
	close(place->new_fd);
	close(place->cur_fd);
	assert_int_equal(system(command), 0);
	free(command);
	free(place);
	return 0;
}

static void put(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* A hash that begins with eight times this byte. */
static int take(struct place *place, uint8_t byte)
{
	uint8_t hash[32] = {0};

	memset(hash, byte, 8);
	return adoption_take(&place->adoption, place->new_fd, place->cur_fd, hash);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool ours;
		int64_t seconds;
		uint64_t hash;
	} cases[] = {
		{"17." KEY ".00000000000000ff.host", true, 17, 255},
		{"17." KEY ".fedcba9876543210.host.example:2,RS", true, 17, UINT64_C(0xfedcba9876543210)},
		{"17." KEY ".00000000000000ff", false, 0, 0},
		{"17." KEY ".0000000000000ff.host", false, 0, 0},
		{"17." KEY ".00000000000000ff0.host", false, 0, 0},
		{"17." KEY ".00000000000000FF.host", false, 0, 0},
		{"17.M1P2.host", false, 0, 0},
		{"." KEY ".00000000000000ff.host", false, 0, 0},
		{"9999999999999999999." KEY ".00000000000000ff.host", false, 0, 0},
		{"", false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t seconds;
		uint64_t hash;

		assert_int_equal(maildir_parse_name(cases[i].name, &seconds, &hash), cases[i].ours);
		if (cases[i].ours) {
			assert_int_equal(seconds, cases[i].seconds);
			assert_true(hash == cases[i].hash);
		}
	}
}

static void each_file_answers_once(void **state)
{
	struct place *place = *state;

	put(place->new_fd, "17." KEY ".1111111111111111.host");
	put(place->new_fd, "18." KEY ".2222222222222222.host");
	put(place->cur_fd, "19." KEY ".1111111111111111.host:2,S");
	put(place->cur_fd, "20." KEY ".ffffffffffffffff.host:2,");
	put(place->cur_fd, "notes");
	assert_int_equal(take(place, 0x11), 1);
	assert_int_equal(take(place, 0x33), 0);
	assert_int_equal(take(place, 0x11), 1);
	assert_int_equal(take(place, 0x11), 0);
	assert_int_equal(take(place, 0xff), 1);
	assert_int_equal(take(place, 0x22), 1);
	assert_int_equal(take(place, 0x22), 0);
	assert_int_equal(take(place, 0), 0);
}

static void only_from_before_the_loss(void **state)
{
	struct place *place = *state;

	put(place->new_fd, "1800000000." KEY ".1111111111111111.host");
	put(place->new_fd, "1800000001." KEY ".2222222222222222.host");
	assert_int_equal(take(place, 0x22), 0);
	assert_int_equal(take(place, 0x11), 1);
}

static void nothing_without_a_loss(void **state)
{
	struct place *place = *state;

	place->adoption.before = 0;
	put(place->new_fd, "17." KEY ".1111111111111111.host");
	assert_int_equal(take(place, 0x11), 0);
}

static void an_empty_maildir(void **state)
{
	assert_int_equal(take(*state, 0x11), 0);
}

/* Rather no mail than twice. */
static void one_that_cannot_be_read(void **state)
{
	struct place *place = *state;
	int whole = place->cur_fd;

	put(place->new_fd, "17." KEY ".1111111111111111.host");
	place->cur_fd = open("/dev/null", O_RDONLY);
	assert_int_equal(take(place, 0x11), -1);
	assert_int_equal(errno, ENOTDIR);
	close(place->cur_fd);
	place->cur_fd = whole;
	assert_int_equal(take(place, 0x11), 1); /* read again, and nothing is counted twice */
	assert_int_equal(take(place, 0x11), 0);
}

int main(void)
{
#define PLACE_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		PLACE_TEST(each_file_answers_once),
		PLACE_TEST(only_from_before_the_loss),
		PLACE_TEST(nothing_without_a_loss),
		PLACE_TEST(an_empty_maildir),
		PLACE_TEST(one_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
