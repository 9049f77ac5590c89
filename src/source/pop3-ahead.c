#include "source/pop3-session.h"

#include "base/clock.h"
#include "base/error.h"
#include "net/wire.h"

/* From the answer to the login: a server that has STAT answers it at once, unless it has to open the mailbox first. */
#define BOUNDARY_S 10

/* As in imap-ahead.c: PIPELINING is for all commands (RFC 2449 6.6), but some servers lose what they have read together with the login. STAT alone goes
 * first; after that the listing, too. POP3 has no tags, so what was lost cannot be asked for again: only a new connection is in step. */

static const struct host_facts *facts_of(const struct pop3 *pop3)
{
	return pop3->context->facts;
}

void pop3_ahead_add_listing(struct pop3 *pop3)
{
	const struct folder_facts *folder = pop3->context->folders;
	struct wire *wire = pop3->source.wire;

	if (!pop3->ahead.has_status)
		wire_addf(wire, "STAT\r\n");
	/* Where there is probably nothing new, nobody will ask for sizes. */
	pop3->ahead.list = !(pop3->known && folder != NULL && folder->settled && folder->has_listing);
	pop3->ahead.uidl = true;
	wire_addf(wire, pop3->ahead.list ? "LIST\r\nUIDL\r\n" : "UIDL\r\n");
}

void pop3_ahead_add(struct pop3 *pop3)
{
	const struct host_facts *facts = facts_of(pop3);

	if (facts == NULL || !pop3->known || !pop3->pipelining || facts->boundary == BOUNDARY_UNSAFE)
		return;
	pop3->ahead.under_way = true;
	if (facts->boundary == BOUNDARY_SAFE) {
		pop3_ahead_add_listing(pop3);
		return;
	}
	wire_addf(pop3->source.wire, "STAT\r\n");
}

int pop3_read_status(struct pop3 *pop3, struct error *err)
{
	struct pop3_reply reply;

	if (pop3_ask(pop3, "STAT", &reply, err) < 0)
		return -1;
	if (reply.status != POP3_OK)
		return pop3_fail(err, ERR_TEMP, SCOPE_MAILBOX, &reply, "server does not tell how many messages there are");
	if (!pop3_stat_parse(reply.text, reply.text_len, &pop3->exists))
		return pop3_fail(err, ERR_PROTO, SCOPE_MAILBOX, &reply, "server answered STAT without two numbers");
	pop3->ahead.has_status = true;
	return 0;
}

int pop3_ahead_settle(struct pop3 *pop3, struct error *err)
{
	if (!pop3->ahead.under_way)
		return 0;
	wire_set_deadline(pop3->source.wire, deadline_in_s(BOUNDARY_S));
	pop3->ahead.under_way = false;
	if (pop3_read_status(pop3, err) == 0) {
		pop3->context->facts->boundary = BOUNDARY_SAFE;
		return 0;
	}
	if (err->kind == ERR_CANCELED)
		return -1;
	pop3->context->facts->boundary = BOUNDARY_UNSAFE;
	pop3->ahead.lost = true;
	return -1;
}

void pop3_ahead_distrust(struct pop3 *pop3, const struct error *err)
{
	struct host_facts *facts = pop3->context->facts;

	if (!pop3->ahead.under_way || err->kind == ERR_CANCELED)
		return;
	/* A wrong password looks like a server that takes offence at being hurried (poczta.o2.pl): the next session tells, which goes step by step unless
	 * this host did well before. */
	facts->boundary = facts->boundary == BOUNDARY_SAFE ? BOUNDARY_UNKNOWN : BOUNDARY_UNSAFE;
}
