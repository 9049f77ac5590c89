/* test-ahead.c - what is sent behind the login before its answer, to whom, and what becomes of it when the server does not play along. RFC 9051 5.5,
 * RFC 2449 6.6. A script that expects several commands before it answers the first one shows that they came in one flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "net/tls.h"
#include "source/imap-parse.h"
#include "source/pop3-session.h"
#include "tests/lib/agent.h"
#include "tests/lib/imap-fixture.h"
#include "tests/lib/pop3-fixture.h"

#define CAPS (IMAP_CAP_REV1 | IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE)
#define SURVEYS (CAPS | IMAP_CAP_LIST_EXTENDED | IMAP_CAP_LIST_STATUS)
#define SURVEY_CAPS IMAP_CAPS " LIST-EXTENDED LIST-STATUS"
#define TEN_SECONDS_ARE_30_MS 0.003

/* The same words in every script. */
#define LOGIN C("%1 LOGIN \"anna\" \"secret\"")
#define CAPABILITY C("%2 CAPABILITY")
#define LOGGED_IN S("%1 OK in")
#define CAPABLE S("* CAPABILITY IMAP4rev1 UIDPLUS MOVE"), S("%2 OK")
#define SELECTS(tag) C("%" tag " EXAMINE \"INBOX\"")
#define SELECTED(tag) S("* 3 EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT 10] ok"), S("%" tag " OK [READ-ONLY] done")

static const struct host_facts probing = {.known = true, .before = CAPS, .after = CAPS};
static const struct host_facts safe = {.known = true, .before = CAPS, .after = CAPS, .boundary = BOUNDARY_SAFE};
static const struct host_facts unsafe = {.known = true, .before = CAPS, .after = CAPS, .boundary = BOUNDARY_UNSAFE};
static const struct host_facts unknown = {0};
static const struct host_facts safe_with_id = {.known = true, .before = CAPS, .after = CAPS | IMAP_CAP_ID, .boundary = BOUNDARY_SAFE};
static const struct host_facts safe_plain = {
	.known = true, .before = CAPS | IMAP_CAP_SASL_IR | IMAP_CAP_LOGINDISABLED, .after = CAPS, .boundary = BOUNDARY_SAFE};
static const struct host_facts safe_literal = {.known = true, .before = CAPS | IMAP_CAP_LITERAL_MINUS, .after = CAPS, .boundary = BOUNDARY_SAFE};

struct imap_case {
	const char *name;
	const struct host_facts *facts;
	struct step script[24];
	enum error_kind kind; /* of open, or of select; ERR_NONE: both work */
	enum login_boundary learned;
	const char *password;
	unsigned quirks;
};

