#include "source/source.h"

#include <stdlib.h>
#include <string.h>

#include "auth/sasl.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "net/wire.h"
#include "source/pop3-listing.h"
#include "source/pop3-session.h"

struct deadline pop3_patience(const struct pop3 *pop3)
{
	uint32_t timeout_s = pop3->context->mailbox->server.timeout_s;

	return deadline_in_s(timeout_s != 0 ? timeout_s : WIRE_STALL_S);
}

int pop3_fail(struct error *err, enum error_kind kind, enum error_scope scope, const struct pop3_reply *reply, const char *sentence)
{
	char words[160];

	if (reply->text_len == 0)
		return error_set(err, kind, scope, "%s", sentence);
	return error_set(err, kind, scope, "%s: %s", sentence, escape_into(words, sizeof(words), reply->text, reply->text_len));
}

static int read_reply(struct pop3 *pop3, const char *command, bool may_challenge, struct pop3_reply *ret_reply, struct error *err)
{
	struct pop3_reply reply;
	char words[100];
	size_t len;
	char *line;

	if (wire_line(pop3->source.wire, &line, &len, err) < 0)
		return -1;
	reply = pop3_reply_parse(line, len);
	if (reply.status == POP3_GARBAGE || (reply.status == POP3_CHALLENGE && !may_challenge))
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server answered %s with something that is not POP3: %s", command,
			escape_into(words, sizeof(words), line, len));
	*ret_reply = reply;
	return 0;
}

int pop3_read_greeting(struct pop3 *pop3, struct pop3_reply *ret_reply, struct error *err)
{
	return read_reply(pop3, "the connection", false, ret_reply, err);
}

/* Nobody can answer what has not been asked: not the server, and not whoever puts words into its mouth before TLS begins (CVE-2021-22947). */
static int send_commands(struct pop3 *pop3, struct error *err)
{
	if (wire_unsent(pop3->source.wire) > 0 && wire_has_input(pop3->source.wire))
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server answered before it was asked");
	return wire_flush(pop3->source.wire, err);
}

int pop3_ask(struct pop3 *pop3, const char *command, struct pop3_reply *ret_reply, struct error *err)
{
	return send_commands(pop3, err) < 0 ? -1 : read_reply(pop3, command, false, ret_reply, err);
}

int pop3_ask_auth(struct pop3 *pop3, struct pop3_reply *ret_reply, struct error *err)
{
	return send_commands(pop3, err) < 0 ? -1 : read_reply(pop3, "AUTH", true, ret_reply, err);
}

int pop3_read_line(struct pop3 *pop3, char **ret_line, size_t *ret_len, struct error *err)
{
	char *line;
	size_t len;

	if (wire_line(pop3->source.wire, &line, &len, err) < 0)
		return -1;
	if (len == 1 && line[0] == '.')
		return 0;
	*ret_line = line[0] == '.' ? line + 1 : line;
	*ret_len = line[0] == '.' ? len - 1 : len;
	return 1;
}

int pop3_ask_capabilities(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;
	char *line;
	size_t len;
	int got;

	pop3->pipelining = false;
	pop3->offered = 0;
	pop3->login_delay_s = 0;
	wire_addf(pop3->source.wire, "CAPA\r\n");
	if (pop3_ask(pop3, "CAPA", &reply, err) < 0)
		return -1;
	if (reply.status != POP3_OK)
		return 0;
	for (unsigned lines = 0; (got = pop3_read_line(pop3, &line, &len, err)) > 0; lines++) {
		if (lines == POP3_CAPABILITIES_MAX)
			return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server does not stop naming capabilities");
		if (pop3_capa_is(line, len, "PIPELINING"))
			pop3->pipelining = !pop3_goes_step_by_step(pop3);
		if (pop3_login_delay(line, len) != 0)
			pop3->login_delay_s = pop3_login_delay(line, len);
		if (pop3_capa_is(line, len, "SASL"))
			sasl_offer_list(&pop3->offered, line + strlen("SASL"), len - strlen("SASL"));
	}
	return got;
}

