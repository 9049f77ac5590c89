/* secret.h - a password or token: in locked memory that is neither dumped nor inherited, wiped when freed, with no way to print it. */
#ifndef MAILHAUL_BASE_SECRET_H
#define MAILHAUL_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Longer ones are refused: OAuth tokens of some 4 KiB are seen in the wild. */
#define SECRET_MAX_BYTES 16384

struct secret; /* may hold any bytes */

struct secret *secret_new(const void *bytes, size_t len); /* copies; the caller wipes its own */
struct secret *secret_new_size(size_t len);               /* to be filled through secret_buffer */
void secret_free(struct secret *secret);                  /* NULL is fine; wipes */
char *secret_buffer(struct secret *secret);
const char *secret_bytes(const struct secret *secret); /* NUL follows the last byte */
size_t secret_length(const struct secret *secret);

/* Does a text repeat it: as it is, with quotes and backslashes escaped, or in base64 wherever in the encoded bytes it begins? */
bool secret_is_in(const struct secret *secret, const char *text, size_t len);

/* For memory that is not a struct secret but held one on its way. */
void secret_wipe(void *memory, size_t len);

#endif
