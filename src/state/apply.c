#include <assert.h>

#include "base/error.h"
#include "policy/policy.h"
#include "state/store.h"

/* One record on its way into the state. Deliveries change in memory first, so that a lie found half way has changed nothing. */
struct step {
	struct state *state;
	const struct record *record;
	const struct state_target *targets;
	unsigned target_count;
	int64_t now;
	struct message_row message;
};

/* The message's delivery to target i of the job, or NULL with *err: a lie, or a failure of the database. */
static struct delivery_row *find_delivery(struct step *step, unsigned i, struct error *err)
{
	int64_t target;

	if (i >= step->target_count) {
		store_lie(err, "target %u of %u", i, step->target_count);
		return NULL;
	}
	if (target_find(step->state, &step->targets[i], false, &target, err) < 0)
		return NULL;
	for (unsigned k = 0; k < step->message.delivery_count; k++)
		if (step->message.deliveries[k].target == target)
			return &step->message.deliveries[k];
	store_lie(err, "a delivery of message %lld to %s, which it is not meant for", (long long)step->message.id, step->targets[i].destination);
	return NULL;
}

static int out_of_order(const struct step *step, const char *what, struct error *err)
{
	return store_lie(err, "%s of message %lld out of order", what, (long long)step->message.id);
}

/* -- INTENT -- */

static int store_intent(struct step *step, struct error *err)
{
	const struct record *record = step->record;

	for (unsigned i = 0; i < step->message.delivery_count; i++)
		if (message_store_delivery(step->state, &step->message, &step->message.deliveries[i], NULL, 0, err) < 0)
			return -1;
	return sql_run(step->state, err,
		"UPDATE message SET stage = ?2, bytes = ?3, hash = ?4, trace = ?5, has_trace = ?6, attempts = 0, first_failed_at = 0, next_try = 0,"
		" fetch_error = NULL WHERE id = ?1",
		SQL_NUMBER(step->message.id), SQL_NUMBER(STAGE_INTENT), SQL_NUMBER(record->size), SQL_BLOB(record->hash, sizeof(record->hash)),
		SQL_BLOB(record->trace, sizeof(record->trace)), SQL_NUMBER(record->has_trace != 0));
}

static int apply_intent(struct step *step, struct error *err)
{
	const struct record *record = step->record;

	if (!stage_may_follow(STAGE_INTENT, step->message.stage))
		return out_of_order(step, "intent", err);
	if (record->targets == 0 || record->size > INT64_MAX || record->when <= 0)
		return store_lie(err, "an intent that says nothing");
	for (unsigned i = 0; i < TARGETS_MAX; i++) {
		struct delivery_row *delivery;

		if ((record->targets >> i & 1) == 0)
			continue;
		delivery = find_delivery(step, i, err);
		if (delivery == NULL)
			return -1;
		if (!delivery_may_follow(DELIVERY_INTENT, delivery->status))
			return out_of_order(step, "intent", err);
		delivery_intend(delivery, record->when, state_most_s(step->state, step->now), step->targets[i].place);
	}
	return store_intent(step, err);
}

/* -- OUTCOME -- */

/* Whose fault it is decides the next try; the table of the policy knows. */
static int fail(struct step *step, struct delivery_row *delivery, enum error_kind kind, struct error *err)
{
	if (delivery_is_settled(delivery))
		return out_of_order(step, "outcome", err);
	delivery->code = step->record->code;
	switch (policy_action(kind, (enum error_scope)step->record->scope)) {
	case ACTION_HOLD:
		delivery_refuse(delivery, step->now);
		break;
	case ACTION_RETRY:
		delivery_defer(delivery, step->now);
		break;
	case ACTION_NONE:
	case ACTION_SKIP_FOLDER:
	case ACTION_STOP_DESTINATION:
	case ACTION_END_SESSION:
	case ACTION_END_LOGIN:
	case ACTION_END_PROGRAM:
		delivery_postpone(delivery);
		break;
	}
	return 0;
}

static int judge(struct step *step, struct delivery_row *delivery, struct error *err)
{
	bool intended = delivery->status == DELIVERY_INTENT;

	switch ((enum verdict)step->record->verdict) {
	case VERDICT_DEFERRED:
		return fail(step, delivery, step->record->error != ERR_NONE ? (enum error_kind)step->record->error : ERR_TEMP, err);
	case VERDICT_REFUSED:
		return fail(step, delivery, ERR_REFUSED, err);
	case VERDICT_ACCEPTED:
		if (!delivery_may_follow(DELIVERY_ACCEPTED, delivery->status))
			break;
		delivery_accept(delivery);
		return 0;
	case VERDICT_IN_DOUBT:
		if (!intended)
			break;
		delivery_doubt(delivery, step->now);
		return 0;
	case VERDICT_RETRACTED: /* or of an older round, by a destination that knows that it has not got it */
		if (!intended && (delivery->doubts == 0 || delivery_is_settled(delivery)))
			break;
		delivery_retract(delivery);
		return 0;
	}
	return out_of_order(step, "outcome", err);
}

