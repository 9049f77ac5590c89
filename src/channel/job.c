#include "channel/job.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/code.h"
#include "config/config.h"
#include "config/schema.h"

/* A configuration is at most 1 MiB; the rest is room for the certificate authorities of each destination. */
#define JOB_MAX_BYTES (16 * 1024 * 1024)
#define DESTINATIONS_MAX TARGETS_MAX

/* POP3 knows no folders, and counts as one. */
static unsigned folder_count(const struct job *job)
{
	size_t count = strv_length(job->mailbox->folders);

	return count != 0 ? (unsigned)count : 1;
}

static void encode_facts(struct str *out, const struct job *job)
{
	const struct host_facts *host = &job->host_facts;

	encode_u32(out, host->known);
	encode_u32(out, host->before);
	encode_u32(out, host->after);
	encode_u32(out, host->mechanisms);
	encode_u32(out, host->boundary);
	encode_u32(out, host->idle_s);
	encode_u32(out, host->login_delay_s);
	encode_u32(out, job->folder_facts != NULL);
	for (unsigned i = 0; job->folder_facts != NULL && i < folder_count(job); i++) {
		const struct folder_facts *folder = &job->folder_facts[i];

		encode_u32(out, folder->settled);
		encode_u64(out, folder->uidvalidity);
		encode_u64(out, folder->mark);
		encode_u32(out, folder->present);
		encode_u32(out, folder->has_listing);
		str_add(out, folder->listing, sizeof(folder->listing));
	}
}

int job_encode(const struct job *job, struct error *err)
{
	struct str out = {0};
	int fd;

	encode_u32(&out, job->mode);
	encode_u32(&out, job->trace);
	encode_u32(&out, job->log_level);
	encode_u32(&out, job->sandbox);
	encode_text(&out, job->host);
	encode_text(&out, job->installation);
	encode_u64(&out, (uint64_t)job->adopt_before);
	schema_encode(&schema_mailbox, job->mailbox, &out);
	encode_facts(&out, job);
	encode_u32(&out, job->destination_count);
	for (unsigned i = 0; i < job->destination_count; i++) {
		schema_encode(&schema_destination, &job->destinations[i], &out);
		encode_u64(&out, job->tidied[i]);
	}
	encode_u64(&out, job->closed);
	encode_u32(&out, job->target_count);
	for (unsigned i = 0; i < job->target_count; i++) {
		encode_u32(&out, job->targets[i].dest);
		encode_text(&out, job->targets[i].recipient);
	}
	encode_u64(&out, job->frozen);
	if (out.len > JOB_MAX_BYTES)
		fd = error_set(err, ERR_CONFIG, SCOPE_MAILBOX,
			"the settings of this mailbox and its destinations take more than %d MiB; is a ca_file too large?",
			JOB_MAX_BYTES / (1024 * 1024));
	else
		fd = fs_sealed("mailhaul-job", out.data, out.len, err);
	str_done(&out);
	return fd;
}

static bool decode_header(struct decoder *in, struct job *job)
{
	uint64_t adopt_before;
	uint32_t mode, trace;

	if (!decode_u32(in, JOB_LISTEN, &mode) || !decode_u32(in, 1, &trace))
		return false;
	job->mode = mode;
	job->trace = trace != 0;
	if (!decode_u32(in, LEVEL_DEBUG, &job->log_level) || !decode_u32(in, SANDBOX_OFF, &job->sandbox) || !decode_text(in, true, &job->host) ||
		!decode_text(in, true, &job->installation) || !decode_u64(in, &adopt_before))
		return false;
	job->adopt_before = (int64_t)adopt_before;
	return true;
}

static bool decode_bool(struct decoder *in, bool *ret_value)
{
	uint32_t value;

	if (!decode_u32(in, 1, &value))
		return false;
	*ret_value = value != 0;
	return true;
}

