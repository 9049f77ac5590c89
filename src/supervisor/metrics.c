#include "supervisor/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"

/* Of one mailbox, as of its last session: to count what waits in a thousand of them each minute would be most of what an idle daemon does. */
struct sample {
	char name[NAME_BYTES];
	bool fresh;
	struct mailbox_state mailbox;
	struct mailbox_counts counts;
	uint64_t deliveries; /* since the start */
};

struct metrics {
	struct service *service;
	struct sample *samples;
	size_t count;
	bool failing; /* and that was said */
};

static struct sample *sample_of(struct metrics *metrics, const char *name)
{
	struct sample *sample;

	for (size_t i = 0; i < metrics->count; i++)
		if (strcmp(metrics->samples[i].name, name) == 0)
			return &metrics->samples[i];
	metrics->samples = xreallocarray(metrics->samples, metrics->count + 1, sizeof(*sample));
	sample = &metrics->samples[metrics->count++];
	*sample = (struct sample){0};
	snprintf(sample->name, sizeof(sample->name), "%s", name);
	return sample;
}

/* While another mailhaul has the database it stays as it was. */
static const struct sample *read_sample(struct metrics *metrics, const struct mailbox_config *config)
{
	struct sample *sample = sample_of(metrics, config->name);
	struct state *state = metrics->service->state;

	if (!sample->fresh && state_mailbox_look(state, config, &sample->mailbox, NULL) == 0 &&
		state_undelivered(state, sample->mailbox.id, &sample->counts, NULL) == 0)
		sample->fresh = true;
	return sample;
}

/* -- the text -- */

enum figure { FIGURE_UP, FIGURE_SUCCESS, FIGURE_MAIL, FIGURE_FAILURES, FIGURE_REST, FIGURE_OPEN, FIGURE_DOUBT, FIGURE_HELD, FIGURE_DELIVERIES };

static const struct {
	const char *name, *type, *help;
} figures[] = {
	[FIGURE_UP] = {"mailbox_up", "gauge", "1 if its last session was well and it has not stopped"},
	[FIGURE_SUCCESS] = {"mailbox_last_success_timestamp_seconds", "gauge", "end of its last session that was well; 0: never"},
	[FIGURE_MAIL] = {"mailbox_last_mail_timestamp_seconds", "gauge", "when the last message was delivered; 0: never"},
	[FIGURE_FAILURES] = {"mailbox_failures", "gauge", "sessions in a row that failed"},
	[FIGURE_REST] = {"mailbox_back_off_until_timestamp_seconds", "gauge", "when it is tried again after failures; 0: it does not rest"},
	[FIGURE_OPEN] = {"mailbox_messages_waiting", "gauge", "messages that are not delivered yet"},
	[FIGURE_DOUBT] = {"mailbox_messages_in_doubt", "gauge", "messages that were sent without an answer"},
	[FIGURE_HELD] = {"mailbox_messages_held", "gauge", "messages that are held"},
	[FIGURE_DELIVERIES] = {"mailbox_deliveries_total", "counter", "messages accepted by a destination since mailhaul was started"},
};

static int64_t value_of(const struct sample *sample, enum figure figure)
{
	const struct mailbox_state *mailbox = &sample->mailbox;

	switch (figure) {
	case FIGURE_UP:
		return mailbox->failures == 0 && mailbox->stopped[0] == '\0';
	case FIGURE_SUCCESS:
		return mailbox->last_success;
	case FIGURE_MAIL:
		return mailbox->last_mail;
	case FIGURE_FAILURES:
		return mailbox->failures;
	case FIGURE_REST:
		return mailbox->failures != 0 ? mailbox->retry_at : 0;
	case FIGURE_OPEN:
		return (int64_t)sample->counts.open;
	case FIGURE_DOUBT:
		return (int64_t)sample->counts.in_doubt;
	case FIGURE_HELD:
		return (int64_t)sample->counts.held;
	case FIGURE_DELIVERIES:
		return (int64_t)sample->deliveries;
	}
	return 0;
}

