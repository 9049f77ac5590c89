/* test-maildir.c - a Maildir in a temporary directory: content and names, the group and its syncs, what is there after a crash, and what others may have
 * put in our way. */
#include "dest/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/str.h"
#include "dest/dest.h"
#include "mail/message.h"
#include "tests/lib/delivery.h"

#define MESSAGE "Subject: x\r\n\r\nhello\r\n"
#define PREPEND_LOCAL "X-Mailhaul-Id: 1\n"
#define MESSAGE_LOCAL PREPEND_LOCAL "Subject: x\n\nhello\n"

static char root[64]; /* of the running test */
static char path[100];
static int64_t adopt_before; /* of whatever is opened next */

/* In the place of libc's: it does the same, and notes which path it was done to, a line each. */
static struct str synced;

int fsync(int fd)
{
	char link[40], name[200];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, sizeof(name));
	str_add(&synced, name, len > 0 ? (size_t)len : 0);
	str_add_byte(&synced, '\n');
	return (int)syscall(SYS_fsync, fd);
}

static void assert_synced(const char *name)
{
	char line[200];

	snprintf(line, sizeof(line), "%s\n", name);
	assert_non_null(strstr(str_text(&synced), line));
}

static int make_root(void **state)
{
	(void)state;
	str_done(&synced);
	strcpy(root, "/tmp/mailhaul-test-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/Maildir", root);
	return 0;
}

static int remove_one(const char *name, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(name);
}

static int remove_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Path of something in the Maildir; valid until the fourth call from now. */
static const char *at(const char *part, const char *name)
{
	static char buffers[4][400];
	static unsigned next;
	char *buffer = buffers[next++ % 4];

	snprintf(buffer, sizeof(buffers[0]), "%s/%s%s%s", path, part, name[0] != '\0' ? "/" : "", name);
	return buffer;
}

static unsigned count_in(const char *part)
{
	DIR *dir = opendir(at(part, ""));
	const struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static void expect_file(const char *name, const char *bytes, size_t len)
{
	struct str got = {0};
	int fd = open(name, O_RDONLY | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_int_equal(fs_read_all(fd, 1 << 20, &got), 0);
	close(fd);
	assert_int_equal(got.len, len);
	assert_memory_equal(str_text(&got), bytes, len);
	str_done(&got);
}

static void make_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool is_there(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static struct dest *open_with(const int fds[3], const char *host)
{
	static char name[] = "local";
	static struct dest_config config = {.name = name, .kind = DEST_MAILDIR, .path = path};
	struct dest *dest = dest_new(&(struct dest_context){
		.wire_fd = -1, .config = &config, .host = host, .tmp_fd = fds[0], .new_fd = fds[1], .cur_fd = fds[2], .adopt_before = adopt_before});
	struct error err;

	assert_int_equal(dest_open(dest, &err), 0);
	return dest;
}

static struct dest *open_maildir(void)
{
	struct error err = {0};
	struct maildir_sight sight;
	int fds[3];

	if (maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err) < 0)
		fail_msg("%s", err.text);
	return open_with(fds, "me.example");
}

static void done(struct dest *dest)
{
	struct error err;

	dest_close(dest, &err);
	dest_free(dest);
}

static struct delivery *message_of(const char *bytes, size_t len)
{
	struct delivery *delivery = delivery_new(bytes, len, "", "");

	delivery->intent_at = clock_wall_s();
	return delivery;
}

static struct delivery *message(void)
{
	return message_of(MESSAGE, strlen(MESSAGE));
}

static void expect_verdict(struct dest *dest, struct delivery *delivery, enum verdict verdict)
{
	struct delivery *got = NULL;
	struct error err;

	assert_int_equal(dest_verdicts(dest, &got, &err), 1);
	assert_ptr_equal(got, delivery);
	assert_int_equal(delivery->verdict, verdict);
}

static void deliver(struct dest *dest, struct delivery *delivery)
{
	struct error err;
	struct delivery *got;

	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	assert_int_equal(dest_sync(dest, &err), 0);
	assert_int_equal(dest_offer(dest, delivery, NULL, &err), 0);
	assert_int_equal(dest_verdicts(dest, &got, &err), 0); /* not before new/ is synced */
	assert_int_equal(dest_flush(dest, &err), 0);
	expect_verdict(dest, delivery, VERDICT_ACCEPTED);
}

static void prepare_and_sync(struct dest *dest, struct delivery *delivery)
{
	struct error err;

	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	assert_int_equal(dest_sync(dest, &err), 0);
}

/* -- directories -- */

static void makes_what_is_missing(void **state)
{
	static const char *const parts[] = {"", "tmp", "new", "cur"};
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		if (round == 2)
			assert_int_equal(rmdir(at("cur", "")), 0);
		assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
		for (unsigned i = 0; i < 3; i++)
			close(fds[i]);
		for (unsigned i = 0; i < 4; i++) {
			struct stat st;

			assert_int_equal(lstat(at(parts[i], ""), &st), 0);
			assert_int_equal(st.st_mode, S_IFDIR | 0700);
		}
	}
}

static void expect_refused(const char *maildir, enum error_kind kind, const char *text)
{
	struct error err = {0};
	struct maildir_sight sight;
	int fds[3];

	assert_int_equal(maildir_open_directories(maildir, MAILDIR_UNKNOWN, fds, &sight, &err), -1);
	if (strstr(err.text, text) == NULL)
		fail_msg("got: %s", err.text);
	assert_int_equal(err.kind, kind);
	assert_int_equal(err.scope, SCOPE_DESTINATION);
}

static void refuses_what_is_no_maildir(void **state)
{
	static const char *const parts[] = {"tmp", "new", "cur"};
	char other[100];

	(void)state;
	snprintf(other, sizeof(other), "%s/missing/Maildir", root);
	expect_refused(other, ERR_CONFIG, "Maildir: parent directory does not exist; create it or correct maildir:");
	assert_int_equal(mkdir(path, 0700), 0);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(other, sizeof(other), "%s/elsewhere%u", root, i);
		assert_int_equal(mkdir(other, 0700), 0);
		rmdir(at(parts[i], ""));
		assert_int_equal(symlink(other, at(parts[i], "")), 0);
		expect_refused(path, ERR_CONFIG, "is not a directory (a symbolic link is not followed)");
		assert_int_equal(unlink(at(parts[i], "")), 0);
		make_file(at(parts[i], ""), "x");
		expect_refused(path, ERR_CONFIG, "is not a directory");
		assert_int_equal(unlink(at(parts[i], "")), 0);
	}
	snprintf(other, sizeof(other), "%s/file", root);
	make_file(other, "x");
	expect_refused(other, ERR_CONFIG, "is not a directory; correct maildir:");
}

