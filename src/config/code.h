/* code.h - how values are written into a job and read back: native byte order, since both ends are the same program on the same machine,
 * every text and list with its length in front. Decoding believes nothing: each call is false when the bytes end early or make no sense. */
#ifndef MAILHAUL_CONFIG_CODE_H
#define MAILHAUL_CONFIG_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str;

/* What is left to decode; borrowed bytes. */
struct decoder {
	const char *at;
	size_t left;
};

void encode_u32(struct str *out, uint32_t value);
void encode_u64(struct str *out, uint64_t value);
void encode_text(struct str *out, const char *text);  /* NULL is kept apart from "" */
void encode_list(struct str *out, char *const *list); /* NULL and an empty list are the same */

bool decode_u32(struct decoder *in, uint32_t max, uint32_t *ret_value);
bool decode_u64(struct decoder *in, uint64_t *ret_value);
/* The caller frees. A NUL inside is refused. */
bool decode_text(struct decoder *in, bool required, char **ret_text);
bool decode_list(struct decoder *in, bool required, char ***ret_list); /* required: at least one entry */

#endif
