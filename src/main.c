/* main.c - forks the spawner before anything else exists, then hands over to a command. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "command/command.h"
#include "spawner/spawner.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* A descriptor that is opened later must not become 0, 1 or 2. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* For tests of deadlines: MAILHAUL_DEADLINE_FACTOR=0.01 makes minutes of seconds. */
static void read_deadline_factor(void)
{
	const char *text = getenv("MAILHAUL_DEADLINE_FACTOR");
	double factor = text != NULL ? strtod(text, NULL) : 0;

	if (factor > 0)
		deadline_set_factor(factor);
}

/* What is inherited by all roles: no core file holds mail or passwords, no other program of the same user looks inside, and a file that would grow
 * beyond a limit (setrlimit(2)) is an error to report, like a full disk, and not the end of the process. */
static void keep_to_ourselves(void)
{
	signal(SIGXFSZ, SIG_IGN);
#ifndef __SANITIZE_ADDRESS__ /* whose leak check looks inside */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* There is no core file to read, and for whoever started us it is an error like others: no memory, or a failed assertion, which has said so itself. */
static void on_abort(int number)
{
	static const char text[] = "mailhaul: gave up: out of memory, or an error in mailhaul\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)number;
	(void)ignored;
	_exit(EX_SOFTWARE);
}

/* The command, or what was asked instead of one. */
static int act(const struct options *options, const struct command *command)
{
	struct spawner spawner = {.fd = -1};
	struct error err;
	int code;

	if (options->version) {
		puts("mailhaul " PACKAGE_VERSION);
		return EX_OK;
	}
	if (options->help || command == NULL) {
		print_help(options->help ? stdout : stderr, command);
		return options->help ? EX_OK : EX_USAGE;
	}
	if (command->needs_spawner && spawner_start(&spawner, &err) < 0) {
		fprintf(stderr, "mailhaul: %s\n", err.text);
		return EX_OSERR;
	}
	code = command->run(options, &spawner);
	spawner_stop(&spawner);
	return code;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	const struct command *command;
	int code;

	fill_standard_descriptors();
	umask(077);
	keep_to_ourselves();
	signal(SIGABRT, on_abort); /* programs that are started get back the default */
	read_deadline_factor();
	code = options_parse(&options, argc, argv, &command) < 0 ? EX_USAGE : act(&options, command);
	options_done(&options);
	return code;
}
