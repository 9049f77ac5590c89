#include "dest/dest.h"

#include <assert.h>

struct dest *dest_new(const struct dest_context *context)
{
	static struct dest *(*const makers[])(const struct dest_context *) = {
		[DEST_MAILDIR] = maildir_new,
		[DEST_LMTP] = smtp_new,
		[DEST_SMTP] = smtp_new,
		[DEST_MDA] = mda_new,
	};
	unsigned kind = context->config->kind;

	assert(kind < sizeof(makers) / sizeof(makers[0]) && makers[kind] != NULL);
	return makers[kind](context);
}
