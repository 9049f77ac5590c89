#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/user.h"
#include "command/command.h"
#include "config/password.h"
#include "supervisor/progress.h"

#define WAIT_MAX_S (366 * 86400)

enum {
	OPT_LOG_FORMAT = 256,
	OPT_NO_PROGRESS,
	OPT_TRACE,
	OPT_JSON,
	OPT_WATCH,
	OPT_DELETE,
	OPT_YES,
	OPT_ALL,
	OPT_SINCE,
	OPT_ACCEPT_DUPLICATES,
	OPT_WAIT,
	OPT_VERSION,
	OPT_HELP
};

/* Every option there is, and the commands that it has a meaning for; NULL: all of them. */
static const struct rule {
	struct option option;
	const char *commands;
} rules[] = {
	{{"config", required_argument, NULL, 'c'}, NULL},
	{{"state-dir", required_argument, NULL, 's'}, NULL},
	{{"verbose", no_argument, NULL, 'v'}, NULL},
	{{"quiet", no_argument, NULL, 'q'}, NULL},
	{{"log-format", required_argument, NULL, OPT_LOG_FORMAT}, NULL},
	{{"version", no_argument, NULL, OPT_VERSION}, NULL},
	{{"help", no_argument, NULL, OPT_HELP}, NULL},
	{{"no-progress", no_argument, NULL, OPT_NO_PROGRESS}, "run"},
	{{"trace", required_argument, NULL, OPT_TRACE}, "run, daemon, check, list"},
	{{"json", no_argument, NULL, OPT_JSON}, "status, held list, held show"},
	{{"watch", no_argument, NULL, OPT_WATCH}, "status"},
	{{"delete", no_argument, NULL, OPT_DELETE}, "held drop"},
	{{"yes", no_argument, NULL, OPT_YES}, "held drop, forget"},
	{{"all", no_argument, NULL, OPT_ALL}, "held retry"},
	{{"since", required_argument, NULL, OPT_SINCE}, "refetch"},
	{{"accept-duplicates", no_argument, NULL, OPT_ACCEPT_DUPLICATES}, "run"},
	{{"wait", optional_argument, NULL, OPT_WAIT}, "run"},
};

static int take_log_format(struct options *options, const char *word)
{
	if (strcmp(word, "text") == 0)
		options->log_format = LOG_FORMAT_TEXT;
	else if (strcmp(word, "json") == 0)
		options->log_format = LOG_FORMAT_JSON;
	else if (strcmp(word, "journal") == 0)
		options->log_format = LOG_FORMAT_JOURNAL;
	else {
		fprintf(stderr, "mailhaul: --log-format is text, json or journal, not \"%s\"\n", word);
		return -1;
	}
	return 0;
}

/* word: NULL without "=SECONDS". */
static int take_wait(struct options *options, const char *word)
{
	char *end;
	unsigned long seconds = word != NULL ? strtoul(word, &end, 10) : 0;

	if (word != NULL && (word[0] < '0' || word[0] > '9' || *end != '\0' || seconds == 0 || seconds > WAIT_MAX_S)) {
		fprintf(stderr, "mailhaul: --wait is a number of seconds from 1 to %d, not \"%s\"; without a number there is no limit\n", WAIT_MAX_S,
			word);
		return -1;
	}
	options->wait = true;
	options->wait_s = (unsigned)seconds;
	return 0;
}

static int take_option(struct options *options, int letter)
{
	switch (letter) {
	case 'c':
		options->config = optarg;
		return 0;
	case 's':
		options->state_dir = optarg;
		return 0;
	case 'v':
		options->verbosity++;
		return 0;
	case 'q':
		options->verbosity--;
		return 0;
	case OPT_LOG_FORMAT:
		return take_log_format(options, optarg);
	case OPT_NO_PROGRESS:
		options->no_progress = true;
		return 0;
	case OPT_TRACE:
		options->trace = optarg;
		return 0;
	case OPT_JSON:
		options->json = true;
		return 0;
	case OPT_WATCH:
		options->watch = true;
		return 0;
	case OPT_DELETE:
		options->delete_at_source = true;
		return 0;
	case OPT_YES:
		options->yes = true;
		return 0;
	case OPT_ALL:
		options->all = true;
		return 0;
	case OPT_SINCE:
		options->since = optarg;
		return 0;
	case OPT_ACCEPT_DUPLICATES:
		options->accept_duplicates = true;
		return 0;
	case OPT_WAIT:
		return take_wait(options, optarg);
	case OPT_VERSION:
		options->version = true;
		return 0;
	case OPT_HELP:
	case 'h':
		options->help = true;
		return 0;
	default:
		fputs("Try: mailhaul --help\n", stderr);
		return -1;
	}
}

/* -1: the options make no sense. *ret_given: bit i for rule i. */
static int take_options(struct options *options, int argc, char **argv, unsigned *ret_given)
{
	struct option known[ARRAY_SIZE(rules) + 1] = {0};
	int letter;

	*ret_given = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		known[i] = rules[i].option;
	while ((letter = getopt_long(argc, argv, "c:s:vqh", known, NULL)) != -1) {
		if (take_option(options, letter) < 0)
			return -1;
		for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
			if (rules[i].option.val == letter)
				*ret_given |= 1u << i;
	}
	return 0;
}

