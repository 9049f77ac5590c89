#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command/json.h"
#include "command/status.h"
#include "supervisor/outlook.h"

/* As soon as mail is announced; the others are polled. */
static void print_pushed(FILE *to, const struct status_line *line)
{
	bool first = true;

	fputs(",\"pushed\":[", to);
	for (size_t i = 0; line->outlook != NULL && line->config->folders != NULL && line->config->folders[i] != NULL; i++) {
		if (!outlook_is_pushed(line->outlook, i))
			continue;
		fputs(first ? "" : ",", to);
		json_value(to, line->config->folders[i], strlen(line->config->folders[i]));
		first = false;
	}
	putc(']', to);
}

static void print_mailbox(FILE *to, const struct status_line *line, bool first)
{
	const struct mailbox_state *mailbox = &line->mailbox;
	const struct mailbox_counts *counts = &line->counts;
	const struct outlook_mailbox *outlook = line->outlook;
	bool in_trouble = mailbox->last_error[0] != '\0';

	fprintf(to, "%s{\"name\":\"%s\",\"enabled\":%s", first ? "" : ",", line->config->name,
		line->config->enabled ? "true" : "false"); /* names are plain words */
	json_string(to, "doing", outlook != NULL ? outlook->doing : NULL);
	json_date(to, "doing_since", outlook != NULL ? outlook->since_s : 0);
	json_date(to, "next_poll", outlook != NULL ? outlook->next_s : 0);
	print_pushed(to, line);
	json_date(to, "last_success", mailbox->last_success);
	json_date(to, "last_mail", mailbox->last_mail);
	json_string(to, "stopped", mailbox->stopped[0] != '\0' ? mailbox->stopped : NULL);
	json_date(to, "last_error_at", in_trouble ? mailbox->last_error_at : 0);
	json_date(to, "error_since", in_trouble ? mailbox->error_since : 0);
	json_string(to, "last_error", mailbox->last_error);
	json_date(to, "back_off_until", line->backing_off ? mailbox->retry_at : 0);
	fprintf(to,
		",\"failures\":%u,\"hauled\":%" PRIu64 ",\"open\":%" PRIu64 ",\"held\":%" PRIu64 ",\"in_doubt\":%" PRIu64 ",\"owed\":%" PRIu64
		",\"retained\":%" PRIu64 ",\"baseline\":%" PRIu64,
		mailbox->failures, counts->delivered, counts->open, counts->held, counts->in_doubt, counts->owed, counts->retained, counts->baseline);
	json_date(to, "next_try", counts->next_try > 0 ? counts->next_try : 0);
	json_date(to, "held_since", line->held_at);
	json_string(to, "held_destination", line->held_destination[0] != '\0' ? line->held_destination : NULL);
	json_string(to, "held_reply", line->held_at != 0 ? line->held_reply : NULL);
	putc('}', to);
}

static void print_head(FILE *to, const struct config *config, const struct outlook *outlook)
{
	fprintf(to, "{\"version\":1"); /* of this form */
	json_string(to, "config", config->file);
	json_string(to, "state_dir", config->state_dir);
	if (outlook != NULL) {
		fprintf(to, ",\"daemon\":{\"process\":%ld", outlook->pid);
		json_date(to, "since", outlook->started_s);
		putc('}', to);
	} else {
		fputs(",\"daemon\":null", to);
	}
	fputs(",\"mailboxes\":[", to);
}

static void print_destination(FILE *to, const char *name, const struct destination_state *destination, bool first)
{
	bool down = destination->failures != 0;

	fprintf(to, "%s{\"name\":\"%s\"", first ? "" : ",", name);
	json_date(to, "down_since", down ? destination->down_since : 0);
	json_date(to, "last_accepted", destination->accepted_at);
	json_date(to, "last_error_at", down ? destination->last_error_at : 0);
	json_string(to, "last_error", down ? destination->last_error : "");
	json_date(to, "back_off_until", down ? destination->retry_at : 0);
	fprintf(to, ",\"failures\":%u}", destination->failures);
}

static void begin_destinations(FILE *to)
{
	fputs("],\"destinations\":[", to);
}

static void print_end(FILE *to)
{
	fputs("]}\n", to);
}

const struct status_form status_json = {
	.begin = print_head,
	.mailbox = print_mailbox,
	.destinations = begin_destinations,
	.destination = print_destination,
	.end = print_end,
};
