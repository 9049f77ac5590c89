/* test-pop3-reply.c - lines of a POP3 server, and the listing that is made of them. */
#include "source/pop3-reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/pop3-listing.h"

/* Exactly len bytes on the heap, so that the sanitizer sees a parser that looks behind them. */
static char *bytes_of(const char *text, size_t len)
{
	char *bytes = xmalloc(len + 1);

	memcpy(bytes, text, len);
	return xreallocarray(bytes, len != 0 ? len : 1, 1);
}

static void replies(void **state)
{
	static const struct {
		const char *line;
		enum pop3_status status;
		enum pop3_code code;
		const char *text;
	} cases[] = {
		{"+OK", POP3_OK, POP3_CODE_NONE, ""},
		{"+OK ", POP3_OK, POP3_CODE_NONE, ""},
		{"+OK 2 320", POP3_OK, POP3_CODE_NONE, "2 320"},
		{"+OK [AUTH] is no code here", POP3_OK, POP3_CODE_NONE, "[AUTH] is no code here"},
		{"-ERR", POP3_ERR, POP3_CODE_NONE, ""},
		{"-ERR no", POP3_ERR, POP3_CODE_NONE, "no"},
		{"-ERR [AUTH] wrong", POP3_ERR, POP3_CODE_AUTH, "[AUTH] wrong"},
		{"-ERR [in-use] busy", POP3_ERR, POP3_CODE_IN_USE, "[in-use] busy"},
		{"-ERR [LOGIN-DELAY]", POP3_ERR, POP3_CODE_LOGIN_DELAY, "[LOGIN-DELAY]"},
		{"-ERR [SYS/TEMP] x", POP3_ERR, POP3_CODE_SYS_TEMP, "[SYS/TEMP] x"},
		{"-ERR [SYS/TEMP/QUOTA] x", POP3_ERR, POP3_CODE_SYS_TEMP, "[SYS/TEMP/QUOTA] x"},
		{"-ERR [SYS/PERM] x", POP3_ERR, POP3_CODE_SYS_PERM, "[SYS/PERM] x"},
		{"-ERR [SYS/PERMANENT] x", POP3_ERR, POP3_CODE_NONE, "[SYS/PERMANENT] x"},
		{"-ERR [AUTH", POP3_ERR, POP3_CODE_NONE, "[AUTH"},
		{"-ERR  [AUTH]", POP3_ERR, POP3_CODE_NONE, " [AUTH]"},
		{"+", POP3_CHALLENGE, POP3_CODE_NONE, ""},
		{"+ ", POP3_CHALLENGE, POP3_CODE_NONE, ""},
		{"+ YWJj", POP3_CHALLENGE, POP3_CODE_NONE, "YWJj"},
		{"", POP3_GARBAGE, POP3_CODE_NONE, ""},
		{"+ok", POP3_GARBAGE, POP3_CODE_NONE, "+ok"},
		{"+OKAY", POP3_GARBAGE, POP3_CODE_NONE, "+OKAY"},
		{"-ERROR", POP3_GARBAGE, POP3_CODE_NONE, "-ERROR"},
		{"-ER", POP3_GARBAGE, POP3_CODE_NONE, "-ER"},
		{" +OK", POP3_GARBAGE, POP3_CODE_NONE, " +OK"},
		{"* OK IMAP", POP3_GARBAGE, POP3_CODE_NONE, "* OK IMAP"},
		{"220 smtp", POP3_GARBAGE, POP3_CODE_NONE, "220 smtp"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].line);
		char *line = bytes_of(cases[i].line, len);
		struct pop3_reply reply = pop3_reply_parse(line, len);

		assert_int_equal(reply.status, cases[i].status);
		assert_int_equal(reply.code, cases[i].code);
		assert_int_equal(reply.text_len, strlen(cases[i].text));
		assert_memory_equal(reply.text, cases[i].text, reply.text_len);
		free(line);
	}
}

/* Every beginning of a line: none may crash, and none but the whole may be what only the whole is. */
static void truncated_replies(void **state)
{
	static const char whole[] = "-ERR [SYS/TEMP] come again";

	(void)state;
	for (size_t len = 0; len < sizeof(whole); len++) {
		char *line = bytes_of(whole, len);
		struct pop3_reply reply = pop3_reply_parse(line, len);

		assert_int_equal(reply.status, len >= strlen("-ERR") ? POP3_ERR : POP3_GARBAGE);
		assert_int_equal(reply.code, len >= strlen("-ERR [SYS/TEMP]") ? POP3_CODE_SYS_TEMP : POP3_CODE_NONE);
		free(line);
	}
}

