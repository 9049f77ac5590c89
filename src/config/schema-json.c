#include "config/schema.h"

#include <string.h>

#include "config/value.h"

static void print_text(const char *text, FILE *out)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text, out);
	}
	putc('"', out);
}

static void print_key(const struct schema_key *key, FILE *out)
{
	fprintf(out, "        \"%s\": {\n          \"description\": ", key->name);
	print_text(key->doc, out);
	fputs(",\n          ", out);
	key->type->print(key, out);
	if (key->initial != NULL) {
		fputs(",\n          \"default\": ", out);
		print_text(key->initial, out);
	}
	fputs("\n        }", out);
}

/* except: keys with one of these flags are left out. */
static void print_properties(const struct schema *schema, unsigned except, FILE *out)
{
	const char *separator = "\n";

	fputs("      \"additionalProperties\": false,\n      \"properties\": {", out);
	for (size_t i = 0; i < schema->count; i++) {
		if ((schema->keys[i].flags & except) != 0)
			continue;
		fputs(separator, out);
		print_key(&schema->keys[i], out);
		separator = ",\n";
	}
	fputs("\n      }", out);
}

/* What must stand in the section itself, as far as the defaults section cannot supply it. */
static void print_required(const struct schema *schema, FILE *out)
{
	unsigned wanted = schema->has_defaults ? KEY_REQUIRED | KEY_OWN : KEY_REQUIRED;
	const char *separator = "";

	fputs("      \"required\": [", out);
	for (size_t i = 0; i < schema->count; i++) {
		if ((schema->keys[i].flags & (wanted | KEY_HIDDEN)) != wanted)
			continue;
		fprintf(out, "%s\"%s\"", separator, schema->keys[i].name);
		separator = ", ";
	}
	fputs("],\n", out);
}

static void print_one_kind(const struct schema *schema, FILE *out)
{
	const char *separator = "";

	fputs("      \"oneOf\": [", out);
	for (size_t i = 0; i < schema->count; i++) {
		if (schema->keys[i].kind == 0)
			continue;
		fprintf(out, "%s{\"required\": [\"%s\"]}", separator, schema->keys[i].name);
		separator = ", ";
	}
	fputs("],\n", out);
}

static void print_section(const char *name, const struct schema *schema, bool is_defaults, FILE *out)
{
	fprintf(out, "    \"%s\": {\n      \"type\": \"object\",\n", name);
	if (!is_defaults)
		print_required(schema, out);
	if (schema->has_kinds && !schema->has_defaults)
		print_one_kind(schema, out);
	print_properties(schema, is_defaults ? KEY_HIDDEN | KEY_OWN : KEY_HIDDEN, out);
	fputs("\n    }", out);
}

void schema_print_json(FILE *out)
{
	fputs("{\n"
	      "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
	      "  \"title\": \"mailhaul configuration\",\n"
	      "  \"$ref\": \"#/$defs/configuration\",\n"
	      "  \"$defs\": {\n",
		out);
	print_section("configuration", &schema_top, false, out);
	fputs(",\n", out);
	print_section("destination", &schema_destination, false, out);
	fputs(",\n", out);
	print_section("mailbox", &schema_mailbox, false, out);
	fputs(",\n", out);
	print_section("defaults", &schema_mailbox, true, out);
	fputs("\n  }\n}\n", out);
}
