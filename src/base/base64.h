/* base64.h - RFC 4648 4, as SASL needs it: padded, no line breaks. */
#ifndef MAILHAUL_BASE_BASE64_H
#define MAILHAUL_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#define BASE64_LENGTH(bytes) (((bytes) + 2) / 3 * 4)

/* out: BASE64_LENGTH(len) + 1 bytes; returns its length without the NUL. */
size_t base64_encode(char *out, const void *bytes, size_t len);
/* out: at least len / 4 * 3 bytes. False if anything but padded base64 stands there; out is then undefined. */
bool base64_decode(void *out, size_t *ret_len, const char *text, size_t len);

#endif
