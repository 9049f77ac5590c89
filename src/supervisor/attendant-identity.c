#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "policy/renumbering.h"
#include "supervisor/attendant.h"
#include "supervisor/destinations.h"
#include "supervisor/ledger.h"
#include "supervisor/scribes.h"

#define PLAN_MAX_BYTES (256u * 1024 * 1024)

/* Anew for each request: a folder that holds nothing may be forgotten by another mailhaul that has none of that name, and its number used again. */
static int folder_id(struct attendant *attendant, const struct record *request, int64_t *ret_id, struct error *err)
{
	size_t count = strv_length(attendant->mailbox->folders);
	const char *name = count != 0 && request->index < count ? attendant->mailbox->folders[request->index] : "";

	if (request->index >= (count != 0 ? count : 1))
		return attendant_nonsense(err, "a folder that is not configured");
	return state_folder_open(attendant->service->state, attendant->mailbox_state.id, name, ret_id, err);
}

static int roll_back(struct attendant *attendant)
{
	state_rollback(attendant->service->state);
	return -1;
}

static void leave_out(struct attendant *attendant, struct state_target *targets, unsigned count)
{
	uint64_t left_out = 0;

	for (unsigned i = 0; i < attendant->job.destination_count; i++)
		left_out |= (uint64_t)destination_is_left_out(attendant, i) << i;
	for (unsigned i = 0; i < count; i++) {
		targets[i].resting = (left_out >> attendant->job.targets[i].dest & 1) != 0;
		attendant->rested |= targets[i].resting;
	}
}

static int serve_folder(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct service *service = attendant->service;
	struct state_target targets[TARGETS_MAX];
	struct record answer = {.kind = REC_KNOWN};
	unsigned count = attendant_targets(attendant, targets);
	enum known_wish wish = (request->flags & REC_PLANNED_NOW) != 0 ? KNOWN_ITEMS
			       : (request->flags & REC_COMPLETE) != 0  ? KNOWN_ALL_KEYS
								       : KNOWN_AS_NEEDED;
	bool unmatched;
	int64_t id;
	int fd;

	leave_out(attendant, targets, count);
	if (folder_id(attendant, request, &id, err) < 0 ||
		state_known(service->state, id, request->uidvalidity, request->count, wish, targets, count, clock_wall_s(), &fd, err) < 0)
		goto failed;
	if (state_has_unmatched(service->state, id, &unmatched, err) < 0 || state_commit(service->state, err) < 0) {
		close(fd);
		goto failed;
	}
	answer.count = unmatched;
	attendant_send(attendant, &answer, &fd, 1);
	close(fd);
	return 0;
failed:
	return roll_back(attendant);
}

/* -- when the server changes its numbers -- */

/* What an operator is to do about it goes into the state and, as the end of the session, into the log. Returns -1. */
static int stop_mailbox(struct attendant *attendant, const struct error *why, struct error *err)
{
	if (state_mailbox_stop(attendant->service->state, attendant->mailbox_state.id, why->text, err) < 0 ||
		state_commit(attendant->service->state, err) < 0)
		return roll_back(attendant);
	*err = *why;
	return -1;
}

static const char *folder_name(const struct attendant *attendant, const struct record *request)
{
	return attendant->mailbox->folders != NULL ? attendant->mailbox->folders[request->index] : "the mailbox";
}

static int stop_for_changes(struct attendant *attendant, const struct record *request, unsigned changes, struct error *err)
{
	struct error why;

	error_set(&why, ERR_REFUSED, SCOPE_MAILBOX,
		"stopped: the server gave the messages of %.60s new numbers %u times within a day; when that is over, run: mailhaul accept %s",
		folder_name(attendant, request), changes, attendant->mailbox->name);
	return stop_mailbox(attendant, &why, err);
}

static int stop_for_news(struct attendant *attendant, const struct record *request, const struct renumbering *renumbering, struct error *err)
{
	struct error why;

	error_set(&why, ERR_REFUSED, SCOPE_MAILBOX,
		"stopped: the server renumbered %.60s, and %llu of its %llu messages look new, perhaps hauled before; to haul them all the same, "
		"run: "
		"mailhaul accept %s",
		folder_name(attendant, request), (unsigned long long)renumbering->fresh, (unsigned long long)renumbering->listed,
		attendant->mailbox->name);
	return stop_mailbox(attendant, &why, err);
}

/* -- what the worker asks for -- */

/* Inside the transaction. */
static int take_plan(
	struct attendant *attendant, const struct record *request, int plan_fd, struct planned *ret_planned, bool *ret_unmatched, struct error *err)
{
	struct service *service = attendant->service;
	struct state_target targets[TARGETS_MAX];
	unsigned count = attendant_targets(attendant, targets);
	const void *plan;
	size_t len;
	int64_t id;
	int result;

	if (fs_map_sealed(fcntl(plan_fd, F_DUPFD_CLOEXEC, 0), PLAN_MAX_BYTES, &plan, &len, err) < 0)
		return -1;
	result = folder_id(attendant, request, &id, err);
	if (result == 0)
		result = state_plan(service->state, id, request, plan, len, targets, count, attendant->job.frozen,
			&attendant->mailbox->after_delivery, clock_wall_s(), ret_planned, err);
	if (result == 0)
		result = state_has_unmatched(service->state, id, ret_unmatched, err);
	if (plan != NULL)
		munmap((void *)(uintptr_t)plan, len);
	return result;
}

