/* test-imap-parse.c - responses of IMAP servers, good and bad, whole and cut short anywhere. */
#include "source/imap-parse.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

/* What was understood, as one line of text, so that a table can hold it. */
static void describe(struct str *out, const struct imap_parser *parser)
{
	static const char *const statuses[] = {"", "OK", "NO", "BAD", "BYE", "PREAUTH"};
	static const char *const bodies[] = {"", " nil", " quoted", " literal"};
	const struct imap_response *response = &parser->response;

	if (response->kind == IMAP_CONTINUATION)
		str_addf(out, "+ <%.*s>", (int)response->text_len, response->text);
	if (response->kind == IMAP_TAGGED)
		str_addf(out, "%.*s ", (int)response->tag_len, response->tag);
	if (response->kind == IMAP_TAGGED || response->kind == IMAP_STATUS)
		str_addf(out, "%s [%.*s] <%.*s>", statuses[response->status], (int)response->code_len, response->code != NULL ? response->code : "",
			(int)response->text_len, response->text);
	if (response->has_number)
		str_addf(out, "%" PRIu64 " ", response->number);
	if (response->kind == IMAP_DATA)
		str_addf(out, "%s <%.*s>", response->name, (int)response->text_len, response->text);
	if (response->kind != IMAP_FETCH)
		return;
	str_addf(out, "FETCH");
	if (response->fetch.has_uid)
		str_addf(out, " uid=%" PRIu64, response->fetch.uid);
	if (response->fetch.has_size)
		str_addf(out, " size=%" PRIu64, response->fetch.size);
	if (response->fetch.date != 0)
		str_addf(out, " date=%" PRId64, response->fetch.date);
	if (response->fetch.body != IMAP_BODY_NONE)
		str_addf(out, "%s=%" PRIu64, bodies[response->fetch.body], response->fetch.body_size);
	if (response->fetch.body == IMAP_BODY_QUOTED)
		str_addf(out, " <%s>", str_text(&parser->quoted));
}

/* All responses in bytes, one after the other, with "; " between them; "broken" ends it, "..." means that more is needed. Every line is a heap block of
 * exactly its size, so that the sanitizer sees a parser that looks behind it. */
static void run(struct str *out, const char *bytes, size_t len)
{
	struct imap_parser parser = {0};
	struct error err;
	int rc = IMAP_COMPLETE;

	while (len != 0 && rc != IMAP_BROKEN) {
		const char *end = memmem(bytes, len, "\r\n", 2);
		size_t line_len = end != NULL ? (size_t)(end - bytes) : 0;
		char *line;

		if (end == NULL)
			break;
		line = xmalloc(line_len);
		memcpy(line, bytes, line_len);
		bytes += line_len + 2;
		len -= line_len + 2;
		rc = imap_parse_line(&parser, line, line_len, &err);
		if (rc == IMAP_COMPLETE)
			describe(out, &parser);
		else
			str_add_text(out, rc == IMAP_BROKEN ? "broken" : parser.literal_is_message ? "{message}" : "{}");
		str_add_text(out, "; ");
		free(line);
		if (rc == IMAP_LITERAL && parser.literal > len)
			break;
		if (rc == IMAP_LITERAL) {
			bytes += parser.literal;
			len -= parser.literal;
		}
	}
	imap_parser_done(&parser);
}

#define HIGH "18446744073709551615"
#define DEEP16 "(((((((((((((((("
#define BACK16 "))))))))))))))))"

