#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "config/check.h"
#include "config/password.h"
#include "config/schema.h"
#include "config/validate.h"
#include "config/yaml.h"

/* More than anybody has; keeps a file of another kind from being searched for hours. */
#define MAILBOXES_MAX 10000
#define DESTINATIONS_MAX 1000

struct load {
	struct config *config;
	struct problems problems;
	struct reading reading;
	struct schema_source top, defaults, *mailboxes, *destinations;
};

static char *absolute_path(const char *path)
{
	char *here, *result;

	if (path[0] == '/')
		return xstrdup(path);
	here = getcwd(NULL, 0);
	result = xasprintf("%s/%s", here != NULL ? here : "", path);
	free(here);
	return result;
}

/* $VARIABLE/mailhaul/rest if it is set (XDG says: to an absolute path), else ~/home_default/mailhaul/rest. NULL: no home. */
static char *xdg_path(const char *variable, const char *home_default, const char *rest)
{
	const char *base = getenv(variable);
	char *home, *path;

	if (base != NULL && base[0] == '/')
		return xasprintf("%s/mailhaul%s", base, rest);
	home = fs_expand_home("~");
	path = home != NULL ? xasprintf("%s/%s/mailhaul%s", home, home_default, rest) : NULL;
	free(home);
	return path;
}

/* A file that exists but cannot be read is the one that is meant: falling through to another would be a surprise. */
static char *search_file(FILE *errors)
{
	static const char system_wide[] = "/etc/mailhaul/config.yaml";
	char *own = xdg_path("XDG_CONFIG_HOME", ".config", "/config.yaml");

	if (own != NULL && (access(own, F_OK) == 0 || errno != ENOENT))
		return own;
	if (access(system_wide, F_OK) != 0 && errno == ENOENT) {
		fprintf(errors, "there is no configuration: neither %s nor %s exists; write one, or name a file with --config\n",
			own != NULL ? own : "~/.config/mailhaul/config.yaml", system_wide);
		free(own);
		return NULL;
	}
	free(own);
	return xstrdup(system_wide);
}

/* Reads the file into text; its memory has to be wiped. */
static bool read_file(const char *file, struct str *text, struct stat *ret_st, struct problems *problems)
{
	const struct place whole = {0};
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool good = false;

	if (fd < 0 || fstat(fd, ret_st) < 0) {
		problems_add(problems, whole, "cannot be opened: %s", strerror(errno));
	} else if (!S_ISREG(ret_st->st_mode)) {
		problems_add(problems, whole, "is not a regular file");
	} else if (ret_st->st_size > YAML_MAX_BYTES) {
		problems_add(problems, whole, "is larger than %d bytes", YAML_MAX_BYTES);
	} else {
		str_reserve(text, YAML_MAX_BYTES + 65536); /* at once: growing would leave copies of passwords behind */
		good = fs_read_all(fd, YAML_MAX_BYTES, text) == 0;
		if (!good)
			problems_add(problems, whole, "cannot be read: %s", strerror(errno));
	}
	fs_close(fd);
	return good;
}

static size_t count_entries(const struct node *node, size_t max, const char *what, struct load *load)
{
	size_t count = 0;

	for (const struct node *entry = node->first; entry != NULL; entry = entry->next)
		count++;
	if (count <= max)
		return count;
	problems_add(&load->problems, node->at, "there are more than %zu %s; split the configuration", max, what);
	return 0;
}

static void read_destinations(struct load *load)
{
	const struct node *node = schema_value(&load->top, "destinations");
	size_t count;

	if (node == NULL)
		return;
	if (node->kind != NODE_MAP) {
		if (!node_is_null(node))
			problems_add(&load->problems, node->at,
				"destinations must be written as names with a section behind each, like 'home: {maildir: ~/Maildir}'");
		return;
	}
	count = count_entries(node, DESTINATIONS_MAX, "destinations", load);
	load->destinations = xcalloc(count, sizeof(*load->destinations));
	load->config->destinations = xcalloc(count, sizeof(*load->config->destinations));
	for (const struct node *entry = node->first; entry != NULL && load->config->destination_count < count; entry = entry->next) {
		struct dest_config *destination = &load->config->destinations[load->config->destination_count];
		const char *wrong = check_name(entry->key);

		if (wrong != NULL)
			problems_add(&load->problems, entry->key_at, "'%.80s' %s", entry->key, wrong);
		destination->name = xstrdup(entry->key);
		schema_read(&schema_destination, entry, NULL, &load->reading, destination, &load->destinations[load->config->destination_count++]);
	}
}

static void read_mailboxes(struct load *load)
{
	const struct node *node = schema_value(&load->top, "mailboxes"), *defaults = schema_value(&load->top, "defaults");
	size_t count;

	if (defaults != NULL && !node_is_null(defaults))
		schema_read_defaults(&schema_mailbox, defaults, &load->reading, &load->defaults);
	if (node == NULL)
		return;
	if (node->kind != NODE_LIST || node->first == NULL) {
		if (!node_is_null(node))
			problems_add(&load->problems, node->at, "mailboxes must be a list: each begins with '- name: ...'");
		return;
	}
	count = count_entries(node, MAILBOXES_MAX, "mailboxes", load);
	load->mailboxes = xcalloc(count, sizeof(*load->mailboxes));
	load->config->mailboxes = xcalloc(count, sizeof(*load->config->mailboxes));
	for (const struct node *entry = node->first; entry != NULL && load->config->mailbox_count < count; entry = entry->next) {
		struct mailbox_config *mailbox = &load->config->mailboxes[load->config->mailbox_count];

		mailbox->line = entry->at.line;
		schema_read(&schema_mailbox, entry, &load->defaults, &load->reading, mailbox, &load->mailboxes[load->config->mailbox_count++]);
	}
}