bool pop3_goes_step_by_step(const struct pop3 *pop3)
{
	return (pop3->context->mailbox->quirks & QUIRK_NO_PIPELINING) != 0;
}

static int pop3_open(struct source *source, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);
	int done = pop3_login(pop3, err);

	/* The password was right, so it may be given a second time. A test has only one connection to give. */
	if (done < 0 && pop3->ahead.lost && pop3->context->channel != NULL) {
		wire_free(source->wire);
		source->wire = NULL;
		pop3->ahead = (struct pop3_ahead){0};
		done = pop3_login(pop3, err);
	}
	secret_free(pop3->secret);
	pop3->secret = NULL;
	if (done < 0) {
		wire_free(source->wire);
		source->wire = NULL;
	}
	return done;
}

/* Some servers, Gmail's among them, say only after login that they take pipelined commands. */
static int learn_more(struct pop3 *pop3, struct error *err)
{
	struct host_facts *facts = pop3->context->facts;

	wire_set_deadline(pop3->source.wire, pop3_patience(pop3));
	if (!pop3->pipelining && pop3->known)
		pop3->pipelining = (facts->after & POP3_CAP_PIPELINING) != 0 && !pop3_goes_step_by_step(pop3);
	else if (!pop3->pipelining && pop3_ask_capabilities(pop3, err) < 0)
		return -1;
	if (facts != NULL && !pop3->known) {
		facts->known = true;
		facts->after = pop3->pipelining ? POP3_CAP_PIPELINING : 0;
		facts->login_delay_s = pop3->login_delay_s;
	}
	return 0;
}

static int ask_status(struct pop3 *pop3, struct error *err)
{
	wire_set_deadline(pop3->source.wire, pop3_patience(pop3));
	if (pop3->context->facts != NULL && pop3->pipelining && !pop3->ahead.uidl)
		pop3_ahead_add_listing(pop3);
	else if (!pop3->ahead.has_status)
		wire_addf(pop3->source.wire, "STAT\r\n");
	return pop3->ahead.has_status ? 0 : pop3_read_status(pop3, err);
}

/* Only if nobody is going to ask for the list: else UIDL comes behind it. */
static int compare_listing(struct pop3 *pop3, bool *ret_unchanged, struct error *err)
{
	const struct folder_facts *folder = pop3->context->folders;

	*ret_unchanged = false;
	if (!pop3->ahead.uidl || pop3->ahead.list)
		return 0;
	if (pop3_uidl_read(pop3, err) < 0)
		return -1;
	*ret_unchanged = pop3->has_uidl && folder->settled && folder->has_listing && pop3_uidl_is(pop3, folder->listing);
	return 0;
}

static int pop3_select(struct source *source, const char *folder, bool writable, struct folder_status *ret_status, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);
	bool unchanged;

	(void)folder; /* a POP3 mailbox has but one, and it is always writable */
	(void)writable;
	if (learn_more(pop3, err) < 0 || ask_status(pop3, err) < 0 || compare_listing(pop3, &unchanged, err) < 0)
		return pop3_lose(pop3);
	*ret_status = (struct folder_status){.exists = pop3->exists, .unchanged = unchanged};
	return 0;
}

/* The lines of LIST, after +OK. */
static int read_sizes(struct pop3 *pop3, struct pop3_listing *listing, struct error *err)
{
	char *line;
	size_t len;
	int got;

	for (;;) {
		wire_set_deadline(pop3->source.wire, pop3_patience(pop3));
		got = pop3_read_line(pop3, &line, &len, err);
		if (got <= 0)
			return got;
		if (pop3_listing_add_size(listing, line, len, err) < 0)
			return -1;
	}
}

