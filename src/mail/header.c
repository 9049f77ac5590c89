#include "mail/header.h"

#include <stddef.h>
#include <string.h>

#include "mail/lines.h"

enum state {
	LINE_START,
	EMPTY_CR, /* CR at the start of a line */
	NAME,
	NAME_SPACE, /* white space between name and colon: obsolete but legal, RFC 5322 4.5 */
	VALUE,
	VALUE_CR, /* held back: part of the line end if LF follows */
	SKIP_LINE,
	ENDED,
};

void header_scanner_init(struct header_scanner *scanner, header_field_fn *each, void *context)
{
	memset(scanner, 0, offsetof(struct header_scanner, name)); /* name and value are large, and filled before they are read */
	scanner->each = each;
	scanner->context = context;
	scanner->state = LINE_START;
	scanner->first_line = true;
}

bool header_has_ended(const struct header_scanner *scanner)
{
	return scanner->state == ENDED;
}

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* ftext of RFC 5322 3.6.8 */
static bool is_name_byte(char byte)
{
	return byte > ' ' && byte <= '~' && byte != ':';
}

static void finish_field(struct header_scanner *scanner)
{
	struct header_field field = {.name = scanner->name, .value = scanner->value, .len = scanner->value_len, .cut = scanner->cut};

	if (!scanner->in_field)
		return;
	scanner->in_field = false;
	if (scanner->name_len > HEADER_NAME_MAX)
		return;
	while (field.len != 0 && is_space(field.value[field.len - 1]))
		field.len--;
	scanner->each(scanner->context, &field);
}

static void add_to_name(struct header_scanner *scanner, char byte)
{
	if (scanner->name_len < HEADER_NAME_MAX)
		scanner->name[scanner->name_len] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
	if (scanner->name_len <= HEADER_NAME_MAX)
		scanner->name_len++;
}

static void add_to_value(struct header_scanner *scanner, char byte)
{
	if (scanner->value_len == 0 && is_space(byte))
		return;
	if (scanner->value_len < HEADER_VALUE_MAX)
		scanner->value[scanner->value_len++] = byte;
	else
		scanner->cut = true;
}

static void start_value(struct header_scanner *scanner)
{
	scanner->name[scanner->name_len <= HEADER_NAME_MAX ? scanner->name_len : 0] = '\0';
	scanner->value_len = 0;
	scanner->cut = false;
	scanner->in_field = true;
	scanner->state = VALUE;
}

static void end_line(struct header_scanner *scanner)
{
	scanner->state = LINE_START;
	scanner->first_line = false;
}

static void skip_line(struct header_scanner *scanner, char byte)
{
	scanner->state = SKIP_LINE;
	if (byte == '\n')
		end_line(scanner);
}

/* is_header: the byte that ends the header is part of it. */
static bool end_header(struct header_scanner *scanner, bool is_header)
{
	finish_field(scanner);
	scanner->state = ENDED;
	return is_header;
}

static bool at_line_start(struct header_scanner *scanner, char byte)
{
	if (is_space(byte) && scanner->in_field) {
		scanner->state = VALUE;
		add_to_value(scanner, byte);
		return true;
	}
	if (byte == '\r') {
		scanner->state = EMPTY_CR;
		return true;
	}
	if (!is_name_byte(byte))
		return end_header(scanner, byte == '\n');
	finish_field(scanner);
	scanner->name_len = 0;
	add_to_name(scanner, byte);
	scanner->state = NAME;
	return true;
}

static bool is_mbox_line(const struct header_scanner *scanner)
{
	size_t len = scanner->name_len;

	return scanner->first_line && ((len == 4 && memcmp(scanner->name, "from", 4) == 0) || (len == 5 && memcmp(scanner->name, ">from", 5) == 0));
}

static bool after_name(struct header_scanner *scanner, char byte)
{
	if (byte == ':')
		start_value(scanner);
	else if (is_space(byte))
		scanner->state = NAME_SPACE;
	else if (scanner->state == NAME && is_name_byte(byte))
		add_to_name(scanner, byte);
	else if (scanner->state == NAME_SPACE && is_mbox_line(scanner))
		skip_line(scanner, byte);
	else
		return end_header(scanner, false);
	return true;
}

static void in_value(struct header_scanner *scanner, char byte)
{
	if (byte == '\n') {
		end_line(scanner);
		return;
	}
	if (scanner->state == VALUE_CR)
		add_to_value(scanner, '\r');
	scanner->state = byte == '\r' ? VALUE_CR : VALUE;
	if (byte != '\r')
		add_to_value(scanner, byte);
}

/* False: the header ended before this byte. */
static bool take(struct header_scanner *scanner, char byte)
{
	switch ((enum state)scanner->state) {
	case LINE_START:
		return at_line_start(scanner, byte);
	case EMPTY_CR:
		return end_header(scanner, byte == '\n');
	case NAME:
	case NAME_SPACE:
		return after_name(scanner, byte);
	case VALUE:
	case VALUE_CR:
		in_value(scanner, byte);
		return true;
	case SKIP_LINE:
		skip_line(scanner, byte);
		return true;
	case ENDED:
		break;
	}
	return false;
}

/* Most of a header: values, up to the end of a line. */
static size_t take_run(struct header_scanner *scanner, const char *bytes, size_t len)
{
	size_t run, room = HEADER_VALUE_MAX - scanner->value_len;

	if (scanner->state != VALUE || scanner->value_len == 0)
		return 0;
	run = plain_run(bytes, len < HEADER_SCAN_MAX - scanner->scanned ? len : HEADER_SCAN_MAX - scanner->scanned);
	scanner->cut = scanner->cut || run > room;
	memcpy(scanner->value + scanner->value_len, bytes, run < room ? run : room);
	scanner->value_len += run < room ? run : room;
	scanner->scanned += run;
	return run;
}

size_t header_scan(struct header_scanner *scanner, const char *bytes, size_t len)
{
	size_t used = 0;

	while (used < len && scanner->state != ENDED) {
		used += take_run(scanner, bytes + used, len - used);
		if (used == len)
			break;
		if (scanner->scanned == HEADER_SCAN_MAX) {
			scanner->state = ENDED;
			break;
		}
		if (!take(scanner, bytes[used]))
			break;
		scanner->scanned++;
		used++;
	}
	return used;
}

void header_scan_end(struct header_scanner *scanner)
{
	if (scanner->state != ENDED)
		end_header(scanner, true);
}
