#define SD_JOURNAL_SUPPRESS_LOCATION 1 /* else each entry has the line of this file in which it is sent */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "base/str.h"

/* MAILHAUL_KEY=value: upper case, as journal fields are. Remote text is escaped here too: journalctl prints it to terminals. */
static void add_field(struct str *fields, const char *key, const char *value)
{
	str_add_text(fields, "MAILHAUL_");
	for (; *key != '\0'; key++)
		str_add_byte(fields, *key >= 'a' && *key <= 'z' ? (char)(*key - 32) : *key);
	str_add_byte(fields, '=');
	str_add_escaped(fields, value, strlen(value), LOG_BYTES_MAX);
	str_add_byte(fields, '\0');
}

void log_sink_journal(const struct log_entry *entry, void *context)
{
	static const int priorities[] = {3, 4, 5, 6, 7}; /* syslog(3): err, warning, notice, info, debug */
	struct iovec vectors[LOG_FIELDS_MAX + 4];
	const char *at = entry->data, *end = entry->data + entry->len;
	struct str fields = {0};
	int count = 0;

	(void)context;
	str_addf(&fields, "PRIORITY=%d", priorities[entry->level]);
	str_add_byte(&fields, '\0');
	str_add_text(&fields, "MESSAGE=");
	fields.len += log_format(str_reserve(&fields, LOG_BYTES_MAX), LOG_BYTES_MAX, entry);
	str_add_byte(&fields, '\0');
	add_field(&fields, "event", entry->event);
	while (at < end) {
		const char *key = at, *value = at + strlen(at) + 1;

		at = value + strlen(value) + 1;
		add_field(&fields, key, value);
	}
	for (char *field = fields.data; field < fields.data + fields.len; field += strlen(field) + 1)
		vectors[count++] = (struct iovec){field, strlen(field)};
	sd_journal_sendv(vectors, count);
	str_done(&fields);
}