static void add_head(struct str *text, const char *name, const char *type, const char *help)
{
	str_addf(text, "# HELP mailhaul_%s %s\n# TYPE mailhaul_%s %s\n", name, help, name, type);
}

static void add_mailboxes(struct metrics *metrics, struct str *text)
{
	const struct config *config = metrics->service->config;
	const struct sample **samples = xcalloc(config->mailbox_count + 1, sizeof(struct sample *));
	size_t count = 0;

	for (size_t i = 0; i < config->mailbox_count; i++)
		sample_of(metrics, config->mailboxes[i].name); /* which moves the others */
	for (size_t i = 0; i < config->mailbox_count; i++)
		if (config->mailboxes[i].enabled)
			samples[count++] = read_sample(metrics, &config->mailboxes[i]);
	for (unsigned figure = 0; figure < ARRAY_SIZE(figures); figure++) {
		add_head(text, figures[figure].name, figures[figure].type, figures[figure].help);
		for (size_t i = 0; i < count; i++)
			str_addf(text, "mailhaul_%s{mailbox=\"%s\"} %" PRId64 "\n", figures[figure].name, samples[i]->name,
				value_of(samples[i], (enum figure)figure));
	}
	free(samples);
}

static void add_destinations(struct metrics *metrics, struct str *text)
{
	const struct config *config = metrics->service->config;

	add_head(text, "destination_up", "gauge", "1 if it accepted mail when it was last tried");
	for (size_t i = 0; i < config->destination_count; i++) {
		struct destination_state destination = {0};

		if (state_destination_load(metrics->service->state, config->destinations[i].name, &destination, NULL) == 0)
			str_addf(text, "mailhaul_destination_up{destination=\"%s\"} %d\n", config->destinations[i].name, destination.failures == 0);
	}
}

static void add_program(const struct metrics *metrics, struct str *text)
{
	const struct roster *roster = metrics->service->roster;

	add_head(text, "sessions", "gauge", "mailboxes that are being hauled");
	str_addf(text, "mailhaul_sessions %u\n", roster != NULL ? roster->hauling : 0);
	add_head(text, "written_timestamp_seconds", "gauge", "when this was written");
	str_addf(text, "mailhaul_written_timestamp_seconds %" PRId64 "\n", clock_wall_s());
}

/* -- the file -- */

/* Collectors are other users, so it is for all to read. Not synced: after a crash there are newer figures. */
static int replace_file(const char *path, const struct str *text, struct error *err)
{
	char *draft = xasprintf("%s.new", path);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644), result = -1;

	if (fd >= 0 && fchmod(fd, 0644) == 0 && fs_write_all(fd, text->data, text->len) == 0 && rename(draft, path) == 0)
		result = 0;
	else
		error_errno(err, SCOPE_PROGRAM, "cannot write metrics_file %s", path);
	if (fd >= 0 && result < 0)
		unlink(draft);
	fs_close(fd);
	free(draft);
	return result;
}

void metrics_write(struct metrics *metrics)
{
	struct str text = {0};
	struct error err;
	bool failed;

	if (metrics == NULL || metrics->service->config->metrics_file == NULL)
		return;
	add_mailboxes(metrics, &text);
	add_destinations(metrics, &text);
	add_program(metrics, &text);
	failed = replace_file(metrics->service->config->metrics_file, &text, &err) < 0;
	if (failed && !metrics->failing)
		log_say(NULL, LEVEL_WARNING, "no_metrics", "%s", err.text);
	metrics->failing = failed;
	str_done(&text);
}

void metrics_note(struct metrics *metrics, const char *mailbox, uint64_t deliveries)
{
	struct sample *sample;

	if (metrics == NULL)
		return;
	sample = sample_of(metrics, mailbox);
	sample->fresh = false;
	sample->deliveries += deliveries;
}

struct metrics *metrics_new(struct service *service)
{
	struct metrics *metrics = xcalloc(1, sizeof(*metrics));

	metrics->service = service;
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	free(metrics->samples);
	free(metrics);
}
