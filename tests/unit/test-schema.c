/* With --print: writes config/schema.json to standard output instead of testing it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "config/config.h"
#include "config/endpoint.h"
#include "config/schema.h"
#include "config/value.h"
#include "config/yaml.h"

static const struct schema *const schemas[] = {&schema_top, &schema_mailbox, &schema_destination};

static char *printed(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	schema_print_json(out);
	fclose(out);
	return text;
}

/* The committed file cannot drift from the table. */
static void test_json_file(void **state)
{
	const char *top = getenv("abs_top_srcdir");
	char *path = xasprintf("%s/config/schema.json", top != NULL ? top : "."), *want = printed();
	char *got = xcalloc(strlen(want) + 2, 1);
	FILE *file = fopen(path, "r");

	(void)state;
	assert_non_null(file);
	assert_int_equal(fread(got, 1, strlen(want) + 1, file), strlen(want));
	if (strcmp(got, want) != 0)
		fail_msg("config/schema.json is not what the table says; run: tests/unit/test-schema --print > config/schema.json");
	fclose(file);
	free(got);
	free(want);
	free(path);
}

static void check_properties(json_t *defs, const char *name, const struct schema *schema, unsigned except)
{
	json_t *properties = json_object_get(json_object_get(defs, name), "properties");
	size_t expected = 0;

	assert_non_null(properties);
	for (size_t i = 0; i < schema->count; i++) {
		json_t *property = json_object_get(properties, schema->keys[i].name);

		if ((schema->keys[i].flags & except) != 0)
			continue;
		expected++;
		assert_non_null(property);
		assert_string_equal(json_string_value(json_object_get(property, "description")), schema->keys[i].doc);
		assert_int_equal(json_object_get(property, "default") != NULL, schema->keys[i].initial != NULL);
	}
	assert_int_equal(json_object_size(properties), expected);
}

static void test_json_is_complete(void **state)
{
	char *text = printed();
	json_error_t error;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error), *defs, *mailbox;

	(void)state;
	if (root == NULL)
		fail_msg("%d:%d: %s", error.line, error.column, error.text);
	defs = json_object_get(root, "$defs");
	check_properties(defs, "configuration", &schema_top, KEY_HIDDEN);
	check_properties(defs, "destination", &schema_destination, KEY_HIDDEN);
	check_properties(defs, "mailbox", &schema_mailbox, KEY_HIDDEN);
	check_properties(defs, "defaults", &schema_mailbox, KEY_HIDDEN | KEY_OWN);
	mailbox = json_object_get(json_object_get(defs, "mailbox"), "required");
	assert_int_equal(json_array_size(mailbox), 1); /* the others may come from the defaults */
	assert_string_equal(json_string_value(json_array_get(mailbox, 0)), "name");
	assert_int_equal(json_array_size(json_object_get(json_object_get(defs, "destination"), "oneOf")), 4);
	json_decref(root);
	free(text);
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t s = 0; s < ARRAY_SIZE(schemas); s++) {
		const struct schema *schema = schemas[s];

		for (size_t i = 0; i < schema->count; i++) {
			const struct schema_key *key = &schema->keys[i];
			struct problems problems = {.file = "table"};
			struct reading reading = {.problems = &problems, .base_dir = "/base"};
			char *initial = xstrdup(key->initial != NULL ? key->initial : "");
			struct node node = {.kind = NODE_TEXT, .text = initial};
			char *section = xcalloc(1, schema->size);

			assert_ptr_equal(schema_find(schema, key->name), key); /* no name twice */
			if ((key->flags & KEY_HIDDEN) == 0)
				assert_non_null(key->doc);
			assert_true(key->offset < schema->size);
			if (key->initial != NULL && !key->type->read(key, &node, &reading, section + key->offset))
				fail_msg("the default of '%s' is no value of its type", key->name);
			schema_clear(schema, section);
			free(section);
			free(initial);
		}
	}
}

