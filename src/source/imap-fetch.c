#include "source/imap.h"

#include <inttypes.h>
#include <string.h>

#include "mail/message.h"

/* Of one command, so that its tagged OK, without which nothing counts, comes soon: a window of 8 MiB is eight of them or more. */
#define COMMAND_MESSAGES_MAX 64
#define COMMAND_BYTES_MAX (1024 * 1024)
/* A call of receive takes in no more than this: others want to be served too. */
#define RECEIVE_BYTES_MAX (4 * 1024 * 1024)

static uint64_t max_message(const struct imap *imap)
{
	return imap->context->mailbox->max_message;
}

void imap_fetch_init(struct imap *imap)
{
	STAILQ_INIT(&imap->requested);
	STAILQ_INIT(&imap->ready);
	STAILQ_INIT(&imap->alone);
	STAILQ_INIT(&imap->finished);
}

static void free_hauls(struct haul_queue *queue)
{
	struct haul *haul;

	while ((haul = STAILQ_FIRST(queue)) != NULL) {
		STAILQ_REMOVE_HEAD(queue, next);
		haul_free(haul);
	}
}

void imap_fetch_done(struct imap *imap)
{
	free_hauls(&imap->requested);
	free_hauls(&imap->ready);
	free_hauls(&imap->alone);
	free_hauls(&imap->finished);
	for (size_t i = 0; i < IMAP_OUTSTANDING_MAX; i++)
		if (imap->commands[i].number != 0)
			free_hauls(&imap->commands[i].hauls);
	message_free(imap->incoming);
	imap->incoming = NULL;
	imap_guess_drop(imap);
}

/* --- asking --- */

/* Known for good, whatever becomes of its command. haul is in no queue. */
static void refuse_size(struct imap *imap, struct haul *haul, uint64_t size)
{
	haul->oversized = true;
	error_set(&haul->error, ERR_REFUSED, SCOPE_MESSAGE, "message has %" PRIu64 " bytes, more than the %" PRIu64 " that max_message allows", size,
		max_message(imap));
	STAILQ_INSERT_TAIL(&imap->finished, haul, next);
}

int imap_request(struct source *source, struct haul *haul, struct error *err)
{
	struct imap *imap = (struct imap *)source;

	(void)err;
	haul->stage = HAUL_REQUESTED;
	if (haul->announced > max_message(imap))
		refuse_size(imap, haul, haul->announced);
	else
		STAILQ_INSERT_TAIL(&imap->requested, haul, next);
	return 0;
}

static imap_done_fn fetched;

/* Takes from queue what one command may ask for: at least one message. */
static void add_command(struct imap *imap, struct haul_queue *queue, size_t max_count)
{
	struct imap_command *command = imap_begin(imap, fetched, NULL);
	bool header_only = STAILQ_FIRST(queue)->header_only;
	uint32_t uids[COMMAND_MESSAGES_MAX];
	struct str set = {0};
	struct haul *haul;
	uint64_t bytes = 0;
	size_t count = 0;

	while (count < max_count && (haul = STAILQ_FIRST(queue)) != NULL && haul->header_only == header_only &&
		(count == 0 || bytes + haul->announced <= COMMAND_BYTES_MAX)) {
		STAILQ_REMOVE_HEAD(queue, next);
		STAILQ_INSERT_TAIL(&command->hauls, haul, next);
		bytes += haul->announced; /* no overflow: each is at most max_message */
		uids[count++] = haul->uid;
	}
	imap_write_set(&set, uids, count);
	wire_addf(imap->source.wire, "UID FETCH %s (UID BODY.PEEK[%s])\r\n", str_text(&set), header_only ? "HEADER" : "");
	str_done(&set);
	imap->fetches++;
}

void imap_fetch_add(struct imap *imap)
{
	unsigned max = imap_goes_step_by_step(imap) ? 1 : IMAP_FETCHES_MAX;

	imap_guess_serve(imap, &imap->ready);
	while (imap->fetches < max && !STAILQ_EMPTY(&imap->ready))
		add_command(imap, &imap->ready, COMMAND_MESSAGES_MAX);
	while (imap->fetches < max && !STAILQ_EMPTY(&imap->alone))
		add_command(imap, &imap->alone, 1);
}

