#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/command.h"
#include "command/json.h"
#include "policy/policy.h"
#include "state/state.h"

#define EXIT_ATTENTION 1 /* as systemctl and others have it: shown, and not well */

struct line {
	const struct mailbox_config *config;
	struct mailbox_state mailbox;
	struct mailbox_counts counts;
	bool backing_off;
	int64_t now;
	int64_t held_at; /* of what was held last; 0: nothing is */
	char held_destination[65], held_reply[200];
};

static const char *when(char *out, int64_t wall_s)
{
	return wall_s != 0 ? clock_iso8601(out, wall_s) : "never";
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void note_latest(void *context, const struct held_message *held)
{
	struct line *line = context;
	const char *reply = held->reply != NULL ? held->reply : "";

	if (held->held_at < line->held_at)
		return;
	line->held_at = held->held_at;
	snprintf(line->held_destination, sizeof(line->held_destination), "%s", held->destination != NULL ? held->destination : "");
	snprintf(line->held_reply, sizeof(line->held_reply), "%s", reply);
}

static void print_trouble(const struct line *line)
{
	const struct mailbox_state *mailbox = &line->mailbox;
	char date[24], escaped[4 * sizeof(mailbox->last_error)];

	if (mailbox->stopped[0] != '\0')
		printf("  not hauled    %s\n", printable_into(escaped, sizeof(escaped), mailbox->stopped, strlen(mailbox->stopped)));
	if (mailbox->last_error[0] != '\0') {
		printf("  last error    %s: %s\n", when(date, mailbox->last_error_at),
			printable_into(escaped, sizeof(escaped), mailbox->last_error, strlen(mailbox->last_error)));
		printf("                since %s\n", when(date, mailbox->error_since != 0 ? mailbox->error_since : mailbox->last_error_at));
	}
	if (line->backing_off)
		printf("  backing off   until %s, after %u failure%s\n", when(date, mailbox->retry_at), mailbox->failures, plural(mailbox->failures));
}

static void print_undelivered(const struct line *line)
{
	const struct mailbox_counts *counts = &line->counts;
	char date[24], escaped[4 * sizeof(line->held_reply)];

	if (counts->open != 0)
		printf("  waiting       %" PRIu64 " message%s\n", counts->open, plural(counts->open));
	if (counts->in_doubt != 0)
		printf("  in doubt      %" PRIu64 " message%s, sent without an answer; the next run settles this\n", counts->in_doubt,
			plural(counts->in_doubt));
	if (counts->held != 0)
		printf("  held          %" PRIu64 " message%s, the latest since %s: %s%s%s\n", counts->held, plural(counts->held),
			when(date, line->held_at), line->held_destination, line->held_destination[0] != '\0' ? ": " : "",
			printable_into(escaped, sizeof(escaped), line->held_reply, strlen(line->held_reply)));
	if (counts->next_try >= 0)
		printf("  next try      %s\n", counts->next_try <= line->now ? "by the next run" : when(date, counts->next_try));
}

static void print_text(const struct line *line)
{
	const struct mailbox_counts *counts = &line->counts;
	char date[24];

	printf("%s%s\n", line->config->name, line->config->enabled ? "" : " (not enabled)");
	printf("  last success  %s\n", when(date, line->mailbox.last_success));
	printf("  last mail     %s\n", when(date, line->mailbox.last_mail));
	print_trouble(line);
	print_undelivered(line);
	printf("  hauled        %" PRIu64 " message%s", counts->delivered, plural(counts->delivered));
	if (counts->owed != 0)
		printf(", %" PRIu64 " to be removed at the source", counts->owed);
	if (counts->retained != 0)
		printf(", %" PRIu64 " to be removed later", counts->retained);
	if (counts->baseline != 0)
		printf(", %" PRIu64 " skipped by first_run", counts->baseline);
	putchar('\n');
}

static void print_json(const struct line *line)
{
	const struct mailbox_state *mailbox = &line->mailbox;
	const struct mailbox_counts *counts = &line->counts;
	bool in_trouble = mailbox->last_error[0] != '\0';

	printf("{\"name\":\"%s\",\"enabled\":%s", line->config->name, line->config->enabled ? "true" : "false"); /* names are plain words */
	json_date("last_success", mailbox->last_success);
	json_date("last_mail", mailbox->last_mail);
	json_string("stopped", mailbox->stopped[0] != '\0' ? mailbox->stopped : NULL);
	json_date("last_error_at", in_trouble ? mailbox->last_error_at : 0);
	json_date("error_since", in_trouble ? mailbox->error_since : 0);
	json_string("last_error", mailbox->last_error);
	json_date("back_off_until", line->backing_off ? mailbox->retry_at : 0);
	printf(",\"failures\":%u,\"hauled\":%" PRIu64 ",\"open\":%" PRIu64 ",\"held\":%" PRIu64 ",\"in_doubt\":%" PRIu64 ",\"owed\":%" PRIu64
	       ",\"retained\":%" PRIu64 ",\"baseline\":%" PRIu64,
		mailbox->failures, counts->delivered, counts->open, counts->held, counts->in_doubt, counts->owed, counts->retained, counts->baseline);
	json_date("next_try", counts->next_try > 0 ? counts->next_try : 0);
	json_date("held_since", line->held_at);
	json_string("held_destination", line->held_destination[0] != '\0' ? line->held_destination : NULL);
	json_string("held_reply", line->held_at != 0 ? line->held_reply : NULL);
	putchar('}');
}

static void print_json_head(const struct config *config)
{
	printf("{\"version\":1"); /* of this form */
	json_string("config", config->file);
	json_string("state_dir", config->state_dir);
	printf(",\"mailboxes\":[");
}

static int read_line(struct state *state, const struct config *config, struct line *line, struct error *err)
{
	line->now = clock_wall_s();
	line->counts.next_try = -1;
	if (state == NULL)
		return 0; /* never run: everything is zero */
	if (state_mailbox_open(state, config, line->config, &line->mailbox, err) < 0 || state_counts(state, line->mailbox.id, &line->counts, err) < 0)
		return -1;
	if (line->counts.held != 0 && state_held(state, line->mailbox.id, 0, note_latest, line, err) < 0)
		return -1;
	line->backing_off =
		line->mailbox.failures != 0 && !backoff_is_over((enum backoff_clock)line->mailbox.clock, line->mailbox.retry_at, line->now);
	return 0;
}

/* What waits or is in doubt settles itself; this does not, or not soon. */
static bool needs_attention(const struct line *line)
{
	return line->config->enabled && (line->mailbox.failures != 0 || line->mailbox.stopped[0] != '\0' || line->counts.held != 0);
}

/* -- destinations -- */

static void print_destination_text(const char *name, const struct destination_state *destination)
{
	char date[24], escaped[4 * sizeof(destination->last_error)];

	if (destination->failures == 0)
		return; /* nothing to say about one that works */
	printf("destination %s is down\n", name);
	printf("  down since    %s\n", when(date, destination->down_since));
	printf("  last error    %s: %s\n", when(date, destination->last_error_at),
		printable_into(escaped, sizeof(escaped), destination->last_error, strlen(destination->last_error)));
	printf("  next try      %s, after %u failure%s\n", when(date, destination->retry_at), destination->failures, plural(destination->failures));
}

static void print_destination_json(const char *name, const struct destination_state *destination)
{
	bool down = destination->failures != 0;

	printf("{\"name\":\"%s\"", name);
	json_date("down_since", down ? destination->down_since : 0);
	json_date("last_accepted", destination->accepted_at);
	json_date("last_error_at", down ? destination->last_error_at : 0);
	json_string("last_error", down ? destination->last_error : "");
	json_date("back_off_until", down ? destination->retry_at : 0);
	printf(",\"failures\":%u}", destination->failures);
}

static int print_destinations(const struct config *config, struct state *state, bool json, bool *attention, struct error *err)
{
	for (size_t i = 0; i < config->destination_count; i++) {
		const char *name = config->destinations[i].name;
		struct destination_state destination = {0};

		if (state != NULL && state_destination_load(state, name, &destination, err) < 0)
			return -1;
		if (json && i != 0)
			putchar(',');
		(json ? print_destination_json : print_destination_text)(name, &destination);
		*attention |= destination.failures != 0;
	}
	return 0;
}

static int print_all(const struct options *options, const struct config *config, struct state *state, bool *ret_attention, struct error *err)
{
	*ret_attention = false;
	if (options->json)
		print_json_head(config);
	else
		printf("configuration %s, state in %s\n", config->file, config->state_dir);
	for (size_t i = 0; i < config->mailbox_count; i++) {
		struct line line = {.config = &config->mailboxes[i]};

		if (read_line(state, config, &line, err) < 0)
			return -1;
		if (options->json && i != 0)
			putchar(',');
		(options->json ? print_json : print_text)(&line);
		*ret_attention |= needs_attention(&line);
	}
	if (options->json)
		printf("],\"destinations\":[");
	if (print_destinations(config, state, options->json, ret_attention, err) < 0)
		return -1;
	if (options->json)
		puts("]}");
	return 0;
}

int command_status(const struct options *options, struct spawner *spawner)
{
	struct config *config;
	struct error err = {0};
	struct state *state;
	bool attention;
	int code;

	(void)spawner;
	if (strv_length(options->arguments) != 0) {
		fputs("mailhaul: status takes no names, it shows all mailboxes\n", stderr);
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	state = command_open_state(config, true, &err);
	if ((state == NULL && err.kind != ERR_NONE) || print_all(options, config, state, &attention, &err) < 0)
		code = command_failed(&err);
	else
		code = attention ? EXIT_ATTENTION : EX_OK;
	state_close(state);
	config_free(config);
	return code;
}
