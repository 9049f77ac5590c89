#include "supervisor/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "state/state.h"
#include "supervisor/attendant.h"

struct line {
	struct attendant *attendant; /* NULL: forgotten */
	struct record *record;       /* as long as it is, no longer; owned */
	enum refusal_end end;        /* what became of it, if it is a refusal */
};

struct ledger {
	struct state *state;
	sd_event_source *timer;
	bool armed;
	struct line *lines; /* while the database is busy they may be more than LEDGER_MAX: up to CHANNEL_WINDOW of each worker */
	size_t count, capacity;
	void (*failed)(void *, const struct error *);
	void (*short_of_room)(void *);
	void *context;
	unsigned long long commits;
};

static void arm(struct ledger *ledger, uint64_t delay_us)
{
	sd_event_source_set_time_relative(ledger->timer, delay_us);
	sd_event_source_set_enabled(ledger->timer, SD_EVENT_ONESHOT);
	ledger->armed = true;
}

static int on_timer(sd_event_source *source, uint64_t when_us, void *context)
{
	struct ledger *ledger = context;

	(void)source;
	(void)when_us;
	ledger->armed = false;
	ledger_commit(ledger, NULL); /* a failure has reached ledger->failed, busy has armed the timer again */
	return 0;
}

struct ledger *ledger_new(
	sd_event *event, struct state *state, void (*failed)(void *, const struct error *), void (*short_of_room)(void *), void *context)
{
	struct ledger *ledger = xcalloc(1, sizeof(*ledger));

	ledger->state = state;
	ledger->failed = failed;
	ledger->short_of_room = short_of_room;
	ledger->context = context;
	/* 1: of the accuracy that it is given, sd-event makes use to the last, and everybody waits for a commit. */
	if (sd_event_add_time_relative(event, &ledger->timer, CLOCK_MONOTONIC, 0, 1, on_timer, ledger) < 0) {
		free(ledger);
		return NULL;
	}
	sd_event_source_set_enabled(ledger->timer, SD_EVENT_OFF);
	return ledger;
}

static void clear(struct ledger *ledger)
{
	while (ledger->count != 0)
		free(ledger->lines[--ledger->count].record);
}

void ledger_free(struct ledger *ledger)
{
	if (ledger == NULL)
		return;
	clear(ledger);
	sd_event_source_disable_unref(ledger->timer);
	free(ledger->lines);
	free(ledger);
}

void ledger_add(struct ledger *ledger, struct attendant *attendant, const struct record *record)
{
	struct record *copy = xmalloc(record_size(record));

	memcpy(copy, record, record_size(record));
	if (ledger->count == ledger->capacity) {
		ledger->capacity = ledger->capacity != 0 ? ledger->capacity * 2 : LEDGER_MAX;
		ledger->lines = xreallocarray(ledger->lines, ledger->capacity, sizeof(*ledger->lines));
	}
	ledger->lines[ledger->count++] = (struct line){.attendant = attendant, .record = copy};
	if ((record->flags & REC_WAITING) != 0 || ledger->count >= LEDGER_MAX)
		ledger_commit_soon(ledger);
	else if (!ledger->armed)
		arm(ledger, LEDGER_DELAY_MS * 1000);
}

void ledger_commit_soon(struct ledger *ledger)
{
	if (ledger->count == LEDGER_MAX)
		ledger_commit(ledger, NULL); /* the first time; while the database is busy, the timer tries again */
	else
		arm(ledger, 0);
}

/* A worker whose record does not fit its own past is lying or broken: it is ended, the others' records count. */
static int apply_all(struct ledger *ledger, struct error *err)
{
	int64_t now = clock_wall_s();

	for (size_t i = 0; i < ledger->count; i++) {
		struct line *line = &ledger->lines[i];

		if (line->attendant == NULL || attendant_apply(line->attendant, line->record, now, &line->end, err) == 0)
			continue;
		if (err->kind != ERR_PROTO)
			return -1;
		attendant_condemn(line->attendant, err);
		for (size_t k = i; k < ledger->count; k++)
			if (ledger->lines[k].attendant == line->attendant && k != i)
				ledger->lines[k].attendant = NULL;
		line->attendant = NULL;
	}
	return 0;
}

static void acknowledge_all(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (ledger->lines[i].attendant != NULL)
			attendant_committed(ledger->lines[i].attendant, ledger->lines[i].record, ledger->lines[i].end);
	/* From the back: the first line seen of each attendant carries its highest number. */
	for (size_t i = ledger->count; i-- != 0;) {
		struct attendant *attendant = ledger->lines[i].attendant;

		if (attendant != NULL && (int32_t)(ledger->lines[i].record->seq - attendant->acknowledged) > 0)
			attendant_acknowledge(attendant, ledger->lines[i].record->seq);
	}
}

/* All or nothing. */
static int write_all(struct ledger *ledger, struct error *err)
{
	if (state_begin(ledger->state, err) < 0)
		return -1;
	if (apply_all(ledger, err) == 0 && state_commit(ledger->state, err) == 0)
		return 0;
	state_rollback(ledger->state);
	return -1;
}

int ledger_commit(struct ledger *ledger, struct error *err)
{
	struct error local;

	if (ledger->count == 0)
		return 0;
	if (err == NULL)
		err = &local;
	if (write_all(ledger, err) < 0) {
		/* Busy: without WAL even a commit can be, while somebody reads. */
		if (err->kind == ERR_TEMP)
			arm(ledger, LEDGER_DELAY_MS * 1000);
		else
			ledger->failed(ledger->context, err);
		return -1;
	}
	ledger->commits++;
	acknowledge_all(ledger);
	clear(ledger);
	if (state_is_short_of_room(ledger->state))
		ledger->short_of_room(ledger->context);
	return 0;
}

void ledger_forget(struct ledger *ledger, const struct attendant *attendant)
{
	for (size_t i = 0; i < ledger->count; i++)
		if (ledger->lines[i].attendant == attendant)
			ledger->lines[i].attendant = NULL;
}

unsigned long long ledger_commits(const struct ledger *ledger)
{
	return ledger->commits;
}