static const struct {
	const char *bytes, *expected;
} cases[] = {
	/* status responses: text is text, whatever it looks like */
	{"* OK ready\r\n", "OK [] <ready>; "},
	{"* OK\r\n", "OK [] <>; "},
	{"* ok [CAPABILITY IMAP4rev1 ID] hello (\r\n", "OK [CAPABILITY IMAP4rev1 ID] <hello (>; "},
	{"* BYE \"quoted {5}\r\n", "BYE [] <\"quoted {5}>; "},
	{"* PREAUTH x\r\n", "PREAUTH [] <x>; "},
	{"* NO [ALERT\r\n", "NO [] <[ALERT>; "},
	{"* OK []\r\n", "OK [] <>; "},
	{"* OK [BADCHARSET (\"a]b\")] x\r\n", "OK [BADCHARSET (\"a]b\")] <x>; "},
	{"* OK [UIDVALIDITY 3857529045] UIDs valid\r\n", "OK [UIDVALIDITY 3857529045] <UIDs valid>; "},
	{"A1 OK done\r\n", "A1 OK [] <done>; "},
	{"A1 NO [TRYCREATE] no\r\n", "A1 NO [TRYCREATE] <no>; "},
	{"A1 BAD\r\n", "A1 BAD [] <>; "},
	{"A1 BYE x\r\n", "broken; "},
	{"A1 OKAY\r\n", "broken; "},
	{"A1\r\n", "broken; "},
	{"\r\n", "broken; "},
	{" OK\r\n", "broken; "},
	{"*\r\n", "broken; "},
	{"* \r\n", "broken; "},
	{"+ go on\r\n", "+ <go on>; "},
	{"+\r\n", "+ <>; "},
	{"+ \r\n", "+ <>; "},
	/* data */
	{"* 172 EXISTS\r\n* 1 recent\r\n", "172 EXISTS <>; 1 RECENT <>; "},
	{"* 172\r\n", "broken; "},
	{"* 99999999999999999999999 EXISTS\r\n", HIGH " EXISTS <>; "},
	{"* 12x EXISTS\r\n", "12X <EXISTS>; "},
	{"* SEARCH 2 84 882\r\n", "SEARCH <2 84 882>; "},
	{"* SEARCH \r\n", "SEARCH <>; "},
	{"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "CAPABILITY <IMAP4rev1 AUTH=PLAIN>; "},
	{"* FLAGS (\\Answered $Forwarded \\*)\r\n", "FLAGS <(\\Answered $Forwarded \\*)>; "},
	{"* LIST (\\Noselect) \"/\" \"a\\\"b\"\r\n", "LIST <(\\Noselect) \"/\" \"a\\\"b\">; "},
	{"* LIST () \"/\" {7}\r\na\r\nb)c\"\r\n", "{}; LIST <>; "},
	{"* VANISHED (EARLIER) 41,43:116\r\n", "VANISHED <(EARLIER) 41,43:116>; "},
	{"* NAMESPACE ((\"\" \"/\")(\"x\" \"/\")) NIL NIL\r\n", "NAMESPACE <((\"\" \"/\")(\"x\" \"/\")) NIL NIL>; "},
	{"* X-UNREASONABLY-LONG-NAME-OF-DATA 1\r\n", "X-UNREASONABLY-LONG-NAM <1>; "},
	{"* LIST () \"/\" \"a\r\n", "broken; "},
	{"* LIST () \"/\" \"a\\x\"\r\n", "broken; "},
	{"* LIST () \"/\" \"a\"b\r\n", "broken; "},
	{"* LIST (\r\n", "broken; "},
	{"* LIST )\r\n", "broken; "},
	{"* X a{5}b\r\n", "broken; "},
	{"* X a\tb\r\n", "broken; "},
	{"* X " DEEP16 BACK16 "\r\n", "X <" DEEP16 BACK16 ">; "},
	{"* X (" DEEP16 BACK16 ")\r\n", "broken; "},
	/* literals: a number in braces at the end of the line, or nothing */
	{"* X {-1}\r\n", "broken; "},
	{"* X {}\r\n", "broken; "},
	{"* X {1x}\r\n", "broken; "},
	{"* X {+5}\r\n", "broken; "},
	{"* X {5+}\r\n", "broken; "},
	{"* X {0x10}\r\n", "broken; "},
	{"* X { 5}\r\n", "broken; "},
	{"* X {5 }\r\n", "broken; "},
	{"* X {5\r\n", "broken; "},
	{"* X {5} \r\n", "broken; "},
	{"* X {5} y\r\n", "broken; "},
	{"* X {99999999999999999999999}\r\n", "broken; "},
	{"* X {65537}\r\n", "broken; "},
	{"* X {0}\r\n {0}\r\n\r\n", "{}; {}; X <>; "},
	{"* X {2}\r\nabc\r\n", "{}; broken; "},
	/* FETCH */
	{"* 12 FETCH (UID 5 RFC822.SIZE 4294967296 FLAGS (\\Seen))\r\n", "12 FETCH uid=5 size=4294967296; "},
	{"* 12 fetch (rfc822.size 0 uid 5)\r\n", "12 FETCH uid=5 size=0; "},
	{"* 1 FETCH ()\r\n", "1 FETCH; "},
	{"* 1 FETCH (UID 5 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n", "1 FETCH uid=5 date=837596665; "},
	{"* 1 FETCH (INTERNALDATE NIL UID 5)\r\n", "1 FETCH uid=5; "},
	{"* 1 FETCH (INTERNALDATE (1 (2)) UID 5)\r\n", "1 FETCH uid=5; "},
	{"* 1 FETCH (UID 0)\r\n", "1 FETCH uid=0; "},
	{"* 1 FETCH (UID 99999999999999999999999)\r\n", "1 FETCH uid=" HIGH "; "},
	{"* 1 FETCH (UID 5 BODY[] {3}\r\na\r\n)\r\n", "{message}; 1 FETCH uid=5 literal=3; "},
	{"* 1 FETCH (BODY[] {3}\r\na)b UID 5)\r\n", "{message}; 1 FETCH uid=5 literal=3; "},
	{"* 1 FETCH (BODY[] {3}\r\n)\r\n UID 5)\r\n", "{message}; 1 FETCH uid=5 literal=3; "},
	{"* 1 FETCH (BODY[]{3}\r\n)\r\n UID 5)\r\n", "broken; "},
	{"* 1 FETCH (UID 5 BODY[] {0}\r\n)\r\n", "{message}; 1 FETCH uid=5 literal=0; "},
	{"* 1 FETCH (UID 5 BODY[] NIL)\r\n", "1 FETCH uid=5 nil=0; "},
	{"* 1 FETCH (UID 5 BODY[] \"\")\r\n", "1 FETCH uid=5 quoted=0 <>; "},
	{"* 1 FETCH (BODY[] \"a\\\"b\\\\ c)\" UID 5)\r\n", "1 FETCH uid=5 quoted=7 <a\"b\\ c)>; "},
	{"* 1 FETCH (UID 5 BODY[HEADER.FIELDS (FROM TO)] {3}\r\nabc X-GM-LABELS (a \"b\" {1}\r\nc) MODSEQ (7))\r\n", "{}; {}; 1 FETCH uid=5; "},
	{"* 1 FETCH (X-A BODY[] UID 5 X-B {3}\r\nabc)\r\n", "{}; 1 FETCH uid=5; "},
	{"* 1 FETCH (X-A (BODY[] {3}\r\nabc))\r\n", "{}; 1 FETCH; "},
	{"* 1 FETCH (UID 5 BODY[] {18446744073709551615}\r\n", "{message}; "},
	{"* 1 FETCH (UID 5 BODY[] {18446744073709551616}\r\n", "broken; "},
	{"* 1 FETCH (UID 5 BODY[] {3}\r\nabc\r\n", "{message}; broken; "},
	{"* 1 FETCH (UID 5 BODY[] {3}\r\nabcd)\r\n", "{message}; broken; "},
	{"* 1 FETCH (UID 5 BODY[] {3}\r\nabc) x\r\n", "{message}; broken; "},
	{"* 1 FETCH (UID 5 BODY[] {3}\r\nabcA1 OK done\r\n", "{message}; broken; "},
	{"* 1 FETCH (BODY[] {1}\r\na BODY[] {1}\r\n", "{message}; broken; "},
	{"* 1 FETCH (UID 5 UID 6)\r\n", "broken; "},
	{"* 1 FETCH (UID -5)\r\n", "broken; "},
	{"* 1 FETCH (UID \"5\")\r\n", "broken; "},
	{"* 1 FETCH (UID (5))\r\n", "broken; "},
	{"* 1 FETCH (UID)\r\n", "broken; "},
	{"* 1 FETCH (RFC822.SIZE NIL)\r\n", "broken; "},
	{"* 1 FETCH (BODY[] (a))\r\n", "broken; "},
	{"* 1 FETCH (BODY[] atom)\r\n", "broken; "},
	{"* 1 FETCH ((UID 5))\r\n", "broken; "},
	{"* 1 FETCH (\"UID\" 5)\r\n", "broken; "},
	{"* 1 FETCH UID 5\r\n", "broken; "},
	{"* 1 FETCH\r\n", "broken; "},
	{"* 1 FETCH (UID 5) (UID 6)\r\n", "broken; "},
	{"* 1 FETCH (UID 5\r\n", "broken; "},
	/* nothing in a literal is a response */
	{"* 1 FETCH (UID 5 BODY[] {56}\r\nX-Spam-Flag: NO\r\n\r\na1 OK done\r\n* BYE\r\n)\r\nA1 NO x\r\n* 2 \r\n)\r\nA1 OK\r\n",
		"{message}; 1 FETCH uid=5 literal=56; A1 OK [] <>; "},
};

static void understands(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct str got = {0};

		run(&got, cases[i].bytes, strlen(cases[i].bytes));
		if (strcmp(str_text(&got), cases[i].expected) != 0)
			fail_msg("%s\n  is: %s\n  should be: %s", cases[i].bytes, str_text(&got), cases[i].expected);
		str_done(&got);
	}
}

