#include "config/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "config/check.h"
#include "config/config.h"
#include "config/value.h"
#include "config/yaml.h"

static const struct value_word tls_words[] = {{"implicit", TLS_IMPLICIT}, {"starttls", TLS_STARTTLS}, {"none", TLS_NONE}, {NULL, 0}};
static const struct value_word auth_words[] = {
	{"plain", AUTH_PLAIN}, {"login", AUTH_LOGIN}, {"xoauth2", AUTH_XOAUTH2}, {"oauthbearer", AUTH_OAUTHBEARER}, {NULL, 0}};
static const struct value_word sandbox_words[] = {{"best", SANDBOX_BEST}, {"require", SANDBOX_REQUIRE}, {"off", SANDBOX_OFF}, {NULL, 0}};
static const struct value_word quirk_words[] = {{"no-pipelining", QUIRK_NO_PIPELINING}, {NULL, 0}};
static const struct value_word log_words[] = {{"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON}, {"journal", LOG_FORMAT_JOURNAL}, {NULL, 0}};

/* clang-format off */
#define FIELD(type, field) .offset = offsetof(type, field)

static const struct schema_key top_keys[] = {
	{.name = "defaults", .type = &type_section, .json = "\"$ref\": \"#/$defs/defaults\"",
	 .doc = "mailbox keys that hold for every mailbox which does not set them itself"},
	{.name = "destinations", .type = &type_section, .flags = KEY_REQUIRED,
	 .json = "\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": {\"$ref\": \"#/$defs/destination\"}",
	 .doc = "where mail goes, by a name of your choice"},
	{.name = "mailboxes", .type = &type_section, .flags = KEY_REQUIRED,
	 .json = "\"type\": \"array\", \"minItems\": 1, \"items\": {\"$ref\": \"#/$defs/mailbox\"}",
	 .doc = "where mail is hauled from"},
	{.name = "state_dir", .type = &type_path, FIELD(struct config, state_dir),
	 .doc = "directory of the state; /var/lib/mailhaul for a configuration under /etc, else ~/.local/state/mailhaul"},
	{.name = "run_as", .type = &type_text, FIELD(struct config, run_as), .initial = "mailhaul", .check = check_name,
	 .doc = "the user to become when started as root"},
	{.name = "sandbox", .type = &type_word, FIELD(struct config, sandbox), .initial = "best", .words = sandbox_words,
	 .doc = "seal workers as well as the kernel can, require all of it, or not at all"},
	{.name = "max_workers", .type = &type_count, FIELD(struct config, max_workers), .min = 1, .max = 1000,
	 .doc = "sessions at the same time; the number of mailboxes by default, at most 1000"},
	{.name = "max_per_host", .type = &type_count, FIELD(struct config, max_per_host), .initial = "10", .min = 1, .max = 1000,
	 .doc = "sessions at the same time with one server; a server on this machine has no such limit"},
	{.name = "log", .type = &type_word, FIELD(struct config, log_format), .words = log_words,
	 .doc = "form of the log; by default journal under systemd, else text"},
	{.name = "notify_command", .type = &type_argv, FIELD(struct config, notify_command),
	 .doc = "program and arguments that are run when something has become worse or better; what that is stands on its standard input"},
	{.name = "metrics_file", .type = &type_path, FIELD(struct config, metrics_file),
	 .doc = "file that says in the text format of Prometheus how the mailboxes are"},
};

/* Where and how to log in: the same for what mail comes from and goes to. */
#define SERVER_KEYS(section, kinds, login_flags) \
	{.name = "insecure", .type = &type_bool, FIELD(section, server.insecure), .for_kinds = kinds, .initial = "no", \
	 .doc = "yes allows tls: none beyond this machine; it never turns off the verification of certificates"}, \
	{.name = "user", .type = &type_text, FIELD(section, server.user), .for_kinds = kinds, .flags = login_flags, \
	 .doc = "the login name"}, \
	{.name = "password", .type = &type_password, FIELD(section, server.password), .for_kinds = kinds, .flags = login_flags, \
	 .doc = "the password or token: {file: PATH}, {command: [PROGRAM, ARGUMENT]}, {env: VARIABLE}, {credential: ID}, or the text itself"}, \
	{.name = "auth", .type = &type_word, FIELD(section, server.auth), .for_kinds = kinds, .words = auth_words, \
	 .doc = "how to log in, if not as the server offers it; with xoauth2 and oauthbearer the password is the token"}, \
	{.name = "ca_file", .type = &type_path, FIELD(section, server.ca_file), .for_kinds = kinds, \
	 .doc = "certificate authorities (PEM) to trust instead of those of the system"}, \
	{.name = "ca_pem", .type = &type_text, FIELD(section, server.ca_pem), .for_kinds = kinds, .flags = KEY_HIDDEN}, \
	{.name = "pin_sha256", .type = &type_pins, FIELD(section, server.pins), .for_kinds = kinds, \
	 .doc = "SHA-256 of the server's public key in hexadecimal, or a list; instead of the authorities, or on top of ca_file"}
#define TIMEOUT_KEY(section, kinds, words) \
	{.name = "timeout", .type = &type_duration, FIELD(section, server.timeout_s), .for_kinds = kinds, .min = 1, .max = 3600, .doc = words}

#define IMAP KINDS(PROTOCOL_IMAP)

static const struct schema_key mailbox_keys[] = {
	{.name = "name", .type = &type_text, FIELD(struct mailbox_config, name), .flags = KEY_REQUIRED | KEY_OWN, .check = check_name,
	 .doc = "what this mailbox is called in commands, logs and state; letters, digits and ._-"},
	{.name = "was", .type = &type_text, FIELD(struct mailbox_config, was), .flags = KEY_OWN, .check = check_name,
	 .doc = "its name before it was renamed; it keeps what is known about its messages, also when it has moved to another server"},
	{.name = "imap", .type = &type_endpoint, FIELD(struct mailbox_config, server.endpoint), .kind = PROTOCOL_IMAP,
	 .ports = {[TLS_IMPLICIT] = 993, [TLS_STARTTLS] = 143, [TLS_NONE] = 143},
	 .doc = "host or host:port of an IMAP server; port 993, or 143 without implicit TLS"},
	{.name = "pop3", .type = &type_endpoint, FIELD(struct mailbox_config, server.endpoint), .kind = PROTOCOL_POP3,
	 .ports = {[TLS_IMPLICIT] = 995, [TLS_STARTTLS] = 110, [TLS_NONE] = 110},
	 .doc = "host or host:port of a POP3 server; port 995, or 110 without implicit TLS"},
	{.name = "tls", .type = &type_word, FIELD(struct mailbox_config, server.endpoint.tls), .initial = "implicit", .words = tls_words,
	 .doc = "TLS from the first byte, after STARTTLS (mandatory), or none (on this machine only, else also insecure: yes)"},
	SERVER_KEYS(struct mailbox_config, 0, KEY_REQUIRED),
	TIMEOUT_KEY(struct mailbox_config, 0, "give up when nothing has moved for so long; by default each step has its own limit"),
	{.name = "folders", .type = &type_list, FIELD(struct mailbox_config, folders), .for_kinds = IMAP, .initial = "INBOX", .check = check_folder,
	 .doc = "IMAP folders to haul, by name"},
	{.name = "push", .type = &type_bool, FIELD(struct mailbox_config, push), .for_kinds = IMAP, .initial = "no",
	 .doc = "the daemon also waits for the server to announce new mail (NOTIFY, IDLE)"},
	{.name = "poll_every", .type = &type_duration, FIELD(struct mailbox_config, poll_every_s), .initial = "5m", .min = 10, .max = 31 * 86400,
	 .doc = "how often the daemon looks for new mail"},
	{.name = "first_run", .type = &type_first_run, FIELD(struct mailbox_config, first_run), .initial = "all",
	 .doc = "what to haul of the mail that is there at the beginning: all, new (none of it), or what has arrived since a date (UTC)"},
	{.name = "deliver_to", .type = &type_list, FIELD(struct mailbox_config, deliver_to), .flags = KEY_REQUIRED, .check = check_name,
	 .doc = "name of a destination, or a list; a message is done when all of them have it"},
	{.name = "after_delivery", .type = &type_after_delivery, FIELD(struct mailbox_config, after_delivery), .initial = "keep", .check = check_folder,
	 .doc = "what becomes of a message at the source: keep, delete, {delete_after: TIME}, mark_seen or {move_to: FOLDER}; the last two with IMAP only"},
	{.name = "on_refuse", .type = &type_on_refuse, FIELD(struct mailbox_config, on_refuse), .initial = "hold", .check = check_name,
	 .doc = "what becomes of a message that a destination refuses for its content: hold, {deliver_to: DESTINATION}, or delete"},
	{.name = "max_message", .type = &type_size, FIELD(struct mailbox_config, max_message), .initial = "150MiB", .min = 1, .max = UINT64_C(1) << 40,
	 .doc = "larger messages are held: they stay at the source and are listed by 'mailhaul held'"},
	{.name = "max_messages", .type = &type_count, FIELD(struct mailbox_config, max_messages), .min = 1, .max = 1000000,
	 .doc = "haul at most so many messages per session; no limit by default"},
	{.name = "recipients", .type = &type_list, FIELD(struct mailbox_config, recipients), .check = check_address,
	 .doc = "envelope recipients of this mailbox's mail, instead of those of the destinations"},
	{.name = "sender", .type = &type_text, FIELD(struct mailbox_config, sender), .flags = KEY_MAY_BE_EMPTY, .check = check_sender,
	 .doc = "envelope sender of this mailbox's mail, instead of that of the destinations; <> is the null sender"},
	{.name = "quirks", .type = &type_words, FIELD(struct mailbox_config, quirks), .words = quirk_words,
	 .doc = "what the server gets wrong; no-pipelining: it loses commands that are sent before the answer to the last one"},
	{.name = "enabled", .type = &type_bool, FIELD(struct mailbox_config, enabled), .initial = "yes",
	 .doc = "no leaves this mailbox alone"},
};

#define SERVERS (KINDS(DEST_SMTP) | KINDS(DEST_LMTP))

static const struct schema_key destination_keys[] = {
	{.name = "name", .type = &type_text, FIELD(struct dest_config, name), .flags = KEY_HIDDEN | KEY_REQUIRED},
	{.name = "was", .type = &type_text, FIELD(struct dest_config, was), .check = check_name,
	 .doc = "its name before it was renamed; what is still open for it goes to the new name"},
	{.name = "smtp", .type = &type_endpoint, FIELD(struct dest_config, server.endpoint), .kind = DEST_SMTP, .flags = KEY_UNIX,
	 .ports = {[TLS_IMPLICIT] = 465, [TLS_STARTTLS] = 587, [TLS_NONE] = 25},
	 .doc = "host, host:port or unix socket of an SMTP server; port 465 with implicit TLS, 587 with starttls, 25 without TLS"},
	{.name = "lmtp", .type = &type_endpoint, FIELD(struct dest_config, server.endpoint), .kind = DEST_LMTP, .flags = KEY_UNIX,
	 .ports = {[TLS_IMPLICIT] = 24, [TLS_STARTTLS] = 24, [TLS_NONE] = 24},
	 .doc = "unix socket, host or host:port of an LMTP server; port 24"},
	{.name = "maildir", .type = &type_path, FIELD(struct dest_config, path), .kind = DEST_MAILDIR,
	 .doc = "a Maildir of the user who runs mailhaul; created if missing"},
	{.name = "mda", .type = &type_argv, FIELD(struct dest_config, argv), .kind = DEST_MDA,
	 .doc = "program and arguments that take a message on standard input; \"{recipient}\" and \"{sender}\" stand for the envelope"},
	{.name = "tls", .type = &type_word, FIELD(struct dest_config, server.endpoint.tls), .for_kinds = SERVERS, .words = tls_words,
	 .doc = "as for mailboxes; by default none on this machine, else implicit"},
	SERVER_KEYS(struct dest_config, SERVERS, 0),
	TIMEOUT_KEY(struct dest_config, SERVERS | KINDS(DEST_MDA),
		"give up when nothing has moved for so long, or stop a program that has not ended (after 10 minutes by default)"),
	{.name = "recipient", .type = &type_list, FIELD(struct dest_config, recipients), .for_kinds = SERVERS | KINDS(DEST_MDA), .check = check_address,
	 .doc = "envelope recipient of what is delivered here, or a list"},
	{.name = "sender", .type = &type_text, FIELD(struct dest_config, sender), .flags = KEY_MAY_BE_EMPTY, .check = check_sender,
	 .doc = "envelope sender instead of the message's Return-Path; <> is the null sender"},
	{.name = "window", .type = &type_count, FIELD(struct dest_config, window), .for_kinds = SERVERS, .initial = "8", .min = 1, .max = 64,
	 .doc = "messages sent to a distant server before it has answered the first, if it offers CHUNKING; 1 turns that off"},
};
/* clang-format on */

_Static_assert(ARRAY_SIZE(mailbox_keys) <= SCHEMA_KEYS_MAX && ARRAY_SIZE(destination_keys) <= SCHEMA_KEYS_MAX, "struct schema_source has room");

const struct schema schema_top = {.noun = "the configuration", .keys = top_keys, .count = ARRAY_SIZE(top_keys), .size = sizeof(struct config)};
const struct schema schema_mailbox = {
	.noun = "a mailbox",
	.keys = mailbox_keys,
	.count = ARRAY_SIZE(mailbox_keys),
	.size = sizeof(struct mailbox_config),
	.has_kinds = true,
	.has_defaults = true,
	.kind_offset = offsetof(struct mailbox_config, protocol),
};
const struct schema schema_destination = {
	.noun = "a destination",
	.keys = destination_keys,
	.count = ARRAY_SIZE(destination_keys),
	.size = sizeof(struct dest_config),
	.has_kinds = true,
	.kind_offset = offsetof(struct dest_config, kind),
};

const struct schema_key *schema_find(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->count; i++)
		if (strcmp(schema->keys[i].name, name) == 0)
			return &schema->keys[i];
	return NULL;
}

const struct schema_key *schema_kind_key(const struct schema *schema, unsigned kind)
{
	for (size_t i = 0; kind != 0 && i < schema->count; i++)
		if (schema->keys[i].kind == kind)
			return &schema->keys[i];
	return NULL;
}

unsigned schema_kind(const struct schema *schema, const void *section)
{
	return schema->has_kinds ? *(const unsigned *)((const char *)section + schema->kind_offset) : 0;
}

char *schema_kind_names(const struct schema *schema, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < schema->count && used < size; i++)
		if (schema->keys[i].kind != 0)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used != 0 ? ", " : "", schema->keys[i].name);
	return out;
}

const struct node *schema_value(const struct schema_source *source, const char *key)
{
	const struct schema_key *found = schema_find(source->schema, key);

	return found != NULL ? source->values[found - source->schema->keys] : NULL;
}

bool schema_is_written(const struct schema_source *source, const char *key)
{
	const struct schema_key *found = schema_find(source->schema, key);

	return source->values[found - source->schema->keys] != NULL || source->bad[found - source->schema->keys];
}

void schema_clear(const struct schema *schema, void *section)
{
	/* The keys that decide the kind share fields: the second finds what the first has left, which is nothing. */
	for (size_t i = 0; i < schema->count; i++)
		schema->keys[i].type->clear((char *)section + schema->keys[i].offset);
	if (schema->has_kinds)
		*(unsigned *)((char *)section + schema->kind_offset) = 0;
}
