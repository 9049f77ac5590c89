#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/problems.h"
#include "config/yaml.h"

/* The tree as text: maps in braces, lists in brackets, each value with its place. */
static void draw(const struct node *node, struct str *out)
{
	str_addf(out, "%u:%u", node->at.line, node->at.column);
	if (node->kind == NODE_TEXT)
		str_addf(out, node->plain ? "=%s" : "='%s'", node->text);
	else
		str_add_byte(out, node->kind == NODE_MAP ? '{' : '[');
	for (const struct node *child = node->first; child != NULL; child = child->next) {
		if (child->key != NULL)
			str_addf(out, "%s@%u:%u ", child->key, child->key_at.line, child->key_at.column);
		draw(child, out);
		if (child->next != NULL)
			str_add_text(out, ", ");
	}
	if (node->kind != NODE_TEXT)
		str_add_byte(out, node->kind == NODE_MAP ? '}' : ']');
}

/* What parsing gives: the tree, or the problems. The bytes are copied to a block of their very size, so that ASan sees a read past the end. */
static char *parsed(const char *bytes, size_t len)
{
	struct problems problems = {.file = "f"};
	struct str out = {0};
	char *copy = xmalloc(len), *told = NULL;
	size_t told_len;
	FILE *file = open_memstream(&told, &told_len);
	struct node *root;

	assert_non_null(file);
	memcpy(copy, bytes, len);
	root = yaml_parse(copy, len, &problems);
	if (root != NULL)
		draw(root, &out);
	else
		assert_true(problems.count > 0);
	problems_print(&problems, file);
	fclose(file);
	str_add_text(&out, told);
	free(told);
	free(copy);
	node_free(root);
	problems_done(&problems);
	return out.data;
}

