/* The input is a configuration file, and an encoded job. What loads makes jobs that survive the way to a worker. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/job.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void try_job(const struct config *config, struct mailbox_config *mailbox)
{
	struct error err;
	struct job job = {
		.host = xstrdup("host"),
		.installation = xstrdup("x"),
		.mailbox = mailbox,
		.destinations = config->destinations,
		.destination_count = config->destination_count <= TARGETS_MAX ? (unsigned)config->destination_count : TARGETS_MAX,
	};
	int fd = job_encode(&job, &err);
	struct job *copy = fd >= 0 ? job_decode(fd, &err) : NULL;

	if (copy == NULL)
		abort();
	job_free(copy);
	free(job.host);
	free(job.installation);
}

static void try_config(const uint8_t *bytes, size_t len)
{
	static FILE *nowhere;
	int fd = memfd_create("config", MFD_CLOEXEC);
	char path[40];
	struct config *config;

	if (nowhere == NULL)
		nowhere = fopen("/dev/null", "w");
	if (nowhere == NULL || fd < 0 || fchmod(fd, 0600) < 0 || fs_write_all(fd, bytes, len) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	config = config_load(path, "/state", nowhere);
	for (size_t i = 0; config != NULL && i < config->mailbox_count; i++)
		try_job(config, &config->mailboxes[i]);
	config_free(config);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct error err;
	int fd = fs_sealed("job", bytes, len, &err);

	if (fd < 0)
		abort();
	job_free(job_decode(fd, &err));
	try_config(bytes, len);
	return 0;
}
