#include "supervisor/round.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/attendant.h"
#include "supervisor/credential.h"
#include "supervisor/destinations.h"
#include "supervisor/herald.h"
#include "supervisor/roster.h"
#include "supervisor/timetable.h"

static void report_unkillable(const struct post *post, struct attendant *attendant)
{
	struct log log = {.key = "mailbox", .value = post->mailbox->name};
	bool is_waited_for = post->attendant == attendant || post->ending;
	char text[200];

	if (attendant->reported || !attendant_is_unkillable(attendant))
		return;
	attendant->reported = true;
	post->host->stuck += attendant->unopened != 0;
	snprintf(text, sizeof(text),
		"process %ld was killed and does not end, which is a matter of the kernel, often of a dead network file system; %s",
		(long)attendant->worker.pid, is_waited_for ? "the mailbox waits for it" : "one of its folders is only polled");
	log_say(&log, LEVEL_ERROR, "worker_unkillable", "%s", text);
	herald_tell(attendant->service, "worker_unkillable", post->mailbox->name, NULL, text);
}

static void report_all_unkillable(const struct post *post)
{
	report_unkillable(post, post->attendant);
	for (unsigned i = 0; i < post->sentries.count; i++)
		if (post->sentries.list[i].attendant != NULL)
			report_unkillable(post, post->sentries.list[i].attendant);
}

static void try_new_password(struct roster *roster, struct post *post)
{
	struct mailbox_state mailbox;

	timetable_look(roster->service, post, &mailbox);
	if (credential_was_replaced(roster->service, post->mailbox, &mailbox))
		roster_want(roster, post, false);
}

static void want_whoever_delivers_to(struct roster *roster, const char *destination)
{
	for (unsigned i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];
		char *const *name = post->mailbox->deliver_to;

		while (*name != NULL && strcmp(*name, destination) != 0)
			name++;
		if (*name != NULL && !post->failing)
			roster_want(roster, post, false);
	}
}

static void try_new_passwords_of_destinations(struct roster *roster)
{
	const struct config *config = roster->service->config;

	for (size_t i = 0; i < config->destination_count; i++)
		if (destination_forgive(roster->service, &config->destinations[i]))
			want_whoever_delivers_to(roster, config->destinations[i].name);
}

/* A full disk has stopped all sessions. */
static void go_on_if_there_is_room(struct roster *roster, struct timetable *timetable)
{
	if (!service_has_room_again(roster->service))
		return;
	roster_open(roster);
	timetable_begin(timetable);
	for (unsigned i = 0; i < roster->count; i++)
		if (roster->posts[i]->state == POST_RESTING)
			timetable_first(timetable, roster->posts[i]);
}

void round_make(struct roster *roster, struct timetable *timetable, bool leaving)
{
	for (unsigned i = 0; i < roster->count; i++) {
		struct post *post = roster->posts[i];

		if (post->attendant != NULL) {
			report_all_unkillable(post);
			attendant_take_stock(post->attendant);
		} else if (post->state == POST_RESTING && post->refused) {
			try_new_password(roster, post);
		}
	}
	try_new_passwords_of_destinations(roster);
	if (!leaving)
		go_on_if_there_is_room(roster, timetable);
}
