/* warp.c - preloaded into the program: see warp.h. MAILHAUL_WARP names the file that is mapped. Timers of the kernel know nothing of it, so those that wait for a
 * moment go off again and again meanwhile; whoever waits has to look at the clock anyway. */
#include "tests/lib/warp.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define LOOK_NS (NS_PER_S / 50)
#define FDS_MAX 1024

static struct warp *warp;
static clockid_t clock_of[FDS_MAX]; /* of timers, by descriptor */
static struct {
	int (*clock_gettime)(clockid_t, struct timespec *);
	int (*timerfd_create)(int, int);
	int (*timerfd_settime)(int, int, const struct itimerspec *, struct itimerspec *);
	int (*kill)(pid_t, int);
} real;

static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

/* Everything that is needed later: a worker may open nothing once it is sealed. */
__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("MAILHAUL_WARP");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped = fd >= 0 ? mmap(NULL, sizeof(*warp), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (fd >= 0)
		close(fd);
	warp = mapped != MAP_FAILED ? mapped : NULL;
	real.clock_gettime = next("clock_gettime");
	real.timerfd_create = next("timerfd_create");
	real.timerfd_settime = next("timerfd_settime");
	real.kill = next("kill");
}

static int64_t ahead_ns(clockid_t clock)
{
	if (warp == NULL)
		return 0;
	switch (clock) {
	case CLOCK_MONOTONIC:
		return warp->passed_ns;
	case CLOCK_BOOTTIME:
	case CLOCK_REALTIME:
		return warp->passed_ns + warp->slept_ns;
	default:
		return 0;
	}
}

static int64_t in_ns(const struct timespec *time)
{
	return time->tv_sec * NS_PER_S + time->tv_nsec;
}

static struct timespec in_spec(int64_t ns)
{
	return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = real.clock_gettime(clock, time);

	if (result == 0)
		*time = in_spec(in_ns(time) + ahead_ns(clock));
	return result;
}

int timerfd_create(int clock, int flags)
{
	int fd = real.timerfd_create(clock, flags);

	if (fd >= 0 && fd < FDS_MAX)
		clock_of[fd] = clock;
	return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *before)
{
	struct itimerspec often = {.it_interval = in_spec(LOOK_NS)};
	struct timespec now;
	int64_t left_ns;

	if ((flags & TFD_TIMER_ABSTIME) == 0 || in_ns(&wanted->it_value) == 0 || fd >= FDS_MAX)
		return real.timerfd_settime(fd, flags, wanted, before);
	clock_gettime(clock_of[fd], &now);
	left_ns = in_ns(&wanted->it_value) - in_ns(&now);
	often.it_value = in_spec(left_ns < 1 ? 1 : left_ns < LOOK_NS ? left_ns : LOOK_NS);
	return real.timerfd_settime(fd, 0, &often, before);
}

/* -- the dead file system -- */

static unsigned stuck_as(pid_t pid)
{
	unsigned i = 0;

	while (i < WARP_STUCK_MAX && warp->stuck[i].pid != pid)
		i++;
	return i;
}

int kill(pid_t pid, int number)
{
	unsigned i;

	if (warp == NULL || number != SIGKILL || pid <= 0)
		return real.kill(pid, number);
	if (pid == warp->unkillable)
		return 0;
	i = warp->dies_hard ? stuck_as(pid) : WARP_STUCK_MAX;
	if (i == WARP_STUCK_MAX)
		return real.kill(pid, number);
	warp->stuck[i].killed = true;
	return 0;
}

static unsigned get_stuck(void)
{
	for (unsigned i = 0; i < WARP_STUCK_MAX; i++) {
		pid_t nobody = 0;

		if (__atomic_compare_exchange_n(&warp->stuck[i].pid, &nobody, getpid(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return i;
	}
	abort();
}

static void look_at(const char *path)
{
	unsigned i;

	if (warp == NULL || !warp->is_dead || strncmp(path, warp->dead, strlen(warp->dead)) != 0)
		return;
	i = get_stuck();
	warp->stuck[i].killed = false;
	while (warp->is_dead)
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS / 10}, NULL);
	if (warp->stuck[i].killed)
		real.kill(getpid(), SIGKILL);
	warp->stuck[i].pid = 0;
}

int mkdir(const char *path, mode_t mode)
{
	look_at(path);
	return (int)syscall(SYS_mkdir, path, mode);
}

static int open_it(int dir_fd, const char *path, int flags, mode_t mode)
{
	look_at(path);
	return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(dir_fd)                      \
	va_list arguments;                \
	mode_t mode;                      \
                                          \
	va_start(arguments, flags);       \
	mode = mode_of(flags, arguments); \
	va_end(arguments);                \
	return open_it(dir_fd, path, flags, mode)

int open(const char *path, int flags, ...)
{
	OPEN(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
	OPEN(AT_FDCWD);
}

int openat(int dir_fd, const char *path, int flags, ...)
{
	OPEN(dir_fd);
}

int openat64(int dir_fd, const char *path, int flags, ...)
{
	OPEN(dir_fd);
}

/* What a fortified build calls where the compiler does not know the flags. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return open_it(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
	return open_it(AT_FDCWD, path, flags, 0);
}
