/* str.h - a growable string of bytes; always followed by a NUL, may hold NULs. All-zero is an empty one. */
#ifndef MAILHAUL_BASE_STR_H
#define MAILHAUL_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
	char *data; /* NULL as long as nothing was ever added */
	size_t len, cap;
};

void str_add(struct str *str, const void *bytes, size_t len);
void str_add_text(struct str *str, const char *text);
void str_add_byte(struct str *str, char byte);
void str_addf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
void str_vaddf(struct str *str, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Room for at least len more bytes; returns where they go. The caller sets str->len. */
char *str_reserve(struct str *str, size_t len);
void str_clear(struct str *str);             /* keeps the memory */
void str_done(struct str *str);              /* frees it; all-zero again */
const char *str_text(const struct str *str); /* never NULL */

/* Remote bytes as printable ASCII: everything outside 0x20-0x7E, the backslash and the double quote become \xHH.
 * At most max_bytes are added; what did not fit is replaced by "...". */
void str_add_escaped(struct str *str, const void *bytes, size_t len, size_t max_bytes);
/* The same into an array of size bytes, NUL-terminated; returns out. */
char *escape_into(char *out, size_t size, const void *bytes, size_t len);
/* For a person to read, where no grammar could be broken: as escape_into, but backslashes and quotes stay. */
char *printable_into(char *out, size_t size, const void *bytes, size_t len);

/* ASCII only, whatever the locale says. */
bool ascii_equal_nocase(const char *a, const char *b);
bool ascii_prefix_nocase(const char *text, size_t len, const char *prefix);

/* A decimal number that fills len bytes exactly. False: empty, not digits, or above max. */
bool parse_u64(const char *text, size_t len, unsigned long long max, unsigned long long *ret_value);

#endif
