/* file-mail.c - the MDA of the fault tests: file-mail DIR puts what it reads into DIR/new under a name of its own, whole or not at all, durably. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static int copy(int from, int to)
{
	char buffer[65536];
	ssize_t got;

	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)got) != got)
			return -1;
	return got < 0 ? -1 : 0;
}

static int sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 || close(fd) < 0 ? -1 : 0;
}

static int file_mail(const char *dir)
{
	char path[4096], draft[4096], final[4096];
	struct timespec now;
	int fd;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(draft, sizeof(draft), "%.2000s/tmp/%ld.%09ld.%d", dir, (long)now.tv_sec, now.tv_nsec, (int)getpid());
	snprintf(final, sizeof(final), "%.2000s/new/%ld.%09ld.%d", dir, (long)now.tv_sec, now.tv_nsec, (int)getpid());
	snprintf(path, sizeof(path), "%.2000s/new", dir);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return EX_CANTCREAT;
	if (copy(STDIN_FILENO, fd) < 0 || fsync(fd) < 0 || close(fd) < 0) {
		unlink(draft);
		return EX_TEMPFAIL;
	}
	return rename(draft, final) < 0 || sync_directory(path) < 0 ? EX_TEMPFAIL : EX_OK;
}

/* _exit: a sanitizer that looks for leaks at the end cannot do so under a tracer, and says so by failing. */
int main(int argc, char **argv)
{
	_exit(argc == 2 ? file_mail(argv[1]) : EX_USAGE);
}