static int report_unknown(const char *word)
{
	const char *names[16], *nearest;
	size_t count = 0;

	for (; commands[count].name != NULL && count < ARRAY_SIZE(names); count++)
		names[count] = commands[count].name;
	nearest = config_nearest(word, names, count);
	fprintf(stderr, "mailhaul: there is no command \"%s\"%s%s%s\nTry: mailhaul --help\n", word, nearest != NULL ? "; did you mean \"" : "",
		nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
	return -1;
}

/* list: words with ", " between them. */
static bool is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 2 : NULL)
		if (strncmp(at, word, len) == 0 && (at[len] == '\0' || at[len] == ','))
			return true;
	return false;
}

/* An option that does nothing would be taken for one that did. */
static int check_rules(const struct options *options, const struct command *command, unsigned given)
{
	char word[64];

	if (options->help || options->version)
		return 0;
	snprintf(word, sizeof(word), "%s", command->name);
	if (command->has_verbs)
		snprintf(word, sizeof(word), "%s %s", command->name, options->arguments != NULL ? options->arguments[0] : "list");
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if ((given >> i & 1) != 0 && rules[i].commands != NULL && !is_listed(rules[i].commands, word)) {
			fprintf(stderr, "mailhaul: --%s has no meaning for \"%s\", only for: %s\n", rules[i].option.name, word, rules[i].commands);
			return -1;
		}
	return 0;
}

int options_parse(struct options *options, int argc, char **argv, const struct command **ret_command)
{
	unsigned given;

	*ret_command = NULL;
	if (take_options(options, argc, argv, &given) < 0)
		return -1;
	if (optind == argc)
		return 0;
	*ret_command = command_find(argv[optind]);
	if (*ret_command == NULL)
		return report_unknown(argv[optind]);
	for (int i = optind + 1; i < argc; i++)
		strv_add(&options->arguments, argv[i]);
	return check_rules(options, *ret_command, given);
}

void options_done(struct options *options)
{
	strv_free(options->arguments);
}

/* -- where the log goes -- */

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM"); /* "device:inode", systemd.exec(5) */
	unsigned long long device, inode;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

/* For a person: a warning is a sentence, everything else keeps the form that programs read. */
static void log_sink_terminal(const struct log_entry *entry, void *context)
{
	const char *mailbox = NULL, *text = NULL;
	char sentence[4 * sizeof(entry->data)];

	for (const char *at = entry->data; at < entry->data + entry->len;) {
		const char *value = at + strlen(at) + 1;

		mailbox = strcmp(at, "mailbox") == 0 ? value : mailbox;
		text = strcmp(at, "text") == 0 ? value : text;
		at = value + strlen(value) + 1;
	}
	progress_clear();
	if (entry->level > LEVEL_NOTICE || text == NULL)
		log_sink_text(entry, context);
	else
		fprintf(stderr, "mailhaul: %s%s%s\n", mailbox != NULL ? mailbox : "", mailbox != NULL ? ": " : "",
			printable_into(sentence, sizeof(sentence), text, strlen(text)));
}

static void open_log(const struct options *options, const struct config *config)
{
	enum log_format format = options->log_format;
	int level;

	if (format == LOG_FORMAT_DEFAULT)
		format = config->log_format;
	if (format == LOG_FORMAT_DEFAULT && stderr_is_journal())
		format = LOG_FORMAT_JOURNAL;
	/* A journal is asked later, so it gets everything; so is what a daemon leaves behind; cron mails what we print, so that is only what needs attention. */
	level = (format == LOG_FORMAT_JOURNAL || options->keeps_log ? LEVEL_INFO
			: isatty(STDERR_FILENO)                     ? LEVEL_NOTICE
								    : LEVEL_WARNING) +
		options->verbosity;
	if (options->verbosity > 0 && level < LEVEL_INFO)
		level = LEVEL_INFO + options->verbosity - 1;
	level = level < LEVEL_ERROR ? LEVEL_ERROR : level > LEVEL_DEBUG ? LEVEL_DEBUG : level;
	if (format == LOG_FORMAT_JOURNAL)
		log_to(log_sink_journal, NULL, (enum log_level)level);
	else if (format == LOG_FORMAT_JSON)
		log_to(log_sink_json, NULL, (enum log_level)level);
	else if (format == LOG_FORMAT_DEFAULT && isatty(STDERR_FILENO))
		log_to(log_sink_terminal, NULL, (enum log_level)level);
	else
		log_to(log_sink_text, NULL, (enum log_level)level);
}

struct config *command_load(const struct options *options)
{
	struct config *config = config_load(options->config, options->state_dir, stderr);

	if (config == NULL)
		return NULL;
	passwords_leave_environment(config);
	open_log(options, config);
	return config;
}

struct config *command_load_again(const struct options *options, FILE *errors)
{
	struct config *config = config_load(options->config, options->state_dir, errors);

	if (config != NULL)
		passwords_leave_environment(config);
	return config;
}

int command_become(const struct config *config, struct error *err)
{
	return geteuid() == 0 ? user_become(config->run_as, err) : 0;
}
