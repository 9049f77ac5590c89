#include "config/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "base/str.h"
#include "config/code.h"
#include "config/config.h"
#include "config/endpoint.h"
#include "config/schema.h"
#include "config/yaml.h"

/* A configuration means the same whatever the current directory is, so a path says what it is relative to. */
static char *resolve_path(const char *name, const struct node *node, struct reading *reading)
{
	const char *text = value_text(name, node, false, reading);
	char *path;

	if (text == NULL)
		return NULL;
	if (text[0] == '/')
		return xstrdup(text);
	if (strncmp(text, "./", 2) == 0)
		return xasprintf("%s%s", reading->base_dir, text + 1);
	if (strncmp(text, "~/", 2) == 0) {
		path = fs_expand_home(text);
		if (path == NULL)
			problems_add(reading->problems, node->at, "%s: nobody knows a home directory for '~'; write the whole path", name);
		return path;
	}
	problems_add(reading->problems, node->at, "%s: '%.80s' must begin with /, with ~/ (home directory) or with ./ (directory of this file)", name,
		text);
	return NULL;
}

static bool read_path(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	char *path = resolve_path(key->name, node, reading);

	if (path == NULL)
		return false;
	*(char **)value = path;
	return true;
}

static void print_path(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"string\", \"pattern\": \"^(/|~/|\\\\./)\"", out);
}

const struct value_type type_path = {read_path, value_encode_text, value_decode_text, value_clear_text, print_path};

/* As openssl and browsers print it: with or without colons, in either case. False: not 32 bytes in hex. */
static bool normalise_pin(char *pin)
{
	size_t used = 0;

	for (const char *at = pin; *at != '\0'; at++) {
		if (*at == ':' && used % 2 == 0)
			continue;
		if (!isxdigit((unsigned char)*at) || used == 2 * SHA256_BYTES)
			return false;
		pin[used++] = (char)(*at >= 'A' && *at <= 'F' ? *at + 32 : *at);
	}
	pin[used] = '\0';
	return used == 2 * SHA256_BYTES;
}

static bool read_pins(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	char **pins = value_list(key->name, node, false, NULL, reading);

	for (size_t i = 0; pins != NULL && pins[i] != NULL; i++)
		if (!normalise_pin(pins[i])) {
			problems_add(reading->problems, node_item(node, i)->at,
				"%s must be the SHA-256 of a public key: 64 hexadecimal digits ('mailhaul check' shows it)", key->name);
			strv_free(pins);
			return false;
		}
	if (pins == NULL)
		return false;
	*(char ***)value = pins;
	return true;
}

static void print_pins(const struct schema_key *key, FILE *out)
{
	static const char one[] = "{\"type\": \"string\", \"pattern\": \"^([0-9A-Fa-f]{2}:?){32}$\"}";

	(void)key;
	fprintf(out, "\"anyOf\": [%s, {\"type\": \"array\", \"items\": %s, \"minItems\": 1}]", one, one);
}

const struct value_type type_pins = {read_pins, value_encode_list, value_decode_list, value_clear_list, print_pins};

static bool read_endpoint(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading), *wrong;

	if (text == NULL)
		return false;
	if (text[0] == '/' && (key->flags & KEY_UNIX) == 0)
		wrong = "is a path; write a host name";
	else
		wrong = endpoint_parse(text, value);
	if (wrong != NULL)
		problems_add(reading->problems, node->at, "%s: '%.80s' %s", key->name, text, wrong);
	return wrong == NULL;
}

static void encode_endpoint(const struct schema_key *key, const void *value, struct str *out)
{
	const struct endpoint *endpoint = value;

	(void)key;
	encode_text(out, endpoint->host);
	encode_u32(out, endpoint->port);
	encode_text(out, endpoint->path);
}

static bool decode_endpoint(const struct schema_key *key, struct decoder *in, void *value)
{
	struct endpoint *endpoint = value;
	uint32_t port;

	if (!decode_text(in, false, &endpoint->host) || !decode_u32(in, UINT16_MAX, &port) || !decode_text(in, false, &endpoint->path))
		return false;
	endpoint->port = (uint16_t)port;
	if (endpoint->path != NULL)
		return endpoint->host == NULL && (key->flags & KEY_UNIX) != 0;
	return endpoint->host != NULL && port != 0;
}

static void clear_endpoint(void *value)
{
	endpoint_clear(value);
}

static void print_endpoint(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"string\"", out);
}

const struct value_type type_endpoint = {read_endpoint, encode_endpoint, decode_endpoint, clear_endpoint, print_endpoint};

static bool read_literal(const struct node *node, struct reading *reading, struct password *password)
{
	size_t len = strlen(node->text);

	if (node_is_null(node) || len == 0)
		problems_add(reading->problems, node->at, "password has no value");
	else if (len > SECRET_MAX_BYTES)
		problems_add(reading->problems, node->at, "the password is longer than %d bytes", SECRET_MAX_BYTES);
	else if (strpbrk(node->text, "\r\n") != NULL)
		problems_add(reading->problems, node->at, "the password holds a line break; no server accepts one");
	else {
		reading->literal_password = true;
		*password = (struct password){.kind = PASSWORD_LITERAL, .literal = secret_new(node->text, len)};
		return true;
	}
	return false;
}

