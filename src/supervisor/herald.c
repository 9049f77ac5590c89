#include "supervisor/herald.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervisor/attendant.h"
#include "supervisor/health.h"
#include "supervisor/program.h"

#define WAITING_MAX 16 /* more at once is one trouble, such as the network's: "mailhaul status" knows all */
#define COMMAND_S 60

struct notice {
	char event[32], text[400];
	const char *kind; /* of name: a variable of the program */
	char name[NAME_BYTES];
};

struct herald {
	struct service *service;
	struct notice waiting[WAITING_MAX]; /* the first is being told */
	unsigned count;
	unsigned long untold; /* found no room since it was said that there is none */
	struct program program;
	bool failing; /* the last run failed, and that was said */
	void (*idle)(void *);
	void *idle_context;
};

/* -- the program -- */

static void tell_next(struct herald *herald);

static void note_result(struct herald *herald, bool failed, const char *why)
{
	if (failed && !herald->failing)
		log_say(NULL, LEVEL_WARNING, "notify_failed", "notify_command %s", why);
	herald->failing = failed;
}

static void drop_first(struct herald *herald)
{
	memmove(&herald->waiting[0], &herald->waiting[1], --herald->count * sizeof(herald->waiting[0]));
}

static void on_program_end(void *context)
{
	struct herald *herald = context;
	char why[80];

	if (herald->program.late)
		snprintf(why, sizeof(why), "did not end within %d seconds and was killed", COMMAND_S);
	else
		snprintf(why, sizeof(why), "failed with exit status %d", herald->program.status);
	note_result(herald, herald->program.status != 0, why);
	drop_first(herald);
	tell_next(herald);
	if (herald->count == 0 && herald->untold != 0) {
		log_say(NULL, LEVEL_WARNING, "not_notified", "notify_command was not told of %lu things; \"mailhaul status\" shows how all stands",
			herald->untold);
		herald->untold = 0;
	}
	if (herald->count == 0 && herald->idle != NULL)
		herald->idle(herald->idle_context);
}

/* Its standard input is the sentence; what it prints nobody reads. */
static int start_program(struct herald *herald, const struct notice *notice, struct error *err)
{
	char sentence[sizeof(notice->text) + NAME_BYTES + 8];
	int len = snprintf(sentence, sizeof(sentence), "%s%s%s\n", notice->name, notice->name[0] != '\0' ? ": " : "", notice->text), result;
	int input = fs_sealed("notice", sentence, (size_t)len, err), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct program_call call = {
		.argv = herald->service->config->notify_command,
		.variables = {{"MAILHAUL_EVENT", notice->event}, {"MAILHAUL_TEXT", notice->text}, {notice->kind, notice->name}},
		.stdio = {input, null, null},
		.deadline_s = COMMAND_S * deadline_factor(),
		.ended = on_program_end,
		.context = herald,
	};

	if (input < 0 || null < 0)
		result = error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot be given its input");
	else
		result = program_start(herald->service, &herald->program, &call, err);
	fs_close(input);
	fs_close(null);
	return result;
}

static void tell_next(struct herald *herald)
{
	struct error err;

	/* A reload may have taken it away. */
	while (herald->count != 0 && (herald->service->config->notify_command == NULL || start_program(herald, &herald->waiting[0], &err) < 0)) {
		if (herald->service->config->notify_command != NULL)
			note_result(herald, true, err.text);
		drop_first(herald);
	}
}

void herald_tell(struct service *service, const char *event, const char *mailbox, const char *destination, const char *text)
{
	struct herald *herald = service->herald;
	const char *name = mailbox != NULL ? mailbox : destination;
	struct notice *notice;

	if (herald == NULL || service->attended || service->config->notify_command == NULL)
		return;
	if (herald->count == WAITING_MAX) {
		if (herald->untold++ == 0)
			log_say(NULL, LEVEL_WARNING, "not_notified",
				"notify_command is not told of \"%s\" and what comes next, since too much is waiting for it", event);
		return;
	}
	notice = &herald->waiting[herald->count];
	*notice = (struct notice){.kind = mailbox != NULL ? "MAILHAUL_MAILBOX" : destination != NULL ? "MAILHAUL_DESTINATION" : NULL};
	snprintf(notice->event, sizeof(notice->event), "%s", event);
	snprintf(notice->name, sizeof(notice->name), "%s", name != NULL ? name : "");
	printable_into(notice->text, sizeof(notice->text), text, strlen(text));
	if (herald->count++ == 0)
		tell_next(herald);
}

struct herald *herald_new(struct service *service)
{
	struct herald *herald = xcalloc(1, sizeof(*herald));

	herald->service = service;
	return herald;
}

void herald_free(struct herald *herald)
{
	if (herald == NULL)
		return;
	program_done(&herald->program);
	free(herald);
}

bool herald_is_busy(const struct herald *herald)
{
	return herald != NULL && herald->count != 0;
}

void herald_when_idle(struct herald *herald, void (*idle)(void *), void *context)
{
	herald->idle = idle;
	herald->idle_context = context;
}

/* -- what there is to say -- */

void herald_mailbox(struct service *service, const struct log *log, const struct mailbox_state *before, const struct mailbox_state *after,
	const struct error *err)
{
	char text[HEALTH_WORDS_BYTES];

	health_log(before, after, service->attended, log, err);
	switch (health_news(before, after)) {
	case NEWS_WORSE:
		herald_tell(service, "mailbox_failed", log->value, NULL, health_words(text, after));
		break;
	case NEWS_BETTER:
		herald_tell(service, "mailbox_recovered", log->value, NULL, "works again");
		break;
	case NEWS_NONE:
		break;
	}
}

void herald_destination_failed(
	struct service *service, const char *name, const struct destination_state *before, const struct destination_state *after)
{
	char text[HEALTH_WORDS_BYTES], since[24];

	health_log_failure(name, before, after, service->attended);
	if (health_destination_news(before, after) != NEWS_WORSE)
		return;
	snprintf(text, sizeof(text), "is down since %s: %s", clock_iso8601(since, after->down_since), after->last_error);
	herald_tell(service, "destination_down", NULL, name, text);
}

void herald_destination_recovered(struct service *service, const char *name, const struct destination_state *now, bool was_told)
{
	health_log_recovery(name, now);
	if (was_told)
		herald_tell(service, "destination_recovered", NULL, name, "works again");
}

void herald_held(struct service *service, const struct log *log, uint64_t before, uint64_t after)
{
	char text[120];

	if (before == after)
		return;
	if (after == 0)
		snprintf(text, sizeof(text), "no message is held any more");
	else
		snprintf(text, sizeof(text), "%" PRIu64 " message%s held; \"mailhaul held list %s\" shows why", after, after == 1 ? " is" : "s are",
			log->value);
	log_say(log, LEVEL_NOTICE, "messages_held", "%s", text); /* each message has had its warning */
	herald_tell(service, "messages_held", log->value, NULL, text);
}
