/* What becomes of a message at the source: a word, or a map of one key. */
#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/code.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/yaml.h"

#define CHOICES "keep, delete, mark_seen, {delete_after: TIME} or {move_to: FOLDER}"

static bool read_move_to(const struct schema_key *key, const struct node *entry, struct reading *reading, struct after_delivery *after)
{
	const char *folder = value_text("move_to", entry, false, reading), *wrong = folder != NULL ? key->check(folder) : NULL;

	if (wrong != NULL)
		problems_add(reading->problems, entry->at, "move_to: '%.80s' %s", folder, wrong);
	if (folder == NULL || wrong != NULL)
		return false;
	*after = (struct after_delivery){.what = DISPOSE_MOVE, .folder = xstrdup(folder)};
	return true;
}

static bool read_delete_after(const struct node *entry, struct reading *reading, struct after_delivery *after)
{
	static const struct schema_key key = {.name = "delete_after", .max = 3650 * 86400};
	uint32_t seconds = 0;

	if (!type_duration.read(&key, entry, reading, &seconds))
		return false;
	*after = (struct after_delivery){.what = DISPOSE_DELETE, .retention_s = seconds};
	return true;
}

static bool read_after_delivery(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	static const struct value_word words[] = {{"keep", DISPOSE_KEEP}, {"delete", DISPOSE_DELETE}, {"mark_seen", DISPOSE_MARK_SEEN}, {NULL, 0}};
	const struct node *entry = node->first;

	for (const struct value_word *word = words; node->kind == NODE_TEXT && word->word != NULL; word++)
		if (strcmp(node->text, word->word) == 0) {
			*(struct after_delivery *)value = (struct after_delivery){.what = word->value};
			return true;
		}
	if (node->kind == NODE_MAP && entry != NULL && entry->next == NULL && strcmp(entry->key, "move_to") == 0)
		return read_move_to(key, entry, reading, value);
	if (node->kind == NODE_MAP && entry != NULL && entry->next == NULL && strcmp(entry->key, "delete_after") == 0)
		return read_delete_after(entry, reading, value);
	if (node->kind == NODE_TEXT)
		problems_add(reading->problems, node->at, "%s must be " CHOICES ", not '%.80s'", key->name, node->text);
	else
		problems_add(reading->problems, node->at, "%s must be " CHOICES, key->name);
	return false;
}

static void encode_after_delivery(const struct schema_key *key, const void *value, struct str *out)
{
	const struct after_delivery *after = value;

	(void)key;
	encode_u32(out, after->what);
	encode_text(out, after->folder);
	encode_u32(out, after->retention_s);
}

static bool decode_after_delivery(const struct schema_key *key, struct decoder *in, void *value)
{
	struct after_delivery *after = value;
	uint32_t what;

	(void)key;
	if (!decode_u32(in, DISPOSE_MOVE, &what) || !decode_text(in, false, &after->folder) || !decode_u32(in, UINT32_MAX, &after->retention_s))
		return false;
	after->what = what;
	return (what == DISPOSE_MOVE) == (after->folder != NULL) && (what == DISPOSE_DELETE || after->retention_s == 0);
}

static void clear_after_delivery(void *value)
{
	struct after_delivery *after = value;

	free(after->folder);
	*after = (struct after_delivery){0};
}

static void print_after_delivery(const struct schema_key *key, FILE *out)
{
	static const char head[] = "{\"type\": \"object\", \"additionalProperties\": false, \"required\": ";

	(void)key;
	fprintf(out, "\"anyOf\": [{\"enum\": [\"keep\", \"delete\", \"mark_seen\"]}, %s[\"delete_after\"], \"properties\": {\"delete_after\": {",
		head);
	type_duration.print(NULL, out);
	fprintf(out, "}}}, %s[\"move_to\"], \"properties\": {\"move_to\": {\"type\": \"string\"}}}]", head);
}

const struct value_type type_after_delivery = {
	read_after_delivery, encode_after_delivery, decode_after_delivery, clear_after_delivery, print_after_delivery};