/* --- what comes --- */

/* Messages come in the order asked, with hardly an exception; where all have come, and the tagged response has not, any may be the reason. */
static uint64_t awaited_of(const struct imap_command *command)
{
	const struct haul *haul, *first = STAILQ_FIRST(&command->hauls);

	STAILQ_FOREACH(haul, &command->hauls, next)
		if (haul->message == NULL && haul->error.kind == ERR_NONE)
			return haul->id;
	return first != NULL ? first->id : 0;
}

uint64_t imap_fetch_awaited(const struct imap *imap)
{
	const struct imap_command *oldest = NULL;

	for (size_t i = 0; i < IMAP_OUTSTANDING_MAX; i++) {
		const struct imap_command *command = &imap->commands[i];

		if (command->number != 0 && !STAILQ_EMPTY(&command->hauls) && (oldest == NULL || command->number < oldest->number))
			oldest = command;
	}
	return oldest != NULL ? awaited_of(oldest) : 0;
}

/* The message that was asked for in this form and has no answer yet, and the command that asked. */
static struct haul *find_haul(struct imap *imap, const struct imap_fetch *fetch, struct imap_command **ret_command)
{
	struct haul *haul;

	if (!fetch->has_uid)
		return NULL;
	for (size_t i = 0; i < IMAP_OUTSTANDING_MAX; i++) {
		if (imap->commands[i].number == 0)
			continue;
		STAILQ_FOREACH(haul, &imap->commands[i].hauls, next)
			if (haul->uid == fetch->uid && haul->header_only == fetch->is_header && haul->message == NULL &&
				haul->error.kind == ERR_NONE) {
				*ret_command = &imap->commands[i];
				return haul;
			}
	}
	return NULL;
}

/* A literal that nobody asked for, or over max_message, is read and thrown away: cheaper than a new session, up to a point. */
int imap_body_begin(struct imap *imap, struct error *err)
{
	const struct imap_fetch *fetch = &imap->parser.response.fetch;
	struct imap_command *command;
	struct haul *haul = find_haul(imap, fetch, &command);

	if (fetch->body_size > max_message(imap)) {
		if (haul != NULL) {
			STAILQ_REMOVE(&command->hauls, haul, haul, next);
			refuse_size(imap, haul, fetch->body_size);
		}
		if (fetch->body_size / 2 > max_message(imap) && imap->guess.number == 0)
			return error_set(err, ERR_PROTO, SCOPE_MAILBOX,
				"server began to send a message of %" PRIu64 " bytes, which it had not announced", fetch->body_size);
	} else if (haul != NULL || imap_guess_wants(imap, fetch) || (!fetch->has_uid && imap->fetches != 0)) {
		imap->incoming = message_new(imap->context->spool, imap->context->own_mark);
	}
	return 0;
}

int imap_body_bytes(struct imap *imap, const char *bytes, size_t len, struct error *err)
{
	return imap->incoming != NULL && len != 0 ? message_add(imap->incoming, bytes, len, err) : 0;
}

int imap_body_end(struct imap *imap, struct error *err)
{
	return imap->incoming != NULL ? message_end(imap->incoming, err) : 0;
}

static int take_quoted(struct imap *imap, struct error *err)
{
	imap->incoming = message_new(imap->context->spool, imap->context->own_mark);
	if (imap_body_bytes(imap, str_text(&imap->parser.quoted), imap->parser.quoted.len, err) < 0)
		return -1;
	return imap_body_end(imap, err);
}

static int match(struct imap *imap, const struct imap_fetch *fetch, struct error *err)
{
	struct imap_command *command;
	struct haul *haul = fetch->body != IMAP_BODY_NONE ? find_haul(imap, fetch, &command) : NULL;

	if (haul == NULL) {
		imap_guess_keep(imap, fetch);
		return 0;
	}
	if (fetch->body_size > max_message(imap)) { /* its UID came behind it */
		STAILQ_REMOVE(&command->hauls, haul, haul, next);
		refuse_size(imap, haul, fetch->body_size);
		return 0;
	}
	if (fetch->body == IMAP_BODY_NIL || (fetch->body_size == 0 && haul->announced != 0)) {
		error_set(&haul->error, ERR_TEMP, SCOPE_MESSAGE, "server sent an empty message where it had announced %" PRIu64 " bytes",
			haul->announced);
		return 0;
	}
	if (fetch->body == IMAP_BODY_QUOTED && take_quoted(imap, err) < 0)
		return -1;
	haul->message = imap->incoming;
	imap->incoming = NULL;
	return 0;
}