static void refuses_the_maildir_of_another_user(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		expect_refused("/", ERR_CONFIG, "lmtp");
		return;
	}
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	expect_refused(path, ERR_CONFIG, "belongs to user 12345, not to the user that runs mailhaul (0); deliver to other users by lmtp:");
}

static void clears_its_own_old_files(void **state)
{
	static const struct {
		const char *name;
		bool ours;
	} cases[] = {
		{"1700000000.0123456789abcdef.fedcba9876543210.host", true},
		{"1.0123456789abcdef.fedcba9876543210.h~", true},
		{"1700000000.M1P2.host", false},
		{"1700000000.0123456789abcdef.host", false},
		{"1700000000.0123456789abcdeg.fedcba9876543210.host", false},
		{"1700000000.0123456789abcdef0.fedcba9876543210.host", false},
		{".0123456789abcdef.fedcba9876543210.host", false},
		{"0.0123456789abcdef.0000000000000000.arriving", true},
		{"draft", false},
	};
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		make_file(at("tmp", cases[i].name), "x");
	maildir_clear_tmp(fds[0], clock_wall_s() + MAILDIR_STALE_S - 60);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(is_there(at("tmp", cases[i].name)));
	maildir_clear_tmp(fds[0], clock_wall_s() + MAILDIR_STALE_S + 60);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(is_there(at("tmp", cases[i].name)), !cases[i].ours);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

/* -- delivery -- */

static void delivers(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	char name[160], hash[17];
	struct stat st;

	(void)state;
	delivery->intent_at = 1700000000;
	delivery->haul->date = 1600000000;
	deliver(dest, delivery);
	snprintf(name, sizeof(name), "1700000000.0123456789abcdef.%s.me.example", hex_encode(hash, delivery->haul->message->hash, 8));
	assert_string_equal(delivery->name, name);
	expect_file(at("new", name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	assert_int_equal(lstat(at("new", name), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_mtim.tv_sec, 1600000000);
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

static void spells_host_names_as_maildir_does(void **state)
{
	static const struct {
		const char *host, *end;
	} cases[] = {
		{"a/b:c", ".a\\057b\\072c"},
		{"../../etc", "...\\057..\\057etc"},
		{"", "."},
	};
	char host[300];

	(void)state;
	for (size_t i = 0; i <= sizeof(cases) / sizeof(cases[0]); i++) {
		bool last = i == sizeof(cases) / sizeof(cases[0]);
		struct delivery *delivery = message();
		struct error err;
		struct dest *dest;
		struct maildir_sight sight;
		int fds[3];

		memset(host, ':', sizeof(host) - 1);
		host[sizeof(host) - 1] = '\0';
		assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
		dest = open_with(fds, last ? host : cases[i].host);
		deliver(dest, delivery);
		if (!last)
			assert_string_equal(delivery->name + strlen(delivery->name) - strlen(cases[i].end), cases[i].end);
		assert_true(is_there(at("new", delivery->name)));
		assert_int_equal(unlink(at("new", delivery->name)), 0);
		done(dest);
		delivery_free(delivery);
	}
}

static void keeps_every_byte_but_line_ends(void **state)
{
	static const struct {
		const char *in;
		size_t in_len;
		const char *out;
		size_t out_len;
	} cases[] = {
#define BYTES_OF(in, out) {in, sizeof(in) - 1, PREPEND_LOCAL out, sizeof(PREPEND_LOCAL out) - 1}
		BYTES_OF("", ""),
		BYTES_OF("a", "a"),
		BYTES_OF("a\nb\r\n", "a\nb\n"),
		BYTES_OF("a\rb\r", "a\rb\r"),
		BYTES_OF("\r\r\n\n\r", "\r\n\n\r"),
		BYTES_OF("\0\xFF.\r\n.\r\n..\r\n", "\0\xFF.\n.\n..\n"),
		BYTES_OF("From x\r\n>From y\r\n", "From x\n>From y\n"),
#undef BYTES_OF
	};
	struct dest *dest = open_maildir();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = message_of(cases[i].in, cases[i].in_len);

		deliver(dest, delivery);
		expect_file(at("new", delivery->name), cases[i].out, cases[i].out_len);
		delivery_free(delivery);
	}
	done(dest);
}

/* -- while the message arrives -- */

#define BEGUN_NAME "0.0123456789abcdef.0000000000000000.arriving"

static struct delivery *begin(struct dest *dest)
{
	struct delivery *delivery = delivery_arriving(100, "", "");
	struct error err;

	delivery->intent_at = clock_wall_s();
	delivery_arrives(delivery, "Subject: x\r", 11);
	assert_int_equal(dest_begin(dest, delivery, &err), 0);
	delivery->begun = true;
	assert_int_equal(dest_feed(dest, delivery, &err), 0);
	assert_true(count_in("tmp") != 0);
	return delivery;
}

static void arrive(struct dest *dest, struct delivery *delivery)
{
	struct error err;

	delivery_arrives(delivery, "\n\r\nhel", 6);
	assert_int_equal(dest_feed(dest, delivery, &err), 0);
	delivery_arrives(delivery, "lo\r\n", 4);
	delivery_has_arrived(delivery);
}

static void goes_on_where_it_was_begun(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = begin(dest);
	struct stat st;

	(void)state;
	arrive(dest, delivery);
	delivery->haul->date = 1600000000;
	deliver(dest, delivery);
	expect_file(at("new", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	assert_int_equal(lstat(at("new", delivery->name), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_mtim.tv_sec, 1600000000);
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

/* What an intent in doubt rests on is there until the new file is durable, and then it is that one. */
static void what_was_begun_replaces_an_older_draft(void **state)
{
	struct delivery *older = message(), *delivery;
	struct dest *dest = open_maildir();
	struct error err;

	(void)state;
	prepare_and_sync(dest, older);
	done(dest);
	assert_int_equal(truncate(at("tmp", older->name), 0), 0);

	dest = open_maildir();
	delivery = delivery_arriving(100, "", "");
	delivery->intent_at = older->intent_at;
	delivery_arrives(delivery, MESSAGE, strlen(MESSAGE));
	assert_int_equal(dest_begin(dest, delivery, &err), 0);
	delivery->begun = true;
	delivery_has_arrived(delivery);
	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	assert_string_equal(delivery->name, older->name);
	expect_file(at("tmp", older->name), "", 0);
	assert_int_equal(dest_sync(dest, &err), 0);
	expect_file(at("tmp", older->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	assert_int_equal(count_in("tmp"), 1);
	assert_int_equal(dest_offer(dest, delivery, NULL, &err), 0);
	assert_int_equal(dest_flush(dest, &err), 0);
	expect_verdict(dest, delivery, VERDICT_ACCEPTED);
	expect_file(at("new", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	done(dest);
	delivery_free(older);
	delivery_free(delivery);
}

/* Given up, left by a session that ended, left by a crash: nothing of it counts as a delivery that was meant, and nothing is in the way of the next. */
static void what_was_begun_vanishes(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = begin(dest);
	enum resolution resolution;
	struct error err;

	(void)state;
	dest_discard(dest, delivery);
	assert_int_equal(count_in("tmp"), 0);
	delivery_free(delivery);

	delivery = begin(dest);
	done(dest);
	assert_int_equal(count_in("tmp"), 0);
	delivery_free(delivery);

	dest = open_maildir();
	delivery = begin(dest);
	assert_int_equal(dest_resolve(dest, delivery, delivery->message->hash, &resolution, &err), 0);
	assert_int_equal(resolution, RESOLVED_DELIVERED); /* moved on by a mail reader: this is no file of such an intent */
	assert_int_equal(link(at("tmp", BEGUN_NAME), at("cur", "left")), 0);
	done(dest);
	delivery_free(delivery);
	assert_int_equal(rename(at("cur", "left"), at("tmp", BEGUN_NAME)), 0);

	dest = open_maildir();
	delivery = begin(dest);
	arrive(dest, delivery);
	deliver(dest, delivery);
	expect_file(at("new", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

/* Not even a directory that cannot be removed. */
static void what_was_begun_is_not_mistaken(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery;

	(void)state;
	assert_int_equal(mkdir(at("tmp", BEGUN_NAME), 0700), 0);
	delivery = begin(dest);
	arrive(dest, delivery);
	deliver(dest, delivery);
	expect_file(at("new", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	assert_int_equal(rmdir(at("tmp", BEGUN_NAME)), 0);
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

/* CRLF becomes LF, a lone CR stays: said in another way than the program does. */
static void convert(struct str *out, const char *in, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (in[i] != '\r' || i + 1 == len || in[i + 1] != '\n')
			str_add_byte(out, in[i]);
}

/* Wherever in a long message what it is written in pieces of may end. */
static void keeps_every_byte_where_pieces_meet(void **state)
{
	static const char ends[][6] = {"\r\n", "\r\r\n", "\rx", "\r\n\r\n", "\r"};
	enum { PIECE = 32 * 1024 };
	struct dest *dest = open_maildir();

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		for (size_t filler = PIECE - strlen(PREPEND_LOCAL) - 6; filler <= PIECE - strlen(PREPEND_LOCAL) + 3; filler++) {
			struct str in = {0}, out = {0};
			struct delivery *delivery;

			memset(str_reserve(&in, 2 * PIECE), 'a', filler);
			in.len = filler;
			str_add_text(&in, ends[i]);
			memset(str_reserve(&in, PIECE), 'b', PIECE - strlen(ends[i]));
			in.len += PIECE - strlen(ends[i]);
			str_add_text(&in, ends[i]);
			str_add_text(&out, PREPEND_LOCAL);
			convert(&out, in.data, in.len);
			delivery = message_of(in.data, in.len);
			deliver(dest, delivery);
			expect_file(at("new", delivery->name), out.data, out.len);
			delivery_free(delivery);
			str_done(&in);
			str_done(&out);
		}
	}
	done(dest);
}

/* One and many: each file synced, or the file system at once. */
static void delivers_groups(void **state)
{
	struct dest *dest = open_maildir();
	unsigned total = 0;

	(void)state;
	for (unsigned size = 0; size <= 9; size++) {
		struct delivery *group[9];
		struct error err;

		for (unsigned i = 0; i < size; i++) {
			char text[20];

			snprintf(text, sizeof(text), "%u of %u\r\n", i, size);
			group[i] = message_of(text, strlen(text));
			assert_int_equal(dest_prepare(dest, group[i], &err), 0);
		}
		assert_int_equal(dest_sync(dest, &err), 0);
		assert_int_equal(count_in("tmp"), size);
		for (unsigned i = 0; i < size; i++)
			assert_int_equal(dest_offer(dest, group[i], NULL, &err), 0);
		assert_int_equal(dest_flush(dest, &err), 0);
		for (unsigned i = 0; i < size; i++) {
			expect_verdict(dest, group[i], VERDICT_ACCEPTED);
			delivery_free(group[i]);
		}
		total += size;
		assert_int_equal(count_in("new"), total);
		assert_int_equal(count_in("tmp"), 0);
	}
	done(dest);
}

static void gives_up_what_is_not_wanted(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	struct error err;

	(void)state;
	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	dest_discard(dest, delivery); /* before the sync */
	assert_int_equal(count_in("tmp"), 0);
	prepare_and_sync(dest, delivery);
	dest_discard(dest, delivery); /* and after it */
	assert_int_equal(count_in("tmp"), 0);
	prepare_and_sync(dest, delivery);
	delivery->haul->stage = HAUL_INTENDED; /* now a crash could ask what became of it */
	dest_discard(dest, delivery);
	assert_int_equal(count_in("tmp"), 1);
	delivery->haul->stage = HAUL_SPOOLED;
	delivery->doubtful = true; /* or one of earlier */
	prepare_and_sync(dest, delivery);
	dest_discard(dest, delivery);
	assert_int_equal(count_in("tmp"), 1);
	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	dest_discard(dest, delivery);
	assert_int_equal(count_in("tmp"), 1);
	expect_file(at("tmp", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	done(dest);
	delivery_free(delivery);
}

/* -- what others did -- */

static void is_content_with_what_is_there_already(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();

	(void)state;
	deliver(dest, delivery);
	deliver(dest, delivery);
	assert_int_equal(count_in("new"), 1);
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

static void expect_offer_refused(struct dest *dest, struct delivery *delivery, const char *text)
{
	struct error err;

	assert_int_equal(dest_offer(dest, delivery, NULL, &err), -1);
	if (strstr(err.text, text) == NULL)
		fail_msg("got: %s", err.text);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_DESTINATION);
	expect_verdict(dest, delivery, VERDICT_RETRACTED);
}

static void does_not_fall_for_planted_names(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	char outside[100];

	(void)state;
	snprintf(outside, sizeof(outside), "%s/outside", root);
	make_file(outside, "mine");
	prepare_and_sync(dest, delivery);

	make_file(at("new", delivery->name), "planted"); /* in new/: not taken for our message */
	expect_offer_refused(dest, delivery, "something else bears the name");
	unlink(at("new", delivery->name));
	assert_int_equal(symlink(outside, at("new", delivery->name)), 0);
	expect_offer_refused(dest, delivery, "something else bears the name");
	unlink(at("new", delivery->name));

	unlink(at("tmp", delivery->name)); /* in tmp/: not moved */
	expect_offer_refused(dest, delivery, "somebody removed or replaced");
	assert_int_equal(symlink(outside, at("tmp", delivery->name)), 0);
	expect_offer_refused(dest, delivery, "somebody removed or replaced");

	deliver(dest, delivery); /* the link is replaced, and not written through */
	expect_file(at("new", delivery->name), MESSAGE_LOCAL, strlen(MESSAGE_LOCAL));
	expect_file(outside, "mine", 4);
	assert_int_equal(count_in("tmp"), 0);
	done(dest);
	delivery_free(delivery);
}

/* -- when the machine says no -- */

static void leaves_nothing_of_a_failed_write(void **state)
{
	const struct rlimit small = {30, RLIM_INFINITY};
	struct rlimit old;
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	struct error err;
	int result;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	result = dest_prepare(dest, delivery, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(result, -1);
	assert_int_equal(err.kind, ERR_LOCAL);
	assert_int_equal(err.scope, SCOPE_DESTINATION);
	assert_int_equal(err.code, EFBIG);
	assert_non_null(strstr(err.text, at("tmp", "")));
	assert_int_equal(count_in("tmp"), 0);
	deliver(dest, delivery);
	done(dest);
	delivery_free(delivery);
}

/* fsync refuses a descriptor that was opened with O_PATH; all else works with it. */
static int replace_by_path(const char *part, int fd)
{
	close(fd);
	fd = open(at(part, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void a_failed_sync_fails_the_group(void **state)
{
	(void)state;
	for (unsigned size = 1; size <= 6; size++) {
		struct delivery *group[6];
		struct dest *dest;
		struct error err;
		struct maildir_sight sight;
		int fds[3];

		assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
		fds[0] = replace_by_path("tmp", fds[0]);
		dest = open_with(fds, "me.example");
		for (unsigned i = 0; i < size; i++) {
			char byte = (char)('a' + i);

			group[i] = message_of(&byte, 1);
			assert_int_equal(dest_prepare(dest, group[i], &err), 0);
		}
		assert_int_equal(dest_sync(dest, &err), -1);
		assert_int_equal(err.kind, ERR_LOCAL);
		assert_int_equal(err.scope, SCOPE_DESTINATION);
		assert_non_null(strstr(err.text, at("tmp", "")));
		assert_int_equal(count_in("tmp"), 0);
		done(dest);
		for (unsigned i = 0; i < size; i++)
			delivery_free(group[i]);
	}
}

/* An earlier intent may be in doubt: were its file gone, it would count as delivered. */
static void a_failed_sync_leaves_what_was_there(void **state)
{
	struct delivery *delivery = message();
	struct dest *dest = open_maildir();
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	prepare_and_sync(dest, delivery);
	done(dest);
	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	fds[0] = replace_by_path("tmp", fds[0]);
	dest = open_with(fds, "me.example");
	assert_int_equal(dest_prepare(dest, delivery, &err), 0);
	assert_int_equal(dest_sync(dest, &err), -1);
	assert_int_equal(count_in("tmp"), 1);
	assert_true(is_there(at("tmp", delivery->name)));
	done(dest);
	delivery_free(delivery);
}

static void a_failed_flush_leaves_doubt(void **state)
{
	struct delivery *delivery = message();
	struct dest *dest;
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	fds[1] = replace_by_path("new", fds[1]);
	dest = open_with(fds, "me.example");
	prepare_and_sync(dest, delivery);
	assert_int_equal(dest_offer(dest, delivery, NULL, &err), 0);
	assert_int_equal(dest_flush(dest, &err), -1);
	assert_non_null(strstr(err.text, at("new", "")));
	expect_verdict(dest, delivery, VERDICT_IN_DOUBT);
	done(dest);
	delivery_free(delivery);
}

static void says_which_directory_is_gone(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	struct error err;

	(void)state;
	assert_int_equal(dest_probe(dest, "", "", &err), 0);
	assert_int_equal(count_in("tmp"), 0);
	prepare_and_sync(dest, delivery);
	assert_int_equal(rmdir(at("new", "")), 0);
	expect_offer_refused(dest, delivery, at("new", ""));
	assert_int_equal(unlink(at("tmp", delivery->name)), 0);
	assert_int_equal(rmdir(at("tmp", "")), 0);
	assert_int_equal(dest_prepare(dest, delivery, &err), -1);
	assert_non_null(strstr(err.text, at("tmp", "")));
	assert_int_equal(dest_probe(dest, "", "", &err), -1);
	done(dest);
	delivery_free(delivery);
}

/* -- after a crash -- */

static enum resolution resolve(struct dest *dest, const struct delivery *delivery)
{
	enum resolution resolution = RESOLVED_UNKNOWN;
	struct error err;

	assert_int_equal(dest_resolve(dest, delivery, delivery->haul->message->hash, &resolution, &err), 0);
	return resolution;
}

static void knows_what_was_delivered(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	char flagged[200];

	(void)state;
	prepare_and_sync(dest, delivery);
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT);
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT); /* asked again, after a crash between */
	delivery->doubtful = true;
	deliver(dest, delivery);
	assert_int_equal(count_in("tmp"), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);

	assert_int_equal(rename(at("new", delivery->name), at("cur", delivery->name)), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	snprintf(flagged, sizeof(flagged), "%s:2,RS", delivery->name);
	assert_int_equal(rename(at("cur", delivery->name), at("cur", flagged)), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	unlink(at("cur", flagged)); /* deleted, or filed by a mail reader */
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	delivery->intent_age_s = MAILDIR_CERTAIN_S; /* or cleared from tmp/ long ago */
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT);
	delivery->intent_age_s = MAILDIR_CERTAIN_S - 1;
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	done(dest);
	delivery_free(delivery);
}

static void old_deliveries_are_known_by_their_names(void **state)
{
	struct dest *dest = open_maildir();
	struct delivery *delivery = message();
	char longer[200];

	(void)state;
	delivery->intent_at = 1700000000;
	delivery->intent_age_s = MAILDIR_CERTAIN_S;
	deliver(dest, delivery);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	snprintf(longer, sizeof(longer), "1%s:2,", delivery->name); /* of another time */
	assert_int_equal(rename(at("new", delivery->name), at("cur", longer)), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT);
	snprintf(longer, sizeof(longer), "%s:2,S", delivery->name);
	make_file(at("cur", longer), "x");
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	done(dest);
	delivery_free(delivery);
}

static struct dest *open_as(const char *host)
{
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	return open_with(fds, host);
}

/* A container that is made anew has another one each time. What was intended and not delivered before would be taken for delivered, and lost. */
static void a_new_host_name_does_not_hide_a_draft(void **state)
{
	struct delivery *delivery = message();
	struct dest *dest = open_as("one.example");
	char read[sizeof(delivery->name) + sizeof(":2,S")];

	(void)state;
	prepare_and_sync(dest, delivery);
	delivery->haul->stage = HAUL_INTENDED;
	done(dest);
	dest = open_as("other.example");
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT);
	delivery->intent_age_s = MAILDIR_CERTAIN_S; /* and what was delivered is found, however long ago that was */
	assert_int_equal(resolve(dest, delivery), RESOLVED_ABSENT);
	assert_int_equal(rename(at("tmp", delivery->name), at("new", delivery->name)), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	snprintf(read, sizeof(read), "%s:2,S", delivery->name);
	assert_int_equal(rename(at("new", delivery->name), at("cur", read)), 0);
	assert_int_equal(resolve(dest, delivery), RESOLVED_DELIVERED);
	done(dest);
	delivery_free(delivery);
}

/* What is known of a message are the bytes that were fetched last, perhaps for another destination, and some servers rewrite messages. */
static void other_bytes_do_not_hide_a_draft(void **state)
{
	static const uint8_t others[SHA256_BYTES] = {1, 2, 3};
	struct delivery *delivery = message();
	struct dest *dest = open_maildir();
	enum resolution resolution;
	struct error err;

	(void)state;
	prepare_and_sync(dest, delivery);
	delivery->haul->stage = HAUL_INTENDED;
	assert_int_equal(dest_resolve(dest, delivery, others, &resolution, &err), 0);
	assert_int_equal(resolution, RESOLVED_ABSENT);
	deliver(dest, delivery);
	delivery->intent_age_s = MAILDIR_CERTAIN_S;
	assert_int_equal(dest_resolve(dest, delivery, others, &resolution, &err), 0);
	assert_int_equal(resolution, RESOLVED_DELIVERED);
	delivery->intent_at++; /* another intent */
	assert_int_equal(dest_resolve(dest, delivery, others, &resolution, &err), 0);
	assert_int_equal(resolution, RESOLVED_ABSENT);
	done(dest);
	delivery_free(delivery);
}

/* "Delivered" lets the source copy go, so it is only said of what is on disk. */
static void does_not_call_delivered_what_cannot_be_synced(void **state)
{
	struct delivery *delivery = message();
	enum resolution resolution = RESOLVED_UNKNOWN;
	struct dest *dest;
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	fds[1] = replace_by_path("new", fds[1]);
	dest = open_with(fds, "me.example");
	prepare_and_sync(dest, delivery);
	assert_int_equal(dest_offer(dest, delivery, NULL, &err), 0);
	assert_int_equal(dest_resolve(dest, delivery, delivery->haul->message->hash, &resolution, &err), -1);
	assert_int_equal(resolution, RESOLVED_UNKNOWN);
	done(dest);
	delivery_free(delivery);
}

/* The same of what a mail reader has moved: it is found there after the state was lost. */
static void does_not_adopt_what_cannot_be_synced(void **state)
{
	struct delivery *delivery = message();
	char read[sizeof(delivery->name) + sizeof(":2,S")];
	struct dest *dest;
	struct error err;
	struct maildir_sight sight;
	int fds[3];

	(void)state;
	dest = open_maildir();
	deliver(dest, delivery);
	done(dest);
	snprintf(read, sizeof(read), "%s:2,S", delivery->name);
	assert_int_equal(rename(at("new", delivery->name), at("cur", read)), 0);
	assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, &sight, &err), 0);
	fds[2] = replace_by_path("cur", fds[2]);
	adopt_before = delivery->intent_at;
	dest = open_with(fds, "me.example");
	adopt_before = 0;
	delivery->intent_at++;
	prepare_and_sync(dest, delivery);
	assert_int_equal(dest_offer(dest, delivery, NULL, &err), 0);
	assert_int_equal(count_in("new"), 0);
	assert_int_equal(dest_flush(dest, &err), -1);
	assert_non_null(strstr(err.text, "{new,cur}"));
	expect_verdict(dest, delivery, VERDICT_IN_DOUBT);
	done(dest);
	delivery_free(delivery);
}

/* Returns its number. */
static uint64_t open_and_close(uint64_t tidied)
{
	struct maildir_sight sight;
	struct error err;
	int fds[3];

	str_done(&synced);
	assert_int_equal(maildir_open_directories(path, tidied, fds, &sight, &err), 0);
	for (unsigned i = 0; i < 3; i++)
		fs_close(fds[i]);
	return sight.number;
}

/* Later syncs of other things may cover them, or not. */
static void syncs_the_directories_that_it_makes(void **state)
{
	static const char *const parts[] = {"cur", "new", "tmp"};
	uint64_t number = open_and_close(MAILDIR_UNKNOWN);

	(void)state;
	assert_int_not_equal(number, MAILDIR_UNKNOWN);
	assert_synced(path);
	assert_synced(root);
	assert_int_equal(open_and_close(number), number);
	assert_int_equal(synced.len, 0); /* all of it is there */
	open_and_close(number + 1);
	assert_synced(path);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = open_and_close(MAILDIR_UNKNOWN);

		assert_int_equal(rmdir(at(parts[i], "")), 0);
		open_and_close(before); /* in the same tick of the clock it may get the same number */
		assert_synced(path);
	}
}

/* What is in doubt is asked for where it was intended. */
static void knows_its_place_again(void **state)
{
	struct maildir_sight sight, other;
	struct error err;
	int fds[3];

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(maildir_open_directories(path, MAILDIR_UNKNOWN, fds, round == 0 ? &sight : &other, &err), 0);
		for (unsigned i = 0; i < 3; i++)
			close(fds[i]);
	}
	assert_true(maildir_place(&sight) > MAILDIR_ELSEWHERE);
	assert_int_equal(maildir_place(&other), maildir_place(&sight));
	other.number++;
	assert_int_equal(maildir_place(&other), maildir_place(&sight));
	other.born_ns++;
	assert_int_not_equal(maildir_place(&other), maildir_place(&sight));
	/* As it stands in states of today. */
	assert_int_equal(maildir_place(&(struct maildir_sight){.inode = 12, .born_s = 1700000000, .born_ns = 5}), INT64_C(33169489871806324));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(makes_what_is_missing),
		TEST(syncs_the_directories_that_it_makes),
		TEST(knows_its_place_again),
		TEST(refuses_what_is_no_maildir),
		TEST(refuses_the_maildir_of_another_user),
		TEST(clears_its_own_old_files),
		TEST(delivers),
		TEST(spells_host_names_as_maildir_does),
		TEST(goes_on_where_it_was_begun),
		TEST(what_was_begun_replaces_an_older_draft),
		TEST(what_was_begun_vanishes),
		TEST(what_was_begun_is_not_mistaken),
		TEST(keeps_every_byte_but_line_ends),
		TEST(keeps_every_byte_where_pieces_meet),
		TEST(delivers_groups),
		TEST(gives_up_what_is_not_wanted),
		TEST(is_content_with_what_is_there_already),
		TEST(does_not_fall_for_planted_names),
		TEST(leaves_nothing_of_a_failed_write),
		TEST(a_failed_sync_fails_the_group),
		TEST(a_failed_sync_leaves_what_was_there),
		TEST(a_failed_flush_leaves_doubt),
		TEST(says_which_directory_is_gone),
		TEST(knows_what_was_delivered),
		TEST(old_deliveries_are_known_by_their_names),
		TEST(a_new_host_name_does_not_hide_a_draft),
		TEST(other_bytes_do_not_hide_a_draft),
		TEST(does_not_call_delivered_what_cannot_be_synced),
		TEST(does_not_adopt_what_cannot_be_synced),
	};

	return cmocka_run_group_tests_name("maildir", tests, NULL, NULL);
}
