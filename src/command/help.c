#include <stdio.h>
#include <string.h>

#include "command/command.h"

const struct command commands[] = {
	{"run", "[NAME...]", "haul now, once, and leave", false, true, command_run},
	{"daemon", "", "stay, and haul on schedule", false, true, command_daemon},
	{"check", "[NAME...]", "test every step, explain, haul nothing", false, true, command_check},
	{"list", "NAME", "what is there, and what would be hauled", false, true, command_list},
	{"status", "[--json] [--watch]", "last success, last error, what waits, is held or in doubt", false, false, command_status},
	{"held", "list [NAME] | show ID... | retry NAME|ID...|--all | drop ID... [--delete] [--yes]", "messages that a destination refused", true,
		false, command_held},
	{"refetch", "NAME --since DATE | UID...", "haul messages again", false, false, command_refetch},
	{"forget", "NAME [--yes]", "forget what was hauled from a mailbox", false, false, command_forget},
	{"accept", "NAME...", "go on with a mailbox that stopped because its messages were renumbered", false, false, command_accept},
	{"state", "export [FILE] | import FILE", "what mailhaul knows, as text: to keep, to move, to repair", true, false, command_state},
	{NULL, NULL, NULL, false, false, NULL},
};

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name != NULL; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

static const char options_help[] = "Options, before or after the command:\n"
				   "  -c, --config FILE      instead of $XDG_CONFIG_HOME/mailhaul/config.yaml or /etc/mailhaul/config.yaml\n"
				   "  -s, --state-dir DIR    instead of what the configuration says\n"
				   "  -v, -q                 say more (-vv: everything), say less\n"
				   "      --log-format FORM  text, json or journal\n"
				   "      --no-progress      no progress line on a terminal\n"
				   "      --wait[=SECONDS]   run: wait for mailboxes that another mailhaul is hauling\n"
				   "      --trace NAME       show what is said to and by the servers of this mailbox, secrets masked\n"
				   "      --accept-duplicates  with run: begin anew although the state is lost\n"
				   "      --version, --help\n";

void print_help(FILE *to, const struct command *command)
{
	if (command != NULL) {
		fprintf(to, "Usage: mailhaul %s %s\n%s\n\n%s", command->name, command->arguments, command->summary, options_help);
		return;
	}
	fputs("Usage: mailhaul COMMAND [ARGUMENTS] [OPTIONS]\n"
	      "mailhaul hauls mail home: from POP3 and IMAP mailboxes to a Maildir, an LMTP or SMTP server, or a program.\n\n",
		to);
	for (const struct command *each = commands; each->name != NULL; each++)
		fprintf(to, "  %-7s %-10s %s\n", each->name, strlen(each->arguments) <= 10 ? each->arguments : "...", each->summary);
	fprintf(to, "\n%s\nManual: mailhaul(1), mailhaul.yaml(5)\n", options_help);
}
