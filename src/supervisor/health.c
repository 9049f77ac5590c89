#include "supervisor/health.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "policy/policy.h"
#include "state/state.h"

static bool is_trouble_of_the_mailbox(const struct error *err)
{
	return err->kind != ERR_NONE && err->scope != SCOPE_MESSAGE && err->scope != SCOPE_RECIPIENT && err->scope != SCOPE_FOLDER;
}

void health_note(struct mailbox_state *mailbox, const struct error *err, int64_t now_s, uint32_t random)
{
	const struct mailbox_state before = *mailbox;

	if (is_trouble_of_the_mailbox(err)) {
		mailbox->failures++;
		mailbox->clock = backoff_clock_of(err->kind);
		mailbox->retry_at = now_s + backoff_jittered(backoff_s((enum backoff_clock)mailbox->clock, mailbox->failures), random);
	} else {
		mailbox->failures = 0;
		mailbox->retry_at = 0;
		mailbox->last_success = now_s;
	}
	mailbox->last_error_kind = (int)err->kind;
	snprintf(mailbox->last_error, sizeof(mailbox->last_error), "%s", err->kind != ERR_NONE ? err->text : "");
	if (err->kind != ERR_NONE)
		mailbox->last_error_at = now_s;
	if (health_is_news(&before, mailbox))
		mailbox->error_since = err->kind != ERR_NONE ? now_s : 0;
}

bool health_is_news(const struct mailbox_state *before, const struct mailbox_state *after)
{
	static const char numbers[] = "0123456789.+ "; /* Dovecot: (0.001 + 0.000 secs) */
	const char *a = before->last_error, *b = after->last_error;

	for (;; a++, b++) {
		a += strspn(a, numbers);
		b += strspn(b, numbers);
		if (*a != *b)
			return true;
		if (*a == '\0')
			return false;
	}
}

void health_log(const struct mailbox_state *before, const struct mailbox_state *after, bool attended, const struct log *log, const struct error *err)
{
	if (err->kind != ERR_NONE)
		log_say(log, attended || health_is_news(before, after) ? LEVEL_WARNING : LEVEL_INFO, "mailbox_failed", "%s", err->text);
	else if (before->failures != 0)
		log_say(log, LEVEL_NOTICE, "mailbox_recovered", "works again; the last error was: %s", before->last_error);
}
