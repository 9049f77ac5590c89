/* schema.h - the keys of the configuration: one table per kind of section, and nothing else knows a key, its type, its default or its field.
 * The tables read YAML, apply defaults, encode a section for a job and decode it again, free it, and print config/schema.json.
 * To add a key: a field in config.h and a row here; the worker gets it, the defaults section knows it. */
#ifndef MAILHAUL_CONFIG_SCHEMA_H
#define MAILHAUL_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/problems.h"

struct decoder;
struct node;
struct str;
struct value_type;
struct value_word;

enum schema_flag {
	KEY_REQUIRED = 1,
	KEY_OWN = 2,          /* cannot stand in the defaults section */
	KEY_HIDDEN = 4,       /* encoded, but nothing that can be written */
	KEY_MAY_BE_EMPTY = 8, /* "" is a value */
	KEY_UNIX = 16,        /* an endpoint that may be a unix socket */
};

struct schema_key {
	const char *name;
	const struct value_type *type;
	size_t offset; /* in the struct of the section */
	unsigned flags;
	unsigned kind;                          /* not 0: this key makes the section one of this kind; exactly one such key stands in it */
	unsigned for_kinds;                     /* KINDS() it has a meaning for; 0: all */
	const char *initial;                    /* its default, as it would be written; NULL: all-zero */
	uint64_t min, max;                      /* counts, seconds, bytes */
	const struct value_word *words;         /* enumerations */
	const char *(*check)(const char *text); /* texts: NULL, or what is wrong, as the end of a sentence */
	uint16_t ports[4];                      /* endpoints: by enum tls_mode */
	const char *json;                       /* nested sections: how config/schema.json describes them */
	const char *doc;                        /* one line, no full stop */
};

#define KINDS(kind) (1u << (kind))
#define SCHEMA_KEYS_MAX 32

struct schema {
	const char *noun; /* "a mailbox" */
	const struct schema_key *keys;
	size_t count;
	size_t size; /* of the struct */
	bool has_kinds;
	bool has_defaults;  /* a value may come from the defaults section */
	size_t kind_offset; /* with has_kinds */
};

extern const struct schema schema_top, schema_mailbox, schema_destination;

/* What reading needs to know, and finds out. */
struct reading {
	struct problems *problems;
	const char *base_dir;  /* what "./" stands for: the directory of the configuration file */
	bool literal_password; /* one was seen: the file itself is a secret */
};

/* Where the values of one section stand, as long as the YAML tree lives. */
struct schema_source {
	const struct schema *schema;
	const struct node *node;
	const struct node *values[SCHEMA_KEYS_MAX]; /* by key: its own, else that of the defaults section; NULL: not written */
	bool bad[SCHEMA_KEYS_MAX];                  /* written, if perhaps under a mistyped name, but of no use, and reported */
	bool bad_kind;                              /* the same for the key that decides the kind */
};

/* Reads a section into its all-zero struct. defaults may be NULL. Everything that is wrong is added to the problems; what was read is kept. */
void schema_read(const struct schema *schema, const struct node *node, const struct schema_source *defaults, struct reading *reading, void *section,
	struct schema_source *ret_source);
/* The defaults section: each value is checked, nothing is kept. */
void schema_read_defaults(const struct schema *schema, const struct node *node, struct reading *reading, struct schema_source *ret_source);
/* The value of a key, or NULL. */
const struct node *schema_value(const struct schema_source *source, const char *key);
/* Did the operator mean to give this key a value? True also if there is none because of a problem that was reported. */
bool schema_is_written(const struct schema_source *source, const char *key);

/* NULL if there is none of that name; hidden ones included. */
const struct schema_key *schema_find(const struct schema *schema, const char *name);
/* The key that makes sections of this kind; NULL for another number. */
const struct schema_key *schema_kind_key(const struct schema *schema, unsigned kind);
/* The kind of a section; 0: none, or it has no kinds. */
unsigned schema_kind(const struct schema *schema, const void *section);
/* "imap, pop3": for sentences. Returns out. */
char *schema_kind_names(const struct schema *schema, char *out, size_t size);
void schema_clear(const struct schema *schema, void *section); /* frees all values; all-zero is fine */

/* For jobs: everything but passwords. section: all-zero before decode; after a failure schema_clear frees what was decoded. */
void schema_encode(const struct schema *schema, const void *section, struct str *out);
bool schema_decode(const struct schema *schema, struct decoder *in, void *ret_section);

/* config/schema.json: JSON Schema, draft 2020-12, for editors. */
void schema_print_json(FILE *out);

#endif