static void test_trees(void **state)
{
	static const struct {
		const char *yaml, *tree;
	} cases[] = {
		{"a: b\n", "1:1{a@1:1 1:4=b}"},
		{"a: b", "1:1{a@1:1 1:4=b}"},
		{"\xEF\xBB\xBF"
		 "a: b\n",
			"1:1{a@1:1 1:4=b}"},
		{"a: b\r\nc: d\r\n", "1:1{a@1:1 1:4=b, c@2:1 2:4=d}"},
		{"# only\n---\na: 'b'\n...\n", "3:1{a@3:1 3:4='b'}"},
		{"list:\n  - one\n  - \"two\"\n", "1:1{list@1:1 2:3[2:5=one, 3:5='two']}"},
		{"a: {b: [c, {d: e}], f: }\n", "1:1{a@1:1 1:4{b@1:5 1:8[1:9=c, 1:12{d@1:13 1:16=e}], f@1:21 1:24=}}"},
		{"\xC3\xA4: \xC3\xB6 x\nb: c\n", "1:1{\xC3\xA4@1:1 1:4=\xC3\xB6 x, b@2:1 2:4=c}"},
		{"a: |\n  x\n  y\n", "1:1{a@1:1 1:4='x\ny\n'}"},
		{"[]", "1:1[]"},
		{"{}", "1:1{}"},
		{"word", "1:1=word"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *got = parsed(cases[i].yaml, strlen(cases[i].yaml));

		assert_string_equal(got, cases[i].tree);
		free(got);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml;
		size_t len;
		const char *begin, *word;
	} cases[] = {
#define CASE(yaml, begin, word) {yaml, sizeof(yaml) - 1, begin, word}
		CASE("", "f:1:1: ", "empty"),
		CASE("# nothing\n", "f:2:1: ", "empty"),
		CASE("a: 1\nb: &x 2\n", "f:2:4: ", "anchors"),
		CASE("a: &x [1]\n", "f:1:4: ", "anchors"),
		CASE("a: &x {b: c}\n", "f:1:4: ", "anchors"),
		CASE("a: *x\n", "f:1:4: ", "aliases"),
		CASE("a: !!str x\n", "f:1:4: ", "tags"),
		CASE("a: ! x\n", "f:1:4: ", "tags"),
		CASE("? [a]\n: b\n", "f:1:3: ", "single word"),
		CASE("&k a: b\n", "f:1:1: ", "anchors"),
		CASE("a: b\n---\nc: d\n", "f:2:1: ", "second YAML document"),
		CASE("a: b\0c\n", "f:1:5: ", "NUL byte"),
		CASE("\xFF\xFE"
		     "a\0:\0",
			"f:1:4: ", "NUL byte"),
		CASE("x: y\na: \"b\\0c\"\n", "f:2:4: ", "NUL character"),
		CASE("a: b\nc: d\x01\n", "f:2:5: ", "not UTF-8"),
		CASE("a: \xFF\n", "f:1:4: ", "not UTF-8"),
		CASE("a: \xC3", "f:1:4: ", "not UTF-8"),
		CASE("a:\n\tb: c\n", "f:2:1: ", "tab"),
		CASE("a: b: c\n", "f:1:5: ", "not YAML"),
		CASE("a: [b, c\n", "f:2:1: ", "not YAML"),
		CASE("a: 'b\n", "f:2:1: ", "not YAML"),
		CASE("a: {b: \"c\"d}\n", "f:1:11: ", "not YAML"),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *got = parsed(cases[i].yaml, cases[i].len), *end = strchr(got, '\n');

		if (strncmp(got, cases[i].begin, strlen(cases[i].begin)) != 0 || strstr(got, cases[i].word) == NULL)
			fail_msg("case %zu: %s", i, got);
		assert_true(end != NULL && end[1] == '\0'); /* one sentence */
		free(got);
	}
}

/* All duplicates are found, and their text, which could be a password, is not told. */
static void test_duplicate_keys(void **state)
{
	static const char yaml[] = "a: 1\nb: {x: 1, secret: 2, secret: 3}\nc: 4\na: 5\na: 6\n";
	char *got = parsed(yaml, sizeof(yaml) - 1);

	(void)state;
	assert_non_null(strstr(got, "f:2:22: this key or name stands here twice, first in line 2"));
	assert_non_null(strstr(got, "f:4:1: this key or name stands here twice, first in line 1"));
	assert_non_null(strstr(got, "f:5:1: this key or name stands here twice, first in line 4"));
	assert_null(strstr(strstr(got, "f:"), "secret"));
	free(got);
}

static void test_depth(void **state)
{
	struct str text = {0};
	char *got;

	(void)state;
	for (int i = 0; i < YAML_MAX_DEPTH; i++)
		str_add_byte(&text, '[');
	for (int i = 0; i < YAML_MAX_DEPTH; i++)
		str_add_byte(&text, ']');
	got = parsed(text.data, text.len);
	assert_non_null(strstr(got, "1:32[]]"));
	free(got);

	str_clear(&text);
	for (int i = 0; i < 100000; i++)
		str_add_text(&text, "[");
	got = parsed(text.data, text.len);
	assert_non_null(strstr(got, "f:1:33: brackets and indentation are nested too deep"));
	free(got);
	str_done(&text);
}

/* Large files of hostile shape: linear time shows as a test that ends, memory is bounded by the file. */
static void test_large(void **state)
{
	struct str text = {0};
	char *got;

	(void)state;
	while (text.len < YAML_MAX_BYTES - 16) /* some 90 000 different keys */
		str_addf(&text, "k%zu: 1\n", text.len);
	got = parsed(text.data, text.len);
	assert_null(strstr(got, "f:"));
	free(got);

	str_clear(&text); /* one line of 1 MB */
	str_add_text(&text, "a: ");
	while (text.len < YAML_MAX_BYTES)
		str_add_byte(&text, 'x');
	got = parsed(text.data, text.len);
	assert_non_null(strstr(got, "1:1{a@1:1 1:4=xxx"));
	free(got);

	str_add_byte(&text, 'x');
	got = parsed(text.data, text.len);
	assert_non_null(strstr(got, "larger than 1048576 bytes"));
	free(got);
	str_done(&text);
}

static void test_truncated(void **state)
{
	static const char yaml[] = "\xEF\xBB\xBF# c\r\ndefaults: {poll_every: 5m}\nlist:\n  - {a: \"b\\n\\x41\", c: [d, 'e']}\n  - >\n    folded\n   "
				   " text\nk\xC3\xA4: v\n";

	(void)state;
	for (size_t len = 0; len < sizeof(yaml); len++)
		free(parsed(yaml, len)); /* asserts: a tree or a problem */
}

static void test_items(void **state)
{
	struct problems problems = {.file = "f"};
	static const char yaml[] = "{a: [x, y], b: z, c: , d: ~, e: \"~\"}";
	struct node *root = yaml_parse(yaml, sizeof(yaml) - 1, &problems);
	const struct node *a, *b, *c, *d, *e;

	(void)state;
	assert_non_null(root);
	a = root->first;
	b = a->next;
	c = b->next;
	d = c->next;
	e = d->next;
	assert_string_equal(node_item(a, 1)->text, "y");
	assert_null(node_item(a, 2));
	assert_ptr_equal(node_item(b, 0), b);
	assert_true(node_is_null(c));
	assert_true(node_is_null(d));
	assert_false(node_is_null(e));
	assert_false(node_is_null(a));
	node_free(root);
}

/* Problems come in the order of the file; of too many the number is told. */
static void test_problems(void **state)
{
	struct problems problems = {.file = "f"};
	char *told = NULL;
	size_t len;
	FILE *out = open_memstream(&told, &len);

	(void)state;
	assert_non_null(out);
	problems_add(&problems, (struct place){3, 1}, "third");
	problems_add(&problems, (struct place){1, 9}, "second");
	problems_add(&problems, (struct place){1, 2}, "first\x1b[2J\n");
	problems_add(&problems, (struct place){3, 1}, "fourth");
	problems_add(&problems, (struct place){0}, "whole");
	for (int i = 0; i < PROBLEMS_MAX; i++)
		problems_add(&problems, (struct place){9, 9}, "more");
	problems_print(&problems, out);
	fclose(out);
	problems_done(&problems);
	assert_int_equal(strncmp(told, "f: whole\nf:1:2: first?[2J?\nf:1:9: second\nf:3:1: third\nf:3:1: fourth\nf:9:9: more\n", 80), 0);
	assert_non_null(strstr(told, "\nf: and 5 more errors\n"));
	free(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_duplicate_keys),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_problems),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
