#include "supervisor/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"
#include "channel/record.h"

static bool drawn;

void progress_add(struct progress_total *total, const struct progress_total *part)
{
	total->done += part->done;
	total->messages += part->messages;
	total->done_bytes += part->done_bytes;
	total->bytes += part->bytes;
}

void progress_take(struct progress_total *past, struct progress_total *now, const struct record *record)
{
	struct progress_total reported = {0, record->id, record->count, record->size, (uint64_t)record->when};

	if (reported.done < now->done || reported.messages != now->messages || reported.bytes != now->bytes)
		progress_add(past, now);
	*now = reported;
}

static const char *human_bytes(char *out, size_t size, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
	return out;
}

void progress_draw(const struct progress_total *total, int64_t started_ns)
{
	double seconds = (double)(clock_monotonic_ns() - started_ns) / 1e9;
	double rate = seconds > 0 ? (double)total->done_bytes / seconds : 0;
	double left = rate > 0 && total->bytes > total->done_bytes ? (double)(total->bytes - total->done_bytes) / rate : 0;
	char done[24], all[24], per_second[24];

	fprintf(stderr, "\r\033[Khauling %u mailbox%s: %" PRIu64 " of %" PRIu64 " messages, %s of %s, %s/s, %d:%02d left", total->mailboxes,
		total->mailboxes == 1 ? "" : "es", total->done, total->messages, human_bytes(done, sizeof(done), (double)total->done_bytes),
		human_bytes(all, sizeof(all), (double)total->bytes), human_bytes(per_second, sizeof(per_second), rate), (int)(left / 60),
		(int)left % 60);
	fflush(stderr);
	drawn = true;
}

void progress_clear(void)
{
	if (!drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	drawn = false;
}

void progress_finish(const struct progress_total *total, int64_t started_ns)
{
	int seconds = (int)((clock_monotonic_ns() - started_ns) / 1000000000);
	char bytes[24];

	if (total->messages != 0)
		fprintf(stderr, "%" PRIu64 " of %" PRIu64 " messages, %s in %d:%02d\n", total->done, total->messages,
			human_bytes(bytes, sizeof(bytes), (double)total->done_bytes), seconds / 60, seconds % 60);
}