struct outcome {
	struct mailbox_config mailbox;
	struct dest_config destination;
	struct schema_source source;
	char *told; /* problems, without the file name */
};

static void *read_section(const struct schema *schema, const char *yaml, struct outcome *ret)
{
	struct problems problems = {.file = ""};
	struct reading reading = {.problems = &problems, .base_dir = "/base"};
	void *section = schema == &schema_mailbox ? (void *)&ret->mailbox : (void *)&ret->destination;
	struct node *root = yaml_parse(yaml, strlen(yaml), &problems);
	size_t len;
	FILE *out;

	memset(ret, 0, sizeof(*ret));
	out = open_memstream(&ret->told, &len);
	assert_non_null(out);
	assert_non_null(root);
	if (schema == &schema_destination)
		ret->destination.name = xstrdup("d");
	schema_read(schema, root, NULL, &reading, section, &ret->source);
	problems_print(&problems, out);
	fclose(out);
	problems_done(&problems);
	node_free(root);
	return section;
}

static void forget(struct outcome *outcome)
{
	schema_clear(&schema_mailbox, &outcome->mailbox);
	schema_clear(&schema_destination, &outcome->destination);
	free(outcome->told);
}

#define MAILBOX "name: n\nuser: u\npassword: p\ndeliver_to: d\n"
#define IMAP MAILBOX "imap: h\n"

