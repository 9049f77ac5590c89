#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

static log_sink_fn *sink;
static void *sink_context;
static enum log_level max_level = LEVEL_INFO;

void log_to(log_sink_fn *new_sink, void *context, enum log_level new_max_level)
{
	sink = new_sink;
	sink_context = context;
	max_level = new_max_level;
}

enum log_level log_max_level(void)
{
	return max_level;
}

void log_bytes(struct log_entry *entry, const char *key, const void *bytes, size_t len)
{
	size_t key_len = strlen(key), room = sizeof(entry->data) - entry->len;
	char *at = entry->data + entry->len;

	if (entry->fields == LOG_FIELDS_MAX || room < key_len + 3)
		return;
	memcpy(at, key, key_len + 1);
	at += key_len + 1;
	room -= key_len + 2;
	if (len > room)
		len = room;
	for (size_t i = 0; i < len; i++) /* NUL separates the fields */
		at[i] = ((const char *)bytes)[i] != '\0' ? ((const char *)bytes)[i] : ' ';
	at[len] = '\0';
	entry->len = (size_t)(at + len + 1 - entry->data);
	entry->fields++;
}

void log_text(struct log_entry *entry, const char *key, const char *value)
{
	if (value != NULL)
		log_bytes(entry, key, value, strlen(value));
}

void log_number(struct log_entry *entry, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	log_text(entry, key, text);
}

static void add_inherited(struct log_entry *entry, const struct log *log)
{
	if (log == NULL)
		return;
	add_inherited(entry, log->parent);
	if (log->key != NULL)
		log_text(entry, log->key, log->value);
}

void log_begin(struct log_entry *entry, const struct log *log, enum log_level level, const char *event)
{
	entry->level = level;
	snprintf(entry->event, sizeof(entry->event), "%s", event);
	entry->len = 0;
	entry->fields = 0;
	add_inherited(entry, log);
}

void log_end(const struct log_entry *entry)
{
	if (sink != NULL && entry->level <= max_level)
		sink(entry, sink_context);
}

void log_say(const struct log *log, enum log_level level, const char *event, const char *format, ...)
{
	struct log_entry entry;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_begin(&entry, log, level, event);
	log_text(&entry, "text", text);
	log_end(&entry);
}

static bool is_word(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len != 0 && text[len] == '\0';
}

int log_entry_check(const struct log_entry *entry)
{
	const char *at = entry->data, *end = entry->data + entry->len;
	unsigned fields = 0;

	if ((unsigned)entry->level > LEVEL_DEBUG || memchr(entry->event, '\0', sizeof(entry->event)) == NULL || !is_word(entry->event) ||
		entry->len > sizeof(entry->data) || (entry->len != 0 && end[-1] != '\0'))
		return -1;
	for (; at < end; fields++) {
		if (!is_word(at))
			return -1;
		at += strlen(at) + 1;
		if (at >= end)
			return -1;
		at += strlen(at) + 1;
	}
	return fields == entry->fields && fields <= LOG_FIELDS_MAX ? 0 : -1;
}

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};

	return (unsigned)level < sizeof(names) / sizeof(names[0]) ? names[level] : "unknown";
}

/* Anything else is quoted: a space, a quote or an equals sign in remote text must not look like our grammar. */
static bool is_plain(const char *value)
{
	size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:/@+-<>[]*");

	return len != 0 && value[len] == '\0';
}

size_t log_format(char *out, size_t size, const struct log_entry *entry)
{
	const char *at = entry->data, *end = entry->data + entry->len;
	size_t used = (size_t)snprintf(out, size, "%s event=%s", log_level_name(entry->level), entry->event);

	while (at < end) {
		const char *key = at, *value = at + strlen(at) + 1;
		size_t key_len = strlen(key), value_len = strlen(value);

		at = value + value_len + 1;
		if (used + key_len + 8 > size)
			break;
		used += (size_t)sprintf(out + used, " %s=", key);
		if (is_plain(value) && used + value_len < size) {
			used += (size_t)sprintf(out + used, "%s", value);
			continue;
		}
		out[used++] = '"';
		escape_into(out + used, size - used - 2, value, value_len);
		used += strlen(out + used);
		out[used++] = '"';
		out[used] = '\0';
	}
	return used;
}

void log_sink_text(const struct log_entry *entry, void *context)
{
	char line[LOG_BYTES_MAX + 64];
	size_t len = log_format(line, LOG_BYTES_MAX - 1, entry);

	(void)context;
	line[len++] = '\n';
	(void)fs_write_all(STDERR_FILENO, line, len); /* a full disk behind stderr must not stop mail */
}

void log_sink_json(const struct log_entry *entry, void *context)
{
	const char *at = entry->data, *end = entry->data + entry->len;
	struct str line = {0};

	(void)context;
	str_addf(&line, "{\"level\":\"%s\",\"event\":\"%s\"", log_level_name(entry->level), entry->event);
	while (at < end) {
		const char *key = at, *value = at + strlen(at) + 1;

		at = value + strlen(value) + 1;
		str_addf(&line, ",\"%s\":\"", key);
		for (; *value != '\0'; value++) {
			if (*value == '"' || *value == '\\')
				str_addf(&line, "\\%c", *value);
			else if ((unsigned char)*value < 0x20 || (unsigned char)*value >= 0x7F) /* high bytes go as Latin-1 code points */
				str_addf(&line, "\\u%04x", (unsigned char)*value);
			else
				str_add_byte(&line, *value);
		}
		str_add_byte(&line, '"');
	}
	str_add_text(&line, "}\n");
	(void)fs_write_all(STDERR_FILENO, line.data, line.len);
	str_done(&line);
}