static const struct imap_case imap_cases[] = {
	{"first contact", &unknown,
		{S("* OK"), C("%6 CAPABILITY"), QUIET, S("* CAPABILITY IMAP4rev1 ID"), S("%6 OK"), LOGIN, QUIET, LOGGED_IN, CAPABILITY,
			C("%4 ID (\"name\" \"mailhaul\")"), SELECTS("3"), CAPABLE, S("%4 OK"), SELECTED("3"), END},
		ERR_NONE, BOUNDARY_UNKNOWN, NULL, 0},
	{"one harmless command first", &probing, {S("* OK"), LOGIN, CAPABILITY, QUIET, LOGGED_IN, CAPABLE, SELECTS("3"), SELECTED("3"), END},
		ERR_NONE, BOUNDARY_SAFE, NULL, 0},
	{"then everything", &safe, {S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, SELECTED("3"), END}, ERR_NONE, BOUNDARY_SAFE,
		NULL, 0},
	{"with ID", &safe_with_id,
		{S("* OK"), LOGIN, CAPABILITY, C("%4 ID (\"name\" \"mailhaul\")"), SELECTS("3"), LOGGED_IN, CAPABLE, S("%4 OK"), SELECTED("3"), END},
		ERR_NONE, BOUNDARY_SAFE, NULL, 0},
	{"nothing to one that loses it", &unsafe, {S("* OK"), LOGIN, QUIET, LOGGED_IN, CAPABILITY, SELECTS("3"), CAPABLE, SELECTED("3"), END},
		ERR_NONE, BOUNDARY_UNSAFE, NULL, 0},
	{"nothing where the operator says so", &safe,
		{S("* OK"), LOGIN, QUIET, LOGGED_IN, CAPABILITY, QUIET, CAPABLE, SELECTS("3"), SELECTED("3"), END}, ERR_NONE, BOUNDARY_SAFE, NULL,
		QUIRK_NO_PIPELINING},
	{"the greeting comes first", &safe, {S("* PREAUTH welcome"), END}, ERR_PROTO, BOUNDARY_SAFE, NULL, 0},
	{"a goodbye for a greeting", &safe, {S("* BYE later"), END}, ERR_TEMP, BOUNDARY_SAFE, NULL, 0},
	{"one attempt with a wrong password", &safe, {S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), S("%1 NO [AUTHENTICATIONFAILED] no"), END},
		ERR_AUTH, BOUNDARY_SAFE, NULL, 0},
	{"an ordered refusal of the probe", &probing,
		{S("* OK"), LOGIN, CAPABILITY, LOGGED_IN, S("%2 BAD not so fast"), C("%4 CAPABILITY"), SELECTS("3"), S("%4 OK"), SELECTED("3"), END},
		ERR_NONE, BOUNDARY_UNSAFE, NULL, 0},
	{"an ordered refusal of the rest", &safe,
		{S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, S("%3 BAD not so fast"), SELECTS("4"), SELECTED("4"), END}, ERR_NONE,
		BOUNDARY_UNSAFE, NULL, 0},
	{"a folder that is not there", &safe,
		{S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, S("%3 NO no such folder"), SELECTS("4"), S("%4 NO no such folder"),
			END},
		ERR_REFUSED, BOUNDARY_SAFE, NULL, 0},
	{"what came behind the login is lost", &probing, {S("* OK"), LOGIN, CAPABILITY, LOGGED_IN, SILENCE, END}, ERR_TEMP, BOUNDARY_UNSAFE, NULL, 0},
	{"lost though it was well before", &safe, {S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, SILENCE, END}, ERR_TEMP, BOUNDARY_UNSAFE,
		NULL, 0},
	{"half of it is lost", &safe, {S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, SILENCE, END}, ERR_TEMP, BOUNDARY_UNSAFE, NULL,
		0},
	{"a cut before the login is answered", &probing, {S("* OK"), LOGIN, CAPABILITY, CLOSE, END}, ERR_TEMP, BOUNDARY_UNSAFE, NULL, 0},
	{"the same where it was well before", &safe, {S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), CLOSE, END}, ERR_TEMP, BOUNDARY_UNKNOWN, NULL, 0},
	{"PLAIN in one response", &safe_plain,
		{S("* OK"), C("%1 AUTHENTICATE PLAIN AGFubmEAc2VjcmV0"), CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, SELECTED("3"), END}, ERR_NONE,
		BOUNDARY_SAFE, NULL, 0},
	{"PLAIN in more", &safe_plain, {S("* OK"), C("%1 AUTHENTICATE PLAIN AGFubmEAc2VjcmV0"), CAPABILITY, SELECTS("3"), S("+ "), END}, ERR_TEMP,
		BOUNDARY_UNSAFE, NULL, 0},
	{"a password that needs a literal", &safe_literal,
		{S("* OK"), C("%1 LOGIN \"anna\" {5+}"), C("p\xc3\xa4ss"), CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, SELECTED("3"), END},
		ERR_NONE, BOUNDARY_SAFE, "p\xc3\xa4ss", 0},
	{"a literal that waits", &safe,
		{S("* OK"), C("%1 LOGIN \"anna\" {5}"), QUIET, S("+ go"), C("p\xc3\xa4ss"), CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE,
			SELECTED("3"), END},
		ERR_NONE, BOUNDARY_SAFE, "p\xc3\xa4ss", 0},
};

