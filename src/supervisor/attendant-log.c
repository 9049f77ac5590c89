#include <string.h>

#include "base/clock.h"
#include "channel/record.h"
#include "supervisor/allowance.h"
#include "supervisor/attendant.h"

/* What its worker has to say goes into the log, but not without end. */

void attendant_tell_dropped(struct attendant *attendant)
{
	uint64_t dropped = allowance_dropped(attendant->lines);

	if (dropped != 0)
		log_say(&attendant->log, LEVEL_WARNING, "lines_dropped",
			"%llu lines about this mailbox are missing here, since there were more than its mail explains; its server may be at fault",
			(unsigned long long)dropped);
}

bool attendant_may_log(struct attendant *attendant)
{
	if (!allowance_take(attendant->lines, clock_monotonic_ns()))
		return false;
	attendant_tell_dropped(attendant);
	return true;
}

static int read_entry(const struct record *record, struct log_entry *entry)
{
	const char *end = record->text + record->len, *event = record->text;
	const char *first = memchr(event, '\0', record->len);

	if (first == NULL || record->index > LEVEL_DEBUG)
		return -1;
	*entry = (struct log_entry){.level = (enum log_level)record->index, .fields = record->count, .len = (size_t)(end - first - 1)};
	if (entry->len > sizeof(entry->data) || (size_t)(first - event) >= sizeof(entry->event))
		return -1;
	memcpy(entry->event, event, (size_t)(first - event) + 1);
	memcpy(entry->data, first + 1, entry->len);
	return log_entry_check(entry);
}

void attendant_take_log(struct attendant *attendant, const struct record *record)
{
	struct log_entry entry, copy;

	if (read_entry(record, &copy) < 0 || copy.level > log_max_level() || !attendant_may_log(attendant))
		return;
	log_begin(&entry, &attendant->log, copy.level, copy.event); /* which mailbox it is, we know best */
	for (const char *at = copy.data; at < copy.data + copy.len;) {
		const char *value = at + strlen(at) + 1;

		log_text(&entry, at, value);
		at = value + strlen(value) + 1;
	}
	log_end(&entry);
}