int imap_fetch_data(struct imap *imap, const struct imap_response *response, struct error *err)
{
	int rc = match(imap, &response->fetch, err);

	message_free(imap->incoming); /* not asked for, or asked for once and sent twice */
	imap->incoming = NULL;
	return rc;
}

/* --- the tagged response --- */

static void finish(struct imap *imap, struct haul *haul, const struct imap_answer *answer)
{
	if (answer->status != IMAP_OK) {
		imap_refused(&haul->error, answer, ERR_TEMP, SCOPE_MESSAGE, "server could not send the message");
		haul->error.kind = ERR_TEMP; /* BAD too: the same command gets other messages */
	} else if (haul->message == NULL && haul->error.kind == ERR_NONE) {
		error_set(&haul->error, ERR_TEMP, SCOPE_MESSAGE, "server said OK but sent no message");
	}
	if (haul->error.kind == ERR_NONE) {
		haul->stage = HAUL_SPOOLED;
	} else {
		message_free(haul->message);
		haul->message = NULL;
	}
	STAILQ_INSERT_TAIL(&imap->finished, haul, next);
}

/* One bad message makes some servers refuse a whole set (Yahoo, Exchange). Asked one by one, the others come through. */
static void ask_again(struct imap *imap, struct haul *haul)
{
	message_free(haul->message);
	haul->message = NULL;
	haul->error = (struct error){0};
	STAILQ_INSERT_TAIL(&imap->alone, haul, next);
}

void imap_fetch_end(struct imap *imap, struct haul *haul, const struct imap_answer *answer)
{
	if (answer != NULL)
		finish(imap, haul, answer);
	else
		ask_again(imap, haul);
}

static int fetched(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	struct haul *haul = STAILQ_FIRST(&command->hauls);
	bool busy = strcasestr(answer->text, "throttled") != NULL || strcmp(answer->code, "LIMIT") == 0;
	bool split = answer->status != IMAP_OK && !busy && haul != NULL && STAILQ_NEXT(haul, next) != NULL;

	(void)err;
	while ((haul = STAILQ_FIRST(&command->hauls)) != NULL) {
		STAILQ_REMOVE_HEAD(&command->hauls, next);
		imap_fetch_end(imap, haul, split ? NULL : answer);
	}
	imap->fetches--;
	imap_fetch_add(imap);
	return 0;
}

static bool is_large_arriving(const struct imap *imap)
{
	return imap->in_literal && imap->incoming != NULL && imap->incoming->size >= SOURCE_LARGE_BYTES;
}

int imap_arriving(struct source *source, struct haul **ret_haul, struct message **ret_message)
{
	struct imap *imap = (struct imap *)source;
	struct imap_command *command;
	struct haul *haul = is_large_arriving(imap) && !imap->lost ? find_haul(imap, &imap->parser.response.fetch, &command) : NULL;

	if (haul == NULL)
		return 0;
	*ret_haul = haul;
	*ret_message = imap->incoming;
	return 1;
}

int imap_receive(struct source *source, struct haul **ret_haul, struct error *err)
{
	struct imap *imap = (struct imap *)source;
	int rc = 1;

	if (!imap->lost)
		imap->read_until = wire_bytes_in(source->wire) + (is_large_arriving(imap) ? SOURCE_PIECE_BYTES : RECEIVE_BYTES_MAX);
	while (rc > 0 && STAILQ_EMPTY(&imap->finished))
		rc = imap_pump(imap, err);
	if (STAILQ_EMPTY(&imap->finished))
		return rc;
	*ret_haul = STAILQ_FIRST(&imap->finished);
	STAILQ_REMOVE_HEAD(&imap->finished, next);
	return 1;
}
