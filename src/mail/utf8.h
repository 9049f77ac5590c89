/* utf8.h - is this well-formed UTF-8? One byte at a time, so that it works on pieces. RFC 3629 4. */
#ifndef MAILHAUL_MAIL_UTF8_H
#define MAILHAUL_MAIL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

struct utf8 {
	unsigned char owed;     /* continuation bytes that must follow */
	unsigned char min, max; /* of the next one: keeps out over-long forms, surrogates and what lies above U+10FFFF */
};

/* All-zero is the start. False: this byte cannot stand here. Well-formed at the end if owed is 0. */
bool utf8_add(struct utf8 *utf8, unsigned char byte);
/* Well-formed, and without the control characters U+0000-1F, U+7F and U+0080-9F (a terminal obeys the latter too). */
bool utf8_is_printable(const char *text, size_t len);

#endif
