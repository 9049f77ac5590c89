#include "source/imap.h"

#include <poll.h>
#include <string.h>

#include "auth/sasl.h"
#include "channel/wait.h"
#include "net/stream.h"

enum { NEED_BYTES = 0, RESPONSE = 1, PROGRESS = 2 };

static double silence_s(const struct imap *imap)
{
	uint32_t configured = imap->context->mailbox->server.timeout_s;

	return configured != 0 ? configured : WIRE_STALL_S;
}

/* --- what responses mean --- */

static int unwelcome(const struct imap_response *response, const char *what, struct error *err)
{
	char words[160];

	escape_into(words, sizeof(words), response->text, response->text_len);
	return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "%s: %s", what, words);
}

static void take_capabilities(struct imap *imap, const char *text, size_t len)
{
	imap->capabilities = imap_parse_capabilities(text, len);
	imap->capabilities_known = true;
	imap_note_capabilities(imap);
	imap->mechanisms = 0;
	for (size_t start = 0, i = 0; i <= len; i++) {
		if (i != len && text[i] != ' ')
			continue;
		if (ascii_prefix_nocase(text + start, i - start, "AUTH="))
			sasl_offer(&imap->mechanisms, text + start + 5, i - start - 5);
		start = i + 1;
	}
}

static void take_code(struct imap *imap, const struct imap_response *response)
{
	if (imap_code_is(response, "CAPABILITY"))
		take_capabilities(imap, response->code, response->code_len);
	if (imap_code_is(response, "NOTIFICATIONOVERFLOW"))
		imap_notify_overflow(imap);
	if (!imap->selecting)
		return;
	if (imap_code_is(response, "UIDVALIDITY"))
		imap->folder.uidvalidity = imap_code_number(response);
	else if (imap_code_is(response, "UIDNEXT"))
		imap->folder.uidnext = imap_code_number(response);
	else if (imap_code_is(response, "READ-ONLY"))
		imap->folder.read_only = true;
}

static int take_greeting(struct imap *imap, const struct imap_response *response, struct error *err)
{
	imap->greeted = true;
	if (response->kind != IMAP_STATUS)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "what answers there is no IMAP server; check host and port");
	if (response->status == IMAP_BYE)
		return unwelcome(response, "server said goodbye", err);
	if (response->status == IMAP_PREAUTH) /* with STARTTLS still ahead, somebody in between may say so (CVE-2021-39272) */
		return error_set(
			err, ERR_PROTO, SCOPE_MAILBOX, "server claims that we are logged in before we gave a password (PREAUTH); not believed");
	if (response->status != IMAP_OK)
		return unwelcome(response, "server does not want to talk to us", err);
	take_code(imap, response);
	return 0;
}

static int take_status(struct imap *imap, const struct imap_response *response, struct error *err)
{
	if (response->status == IMAP_PREAUTH)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server broke the IMAP protocol: PREAUTH in the middle of a session");
	if (response->status == IMAP_BYE && !imap->leaving)
		return unwelcome(response, "server said goodbye", err);
	take_code(imap, response);
	return 0;
}

/* More messages than before have arrived, whatever it was that we were doing. */
static void take_exists(struct imap *imap, uint64_t number)
{
	uint32_t exists = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;

	if (!imap->selecting && exists > imap->folder.exists)
		imap->arrived += exists - imap->folder.exists;
	if (imap->arrived > exists)
		imap->arrived = exists;
	imap->folder.exists = exists;
	imap->has_exists = true;
}

/* Everything else is news that we did not ask for and need not know. */
static void take_data(struct imap *imap, const struct imap_response *response)
{
	if (response->has_number && strcmp(response->name, "EXISTS") == 0) {
		take_exists(imap, response->number);
	} else if (response->has_number && strcmp(response->name, "EXPUNGE") == 0) {
		if (imap->folder.exists != 0)
			take_exists(imap, imap->folder.exists - 1);
	} else if (!response->has_number && strcmp(response->name, "CAPABILITY") == 0) {
		take_capabilities(imap, response->text, response->text_len);
	} else if (!response->has_number && strcmp(response->name, "SEARCH") == 0) {
		imap_dispose_search(imap, response);
	} else if (!response->has_number && strcmp(response->name, "STATUS") == 0) {
		imap_survey_data(imap, response);
		imap_notify_data(imap, response);
	}
}

static int take_continuation(struct imap *imap, const struct imap_response *response, struct error *err)
{
	if (!imap->may_continue)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server asked us to go on when we had nothing more to say");
	imap->may_continue = false;
	str_clear(&imap->challenge);
	str_add(&imap->challenge, response->text, response->text_len);
	return 0;
}

static int take_response(struct imap *imap, struct error *err)
{
	const struct imap_response *response = &imap->parser.response;

	if (!imap->greeted)
		return take_greeting(imap, response, err);
	if (response->kind == IMAP_TAGGED) {
		take_code(imap, response);
		return imap_tagged(imap, response, err);
	}
	if (response->kind == IMAP_CONTINUATION)
		return take_continuation(imap, response, err);
	if (++imap->untagged > IMAP_UNTAGGED_MAX)
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server sent more than %d responses to one command", IMAP_UNTAGGED_MAX);
	if (response->kind == IMAP_STATUS)
		return take_status(imap, response, err);
	if (response->kind == IMAP_FETCH)
		return !imap->selecting && imap_list_is_under_way(imap) && response->fetch.body == IMAP_BODY_NONE
			       ? imap_list_data(imap, response, err)
			       : imap_fetch_data(imap, response, err);
	take_data(imap, response);
	return 0;
}

