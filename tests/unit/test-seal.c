/* From the inside of a sealed process: everything that a hostile server would try first is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls.h"
#include "worker/seal.h"

static char directory[] = "/tmp/mailhaul-seal-XXXXXX";
static int maildir_fd;

/* Each attempt returns true if it got what it wanted. */
static bool open_for_reading(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0;
}
static bool open_for_writing(void)
{
	return open("/tmp/mailhaul-seal-escape", O_WRONLY | O_CREAT, 0600) >= 0;
}
static bool open_home(void)
{
	return open("/root", O_RDONLY | O_DIRECTORY) >= 0 || open("/home", O_RDONLY | O_DIRECTORY) >= 0;
}
static bool make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static bool make_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}
static bool connect_somewhere(void)
{
	struct sockaddr address = {.sa_family = AF_INET};

	return syscall(SYS_connect, 0, &address, sizeof(address)) == 0 || errno == ECONNREFUSED;
}
static bool execute(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return false;
}
static bool fork_child(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0;
}
static bool kill_parent(void)
{
	return kill(getppid(), 0) == 0;
}
static bool trace_parent(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0;
}
static bool write_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}
static bool take_privileges(void)
{
	return setuid(0) == 0 && getuid() != 0;
}
static bool link_out(void)
{
	return linkat(maildir_fd, "file", AT_FDCWD, "/tmp/mailhaul-seal-link", 0) == 0;
}
static bool rename_out(void)
{
	return renameat2(maildir_fd, "file", AT_FDCWD, "/tmp/mailhaul-seal-renamed", 0) == 0;
}
static bool climb_out(void)
{
	return openat(maildir_fd, "../../etc/passwd", O_RDONLY) >= 0;
}
/* What it is there for. */
static bool work_in_maildir(void)
{
	int fd = openat(maildir_fd, "new-file", O_WRONLY | O_CREAT | O_EXCL, 0600);

	return fd >= 0 && write(fd, "mail", 4) == 4 && fsync(fd) == 0 &&
	       renameat2(maildir_fd, "new-file", maildir_fd, "renamed", RENAME_NOREPLACE) == 0 && fsync(maildir_fd) == 0 &&
	       unlinkat(maildir_fd, "renamed", 0) == 0;
}
static bool hold_bytes(void)
{
	int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory = malloc(3 * 1024 * 1024);
	bool good = fd >= 0 && ftruncate(fd, 10) == 0 && memory != NULL;

	free(memory);
	return good;
}

enum { GOT_IT = 10, REFUSED = 11, NOT_SEALED = 12 };

static void on_trap(int number)
{
	(void)number;
	_exit(REFUSED);
}

/* How an attempt ends inside a sealed child: REFUSED also when the call just failed. */
static int attempt(bool (*what)(void), bool maildir)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		const struct seal seal = {.write_fds = &maildir_fd, .write_count = maildir ? 1 : 0, .mode = SANDBOX_REQUIRE};
		const char *level;

		signal(SIGSYS, on_trap);
		if (seal_apply(&seal, &level, NULL) < 0)
			_exit(NOT_SEALED);
		_exit(what() ? GOT_IT : REFUSED);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int make_directory(void **unused)
{
	struct error err;
	int fd;

	(void)unused;
	assert_non_null(mkdtemp(directory));
	maildir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(maildir_fd, "file", O_WRONLY | O_CREAT, 0600);
	close(fd);
	return tls_warm_up(&err) < 0 || seal_prepare(&err) < 0 ? -1 : 0;
}

static int remove_directory(void **unused)
{
	(void)unused;
	unlinkat(maildir_fd, "file", 0);
	close(maildir_fd);
	return rmdir(directory);
}

static void test_attempts_are_refused(void **unused)
{
	static const struct {
		const char *name;
		bool (*what)(void);
	} attempts[] = {
		{"open for reading", open_for_reading},
		{"open for writing", open_for_writing},
		{"open home", open_home},
		{"socket", make_socket},
		{"unix socket", make_unix_socket},
		{"connect", connect_somewhere},
		{"exec", execute},
		{"fork", fork_child},
		{"kill", kill_parent},
		{"ptrace", trace_parent},
		{"write code", write_code},
		{"setuid", take_privileges},
		{"link out", link_out},
		{"rename out", rename_out},
		{"climb out", climb_out},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		for (int maildir = 0; maildir <= 1; maildir++) {
			int result = attempt(attempts[i].what, maildir);

			if (result != REFUSED)
				fail_msg("%s (%s): %d", attempts[i].name, maildir ? "maildir worker" : "plain worker", result);
		}
}

static void test_the_work_itself_is_allowed(void **unused)
{
	(void)unused;
	assert_int_equal(attempt(work_in_maildir, true), GOT_IT);
	assert_int_equal(attempt(work_in_maildir, false), REFUSED);
	assert_int_equal(attempt(hold_bytes, false), GOT_IT);
}

static bool is_locked_down(void)
{
	return prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static void test_off_still_forbids_cores_and_privileges(void **unused)
{
	int status;
	pid_t child = fork();

	(void)unused;
	if (child == 0) {
		const struct seal seal = {.mode = SANDBOX_OFF};
		const char *level;

		_exit(seal_apply(&seal, &level, NULL) == 0 && strcmp(level, "off") == 0 && is_locked_down() && open_for_reading() ? GOT_IT : REFUSED);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), GOT_IT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts_are_refused),
		cmocka_unit_test(test_the_work_itself_is_allowed),
		cmocka_unit_test(test_off_still_forbids_cores_and_privileges),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