static bool is_variable(const char *name)
{
	return !isdigit((unsigned char)name[0]) && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static bool read_named(const struct node *node, struct reading *reading, enum password_kind kind, struct password *password)
{
	const char *text = value_text(node->key, node, false, reading);

	if (text == NULL)
		return false;
	if (kind == PASSWORD_ENV && !is_variable(text)) {
		problems_add(reading->problems, node->at, "env must name an environment variable (letters, digits and _)");
		return false;
	}
	if (kind == PASSWORD_CREDENTIAL && (text[0] == '.' || strchr(text, '/') != NULL)) {
		problems_add(reading->problems, node->at, "credential must be the ID in LoadCredential= of the systemd unit, not a path");
		return false;
	}
	*password = (struct password){.kind = kind, .name = xstrdup(text)};
	return true;
}

/* What stands here is never quoted: an unquoted password that begins with a brace looks like a map. */
static bool read_password(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const struct node *entry = node->first;
	struct password *password = value;
	char **argv, *path;

	(void)key;
	if (node->kind == NODE_TEXT)
		return read_literal(node, reading, password);
	if (node->kind == NODE_MAP && entry != NULL && entry->next == NULL) {
		if (strcmp(entry->key, "file") == 0) {
			path = resolve_path("file", entry, reading);
			if (path != NULL)
				*password = (struct password){.kind = PASSWORD_FILE, .name = path};
			return path != NULL;
		}
		if (strcmp(entry->key, "command") == 0) {
			argv = value_list("command", entry, true, NULL, reading);
			if (argv != NULL)
				*password = (struct password){.kind = PASSWORD_COMMAND, .command = argv};
			return argv != NULL;
		}
		if (strcmp(entry->key, "env") == 0)
			return read_named(entry, reading, PASSWORD_ENV, password);
		if (strcmp(entry->key, "credential") == 0)
			return read_named(entry, reading, PASSWORD_CREDENTIAL, password);
	}
	problems_add(reading->problems, node->at,
		"password must be a text (in quotes if it begins with { or [), or one of {file: PATH}, {command: [PROGRAM, ARGUMENT]}, {env: "
		"VARIABLE}, "
		"{credential: ID}");
	return false;
}

static void clear_password(void *value)
{
	struct password *password = value;

	secret_free(password->literal);
	free(password->name);
	strv_free(password->command);
	*password = (struct password){0};
}

static void print_password(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, \"additionalProperties\": "
	      "false, "
	      "\"properties\": {\"file\": {\"type\": \"string\"}, \"command\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}, "
	      "\"minItems\": 1}, "
	      "\"env\": {\"type\": \"string\"}, \"credential\": {\"type\": \"string\"}}}]",
		out);
}

const struct value_type type_password = {read_password, NULL, NULL, clear_password, print_password};

bool value_date(const char *text, int64_t *ret_seconds)
{
	static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned long long year, month, day;
	bool leap;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' || !parse_u64(text, 4, 9999, &year) || !parse_u64(text + 5, 2, 12, &month) ||
		!parse_u64(text + 8, 2, 31, &day) || year < 1970 || month == 0 || day == 0)
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (day > days[month - 1] + (month == 2 && leap ? 1 : 0))
		return false;
	*ret_seconds = clock_from_civil((int)year, (unsigned)month, (unsigned)day, 0, 0, 0);
	return true;
}

static bool read_first_run(const struct schema_key *key, const struct node *node, struct reading *reading, void *value)
{
	const char *text = value_text(key->name, node, false, reading);
	struct first_run_setting setting = {0};

	if (text == NULL)
		return false;
	if (strcmp(text, "new") == 0) {
		setting.what = FIRST_RUN_NEW;
	} else if (value_date(text, &setting.date_s)) {
		setting.what = FIRST_RUN_DATE;
	} else if (strcmp(text, "all") != 0) {
		problems_add(reading->problems, node->at, "%s must be all, new or a date like 2026-01-01, not '%.80s'", key->name, text);
		return false;
	}
	*(struct first_run_setting *)value = setting;
	return true;
}

static void encode_first_run(const struct schema_key *key, const void *value, struct str *out)
{
	const struct first_run_setting *setting = value;

	(void)key;
	encode_u32(out, setting->what);
	encode_u64(out, (uint64_t)setting->date_s);
}

static bool decode_first_run(const struct schema_key *key, struct decoder *in, void *value)
{
	struct first_run_setting *setting = value;
	uint32_t what;
	uint64_t date;

	(void)key;
	if (!decode_u32(in, FIRST_RUN_DATE, &what) || !decode_u64(in, &date) || date > INT64_MAX)
		return false;
	*setting = (struct first_run_setting){.what = what, .date_s = (int64_t)date};
	return true;
}

static void clear_first_run(void *value)
{
	*(struct first_run_setting *)value = (struct first_run_setting){0};
}

static void print_first_run(const struct schema_key *key, FILE *out)
{
	(void)key;
	fputs("\"type\": \"string\", \"pattern\": \"^(all|new|[0-9]{4}-[0-9]{2}-[0-9]{2})$\"", out);
}

const struct value_type type_first_run = {read_first_run, encode_first_run, decode_first_run, clear_first_run, print_first_run};
