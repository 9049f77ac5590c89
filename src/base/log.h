/* log.h - one event, one line, stable key=value, remote text escaped to printable ASCII and cut.
 * A struct log carries what its call sites have in common (mailbox, folder, ...); an entry says only what is new.
 * Where entries go is set once per process: the supervisor writes them, a worker sends them through its channel. */
#ifndef MAILHAUL_BASE_LOG_H
#define MAILHAUL_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG };

#define LOG_FIELDS_MAX 24
#define LOG_BYTES_MAX 1024 /* a whole line; keeps one hostile reply from filling a disk */

/* An entry being built: fields as "key\0value\0" pairs, so that it crosses a channel as it is. Values may hold any byte but NUL. */
struct log_entry {
	enum log_level level;
	char event[32];
	size_t len;
	unsigned fields;
	char data[LOG_BYTES_MAX];
};

struct log {
	const struct log *parent; /* its fields come first */
	const char *key, *value;  /* one inherited field; borrowed */
};

typedef void log_sink_fn(const struct log_entry *entry, void *context);
/* The process-wide sink and the least important level that reaches it. Before this is called nothing is logged. */
void log_to(log_sink_fn *sink, void *context, enum log_level max_level);
enum log_level log_max_level(void);

/* Fields after the room is used up are dropped, over-long values cut. */
void log_begin(struct log_entry *entry, const struct log *log, enum log_level level, const char *event);
void log_text(struct log_entry *entry, const char *key, const char *value); /* NULL: no field */
void log_bytes(struct log_entry *entry, const char *key, const void *bytes, size_t len);
void log_number(struct log_entry *entry, const char *key, int64_t value);
void log_end(const struct log_entry *entry);
/* The common case: an event and one sentence, as field text=. */
void log_say(const struct log *log, enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Checks an entry that came through a channel: level, event and keys are plain words, fields complete. */
int log_entry_check(const struct log_entry *entry);
const char *log_level_name(enum log_level level);

/* The sinks of the supervisor's side. context: NULL. */
void log_sink_text(const struct log_entry *entry, void *context);    /* stderr: event=... key=value */
void log_sink_json(const struct log_entry *entry, void *context);    /* stderr: one object a line */
void log_sink_journal(const struct log_entry *entry, void *context); /* sd_journal_sendv with MAILHAUL_KEY= fields */
/* The text form into out; returns its length. Quoted where a value is not a plain word, so no value can pretend to be a field. */
size_t log_format(char *out, size_t size, const struct log_entry *entry);

#endif
