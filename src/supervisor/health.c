#include "supervisor/health.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "policy/policy.h"
#include "state/state.h"

static bool is_trouble_of_the_mailbox(const struct error *err)
{
	return err->kind != ERR_NONE && (err->scope == SCOPE_MAILBOX || err->scope == SCOPE_PROGRAM);
}

/* As long as nobody counts what we try, we come back as often as when all is well. */
static uint32_t rest_s(const struct mailbox_state *mailbox, uint32_t poll_every_s, uint32_t random)
{
	uint32_t delay_s = backoff_delay_s((enum backoff_clock)mailbox->clock, mailbox->failures, random);

	return mailbox->clock == BACKOFF_NETWORK && delay_s > poll_every_s ? poll_every_s : delay_s;
}

void health_note(struct mailbox_state *mailbox, const struct error *err, int64_t now_s, uint32_t poll_every_s, uint32_t random)
{
	const struct mailbox_state before = *mailbox;

	if (is_trouble_of_the_mailbox(err)) {
		mailbox->failures++;
		mailbox->clock = backoff_clock_of(err->kind);
		mailbox->retry_at = now_s + rest_s(mailbox, poll_every_s, random);
	} else {
		mailbox->failures = 0;
		mailbox->retry_at = 0;
		mailbox->last_success = now_s;
	}
	mailbox->last_error_kind = (int)err->kind;
	snprintf(mailbox->last_error, sizeof(mailbox->last_error), "%s", err->kind != ERR_NONE ? err->text : "");
	if (err->kind != ERR_NONE)
		mailbox->last_error_at = now_s;
	if (health_is_news(before.last_error, mailbox->last_error))
		mailbox->error_since = err->kind != ERR_NONE ? now_s : 0;
}

bool health_is_news(const char *before, const char *after)
{
	static const char numbers[] = "0123456789.+ "; /* Dovecot: (0.001 + 0.000 secs) */

	for (;; before++, after++) {
		before += strspn(before, numbers);
		after += strspn(after, numbers);
		if (*before != *after)
			return true;
		if (*before == '\0')
			return false;
	}
}

#define LASTING 4 /* attempts: some minutes by the clock of the network */

static bool is_grave(unsigned failures, int kind)
{
	bool passes = kind == ERR_TEMP || kind == ERR_PROTO || kind == ERR_TLS;

	return failures >= (passes ? LASTING : 1);
}

static enum news compare(bool was_grave, bool is_grave_now, const char *before, const char *after)
{
	if (!is_grave_now)
		return was_grave ? NEWS_BETTER : NEWS_NONE;
	return !was_grave || health_is_news(before, after) ? NEWS_WORSE : NEWS_NONE;
}

enum news health_news(const struct mailbox_state *before, const struct mailbox_state *after)
{
	return compare(is_grave(before->failures, before->last_error_kind), is_grave(after->failures, after->last_error_kind), before->last_error,
		after->last_error);
}

enum news health_destination_news(const struct destination_state *before, const struct destination_state *after)
{
	return compare(is_grave(before->failures, before->last_error_kind), is_grave(after->failures, after->last_error_kind), before->last_error,
		after->last_error);
}

char *health_words(char out[HEALTH_WORDS_BYTES], const struct mailbox_state *mailbox)
{
	char since[24];

	snprintf(out, HEALTH_WORDS_BYTES, "%s since %s: %s", mailbox->last_error_kind == ERR_AUTH ? "needs a new password" : "fails",
		clock_iso8601(since, mailbox->error_since), mailbox->last_error);
	return out;
}

void health_log(const struct mailbox_state *before, const struct mailbox_state *after, bool attended, const struct log *log, const struct error *err)
{
	bool is_news = attended || health_is_news(before->last_error, after->last_error);
	char words[HEALTH_WORDS_BYTES];

	if (err->kind != ERR_NONE && err->scope == SCOPE_DESTINATION)
		is_news = false; /* said once for all mailboxes that deliver there */
	if (err->kind == ERR_AUTH && err->scope == SCOPE_MAILBOX)
		log_say(log, is_news ? LEVEL_WARNING : LEVEL_INFO, "mailbox_failed", "%s", health_words(words, after));
	else if (err->kind != ERR_NONE)
		log_say(log, is_news ? LEVEL_WARNING : LEVEL_INFO, "mailbox_failed", "%s", err->text);
	else if (before->failures != 0)
		log_say(log, LEVEL_NOTICE, "mailbox_recovered", "works again; the last error was: %s", before->last_error);
}

/* -- destinations -- */

void health_note_destination(struct destination_state *destination, const struct error *err, int64_t now_s, uint32_t random)
{
	if (err->kind == ERR_NONE) {
		destination->failures = 0;
		destination->retry_at = 0;
		destination->accepted_at = now_s;
		return;
	}
	if (destination->failures++ == 0)
		destination->down_since = now_s;
	destination->clock = backoff_clock_of(err->kind);
	destination->retry_at = now_s + backoff_delay_s((enum backoff_clock)destination->clock, destination->failures, random);
	destination->last_error_kind = (int)err->kind;
	destination->last_error_at = now_s;
	snprintf(destination->last_error, sizeof(destination->last_error), "%s", err->text);
}

void health_log_failure(const char *name, const struct destination_state *before, const struct destination_state *after, bool attended)
{
	bool is_news = attended || before->failures == 0 || health_is_news(before->last_error, after->last_error);
	const struct log log = {.key = "destination", .value = name};
	char since[24];

	log_say(&log, is_news ? LEVEL_WARNING : LEVEL_INFO, "destination_down", "%s (down since %s)", after->last_error,
		clock_iso8601(since, after->down_since));
}

void health_log_recovery(const char *name, const struct destination_state *now)
{
	const struct log log = {.key = "destination", .value = name};
	char since[24];

	log_say(&log, LEVEL_NOTICE, "destination_recovered", "destination %s works again; it was down since %s", name,
		clock_iso8601(since, now->down_since));
}