static int ask_sizes(struct pop3 *pop3, struct pop3_listing *listing, struct error *err)
{
	struct wire *wire = pop3->source.wire;
	struct pop3_reply reply;

	if (!pop3->ahead.list)
		wire_addf(wire, "LIST\r\n");
	if (pop3->pipelining && !pop3->ahead.uidl && !pop3->has_uidl) {
		wire_addf(wire, "UIDL\r\n");
		pop3->ahead.uidl = true;
	}
	wire_set_deadline(wire, pop3_patience(pop3));
	if (pop3_ask(pop3, "LIST", &reply, err) < 0)
		return -1;
	pop3->ahead.list = false;
	/* Some servers refuse to list nothing. */
	if (reply.status != POP3_OK && pop3->exists > 0)
		return pop3_fail(err, ERR_TEMP, SCOPE_MAILBOX, &reply, "server refused to list the mailbox");
	if (reply.status == POP3_OK && read_sizes(pop3, listing, err) < 0)
		return -1;
	pop3_listing_sized(listing);
	return 0;
}

/* LIST and UIDL, in one flight if the server can. *ret_has_uidls: it did not refuse UIDL, which RFC 1939 7 makes optional. */
static int fill_listing(struct pop3 *pop3, struct pop3_listing *listing, bool *ret_has_uidls, struct error *err)
{
	bool asked = pop3->has_uidl || pop3->ahead.uidl || pop3->pipelining;

	if (ask_sizes(pop3, listing, err) < 0)
		return -1;
	if (!asked)
		wire_addf(pop3->source.wire, "UIDL\r\n");
	if (!pop3->has_uidl && pop3_uidl_read(pop3, err) < 0)
		return -1;
	*ret_has_uidls = pop3->has_uidl;
	if (!pop3->has_uidl)
		return 0;
	pop3->has_uidl = false; /* the next list asks anew */
	return pop3_uidl_each(pop3, listing, err);
}

/* Who gets the list, and whether a message of it had no key. */
struct handing {
	listed_fn *each;
	void *context;
	bool keyless;
};

static int hand_on(void *context, const struct listed *entry, struct error *err)
{
	struct handing *handing = context;

	handing->keyless = handing->keyless || entry->key == NULL;
	return handing->each(handing->context, entry, err);
}

static int pop3_list(struct source *source, uint64_t above_uid, listed_fn *each, void *context, bool *ret_contradictory, struct error *err)
{
	struct pop3 *pop3 = pop3_of(source);
	struct pop3_listing *listing = pop3_listing_new(pop3->exists);
	struct handing handing = {.each = each, .context = context};
	bool has_uidls;
	int done;

	(void)above_uid; /* POP3 can only list everything */
	wire_set_flowing(source->wire, true);
	done = fill_listing(pop3, listing, &has_uidls, err);
	wire_set_flowing(source->wire, false);
	if (done < 0)
		pop3_lose(pop3);
	else
		done = pop3_listing_each(listing, has_uidls, hand_on, &handing, ret_contradictory, err);
	source->has_listing = done == 0 && has_uidls && !handing.keyless;
	pop3_listing_free(listing);
	return done;
}

static void pop3_free(struct source *source)
{
	struct pop3 *pop3 = pop3_of(source);

	pop3_abandon(pop3);
	wire_free(source->wire);
	secret_free(pop3->secret);
	str_done(&pop3->uidl);
	free(pop3->deleted);
	free(pop3);
}

static const struct source_ops pop3_ops = {
	.name = "POP3",
	.open = pop3_open,
	.select = pop3_select,
	.list = pop3_list,
	.request = pop3_request,
	.dispose = pop3_dispose,
	.flush = pop3_flush,
	.receive = pop3_receive,
	.arriving = pop3_arriving,
	.settle = pop3_settle,
	.disposed = pop3_disposed,
	.part = pop3_part,
	.close = pop3_close,
	.free = pop3_free,
};

struct source *pop3_new(const struct source_context *context)
{
	struct pop3 *pop3 = xcalloc(1, sizeof(*pop3));

	pop3->source.ops = &pop3_ops;
	pop3->context = context;
	pop3->secret = context->secret;
	pop3->leave_by = DEADLINE_NEVER;
	STAILQ_INIT(&pop3->queue);
	STAILQ_INIT(&pop3->fetched);
	return &pop3->source;
}