/* Cut short, a stream means what its complete lines mean: a beginning of what the whole means. */
static void cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].bytes); len++) {
			struct str got = {0};

			run(&got, cases[i].bytes, len);
			assert_memory_equal(str_text(&got), cases[i].expected, got.len);
			str_done(&got);
		}
	}
}

/* A line that ends anywhere must be understood or refused, never read beyond. */
static void lines_cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t len = 0; len < strlen(cases[i].bytes); len++) {
			char *bytes = xmalloc(len + 2);
			struct str got = {0};

			memcpy(bytes, cases[i].bytes, len);
			memcpy(bytes + len, "\r\n", 2);
			run(&got, bytes, len + 2);
			assert_true(got.len != 0);
			str_done(&got);
			free(bytes);
		}
	}
}

static enum imap_parsed parse_repeated(const char *begin, const char *part, size_t count, const char *end)
{
	struct imap_parser parser = {0};
	struct str line = {0};
	struct error err;
	enum imap_parsed rc;

	str_add_text(&line, begin);
	for (size_t i = 0; i < count; i++)
		str_add_text(&line, part);
	str_add_text(&line, end);
	rc = imap_parse_line(&parser, line.data, line.len, &err);
	str_done(&line);
	imap_parser_done(&parser);
	return rc;
}

