#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/secret.h"

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *bytes;
	size_t len;
	struct problems *problems;
};

static void wipe_text(char *text)
{
	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
}

void node_free(struct node *node)
{
	if (node == NULL)
		return;
	for (struct node *child = node->first, *next; child != NULL; child = next) {
		next = child->next;
		node_free(child);
	}
	wipe_text(node->text);
	wipe_text(node->key);
	free(node);
}

bool node_is_null(const struct node *node)
{
	return node->kind == NODE_TEXT && node->plain && (node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

const struct node *node_item(const struct node *node, size_t index)
{
	if (node->kind != NODE_LIST)
		return node;
	node = node->first;
	while (index-- != 0 && node != NULL)
		node = node->next;
	return node;
}

static struct place place_of(yaml_mark_t mark)
{
	return (struct place){.line = (unsigned)mark.line + 1, .column = (unsigned)mark.column + 1};
}

/* For what is found in the bytes before libyaml has counted lines. */
static struct place place_of_offset(const char *bytes, size_t offset)
{
	struct place at = {1, 1};

	for (size_t i = 0; i < offset; i++) {
		if (bytes[i] == '\n')
			at = (struct place){at.line + 1, 1};
		else if (((unsigned char)bytes[i] & 0xC0) != 0x80) /* not the rest of a UTF-8 character */
			at.column++;
	}
	return at;
}

static bool is_indented_by_tab(const struct reader *reader, size_t line)
{
	const char *at = reader->bytes, *end = at + reader->len;

	while (line-- != 0 && at != NULL && at < end) {
		at = memchr(at, '\n', (size_t)(end - at));
		if (at != NULL)
			at++;
	}
	while (at != NULL && at < end && *at == ' ')
		at++;
	return at != NULL && at < end && *at == '\t';
}

static bool report_parser(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	struct place at = place_of(parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR)
		abort();
	if (parser->error == YAML_READER_ERROR) {
		size_t offset = parser->problem_offset < reader->len ? parser->problem_offset : reader->len;

		problems_add(reader->problems, place_of_offset(reader->bytes, offset),
			"this is not UTF-8 text (%s); save the file as UTF-8 without control characters", parser->problem);
	} else if (is_indented_by_tab(reader, parser->problem_mark.line)) {
		problems_add(reader->problems, at, "this line is indented with a tab; YAML wants spaces");
	} else {
		problems_add(reader->problems, at, "this is not YAML: %s%s%s; look at the indentation, colons, brackets and quotes up to here",
			parser->context != NULL ? parser->context : "", parser->context != NULL ? " " : "", parser->problem);
	}
	return false;
}

static void drop_event(struct reader *reader)
{
	if (reader->event.type == YAML_SCALAR_EVENT)
		secret_wipe(reader->event.data.scalar.value, reader->event.data.scalar.length);
	yaml_event_delete(&reader->event);
}

static bool next_event(struct reader *reader)
{
	drop_event(reader);
	return yaml_parser_parse(&reader->parser, &reader->event) || report_parser(reader);
}

static bool report_here(struct reader *reader, const char *text)
{
	problems_add(reader->problems, place_of(reader->event.start_mark), "%s", text);
	return false;
}

/* The event begins a node: is it one without anchor and tag, and not too deep? */
static bool check_event(struct reader *reader, unsigned depth)
{
	const yaml_event_t *event = &reader->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return report_here(reader,
			"aliases (*name) are not supported; write the value again, or put it under 'defaults' (quote a text that begins with *)");
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	default:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	}
	if (anchor != NULL)
		return report_here(reader, "anchors (&name) are not supported; remove it (quote a text that begins with &)");
	if (tag != NULL)
		return report_here(reader, "tags (!name) are not supported; remove it (quote a text that begins with !)");
	if (event->type == YAML_SCALAR_EVENT && strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
		return report_here(reader, "this text holds a NUL character; remove the \\0");
	if (depth >= YAML_MAX_DEPTH)
		return report_here(reader, "brackets and indentation are nested too deep");
	return true;
}

static int by_key(const void *left, const void *right)
{
	const struct node *a = *(const struct node *const *)left, *b = *(const struct node *const *)right;
	int order = strcmp(a->key, b->key);

	if (order != 0)
		return order;
	if (a->key_at.line != b->key_at.line)
		return a->key_at.line < b->key_at.line ? -1 : 1;
	return a->key_at.column < b->key_at.column ? -1 : a->key_at.column > b->key_at.column;
}

/* Sorts, since a hostile file may have 300 000 keys. The key is not quoted: inside of "password: {...}" it may be the password. */
static void report_duplicates(struct reader *reader, const struct node *map, size_t count)
{
	const struct node **sorted = xreallocarray(NULL, count, sizeof(*sorted));
	size_t n = 0;

	for (const struct node *child = map->first; child != NULL; child = child->next)
		sorted[n++] = child;
	qsort(sorted, n, sizeof(*sorted), by_key);
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
			problems_add(reader->problems, sorted[i]->key_at,
				"this key or name stands here twice, first in line %u; remove or rename one of them", sorted[i - 1]->key_at.line);
	free(sorted);
}

static struct node *read_node(struct reader *reader, unsigned depth);

/* Takes the key off the current event. */
static bool read_key(struct reader *reader, char **ret_key, struct place *ret_at)
{
	if (!check_event(reader, 0))
		return false;
	if (reader->event.type != YAML_SCALAR_EVENT)
		return report_here(reader, "a key must be a single word");
	*ret_key = xstrdup((const char *)reader->event.data.scalar.value);
	*ret_at = place_of(reader->event.start_mark);
	return true;
}

static bool read_children(struct reader *reader, struct node *parent, unsigned depth)
{
	yaml_event_type_t end = parent->kind == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct node **tail = &parent->first;
	size_t count = 0;

	while (next_event(reader) && reader->event.type != end) {
		struct place key_at = {0};
		char *key = NULL;

		if (parent->kind == NODE_MAP && !(read_key(reader, &key, &key_at) && next_event(reader))) {
			wipe_text(key);
			return false;
		}
		*tail = read_node(reader, depth + 1);
		if (*tail == NULL) {
			wipe_text(key);
			return false;
		}
		(*tail)->key = key;
		(*tail)->key_at = key_at;
		tail = &(*tail)->next;
		count++;
	}
	if (reader->event.type != end)
		return false;
	if (parent->kind == NODE_MAP)
		report_duplicates(reader, parent, count);
	return true;
}

/* The current event begins it; its last event is the current one afterwards. */
static struct node *read_node(struct reader *reader, unsigned depth)
{
	struct node *node;

	if (!check_event(reader, depth))
		return NULL;
	node = xcalloc(1, sizeof(*node));
	node->at = place_of(reader->event.start_mark);
	if (reader->event.type == YAML_SCALAR_EVENT) {
		node->kind = NODE_TEXT;
		node->plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		node->text = xstrdup((const char *)reader->event.data.scalar.value);
		return node;
	}
	node->kind = reader->event.type == YAML_MAPPING_START_EVENT ? NODE_MAP : NODE_LIST;
	if (read_children(reader, node, depth))
		return node;
	node_free(node);
	return NULL;
}

static struct node *read_document(struct reader *reader)
{
	struct node *root;

	/* A stream starts with its own event, then comes a document or the end. */
	if (!next_event(reader) || !next_event(reader))
		return NULL;
	if (reader->event.type == YAML_STREAM_END_EVENT) {
		report_here(reader, "the file is empty; it needs 'destinations' and 'mailboxes'");
		return NULL;
	}
	root = next_event(reader) ? read_node(reader, 0) : NULL;
	if (root == NULL)
		return NULL;
	/* The end of the document, then that of the stream. */
	if (next_event(reader) && next_event(reader) && reader->event.type == YAML_STREAM_END_EVENT)
		return root;
	if (reader->event.type == YAML_DOCUMENT_START_EVENT)
		report_here(reader, "a second YAML document begins here (---); put everything into one");
	node_free(root);
	return NULL;
}

struct node *yaml_parse(const char *bytes, size_t len, struct problems *problems)
{
	struct reader reader = {.problems = problems};
	const char *nul;
	struct node *root;

	if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) { /* libyaml would count it as a column */
		bytes += 3;
		len -= 3;
	}
	if (len > YAML_MAX_BYTES) {
		problems_add(problems, (struct place){0}, "the file is larger than %d bytes", YAML_MAX_BYTES);
		return NULL;
	}
	nul = len != 0 ? memchr(bytes, '\0', len) : NULL; /* libyaml takes it for the end of the file */
	if (nul != NULL) {
		problems_add(problems, place_of_offset(bytes, (size_t)(nul - bytes)), "the file holds a NUL byte; save it as UTF-8 text");
		return NULL;
	}
	reader.bytes = bytes;
	reader.len = len;
	if (!yaml_parser_initialize(&reader.parser))
		abort();
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, len);
	root = read_document(&reader);
	drop_event(&reader);
	yaml_parser_delete(&reader.parser);
	return root;
}
