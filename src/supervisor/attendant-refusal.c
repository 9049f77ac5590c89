#include <assert.h>
#include <stdio.h>

#include "supervisor/attendant.h"

/* A refusal of a message or a recipient, not of a destination's state. */
static bool is_refusal(const struct record *record)
{
	return record->kind == REC_OUTCOME && record->verdict == VERDICT_REFUSED &&
	       (record->scope == SCOPE_MESSAGE || record->scope == SCOPE_RECIPIENT);
}

/* Not of a message, but of everything: three in a row, or a sender that nobody refuses (policy/refusal.h). */
static bool refuses_everything(const struct record *record)
{
	return record->kind == REC_OUTCOME && record->verdict == VERDICT_DEFERRED && record->scope == SCOPE_DESTINATION && record->code >= 400;
}

static struct state_target target_of(const struct attendant *attendant, unsigned index)
{
	const struct target *target = &attendant->job.targets[index];

	return (struct state_target){.destination = attendant->job.destinations[target->dest].name, .recipient = target->recipient};
}

/* The rule as it is configured now, whatever the worker was told: it must not be able to dispose of mail by a word. */
static void make_rule(const struct attendant *attendant, struct state_target *targets, struct refusal_rule *ret_rule)
{
	const struct mailbox_config *mailbox = attendant->mailbox;
	const struct dest_config *dest;
	char *const *recipients;

	*ret_rule = (struct refusal_rule){.what = mailbox->on_refuse.what, .targets = targets};
	if (ret_rule->what != REFUSE_DELIVER_TO)
		return;
	dest = config_destination(attendant->config, mailbox->on_refuse.destination);
	assert(dest != NULL); /* validate.c */
	recipients = config_recipients(mailbox, dest);
	if (recipients == NULL)
		targets[ret_rule->target_count++] = (struct state_target){.destination = dest->name, .recipient = ""};
	for (size_t i = 0; recipients != NULL && recipients[i] != NULL && ret_rule->target_count < TARGETS_MAX; i++)
		targets[ret_rule->target_count++] = (struct state_target){.destination = dest->name, .recipient = recipients[i]};
}

int attendant_refusal(struct attendant *attendant, const struct record *record, int64_t now, enum refusal_end *ret_end, struct error *err)
{
	struct state_target targets[TARGETS_MAX], refused;
	struct refusal_rule rule;

	*ret_end = REFUSAL_HELD;
	if (refuses_everything(record)) {
		refused = target_of(attendant, record->index);
		return state_release(attendant->service->state, attendant->mailbox_state.id, &refused, attendant->started_s, ret_end, err);
	}
	if (!is_refusal(record) || record->scope != SCOPE_MESSAGE || (record->flags & REC_AFTER_DATA) == 0)
		return 0;
	refused = target_of(attendant, record->index); /* state_apply has checked it */
	make_rule(attendant, targets, &rule);
	return state_refused(attendant->service->state, record->id, &refused, &rule, now, ret_end, err);
}

void attendant_tell_refusal(struct attendant *attendant, const struct record *record, enum refusal_end end)
{
	static const struct {
		const char *event, *what;
		enum log_level level;
	} ends[] = {
		[REFUSAL_HELD] = {"held", "is held; \"mailhaul held\" knows more", LEVEL_WARNING},
		[REFUSAL_DIVERTED] = {"diverted", "goes to the destination that on_refuse names", LEVEL_NOTICE},
		[REFUSAL_DISCARDED] = {"discarded", "counts as delivered, as on_refuse says", LEVEL_NOTICE},
		[REFUSAL_RELEASED] = {"released", "and what was refused before it is not held, since nothing is accepted there", LEVEL_NOTICE},
	};
	struct state_target target;
	struct log_entry entry;
	char text[sizeof(record->text) + 160];

	if ((!is_refusal(record) && end != REFUSAL_RELEASED) || !attendant_may_log(attendant))
		return;
	target = target_of(attendant, record->index);
	snprintf(text, sizeof(text), "message %llu %s: %.*s", (unsigned long long)record->id, ends[end].what, (int)record->len, record->text);
	log_begin(&entry, &attendant->log, ends[end].level, ends[end].event);
	log_number(&entry, "message", (int64_t)record->id);
	log_text(&entry, "destination", target.destination);
	if (target.recipient[0] != '\0')
		log_text(&entry, "recipient", target.recipient);
	log_text(&entry, "text", text);
	log_end(&entry);
}
