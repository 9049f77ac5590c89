/* A refusal for good, and the rule that the operator wrote for it. */
#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "state/store.h"

#define ACCEPTED_NOTED_S 60 /* a busy destination is noted once a minute */
#define ACCEPTED_RECENTLY_S \
	86400 /* a destination that took mail within this time accepts mail; else it may be broken, and its refusals mean nothing */

int target_note_accepted(struct state *state, int64_t target, int64_t now, struct error *err)
{
	if (state->recent.accepted == target)
		return 0;
	state->recent.accepted = target;
	if (sql_run(state, err, "UPDATE target SET accepted_at = ?2 WHERE id = ?1 AND accepted_at NOT BETWEEN ?3 AND ?2", SQL_NUMBER(target),
		    SQL_NUMBER(now), SQL_NUMBER(now - ACCEPTED_NOTED_S)) < 0)
		return -1;
	if (sqlite3_changes(state->db) == 0)
		return 0;
	return sql_run(state, err,
		"INSERT INTO destination (name, accepted_at) SELECT destination, ?2 FROM target WHERE id = ?1"
		" ON CONFLICT (name) DO UPDATE SET accepted_at = excluded.accepted_at",
		SQL_NUMBER(target), SQL_NUMBER(now));
}

/* Of the same recipient: that others get mail there does not show that this one does. */
static int accepts_other_mail(struct state *state, int64_t target, int64_t now, struct error *err)
{
	int64_t recently;

	if (sql_number(state, err, &recently, "SELECT accepted_at BETWEEN ?2 AND ?3 FROM target WHERE id = ?1", SQL_NUMBER(target),
		    SQL_NUMBER(now - ACCEPTED_RECENTLY_S), SQL_NUMBER(now)) < 0)
		return -1;
	return recently != 0;
}

static struct delivery_row *delivery_to(struct message_row *message, int64_t target)
{
	for (unsigned i = 0; i < message->delivery_count; i++)
		if (message->deliveries[i].target == target)
			return &message->deliveries[i];
	return NULL;
}

/* 1: it is on its way to all of them. 0: it cannot be. */
static int add_deliveries(struct state *state, struct message_row *message, const struct refusal_rule *rule, struct error *err)
{
	int64_t missing[TARGETS_MAX];
	unsigned count = 0;

	if (rule->target_count == 0)
		return 0;
	for (unsigned i = 0; i < rule->target_count; i++) {
		const struct delivery_row *delivery;
		int64_t target;

		if (target_find(state, &rule->targets[i], true, &target, err) < 0)
			return -1;
		delivery = delivery_to(message, target);
		if (delivery == NULL)
			missing[count++] = target;
		else if (delivery_is_settled(delivery) && delivery->status != DELIVERY_ACCEPTED)
			return 0; /* somebody has given it up */
	}
	if (message->delivery_count + count > TARGETS_MAX)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		if (sql_run(state, err, "INSERT INTO delivery (message, target, status) VALUES (?1, ?2, ?3)", SQL_NUMBER(message->id),
			    SQL_NUMBER(missing[i]), SQL_NUMBER(DELIVERY_OPEN)) < 0)
			return -1;
		message->deliveries[message->delivery_count++] = (struct delivery_row){.target = missing[i], .status = DELIVERY_OPEN};
	}
	return 1;
}

static int end_delivery(
	struct state *state, struct message_row *message, struct delivery_row *refused, enum delivery_stage status, int64_t now, struct error *err)
{
	assert(delivery_may_follow(status, refused->status));
	refused->status = status;
	if (message_store_delivery(state, message, refused, NULL, 0, err) < 0)
		return -1;
	return message_settle(state, message, now, err);
}

static bool rule_concerns(const struct refusal_rule *rule, const struct state_target *target)
{
	for (unsigned i = 0; i < rule->target_count; i++)
		if (strcmp(rule->targets[i].destination, target->destination) == 0)
			return false; /* what is refused there, too, has nowhere else to go */
	return true;
}

int state_refused(struct state *state, uint64_t message_id, const struct state_target *target, const struct refusal_rule *rule, int64_t now,
	enum refusal_end *ret_end, struct error *err)
{
	struct message_row message;
	struct delivery_row *refused;
	int64_t target_id;
	int applies;

	*ret_end = REFUSAL_HELD;
	if (rule->what == REFUSE_HOLD || !rule_concerns(rule, target))
		return 0;
	if (message_load(state, message_id, &message, err) < 0 || target_find(state, target, false, &target_id, err) < 0)
		return -1;
	refused = delivery_to(&message, target_id);
	if (refused == NULL || refused->status != DELIVERY_HELD)
		return 0; /* it was the destination's trouble, after all */
	applies = accepts_other_mail(state, target_id, now, err);
	if (applies > 0 && rule->what == REFUSE_DELIVER_TO)
		applies = add_deliveries(state, &message, rule, err);
	if (applies <= 0)
		return applies;
	*ret_end = rule->what == REFUSE_DELETE ? REFUSAL_DISCARDED : REFUSAL_DIVERTED;
	return end_delivery(state, &message, refused, rule->what == REFUSE_DELETE ? DELIVERY_DISCARDED : DELIVERY_DROPPED, now, err);
}

int state_release(
	struct state *state, int64_t mailbox_id, const struct state_target *target, int64_t since_s, enum refusal_end *ret_end, struct error *err)
{
	int64_t target_id;

	*ret_end = REFUSAL_HELD;
	if (target_find(state, target, false, &target_id, err) < 0)
		return -1;
	/* Of those without a reply some could not be fetched, and some were sent and never answered: they stay held. */
	if (sql_run(state, err,
		    "UPDATE delivery SET status = ?1, next_try = 0, held_at = 0 WHERE target = ?2 AND " DELIVERY_IS_HELD
		    " AND held_tries = 0 AND held_at >= ?3 AND code >= 500 AND next_try >= 0"
		    " AND EXISTS (SELECT 1 FROM target t WHERE t.id = ?2 AND t.accepted_at < ?3) AND message IN"
		    " (SELECT m.id FROM folder f JOIN message m ON m.folder = f.id WHERE f.mailbox = ?4 AND m." MESSAGE_IS_UNDELIVERED ")",
		    SQL_NUMBER(DELIVERY_DEFERRED), SQL_NUMBER(target_id), SQL_NUMBER(since_s), SQL_NUMBER(mailbox_id)) < 0)
		return -1;
	if (sqlite3_changes(state->db) != 0)
		*ret_end = REFUSAL_RELEASED;
	return 0;
}
