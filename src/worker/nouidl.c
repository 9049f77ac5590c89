#include "worker/nouidl.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "channel/wait.h"
#include "mail/message.h"
#include "net/wire.h"
#include "worker/session.h"

int listing_gap_add(struct listing_gap *gap, const struct listed *entry)
{
	if (gap->count == gap->capacity) {
		gap->capacity = gap->capacity != 0 ? gap->capacity * 2 : 16;
		gap->entries = xreallocarray(gap->entries, gap->capacity, sizeof(*gap->entries));
	}
	gap->entries[gap->count++] = *entry;
	return 0;
}

static int fetch_one(struct session *session, const struct listed *entry, struct haul **ret_haul, struct error *err)
{
	struct source *source = session->source;
	struct haul *haul = haul_new(0, entry->uid, entry->size, entry->date);

	if (source_request(source, haul, err) < 0 || source_flush(source, err) < 0)
		return -1;
	for (;;) {
		int result = source_receive(source, ret_haul, err);
		struct pollfd input = {.fd = wire_fd(source->wire), .events = wire_events(source->wire)};

		if (result != 0)
			return result < 0 ? -1 : 0;
		if (wait_io(&input, 1, deadline_in_s(WIRE_STALL_S), session->channel, err) < 0)
			return -1;
	}
}

/* "content:HASH", and an ordinal behind it for each further message with the same bytes. */
static void make_key(struct str *key, const struct message *message, struct str *earlier)
{
	char hex[2 * SHA256_BYTES + 1];
	unsigned ordinal = 1;

	for (size_t at = 0; at < earlier->len; at += SHA256_BYTES)
		ordinal += memcmp(earlier->data + at, message->hash, SHA256_BYTES) == 0;
	str_add(earlier, message->hash, SHA256_BYTES);
	str_clear(key);
	str_addf(key, "content:%s", hex_encode(hex, message->hash, SHA256_BYTES));
	if (ordinal != 1)
		str_addf(key, "#%u", ordinal);
}

int listing_gap_close(struct listing_gap *gap, struct session *session, listed_fn *each, void *context, struct error *err)
{
	struct str key = {0}, earlier = {0};
	int result = 0;

	if (gap->count != 0 && session->job->mailbox->after_delivery.what != DISPOSE_DELETE)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX,
			"the server gives its messages no unique ids (UIDL), so mail that stays there would be hauled again and again; "
			"write \"after_delivery: delete\" for this mailbox");
	for (size_t i = 0; i < gap->count && result == 0; i++) {
		struct listed entry = gap->entries[i];
		struct haul *haul = NULL;

		result = fetch_one(session, &entry, &haul, err);
		if (result == 0 && haul->message != NULL) {
			make_key(&key, haul->message, &earlier);
			entry.key = key.data;
			entry.key_len = key.len;
			result = each(context, &entry, err);
		}
		if (haul != NULL)
			haul_free(haul);
	}
	str_done(&key);
	str_done(&earlier);
	return result;
}

void listing_gap_done(struct listing_gap *gap)
{
	free(gap->entries);
	*gap = (struct listing_gap){0};
}