static void capabilities(void **state)
{
	static const struct {
		const char *line;
		bool is;
	} cases[] = {
		{"PIPELINING", true},
		{"pipelining", true},
		{"PIPELINING yes", true},
		{"PIPELINING2", false},
		{"PIPELININ", false},
		{"", false},
		{" PIPELINING", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *line = bytes_of(cases[i].line, strlen(cases[i].line));

		assert_int_equal(pop3_capa_is(line, strlen(cases[i].line), "PIPELINING"), cases[i].is);
		free(line);
	}
}

static void numbers(void **state)
{
	static const struct {
		const char *line;
		bool stat, list, uidl; /* each parser's verdict on the same line */
		uint32_t number;
		uint64_t size;
		const char *id;
	} cases[] = {
		{"1 120", true, true, true, 1, 120, "120"},
		{"1 120 more", true, true, true, 1, 120, "120 more"},
		{"0 0", true, false, false, 0, 0, ""},
		{"4294967295 18446744073709551615", true, true, true, UINT32_MAX, UINT64_MAX, "18446744073709551615"},
		{"4294967296 1", false, false, false, 0, 0, ""},
		{"4294967297 1", false, false, false, 0, 0, ""},
		{"1 18446744073709551616", false, false, true, 1, 0, "18446744073709551616"},
		{"-1 5", false, false, false, 0, 0, ""},
		{"+1 5", false, false, false, 0, 0, ""},
		{"1x 5", false, false, false, 0, 0, ""},
		{" 1 5", false, false, false, 0, 0, ""},
		{"3", false, false, true, 3, 0, ""},
		{"3 ", false, false, true, 3, 0, ""},
		{"3  a", false, false, true, 3, 0, " a"},
		{"3\ta", false, false, false, 0, 0, ""},
		{"x y", false, false, false, 0, 0, ""},
		{"", false, false, false, 0, 0, ""},
		{"007 5", true, true, true, 7, 5, "5"},
		{"7 %n%s;rm \"../../x\"\x01\xff", false, false, true, 7, 0, "%n%s;rm \"../../x\"\x01\xff"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].line), id_len = 99;
		char *line = bytes_of(cases[i].line, len);
		uint32_t count = 77, list_number = 77, uidl_number = 77;
		uint64_t size = 77;
		const char *id = NULL;

		assert_int_equal(pop3_stat_parse(line, len, &count), cases[i].stat);
		assert_int_equal(pop3_list_parse(line, len, &list_number, &size), cases[i].list);
		assert_int_equal(pop3_uidl_parse(line, len, &uidl_number, &id, &id_len), cases[i].uidl);
		assert_int_equal(count, cases[i].stat ? cases[i].number : 77);
		assert_int_equal(list_number, cases[i].list ? cases[i].number : 77);
		assert_int_equal(size, cases[i].list ? cases[i].size : 77);
		if (cases[i].uidl) {
			assert_int_equal(uidl_number, cases[i].number);
			assert_int_equal(id_len, strlen(cases[i].id));
			assert_memory_equal(id, cases[i].id, id_len);
		}
		free(line);
	}
}

static int collect(void *context, const struct listed *entry, struct error *err)
{
	struct str *out = context;

	(void)err;
	assert_int_equal(entry->date, 0);
	str_addf(out, "%u=", (unsigned)entry->uid);
	if (entry->key != NULL)
		str_add_escaped(out, entry->key, entry->key_len, 200);
	else
		str_add_text(out, "none");
	str_addf(out, "(%llu) ", (unsigned long long)entry->size);
	return 0;
}

typedef int add_fn(struct pop3_listing *listing, const char *line, size_t len, struct error *err);

static int add_lines(struct pop3_listing *listing, add_fn *add, const char *lines, struct error *err)
{
	for (const char *end; (end = strchr(lines, '\n')) != NULL; lines = end + 1)
		if (add(listing, lines, (size_t)(end - lines), err) < 0)
			return -1;
	return 0;
}

