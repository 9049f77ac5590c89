#include "source/pop3-session.h"

#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "channel/wait.h"
#include "mail/message.h"
#include "net/wire.h"

#define PIECE_BYTES 16384 /* of a body, decoded at a time on the stack */
#define FILLS_MAX 16      /* reads in one receive: a fast server must not keep the caller from its other peers */
#define LARGE_FILLS_MAX 4 /* the same while a large message arrives: some SOURCE_PIECE_BYTES */

static int check_alive(const struct pop3 *pop3, struct error *err)
{
	if (!pop3->lost && pop3->source.wire != NULL)
		return 0;
	return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the connection to the server is gone");
}

static void enqueue(struct pop3 *pop3, struct haul *haul, uint64_t id, uint32_t number)
{
	struct pop3_command *command = xcalloc(1, sizeof(*command));

	command->haul = haul;
	command->id = id;
	command->number = number;
	STAILQ_INSERT_TAIL(&pop3->queue, command, next);
	if (pop3->unsent == NULL)
		pop3->unsent = command;
	pop3->unanswered++;
	if (haul == NULL)
		pop3->undeleted++;
}

static void dequeue(struct pop3 *pop3, struct pop3_command *command)
{
	if (pop3->unsent == command)
		pop3->unsent = STAILQ_NEXT(command, next);
	STAILQ_REMOVE(&pop3->queue, command, pop3_command, next);
	pop3->unanswered--;
	if (command->haul == NULL)
		pop3->undeleted--;
	free(command);
}

int pop3_request(struct source *source, struct haul *haul, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);

	if (check_alive(pop3, err) < 0)
		return -1;
	enqueue(pop3, haul, haul->id, haul->uid);
	haul->stage = HAUL_REQUESTED;
	return 0;
}

int pop3_dispose(struct source *source, uint64_t id, uint32_t uid, enum disposal what, const char *folder, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);

	(void)folder;
	if (what != DISPOSE_DELETE)
		return error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "POP3 knows no flags and no folders: set after_delivery to keep or delete");
	if (check_alive(pop3, err) < 0)
		return -1;
	enqueue(pop3, NULL, id, uid);
	return 0;
}

/* A reply is due: something has been sent and not been answered. */
static bool is_owed(const struct pop3 *pop3)
{
	return !STAILQ_EMPTY(&pop3->queue) && STAILQ_FIRST(&pop3->queue) != pop3->unsent;
}

uint64_t pop3_awaited(const struct pop3 *pop3)
{
	const struct pop3_command *oldest = STAILQ_FIRST(&pop3->queue);

	return oldest != NULL && oldest != pop3->unsent && oldest->haul != NULL ? oldest->haul->id : 0;
}

/* Holds the server to its timeout, from now, while it owes us something. */
static void renew_patience(struct pop3 *pop3)
{
	bool owed = is_owed(pop3);

	wire_set_flowing(pop3->source.wire, owed);
	wire_set_deadline(pop3->source.wire, deadline_min(pop3->leave_by, owed ? pop3_patience(pop3) : DEADLINE_NEVER));
}

/* Nothing has been asked: a line now is a farewell, or a reply to a command that we never sent. 0: none, or not all of it. */
static int expect_nothing(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;
	char *line;
	size_t len;
	int got = wire_peek_line(pop3->source.wire, &line, &len, err);

	if (got <= 0)
		return got;
	reply = pop3_reply_parse(line, len);
	if (reply.status == POP3_ERR)
		return pop3_fail(err, ERR_TEMP, SCOPE_MAILBOX, &reply, "server ended the session");
	return pop3_fail(err, ERR_PROTO, SCOPE_MAILBOX, &reply, "server sent a reply that nobody asked for");
}

/* Gathers what may be sent now: everything, or, for a server that wants its commands one by one, the oldest if none is unanswered. A reply that lies there
 * before would be taken for the answer, and another message for the one asked for. */
