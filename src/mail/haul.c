#include "mail/haul.h"

#include <stdlib.h>

#include "base/mem.h"
#include "mail/message.h"

struct haul *haul_new(uint64_t id, uint32_t uid, uint64_t announced, int64_t date)
{
	struct haul *haul = xcalloc(1, sizeof(*haul));

	haul->id = id;
	haul->uid = uid;
	haul->announced = announced;
	haul->date = date;
	haul->stage = HAUL_PLANNED;
	return haul;
}

void haul_free(struct haul *haul)
{
	if (haul == NULL)
		return;
	for (unsigned i = 0; i < haul->delivery_count; i++)
		free(haul->deliveries[i].prepend);
	free(haul->deliveries);
	message_free(haul->message);
	free(haul);
}
