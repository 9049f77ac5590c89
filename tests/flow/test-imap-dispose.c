/* test-imap-dispose.c - deleting, moving and marking on an IMAP server: exactly what was delivered, and confirmed only when all of it was answered. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/imap-fixture.h"

#define SECONDS_ARE_5_MS 0.005

/* What the server can do is said once more when we are in, and that is what counts. */
#define IN(capabilities)                                                                                                                \
	S("* OK [CAPABILITY IMAP4rev1] ready"), C("%1 LOGIN *"), S("%1 OK [CAPABILITY " capabilities "] in"), C("%2 SELECT \"INBOX\""), \
		S("* 9 EXISTS"), S("%2 OK")
#define FULL IN("IMAP4rev1 UIDPLUS MOVE")
#define PLUS IN("IMAP4rev1 UIDPLUS")
#define BARE IN("IMAP4rev1")
#define STORE C("%3 UID STORE 5:6,8 +FLAGS.SILENT (\\Deleted)")
#define EXPUNGE C("%4 UID EXPUNGE 5:6,8")
#define SEARCH C("%4 UID SEARCH DELETED")
#define CLOSED "closed the connection"

struct dispose_case {
	struct step script[24];
	const char *confirmed; /* ids, in order */
	enum disposal what;
	enum error_kind kind;
	enum error_scope scope;
	const char *text;
};