static void test_numbers(void **state)
{
	static const struct {
		const char *yaml;
		uint64_t value; /* UINT64_MAX: refused */
		size_t offset, size;
	} cases[] = {
#define CASE(yaml, value, field) {yaml, value, offsetof(struct mailbox_config, field), sizeof(((struct mailbox_config *)NULL)->field)}
		CASE("", 300, poll_every_s),
		CASE("poll_every: 90s", 90, poll_every_s),
		CASE("poll_every: 5m", 300, poll_every_s),
		CASE("poll_every: 1 h", 3600, poll_every_s),
		CASE("poll_every: 14d", 14 * 86400, poll_every_s),
		CASE("poll_every: 2W", 14 * 86400, poll_every_s),
		CASE("poll_every: 31d", 31 * 86400, poll_every_s),
		CASE("poll_every: 32d", UINT64_MAX, poll_every_s),
		CASE("poll_every: 9s", UINT64_MAX, poll_every_s),
		CASE("poll_every: 5", UINT64_MAX, poll_every_s),
		CASE("poll_every: m", UINT64_MAX, poll_every_s),
		CASE("poll_every: -5m", UINT64_MAX, poll_every_s),
		CASE("poll_every: 5  m", UINT64_MAX, poll_every_s),
		CASE("poll_every: 5m3s", UINT64_MAX, poll_every_s),
		CASE("poll_every: 1.5h", UINT64_MAX, poll_every_s),
		CASE("poll_every: 18446744073709551616s", UINT64_MAX, poll_every_s),
		CASE("poll_every: 307445734561825861m", UINT64_MAX, poll_every_s), /* times 60 is 44 modulo 2^64 */
		CASE("poll_every: [5m]", UINT64_MAX, poll_every_s),
		CASE("", 150 << 20, max_message),
		CASE("max_message: 1", 1, max_message),
		CASE("max_message: 10MB", 10000000, max_message),
		CASE("max_message: 150 MiB", 150 << 20, max_message),
		CASE("max_message: 3kb", 3000, max_message),
		CASE("max_message: 1024GiB", UINT64_C(1) << 40, max_message),
		CASE("max_message: 1025GiB", UINT64_MAX, max_message),
		CASE("max_message: 17179869185GiB", UINT64_MAX, max_message), /* 2^64 + 1 GiB */
		CASE("max_message: 0", UINT64_MAX, max_message),
		CASE("max_message: 10M", UINT64_MAX, max_message),
		CASE("max_message: MiB", UINT64_MAX, max_message),
		CASE("", 0, max_messages),
		CASE("max_messages: 1000000", 1000000, max_messages),
		CASE("max_messages: 1000001", UINT64_MAX, max_messages),
		CASE("max_messages: 0", UINT64_MAX, max_messages),
		CASE("max_messages: 1e3", UINT64_MAX, max_messages),
		CASE("timeout: 1h", 3600, server.timeout_s),
		CASE("timeout: 61m", UINT64_MAX, server.timeout_s),
		CASE("", true, enabled),
		CASE("enabled: no", false, enabled),
		CASE("enabled: TRUE", true, enabled),
		CASE("enabled: False", false, enabled),
		CASE("enabled: 1", UINT64_MAX, enabled),
		CASE("enabled:", UINT64_MAX, enabled),
		CASE("", TLS_IMPLICIT, server.endpoint.tls),
		CASE("tls: starttls", TLS_STARTTLS, server.endpoint.tls),
		CASE("tls: none", TLS_NONE, server.endpoint.tls),
		CASE("tls: STARTTLS", UINT64_MAX, server.endpoint.tls),
		CASE("tls: ''", UINT64_MAX, server.endpoint.tls),
		CASE("", AUTH_DEFAULT, server.auth),
		CASE("auth: xoauth2", AUTH_XOAUTH2, server.auth),
		CASE("auth: cram-md5", UINT64_MAX, server.auth),
		CASE("", FIRST_RUN_ALL, first_run.what),
		CASE("first_run: new", FIRST_RUN_NEW, first_run.what),
		CASE("first_run: 2026-01-01", 1767225600, first_run.date_s),
		CASE("first_run: 2024-02-29", 1709164800, first_run.date_s),
		CASE("first_run: 2026-02-29", UINT64_MAX, first_run.what),
		CASE("first_run: 2100-02-29", UINT64_MAX, first_run.what),
		CASE("first_run: 2026-13-01", UINT64_MAX, first_run.what),
		CASE("first_run: 2026-00-01", UINT64_MAX, first_run.what),
		CASE("first_run: 2026-04-31", UINT64_MAX, first_run.what),
		CASE("first_run: 2026-1-1", UINT64_MAX, first_run.what),
		CASE("first_run: 1969-12-31", UINT64_MAX, first_run.what),
		CASE("first_run: none", UINT64_MAX, first_run.what),
		CASE("", REFUSE_HOLD, on_refuse.what),
		CASE("on_refuse: hold", REFUSE_HOLD, on_refuse.what),
		CASE("on_refuse: delete", REFUSE_DELETE, on_refuse.what),
		CASE("on_refuse: {deliver_to: spam}", REFUSE_DELIVER_TO, on_refuse.what),
		CASE("on_refuse: {deliver_to: '-'}", UINT64_MAX, on_refuse.what),
		CASE("on_refuse: {deliver_to: [a]}", UINT64_MAX, on_refuse.what),
		CASE("on_refuse: {deliver_to: a, b: c}", UINT64_MAX, on_refuse.what),
		CASE("on_refuse: {move_to: a}", UINT64_MAX, on_refuse.what),
		CASE("on_refuse: keep", UINT64_MAX, on_refuse.what),
		CASE("on_refuse: []", UINT64_MAX, on_refuse.what),
		CASE("", DISPOSE_KEEP, after_delivery.what),
		CASE("after_delivery: mark_seen", DISPOSE_MARK_SEEN, after_delivery.what),
		CASE("after_delivery: {move_to: Done}", DISPOSE_MOVE, after_delivery.what),
		CASE("after_delivery: {move_to: 'D*'}", UINT64_MAX, after_delivery.what),
		CASE("after_delivery: {delete_after: 14d}", DISPOSE_DELETE, after_delivery.what),
		CASE("after_delivery: {delete_after: 14d}", 14 * 86400, after_delivery.retention_s),
		CASE("after_delivery: {delete_after: 0s}", DISPOSE_DELETE, after_delivery.what),
		CASE("after_delivery: {delete_after: 0s}", 0, after_delivery.retention_s),
		CASE("after_delivery: {delete_after: 3651d}", UINT64_MAX, after_delivery.what),
		CASE("after_delivery: {delete_after: 14}", UINT64_MAX, after_delivery.what),
		CASE("after_delivery: {delete_after: 14d, move_to: a}", UINT64_MAX, after_delivery.what),
		CASE("after_delivery: move_to", UINT64_MAX, after_delivery.what),
		CASE("after_delivery: {move_to: a, b: c}", UINT64_MAX, after_delivery.what),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *yaml = xasprintf(IMAP "%s\n", cases[i].yaml);
		struct outcome outcome;
		char *section = read_section(&schema_mailbox, yaml, &outcome);
		uint64_t value = 0;

		memcpy(&value, section + cases[i].offset, cases[i].size); /* little-endian, or this test says so */
		if (cases[i].value == UINT64_MAX && strncmp(outcome.told, ":6:", 3) != 0)
			fail_msg("%s: no problem in line 6, but: %s", cases[i].yaml, outcome.told);
		if (cases[i].value != UINT64_MAX && (value != cases[i].value || outcome.told[0] != '\0'))
			fail_msg("%s: %llu %s", cases[i].yaml, (unsigned long long)value, outcome.told);
		forget(&outcome);
		free(yaml);
	}
}

