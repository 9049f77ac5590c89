/* value.h - the types of configuration values. Each knows how it is written in YAML, encoded for a job, freed, and described in JSON Schema.
 * A value lives in a field of the section's struct; all-zero means that nothing was written. */
#ifndef MAILHAUL_CONFIG_VALUE_H
#define MAILHAUL_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct decoder;
struct node;
struct reading;
struct schema_key;
struct str;

/* value: points to the field. */
struct value_type {
	/* False after a problem was added; the field is unchanged then. */
	bool (*read)(const struct schema_key *key, const struct node *node, struct reading *reading, void *value);
	void (*encode)(const struct schema_key *key, const void *value, struct str *out); /* NULL: does not travel in a job */
	bool (*decode)(const struct schema_key *key, struct decoder *in, void *value);
	void (*clear)(void *value);
	void (*print)(const struct schema_key *key, FILE *out); /* members of a JSON object, without the braces */
};

/* A word of an enumeration; NULL ends the table. */
struct value_word {
	const char *word;
	unsigned value;
};

/* value.c: texts and lists of them */
extern const struct value_type type_text;    /* char * */
extern const struct value_type type_list;    /* char **: one text or a list of at least one */
extern const struct value_type type_argv;    /* char **: always a list */
extern const struct value_type type_section; /* read by whoever knows the inner table */
/* value-number.c */
extern const struct value_type type_bool;     /* bool */
extern const struct value_type type_word;     /* an enum */
extern const struct value_type type_words;    /* unsigned, a bit mask: one word or a list of them */
extern const struct value_type type_count;    /* uint32_t */
extern const struct value_type type_duration; /* uint32_t, seconds */
extern const struct value_type type_size;     /* uint64_t, bytes */
/* value-mail.c */
extern const struct value_type type_path;      /* char *, absolute */
extern const struct value_type type_pins;      /* char **, lower-case hex SHA-256 */
extern const struct value_type type_endpoint;  /* struct endpoint */
extern const struct value_type type_password;  /* struct password */
extern const struct value_type type_first_run; /* struct first_run_setting */
/* value-disposal.c */
extern const struct value_type type_after_delivery; /* struct after_delivery */

/* value-refuse.c */
extern const struct value_type type_on_refuse; /* struct on_refuse */

/* For the types that are made of texts: the text of a node, free of control characters and not too long, or NULL after a problem. name: as it is
 * to be called. */
const char *value_text(const char *name, const struct node *node, bool may_be_empty, struct reading *reading);
/* A list of at least one text, each checked; one text may stand without brackets unless brackets is true. NULL after a problem; the caller frees. */
char **value_list(const char *name, const struct node *node, bool brackets, const char *(*check)(const char *), struct reading *reading);
bool value_date(const char *text, int64_t *ret_seconds); /* YYYY-MM-DD, UTC; false: there is no such day */
/* This key has to have a value in every section that it belongs to. */
bool value_is_required(const struct schema_key *key);
void value_clear_text(void *value);
void value_clear_list(void *value);
void value_encode_text(const struct schema_key *key, const void *value, struct str *out);
bool value_decode_text(const struct schema_key *key, struct decoder *in, void *value);
void value_encode_list(const struct schema_key *key, const void *value, struct str *out);
bool value_decode_list(const struct schema_key *key, struct decoder *in, void *value);

#endif
