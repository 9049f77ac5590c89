#include "worker/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "net/tls.h"

/* -- Landlock. Our own constants: Debian 12's headers stop at ABI 2. -- */

enum {
	LL_FS_EXECUTE = 1 << 0,
	LL_FS_WRITE_FILE = 1 << 1,
	LL_FS_READ_FILE = 1 << 2,
	LL_FS_READ_DIR = 1 << 3,
	LL_FS_REMOVE_FILE = 1 << 5,
	LL_FS_MAKE_REG = 1 << 8,
	LL_FS_REFER = 1 << 13,    /* ABI 2 */
	LL_FS_TRUNCATE = 1 << 14, /* ABI 3 */
	LL_FS_ALL_ABI_1 = (1 << 13) - 1,
	LL_NET_ALL = 3,            /* ABI 4: bind and connect over TCP */
	LL_FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	LL_SCOPE_ALL = 3,          /* ABI 6: abstract unix sockets, signals */
	LL_CREATE_VERSION = 1,
	LL_RULE_PATH_BENEATH = 1,
};

struct ruleset_attr {
	uint64_t fs, net, scope;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static int allow_beneath(int ruleset, int directory, uint64_t allowed)
{
	struct path_beneath_attr rule = {.allowed = allowed, .fd = directory};

	return (int)syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH_BENEATH, &rule, 0);
}

static int make_ruleset(long abi, const struct seal *seal)
{
	uint64_t write_rights = LL_FS_READ_DIR | LL_FS_READ_FILE | LL_FS_WRITE_FILE | LL_FS_MAKE_REG | LL_FS_REMOVE_FILE;
	struct ruleset_attr attr = {.fs = LL_FS_ALL_ABI_1};
	size_t attr_size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 16 : 8;
	const char *const *trusted = tls_trust_directories();
	int ruleset;

	if (abi >= 2)
		attr.fs |= LL_FS_REFER;
	if (abi >= 3)
		attr.fs |= LL_FS_TRUNCATE;
	if (abi >= 4)
		attr.net = LL_NET_ALL;
	if (abi >= 5)
		attr.fs |= LL_FS_IOCTL_DEV;
	if (abi >= 6)
		attr.scope = LL_SCOPE_ALL;
	write_rights |= attr.fs & (LL_FS_REFER | LL_FS_TRUNCATE);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size, 0);
	if (ruleset < 0)
		return -1;
	for (unsigned i = 0; i < seal->write_count; i++)
		if (allow_beneath(ruleset, seal->write_fds[i], write_rights) < 0)
			return fs_close(ruleset);
	for (; trusted != NULL && *trusted != NULL; trusted++) {
		int directory = open(*trusted, O_PATH | O_CLOEXEC);

		if (directory < 0)
			continue; /* not every Debian has /usr/local/share/ca-certificates */
		int result = allow_beneath(ruleset, directory, LL_FS_READ_FILE | LL_FS_READ_DIR);
		close(directory);
		if (result < 0)
			return fs_close(ruleset);
	}
	return ruleset;
}

/* The ABI in force, 0: this kernel has none that serves. */
static long apply_landlock(const struct seal *seal)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_CREATE_VERSION);
	int ruleset;

	if (abi < 1 || (abi < 2 && seal->write_count != 0))
		return 0; /* ABI 1 forbids renaming from tmp/ into new/ whatever the rules say */
	ruleset = make_ruleset(abi, seal);
	if (ruleset < 0)
		return 0;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		abi = 0;
	close(ruleset);
	return abi;
}

/* -- seccomp -- */

/* Everything a worker does, by system call. Landlock says where; this says what. */
static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(getdents64),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(syncfs),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(memfd_create),
	SCMP_SYS(dup),
	SCMP_SYS(utimensat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(sysinfo),
	SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const int maildir_calls[] = {SCMP_SYS(openat), SCMP_SYS(renameat2), SCMP_SYS(linkat), SCMP_SYS(unlinkat)};

/* Trapped, not killed: the worker's handler can then say which call it was. The call is not made either way. A sanitizer's report makes calls of its own. */
#ifdef __SANITIZE_ADDRESS__
#define FORBIDDEN SCMP_ACT_ERRNO(EPERM)
#else
#define FORBIDDEN SCMP_ACT_TRAP
#endif

static struct sock_fprog plain_filter, maildir_filter;

static int add_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	return 0;
}

static int add_conditional_calls(scmp_filter_ctx filter)
{
	static const int fcntl_commands[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS};

	for (size_t i = 0; i < ARRAY_SIZE(fcntl_commands); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i])) < 0)
			return -1;
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD)) < 0)
		return -1;
	/* No memory that is writable becomes code. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* The program as bytes, which libseccomp only writes to a descriptor. */
static int export_filter(scmp_filter_ctx filter, struct sock_fprog *ret_program)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat st;
	void *bytes;

	if (fd < 0 || seccomp_export_bpf(filter, fd) < 0 || fstat(fd, &st) < 0)
		return fs_close(fd);
	bytes = xmalloc((size_t)st.st_size);
	if (fs_pread_all(fd, bytes, (size_t)st.st_size, 0) < 0) {
		free(bytes);
		return fs_close(fd);
	}
	close(fd);
	ret_program->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
	ret_program->filter = bytes;
	return 0;
}

static int build_filter(struct sock_fprog *ret_program, bool maildir)
{
	scmp_filter_ctx filter = seccomp_init(FORBIDDEN);
	int result = -1;

	if (filter == NULL)
		return -1;
	if (add_calls(filter, allowed_calls, ARRAY_SIZE(allowed_calls)) == 0 && add_conditional_calls(filter) == 0) {
		if (maildir)
			result = add_calls(filter, maildir_calls, ARRAY_SIZE(maildir_calls));
		else /* the trust store is read, nothing is written */
			result = seccomp_rule_add(
				filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
	}
	if (result == 0)
		result = export_filter(filter, ret_program);
	seccomp_release(filter);
	return result;
}

int seal_prepare(struct error *err)
{
	if (build_filter(&plain_filter, false) < 0 || build_filter(&maildir_filter, true) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot build the sandbox's system call filter");
	return 0;
}

static bool apply_seccomp(const struct seal *seal)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, seal->write_count != 0 ? &maildir_filter : &plain_filter, 0, 0) == 0;
}

int seal_apply(const struct seal *seal, const char **ret_level, struct error *err)
{
	static const struct rlimit no_core = {0, 0};
	long landlock;
	bool seccomp;

	/* Whatever the mode: no core with mail in it, nobody of the same user looks inside. */
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (seal->mode == SANDBOX_OFF) {
		*ret_level = "off";
		return 0;
	}
	landlock = apply_landlock(seal);
	seccomp = apply_seccomp(seal);
	if (seal->mode == SANDBOX_REQUIRE && (landlock == 0 || !seccomp))
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "this kernel has no %s; write \"sandbox: best\" to do without",
			landlock == 0 ? "Landlock" : "seccomp filters");
	*ret_level = landlock != 0 ? (seccomp ? "landlock and seccomp" : "landlock") : seccomp ? "seccomp" : "none";
	return 0;
}
