#include "tests/lib/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#define ORDINARY_USER "nobody"
#define LOOK_AGAIN_MS 2
#define FILE_MAX_BYTES (16u * 1024 * 1024)

static char base[] = "/tmp/mailhaul-flow.XXXXXX";
static char program[PATH_MAX];

/* -- once for all tests -- */

static void run_program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "%s failed\n", argv[0]);
		exit(99);
	}
}

/* Where the program was built such a user may not be able to go, so it gets a copy. */
static void become_ordinary(void)
{
	const struct passwd *user = getpwnam(ORDINARY_USER);
	char copy[sizeof(base) + 16];

	snprintf(copy, sizeof(copy), "%s/mailhaul", base);
	run_program((const char *const[]){"cp", program, copy, NULL});
	snprintf(program, sizeof(program), "%s", copy);
	if (user == NULL || chown(base, user->pw_uid, user->pw_gid) < 0 || setgroups(0, NULL) < 0 ||
		setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 || setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0) {
		perror("cannot become " ORDINARY_USER);
		exit(99);
	}
}

void agents_prepare(void)
{
	const char *given = getenv("MAILHAUL"), *built = getenv("abs_top_builddir");

	if (given != NULL)
		snprintf(program, sizeof(program), "%s", given);
	else
		snprintf(program, sizeof(program), "%s/mailhaul", built != NULL ? built : ".");
	if (access(program, X_OK) < 0 || mkdtemp(base) == NULL || chmod(base, 0755) < 0) {
		perror(program);
		exit(99);
	}
	if (geteuid() == 0)
		become_ordinary();
}

void agents_remove(void)
{
	run_program((const char *const[]){"rm", "-rf", base, NULL});
}

/* -- one agent -- */

void agent_init(struct agent *agent)
{
	static unsigned count;

	*agent = (struct agent){0};
	snprintf(agent->dir, sizeof(agent->dir), "%s/%u", base, ++count);
	if (mkdir(agent->dir, 0700) < 0)
		fail_msg("mkdir %s: %s", agent->dir, strerror(errno));
}

void agent_done(struct agent *agent)
{
	if (agent->pid != 0) {
		kill(agent->pid, SIGKILL);
		agent_wait(agent);
	}
	str_done(&agent->out);
	str_done(&agent->err);
}

static char *path_of(const struct agent *agent, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", agent->dir, name) < 0)
		abort();
	return path;
}

