#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/status.h"
#include "supervisor/outlook.h"

static const char *when(char *out, int64_t wall_s)
{
	return wall_s != 0 ? clock_iso8601(out, wall_s) : "never";
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void print_trouble(FILE *to, const struct status_line *line)
{
	const struct mailbox_state *mailbox = &line->mailbox;
	char date[24], escaped[4 * sizeof(mailbox->last_error)];

	if (mailbox->stopped[0] != '\0')
		fprintf(to, "  not hauled    %s\n", printable_into(escaped, sizeof(escaped), mailbox->stopped, strlen(mailbox->stopped)));
	if (mailbox->last_error[0] != '\0') {
		fprintf(to, "  last error    %s: %s\n", when(date, mailbox->last_error_at),
			printable_into(escaped, sizeof(escaped), mailbox->last_error, strlen(mailbox->last_error)));
		fprintf(to, "                since %s\n", when(date, mailbox->error_since != 0 ? mailbox->error_since : mailbox->last_error_at));
	}
	if (line->backing_off)
		fprintf(to, "  backing off   until %s, after %u failure%s\n", when(date, mailbox->retry_at), mailbox->failures,
			plural(mailbox->failures));
}

/* What is sent in this very moment has no answer yet either. */
static bool is_under_way(const struct status_line *line)
{
	return line->outlook != NULL && strcmp(line->outlook->doing, "hauling") == 0;
}

static void print_undelivered(FILE *to, const struct status_line *line)
{
	const struct mailbox_counts *counts = &line->counts;
	char date[24], escaped[4 * sizeof(line->held_reply)];

	if (counts->open != 0)
		fprintf(to, "  waiting       %" PRIu64 " message%s\n", counts->open, plural(counts->open));
	if (counts->in_doubt != 0 && is_under_way(line))
		fprintf(to, "  under way     %" PRIu64 " message%s\n", counts->in_doubt, plural(counts->in_doubt));
	else if (counts->in_doubt != 0)
		fprintf(to, "  in doubt      %" PRIu64 " message%s, sent without an answer; the next run settles this\n", counts->in_doubt,
			plural(counts->in_doubt));
	if (counts->held != 0)
		fprintf(to, "  held          %" PRIu64 " message%s, the latest since %s: %s%s%s\n", counts->held, plural(counts->held),
			when(date, line->held_at), line->held_destination, line->held_destination[0] != '\0' ? ": " : "",
			printable_into(escaped, sizeof(escaped), line->held_reply, strlen(line->held_reply)));
	if (counts->next_try >= 0 && !is_under_way(line))
		fprintf(to, "  next try      %s\n", counts->next_try <= line->now ? "by the next run" : when(date, counts->next_try));
}

static void print_folders(FILE *to, const struct status_line *line, const char *head, bool pushed)
{
	bool first = true;
	char escaped[256];

	for (size_t i = 0; line->config->folders[i] != NULL; i++) {
		const char *folder = line->config->folders[i];

		if (outlook_is_pushed(line->outlook, i) != pushed)
			continue;
		fprintf(to, "%s%s", first ? head : ", ", printable_into(escaped, sizeof(escaped), folder, strlen(folder)));
		first = false;
	}
	if (!first)
		putc('\n', to);
}

/* Of several folders some may be pushed and the others polled. */
static void print_pushed(FILE *to, const struct status_line *line)
{
	if (line->outlook->pushed == 0 || strv_length(line->config->folders) < 2)
		return;
	print_folders(to, line, "  pushed        ", true);
	print_folders(to, line, "  polled        ", false);
}

static void print_outlook(FILE *to, const struct outlook_mailbox *outlook)
{
	char date[24];

	if (strcmp(outlook->doing, "resting") == 0)
		fprintf(to, "  next poll     %s\n", when(date, outlook->next_s));
	else if (strcmp(outlook->doing, "waiting") == 0)
		fputs("  next poll     as soon as there is a place\n", to);
	else if (strcmp(outlook->doing, "lent") == 0)
		fputs("  next poll     when another command has done with it\n", to);
	else
		fprintf(to, "  %-13s since %s\n", outlook->doing, when(date, outlook->since_s));
	if (strcmp(outlook->doing, "pushing") == 0 && outlook->next_s != 0)
		fprintf(to, "  next poll     %s\n", when(date, outlook->next_s));
}

static void print_mailbox(FILE *to, const struct status_line *line, bool first)
{
	const struct mailbox_counts *counts = &line->counts;
	char date[24];

	(void)first;
	fprintf(to, "%s%s\n", line->config->name, line->config->enabled ? "" : " (not enabled)");
	if (line->outlook != NULL) {
		print_outlook(to, line->outlook);
		print_pushed(to, line);
	}
	fprintf(to, "  last success  %s\n", when(date, line->mailbox.last_success));
	fprintf(to, "  last mail     %s\n", when(date, line->mailbox.last_mail));
	print_trouble(to, line);
	print_undelivered(to, line);
	fprintf(to, "  hauled        %" PRIu64 " message%s", counts->delivered, plural(counts->delivered));
	if (counts->owed != 0)
		fprintf(to, ", %" PRIu64 " to be removed at the source", counts->owed);
	if (counts->retained != 0)
		fprintf(to, ", %" PRIu64 " to be removed later", counts->retained);
	if (counts->baseline != 0)
		fprintf(to, ", %" PRIu64 " skipped by first_run", counts->baseline);
	putc('\n', to);
}

static void print_head(FILE *to, const struct config *config, const struct outlook *outlook)
{
	char date[24];

	fprintf(to, "configuration %s, state in %s\n", config->file, config->state_dir);
	if (outlook != NULL)
		fprintf(to, "daemon, process %ld, running since %s\n", outlook->pid, when(date, outlook->started_s));
}

static void print_destination(FILE *to, const char *name, const struct destination_state *destination, bool first)
{
	char date[24], escaped[4 * sizeof(destination->last_error)];

	(void)first;
	if (destination->failures == 0)
		return; /* nothing to say about one that works */
	fprintf(to, "destination %s is down\n", name);
	fprintf(to, "  down since    %s\n", when(date, destination->down_since));
	fprintf(to, "  last error    %s: %s\n", when(date, destination->last_error_at),
		printable_into(escaped, sizeof(escaped), destination->last_error, strlen(destination->last_error)));
	fprintf(to, "  next try      %s, after %u failure%s\n",
		destination->retry_at > clock_wall_s() ? when(date, destination->retry_at) : "with the next message for it", destination->failures,
		plural(destination->failures));
}

static void nothing(FILE *to)
{
	(void)to;
}

const struct status_form status_text = {
	.begin = print_head,
	.mailbox = print_mailbox,
	.destinations = nothing,
	.destination = print_destination,
	.end = nothing,
};