static const struct dispose_case cases[] = {
	/* delete with UIDPLUS: both in one flight, both must be OK */
	{{FULL, STORE, EXPUNGE, S("%3 OK"), S("* 1 EXPUNGE"), S("* VANISHED 5:6"), S("%4 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE,
		SCOPE_FOLDER, ""},
	{{IN("IMAP4rev2"), STORE, EXPUNGE, S("%4 OK"), S("%3 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE, SCOPE_FOLDER, ""},
	{{FULL, STORE, EXPUNGE, S("%3 NO read-only"), S("%4 OK"), END}, "", DISPOSE_DELETE, ERR_REFUSED, SCOPE_FOLDER,
		"refused to delete messages that were delivered: read-only"},
	{{FULL, STORE, EXPUNGE, S("%3 OK"), S("%4 NO [SERVERBUG] oops"), END}, "", DISPOSE_DELETE, ERR_TEMP, SCOPE_FOLDER, "oops"},
	{{FULL, STORE, EXPUNGE, S("%3 BAD what"), S("%4 BAD what"), END}, "", DISPOSE_DELETE, ERR_PROTO, SCOPE_FOLDER, "what"},
	{{FULL, STORE, EXPUNGE, S("%3 OK"), CLOSE, END}, "", DISPOSE_DELETE, ERR_TEMP, SCOPE_MAILBOX, CLOSED},
	{{FULL, STORE, EXPUNGE, S("* BYE x"), END}, "", DISPOSE_DELETE, ERR_TEMP, SCOPE_MAILBOX, "goodbye"},
	{{FULL, STORE, EXPUNGE, S("%3 OK"), S("%3 OK"), END}, "", DISPOSE_DELETE, ERR_PROTO, SCOPE_MAILBOX, "was not sent"},
	/* without it: plain EXPUNGE only where all that is marked is ours */
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 8 5 6"), S("%4 OK"), C("%5 EXPUNGE"), S("%5 OK"), END}, "108 105 106 ", DISPOSE_DELETE,
		ERR_NONE, SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 5 8"), S("%4 OK"), C("%5 EXPUNGE"), S("%5 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE,
		SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 5 6 7 8"), S("%4 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE, SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 5 6 8"), S("* SEARCH 4294967301"), S("%4 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE,
		SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("%4 OK"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE, SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 5 6 8"), S("%4 NO"), END}, "108 105 106 ", DISPOSE_DELETE, ERR_NONE, SCOPE_FOLDER, ""},
	{{BARE, STORE, SEARCH, S("%3 NO no"), S("* SEARCH"), S("%4 OK"), END}, "", DISPOSE_DELETE, ERR_REFUSED, SCOPE_FOLDER, "no"},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 8 5 6"), S("%4 OK"), C("%5 EXPUNGE"), S("%5 NO no"), END}, "", DISPOSE_DELETE, ERR_REFUSED,
		SCOPE_FOLDER, "no"},
	{{BARE, STORE, SEARCH, S("%3 OK"), S("* SEARCH 8 5 6"), S("%4 OK"), C("%5 EXPUNGE"), CLOSE, END}, "", DISPOSE_DELETE, ERR_TEMP, SCOPE_MAILBOX,
		CLOSED},
	/* mark_seen */
	{{FULL, C("%3 UID STORE 5:6,8 +FLAGS.SILENT (\\Seen)"), S("%3 OK"), END}, "108 105 106 ", DISPOSE_MARK_SEEN, ERR_NONE, SCOPE_FOLDER, ""},
	{{FULL, C("%3 UID STORE 5:6,8 +FLAGS.SILENT (\\Seen)"), S("%3 NO no"), END}, "", DISPOSE_MARK_SEEN, ERR_REFUSED, SCOPE_FOLDER, "as seen: no"},
	/* move */
	{{FULL, C("%3 UID MOVE 5:6,8 \"Entw&APw-rfe\""), S("* OK [COPYUID 1 5:8 1:4]"), S("%3 OK"), END}, "108 105 106 ", DISPOSE_MOVE, ERR_NONE,
		SCOPE_FOLDER, ""},
	{{FULL, C("%3 UID MOVE *"), S("%3 NO quota"), END}, "", DISPOSE_MOVE, ERR_REFUSED, SCOPE_FOLDER, "refused to move delivered messages: quota"},
	{{FULL, C("%3 UID MOVE *"), S("%3 NO [TRYCREATE] none"), C("%4 CREATE \"Entw&APw-rfe\""), S("%4 OK"), C("%5 UID MOVE *"), S("%5 OK"), END},
		"108 105 106 ", DISPOSE_MOVE, ERR_NONE, SCOPE_FOLDER, ""},
	{{FULL, C("%3 UID MOVE *"), S("%3 NO [TRYCREATE] none"), C("%4 CREATE *"), S("%4 NO exists"), C("%5 UID MOVE *"), S("%5 NO [TRYCREATE] none"),
		 END},
		"", DISPOSE_MOVE, ERR_REFUSED, SCOPE_FOLDER, "none"},
	/* without MOVE: nothing is deleted before its copy is certain */
	{{PLUS, C("%3 UID COPY 5:6,8 \"Entw&APw-rfe\""), QUIET, S("%3 OK"), C("%4 UID STORE 5:6,8 +FLAGS.SILENT (\\Deleted)"),
		 C("%5 UID EXPUNGE 5:6,8"), S("%4 OK"), S("%5 OK"), END},
		"108 105 106 ", DISPOSE_MOVE, ERR_NONE, SCOPE_FOLDER, ""},
	{{PLUS, C("%3 UID COPY *"), S("%3 NO quota"), END}, "", DISPOSE_MOVE, ERR_REFUSED, SCOPE_FOLDER, "quota"},
	{{PLUS, C("%3 UID COPY *"), S("%3 NO [TRYCREATE]"), C("%4 CREATE *"), S("%4 OK"), C("%5 UID COPY *"), S("%5 OK"), C("%6 UID STORE *"),
		 C("%7 UID EXPUNGE *"), S("%6 OK"), S("%7 OK"), END},
		"108 105 106 ", DISPOSE_MOVE, ERR_NONE, SCOPE_FOLDER, ""},
	{{PLUS, C("%3 UID COPY *"), CLOSE, END}, "", DISPOSE_MOVE, ERR_TEMP, SCOPE_MAILBOX, CLOSED},
};

static void add_confirmed(struct imap_fixture *fixture, struct str *out)
{
	uint64_t id;

	while (source_disposed(fixture->source, &id) == 1)
		str_addf(out, "%" PRIu64 " ", id);
}

static void dispose(struct imap_fixture *fixture, uint32_t uid, enum disposal what, const char *folder)
{
	assert_int_equal(source_dispose(fixture->source, 100 + uid, uid, what, folder, &fixture->err), 0);
}

static void disposes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
			static const uint32_t uids[] = {8, 5, 6};
			struct imap_fixture fixture;
			struct str got = {0};
			int rc;

			imap_fixture_init(&fixture);
			imap_fixture_start(&fixture, cases[i].script, flags);
			imap_fixture_select(&fixture);
			for (size_t k = 0; k < ARRAY_SIZE(uids); k++)
				dispose(&fixture, uids[k], cases[i].what, cases[i].what == DISPOSE_MOVE ? "Entw\u00fcrfe" : NULL);
			assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
			add_confirmed(&fixture, &got);
			assert_int_equal(got.len, 0);
			rc = source_settle(fixture.source, &fixture.err);
			assert_int_equal(rc, cases[i].kind == ERR_NONE ? 0 : -1);
			if (rc < 0)
				imap_expect_error(&fixture.err, cases[i].kind, cases[i].scope, cases[i].text);
			add_confirmed(&fixture, &got);
			assert_string_equal(str_text(&got), cases[i].confirmed);
			str_done(&got);
			imap_fixture_end(&fixture);
		}
	}
}

/* Different things to do are different groups, one after the other; a refusal of one is told once and stops no other. */
static void groups(void **state)
{
	static const struct step script[] = {FULL, C("%3 UID STORE 5 +FLAGS.SILENT (\\Seen)"), QUIET, S("%3 NO no"), C("%4 UID MOVE 6 \"a\""), QUIET,
		S("%4 OK"), C("%5 UID MOVE 7 \"b\""), QUIET, S("%5 OK"), C("%6 UID STORE 8 *"), C("%7 UID EXPUNGE 8"), S("%6 OK"), S("%7 OK"),
		PLAY(imap_logged_out), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	dispose(&fixture, 5, DISPOSE_MARK_SEEN, NULL);
	dispose(&fixture, 6, DISPOSE_MOVE, "a");
	dispose(&fixture, 7, DISPOSE_MOVE, "b");
	dispose(&fixture, 8, DISPOSE_DELETE, NULL);
	assert_int_equal(source_settle(fixture.source, &fixture.err), -1);
	imap_expect_error(&fixture.err, ERR_REFUSED, SCOPE_FOLDER, "as seen: no");
	assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
	assert_int_equal(source_close(fixture.source, &fixture.err), 0);
	add_confirmed(&fixture, &got); /* they stay to be asked for after the session */
	assert_string_equal(str_text(&got), "106 107 108 ");
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* Disposals and fetches share the line; what comes is told apart by tags and UIDs alone. */
static void beside_fetches(void **state)
{
	static const struct step script[] = {FULL, C("%3 UID FETCH 7 *"), C("%4 UID STORE 5 *"), C("%5 UID EXPUNGE 5"), S("%4 OK"), S("* 1 EXPUNGE"),
		S("* 1 FETCH (UID 7 BODY[] {1}"), RAW("x)\r\n"), S("%5 OK"), S("%3 OK"), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	assert_int_equal(source_request(fixture.source, haul_new(107, 7, 1, 0), &fixture.err), 0);
	dispose(&fixture, 5, DISPOSE_DELETE, NULL);
	assert_int_equal(source_flush(fixture.source, &fixture.err), 0);
	imap_receive_all(&fixture, 1, &got);
	add_confirmed(&fixture, &got);
	assert_string_equal(str_text(&got), "7 <x>\n105 ");
	str_done(&got);
	imap_fixture_end(&fixture);
}

/* Sets stay below 8 KiB, however scattered their UIDs are. */
static void long_sets_are_split(void **state)
{
	static const struct step script[] = {FULL, C("%3 UID STORE 4000000000,*,4000001398 +FLAGS.SILENT (\\Seen)"), QUIET, S("%3 OK"),
		C("%4 UID STORE 4000001400,4000001402 *"), S("%4 OK"), END};
	struct imap_fixture fixture;
	struct str got = {0};

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	for (uint32_t i = 0; i < 702; i++)
		dispose(&fixture, 4000000000U + 2 * i, DISPOSE_MARK_SEEN, NULL);
	assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
	add_confirmed(&fixture, &got);
	assert_int_equal(got.len, 702 * strlen("4000000100 "));
	for (const char *line = str_text(&fixture.trace), *next; (next = strchr(line, '\n')) != NULL; line = next + 1)
		assert_true(next - line < 8192);
	str_done(&got);
	imap_fixture_end(&fixture);
}

static void silence_confirms_nothing(void **state)
{
	static const struct step script[] = {FULL, C("%3 UID STORE *"), C("%4 UID EXPUNGE *"), S("%3 OK"), SILENCE, END};
	struct imap_fixture fixture;
	uint64_t id;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	dispose(&fixture, 5, DISPOSE_DELETE, NULL);
	deadline_set_factor(SECONDS_ARE_5_MS);
	assert_int_equal(source_settle(fixture.source, &fixture.err), -1);
	deadline_set_factor(1);
	imap_expect_error(&fixture.err, ERR_TEMP, SCOPE_MAILBOX, "did not answer in time");
	assert_int_equal(source_disposed(fixture.source, &id), 0);
	imap_fixture_end(&fixture);
}

static void nothing_to_settle(void **state)
{
	static const struct step script[] = {FULL, END};
	struct imap_fixture fixture;

	(void)state;
	imap_fixture_init(&fixture);
	imap_fixture_start(&fixture, script, PEER_WHOLE);
	imap_fixture_select(&fixture);
	assert_int_equal(source_settle(fixture.source, &fixture.err), 0);
	imap_fixture_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disposes),
		cmocka_unit_test(groups),
		cmocka_unit_test(beside_fetches),
		cmocka_unit_test(long_sets_are_split),
		cmocka_unit_test(silence_confirms_nothing),
		cmocka_unit_test(nothing_to_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