static int open_in(const struct agent *agent, const char *name, int flags)
{
	char *path = path_of(agent, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	free(path);
	return fd;
}

void agent_configure(struct agent *agent, const char *format, ...)
{
	int fd = open_in(agent, "config.yaml", O_WRONLY | O_CREAT | O_TRUNC);
	va_list args;

	va_start(args, format);
	if (dprintf(fd, "state_dir: %s/state\nsandbox: require\n", agent->dir) < 0 || vdprintf(fd, format, args) < 0)
		fail_msg("cannot write the configuration");
	va_end(args);
	close(fd);
}

static void become_program(const struct agent *agent, const int fds[3], const char *const *words)
{
	const char *argv[16] = {program, "--config", path_of(agent, "config.yaml")};
	unsigned count = 3;

	while (count + 1 < ARRAY_SIZE(argv) && *words != NULL)
		argv[count++] = *words++;
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	close_range(3, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (agent->deadline_factor != NULL)
		setenv("MAILHAUL_DEADLINE_FACTOR", agent->deadline_factor, 1);
	execv(program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

void agent_start(struct agent *agent, const char *const *words)
{
	int fds[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC)};

	fds[1] = open_in(agent, "out", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
	fds[2] = open_in(agent, "err", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
	fflush(NULL);
	agent->pid = fork();
	if (agent->pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (agent->pid == 0)
		become_program(agent, fds, words);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void read_file(const struct agent *agent, const char *name, struct str *out)
{
	int fd = open_in(agent, name, O_RDONLY);

	str_clear(out);
	if (fs_read_all(fd, FILE_MAX_BYTES, out) < 0)
		fail_msg("cannot read %s", name);
	close(fd);
}

static bool has_ended(const struct agent *agent, int timeout_ms)
{
	int fd = pidfd_open(agent->pid, 0);
	struct pollfd end = {.fd = fd, .events = POLLIN};
	bool ended = poll(&end, 1, timeout_ms) > 0;

	close(fd);
	return ended;
}

int agent_wait(struct agent *agent)
{
	bool hangs = !has_ended(agent, AGENT_DEADLINE_S * 1000);
	int status;

	if (hangs)
		kill(agent->pid, SIGKILL);
	waitpid(agent->pid, &status, 0);
	agent->pid = 0;
	read_file(agent, "out", &agent->out);
	read_file(agent, "err", &agent->err);
	if (hangs)
		fail_msg("the program did not end; it said:\n%s", str_text(&agent->err));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void agent_expect_end_at(struct agent *agent, int status, const char *file, int line)
{
	int got = agent_wait(agent);

	if (got == status)
		return;
	print_error("exit status %d, not %d:\n%s%s\n", got, status, str_text(&agent->out), str_text(&agent->err));
	_fail(file, line);
}

void agent_expect_at(struct agent *agent, int status, const char *const *words, const char *file, int line)
{
	agent_start(agent, words);
	agent_expect_end_at(agent, status, file, line);
}

/* -- while it runs -- */

/* One look at something that tells nobody when it changes. False: too late. */
static bool look_again(int64_t *until_ns)
{
	if (*until_ns == 0)
		*until_ns = clock_monotonic_ns() + AGENT_DEADLINE_S * INT64_C(1000000000);
	poll(NULL, 0, LOOK_AGAIN_MS);
	return clock_monotonic_ns() < *until_ns;
}

void agent_await_text(struct agent *agent, const char *text)
{
	int64_t until_ns = 0;

	for (;;) {
		bool ended = has_ended(agent, 0), late = !look_again(&until_ns);

		read_file(agent, "err", &agent->err);
		if (strstr(str_text(&agent->err), text) != NULL)
			return;
		if (ended || late)
			fail_msg("%s without having said \"%s\", but:\n%s", ended ? "it ended" : "time is up", text, str_text(&agent->err));
	}
}

/* Of proc_pid_stat(5): state, parent, and start time, by which children are told apart. */
static bool read_stat(const char *pid, char *ret_state, int *ret_parent, unsigned long long *ret_start)
{
	char path[64], text[1024];
	const char *end;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	fs_close(fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	end = strrchr(text, ')');
	return end != NULL && sscanf(end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", ret_state,
				      ret_parent, ret_start) == 3;
}

static bool is_worker(const char *pid)
{
	char path[40], name[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, name, sizeof(name) - 1) < 0)
		name[0] = '\0';
	fs_close(fd);
	return strcmp(name, "mailhaul-worker\n") == 0;
}

pid_t agent_worker(const struct agent *agent)
{
	unsigned long long youngest = 0, start;
	const struct dirent *entry;
	DIR *proc = opendir("/proc");
	pid_t worker = 0;

	assert_non_null(proc);
	while ((entry = readdir(proc)) != NULL) {
		char state;
		int parent;
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || !read_stat(entry->d_name, &state, &parent, &start) || parent != agent->pid || state == 'Z' ||
			!is_worker(entry->d_name))
			continue;
		if (start > youngest || (start == youngest && pid > worker)) {
			youngest = start;
			worker = pid;
		}
	}
	closedir(proc);
	assert_true(worker != 0);
	return worker;
}

void agent_await_unlocked(const struct agent *agent, const char *mailbox)
{
	int64_t until_ns = 0;
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "state/lock.%s", mailbox);
	fd = open_in(agent, name, O_RDWR);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0)
		if (!look_again(&until_ns))
			fail_msg("somebody keeps mailbox %s locked", mailbox);
	close(fd);
}

/* -- afterwards -- */

bool agent_printed(const struct agent *agent, const char *text)
{
	return strstr(str_text(&agent->out), text) != NULL;
}

bool agent_said(const struct agent *agent, const char *text)
{
	return strstr(str_text(&agent->err), text) != NULL;
}

unsigned agent_status(struct agent *agent, const char *key)
{
	char quoted[64];
	const char *at;

	agent_run(agent, "status", "--json"); /* 1: something needs attention */
	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(str_text(&agent->out), quoted);
	if (at == NULL)
		fail_msg("status says nothing of %s: %s", key, str_text(&agent->out));
	return (unsigned)strtoul(at + strlen(quoted), NULL, 10);
}

unsigned agent_mail(const struct agent *agent, const char *folder, struct str *out)
{
	char name[32];
	struct dirent **entries;
	unsigned count = 0;
	char *path;
	int found;

	snprintf(name, sizeof(name), "home/%s", folder);
	path = path_of(agent, name);
	found = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < found; i++) {
		if (entries[i]->d_name[0] != '.') {
			char file[PATH_MAX];
			struct str text = {0};

			snprintf(file, sizeof(file), "%s/%s", name, entries[i]->d_name);
			read_file(agent, file, &text);
			if (out != NULL)
				str_add(out, str_text(&text), text.len);
			str_done(&text);
			count++;
		}
		free(entries[i]);
	}
	if (found >= 0)
		free(entries);
	free(path);
	return count;
}

void agent_change_state(const struct agent *agent, const char *sql)
{
	char *path = path_of(agent, "state/state.db");
	sqlite3 *db;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", path, sqlite3_errmsg(db));
	sqlite3_close(db);
	free(path);
}

void agent_let_time_pass(const struct agent *agent)
{
	agent_change_state(agent, "UPDATE message SET next_try = 0; UPDATE delivery SET next_try = 0 WHERE next_try > 0");
}

int port_take(bool listening, uint16_t *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || (listening && listen(fd, 8) < 0) ||
		getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		fail_msg("no loopback socket: %s", strerror(errno));
	*ret_port = ntohs(address.sin_port);
	return fd;
}

bool port_was_used(int fd)
{
	int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	return fs_close(connection), connection >= 0;
}
