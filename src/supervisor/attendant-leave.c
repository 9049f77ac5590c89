#include <signal.h>

#include "base/clock.h"
#include "supervisor/attendant.h"

/* What a worker gets to finish the message in hand, whose answer may take that long, and then to give it up, which takes no time but on a dead disk. */
#define STOP_S 60
#define HURRY_S 4
/* From the kill on; who is at a dead file system may take for ever. */
#define UNKILLABLE_S 10

static int on_hurry_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	attendant_kill(context);
	return 0;
}

static int on_stop_deadline(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	attendant_hurry(context);
	return 0;
}

/* A password command has no worker yet; its end finishes us. */
static void tell_to_leave(struct attendant *attendant, uint16_t flags, double deadline_s, sd_event_time_handler_t handler)
{
	attendant->stopping = true;
	if (attendant->channel_fd < 0) {
		program_kill(&attendant->command);
		return;
	}
	attendant_send(attendant, &(struct record){.kind = REC_STOP, .flags = flags}, NULL, 0);
	attendant->kill_event = sd_event_source_disable_unref(attendant->kill_event);
	sd_event_add_time_relative(
		attendant->service->event, &attendant->kill_event, CLOCK_MONOTONIC, (uint64_t)(deadline_s * 1e6), 10000, handler, attendant);
}

void attendant_stop(struct attendant *attendant)
{
	if (!attendant->stopping)
		tell_to_leave(attendant, 0, STOP_S * deadline_factor(), on_stop_deadline);
}

void attendant_hurry(struct attendant *attendant)
{
	if (attendant->hurried)
		return;
	attendant->hurried = true;
	tell_to_leave(attendant, REC_AT_ONCE, HURRY_S, on_hurry_deadline);
}

void attendant_kill(struct attendant *attendant)
{
	if (attendant->killed_ns == 0)
		attendant->killed_ns = clock_monotonic_ns();
	if (attendant->worker.pid > 0)
		kill(attendant->worker.pid, SIGKILL);
	program_kill(&attendant->command);
}

bool attendant_is_unkillable(const struct attendant *attendant)
{
	return attendant->killed_ns != 0 && attendant->worker.pid != 0 &&
	       clock_monotonic_ns() - attendant->killed_ns >= (int64_t)(UNKILLABLE_S * deadline_factor() * 1e9);
}