static void listings(void **state)
{
	static const struct {
		uint32_t exists;
		const char *list, *uidl; /* lines; uidl NULL: refused */
		const char *result;
		bool contradictory;
	} cases[] = {
		{0, "", "", "", false},
		{0, "", NULL, "", false},
		{2, "1 10\n2 20\n", "1 a\n2 b\n", "1=a(10) 2=b(20) ", false},
		{2, "1 10\n2 20\n", NULL, "1=none(10) 2=none(20) ", false},
		{2, "2 20\n1 10\n", "2 b\n1 a\n", "1=a(10) 2=b(20) ", false},
		/* an id is missing on its line, or the line itself */
		{2, "1 10\n2 20\n", "1 \n2 b\n", "1=none(10) 2=b(20) ", false},
		{2, "1 10\n2 20\n", "1\n2 b\n", "1=none(10) 2=b(20) ", false},
		{2, "1 10\n2 20\n", "2 b\n", "2=b(20) ", true},
		{500, "1 10\n2 20\n", "", "", true},
		/* LIST, UIDL and STAT disagree */
		{3, "1 10\n2 20\n", "1 a\n2 b\n", "1=a(10) 2=b(20) ", true},
		{2, "1 10\n", "1 a\n2 b\n", "1=a(10) ", true},
		{1, "1 10\n2 20\n", "1 a\n2 b\n", "1=a(10) ", true},
		{1, "1 10\n", NULL, "1=none(10) ", false},
		{2, "1 10\n", NULL, "1=none(10) ", true},
		/* numbers that are none */
		{4, "0 5\n-1 5\n4294967297 5\n1 10\n", "1 a\n", "1=a(10) ", true},
		{4, "1 1\n2 2\n3 3\n4 4\n", "0 z\n-1 z\n4294967297 z\n3 c\n", "3=c(3) ", true},
		{2, "1 1\nx y\n", "1 a\nx y\n", "1=a(1) ", true},
		{2, "1 1\n2 99999999999999999999\n", "1 a\n2 b\n", "1=a(1) ", true},
		/* the same number twice: what is said of it is not to be trusted */
		{3, "1 1\n2 2\n2 3\n", "1 a\n2 b\n3 c\n", "1=a(1) ", true},
		{3, "1 1\n2 2\n3 3\n", "1 a\n2 b\n2 c\n", "1=a(1) ", true},
		{4, "2 1\n1 2\n2 3\n2 4\n", "1 a\n2 b\n", "1=a(2) ", true},
		/* the same id twice */
		{4, "1 1\n2 2\n3 3\n4 4\n", "1 a\n2 b\n3 a\n4 a\n", "1=a\\x001/3(1) 2=b(2) 3=a\\x002/3(3) 4=a\\x003/3(4) ", false},
		{2, "1 1\n2 2\n", "2 a\n1 a\n", "1=a\\x001/2(1) 2=a\\x002/2(2) ", false},
		{3, "1 1\n2 2\n3 3\n", "1 ab\n2 a\n3 b\n", "1=ab(1) 2=a(2) 3=b(3) ", false},
		/* no two empty ids are the same */
		{2, "1 1\n2 2\n", "1 \n2 \n", "1=none(1) 2=none(2) ", false},
		{1, "1 1\n", "1 \x01 \"../x\" %n\xff\n", "1=\\x01 \\x22../x\\x22 %n\\xFF(1) ", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pop3_listing *listing = pop3_listing_new(cases[i].exists);
		bool contradictory = false;
		struct error err = {0};
		struct str out = {0};

		assert_int_equal(add_lines(listing, pop3_listing_add_size, cases[i].list, &err), 0);
		pop3_listing_sized(listing);
		if (cases[i].uidl != NULL)
			assert_int_equal(add_lines(listing, pop3_listing_add_uidl, cases[i].uidl, &err), 0);
		assert_int_equal(pop3_listing_each(listing, cases[i].uidl != NULL, collect, &out, &contradictory, &err), 0);
		assert_string_equal(str_text(&out), cases[i].result);
		assert_int_equal(contradictory, cases[i].contradictory);
		pop3_listing_free(listing);
		str_done(&out);
	}
}

static void add_long_uidl(struct pop3_listing *listing, unsigned number, size_t len)
{
	struct str line = {0};
	struct error err = {0};

	str_addf(&line, "%u ", number);
	while (len-- > 0)
		str_add_byte(&line, 'u');
	assert_int_equal(pop3_listing_add_uidl(listing, line.data, line.len, &err), 0);
	str_done(&line);
}

struct keys {
	struct str keys[4];
	size_t count;
};

static int keep_key(void *context, const struct listed *entry, struct error *err)
{
	struct keys *keys = context;

	(void)err;
	str_add(&keys->keys[keys->count++], entry->key, entry->key_len);
	return 0;
}

static void long_ids(void **state)
{
	struct pop3_listing *listing = pop3_listing_new(4);
	bool contradictory = false;
	struct keys keys = {0};
	struct error err = {0};

	(void)state;
	assert_int_equal(add_lines(listing, pop3_listing_add_size, "1 1\n2 2\n3 3\n4 4\n", &err), 0);
	pop3_listing_sized(listing);
	add_long_uidl(listing, 1, KEY_MAX);
	add_long_uidl(listing, 2, KEY_MAX + 1);
	add_long_uidl(listing, 3, KEY_MAX - 1);
	add_long_uidl(listing, 4, KEY_MAX - 1);
	assert_int_equal(pop3_listing_each(listing, true, keep_key, &keys, &contradictory, &err), 0);
	assert_false(contradictory);
	assert_int_equal(keys.count, 4);
	assert_int_equal(keys.keys[0].len, KEY_MAX);
	/* SHA-256 of 1025 times "u" */
	assert_string_equal(keys.keys[1].data, "sha256:6cdaf2126bb6f3b1eaaafe1a6e7c8be54857ff409fe2354c1a1598d28300a8c3");
	/* no room for the number of a copy */
	for (size_t i = 2; i < 4; i++) {
		assert_int_equal(keys.keys[i].len, strlen("sha256:") + 64 + strlen("_1/2"));
		assert_memory_equal(keys.keys[i].data, "sha256:", strlen("sha256:"));
		assert_memory_not_equal(keys.keys[i].data, keys.keys[1].data, strlen("sha256:") + 64);
		assert_string_equal(keys.keys[i].data + strlen("sha256:") + 64 + 1, i == 2 ? "1/2" : "2/2");
	}
	assert_memory_equal(keys.keys[2].data, keys.keys[3].data, strlen("sha256:") + 64);
	for (size_t i = 0; i < 4; i++)
		str_done(&keys.keys[i]);
	pop3_listing_free(listing);
}

static void endless_listings(void **state)
{
	struct pop3_listing *listing = pop3_listing_new(5);
	struct error err = {0};
	unsigned lines = 0;

	(void)state;
	while (pop3_listing_add_size(listing, "1 1", 3, &err) == 0)
		assert_true(++lines < 2000);
	assert_int_equal(err.kind, ERR_PROTO);
	pop3_listing_sized(listing);
	lines = 0;
	while (pop3_listing_add_uidl(listing, "1 a", 3, &err) == 0)
		assert_true(++lines < 2000);
	assert_int_equal(err.kind, ERR_PROTO);
	pop3_listing_free(listing);
}

static int stop(void *context, const struct listed *entry, struct error *err)
{
	(void)context;
	return entry->uid == 2 ? error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "enough") : 0;
}

