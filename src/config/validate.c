#include "config/validate.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "channel/record.h"
#include "config/config.h"
#include "config/endpoint.h"
#include "config/schema.h"
#include "config/yaml.h"

/* The section being looked at. */
struct section {
	const struct config *config;
	const struct schema_source *source;
	struct problems *problems;
	const char *noun, *name;
};

struct place validate_place(const struct schema_source *source, const char *key, size_t index)
{
	const struct node *node = schema_value(source, key), *item = node != NULL ? node_item(node, index) : NULL;

	if (item != NULL)
		return item->at;
	return node != NULL ? node->at : source->node->at;
}

static void report_item(const struct section *section, const char *key, size_t index, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void report_item(const struct section *section, const char *key, size_t index, const char *format, ...)
{
	struct str text = {0};
	va_list args;

	va_start(args, format);
	str_vaddf(&text, format, args);
	va_end(args);
	problems_add(section->problems, validate_place(section->source, key, index), "%s %s: %s", section->noun, section->name, text.data);
	str_done(&text);
}

#define report(section, key, ...) report_item(section, key, 0, __VA_ARGS__)

static bool has_endpoint(const struct endpoint *endpoint)
{
	return endpoint->host != NULL || endpoint->path != NULL;
}

/* kind_key: of the section; knows the ports. */
static void complete_endpoint(const struct schema_key *kind_key, struct endpoint *endpoint)
{
	if (!has_endpoint(endpoint))
		return;
	if (endpoint->tls == TLS_DEFAULT)
		endpoint->tls = endpoint_is_local(endpoint) ? TLS_NONE : TLS_IMPLICIT;
	if (endpoint->path == NULL && endpoint->port == 0)
		endpoint->port = kind_key->ports[endpoint->tls];
}

static void check_tls(const struct section *section, const struct server *server)
{
	if (server->endpoint.path != NULL && server->endpoint.tls != TLS_NONE)
		report(section, "tls", "there is no TLS on a unix socket; remove 'tls'");
	else if (server->endpoint.tls == TLS_NONE && !endpoint_is_local(&server->endpoint) && !server->insecure)
		report(section, "tls",
			"tls: none sends everything, passwords included, in the clear; use implicit or starttls, or add 'insecure: yes' if the "
			"network is yours");
}

static void check_repeated(const struct section *section, const char *key, char *const *list, const char *consequence)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(list[i], list[j]) == 0) {
				report_item(section, key, i, "'%s' stands in '%s' twice; %s", list[i], key, consequence);
				return;
			}
}

/* A destination logs in only if told to, then with all that it takes. */
static void check_login(const struct section *section, const struct server *server)
{
	if (schema_is_written(section->source, "user") && !schema_is_written(section->source, "password"))
		report(section, "user", "'user' needs a 'password' beside it");
	else if (!schema_is_written(section->source, "user") && schema_is_written(section->source, "password"))
		report(section, "password", "'password' needs a 'user' beside it");
	else if (!schema_is_written(section->source, "user") && server->auth != AUTH_DEFAULT)
		report(section, "auth", "'auth' needs 'user' and 'password' beside it");
}

/* A placeholder is a whole argument: what a message brings along never becomes part of an option. */
static void check_placeholders(const struct section *section, char *const *argv)
{
	for (size_t i = 0; argv[i] != NULL; i++) {
		size_t len = strlen(argv[i]);
		bool whole = strcmp(argv[i], "{recipient}") == 0 || strcmp(argv[i], "{sender}") == 0;

		if (whole && i == 0)
			report_item(section, "mda", i, "the program cannot be a placeholder");
		else if (!whole && (strstr(argv[i], "{recipient}") != NULL || strstr(argv[i], "{sender}") != NULL))
			report_item(section, "mda", i, "{recipient} and {sender} must be arguments of their own, not part of '%.80s'", argv[i]);
		else if (!whole && len > 2 && argv[i][0] == '{' && strspn(argv[i] + 1, "abcdefghijklmnopqrstuvwxyz_") == len - 2 &&
			 argv[i][len - 1] == '}')
			report_item(section, "mda", i, "there is no placeholder '%.80s', only {recipient} and {sender}", argv[i]);
	}
}

static void check_mda(const struct section *section, const struct dest_config *destination)
{
	if (destination->argv[0][0] != '/' && destination->argv[0][0] != '{')
		report(section, "mda", "the program must be written with its whole path, like /usr/lib/dovecot/dovecot-lda, not '%.80s'",
			destination->argv[0]);
	check_placeholders(section, destination->argv);
	if (destination->recipients != NULL && !config_asks_recipient(destination))
		report(section, "recipient",
			"'recipient' has no meaning, since 'mda' does not hold \"{recipient}\"; add it there, or remove 'recipient'");
}

static void check_destination(const struct section *section, const struct dest_config *destination)
{
	if (has_endpoint(&destination->server.endpoint)) {
		check_tls(section, &destination->server);
		check_login(section, &destination->server);
	}
	if (destination->argv != NULL)
		check_mda(section, destination);
	check_repeated(section, "recipient", destination->recipients, "each message would come twice");
}

static void report_unknown_destination(const struct section *section, const char *key, size_t index, const char *name)
{
	const struct config *config = section->config;
	const char **names = xcalloc(config->destination_count, sizeof(*names)), *nearest;

	for (size_t i = 0; i < config->destination_count; i++)
		names[i] = config->destinations[i].name;
	nearest = problems_full(section->problems) ? NULL : config_nearest(name, names, config->destination_count);
	if (nearest != NULL)
		report_item(section, key, index, "there is no destination '%s'; did you mean '%s'?", name, nearest);
	else
		report_item(section, key, index, "there is no destination '%s'; add it under 'destinations'", name);
	free(names);
}