static void test_texts(void **state)
{
	static const struct {
		const char *yaml, *word; /* what the problem says; NULL: it is fine */
	} cases[] = {
		{"folders: Work", NULL},
		{"folders: [A, 'B C', \"\xC3\x84\"]", NULL},
		{"folders: []", "empty list"},
		{"folders: [A, '']", "empty"},
		{"folders: [A, [B]]", "single text"},
		{"folders: {A: B}", "list in brackets"},
		{"folders: \"A\\nB\"", "control character"},
		{"folders: \"A\\rB\"", "control character"},
		{"folders: \"A\\x7F\"", "control character"},
		{"folders: \"A\\x85\"", "control character"},
		{"folders: 'INBOX.*'", "patterns"},
		{"folders: '\\Junk'", "by name"},
		{"folders: '!Junk'", "by name"},
		{"recipients: a@b.example", NULL},
		{"recipients: [a@b.example, c]", NULL},
		{"recipients: 'a b@c'", "no mail address"},
		{"recipients: '<a@b.example>'", "no mail address"},
		{"recipients: '-f'", "no mail address"},
		{"sender: ''", NULL},
		{"sender: <>", NULL},
		{"sender: a@b.example", NULL},
		{"sender: 'a b'", "no mail address"},
		{"ca_file: /a", NULL},
		{"ca_file: a", "must begin with"},
		{"ca_file: ../a", "must begin with"},
		{"ca_file: ~anna/a", "must begin with"},
		{"pin_sha256: 0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", NULL},
		{"pin_sha256: 01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef", NULL},
		{"pin_sha256: 0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcde", "64 hexadecimal"},
		{"pin_sha256: 0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef0", "64 hexadecimal"},
		{"pin_sha256: 0:123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef", "64 hexadecimal"},
		{"pin_sha256: [g]", "64 hexadecimal"},
		{"deliver_to: [a, -b]", "is no name"},
		{"folder: Work", "did you mean 'folders'"},
		{"pol_every: 5m", "did you mean 'poll_every'"},
		{"filter: x", "has no key 'filter' in this version"},
		{"ca_pem: x", "has no key 'ca_pem'"},
		{"pop3: h", "exclude each other"},
		{"smtp: h", "a mailbox cannot be 'smtp', only one of imap, pop3"},
	};
	struct outcome outcome;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* Without the line that the case writes itself. */
		bool delivers = strncmp(cases[i].yaml, "deliver_to", 10) == 0;
		char *yaml = xasprintf("name: n\nuser: u\npassword: p\nimap: h\n%s%s\n", delivers ? "" : "deliver_to: d\n", cases[i].yaml);

		read_section(&schema_mailbox, yaml, &outcome);
		if (cases[i].word == NULL && outcome.told[0] != '\0')
			fail_msg("%s: %s", cases[i].yaml, outcome.told);
		if (cases[i].word != NULL && strstr(outcome.told, cases[i].word) == NULL)
			fail_msg("%s: %s", cases[i].yaml, outcome.told);
		forget(&outcome);
		free(yaml);
	}
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *text, *host, *path; /* both NULL: refused */
		unsigned port;
		bool is_local;
	} cases[] = {
		{"imap.example.org", "imap.example.org", NULL, 0, false},
		{"IMAP.Example.org:1", "imap.example.org", NULL, 1, false},
		{"a_b-c.example:65535", "a_b-c.example", NULL, 65535, false},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", NULL, 0, false},
		{"localhost", "localhost", NULL, 0, true},
		{"LocalHost:10993", "localhost", NULL, 10993, true},
		{"127.0.0.1", "127.0.0.1", NULL, 0, true},
		{"127.255.0.9:25", "127.255.0.9", NULL, 25, true},
		{"128.0.0.1", "128.0.0.1", NULL, 0, false},
		{"[::1]", "::1", NULL, 0, true},
		{"[::1]:993", "::1", NULL, 993, true},
		{"[2001:DB8::1]:993", "2001:db8::1", NULL, 993, false},
		{"localhost.example.org", "localhost.example.org", NULL, 0, false},
		{"127.0.0.1.example.org", "127.0.0.1.example.org", NULL, 0, false},
		{"/run/lmtp", NULL, "/run/lmtp", 0, true},
		{"", NULL, NULL, 0, false},
		{":993", NULL, NULL, 0, false},
		{"host:", NULL, NULL, 0, false},
		{"host:0", NULL, NULL, 0, false},
		{"host:65536", NULL, NULL, 0, false},
		{"host:imap", NULL, NULL, 0, false},
		{"host:-1", NULL, NULL, 0, false},
		{"host: 1", NULL, NULL, 0, false},
		{"::1", NULL, NULL, 0, false},
		{"2001:db8::1", NULL, NULL, 0, false},
		{"[::1", NULL, NULL, 0, false},
		{"[::1]x", NULL, NULL, 0, false},
		{"[host]", NULL, NULL, 0, false},
		{"[::1]:", NULL, NULL, 0, false},
		{"imaps://host", NULL, NULL, 0, false},
		{"host/", NULL, NULL, 0, false},
		{"ho st", NULL, NULL, 0, false},
		{"host..example", NULL, NULL, 0, false},
		{".host", NULL, NULL, 0, false},
		{"host.", NULL, NULL, 0, false},
		{"-host", NULL, NULL, 0, false},
		{"user@host", NULL, NULL, 0, false},
		{"127.1", NULL, NULL, 0, false},
		{"300.1.1.1", NULL, NULL, 0, false},
		{"b\xC3\xBC"
		 "cher.example",
			NULL, NULL, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint endpoint = {.tls = TLS_STARTTLS};
		const char *wrong = endpoint_parse(cases[i].text, &endpoint);

		assert_int_equal(endpoint.tls, TLS_STARTTLS);
		if ((wrong != NULL) != (cases[i].host == NULL && cases[i].path == NULL))
			fail_msg("%s: %s", cases[i].text, wrong != NULL ? wrong : "fine");
		if (wrong != NULL)
			continue;
		if (cases[i].path != NULL)
			assert_string_equal(endpoint.path, cases[i].path);
		else
			assert_string_equal(endpoint.host, cases[i].host);
		assert_int_equal(endpoint.port, cases[i].port);
		assert_int_equal(endpoint_is_local(&endpoint), cases[i].is_local);
		endpoint_clear(&endpoint);
	}
}

