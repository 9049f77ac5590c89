/* watch-calls.c - preloaded into a program to be measured: counts what it asks of the disk and times how it sleeps, without a tracer's delay.
 * WATCH_CALLS names a file that becomes an array of struct watched, one for each process that ever synced or slept; read by read-calls.py.
 * WATCH_SLOW_MS makes the disk slow: every fsync, fdatasync and syncfs takes so much longer. */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 8192
#define CHANNEL_FD 3 /* of a worker: its line to the supervisor */

struct watched {
	uint64_t pid;
	uint64_t log_syncs;   /* of the database's write-ahead log: one for each transaction */
	uint64_t state_syncs; /* of the database itself */
	uint64_t other_syncs;
	uint64_t first_ns, last_ns;     /* from the first sleep that included the network to the end of the last sleep */
	uint64_t alone_ns, alone_count; /* asleep with nothing to wake it but the channel */
};

static struct watched *processes;
static long slow_ms;
/* Looked up before anybody is sealed. */
static struct {
	int (*fsync)(int), (*fdatasync)(int), (*syncfs)(int);
	int (*poll)(struct pollfd *, nfds_t, int);
} real;

static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		abort();
	return found;
}

static void find_real_calls(void)
{
	real.fsync = (int (*)(int))next("fsync");
	real.fdatasync = (int (*)(int))next("fdatasync");
	real.syncfs = (int (*)(int))next("syncfs");
	real.poll = (int (*)(struct pollfd *, nfds_t, int))next("poll");
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WATCH_CALLS"), *slow = getenv("WATCH_SLOW_MS");
	int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *map = MAP_FAILED;

	find_real_calls();
	slow_ms = slow != NULL ? atol(slow) : 0;
	if (fd >= 0 && ftruncate(fd, PROCESSES_MAX * sizeof(*processes)) == 0)
		map = mmap(NULL, PROCESSES_MAX * sizeof(*processes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	processes = map != MAP_FAILED ? map : NULL;
}

/* The slot of this process. Forks are not always the C library's, so nothing is remembered from one call to the next. */
static struct watched *own(void)
{
	static struct watched none;
	uint64_t pid = (uint64_t)getpid();

	if (processes == NULL)
		return &none;
	for (uint64_t i = 0; i < PROCESSES_MAX; i++) {
		struct watched *slot = &processes[(pid + i) % PROCESSES_MAX];
		uint64_t expected = 0;

		if (__atomic_load_n(&slot->pid, __ATOMIC_RELAXED) == pid ||
			__atomic_compare_exchange_n(&slot->pid, &expected, pid, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return slot;
	}
	return &none;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A sealed worker must not ask what file it is; whoever may not is no supervisor. */
static void note_sync(int fd)
{
	struct watched *slot = own();
	char link[40], path[512];
	ssize_t len = -1;

	if (slot->first_ns == 0) { /* a worker has slept before it syncs */
		size_t used = 14;

		memcpy(link, "/proc/self/fd/", used);
		if (fd >= 100)
			link[used++] = (char)('0' + fd / 100 % 10);
		if (fd >= 10)
			link[used++] = (char)('0' + fd / 10 % 10);
		link[used++] = (char)('0' + fd % 10);
		link[used] = '\0';
		len = readlink(link, path, sizeof(path) - 1);
	}
	path[len > 0 ? len : 0] = '\0';
	if (strstr(path, "state.db-wal") != NULL)
		slot->log_syncs++;
	else if (strstr(path, "state.db") != NULL)
		slot->state_syncs++;
	else
		slot->other_syncs++;
	if (slow_ms > 0)
		nanosleep(&(struct timespec){.tv_sec = slow_ms / 1000, .tv_nsec = slow_ms % 1000 * 1000000}, NULL);
}

int fsync(int fd)
{
	note_sync(fd);
	return real.fsync(fd);
}

int fdatasync(int fd)
{
	note_sync(fd);
	return real.fdatasync(fd);
}

int syncfs(int fd)
{
	note_sync(fd);
	return real.syncfs(fd);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct watched *slot = own();
	uint64_t start = now_ns(), end;
	int result;

	result = real.poll(fds, count, timeout_ms);
	end = now_ns();
	if (count > 1 && slot->first_ns == 0)
		slot->first_ns = start;
	if (slot->first_ns == 0)
		return result;
	slot->last_ns = end;
	if (count == 1 && fds[0].fd == CHANNEL_FD) {
		slot->alone_ns += end - start;
		slot->alone_count++;
	}
	return result;
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size)
{
	(void)size;
	return poll(fds, count, timeout_ms);
}
