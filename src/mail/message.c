#include "mail/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/prints.h"
#include "mail/spool.h"
#include "mail/utf8.h"

/* What only lives while bytes arrive. */
struct scan {
	struct header_scanner header;
	struct prints prints;
	const char *own_mark;
	struct utf8 utf8;
	bool eight_bit_header, malformed_header; /* malformed: it is not UTF-8 */
	bool after_cr;
};

static_assert(sizeof(((struct message *)NULL)->return_path) > ADDRESS_MAX, "address_from_return_path needs the room");

static void on_field(void *context, const struct header_field *field)
{
	struct message *message = context;
	struct scan *scan = message->scan;

	prints_add_field(&scan->prints, field);
	if (strcmp(field->name, "received") == 0)
		message->received_count++;
	else if (strcmp(field->name, "x-mailhaul-id") == 0 && ascii_prefix_nocase(field->value, field->len, scan->own_mark))
		message->own_marks++;
	else if (strcmp(field->name, "return-path") == 0 && !message->has_return_path && !field->cut)
		message->has_return_path = address_from_return_path(message->return_path, field->value, field->len);
}

struct message *message_new(struct spool_file *file, const char *own_mark)
{
	struct message *message = xcalloc(1, sizeof(*message));
	struct scan *scan = xcalloc(1, sizeof(*scan));

	message->spool = spool_new(file);
	message->scan = scan;
	message->begun_ns = clock_monotonic_ns();
	header_scanner_init(&scan->header, on_field, message);
	prints_init(&scan->prints);
	scan->own_mark = own_mark;
	return message;
}

static bool has_eight_bit(const char *bytes, size_t len)
{
	uint64_t all = 0, word;
	size_t i = 0;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		all |= word;
	}
	for (; i < len; i++)
		all |= (unsigned char)bytes[i];
	return (all & UINT64_C(0x8080808080808080)) != 0;
}

static bool has_bare_cr(const char *bytes, size_t len)
{
	const char *end = bytes + len, *cr = memchr(bytes, '\r', len);

	for (; cr != NULL && cr + 1 < end; cr = memchr(cr + 1, '\r', (size_t)(end - cr - 1)))
		if (cr[1] != '\n')
			return true;
	return false;
}

static void look_at_bytes(struct message *message, const char *bytes, size_t len)
{
	struct scan *scan = message->scan;

	if (len == 0)
		return;
	message->eight_bit |= has_eight_bit(bytes, len);
	message->has_nul = message->has_nul || memchr(bytes, '\0', len) != NULL;
	message->has_bare_cr = message->has_bare_cr || (scan->after_cr && bytes[0] != '\n') || has_bare_cr(bytes, len);
	scan->after_cr = bytes[len - 1] == '\r';
}

static void look_at_header(struct message *message, const char *bytes, size_t len)
{
	struct scan *scan = message->scan;
	size_t header_len = header_scan(&scan->header, bytes, len);

	if (scan->utf8.owed == 0 && !has_eight_bit(bytes, header_len))
		return;
	for (size_t i = 0; i < header_len && !scan->malformed_header; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		scan->eight_bit_header |= byte > 0x7F;
		scan->malformed_header = !utf8_add(&scan->utf8, byte);
	}
	if (header_len != 0)
		message->utf8_header = scan->eight_bit_header && !scan->malformed_header && scan->utf8.owed == 0;
}

bool message_is_complete(const struct message *message)
{
	return message->scan == NULL;
}

bool message_has_header(const struct message *message)
{
	const struct scan *scan = message->scan;

	return message_is_complete(message) || header_has_ended(&scan->header);
}

int message_add(struct message *message, const void *bytes, size_t len, struct error *err)
{
	struct scan *scan = message->scan;

	if (spool_add(message->spool, bytes, len, err) < 0)
		return -1;
	message->size += len;
	prints_add_bytes(&scan->prints, bytes, len);
	look_at_bytes(message, bytes, len);
	look_at_header(message, bytes, len);
	return 0;
}

int message_end(struct message *message, struct error *err)
{
	struct scan *scan = message->scan;

	if (spool_end(message->spool, err) < 0)
		return -1;
	header_scan_end(&scan->header);
	message->has_bare_cr |= scan->after_cr;
	message->has_trace = scan->prints.has_trace;
	prints_end(&scan->prints, message->hash, message->trace);
	free(scan);
	message->scan = NULL;
	return 0;
}

void message_free(struct message *message)
{
	if (message == NULL)
		return;
	free(message->scan);
	spool_free(message->spool);
	free(message);
}
