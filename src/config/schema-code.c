/* A section on its way into a job: its kind, then the keys that belong to that kind, in the order of the table. */
#include "config/schema.h"

#include "base/str.h"
#include "config/code.h"
#include "config/value.h"

static bool travels(const struct schema_key *key, unsigned kind)
{
	if (key->type->encode == NULL)
		return false;
	if (key->kind != 0)
		return key->kind == kind;
	return key->for_kinds == 0 || (key->for_kinds & KINDS(kind)) != 0;
}

void schema_encode(const struct schema *schema, const void *section, struct str *out)
{
	unsigned kind = schema_kind(schema, section);

	encode_u32(out, kind);
	for (size_t i = 0; i < schema->count; i++)
		if (travels(&schema->keys[i], kind))
			schema->keys[i].type->encode(&schema->keys[i], (const char *)section + schema->keys[i].offset, out);
}

bool schema_decode(const struct schema *schema, struct decoder *in, void *ret_section)
{
	uint32_t kind;

	if (!decode_u32(in, UINT32_MAX, &kind) || schema_kind_key(schema, kind) == NULL)
		return false;
	*(unsigned *)((char *)ret_section + schema->kind_offset) = kind;
	for (size_t i = 0; i < schema->count; i++) {
		const struct schema_key *key = &schema->keys[i];

		if (travels(key, kind) && !key->type->decode(key, in, (char *)ret_section + key->offset))
			return false;
	}
	return true;
}
