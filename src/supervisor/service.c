#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "state/marker.h"
#include "supervisor/attendant.h"
#include "supervisor/herald.h"
#include "supervisor/ledger.h"
#include "supervisor/progress.h"
#include "supervisor/roster.h"
#include "supervisor/schedule.h"
#include "supervisor/scribes.h"

bool service_has_state(const struct service *service)
{
	char *database = xasprintf("%s/state.db", service->config->state_dir);
	bool missing = access(database, F_OK) < 0 && errno == ENOENT;

	free(database);
	return !missing;
}

/* Before there is a new one. */
static int expect_state(struct service *service, struct error *err)
{
	struct markers markers;
	int result;

	markers_init(&markers, service->config);
	result = scribes_survey(service, &markers, NULL, err);
	if (result == 0)
		result = markers_expect(&markers, service->config, err);
	markers_done(&markers);
	return result;
}

/* An older copy of our own is allowed: what was hauled since then is at the source and comes again, or it was deleted there after it was delivered. */
static int compare(struct service *service, struct error *err)
{
	struct markers markers;
	bool behind = false;
	int result;

	markers_init(&markers, service->config);
	result = scribes_survey(service, &markers, NULL, err);
	if (result == 0)
		result = markers_compare(&markers, service->config, service->state, &behind, err);
	if (behind)
		log_say(NULL, LEVEL_WARNING, "state_behind",
			"the state in %s is older than what was hauled with it; what came since may come once more", service->config->state_dir);
	else if (result == 0)
		scribes_trust(service, &markers);
	markers_done(&markers);
	return result;
}

/* The markers tell of this state from here on: that is what was asked for. */
static int accept(struct service *service, bool is_new, struct error *err)
{
	struct marker_note note;
	struct markers markers;
	int result;

	if ((is_new && state_begin_anew(service->state, clock_wall_s(), err) < 0) || marker_compose(service->config, service->state, &note, err) < 0)
		return -1;
	markers_init(&markers, service->config);
	result = scribes_survey(service, &markers, note.text, err);
	markers_done(&markers);
	if (result == 0)
		log_say(NULL, LEVEL_NOTICE, "duplicates_accepted", "going on with the state in %s, whatever was hauled with another",
			service->config->state_dir);
	return result;
}

int service_open_state(struct service *service, bool accept_duplicates, struct error *err)
{
	const char *dir = service->config->state_dir;
	bool missing = !service_has_state(service), look = missing && service->mode != JOB_HAUL, is_new = false;

	if (missing && !accept_duplicates && expect_state(service, err) < 0)
		return -1;
	service->state = look ? state_open_scratch(err) : state_open(dir, false, &is_new, err);
	if (service->state == NULL)
		return -1;
	if (is_new)
		log_say(NULL, LEVEL_NOTICE, "state_new", "starting with an empty state in %s", dir);
	if (accept_duplicates)
		return accept(service, is_new, err);
	return look || is_new ? 0 : compare(service, err);
}

void service_shrink(struct service *service, unsigned calls)
{
	struct error err;
	bool more = true;

	while (more && calls-- != 0)
		if (state_shrink(service->state, service->config, clock_wall_s(), &more, &err) < 0) {
			log_say(NULL, LEVEL_INFO, "state_not_shrunk", "%s", err.text); /* it is only about room, and there is a next time */
			return;
		}
}

uint32_t service_login_delay_s(struct service *service, const struct mailbox_config *mailbox)
{
	uint32_t known_s = schedule_provider_minimum_s(mailbox);
	struct host_facts facts = {0};

	if (mailbox->protocol != PROTOCOL_POP3 || state_host_load(service->state, mailbox, clock_wall_s(), &facts, NULL) < 0)
		return known_s;
	return facts.login_delay_s > known_s ? facts.login_delay_s : known_s;
}

/* -- the end of it all -- */

int service_graver_code(int one, int other)
{
	static const int order[] = {EX_OK, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG, EX_IOERR, EX_SOFTWARE};
	unsigned rank = 0, other_rank = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		rank = order[i] == one ? i : rank;
		other_rank = order[i] == other ? i : other_rank;
	}
	return rank > other_rank ? one : other;
}

void service_note_exit_code(struct service *service, int code)
{
	service->exit_code = service_graver_code(code, service->exit_code);
}

void service_give_up(struct service *service, int exit_code)
{
	service_note_exit_code(service, exit_code);
	/* What was reported and not yet written would be in doubt, and come twice. */
	if (exit_code != EX_IOERR)
		ledger_commit(service->ledger, NULL);
	if (service->roster != NULL)
		roster_kill(service->roster);
	sd_event_exit(service->event, 0);
}

void service_state_failed(struct service *service, const struct error *err)
{
	progress_clear();
	log_say(NULL, LEVEL_ERROR, "state_failed", "the state cannot be written, so nothing more is done: %s", err->text);
	service_give_up(service, EX_IOERR);
}

void service_disk_is_full(struct service *service)
{
	char text[300];

	if (service->short_of_room)
		return;
	service->short_of_room = true;
	progress_clear();
	snprintf(text, sizeof(text), "the disk that holds %s is full: what is on its way is finished and recorded; make room, and mailhaul goes on",
		service->config->state_dir);
	log_say(NULL, LEVEL_ERROR, "disk_full", "%s", text);
	herald_tell(service, "disk_full", NULL, NULL, text);
	service_note_exit_code(service, EX_IOERR);
	if (service->roster != NULL)
		roster_stop(service->roster);
}

bool service_has_room_again(struct service *service)
{
	static const char text[] = "there is room again on the disk of the state, and mailhaul goes on";

	if (!service->short_of_room || !state_has_room_again(service->state))
		return false;
	service->short_of_room = false;
	service->exit_code = EX_OK; /* nothing but the full disk lets a program that ends with another one live on */
	log_say(NULL, LEVEL_NOTICE, "disk_has_room", "%s", text);
	herald_tell(service, "disk_has_room", NULL, NULL, text);
	return true;
}

/* -- signals -- */

static bool is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int service_watch_signal(struct service *service, int number, sd_event_signal_handler_t handler, void *context, struct error *err)
{
	sigset_t blocked;

	if (is_ignored(number))
		return 0;
	sigemptyset(&blocked);
	sigaddset(&blocked, number);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	if (sd_event_add_signal(service->event, NULL, number, handler, context) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch for signals");
	return 0;
}