static void imap_goes_as_far_as_the_host_allows(void **state)
{
	static char inbox[] = "INBOX";
	char *folders[] = {inbox, NULL};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(imap_cases); i++) {
		const struct imap_case *now = &imap_cases[i];
		struct host_facts facts = *now->facts;
		struct imap_fixture fixture;
		int rc;

		imap_fixture_init(&fixture);
		fixture.mailbox.folders = folders;
		fixture.mailbox.quirks = now->quirks;
		fixture.mailbox.server.timeout_s = 10;
		if (now->password != NULL)
			fixture.password = now->password;
		imap_fixture_start(&fixture, now->script, PEER_WHOLE);
		fixture.context.facts = &facts;
		if (now->kind == ERR_TEMP)
			deadline_set_factor(TEN_SECONDS_ARE_30_MS);
		rc = source_open(fixture.source, &fixture.err);
		if (rc == 0)
			rc = source_select(fixture.source, "INBOX", false, &fixture.status, &fixture.err);
		deadline_set_factor(1.0);
		if ((rc == 0) != (now->kind == ERR_NONE) || (rc < 0 && fixture.err.kind != now->kind) || facts.boundary != now->learned)
			fail_msg("%s: %d, boundary %d, %s", now->name, rc, facts.boundary, fixture.err.text);
		if (rc == 0 && (fixture.status.exists != 3 || fixture.status.uidnext != 10 || fixture.status.uidvalidity != 7 || !facts.known))
			fail_msg("%s: the folder was not read", now->name);
		imap_fixture_end(&fixture);
	}
}

/* What was said before STARTTLS is no fact, and what was known from behind it saves asking again. */
static void behind_starttls_facts_count(void **state)
{
	static const struct step script[] = {S("* OK [CAPABILITY IMAP4rev1 MOVE LOGINDISABLED]"), C("%9 STARTTLS"), QUIET, S("%9 OK"), TLS, LOGIN,
		CAPABILITY, C("%3 SELECT \"INBOX\""), LOGGED_IN, S("* CAPABILITY IMAP4rev1"), S("%2 OK"), S("* 0 EXISTS"), S("%3 OK"), END};
	static const struct host_facts known = {.known = true, .before = IMAP_CAP_REV1, .after = IMAP_CAP_REV1, .boundary = BOUNDARY_SAFE};
	static char inbox[] = "INBOX";
	char *folders[] = {inbox, NULL};
	struct host_facts facts = known;
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	fixture.mailbox.folders = folders;
	fixture.mailbox.server.endpoint.tls = TLS_STARTTLS;
	fixture.mailbox.server.ca_pem = (char *)peer_ca_pem();
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	fixture.context.facts = &facts;
	fixture.context.writable = true;
	imap_fixture_select(&fixture);
	assert_true(host_facts_equal(&facts, &known));
	imap_fixture_end(&fixture);
}

/* --- all folders at once --- */

#define LISTS_STATUS "LIST \"\" (\"INBOX\" \"a b\\\"\" \"Entw&APw-rfe\") RETURN (STATUS (MESSAGES UIDNEXT UIDVALIDITY))"
#define STATUSES                                                                                                                                 \
	S("* LIST () \"/\" inbox"), S("* STATUS inbox (MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7)"), S("* STATUS \"other\" (MESSAGES 3 UIDNEXT 10)"),  \
		S("* STATUS \"a b\\\"\" (UIDVALIDITY 8 X 5 UIDNEXT 4294967296 MESSAGES 0)"), S("* STATUS Entw&APw-rfe (MESSAGES 3 UIDNEXT 10)"), \
		S("* STATUS inbox"), S("* STATUS \"a b\\\"\" (MESSAGES -1 UIDNEXT 10 UIDVALIDITY 7)")

