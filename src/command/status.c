#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "command/command.h"
#include "policy/policy.h"
#include "state/state.h"

struct line {
	const struct mailbox_config *config;
	struct mailbox_state mailbox;
	struct mailbox_counts counts;
	bool backing_off;
};

static const char *when(char *out, int64_t wall_s)
{
	return wall_s != 0 ? clock_iso8601(out, wall_s) : "never";
}

static void print_text(const struct line *line)
{
	const struct mailbox_state *mailbox = &line->mailbox;
	const struct mailbox_counts *counts = &line->counts;
	char date[24], escaped[4 * sizeof(mailbox->last_error)];

	printf("%s%s\n", line->config->name, line->config->enabled ? "" : " (not enabled)");
	printf("  last success  %s\n", when(date, mailbox->last_success));
	printf("  last mail     %s\n", when(date, mailbox->last_mail));
	if (mailbox->last_error[0] != '\0')
		printf("  last error    %s: %s\n", when(date, mailbox->last_error_at),
			printable_into(escaped, sizeof(escaped), mailbox->last_error, strlen(mailbox->last_error)));
	if (line->backing_off)
		printf("  backing off   until %s, after %u failure%s\n", when(date, mailbox->retry_at), mailbox->failures,
			mailbox->failures == 1 ? "" : "s");
	printf("  messages      %" PRIu64 " hauled, %" PRIu64 " open, %" PRIu64 " held, %" PRIu64 " in doubt", counts->delivered, counts->open,
		counts->held, counts->in_doubt);
	if (counts->owed != 0)
		printf(", %" PRIu64 " to be removed at the source", counts->owed);
	if (counts->baseline != 0)
		printf(", %" PRIu64 " skipped by first_run", counts->baseline);
	putchar('\n');
}

static void print_json_text(const char *key, const char *text)
{
	printf(",\"%s\":\"", key);
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte > 0x7E)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

static void print_json_date(const char *key, int64_t wall_s)
{
	char date[24];

	if (wall_s != 0)
		printf(",\"%s\":\"%s\"", key, clock_iso8601(date, wall_s));
	else
		printf(",\"%s\":null", key);
}

static void print_json(const struct line *line)
{
	const struct mailbox_counts *counts = &line->counts;

	printf("{\"name\":\"%s\",\"enabled\":%s", line->config->name, line->config->enabled ? "true" : "false"); /* names are plain words */
	print_json_date("last_success", line->mailbox.last_success);
	print_json_date("last_mail", line->mailbox.last_mail);
	print_json_date("last_error_at", line->mailbox.last_error[0] != '\0' ? line->mailbox.last_error_at : 0);
	print_json_text("last_error", line->mailbox.last_error);
	print_json_date("back_off_until", line->backing_off ? line->mailbox.retry_at : 0);
	printf(",\"failures\":%u,\"hauled\":%" PRIu64 ",\"open\":%" PRIu64 ",\"held\":%" PRIu64 ",\"in_doubt\":%" PRIu64 ",\"owed\":%" PRIu64
	       ",\"baseline\":%" PRIu64 "}",
		line->mailbox.failures, counts->delivered, counts->open, counts->held, counts->in_doubt, counts->owed, counts->baseline);
}

static void print_json_head(const struct config *config)
{
	printf("{\"version\":1"); /* of this form */
	print_json_text("config", config->file);
	print_json_text("state_dir", config->state_dir);
	printf(",\"mailboxes\":[");
}

static int read_line(struct state *state, const struct config *config, struct line *line, struct error *err)
{
	if (state == NULL)
		return 0; /* never run: everything is zero */
	if (state_mailbox_open(state, config, line->config, &line->mailbox, err) < 0 || state_counts(state, line->mailbox.id, &line->counts, err) < 0)
		return -1;
	line->backing_off =
		line->mailbox.failures != 0 && !backoff_is_over((enum backoff_clock)line->mailbox.clock, line->mailbox.retry_at, clock_wall_s());
	return 0;
}

static int print_all(const struct options *options, const struct config *config, struct state *state, struct error *err)
{
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
	}
	if (options->json)
		puts("]}");
	return 0;
}

int command_status(const struct options *options, struct spawner *spawner)
{
	struct config *config;
	struct error err = {0};
	struct state *state;
	bool is_new;
	int code = EX_OK;

	(void)spawner;
	if (strv_length(options->arguments) != 0) {
		fputs("mailhaul: status takes no names, it shows all mailboxes\n", stderr);
		return EX_USAGE;
	}
	config = command_load(options);
	if (config == NULL)
		return EX_CONFIG;
	state = command_become(config, &err) == 0 ? state_open(config->state_dir, true, &is_new, &err) : NULL;
	if ((state == NULL && err.kind != ERR_NONE) || print_all(options, config, state, &err) < 0) {
		fprintf(stderr, "mailhaul: %s\n", err.text);
		code = policy_exit_code(err.kind, err.scope);
	}
	state_close(state);
	config_free(config);
	return code;
}