/* --- bytes --- */

static int take_line(struct imap *imap, struct error *err)
{
	char *line;
	size_t len;
	int rc = wire_peek_line(imap->source.wire, &line, &len, err);

	if (rc <= 0)
		return rc; /* 0: NEED_BYTES */
	switch (imap_parse_line(&imap->parser, line, len, err)) {
	case IMAP_COMPLETE:
		return take_response(imap, err) < 0 ? -1 : RESPONSE;
	case IMAP_LITERAL:
		imap->in_literal = true;
		imap->literal_left = imap->parser.literal;
		return imap->parser.literal_is_message && imap_body_begin(imap, err) < 0 ? -1 : PROGRESS;
	default:
		return -1;
	}
}

static int take_literal(struct imap *imap, struct error *err)
{
	size_t len;
	const char *bytes = wire_peek(imap->source.wire, &len);

	if (imap->literal_left != 0 && len == 0)
		return NEED_BYTES;
	if (len > imap->literal_left)
		len = (size_t)imap->literal_left;
	if (imap->parser.literal_is_message && imap_body_bytes(imap, bytes, len, err) < 0)
		return -1;
	wire_consume(imap->source.wire, len);
	imap->literal_left -= len;
	if (imap->literal_left != 0)
		return PROGRESS;
	imap->in_literal = false;
	return imap->parser.literal_is_message && imap_body_end(imap, err) < 0 ? -1 : PROGRESS;
}

/* What the wire holds the server to: answers in time while some are due, bytes without a pause while it sends messages. */
static void hold_to_account(struct imap *imap)
{
	bool waiting = (imap->outstanding != 0 && !imap->idling) || !imap->greeted;

	wire_set_deadline(imap->source.wire, waiting ? deadline_min(imap->deadline, imap->silence) : DEADLINE_NEVER);
	wire_set_flowing(imap->source.wire, imap->fetches != 0 || imap_list_is_under_way(imap));
}

static int read_more(struct imap *imap, struct error *err)
{
	struct wire *wire = imap->source.wire;
	int rc;

	if (wire_bytes_in(wire) >= imap->read_until && !stream_pending(wire_stream(wire)))
		return 0; /* enough for one call; poll(2) sees what is left */
	hold_to_account(imap);
	rc = wire_fill(wire, err);
	if (rc > 0) {
		imap->silence = deadline_in_s(silence_s(imap));
		hold_to_account(imap);
	}
	return rc;
}

static int pump(struct imap *imap, struct error *err)
{
	int rc;

	if (wire_unsent(imap->source.wire) != 0 && wire_flush_some(imap->source.wire, err) < 0)
		return -1;
	do {
		rc = imap->in_literal ? take_literal(imap, err) : take_line(imap, err);
		if (rc == NEED_BYTES)
			rc = read_more(imap, err) * PROGRESS;
	} while (rc == PROGRESS);
	return rc < 0 ? -1 : rc;
}

int imap_pump(struct imap *imap, struct error *err)
{
	struct error why = {0};
	int rc;

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	rc = pump(imap, &why);
	return rc < 0 ? imap_lose(imap, &why, err) : rc;
}

/* --- waiting --- */

int imap_lose(struct imap *imap, const struct error *why, struct error *err)
{
	if (!imap->lost) {
		imap->lost = true;
		imap->source.suspect = imap_fetch_awaited(imap);
		imap->error = *why;
		if (imap->error.scope != SCOPE_PROGRAM)
			imap->error.scope = SCOPE_MAILBOX; /* whatever broke it: no session, no mailbox */
	}
	if (err != NULL)
		*err = imap->error;
	return -1;
}

void imap_set_deadline(struct imap *imap, double seconds)
{
	imap->deadline = seconds > 0 ? deadline_in_s(seconds) : DEADLINE_NEVER;
	imap->silence = deadline_in_s(silence_s(imap));
}

int imap_send(struct imap *imap, struct error *err)
{
	struct error why = {0};

	if (imap->lost)
		return imap_lose(imap, &imap->error, err);
	imap->silence = deadline_in_s(silence_s(imap));
	hold_to_account(imap);
	return wire_flush(imap->source.wire, &why) < 0 ? imap_lose(imap, &why, err) : 0;
}

static int sleep_for_bytes(struct imap *imap, struct error *err)
{
	const struct wire *wire = imap->source.wire;
	struct pollfd poll_fd = {.fd = wire_fd(wire), .events = wire_events(wire)};
	struct error why = {0};

	if (wait_io(&poll_fd, 1, wire_due(wire), imap->context->channel, &why) < 0)
		return imap_lose(imap, &why, err);
	return 0; /* a deadline that has passed is found by the next read */
}

int imap_wait_one(struct imap *imap, struct error *err)
{
	int rc;

	imap->read_until = UINT64_MAX;
	while ((rc = imap_pump(imap, err)) == 0)
		if (sleep_for_bytes(imap, err) < 0)
			return -1;
	return rc < 0 ? -1 : 0;
}

int imap_wait(struct imap *imap, const bool *done, struct error *err)
{
	int rc = imap_send(imap, err);

	while (rc == 0 && !*done)
		rc = imap_wait_one(imap, err);
	return rc;
}

int imap_wait_continuation(struct imap *imap, const struct imap_answer *answer, struct error *err)
{
	int rc = imap_send(imap, err);

	imap->may_continue = true;
	while (rc == 0 && imap->may_continue && !answer->done)
		rc = imap_wait_one(imap, err);
	imap->may_continue = false;
	if (rc < 0)
		return -1;
	return answer->done ? 0 : 1;
}
