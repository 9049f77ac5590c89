#include "supervisor/maildirs.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "dest/maildir.h"
#include "state/marker.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"

#define NS_PER_S INT64_C(1000000000)

struct maildir {
	char *path;
	uint64_t number;   /* as it was when it was tidied last, or MAILDIR_UNKNOWN */
	int64_t tidied_ns; /* CLOCK_MONOTONIC */
	int64_t marked_s;  /* wall clock: its marker is in order until then */
};

/* As many as configurations have named since the start. */
struct maildirs {
	struct maildir *list;
	size_t count;
};

struct maildirs *maildirs_new(void)
{
	return xcalloc(1, sizeof(struct maildirs));
}

void maildirs_free(struct maildirs *maildirs)
{
	if (maildirs == NULL)
		return;
	for (size_t i = 0; i < maildirs->count; i++)
		free(maildirs->list[i].path);
	free(maildirs->list);
	free(maildirs);
}

static struct maildir *find(const struct maildirs *maildirs, const char *path)
{
	for (size_t i = 0; i < maildirs->count; i++)
		if (strcmp(maildirs->list[i].path, path) == 0)
			return &maildirs->list[i];
	return NULL;
}

static struct maildir *find_or_add(struct maildirs *maildirs, const char *path)
{
	struct maildir *maildir = find(maildirs, path);

	if (maildir != NULL)
		return maildir;
	maildirs->list = xreallocarray(maildirs->list, maildirs->count + 1, sizeof(*maildirs->list));
	maildirs->list[maildirs->count] = (struct maildir){.path = xstrdup(path)};
	return &maildirs->list[maildirs->count++];
}

static uint64_t number_tidied(const struct maildirs *maildirs, const char *path)
{
	const struct maildir *maildir = find(maildirs, path);

	return maildir != NULL && clock_monotonic_ns() - maildir->tidied_ns < MAILDIR_TIDY_S * NS_PER_S ? maildir->number : MAILDIR_UNKNOWN;
}

bool maildirs_marker_is_due(const struct maildirs *maildirs, const char *path, int64_t now_s)
{
	const struct maildir *maildir = find(maildirs, path);

	return maildir == NULL || now_s >= maildir->marked_s || maildir->marked_s - now_s > MARKER_REFRESH_S;
}

void maildirs_put_off_marker(struct maildirs *maildirs, const char *path, int64_t until_s)
{
	find_or_add(maildirs, path)->marked_s = until_s;
}

void maildirs_expect(struct attendant *attendant)
{
	struct job *job = &attendant->job;

	for (unsigned i = 0; i < job->destination_count; i++) {
		const struct dest_config *dest = &job->destinations[i];

		attendant->places[i] = dest->kind != DEST_MAILDIR ? MAILDIR_ELSEWHERE : 0;
		if (dest->kind != DEST_MAILDIR)
			continue;
		if (destination_is_left_out(attendant, i))
			job->closed |= UINT64_C(1) << i;
		else
			attendant->unopened |= UINT64_C(1) << i;
		job->tidied[i] = number_tidied(attendant->service->maildirs, dest->path);
	}
}

/* It has tidied what had another number than it was told. */
static void note_tidied(struct maildirs *maildirs, const char *path, uint64_t number, uint64_t told)
{
	struct maildir *maildir;

	if (number == told)
		return;
	maildir = find_or_add(maildirs, path);
	maildir->number = number;
	maildir->tidied_ns = clock_monotonic_ns();
}

const char *maildirs_take(struct attendant *attendant, const struct record *record)
{
	unsigned i = record->index;
	const struct maildir_sight sight = {.inode = record->id, .born_s = record->when, .born_ns = record->size, .number = record->targets};

	if ((attendant->unopened >> i & 1) == 0)
		return "of none that it was to open, or twice";
	attendant->unopened &= ~(UINT64_C(1) << i);
	if (record->count == 0)
		return NULL;
	attendant->places[i] = maildir_place(&sight);
	note_tidied(attendant->service->maildirs, attendant->job.destinations[i].path, sight.number, attendant->job.tidied[i]);
	return NULL;
}

static bool has_others(const struct attendant *attendant, unsigned index)
{
	unsigned count = attendant->job.destination_count;
	uint64_t all = count == TARGETS_MAX ? UINT64_MAX : (UINT64_C(1) << count) - 1;

	return (all & ~attendant->job.closed & ~(UINT64_C(1) << index)) != 0;
}

void maildirs_give_up(struct attendant *attendant)
{
	unsigned first = (unsigned)__builtin_ctzll(attendant->unopened); /* it opens one after the other */
	const struct dest_config *dest = &attendant->job.destinations[first];

	error_set(&attendant->result, ERR_LOCAL, SCOPE_DESTINATION,
		"destination %s: the file system of %s does not answer; is it on a network, and its server down?", dest->name, dest->path);
	/* If another mailhaul has the database, the next session hangs, too, and tells it then. */
	attendant->unfinished = attendant->mode == JOB_HAUL &&
				destinations_note_failure(attendant, first, &attendant->result, &(struct error){0}) == 0 &&
				has_others(attendant, first);
}