static int gather(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;

	if (pop3->unsent != NULL && !is_owed(pop3) && wire_has_input(wire))
		return expect_nothing(pop3, err) < 0 ? -1 : error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server answered before it was asked");
	while (pop3->unsent != NULL && (pop3->pipelining || !is_owed(pop3))) {
		wire_addf(wire, "%s %u\r\n", pop3->unsent->haul != NULL ? "RETR" : "DELE", (unsigned)pop3->unsent->number);
		pop3->unsent = STAILQ_NEXT(pop3->unsent, next);
	}
	renew_patience(pop3);
	return 0;
}

/* What the socket does not take now goes out with the next receive: a server whose replies pile up must not hold us (RFC 2449 6.6). */
int pop3_flush(struct source *source, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);

	if (check_alive(pop3, err) < 0)
		return -1;
	return gather(pop3, err) < 0 || wire_flush_some(source->wire, err) < 0 ? pop3_lose(pop3) : 0;
}

/* The oldest command has its answer. Returns 1, or -1. */
static int finish(struct pop3 *pop3, struct pop3_command *command, struct error *err)
{
	struct haul *haul = command->haul;

	dequeue(pop3, command);
	if (haul != NULL)
		STAILQ_INSERT_TAIL(&pop3->fetched, haul, next);
	if (!pop3->pipelining && gather(pop3, err) < 0)
		return -1;
	renew_patience(pop3);
	return 1;
}

static void throw_away(struct pop3 *pop3)
{
	message_free(pop3->message);
	pop3->message = NULL;
}

static void begin_body(struct pop3 *pop3)
{
	pop3->in_body = true;
	dot_decoder_init(&pop3->dots);
	if (!pop3->closing)
		pop3->message = message_new(pop3->context->spool, pop3->context->own_mark);
}

/* An error here is this haul's own: the rest of its body is read all the same, so that the next reply is found. */
static void add_body(struct pop3 *pop3, struct haul *haul, const char *bytes, size_t len)
{
	uint64_t max = pop3->context->mailbox->max_message;

	if (pop3->message == NULL)
		return;
	if (pop3->message->size > max || len > max - pop3->message->size) {
		error_set(&haul->error, ERR_REFUSED, SCOPE_MESSAGE, "message is larger than max_message (%llu bytes): raise it to have this one",
			(unsigned long long)max);
		haul->oversized = true;
		throw_away(pop3);
	} else if (message_add(pop3->message, bytes, len, &haul->error) < 0) {
		throw_away(pop3);
	}
}

static int end_body(struct pop3 *pop3, struct pop3_command *command, struct error *err)
{
	struct haul *haul = command->haul;

	pop3->in_body = false;
	if (pop3->message != NULL && message_end(pop3->message, &haul->error) < 0)
		throw_away(pop3);
	if (pop3->message != NULL) {
		haul->message = pop3->message;
		haul->stage = HAUL_SPOOLED;
		pop3->message = NULL;
	}
	return finish(pop3, command, err);
}

/* 1: the body is complete. 0: more of it is to come. */
static int take_body(struct pop3 *pop3, struct pop3_command *command, struct error *err)
{
	char out[PIECE_BYTES + 4];
	size_t len, used, decoded;

	for (;;) {
		const char *in = wire_peek(pop3->source.wire, &len);

		if (len == 0)
			return 0;
		decoded = dot_decode(&pop3->dots, in, len < PIECE_BYTES ? len : PIECE_BYTES, out, &used);
		wire_consume(pop3->source.wire, used);
		add_body(pop3, command->haul, out, decoded);
		if (pop3->dots.ended)
			return end_body(pop3, command, err);
	}
}

static void remember_deleted(struct pop3 *pop3, uint64_t id)
{
	if (pop3->deleted_count == pop3->deleted_cap) {
		pop3->deleted_cap = pop3->deleted_cap != 0 ? 2 * pop3->deleted_cap : 64;
		pop3->deleted = xreallocarray(pop3->deleted, pop3->deleted_cap, sizeof(*pop3->deleted));
	}
	pop3->deleted[pop3->deleted_count++] = id;
}

