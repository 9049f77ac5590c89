#include "mail/prints.h"

#include <string.h>

#include "base/mem.h"
#include "mail/header.h"

void prints_init(struct prints *prints)
{
	sha256_init(&prints->bytes);
	sha256_init(&prints->trace);
	prints->has_trace = false;
}

void prints_add_bytes(struct prints *prints, const void *bytes, size_t len)
{
	sha256_add(&prints->bytes, bytes, len);
}

static bool is_trace_field(const char *name)
{
	static const char *const names[] = {"message-id", "date", "from", "received"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Runs of white space become one space; a CR counts as such, since whoever rewrites line ends may drop it. */
static size_t canonical_value(char *out, const char *value, size_t len)
{
	size_t n = 0;
	bool space = false;

	for (size_t i = 0; i < len; i++) {
		if (value[i] == ' ' || value[i] == '\t' || value[i] == '\r') {
			space = n != 0;
			continue;
		}
		if (space)
			out[n++] = ' ';
		space = false;
		out[n++] = value[i];
	}
	return n;
}

void prints_add_field(struct prints *prints, const struct header_field *field)
{
	char value[HEADER_VALUE_MAX];
	size_t len;

	if (!is_trace_field(field->name))
		return;
	if (strcmp(field->name, "received") == 0)
		prints->has_trace = true;
	len = canonical_value(value, field->value, field->len);
	sha256_add(&prints->trace, field->name, strlen(field->name));
	sha256_add(&prints->trace, ":", 1);
	sha256_add(&prints->trace, value, len);
	sha256_add(&prints->trace, "\n", 1);
}

void prints_end(struct prints *prints, uint8_t ret_hash[SHA256_BYTES], uint8_t ret_trace[SHA256_BYTES])
{
	sha256_end(&prints->bytes, ret_hash);
	sha256_end(&prints->trace, ret_trace);
}