static int apply_outcome(struct step *step, struct error *err)
{
	const struct record *record = step->record;
	struct delivery_row *delivery = find_delivery(step, record->index, err);
	bool has_words = record->verdict != VERDICT_RETRACTED && record->len != 0;

	if (delivery == NULL || judge(step, delivery, err) < 0)
		return -1;
	if (message_store_delivery(step->state, &step->message, delivery, has_words ? record->text : NULL, record->len, err) < 0)
		return -1;
	if (record->verdict == VERDICT_ACCEPTED && target_note_accepted(step->state, delivery->target, step->now, err) < 0)
		return -1;
	return message_settle(step->state, &step->message, step->now, err);
}

/* -- UNFETCHED, DISPOSED -- */

/* Its deliveries in doubt stay in doubt: they may have been made. */
static int hold_unfetched(struct step *step, struct error *err)
{
	for (unsigned i = 0; i < step->message.delivery_count; i++) {
		struct delivery_row *delivery = &step->message.deliveries[i];

		if (delivery_is_settled(delivery) || delivery->status == DELIVERY_INTENT)
			continue;
		/* One that is held for another reason and not due keeps its clock. */
		if (delivery->status == DELIVERY_HELD && !delivery_is_due(delivery, step->now))
			continue;
		delivery_hold(delivery, step->now);
		if (message_store_delivery(step->state, &step->message, delivery, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_unfetched(struct step *step, struct error *err)
{
	const struct record *record = step->record;
	struct message_row *message = &step->message;
	bool broken_off = record->scope == SCOPE_MAILBOX;
	int64_t next_try = 0;

	if (message->stage != STAGE_OPEN && message->stage != STAGE_INTENT)
		return out_of_order(step, "failed fetch", err);
	message->attempts++;
	/* A server that breaks off at the same message each time would keep all that come behind it. */
	if (!broken_off)
		next_try = step->now + backoff_s(BACKOFF_MESSAGE, message->attempts);
	else if (message->attempts > 1)
		next_try = step->now + backoff_s(BACKOFF_MESSAGE, message->attempts - 1);
	if (message->first_failed_at == 0)
		message->first_failed_at = step->now;
	/* REFUSED: larger than the operator allows, which no further try will change soon. */
	if (((record->error == ERR_REFUSED && !broken_off) || step->now - message->first_failed_at > DEFERRED_MAX_S) && hold_unfetched(step, err) < 0)
		return -1;
	return sql_run(step->state, err, "UPDATE message SET attempts = ?2, first_failed_at = ?3, next_try = ?4, fetch_error = ?5 WHERE id = ?1",
		SQL_NUMBER(message->id), SQL_NUMBER(message->attempts), SQL_NUMBER(message->first_failed_at), SQL_NUMBER(next_try),
		SQL_BLOB(record->text, record->len));
}

static int apply_disposed(struct step *step, struct error *err)
{
	struct message_row *message = &step->message;
	bool stays = message->disposal == DISPOSE_MARK_SEEN;

	if (!stage_may_follow(STAGE_DISPOSED, message->stage) || message->disposal == DISPOSE_KEEP)
		return out_of_order(step, "disposal", err);
	if (stays)
		return sql_run(step->state, err, "UPDATE message SET stage = ?2 WHERE id = ?1", SQL_NUMBER(message->id), SQL_NUMBER(STAGE_DISPOSED));
	if (sql_run(step->state, err, "UPDATE message SET stage = ?2, gone_at = ?3, epoch = " EPOCH_OF_GONE " WHERE id = ?1", SQL_NUMBER(message->id),
		    SQL_NUMBER(STAGE_DISPOSED), SQL_NUMBER(state_least_s(step->state, step->now))) < 0)
		return -1;
	return sql_run(step->state, err, "UPDATE folder SET present = present - 1 WHERE id = ?1", SQL_NUMBER(message->folder));
}

int state_apply(struct state *state, int64_t mailbox_id, const struct record *record, const struct state_target *targets, unsigned target_count,
	int64_t now, struct error *err)
{
	struct step step; /* of which message is large, and is filled in by message_load */

	assert(target_count <= TARGETS_MAX);
	step.state = state;
	step.record = record;
	step.targets = targets;
	step.target_count = target_count;
	step.now = now;
	if (message_load(state, record->id, &step.message, err) < 0)
		return -1;
	if (step.message.mailbox != mailbox_id)
		return store_lie(err, "a step of message %lld, which is of another mailbox", (long long)step.message.id);
	switch (record->kind) {
	case REC_INTENT:
		return apply_intent(&step, err);
	case REC_OUTCOME:
		return apply_outcome(&step, err);
	case REC_UNFETCHED:
		return apply_unfetched(&step, err);
	case REC_DISPOSED:
		return apply_disposed(&step, err);
	case REC_RECOGNIZE:
		return message_recognize(state, &step.message, record, err);
	default:
		return store_lie(err, "a record of kind %u as a step", (unsigned)record->kind);
	}
}
