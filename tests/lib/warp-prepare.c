#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "tests/lib/warp.h"

#define LIBRARY_MAX (16u * 1024 * 1024)
#define LOOK_AGAIN_MS 2
#define STUCK_LOOKS_MAX 10000

static char library[] = "/tmp/mailhaul-warp.XXXXXX", mapping[] = "/tmp/mailhaul-warp.XXXXXX";
static int found_fd;
static struct warp *warp;

static void check(bool well, const char *what)
{
	if (well)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(99);
}

void warp_find(void)
{
	const char *built = getenv("abs_top_builddir");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tests/lib/warp.so", built != NULL ? built : ".");
	found_fd = open(path, O_RDONLY | O_CLOEXEC);
	check(found_fd >= 0, path);
}

static void copy_library(void)
{
	int fd = mkstemp(library);
	struct str bytes = {0};

	check(fd >= 0 && fchmod(fd, 0755) == 0 && fs_read_all(found_fd, LIBRARY_MAX, &bytes) == 0 && fs_write_all(fd, bytes.data, bytes.len) == 0,
		library);
	close(fd);
	close(found_fd);
	str_done(&bytes);
}

/* A sanitizer insists on being the first library, unless it is told not to. */
static void preload(void)
{
	const char *options = getenv("ASAN_OPTIONS");
	char all[1024];

	snprintf(all, sizeof(all), "%s:verify_asan_link_order=0", options != NULL ? options : "");
	setenv("ASAN_OPTIONS", all, 1);
	setenv("LD_PRELOAD", library, 1);
	setenv("MAILHAUL_WARP", mapping, 1);
}

struct warp *warp_begin(void)
{
	int fd = mkstemp(mapping);

	copy_library();
	check(fd >= 0 && fchmod(fd, 0644) == 0 && ftruncate(fd, sizeof(struct warp)) == 0, mapping);
	warp = mmap(NULL, sizeof(struct warp), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(warp != MAP_FAILED, mapping);
	close(fd);
	preload();
	return warp;
}

/* Whoever still hangs does not survive the test. */
void warp_end(void)
{
	warp->is_dead = false;
	unsetenv("LD_PRELOAD");
	unlink(library);
	unlink(mapping);
}

void warp_die(bool hard)
{
	for (unsigned i = 0; i < WARP_STUCK_MAX; i++)
		warp->stuck[i].pid = 0;
	warp->dies_hard = hard;
	warp->is_dead = true;
}

unsigned warp_count_stuck(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < WARP_STUCK_MAX; i++)
		count += warp->stuck[i].pid != 0;
	return count;
}

void warp_await_stuck(unsigned count)
{
	for (unsigned looks = 0; warp_count_stuck() < count; looks++) {
		check(looks < STUCK_LOOKS_MAX, "nobody hangs at the dead file system");
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
}
