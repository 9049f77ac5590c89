#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/code.h"
#include "config/schema.h"
#include "config/yaml.h"
#include "mail/utf8.h"

/* Longer than any name, address or folder that a server accepts. */
#define TEXT_MAX 1000
/* Some checks look at pairs. */
#define LIST_MAX 1000

const char *value_text(const char *name, const struct node *node, bool may_be_empty, struct reading *reading)
{
	if (node->kind != NODE_TEXT)
		problems_add(reading->problems, node->at, "%s must be a single text%s", name,
			node->kind == NODE_MAP ? "; if it is meant to begin with {, put it in quotes" : "");
	else if (node_is_null(node))
		problems_add(reading->problems, node->at, "%s has no value; write one, or remove the line", name);
	else if (node->text[0] == '\0' && !may_be_empty)
		problems_add(reading->problems, node->at, "%s is empty; write a value, or remove the line", name);
	else if (!utf8_is_printable(node->text, strlen(node->text)))
		problems_add(reading->problems, node->at, "%s holds a line break or another control character; remove it", name);
	else if (strlen(node->text) > TEXT_MAX)
		problems_add(reading->problems, node->at, "%s is longer than %d bytes", name, TEXT_MAX);
	else
		return node->text;
	return NULL;
}

/* The same for a key of the table, with its own check. */
static const char *checked_text(
	const char *name, const char *(*check)(const char *), const struct node *node, bool may_be_empty, struct reading *reading)
{
	const char *text = value_text(name, node, may_be_empty, reading), *wrong = text != NULL && check != NULL ? check(text) : NULL;

	if (wrong == NULL)
		return text;
	problems_add(reading->problems, node->at, "%s: '%.80s' %s", name, text, wrong);
	return NULL;
}

char **value_list(const char *name, const struct node *node, bool brackets, const char *(*check)(const char *), struct reading *reading)
{
	size_t count = 0, used = 0;
	char **list;

	if (node->kind == NODE_MAP || (brackets && node->kind != NODE_LIST)) {
		problems_add(reading->problems, node->at, "%s must be a list in brackets: %s: [first, second]", name, name);
		return NULL;
	}
	for (const struct node *item = node_item(node, 0); item != NULL; item = node->kind == NODE_LIST ? item->next : NULL)
		count++;
	if (count == 0) {
		problems_add(reading->problems, node->at, "%s is an empty list; write at least one entry, or remove the line", name);
		return NULL;
	}
	if (count > LIST_MAX) {
		problems_add(reading->problems, node->at, "%s has more than %d entries", name, LIST_MAX);
		return NULL;
	}
	list = xcalloc(count + 1, sizeof(*list));
	for (const struct node *item = node_item(node, 0); item != NULL; item = node->kind == NODE_LIST ? item->next : NULL) {
		const char *text = checked_text(name, check, item, false, reading);

		if (text != NULL)
			list[used++] = xstrdup(text);
	}
	if (used == count)
		return list;
	strv_free(list);
	return NULL;
}

bool value_is_required(const struct schema_key *key)
{
	return key->kind != 0 || (key->flags & KEY_REQUIRED) != 0;
}

void value_clear_text(void *value)
{
	char **text = value;

	free(*text);
	*text = NULL;
}

void value_clear_list(void *value)
{
	char ***list = value;

	strv_free(*list);
	*list = NULL;
}

void value_encode_text(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_text(out, *(char *const *)value);
}

bool value_decode_text(const struct schema_key *key, struct decoder *in, void *value)
{
	return decode_text(in, value_is_required(key), value);
}

void value_encode_list(const struct schema_key *key, const void *value, struct str *out)
{
	(void)key;
	encode_list(out, *(char **const *)value);
}

bool value_decode_list(const struct schema_key *key, struct decoder *in, void *value)
{
	return decode_list(in, value_is_required(key), value);
}

static bool read_text(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = checked_text(key->name, key->check, node, (key->flags & KEY_MAY_BE_EMPTY) != 0, reading);

	if (text == NULL)
		return false;
	*(char **)value = xstrdup(text);
	return true;
}

static void print_text(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"string\"", out);
}

const struct value_type type_text = {read_text, value_encode_text, value_decode_text, value_clear_text, print_text};

static bool read_list(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	char **list = value_list(key->name, node, false, key->check, reading);

	if (list == NULL)
		return false;
	*(char ***)value = list;
	return true;
}

static void print_list(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"minItems\": 1}]", out);
}

const struct value_type type_list = {read_list, value_encode_list, value_decode_list, value_clear_list, print_list};

static bool read_argv(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	char **list = value_list(key->name, node, true, key->check, reading);

	if (list == NULL)
		return false;
	*(char ***)value = list;
	return true;
}

static void print_argv(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"array\", \"items\": {\"type\": \"string\"}, \"minItems\": 1", out);
}

const struct value_type type_argv = {read_argv, value_encode_list, value_decode_list, value_clear_list, print_argv};

static bool read_section(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	(void)value;
	if (!node_is_null(node))
		return true;
	problems_add(reading->problems, node->at, "%s is empty; write at least one entry below it", key->name);
	return false;
}

static void clear_section(void *value)
{
	(void)value;
}

static void print_section(const struct schema_key *key, FILE *out)
{
	fputs(key->json, out);
}

const struct value_type type_section = {read_section, NULL, NULL, clear_section, print_section};