static void test_long_endpoints(void **state)
{
	struct endpoint endpoint = {0};
	struct str text = {0};

	(void)state;
	for (int i = 0; i < 63; i++)
		str_add_byte(&text, 'a');
	assert_null(endpoint_parse(text.data, &endpoint));
	endpoint_clear(&endpoint);
	str_add_byte(&text, 'a');
	assert_non_null(endpoint_parse(text.data, &endpoint));
	str_clear(&text);
	for (int i = 0; i < 127; i++)
		str_add_text(&text, "a.");
	assert_non_null(endpoint_parse(text.data, &endpoint));
	text.data[text.len - 1] = '\0'; /* 253 bytes */
	assert_null(endpoint_parse(text.data, &endpoint));
	endpoint_clear(&endpoint);
	str_clear(&text);
	while (text.len < 107)
		str_add_byte(&text, '/');
	assert_null(endpoint_parse(text.data, &endpoint));
	endpoint_clear(&endpoint);
	str_add_byte(&text, '/');
	assert_non_null(endpoint_parse(text.data, &endpoint));
	str_done(&text);
}

/* Each way to write a password; and none of the wrong ones is told again. */
static void test_passwords(void **state)
{
	static const struct {
		const char *yaml;
		enum password_kind kind;
		const char *value;
	} cases[] = {
		{"password: hunter2", PASSWORD_LITERAL, "hunter2"},
		{"password: 12345", PASSWORD_LITERAL, "12345"},
		{"password: \" p%^\\\"\\\\\\t\xC3\xBC\"", PASSWORD_LITERAL, " p%^\"\\\t\xC3\xBC"},
		{"password: {file: /etc/pw}", PASSWORD_FILE, "/etc/pw"},
		{"password: {file: ./pw}", PASSWORD_FILE, "/base/pw"},
		{"password: {env: MY_PW}", PASSWORD_ENV, "MY_PW"},
		{"password: {credential: isp-one}", PASSWORD_CREDENTIAL, "isp-one"},
		{"password: {command: [pass, show]}", PASSWORD_COMMAND, "pass"},
		{"password:", PASSWORD_NONE, NULL},
		{"password: ''", PASSWORD_NONE, NULL},
		{"password: \"hunter\\n2\"", PASSWORD_NONE, NULL},
		{"password: \"hunter\\r2\"", PASSWORD_NONE, NULL},
		{"password: {hunter2}", PASSWORD_NONE, NULL},
		{"password: {hunter2: x}", PASSWORD_NONE, NULL},
		{"password: [hunter2]", PASSWORD_NONE, NULL},
		{"password: {}", PASSWORD_NONE, NULL},
		{"password: {file: /a, env: B}", PASSWORD_NONE, NULL},
		{"password: {file: }", PASSWORD_NONE, NULL},
		{"password: {file: pw}", PASSWORD_NONE, NULL},
		{"password: {env: 'A B'}", PASSWORD_NONE, NULL},
		{"password: {env: 1A}", PASSWORD_NONE, NULL},
		{"password: {credential: ../x}", PASSWORD_NONE, NULL},
		{"password: {credential: .x}", PASSWORD_NONE, NULL},
		{"password: {command: pass}", PASSWORD_NONE, NULL},
		{"password: {command: []}", PASSWORD_NONE, NULL},
		{"password: {oauth2: google}", PASSWORD_NONE, NULL},
	};
	struct outcome outcome;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *yaml = xasprintf("name: n\nuser: u\nimap: h\ndeliver_to: d\n%s\n", cases[i].yaml);
		const struct password *password = &outcome.mailbox.server.password;

		read_section(&schema_mailbox, yaml, &outcome);
		assert_int_equal(password->kind, cases[i].kind);
		assert_int_equal(cases[i].kind == PASSWORD_NONE, outcome.told[0] != '\0');
		assert_null(strstr(outcome.told, "hunter"));
		if (password->kind == PASSWORD_LITERAL)
			assert_string_equal(secret_bytes(password->literal), cases[i].value);
		else if (password->kind == PASSWORD_COMMAND)
			assert_string_equal(password->command[0], cases[i].value);
		else if (password->kind != PASSWORD_NONE)
			assert_string_equal(password->name, cases[i].value);
		forget(&outcome);
		free(yaml);
	}
}