static void one_survey_for_all_folders(void **state)
{
	static const struct {
		enum login_boundary boundary;
		struct step script[24];
		int told;
	} cases[] = {
		{BOUNDARY_SAFE, {S("* OK"), LOGIN, CAPABILITY, C("%3 " LISTS_STATUS), LOGGED_IN, CAPABLE, STATUSES, S("%3 OK"), END}, 1},
		{BOUNDARY_UNSAFE, {S("* OK"), LOGIN, QUIET, S("%1 OK [" SURVEY_CAPS "]"), C("%3 " LISTS_STATUS), STATUSES, S("%3 OK"), END}, 1},
		{BOUNDARY_UNSAFE, {S("* OK"), LOGIN, QUIET, S("%1 OK [" IMAP_CAPS "]"), END}, 0},
		{BOUNDARY_UNSAFE, {S("* OK"), LOGIN, QUIET, S("%1 OK [" SURVEY_CAPS "]"), C("%3 LIST *"), STATUSES, S("%3 NO"), END}, 0},
	};
	static char inbox[] = "INBOX", quoted[] = "a b\"", drafts[] = "Entw\xc3\xbcrfe";
	char *folders[] = {inbox, quoted, drafts, NULL};
	const struct folder_facts settled[3] = {{.settled = true}, {.settled = true}, {0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct host_facts facts = {.known = true, .before = CAPS, .after = SURVEYS, .boundary = cases[i].boundary};
		struct folder_status statuses[3] = {{0}};
		struct imap_fixture fixture;

		imap_fixture_init(&fixture);
		fixture.mailbox.folders = folders;
		imap_fixture_start(&fixture, cases[i].script, PEER_WHOLE);
		fixture.context.facts = &facts;
		fixture.context.folders = settled;
		assert_int_equal(source_open(fixture.source, &fixture.err), 0);
		assert_int_equal(source_survey(fixture.source, statuses, &fixture.err), cases[i].told);
		assert_int_equal(statuses[0].uidvalidity, cases[i].told ? 7 : 0);
		assert_int_equal(statuses[0].exists, cases[i].told ? 3 : 0);
		assert_int_equal(statuses[1].uidvalidity, cases[i].told ? 8 : 0);
		assert_int_equal(statuses[1].uidnext, cases[i].told ? UINT64_C(4294967296) : 0);
		assert_int_equal(statuses[2].uidvalidity, 0);
		imap_fixture_end(&fixture);
	}
}

/* --- POP3 --- */

#define ENTERS C("USER anna"), C("PASS secret")
#define ENTERED S("+OK"), S("+OK")
#define THREE S("+OK 3 999")
#define UIDLS S("+OK"), S("1 a"), S("2 b"), S("3 c"), S(".")
#define UIDL_TEXT "1 a\r\n2 b\r\n3 c\r\n"
#define SIZES S("+OK"), S("1 10"), S("2 20"), S("3 30"), S(".")

static const struct host_facts pop3_probing = {.known = true, .before = POP3_CAP_PIPELINING, .after = POP3_CAP_PIPELINING};
static const struct host_facts pop3_safe = {.known = true, .before = POP3_CAP_PIPELINING, .after = POP3_CAP_PIPELINING, .boundary = BOUNDARY_SAFE};
static const struct host_facts pop3_unsafe = {
	.known = true, .before = POP3_CAP_PIPELINING, .after = POP3_CAP_PIPELINING, .boundary = BOUNDARY_UNSAFE};
static const struct host_facts pop3_later = {.known = true, .before = 0, .after = POP3_CAP_PIPELINING};

/* FRESH: nothing is known of the mailbox. SAME, OTHER: the digest is that of UIDLS, or of something else. */
enum memory { FRESH, SAME, OTHER };

struct pop3_case {
	const char *name;
	const struct host_facts *facts;
	enum memory memory;
	struct step script[32];
	enum error_kind kind;
	enum login_boundary learned;
	unsigned quirks;
};

static const struct pop3_case pop3_cases[] = {
	{"first contact", &unknown, SAME,
		{S("+OK"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), ENTERS, QUIET, ENTERED, C("STAT"), C("LIST"), C("UIDL"), THREE, SIZES, UIDLS,
			END},
		ERR_NONE, BOUNDARY_UNKNOWN, 0},
	{"one harmless command first", &pop3_probing, SAME, {S("+OK"), ENTERS, C("STAT"), QUIET, ENTERED, THREE, C("UIDL"), QUIET, UIDLS, END},
		ERR_NONE, BOUNDARY_SAFE, 0},
	{"then the list", &pop3_safe, FRESH, {S("+OK"), ENTERS, C("STAT"), C("LIST"), C("UIDL"), ENTERED, THREE, SIZES, UIDLS, END}, ERR_NONE,
		BOUNDARY_SAFE, 0},
	{"no sizes where nothing is new", &pop3_safe, SAME, {S("+OK"), ENTERS, C("STAT"), C("UIDL"), ENTERED, THREE, UIDLS, END}, ERR_NONE,
		BOUNDARY_SAFE, 0},
	{"sizes when something is", &pop3_safe, OTHER, {S("+OK"), ENTERS, C("STAT"), C("UIDL"), ENTERED, THREE, UIDLS, C("LIST"), QUIET, SIZES, END},
		ERR_NONE, BOUNDARY_SAFE, 0},
	{"nothing to one that loses it", &pop3_unsafe, SAME, {S("+OK"), ENTERS, QUIET, ENTERED, C("STAT"), C("UIDL"), THREE, UIDLS, END}, ERR_NONE,
		BOUNDARY_UNSAFE, 0},
	{"one by one until it says otherwise", &pop3_later, SAME,
		{S("+OK"), C("USER anna"), QUIET, S("+OK"), C("PASS secret"), QUIET, S("+OK"), C("STAT"), C("UIDL"), THREE, UIDLS, END}, ERR_NONE,
		BOUNDARY_UNKNOWN, 0},
	{"nothing where the operator says so", &pop3_safe, FRESH,
		{S("+OK"), C("USER anna"), QUIET, S("+OK"), C("PASS secret"), QUIET, S("+OK"), C("STAT"), QUIET, THREE, C("LIST"), QUIET, SIZES,
			C("UIDL"), UIDLS, END},
		ERR_NONE, BOUNDARY_SAFE, QUIRK_NO_PIPELINING},
	{"one attempt with a wrong password", &pop3_safe, SAME, {S("+OK"), ENTERS, C("STAT"), C("UIDL"), S("+OK"), S("-ERR no"), END}, ERR_AUTH,
		BOUNDARY_UNKNOWN, 0},
	{"one that takes offence", &pop3_probing, SAME, {S("+OK"), ENTERS, C("STAT"), S("-ERR not so fast"), CLOSE, END}, ERR_AUTH, BOUNDARY_UNSAFE,
		0},
	{"what came behind the login is lost", &pop3_probing, SAME, {S("+OK"), ENTERS, C("STAT"), ENTERED, SILENCE, END}, ERR_TEMP, BOUNDARY_UNSAFE,
		0},
	{"lost though it was well before", &pop3_safe, SAME, {S("+OK"), ENTERS, C("STAT"), C("UIDL"), ENTERED, SILENCE, END}, ERR_TEMP,
		BOUNDARY_UNSAFE, 0},
	{"a cut before the login is answered", &pop3_safe, SAME, {S("+OK"), ENTERS, C("STAT"), C("UIDL"), S("+OK"), CLOSE, END}, ERR_TEMP,
		BOUNDARY_UNKNOWN, 0},
};

static int count_entry(void *context, const struct listed *entry, struct error *err)
{
	(void)err;
	assert_non_null(entry->key);
	assert_int_equal(entry->size, 10 * entry->uid);
	++*(unsigned *)context;
	return 0;
}

/* As a session does: open, select, and list unless nothing has changed. */
static int run_pop3(struct pop3_fixture *fixture)
{
	struct folder_status status = {0};
	bool contradictory = false;
	uint8_t digest[SHA256_BYTES];
	unsigned count = 0;

	if (source_open(fixture->source, &fixture->err) < 0 || source_select(fixture->source, NULL, false, &status, &fixture->err) < 0)
		return -1;
	assert_int_equal(status.exists, 3);
	if (status.unchanged)
		return 0;
	if (source_list(fixture->source, 0, count_entry, &count, &contradictory, &fixture->err) < 0)
		return -1;
	assert_int_equal(count, 3);
	assert_false(contradictory);
	assert_true(fixture->source->has_listing);
	sha256_of(UIDL_TEXT, strlen(UIDL_TEXT), digest);
	assert_memory_equal(fixture->source->listing, digest, sizeof(digest));
	return 0;
}

static void pop3_goes_as_far_as_the_host_allows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pop3_cases); i++) {
		const struct pop3_case *now = &pop3_cases[i];
		struct folder_facts folder = {.settled = now->memory != FRESH, .has_listing = now->memory != FRESH};
		struct host_facts facts = *now->facts;
		struct pop3_fixture fixture;
		int rc;

		if (now->memory == SAME)
			sha256_of(UIDL_TEXT, strlen(UIDL_TEXT), folder.listing);
		pop3_fixture_init(&fixture);
		fixture.mailbox.quirks = now->quirks;
		fixture.mailbox.server.timeout_s = 10;
		fixture.context.facts = &facts;
		fixture.context.folders = &folder;
		pop3_fixture_start(&fixture, now->script, PEER_WHOLE);
		if (now->kind == ERR_TEMP)
			deadline_set_factor(TEN_SECONDS_ARE_30_MS);
		rc = run_pop3(&fixture);
		deadline_set_factor(1.0);
		if ((rc == 0) != (now->kind == ERR_NONE) || (rc < 0 && fixture.err.kind != now->kind) || facts.boundary != now->learned)
			fail_msg("%s: %d, boundary %d, %s", now->name, rc, facts.boundary, fixture.err.text);
		pop3_fixture_end(&fixture);
	}
}