/* How many recipients a message has at this destination, which key names. */
static size_t count_targets(
	const struct section *section, const struct mailbox_config *mailbox, const char *key, size_t index, const struct dest_config *destination)
{
	if (!config_asks_recipient(destination))
		return 1;
	if (config_recipients(mailbox, destination) == NULL && !schema_is_written(section->source, "recipients"))
		report_item(section, key, index, "destination '%s' does not say for whom mail is; add 'recipient' there, or 'recipients' here",
			destination->name);
	return strv_length(config_recipients(mailbox, destination));
}

/* Where mail goes that was refused has to be another place than where it was refused. */
static size_t check_on_refuse(const struct section *section, const struct mailbox_config *mailbox)
{
	const char *name = mailbox->on_refuse.destination;
	const struct dest_config *destination = name != NULL ? config_destination(section->config, name) : NULL;

	if (name == NULL)
		return 0;
	for (size_t i = 0; mailbox->deliver_to != NULL && mailbox->deliver_to[i] != NULL; i++)
		if (strcmp(mailbox->deliver_to[i], name) == 0) {
			report(section, "on_refuse", "'%s' stands in deliver_to already; name another destination for what is refused", name);
			return 0;
		}
	if (destination != NULL)
		return count_targets(section, mailbox, "on_refuse", 0, destination);
	report_unknown_destination(section, "on_refuse", 0, name);
	return 0;
}

static void check_delivery(const struct section *section, const struct mailbox_config *mailbox)
{
	size_t targets = check_on_refuse(section, mailbox);

	for (size_t i = 0; mailbox->deliver_to != NULL && mailbox->deliver_to[i] != NULL; i++) {
		const struct dest_config *destination = config_destination(section->config, mailbox->deliver_to[i]);

		if (destination != NULL)
			targets += count_targets(section, mailbox, "deliver_to", i, destination);
		else
			report_unknown_destination(section, "deliver_to", i, mailbox->deliver_to[i]);
	}
	if (targets > TARGETS_MAX)
		report(section, "deliver_to", "each message would go to %zu recipients; at most %d are possible", targets, TARGETS_MAX);
	check_repeated(section, "deliver_to", mailbox->deliver_to, "each message would come twice");
	check_repeated(section, "recipients", mailbox->recipients, "each message would come twice");
}

/* What was renamed has left the configuration under its old name. */
static void check_was(const struct section *section, const char *was, const char *name, bool exists)
{
	if (was != NULL && strcmp(was, name) == 0)
		report(section, "was", "it cannot have been renamed from '%s' to the same name; remove 'was'", was);
	else if (was != NULL && exists)
		report(section, "was", "there still is a %s '%s', so this one cannot be it; remove 'was', or the other one", section->noun, was);
}

static void check_mailbox_was(const struct section *section, const struct mailbox_config *mailbox)
{
	const struct config *config = section->config;

	check_was(section, mailbox->was, section->name, mailbox->was != NULL && config_mailbox(config, mailbox->was) != NULL);
	for (size_t i = 0; mailbox->was != NULL && &config->mailboxes[i] != mailbox; i++)
		if (config->mailboxes[i].was != NULL && strcmp(config->mailboxes[i].was, mailbox->was) == 0)
			report(section, "was", "two mailboxes cannot both have been '%s'", mailbox->was);
}

static void check_destination_was(const struct section *section, const struct dest_config *destination)
{
	const struct config *config = section->config;

	check_was(section, destination->was, section->name, destination->was != NULL && config_destination(config, destination->was) != NULL);
	for (size_t i = 0; destination->was != NULL && &config->destinations[i] != destination; i++)
		if (config->destinations[i].was != NULL && strcmp(config->destinations[i].was, destination->was) == 0)
			report(section, "was", "two destinations cannot both have been '%s'", destination->was);
}

static void check_mailbox(const struct section *section, const struct mailbox_config *mailbox)
{
	if (has_endpoint(&mailbox->server.endpoint))
		check_tls(section, &mailbox->server);
	if (mailbox->protocol == PROTOCOL_POP3 && mailbox->after_delivery.what == DISPOSE_MARK_SEEN)
		report(section, "after_delivery", "POP3 knows no flags; write keep or delete instead of mark_seen, or use imap");
	if (mailbox->protocol == PROTOCOL_POP3 && mailbox->after_delivery.what == DISPOSE_MOVE)
		report(section, "after_delivery", "POP3 knows no folders; write keep or delete instead of move_to, or use imap");
	check_delivery(section, mailbox);
}

void validate(struct config *config, const struct schema_source *mailboxes, const struct schema_source *destinations, struct problems *problems)
{
	for (size_t i = 0; i < config->destination_count; i++) {
		struct dest_config *destination = &config->destinations[i];
		const struct section section = {config, &destinations[i], problems, "destination", destination->name};

		complete_endpoint(schema_kind_key(&schema_destination, destination->kind), &destination->server.endpoint);
		check_destination(&section, destination);
		check_destination_was(&section, destination);
	}
	for (size_t i = 0; i < config->mailbox_count; i++) {
		struct mailbox_config *mailbox = &config->mailboxes[i];
		const struct section section = {config, &mailboxes[i], problems, "mailbox", mailbox->name != NULL ? mailbox->name : "without a name"};

		complete_endpoint(schema_kind_key(&schema_mailbox, mailbox->protocol), &mailbox->server.endpoint);
		check_mailbox(&section, mailbox);
		check_mailbox_was(&section, mailbox);
	}
	validate_overlap(config, mailboxes, problems);
}