static void the_caller_may_stop(void **state)
{
	struct pop3_listing *listing = pop3_listing_new(3);
	bool contradictory = false;
	struct error err = {0};

	(void)state;
	assert_int_equal(add_lines(listing, pop3_listing_add_size, "1 1\n2 2\n3 3\n", &err), 0);
	pop3_listing_sized(listing);
	assert_int_equal(pop3_listing_each(listing, false, stop, NULL, &contradictory, &err), -1);
	assert_string_equal(err.text, "enough");
	pop3_listing_free(listing);
}

static void login_delays(void **state)
{
	static const struct {
		const char *line;
		uint32_t seconds;
	} cases[] = {
		{"LOGIN-DELAY 900", 900},
		{"login-delay 60 USER", 60},
		{"LOGIN-DELAY 0", 0},
		{"LOGIN-DELAY", 0},
		{"LOGIN-DELAY ", 0},
		{"LOGIN-DELAY x", 0},
		{"LOGIN-DELAY -5", 0},
		{"LOGIN-DELAY 5s", 0},
		{"LOGIN-DELAYS 5", 0},
		{"LOGIN-DELAY 100000", 86400},
		{"LOGIN-DELAY 99999999999", 0},
		{"UIDL", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (pop3_login_delay(cases[i].line, strlen(cases[i].line)) != cases[i].seconds)
			fail_msg("%s: %u", cases[i].line, pop3_login_delay(cases[i].line, strlen(cases[i].line)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(truncated_replies),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(login_delays),
		cmocka_unit_test(numbers),
		cmocka_unit_test(listings),
		cmocka_unit_test(long_ids),
		cmocka_unit_test(endless_listings),
		cmocka_unit_test(the_caller_may_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