/* --- the real program, one host, several runs --- */

#define LETTER "Return-Path: <ben@far.example>\r\nSubject: one\r\n\r\nfirst\r\n"

static void haul(const char *source_lines, const struct step *script, const char *deadline_factor, const unsigned *mail, size_t runs)
{
	struct peer *source = peer_start(script, PEER_LISTEN);
	struct agent agent;

	agent_init(&agent);
	agent.deadline_factor = deadline_factor;
	agent_configure(&agent,
		"destinations:\n  home: {maildir: %s/home}\nmailboxes:\n  - name: isp\n    %s: \"127.0.0.1:%u\"\n    tls: none\n"
		"    user: anna\n    password: secret\n    deliver_to: home\n",
		agent.dir, source_lines, source->port);
	for (size_t i = 0; i < runs; i++) {
		agent_expect(&agent, 0, "run", "isp");
		assert_int_equal(agent_mail(&agent, "new", NULL), mail[i]);
	}
	peer_finish(source);
	agent_done(&agent);
}

#define IMAP_LEAVES C("%9 LOGOUT"), S("* BYE"), S("%9 OK")
#define HAS(exists, uidnext) S("* " exists " EXISTS"), S("* OK [UIDVALIDITY 7] ok"), S("* OK [UIDNEXT " uidnext "] ok"), S("%3 OK [READ-ONLY] done")
#define IMAP_SENDS(uid)                                                                                               \
	S("* 1 FETCH (UID " uid " RFC822.SIZE 55 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" FLAGS ())"), S("%4 OK"), \
		C("%5 UID FETCH " uid " (UID BODY.PEEK[])"), S("* 1 FETCH (UID " uid " BODY[] {55}"), RAW(LETTER ")\r\n"), S("%5 OK")