/* The first line of the oldest command's answer. 1: taken. 0: it has not come. */
static int take_reply(struct pop3 *pop3, struct pop3_command *command, struct error *err)
{
	struct pop3_reply reply;
	char *line;
	size_t len;
	int got = wire_peek_line(pop3->source.wire, &line, &len, err);

	if (got <= 0)
		return got;
	reply = pop3_reply_parse(line, len);
	if (reply.status != POP3_OK && reply.status != POP3_ERR)
		return pop3_fail(err, ERR_PROTO, SCOPE_MAILBOX, &reply, "server answered with something that is not POP3");
	if (command->haul != NULL && reply.status == POP3_OK) {
		begin_body(pop3);
		return 1;
	}
	if (command->haul != NULL)
		pop3_fail(&command->haul->error, ERR_TEMP, SCOPE_MESSAGE, &reply, "server did not hand the message out");
	else if (reply.status == POP3_OK)
		remember_deleted(pop3, command->id);
	else if (pop3->refused.kind == ERR_NONE)
		pop3_fail(&pop3->refused, ERR_REFUSED, SCOPE_FOLDER, &reply, "server refused to delete a message that was delivered");
	return finish(pop3, command, err);
}

/* Takes one step with what has arrived. 1: done; 0: nothing more to be done with it; -1: out of step. */
static int step(struct pop3 *pop3, struct error *err)
{
	struct pop3_command *oldest = STAILQ_FIRST(&pop3->queue);

	if (!is_owed(pop3))
		return expect_nothing(pop3, err);
	return pop3->in_body ? take_body(pop3, oldest, err) : take_reply(pop3, oldest, err);
}

/* Sends what is left over, reads what has arrived. 1: something; 0: nothing. */
static int move_bytes(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	int got;

	if (wire_unsent(wire) > 0 && wire_flush_some(wire, err) < 0)
		return -1;
	got = wire_fill(wire, err);
	if (got > 0)
		renew_patience(pop3);
	return got;
}

static bool is_large_arriving(const struct pop3 *pop3)
{
	return pop3->in_body && pop3->message != NULL && pop3->message->size >= SOURCE_LARGE_BYTES;
}

int pop3_arriving(struct source *source, struct haul **ret_haul, struct message **ret_message)
{
	struct pop3 *pop3 = pop3_of(source);

	if (!is_large_arriving(pop3) || pop3->lost)
		return 0;
	*ret_haul = STAILQ_FIRST(&pop3->queue)->haul;
	*ret_message = pop3->message;
	return 1;
}

int pop3_receive(struct source *source, struct haul **ret_haul, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);
	unsigned fills = 0, most = is_large_arriving(pop3) ? LARGE_FILLS_MAX : FILLS_MAX;

	while (STAILQ_EMPTY(&pop3->fetched)) {
		int got = check_alive(pop3, err);

		if (got == 0)
			got = step(pop3, err);
		if (got == 0) {
			got = move_bytes(pop3, err);
			if (got == 0 || (got > 0 && ++fills > most))
				return 0;
		}
		if (got < 0)
			return pop3_lose(pop3);
	}
	*ret_haul = STAILQ_FIRST(&pop3->fetched);
	STAILQ_REMOVE_HEAD(&pop3->fetched, next);
	return 1;
}

/* Returns when there may be something to do, also when a deadline has passed: wire_fill knows which, and says so. */
static int wait_for_bytes(struct pop3 *pop3, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct pollfd poll = {.fd = wire_fd(wire), .events = wire_events(wire)};

	if (wire_is_ready(wire))
		return 0;
	return wait_io(&poll, 1, wire_due(wire), pop3->context->channel, err) < 0 ? -1 : 0;
}