static void test_password_length(void **state)
{
	struct outcome outcome;
	struct str yaml = {0};

	(void)state;
	str_add_text(&yaml, "name: n\nuser: u\nimap: h\ndeliver_to: d\npassword: ");
	for (int i = 0; i < SECRET_MAX_BYTES; i++)
		str_add_byte(&yaml, 'x');
	read_section(&schema_mailbox, yaml.data, &outcome);
	assert_string_equal(outcome.told, "");
	forget(&outcome);
	str_add_byte(&yaml, 'x');
	read_section(&schema_mailbox, yaml.data, &outcome);
	assert_non_null(strstr(outcome.told, "longer than 16384 bytes"));
	forget(&outcome);
	str_done(&yaml);
}

static void test_destinations(void **state)
{
	static const struct {
		const char *yaml, *told; /* "": it is fine */
		enum dest_kind kind;
	} cases[] = {
		{"maildir: /m", "", DEST_MAILDIR},
		{"lmtp: /s", "", DEST_LMTP},
		{"{smtp: h, user: u, password: p, recipient: [a, b], sender: <>}", "", DEST_SMTP},
		{"mda: [/bin/x, '{recipient}']", "", DEST_MDA},
		{"recipient: a", ":1:1: a destination needs one of the keys smtp, lmtp, maildir, mda\n", 0},
		{"{smtp: h, lmtp: h}", ":1:11: 'smtp' and 'lmtp' exclude each other; remove one of them\n", 0},
		{"{maildir: /m, recipient: a}", ":1:15: 'recipient' has no meaning beside 'maildir'; remove it\n", DEST_MAILDIR},
		{"{mda: [/x], tls: none}", ":1:13: 'tls' has no meaning beside 'mda'; remove it\n", DEST_MDA},
		{"mda: /bin/x", ":1:6: mda must be a list in brackets: mda: [first, second]\n", DEST_MDA},
		{"imap: h", ":1:1: a destination cannot be 'imap', only one of smtp, lmtp, maildir, mda\n", 0},
		{"maildr: /m", ":1:1: a destination has no key 'maildr'; did you mean 'maildir'?\n", 0},
		{"name: x\nmaildir: /m", ":1:1: a destination has no key 'name' in this version; remove it\n", DEST_MAILDIR},
		{"[a]", ":1:1: a destination must be written as keys with values, like 'key: value'\n", 0},
		{"mda: [/x, {recipient}]", ":1:11: mda must be a single text; if it is meant to begin with {, put it in quotes\n", DEST_MDA},
	};
	struct outcome outcome;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		read_section(&schema_destination, cases[i].yaml, &outcome);
		assert_string_equal(outcome.told, cases[i].told);
		assert_int_equal(outcome.destination.kind, cases[i].kind);
		forget(&outcome);
	}
}

static void test_nearest(void **state)
{
	static const char *const words[] = {"poll_every", "push", "pop3", "tls", "user"};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{"poll_evrey", "poll_every"},
		{"pollevery", "poll_every"},
		{"poll-every", "poll_every"},
		{"pop", "pop3"},
		{"pop2", "pop3"},
		{"TLS", "tls"},
		{"username", NULL},
		{"usr", "user"},
		{"filter", NULL},
		{"x", NULL},
		{"", NULL},
		{"tsl", "tls"},
	};
	char longest[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *got = config_nearest(cases[i].word, words, ARRAY_SIZE(words));

		if ((got == NULL) != (cases[i].nearest == NULL) || (got != NULL && strcmp(got, cases[i].nearest) != 0))
			fail_msg("%s: %s", cases[i].word, got != NULL ? got : "nothing");
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(config_nearest(longest, words, ARRAY_SIZE(words)));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_file),
		cmocka_unit_test(test_json_is_complete),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_long_endpoints),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_password_length),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_nearest),
	};

	if (argc == 2 && strcmp(argv[1], "--print") == 0) {
		schema_print_json(stdout);
		return ferror(stdout) != 0;
	}
	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
