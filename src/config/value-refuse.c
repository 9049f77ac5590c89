#include "config/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "config/schema.h"
#include "config/yaml.h"

static bool read_destination(const struct schema_key *key, const struct node *entry, struct reading *reading, struct on_refuse *ret_rule)
{
	const char *name = value_text("deliver_to", entry, false, reading), *wrong = name != NULL ? key->check(name) : NULL;

	if (wrong != NULL)
		problems_add(reading->problems, entry->at, "deliver_to: '%.80s' %s", name, wrong);
	if (name == NULL || wrong != NULL)
		return false;
	*ret_rule = (struct on_refuse){.what = REFUSE_DELIVER_TO, .destination = xstrdup(name)};
	return true;
}

static bool read_on_refuse(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	static const struct value_word words[] = {{"hold", REFUSE_HOLD}, {"delete", REFUSE_DELETE}, {NULL, 0}};
	const struct node *entry = node->first;

	for (const struct value_word *word = words; node->kind == NODE_TEXT && word->word != NULL; word++)
		if (strcmp(node->text, word->word) == 0) {
			*(struct on_refuse *)value = (struct on_refuse){.what = word->value};
			return true;
		}
	if (node->kind == NODE_MAP && entry != NULL && entry->next == NULL && strcmp(entry->key, "deliver_to") == 0)
		return read_destination(key, entry, reading, value);
	problems_add(reading->problems, node->at, "%s must be hold, delete or {deliver_to: DESTINATION}", key->name);
	return false;
}

static void clear_on_refuse(void *value)
{
	struct on_refuse *rule = value;

	free(rule->destination);
	*rule = (struct on_refuse){0};
}

static void print_on_refuse(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"anyOf\": [{\"enum\": [\"hold\", \"delete\"]}, {\"type\": \"object\", \"required\": [\"deliver_to\"], "
	      "\"additionalProperties\": false, \"properties\": {\"deliver_to\": {\"type\": \"string\"}}}]",
		out);
}

/* Does not travel in a job: the supervisor alone applies the rule, a worker that was taken over must not. */
const struct value_type type_on_refuse = {read_on_refuse, NULL, NULL, clear_on_refuse, print_on_refuse};