static bool decode_folder_facts(struct decoder *in, struct folder_facts *folder)
{
	if (!decode_bool(in, &folder->settled) || !decode_u64(in, &folder->uidvalidity) || !decode_u64(in, &folder->mark) ||
		!decode_u32(in, UINT32_MAX, &folder->present) || !decode_bool(in, &folder->has_listing) || in->left < sizeof(folder->listing))
		return false;
	memcpy(folder->listing, in->at, sizeof(folder->listing));
	in->at += sizeof(folder->listing);
	in->left -= sizeof(folder->listing);
	return true;
}

static bool decode_facts(struct decoder *in, struct job *job)
{
	struct host_facts *host = &job->host_facts;
	uint32_t boundary;
	bool has_folders;

	if (!decode_bool(in, &host->known) || !decode_u32(in, UINT32_MAX, &host->before) || !decode_u32(in, UINT32_MAX, &host->after) ||
		!decode_u32(in, UINT32_MAX, &host->mechanisms) || !decode_u32(in, BOUNDARY_UNSAFE, &boundary) ||
		!decode_u32(in, UINT32_MAX, &host->idle_s) || !decode_u32(in, UINT32_MAX, &host->login_delay_s) || !decode_bool(in, &has_folders))
		return false;
	host->boundary = boundary;
	if (!has_folders)
		return true;
	job->folder_facts = xcalloc(folder_count(job), sizeof(*job->folder_facts));
	for (unsigned i = 0; i < folder_count(job); i++)
		if (!decode_folder_facts(in, &job->folder_facts[i]))
			return false;
	return true;
}

static bool decode_destinations(struct decoder *in, struct job *job)
{
	uint32_t count;

	if (!decode_u32(in, DESTINATIONS_MAX, &count))
		return false;
	job->destinations = xcalloc(count, sizeof(*job->destinations));
	while (job->destination_count < count) {
		unsigned i = job->destination_count++;

		if (!schema_decode(&schema_destination, in, &job->destinations[i]) || !decode_u64(in, &job->tidied[i]))
			return false;
	}
	return decode_u64(in, &job->closed);
}

static bool decode_targets(struct decoder *in, struct job *job)
{
	uint32_t count;

	if (!decode_u32(in, TARGETS_MAX, &count))
		return false;
	while (job->target_count < count) {
		struct target *target = &job->targets[job->target_count++];

		if (!decode_u32(in, UINT32_MAX, &target->dest) || target->dest >= job->destination_count ||
			!decode_text(in, true, &target->recipient))
			return false;
	}
	return decode_u64(in, &job->frozen) && (count == TARGETS_MAX || job->frozen >> count == 0);
}

static bool decode(struct decoder *in, struct job *job)
{
	job->mailbox = xcalloc(1, sizeof(*job->mailbox));
	if (!decode_header(in, job) || !schema_decode(&schema_mailbox, in, job->mailbox) || !decode_facts(in, job) || !decode_destinations(in, job) ||
		!decode_targets(in, job))
		return false;
	/* A source goes through its folders without asking whether there are any. */
	return in->left == 0 && (job->mailbox->protocol != PROTOCOL_IMAP || job->mailbox->folders != NULL);
}

struct job *job_decode(int fd_take, struct error *err)
{
	struct job *job;
	const void *bytes;
	size_t len;
	bool good;

	if (fs_map_sealed(fd_take, JOB_MAX_BYTES, &bytes, &len, err) < 0)
		return NULL;
	job = xcalloc(1, sizeof(*job));
	good = decode(&(struct decoder){bytes, len}, job);
	if (bytes != NULL)
		munmap((void *)bytes, len);
	if (good)
		return job;
	job_free(job);
	error_set(err, ERR_LOCAL, SCOPE_MAILBOX, "the job that came from the supervisor makes no sense");
	return NULL;
}

void job_free(struct job *job)
{
	if (job == NULL)
		return;
	if (job->mailbox != NULL)
		schema_clear(&schema_mailbox, job->mailbox);
	for (unsigned i = 0; i < job->destination_count; i++)
		schema_clear(&schema_destination, &job->destinations[i]);
	for (unsigned i = 0; i < job->target_count; i++)
		free(job->targets[i].recipient);
	free(job->mailbox);
	free(job->folder_facts);
	free(job->destinations);
	free(job->host);
	free(job->installation);
	free(job);
}
