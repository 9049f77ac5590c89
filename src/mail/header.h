/* header.h - the fields of a message's header block, one after the other, out of bytes in whatever pieces they arrive. RFC 5322 2.2, RFC 6532 3.
 * Each byte is looked at once and the memory is fixed. Lines may end in CRLF or LF. The header ends at an empty line, or before the first line
 * that is no field: then the message has no (more) header, and what follows is body. A first line "From ..." or ">From ..." is left over from an
 * mbox file and no field. */
#ifndef MAILHAUL_MAIL_HEADER_H
#define MAILHAUL_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#define HEADER_SCAN_MAX (256 * 1024) /* bytes; real headers stay below 64 KiB, and what comes later decides nothing */
#define HEADER_NAME_MAX 64           /* fields with longer names are passed over: no name that we look for is half as long */
#define HEADER_VALUE_MAX 4096        /* the rest of a longer value is dropped */

struct header_field {
	const char *name;  /* lower case */
	const char *value; /* unfolded (the line ends are gone, the white space stays), without white space at either end; any byte but LF */
	size_t len;
	bool cut; /* the value was longer */
};
/* field is borrowed for the call. */
typedef void header_field_fn(void *context, const struct header_field *field);

struct header_scanner {
	header_field_fn *each;
	void *context;
	unsigned state;
	bool first_line, in_field, cut;
	size_t scanned;
	size_t name_len, value_len;
	char name[HEADER_NAME_MAX + 1], value[HEADER_VALUE_MAX];
};

void header_scanner_init(struct header_scanner *scanner, header_field_fn *each, void *context);
/* Returns how many of the bytes belong to the header: all as long as it goes on, 0 once it has ended. A field that HEADER_SCAN_MAX cuts off
 * is dropped. */
size_t header_scan(struct header_scanner *scanner, const char *bytes, size_t len);
/* The message ends here, perhaps within its header: hands out the last field. */
void header_scan_end(struct header_scanner *scanner);
bool header_has_ended(const struct header_scanner *scanner);

#endif
