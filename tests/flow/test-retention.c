/* test-retention.c - after_delivery: {delete_after: TIME}: the real program against scripted servers, which see when a message goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/peer.h"

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"
_Static_assert(sizeof(LETTER) - 1 == 55, "as the servers list it");

static const struct step pop3_enters[] = {S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), C("USER anna"), C("PASS secret"), S("+OK"),
	S("+OK"), C("STAT"), S("+OK 1 55"), C("LIST"), C("UIDL"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S("."), END};
static const struct step pop3_hands_out[] = {C("RETR 1"), S("+OK"), RAW(LETTER), S("."), END};
static const struct step pop3_deletes[] = {C("DELE 1"), S("+OK"), END};
static const struct step pop3_leaves[] = {C("QUIT"), S("+OK bye"), END};

static const struct step imap_reenters[] = {
	PLAY(imap_logged_in), C("%2 SELECT \"INBOX\""), S("* 1 EXISTS"), S("* OK [UIDVALIDITY 7]"), S("* OK [UIDNEXT 6]"), S("%2 OK done"), END};
static const struct step imap_enters[] = {PLAY(imap_reenters), C("%3 UID FETCH 1:4294967295 (UID RFC822.SIZE INTERNALDATE FLAGS)"),
	S("* 1 FETCH (UID 5 RFC822.SIZE 55 INTERNALDATE \"01-Feb-2026 00:00:00 +0000\" FLAGS ())"), S("%3 OK"), END};
static const struct step imap_hands_out[] = {
	C("%4 UID FETCH 5 (UID BODY.PEEK[])"), S("* 1 FETCH (UID 5 BODY[] {55}"), RAW(LETTER ")\r\n"), S("%4 OK"), END};
static const struct step imap_deletes[] = {
	C("%5 UID STORE 5 +FLAGS.SILENT (\\Deleted)"), C("%6 UID EXPUNGE 5"), S("%5 OK"), S("* 1 EXPUNGE"), S("%6 OK"), END};

static const struct dialect {
	const char *protocol;
	const struct step *enters, *reenters, *hands_out, *deletes, *leaves;
} dialects[] = {
	{"pop3", pop3_enters, pop3_enters, pop3_hands_out, pop3_deletes, pop3_leaves},
	{"imap", imap_enters, imap_reenters, imap_hands_out, imap_deletes, imap_logged_out},
};

static void haul(
	struct agent *agent, const struct dialect *dialect, const char *after_delivery, const struct step *script, unsigned owed, unsigned retained)
{
	struct peer *source = peer_start(script, PEER_LISTEN);

	agent_configure(agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    %s: \"127.0.0.1:%u\"\n    tls: none\n    user: anna\n"
		"    password: secret\n    deliver_to: home\n    after_delivery: %s\n",
		agent->dir, dialect->protocol, source->port, after_delivery);
	agent_expect(agent, 0, "run", "isp");
	peer_finish(source);
	assert_int_equal(agent_status(agent, "owed"), owed);
	assert_int_equal(agent_status(agent, "retained"), retained);
	assert_int_equal(agent_mail(agent, "new", NULL), 1);
}

static void deleted_when_its_time_has_come(void **state)
{
	(void)state;
	for (const struct dialect *dialect = dialects; dialect < dialects + ARRAY_SIZE(dialects); dialect++) {
		const struct step first[] = {PLAY(dialect->enters), PLAY(dialect->hands_out), PLAY(dialect->leaves), END};
		const struct step idle[] = {PLAY(dialect->reenters), PLAY(dialect->leaves), END};
		/* A UIDL may be another message's by then (RFC 1939 7): only the content can tell. */
		const struct step looks[] = {PLAY(dialect->reenters), PLAY(dialect->hands_out), END};
		const struct step last[] = {
			PLAY(dialect == dialects ? looks : dialect->reenters), PLAY(dialect->deletes), PLAY(dialect->leaves), END};
		struct agent agent;

		agent_init(&agent);
		haul(&agent, dialect, "{delete_after: 14d}", first, 0, 1);
		haul(&agent, dialect, "{delete_after: 1s}", idle, 0, 1); /* a new setting is for new mail */
		agent_change_state(&agent, "UPDATE message SET delivered_clock = delivered_clock - 13 * 86400");
		haul(&agent, dialect, "{delete_after: 14d}", idle, 0, 1);
		agent_change_state(&agent, "UPDATE message SET delivered_clock = delivered_clock - 86400");
		haul(&agent, dialect, "{delete_after: 14d}", last, 0, 0);
		agent_done(&agent);
	}
}

static void at_once_without_a_time(void **state)
{
	(void)state;
	for (const struct dialect *dialect = dialects; dialect < dialects + ARRAY_SIZE(dialects); dialect++) {
		const struct step script[] = {PLAY(dialect->enters), PLAY(dialect->hands_out), PLAY(dialect->deletes), PLAY(dialect->leaves), END};
		struct agent agent;

		agent_init(&agent);
		haul(&agent, dialect, "{delete_after: 0s}", script, 0, 0);
		agent_done(&agent);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(deleted_when_its_time_has_come),
		cmocka_unit_test(at_once_without_a_time),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	agents_remove();
	return failed;
}