/* Files that hold passwords may belong to the user we are going to become, too. */
static uid_t future_owner(const struct config *config)
{
	const struct passwd *user = geteuid() == 0 && config->run_as != NULL ? getpwnam(config->run_as) : NULL;

	return user != NULL ? user->pw_uid : (uid_t)-1;
}

static void check_password(struct load *load, const struct password *password, const struct schema_source *source, uid_t owner)
{
	struct error err;

	if (password->kind == PASSWORD_FILE && password_check_file(password->name, owner, &err) < 0)
		problems_add(&load->problems, schema_value(source, "password")->first->at, "%s", err.text);
}

static void check_secrets(struct load *load, const struct stat *st)
{
	const struct config *config = load->config;
	uid_t owner = future_owner(config);
	struct error err;

	if (load->reading.literal_password && password_check_owner(config->file, st, owner, &err) < 0)
		problems_add(&load->problems, (struct place){0}, "%s", err.text);
	for (size_t i = 0; i < config->destination_count; i++)
		check_password(load, &config->destinations[i].server.password, &load->destinations[i], owner);
	for (size_t i = 0; i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			check_password(load, &config->mailboxes[i].server.password, &load->mailboxes[i], owner);
}

/* The state belongs to the configuration file, so that two of them never share one by accident of the environment. */
static void choose_state_dir(struct config *config, const char *option, struct problems *problems)
{
	if (option != NULL) {
		free(config->state_dir);
		config->state_dir = absolute_path(option);
	}
	if (config->state_dir != NULL)
		return;
	config->state_dir = strncmp(config->file, "/etc/", 5) == 0 ? xstrdup("/var/lib/mailhaul") : xdg_path("XDG_STATE_HOME", ".local/state", "");
	if (config->state_dir == NULL)
		problems_add(problems, (struct place){0}, "nobody knows a home directory for the state; add 'state_dir'");
}

static void read_sections(struct load *load, const struct node *root, const struct stat *st)
{
	schema_read(&schema_top, root, NULL, &load->reading, load->config, &load->top);
	if (root->kind != NODE_MAP)
		return;
	read_destinations(load);
	read_mailboxes(load);
	validate(load->config, load->mailboxes, load->destinations, &load->problems);
	check_secrets(load, st);
}

static char *directory_of(const char *file)
{
	return xstrndup(file, (size_t)(strrchr(file, '/') - file)); /* "" for the root: what follows begins with a slash */
}

static void read_config(struct load *load, const char *state_dir_option)
{
	struct node *root = NULL;
	struct str text = {0};
	struct stat st;

	if (read_file(load->config->file, &text, &st, &load->problems))
		root = yaml_parse(str_text(&text), text.len, &load->problems);
	secret_wipe(text.data, text.len);
	str_done(&text);
	if (root == NULL)
		return;
	read_sections(load, root, &st);
	choose_state_dir(load->config, state_dir_option, &load->problems);
	node_free(root);
}

struct config *config_load(const char *path, const char *state_dir_option, FILE *errors)
{
	char *file = path != NULL ? absolute_path(path) : search_file(errors), *base_dir;
	struct load load = {0};

	if (file == NULL)
		return NULL;
	base_dir = directory_of(file);
	load.config = xcalloc(1, sizeof(*load.config));
	load.config->file = file;
	load.problems.file = path != NULL ? path : file;
	load.reading = (struct reading){.problems = &load.problems, .base_dir = base_dir};
	read_config(&load, state_dir_option);
	problems_print(&load.problems, errors);
	if (load.problems.count != 0) {
		config_free(load.config);
		load.config = NULL;
	}
	problems_done(&load.problems);
	free(load.mailboxes);
	free(load.destinations);
	free(base_dir);
	return load.config;
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->mailbox_count; i++)
		schema_clear(&schema_mailbox, &config->mailboxes[i]);
	for (size_t i = 0; i < config->destination_count; i++)
		schema_clear(&schema_destination, &config->destinations[i]);
	schema_clear(&schema_top, config);
	free(config->mailboxes);
	free(config->destinations);
	free(config->file);
	free(config);
}

struct mailbox_config *config_mailbox(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->mailbox_count; i++)
		if (strcmp(config->mailboxes[i].name, name) == 0)
			return &config->mailboxes[i];
	return NULL;
}

struct dest_config *config_destination(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->destination_count; i++)
		if (strcmp(config->destinations[i].name, name) == 0)
			return &config->destinations[i];
	return NULL;
}

bool config_asks_recipient(const struct dest_config *destination)
{
	if (destination->kind == DEST_SMTP || destination->kind == DEST_LMTP)
		return true;
	for (size_t i = 0; destination->argv != NULL && destination->argv[i] != NULL; i++)
		if (strcmp(destination->argv[i], "{recipient}") == 0)
			return true;
	return false;
}

char *const *config_recipients(const struct mailbox_config *mailbox, const struct dest_config *destination)
{
	if (!config_asks_recipient(destination))
		return NULL;
	return mailbox->recipients != NULL ? mailbox->recipients : destination->recipients;
}