static int serve_plan(struct attendant *attendant, const struct record *request, int plan_fd, struct error *err)
{
	struct record answer = {.kind = REC_PLANNED};
	struct planned planned;
	bool unmatched;

	if (take_plan(attendant, request, plan_fd, &planned, &unmatched, err) < 0)
		return roll_back(attendant);
	if (planned.renumberings >= RENUMBERINGS_MAX)
		return stop_for_changes(attendant, request, planned.renumberings, err);
	if (state_commit(attendant->service->state, err) < 0)
		return roll_back(attendant);
	if (planned.became_unstable)
		log_say(&attendant->log, LEVEL_WARNING, "no_uidvalidity",
			"the server names no UIDVALIDITY for %.60s, so its numbers mean nothing: every run will know its messages by their headers, "
			"which takes "
			"longer",
			folder_name(attendant, request));
	answer.id = planned.first_id;
	answer.code = planned.recognition;
	answer.count = unmatched;
	answer.index = planned.inherited;
	attendant_send(attendant, &answer, NULL, 0);
	/* The worker need not wait for it, but no intent of its own is heard before. */
	if (planned.first_id != 0)
		scribes_mark(attendant);
	return 0;
}

static int serve_match(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct service *service = attendant->service;
	struct record answer = {.kind = REC_MATCHED};
	int64_t folder;

	if (folder_id(attendant, request, &folder, err) < 0 ||
		state_match(service->state, folder, attendant->mailbox_state.id, request->id, request->hash, request->trace, request->has_trace != 0,
			&answer.id, err) < 0 ||
		state_commit(service->state, err) < 0)
		return roll_back(attendant);
	attendant_send(attendant, &answer, NULL, 0);
	return 0;
}

static int serve_verify(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct service *service = attendant->service;
	struct record answer = {.kind = REC_MATCHED};
	bool same;
	int64_t folder;

	if (folder_id(attendant, request, &folder, err) < 0 ||
		state_verify(service->state, folder, request->id, request->hash, request->trace, request->has_trace != 0, clock_wall_s(), &same,
			err) < 0 ||
		state_commit(service->state, err) < 0)
		return roll_back(attendant);
	answer.id = same ? request->id : 0;
	attendant_send(attendant, &answer, NULL, 0);
	return 0;
}

/* 0: what is new may be delivered, and *ret_changes says how often that was asked on POP3. Inside the transaction. */
static int accept_renumbering(
	struct attendant *attendant, int64_t folder, const struct renumbering *renumbering, unsigned *ret_changes, struct error *err)
{
	struct state *state = attendant->service->state;

	*ret_changes = 0;
	/* What has not been listed yet is in question, too. */
	if (renumbering->accepted || !renumbering->complete)
		return 0;
	if (renumbering->by_uidl && renumbering->recognized != 0 && state_renumbering_count(state, folder, clock_wall_s(), ret_changes, err) < 0)
		return -1;
	return state_renumbering_accept(state, folder, err);
}

static int serve_judge(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct state *state = attendant->service->state;
	struct renumbering renumbering;
	unsigned changes;
	int64_t folder;

	if (folder_id(attendant, request, &folder, err) < 0 || state_renumbering(state, folder, &renumbering, err) < 0)
		return roll_back(attendant);
	if (!renumbering.accepted && renumbering_is_suspicious(renumbering.fresh, renumbering.listed))
		return stop_for_news(attendant, request, &renumbering, err);
	if (accept_renumbering(attendant, folder, &renumbering, &changes, err) < 0)
		return roll_back(attendant);
	if (changes >= RENUMBERINGS_MAX)
		return stop_for_changes(attendant, request, changes, err);
	if (state_commit(state, err) < 0)
		return roll_back(attendant);
	attendant_send(attendant, &(struct record){.kind = REC_JUDGED}, NULL, 0);
	return 0;
}

/* What a power cut takes back of a folder is seen and done again, and so is a plan: no intent is on disk without it. But where a first run draws its line
 * must not move. */
static int begin(struct attendant *attendant, const struct record *request, struct error *err)
{
	struct state *state = attendant->service->state;
	bool first_run_all = attendant->mailbox->first_run.what == FIRST_RUN_ALL;

	if (request->kind == REC_FOLDER || (request->kind == REC_PLAN && first_run_all))
		return state_begin_unsynced(state, err);
	return state_begin(state, err);
}

int attendant_identify(struct attendant *attendant, const struct record *request, int fd, struct error *err)
{
	if (request->kind != REC_FOLDER && attendant->mode != JOB_HAUL)
		return attendant_nonsense(err, "a change while it should only look");
	/* What was reported is part of what is known. */
	if (ledger_commit(attendant->service->ledger, err) < 0 || begin(attendant, request, err) < 0)
		return -1;
	switch (request->kind) {
	case REC_FOLDER:
		return serve_folder(attendant, request, err);
	case REC_PLAN:
		return serve_plan(attendant, request, fd, err);
	case REC_MATCH:
		return serve_match(attendant, request, err);
	case REC_JUDGE:
		return serve_judge(attendant, request, err);
	default:
		return serve_verify(attendant, request, err);
	}
}
