/* From YAML to structs: one pass finds which keys stand there, a second reads them once the kind of the section is known. */
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "config/value.h"
#include "config/yaml.h"

/* Returns the key that was probably meant, or NULL. */
static const struct schema_key *report_unknown(const struct schema *schema, const struct node *entry, struct problems *problems)
{
	const char *names[SCHEMA_KEYS_MAX], *nearest;
	size_t count = 0;

	for (size_t i = 0; i < schema->count; i++)
		if ((schema->keys[i].flags & KEY_HIDDEN) == 0)
			names[count++] = schema->keys[i].name;
	nearest = config_nearest(entry->key, names, count);
	if (nearest == NULL) {
		problems_add(problems, entry->key_at, "%s has no key '%.80s' in this version; remove it", schema->noun, entry->key);
		return NULL;
	}
	problems_add(problems, entry->key_at, "%s has no key '%.80s'; did you mean '%s'?", schema->noun, entry->key, nearest);
	return schema_find(schema, nearest);
}

/* A source where a destination is wanted, or the reverse. */
static bool is_other_kind(const struct schema *schema, const char *name)
{
	const struct schema *other = schema == &schema_destination ? &schema_mailbox : &schema_destination;
	const struct schema_key *key = schema->has_kinds ? schema_find(other, name) : NULL;

	return key != NULL && key->kind != 0;
}

static void collect_entry(const struct schema *schema, const struct node *entry, struct reading *reading, struct schema_source *source)
{
	const struct schema_key *key = schema_find(schema, entry->key);
	char kinds[80];

	if (key != NULL && (key->flags & KEY_HIDDEN) == 0) {
		if (source->values[key - schema->keys] == NULL) /* the second of two has been reported */
			source->values[key - schema->keys] = entry;
	} else if (is_other_kind(schema, entry->key)) {
		problems_add(reading->problems, entry->key_at, "%s cannot be '%s', only one of %s", schema->noun, entry->key,
			schema_kind_names(schema, kinds, sizeof(kinds)));
		source->bad_kind = true;
	} else {
		key = report_unknown(schema, entry, reading->problems);
		if (key != NULL && key->kind != 0)
			source->bad_kind = true;
		else if (key != NULL)
			source->bad[key - schema->keys] = true;
	}
}

/* Sorts the entries by key. False: it is no map. */
static bool collect(const struct schema *schema, const struct node *node, struct reading *reading, struct schema_source *ret_source)
{
	*ret_source = (struct schema_source){.schema = schema, .node = node};
	if (node->kind != NODE_MAP) {
		problems_add(reading->problems, node->at, "%s must be written as keys with values, like 'key: value'", schema->noun);
		return false;
	}
	for (const struct node *entry = node->first; entry != NULL; entry = entry->next)
		collect_entry(schema, entry, reading, ret_source);
	return true;
}

/* Which kind of section this is, by the one key that says so; 0 after a problem. */
static unsigned find_kind(
	const struct schema *schema, const struct schema_source *source, const struct schema_source *defaults, struct reading *reading)
{
	const struct schema_key *found = NULL;
	char names[80];

	for (size_t i = 0; i < schema->count; i++) {
		if (schema->keys[i].kind == 0 || source->values[i] == NULL)
			continue;
		if (found != NULL) {
			problems_add(reading->problems, source->values[i]->key_at, "'%s' and '%s' exclude each other; remove one of them",
				found->name, schema->keys[i].name);
			return 0;
		}
		found = &schema->keys[i];
	}
	for (size_t i = 0; found == NULL && defaults != NULL && i < schema->count; i++)
		if (schema->keys[i].kind != 0 && defaults->values[i] != NULL)
			found = &schema->keys[i];
	if (found == NULL && !source->bad_kind && (defaults == NULL || !defaults->bad_kind))
		problems_add(reading->problems, source->node->at, "%s needs one of the keys %s", schema->noun,
			schema_kind_names(schema, names, sizeof(names)));
	return found != NULL ? found->kind : 0;
}

/* Has key number i a meaning in a section of this kind? kind 0: nobody knows. */
static bool belongs(const struct schema_key *key, unsigned kind)
{
	if (key->kind != 0)
		return key->kind == kind;
	return key->for_kinds == 0 || kind == 0 || (key->for_kinds & KINDS(kind)) != 0;
}

static void read_initial(const struct schema_key *key, struct reading *reading, void *value)
{
	char text[32];
	struct node node = {.kind = NODE_TEXT, .text = text};

	snprintf(text, sizeof(text), "%s", key->initial); /* a copy, since nodes are not const; defaults are short words */
	key->type->read(key, &node, reading, value);
}

static void read_key(const struct schema_key *key, struct schema_source *source, const struct schema_source *defaults, unsigned kind,
	struct reading *reading, void *section)
{
	size_t i = (size_t)(key - source->schema->keys);
	void *value = (char *)section + key->offset;
	const struct node *own = source->values[i];

	if (!belongs(key, kind)) {
		if (own != NULL && key->kind == 0)
			problems_add(reading->problems, own->key_at, "'%s' has no meaning beside '%s'; remove it", key->name,
				schema_kind_key(source->schema, kind)->name);
		source->bad[i] = own != NULL;
		return;
	}
	if (own == NULL && !source->bad[i] && defaults != NULL) {
		source->values[i] = defaults->values[i];
		source->bad[i] = defaults->bad[i];
	}
	if (own == NULL && source->bad[i])
		return;
	if (source->values[i] != NULL)
		source->bad[i] = !key->type->read(key, source->values[i], reading, value);
	else if (key->initial != NULL)
		read_initial(key, reading, value);
	else if ((key->flags & (KEY_REQUIRED | KEY_HIDDEN)) == KEY_REQUIRED)
		problems_add(reading->problems, source->node->at, "%s needs the key '%s' (%s)", source->schema->noun, key->name, key->doc);
}

void schema_read(const struct schema *schema, const struct node *node, const struct schema_source *defaults, struct reading *reading, void *section,
	struct schema_source *ret_source)
{
	unsigned kind = 0;

	if (!collect(schema, node, reading, ret_source))
		return;
	if (schema->has_kinds) {
		kind = find_kind(schema, ret_source, defaults, reading);
		*(unsigned *)((char *)section + schema->kind_offset) = kind;
	}
	for (size_t i = 0; i < schema->count; i++)
		read_key(&schema->keys[i], ret_source, defaults, kind, reading, section);
}

void schema_read_defaults(const struct schema *schema, const struct node *node, struct reading *reading, struct schema_source *ret_source)
{
	char *scratch;

	if (!collect(schema, node, reading, ret_source))
		return;
	scratch = xcalloc(1, schema->size);
	for (size_t i = 0; i < schema->count; i++) {
		const struct schema_key *key = &schema->keys[i];
		const struct node *value = ret_source->values[i];

		if (value == NULL)
			continue;
		if ((key->flags & KEY_OWN) != 0) {
			problems_add(reading->problems, value->key_at, "'%s' cannot stand in the defaults; give it to each mailbox", key->name);
			ret_source->values[i] = NULL;
			continue;
		}
		ret_source->bad[i] = !key->type->read(key, value, reading, scratch + key->offset);
		key->type->clear(scratch + key->offset);
	}
	free(scratch);
}
