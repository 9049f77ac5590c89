#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "policy/policy.h"
#include "state/state.h"
#include "supervisor/attendant.h"
#include "supervisor/control.h"
#include "supervisor/credential.h"
#include "supervisor/roster.h"
#include "supervisor/schedule.h"
#include "supervisor/visitor.h"

#define PROGRESS_NS 200000000 /* a person cannot read faster */

static void tell_total(struct visitor *visitor, const struct progress_total *total)
{
	visitor_replyf(visitor, VISIT_PROGRESS, "%u %llu %llu %llu %llu", total->mailboxes, (unsigned long long)total->done,
		(unsigned long long)total->messages, (unsigned long long)total->done_bytes, (unsigned long long)total->bytes);
}

/* The last of them ends the visit; what was told of their progress may be a moment old. */
static void settle(struct visitor *visitor, unsigned i, int exit_code)
{
	visitor->exit_code = service_graver_code(exit_code, visitor->exit_code);
	visitor->errands[i] = visitor->errands[--visitor->errand_count];
	if (visitor->errand_count != 0)
		return;
	tell_total(visitor, &visitor->past);
	visitor_replyf(visitor, VISIT_END, "%d", visitor->exit_code);
	visitor_end(visitor);
}

/* To whoever named it, or sits at a terminal. */
static void complain(struct visitor *visitor, const char *name, const char *why)
{
	char text[VISIT_REPLY_MAX];
	int len = snprintf(text, sizeof(text), "%s%c%s", name, '\0', why);

	if (visitor->insists && len > 0)
		visitor_reply(visitor, VISIT_TROUBLE, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

static bool is_served(const struct roster *roster, const char *name)
{
	const struct post *post = roster_find(roster, name);

	return post != NULL && !post->gone;
}

/* Of the visitor's errands the one for that mailbox, or errand_count. */
static unsigned find_errand(const struct visitor *visitor, const char *name)
{
	unsigned i = 0;

	while (i < visitor->errand_count && strcmp(visitor->errands[i].name, name) != 0)
		i++;
	return i;
}

static void fail_errand(struct visitor *visitor, const char *name, int exit_code, const char *why)
{
	unsigned i = find_errand(visitor, name);

	if (i == visitor->errand_count)
		return;
	complain(visitor, name, why);
	settle(visitor, i, exit_code);
}

void control_not_started(struct control *control, const struct post *post, int exit_code, const char *why)
{
	for (unsigned v = 0; v < control->count; v++)
		fail_errand(control->visitors[v], post->mailbox->name, exit_code, why);
}

void control_busy(struct control *control, const struct post *post, const struct error *why)
{
	for (unsigned v = 0; v < control->count; v++)
		if (!control->visitors[v]->waits)
			fail_errand(control->visitors[v], post->mailbox->name, EX_TEMPFAIL, why->text);
}

void control_reloaded(struct control *control)
{
	for (unsigned v = 0; v < control->count; v++) {
		struct visitor *visitor = control->visitors[v];

		for (unsigned i = visitor->errand_count; i-- != 0;)
			if (!is_served(control->roster, visitor->errands[i].name))
				fail_errand(visitor, visitor->errands[i].name, EX_TEMPFAIL, "it left the configuration of the daemon");
	}
}

static void end_errand(struct visitor *visitor, unsigned i, const struct attendant *attendant, const struct error *err)
{
	int code = policy_exit_code(err->kind, err->scope);

	if (attendant != NULL) {
		progress_add(&visitor->past, &attendant->past_progress);
		progress_add(&visitor->past, &attendant->progress);
		if (attendant->rested) /* something was left for later */
			code = service_graver_code(code, EX_TEMPFAIL);
	}
	if (err->kind != ERR_NONE)
		complain(visitor, visitor->errands[i].name, err->text);
	settle(visitor, i, code);
}

static void send_progress(struct control *control, struct visitor *visitor)
{
	struct progress_total total = visitor->past;

	for (unsigned i = 0; i < visitor->errand_count; i++) {
		const struct post *post = roster_find(control->roster, visitor->errands[i].name);

		if (post == NULL || post->attendant == NULL)
			continue;
		total.mailboxes++;
		progress_add(&total, &post->attendant->past_progress);
		progress_add(&total, &post->attendant->progress);
	}
	tell_total(visitor, &total);
}

void control_progress(struct control *control)
{
	int64_t now = clock_monotonic_ns();

	for (unsigned v = 0; v < control->count; v++) {
		struct visitor *visitor = control->visitors[v];

		if (visitor->errand_count == 0 || now - visitor->told_ns < PROGRESS_NS)
			continue;
		visitor->told_ns = now;
		send_progress(control, visitor);
	}
}

/* For one that waits: what hangs has been tried for it, and hangs once more each time that it is. */
static bool may_insist(const struct visitor *visitor, const struct attendant *attendant)
{
	return visitor->insists && (attendant == NULL || attendant->unopened == 0);
}

/* Who was told to leave, or took too long, has not hauled everything, and who waited for mail to the end has hauled nothing since it was asked: its connection was dead. */
static bool has_looked(const struct post *post, const struct attendant *attendant, const struct error *err)
{
	if (err->kind == ERR_CANCELED || (attendant != NULL && attendant->unfinished))
		return false;
	return err->kind != ERR_NONE || attendant == NULL || !attendant->idle || post->state == POST_PUSHED;
}

void control_ended(struct control *control, struct post *post, const struct attendant *attendant, const struct error *err)
{
	const char *name = post->mailbox->name;
	bool looked = has_looked(post, attendant, err);

	for (unsigned v = 0; v < control->count; v++) {
		struct visitor *visitor = control->visitors[v];
		unsigned i = find_errand(visitor, name);

		if (i == visitor->errand_count)
			continue;
		if ((visitor->errands[i].fresh && looked) || control->roster->closed) {
			end_errand(visitor, i, attendant, err);
		} else {
			visitor->errands[i].fresh = true;
			roster_want(control->roster, post, may_insist(visitor, attendant));
		}
	}
	control_grant(control, name);
}

/* -- the request -- */

/* As for run without a daemon: a back-off holds for timers and cron. */
static bool is_due(struct control *control, const struct post *post, int *ret_exit_code)
{
	struct service *service = control->roster->service;
	struct mailbox_state mailbox;

	if (state_mailbox_look(service->state, post->mailbox, &mailbox, NULL) < 0)
		return true;
	if (schedule_is_due(&mailbox, false, clock_wall_s()) || credential_was_replaced(service, post->mailbox, &mailbox))
		return schedule_pause_s(&mailbox, service_login_delay_s(service, post->mailbox), clock_wall_s()) == 0;
	*ret_exit_code = policy_exit_code((enum error_kind)mailbox.last_error_kind, SCOPE_MAILBOX);
	return false;
}

static void add_errand(struct control *control, struct visitor *visitor, struct post *post)
{
	struct errand *errand;
	int exit_code = EX_OK;

	if (post->gone || find_errand(visitor, post->mailbox->name) != visitor->errand_count)
		return;
	if (!visitor->insists && !is_due(control, post, &exit_code)) {
		visitor->exit_code = service_graver_code(exit_code, visitor->exit_code);
		return;
	}
	visitor->errands = xreallocarray(visitor->errands, visitor->errand_count + 1, sizeof(*errand));
	errand = &visitor->errands[visitor->errand_count++];
	snprintf(errand->name, sizeof(errand->name), "%s", post->mailbox->name);
	errand->fresh = post->state != POST_HAULING; /* one that is under way may have listed its messages before those that are meant had come */
	roster_want(control->roster, post, visitor->insists);
}

void control_run(struct control *control, struct visitor *visitor, const char *flags, const char *end)
{
	struct roster *roster = control->roster;
	const char *names = control_next_word(flags);
	unsigned unknown = 0, known = 0;

	visitor->insists = strchr(flags, CONTROL_INSISTS) != NULL;
	visitor->waits = strchr(flags, CONTROL_WAITS) != NULL;
	for (const char *name = names; name < end; name = control_next_word(name))
		*(is_served(roster, name) ? &known : &unknown) += 1;
	if (unknown != 0 && known == 0) {
		visitor_reply(visitor, VISIT_UNKNOWN, "", 0);
		visitor_end(visitor);
		return;
	}
	if (unknown != 0) {
		control_refuse(visitor, "the daemon does not serve all of these mailboxes: name those that it serves, then the others");
		return;
	}
	for (const char *name = names; name < end; name = control_next_word(name))
		add_errand(control, visitor, roster_find(roster, name));
	for (unsigned i = 0; names == end && i < roster->count; i++)
		add_errand(control, visitor, roster->posts[i]);
	if (visitor->errand_count == 0) {
		visitor_replyf(visitor, VISIT_END, "%d", visitor->exit_code);
		visitor_end(visitor);
	}
}
