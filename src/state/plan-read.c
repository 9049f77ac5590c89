#include "state/plan-read.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "state/store.h"

#define ENTRIES_MAX 1000000 /* of one listing */

const uint8_t *plan_next_entry(const uint8_t *at, const uint8_t *end, struct plan_row *ret_entry)
{
	if ((size_t)(end - at) < sizeof(ret_entry->head))
		return NULL;
	memcpy(&ret_entry->head, at, sizeof(ret_entry->head));
	ret_entry->key = at + sizeof(ret_entry->head);
	if ((size_t)(end - ret_entry->key) < ret_entry->head.key_len)
		return NULL;
	return ret_entry->key + ret_entry->head.key_len;
}

static bool key_is_uid(const struct plan_row *entry)
{
	char text[12];
	int len = snprintf(text, sizeof(text), "%u", (unsigned)entry->head.uid);

	return entry->head.uid != 0 && len == entry->head.key_len && memcmp(text, entry->key, (size_t)len) == 0;
}

static const char *entry_fault(const struct plan_row *entry, enum protocol protocol, uint64_t mark)
{
	const struct plan_entry *head = &entry->head;

	if (head->key_len == 0 || head->key_len > KEY_MAX)
		return "a plan with a key of impossible length";
	if (head->size > INT64_MAX) /* number64, RFC 9051 9 */
		return "a plan with a message of impossible size";
	if (head->baseline > 1 || head->reserved != 0)
		return "a plan with an unknown flag";
	if (protocol == PROTOCOL_IMAP && (!key_is_uid(entry) || head->uid > mark))
		return "a plan with a UID that is not its key, or above the mark";
	return NULL;
}

int plan_read(const void *bytes, size_t len, const struct folder_row *folder, struct plan_view *ret_plan, struct error *err)
{
	const uint8_t *at = bytes, *end = at + len;

	if (len < sizeof(ret_plan->header))
		return store_lie(err, "a plan without a header");
	memcpy(&ret_plan->header, at, sizeof(ret_plan->header));
	at += sizeof(ret_plan->header);
	if (ret_plan->header.entry_count > ENTRIES_MAX || ret_plan->header.gone_count > ENTRIES_MAX || ret_plan->header.mark > UINT32_MAX)
		return store_lie(err, "a plan of impossible size");
	ret_plan->entries = at;
	for (uint64_t i = 0; i < ret_plan->header.entry_count; i++) {
		struct plan_row entry;
		const char *fault;

		at = plan_next_entry(at, end, &entry);
		if (at == NULL)
			return store_lie(err, "a plan that is cut short");
		fault = entry_fault(&entry, folder->protocol, ret_plan->header.mark);
		if (fault != NULL)
			return store_lie(err, "%s", fault);
	}
	ret_plan->gone = at;
	ret_plan->end = end;
	if ((uint64_t)(end - at) != ret_plan->header.gone_count * sizeof(uint64_t))
		return store_lie(err, "a plan of another length than it says");
	return 0;
}