static void bounded(void **state)
{
	struct imap_parser parser = {0};
	size_t responses = 0;
	struct error err;

	(void)state;
	assert_int_equal(parse_repeated("* X ", "x", IMAP_LINE_MAX - 4, ""), IMAP_COMPLETE);
	assert_int_equal(parse_repeated("* X ", "x", IMAP_LINE_MAX - 3, ""), IMAP_BROKEN);
	assert_int_equal(parse_repeated("* X ", "(", 60000, ""), IMAP_BROKEN);
	/* many small literals: their lines together are no longer than one line may be */
	assert_int_equal(imap_parse_line(&parser, "* X {0}", 7, &err), IMAP_LITERAL);
	while (imap_parse_line(&parser, " {0}", 4, &err) == IMAP_LITERAL)
		responses++;
	assert_true(responses > 10000 && responses < 20000);
	assert_int_equal(err.kind, ERR_PROTO);
	imap_parser_done(&parser);
}

static void small_literals_add_up(void **state)
{
	struct imap_parser parser = {0};
	struct error err;

	(void)state;
	assert_int_equal(imap_parse_line(&parser, "* X {65535}", 11, &err), IMAP_LITERAL);
	assert_int_equal(imap_parse_line(&parser, " {1}", 4, &err), IMAP_LITERAL);
	assert_int_equal(imap_parse_line(&parser, " {1}", 4, &err), IMAP_BROKEN);
	imap_parser_done(&parser);
}