/* The first run learns what the server can, the second that it loses nothing, the third knows; what comes then is not overlooked. */
static void imap_learns(void **state)
{
	static const struct step script[] = {S("* OK"), C("%6 CAPABILITY"), S("* CAPABILITY IMAP4rev1 UIDPLUS MOVE"), S("%6 OK"), LOGIN, QUIET,
		LOGGED_IN, CAPABILITY, SELECTS("3"), CAPABLE, HAS("1", "6"), C("%4 UID FETCH 1:4294967295 *"), IMAP_SENDS("5"), IMAP_LEAVES, NEXT,
		/* 2 */
		S("* OK"), LOGIN, CAPABILITY, QUIET, LOGGED_IN, CAPABLE, SELECTS("3"), HAS("1", "6"), IMAP_LEAVES, NEXT,
		/* 3 */
		S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, HAS("1", "6"), IMAP_LEAVES, NEXT,
		/* 4: one more */
		S("* OK"), LOGIN, CAPABILITY, SELECTS("3"), LOGGED_IN, CAPABLE, HAS("2", "7"), C("%4 UID FETCH 1:4294967295 *"),
		S("* 1 FETCH (UID 5 RFC822.SIZE 55 INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" FLAGS ())"), IMAP_SENDS("6"), IMAP_LEAVES, END};

	(void)state;
	haul("imap", script, NULL, (const unsigned[]){1, 1, 1, 2}, 4);
}

/* A server that loses what it has read together with the login costs one more connection, once. */
static void imap_finds_out(void **state)
{
	static const struct step script[] = {S("* OK"), C("%6 CAPABILITY"), S("* CAPABILITY IMAP4rev1 UIDPLUS MOVE"), S("%6 OK"), LOGIN, QUIET,
		LOGGED_IN, CAPABILITY, SELECTS("3"), CAPABLE, HAS("0", "1"), IMAP_LEAVES, NEXT,
		/* 2: CAPABILITY is lost */
		S("* OK"), LOGIN, CAPABILITY, LOGGED_IN, NEXT, S("* OK"), LOGIN, QUIET, LOGGED_IN, CAPABILITY, SELECTS("3"), CAPABLE, HAS("0", "1"),
		IMAP_LEAVES, NEXT,
		/* 3 */
		S("* OK"), LOGIN, QUIET, LOGGED_IN, CAPABILITY, SELECTS("3"), CAPABLE, HAS("0", "1"), IMAP_LEAVES, END};

	(void)state;
	haul("imap", script, "0.02", (const unsigned[]){0, 0, 0}, 3);
}

#define POP3_LEAVES C("QUIT"), S("+OK bye")
#define ONE S("+OK 1 55"), S("+OK"), S("1 55"), S("."), S("+OK"), S("1 a"), S(".")

static void pop3_learns(void **state)
{
	static const struct step script[] = {S("+OK"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), ENTERS, QUIET, ENTERED, C("STAT"), C("LIST"),
		C("UIDL"), ONE, C("RETR 1"), S("+OK"), RAW(LETTER), S("."), POP3_LEAVES, NEXT,
		/* 2: nothing new, which the digest tells without sizes; STAT alone may ride */
		S("+OK"), ENTERS, C("STAT"), QUIET, ENTERED, S("+OK 1 55"), C("UIDL"), QUIET, S("+OK"), S("1 a"), S("."), POP3_LEAVES, NEXT,
		/* 3 */
		S("+OK"), ENTERS, C("STAT"), C("UIDL"), ENTERED, S("+OK 1 55"), S("+OK"), S("1 a"), S("."), POP3_LEAVES, NEXT,
		/* 4: as many as before, but another one, which may be the old one under a new id: looked at first */
		S("+OK"), ENTERS, C("STAT"), C("UIDL"), ENTERED, S("+OK 1 55"), S("+OK"), S("1 b"), S("."), C("LIST"), S("+OK"), S("1 55"), S("."),
		C("RETR 1"), S("+OK"), RAW("Subject: another\r\n\r\n"), S("."), C("RETR 1"), S("+OK"), RAW("Subject: another\r\n\r\n"), S("."),
		POP3_LEAVES, END};

	(void)state;
	haul("pop3", script, NULL, (const unsigned[]){1, 1, 1, 2}, 4);
}

static void pop3_finds_out(void **state)
{
	static const struct step script[] = {S("+OK"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."), ENTERS, QUIET, ENTERED, C("STAT"), C("LIST"),
		C("UIDL"), S("+OK 0 0"), S("+OK"), S("."), S("+OK"), S("."), POP3_LEAVES, NEXT,
		/* 2: STAT is lost */
		S("+OK"), ENTERS, C("STAT"), ENTERED, NEXT, S("+OK"), ENTERS, QUIET, ENTERED, C("STAT"), C("UIDL"), S("+OK 0 0"), S("+OK"), S("."),
		POP3_LEAVES, NEXT,
		/* 3 */
		S("+OK"), ENTERS, QUIET, ENTERED, C("STAT"), C("UIDL"), S("+OK 0 0"), S("+OK"), S("."), POP3_LEAVES, END};

	(void)state;
	haul("pop3", script, "0.02", (const unsigned[]){0, 0, 0}, 3);
}

static int warm_up(void **state)
{
	(void)state;
	return tls_warm_up(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(imap_goes_as_far_as_the_host_allows),
		cmocka_unit_test(behind_starttls_facts_count),
		cmocka_unit_test(one_survey_for_all_folders),
		cmocka_unit_test(pop3_goes_as_far_as_the_host_allows),
		cmocka_unit_test(imap_learns),
		cmocka_unit_test(imap_finds_out),
		cmocka_unit_test(pop3_learns),
		cmocka_unit_test(pop3_finds_out),
	};
	int failed;

	agents_prepare();
	failed = cmocka_run_group_tests(tests, warm_up, NULL);
	agents_remove();
	return failed;
}