/* Until *count is 0: all answers of that kind have been taken. */
static int drain(struct pop3 *pop3, const size_t *count, struct error *err)
{
	while (*count > 0) {
		int got = step(pop3, err);

		if (got == 0)
			got = move_bytes(pop3, err);
		if (got == 0)
			got = wait_for_bytes(pop3, err);
		if (got < 0)
			return -1;
		if (deadline_passed(pop3->leave_by))
			return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "server did not come to an end in time");
	}
	return 0;
}

int pop3_settle(struct source *source, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);

	if (pop3_flush(source, err) < 0)
		return -1;
	if (drain(pop3, &pop3->undeleted, err) < 0)
		return pop3_lose(pop3);
	if (pop3->refused.kind == ERR_NONE)
		return 0;
	if (err != NULL)
		*err = pop3->refused;
	pop3->refused = (struct error){0};
	return -1;
}

int pop3_disposed(struct source *source, uint64_t *ret_id)
{
	struct pop3 *pop3 = pop3_of(source);

	if (!pop3->confirmed || pop3->disposed_next == pop3->deleted_count)
		return 0;
	*ret_id = pop3->deleted[pop3->disposed_next++];
	return 1;
}

/* Fetches that nobody has sent yet need not be sent any more. */
static void cancel_unsent_fetches(struct pop3 *pop3)
{
	struct pop3_command *command, *after;

	for (command = pop3->unsent; command != NULL; command = after) {
		after = STAILQ_NEXT(command, next);
		if (command->haul == NULL)
			continue;
		haul_free(command->haul);
		dequeue(pop3, command);
	}
}

int pop3_part(struct source *source, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);

	if (check_alive(pop3, err) < 0)
		return -1;
	wire_addf(source->wire, "QUIT\r\n");
	pop3->parted = true;
	return wire_flush_some(source->wire, err) < 0 ? pop3_lose(pop3) : 0;
}

/* Everything asked is answered first: only then is the next +OK the answer to QUIT. Deletions take effect with it, and with nothing less (RFC 1939 6). */
static int quit(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;

	pop3->closing = true;
	pop3->leave_by = deadline_in_s(pop3->undeleted + pop3->deleted_count > 0 ? POP3_QUIT_S : POP3_FAREWELL_S);
	throw_away(pop3);
	cancel_unsent_fetches(pop3);
	if (gather(pop3, err) < 0)
		return -1;
	if (pop3->pipelining && !pop3->parted)
		wire_addf(pop3->source.wire, "QUIT\r\n");
	if (wire_flush(pop3->source.wire, err) < 0 || drain(pop3, &pop3->unanswered, err) < 0)
		return -1;
	if (!pop3->pipelining && !pop3->parted)
		wire_addf(pop3->source.wire, "QUIT\r\n");
	if (pop3_ask(pop3, "QUIT", &reply, err) < 0)
		return -1;
	if (reply.status != POP3_OK)
		return pop3_fail(err, ERR_TEMP, SCOPE_MAILBOX, &reply, "server could not delete what was to be deleted");
	pop3->confirmed = true;
	return 0;
}

int pop3_close(struct source *source, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);
	int done = 0;

	if (source->wire != NULL)
		done = check_alive(pop3, err) < 0 ? -1 : quit(pop3, err);
	pop3->lost = true;
	pop3_abandon(pop3);
	wire_free(source->wire);
	source->wire = NULL;
	return done;
}

void pop3_abandon(struct pop3 *pop3)
{
	struct haul *haul;

	throw_away(pop3);
	while (!STAILQ_EMPTY(&pop3->queue)) {
		struct pop3_command *command = STAILQ_FIRST(&pop3->queue);

		haul_free(command->haul);
		dequeue(pop3, command);
	}
	while ((haul = STAILQ_FIRST(&pop3->fetched)) != NULL) {
		STAILQ_REMOVE_HEAD(&pop3->fetched, next);
		haul_free(haul);
	}
}