static void codes(void **state)
{
	static const struct {
		const char *code, *word;
		bool is;
		uint64_t number;
	} table[] = {
		{"UIDVALIDITY 1", "UIDVALIDITY", true, 1},
		{"uidvalidity 1", "UIDVALIDITY", true, 1},
		{"UIDVALIDITY", "UIDVALIDITY", true, 0},
		{"UIDVALIDITY ", "UIDVALIDITY", true, 0},
		{"UIDVALIDITY 0", "UIDVALIDITY", true, 0},
		{"UIDVALIDITY x", "UIDVALIDITY", true, 0},
		{"UIDVALIDITY -1", "UIDVALIDITY", true, 0},
		{"UIDVALIDITY 18446744073709551614", "UIDVALIDITY", true, UINT64_MAX - 1},
		{"UIDVALIDITY 18446744073709551616", "UIDVALIDITY", true, 0},
		{"UIDVALIDITYX 1", "UIDVALIDITY", false, 1},
		{"UIDNEXT 7 8", "UIDNEXT", true, 7},
		{"", "UIDNEXT", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct imap_response response = {.code = table[i].code, .code_len = strlen(table[i].code)};

		assert_int_equal(imap_code_is(&response, table[i].word), table[i].is);
		assert_int_equal(imap_code_number(&response), table[i].number);
	}
	assert_false(imap_code_is(&(struct imap_response){0}, "ALERT"));
}

static void capabilities(void **state)
{
	static const struct {
		const char *text;
		unsigned bits;
	} table[] = {
		{"", 0},
		{"IMAP4rev1", IMAP_CAP_REV1},
		{"imap4REV1  uidplus", IMAP_CAP_REV1 | IMAP_CAP_UIDPLUS},
		{"CAPABILITY IMAP4rev1 ID MOVE SASL-IR LOGINDISABLED",
			IMAP_CAP_REV1 | IMAP_CAP_ID | IMAP_CAP_MOVE | IMAP_CAP_SASL_IR | IMAP_CAP_LOGINDISABLED},
		{"IMAP4rev2", IMAP_CAP_REV2 | IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE | IMAP_CAP_SASL_IR | IMAP_CAP_LITERAL_MINUS | IMAP_CAP_LIST_EXTENDED |
				      IMAP_CAP_LIST_STATUS | IMAP_CAP_IDLE},
		{"LITERAL+ LITERAL- LITERAL", IMAP_CAP_LITERAL_PLUS | IMAP_CAP_LITERAL_MINUS},
		{"LIST-STATUS list-extended LIST", IMAP_CAP_LIST_STATUS | IMAP_CAP_LIST_EXTENDED},
		{"UIDPLUSX XUIDPLUS NOTIDLE", 0},
		{"idle NOTIFY", IMAP_CAP_IDLE | IMAP_CAP_NOTIFY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		assert_int_equal(imap_parse_capabilities(table[i].text, strlen(table[i].text)), table[i].bits);
}

static void numbers(void **state)
{
	static const char list[] = " 2  84 99999999999999999999999 7x";
	static const uint64_t expected[] = {2, 84, UINT64_MAX, 7};
	const char *text = list;
	size_t len = strlen(list);
	uint64_t number;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(imap_next_number(&text, &len, &number));
		assert_int_equal(number, expected[i]);
	}
	assert_false(imap_next_number(&text, &len, &number));
	assert_string_equal(text, "x");
}

static void dates(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_s;
	} table[] = {
		{"17-Jul-1996 02:44:25 -0700", 837596665},
		{" 7-jul-1996 02:44:25 +0000", 836707465},
		{"07-JUL-1996 02:44:25 +0030", 836705665},
		{"01-Jan-1970 00:00:00 +0000", 0},
		{"31-Dec-9999 23:59:60 +0000", 253402300800},
		{"7-Jul-1996 02:44:25 +0000", 0},
		{"17-Jux-1996 02:44:25 +0000", 0},
		{"17-Jul-1996 02:44:25", 0},
		{"17-Jul-1996 02:44:25 0700 ", 0},
		{"17-Jul-1996T02:44:25 -0700", 0},
		{"17-Jul-1996 24:44:25 -0700", 0},
		{"00-Jul-1996 02:44:25 -0700", 0},
		{"32-Jul-1996 02:44:25 -0700", 0},
		{"17-Jul-1996 02:60:25 -0700", 0},
		{"17-Jul-1996 02:44:61 -0700", 0},
		{"17-Jul-1996 02:44:25 -0760", 0},
		{"1x-Jul-1996 02:44:25 -0700", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t len = strlen(table[i].text);

		assert_int_equal(imap_parse_date(table[i].text, len), table[i].wall_s);
		for (size_t cut = 0; cut < len; cut++) {
			char *text = xmalloc(cut);

			memcpy(text, table[i].text, cut);
			assert_int_equal(imap_parse_date(text, cut), 0);
			free(text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(lines_cut_anywhere),
		cmocka_unit_test(bounded),
		cmocka_unit_test(small_literals_add_up),
		cmocka_unit_test(codes),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(numbers),
		cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
