#include "config/code.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define NO_TEXT UINT32_MAX

void encode_u32(struct str *out, uint32_t value)
{
	str_add(out, &value, sizeof(value));
}

void encode_u64(struct str *out, uint64_t value)
{
	str_add(out, &value, sizeof(value));
}

void encode_text(struct str *out, const char *text)
{
	if (text == NULL) {
		encode_u32(out, NO_TEXT);
		return;
	}
	encode_u32(out, (uint32_t)strlen(text));
	str_add_text(out, text);
}

void encode_list(struct str *out, char *const *list)
{
	size_t count = strv_length(list);

	encode_u32(out, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		encode_text(out, list[i]);
}

static bool take(struct decoder *in, void *value, size_t len)
{
	if (in->left < len)
		return false;
	memcpy(value, in->at, len);
	in->at += len;
	in->left -= len;
	return true;
}

bool decode_u32(struct decoder *in, uint32_t max, uint32_t *ret_value)
{
	uint32_t value;

	if (!take(in, &value, sizeof(value)) || value > max)
		return false;
	*ret_value = value;
	return true;
}

bool decode_u64(struct decoder *in, uint64_t *ret_value)
{
	return take(in, ret_value, sizeof(*ret_value));
}

bool decode_text(struct decoder *in, bool required, char **ret_text)
{
	uint32_t len;

	if (!decode_u32(in, NO_TEXT, &len))
		return false;
	if (len == NO_TEXT) {
		*ret_text = NULL;
		return !required;
	}
	if (len > in->left || memchr(in->at, '\0', len) != NULL)
		return false;
	*ret_text = xstrndup(in->at, len);
	in->at += len;
	in->left -= len;
	return true;
}

bool decode_list(struct decoder *in, bool required, char ***ret_list)
{
	char **list;
	uint32_t count;

	/* Each entry takes at least its length field, so a count that lies allocates nothing. */
	if (!decode_u32(in, UINT32_MAX, &count) || count > in->left / sizeof(uint32_t) || (required && count == 0))
		return false;
	if (count == 0) {
		*ret_list = NULL;
		return true;
	}
	list = xcalloc((size_t)count + 1, sizeof(*list));
	for (uint32_t i = 0; i < count; i++)
		if (!decode_text(in, true, &list[i])) {
			strv_free(list);
			return false;
		}
	*ret_list = list;
	return true;
}
