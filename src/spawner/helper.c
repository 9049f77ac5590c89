#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawner/spawner.h"

/* sysexits.h has no word for these two; shells use them. */
enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

void helper_main(char *const *argv, char *const *environment, const int stdio[3])
{
	int safe[3];
	sigset_t none;

	setsid(); /* so that the whole of it can be killed, Ctrl-C passes it by, and it does not stop for a terminal in the background */
	for (int i = 0; i < 3; i++)
		safe[i] = fcntl(stdio[i], F_DUPFD, 10); /* out of the way of 0, 1 and 2 */
	for (int i = 0; i < 3; i++)
		if (safe[i] < 0 || dup2(safe[i], i) < 0)
			_exit(EXIT_NOT_EXECUTABLE);
	syscall(SYS_close_range, 3U, ~0U, 0U);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvpe(argv[0], argv, environment);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
