#include "worker/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "mail/received.h"
#include "mail/spool.h"
#include "policy/policy.h"
#include "source/source.h"
#include "worker/idle.h"
#include "worker/plan.h"
#include "worker/recognize.h"
#include "worker/survey.h"
#include "worker/transfer.h"

/* A session that lasted so long had a server that works. That its connection ends while nothing is to be done is no failure then, but what connections do. */
#define SESSION_STABLE_S 60
/* A mailbox that takes longer goes on in another session, behind those who wait for a place. A server that sends its bytes one by one could keep it for ever. */
#define HAULING_S 3600
#define GIVING_UP_S 600

static void send_trace(void *context, char direction, const char *bytes, size_t len)
{
	struct channel *channel = context;
	struct record record = {.kind = REC_TRACE, .index = (uint32_t)direction};

	record_set_text(&record, bytes, len);
	(void)channel_send(channel, &record, NULL, 0, NULL);
}

/* Most sessions see no message that needs it. */
static int open_spool(void *context, struct error *err)
{
	struct channel *channel = context;
	struct record request = {.kind = REC_WANT_FILE}, answer;
	struct error problem;
	int fd;

	if (channel_call(channel, &request, NULL, 0, REC_FILE, &answer, &fd, 1, &problem) == 0)
		return fd;
	if (problem.kind == ERR_LOCAL)
		problem.scope = SCOPE_MAILBOX;
	if (err != NULL)
		*err = problem;
	return -1;
}

void session_init(struct session *session, const struct job *job, struct channel *channel, struct secret **secrets, const int (*directories)[3],
	const struct error *refusals)
{
	void (*trace)(void *, char, const char *, size_t) = job->trace ? send_trace : NULL;

	*session = (struct session){.job = job, .channel = channel, .spool = spool_file_new(-1), .host_facts = job->host_facts};
	spool_file_on_demand(session->spool, open_spool, channel);
	received_make_mark(session->own_mark, job->installation);
	session->source_context = (struct source_context){
		.channel = channel,
		.wire_fd = -1,
		.mailbox = job->mailbox,
		.secret = secrets[0],
		.spool = session->spool,
		.own_mark = session->own_mark,
		.trace = trace,
		.trace_context = channel,
		.tls = &session->tls,
		.address = &session->address,
		.facts = &session->host_facts,
		.folders = job->folder_facts,
		.writable = job->mode == JOB_HAUL && job->mailbox->after_delivery.what != DISPOSE_KEEP,
	};

	session->folder_count = job->mailbox->folders != NULL ? (unsigned)strv_length(job->mailbox->folders) : 1;
	session->seen = xcalloc(session->folder_count, sizeof(*session->seen));
	session->due = xcalloc(session->folder_count, sizeof(*session->due));
	session->closed = xcalloc(session->folder_count, sizeof(*session->closed));
	memset(session->due, true, session->folder_count * sizeof(*session->due));
	session->source = source_new(&session->source_context);
	session->outlets = xcalloc(job->destination_count, sizeof(*session->outlets));
	for (unsigned i = 0; i < job->destination_count; i++)
		outlet_init(&session->outlets[i], job, i, channel, secrets[1 + i], directories[i], job->mode == JOB_CHECK ? &session->tls : NULL,
			trace, channel);
	for (unsigned i = 0; i < job->destination_count; i++) {
		if ((job->closed >> i & 1) != 0)
			outlet_rest(&session->outlets[i], &refusals[i]);
		else if (refusals[i].kind != ERR_NONE)
			outlet_stop(&session->outlets[i], &refusals[i]);
	}
}

void session_done(struct session *session)
{
	source_free(session->source);
	for (unsigned i = 0; i < session->job->destination_count; i++)
		outlet_done(&session->outlets[i]);
	free(session->outlets);
	spool_file_free(session->spool);
	free(session->surveyed);
	free(session->seen);
	free(session->due);
	free(session->closed);
	str_done(&session->address);
}

/* err NULL: it goes on. */
static void log_session(const struct session *session, const struct error *err)
{
	struct log_entry entry;
	bool stopped = err != NULL && err->kind == ERR_CANCELED;
	bool failed = err != NULL && err->kind != ERR_NONE && !stopped;

	log_begin(&entry, &session->log, LEVEL_INFO, "session"); /* whether it is worth a warning is for the supervisor, who knows the last one */
	log_text(&entry, "result", failed ? "failed" : stopped ? "stopped" : err != NULL ? "done" : "waiting");
	log_number(&entry, "hauled", (int64_t)session->hauled);
	log_number(&entry, "bytes", (int64_t)session->bytes);
	log_number(&entry, "deferred", (int64_t)(session->deferred + session->unfetched));
	log_number(&entry, "held", (int64_t)session->held);
	if (failed)
		log_text(&entry, "text", err->text);
	log_end(&entry);
}

void session_log_round(struct session *session)
{
	if (session->repeated && session->hauled == 0 && session->deferred + session->unfetched + session->held == 0)
		return;
	log_session(session, NULL);
	session->hauled = session->bytes = session->deferred = session->unfetched = session->held = 0;
}

bool session_is_over(struct session *session)
{
	session->unfinished |= deadline_passed(session->leave_at);
	return session->unfinished;
}

static int haul_folder(struct session *session, const char *folder, unsigned index, struct error *err)
{
	struct plan plan;
	int result;

	result = plan_make(&plan, session, folder, index, true, err); /* one listing against what is known; recorded before it is used */
	session->found += plan.new_count;
	if (result == 0)
		result = recognize_run(&plan, session, err); /* after a renumbering: what of it was hauled before? */
	if (result == 0)
		plan_limit(&plan, session);
	if (result == 0)
		result = transfer_run(&plan, session, err); /* fetch, intend, deliver, record, dispose */
	plan_done(&plan);
	return result;
}

static bool is_to_be_hauled(const struct session *session, unsigned folder)
{
	return session->due[folder] && !survey_has_settled(session, folder);
}

static bool is_last(const struct session *session, unsigned folder)
{
	if (session->job->mailbox->push)
		return false;
	while (++folder < session->folder_count)
		if (is_to_be_hauled(session, folder))
			return false;
	return true;
}

/* A folder that cannot be opened or listed costs the others nothing. */
static bool concerns_folder_only(struct session *session, const struct error *err)
{
	if (policy_action(err->kind, err->scope) != ACTION_SKIP_FOLDER)
		return false;
	log_say(&session->log, LEVEL_INFO, "folder_skipped", "%s", err->text); /* the end of the session says it, once per change */
	if (session->trouble.kind == ERR_NONE)
		session->trouble = *err;
	return true;
}

static int haul_folders(struct session *session, struct error *err)
{
	char *const no_folders[] = {NULL};
	char *const *folders = session->job->mailbox->folders != NULL ? session->job->mailbox->folders : no_folders;

	if (!session->partial) /* what other folders are in trouble for they still are */
		session->trouble = (struct error){0};
	session->found = 0;
	session->planned = 0;
	for (unsigned i = 0; i < session->folder_count; i++) {
		if (session->channel->stop)
			return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
		if (!is_to_be_hauled(session, i))
			continue;
		if (session_is_over(session))
			break;
		channel_take_tip(session->channel, i);
		session->last_folder = is_last(session, i);
		session->closed[i] = haul_folder(session, folders[i], i, err) < 0;
		if (session->closed[i] && !concerns_folder_only(session, err))
			return -1;
	}
	session->repeated = true;
	return 0;
}

static int haul_until_done(struct session *session, struct error *err)
{
	int more = 1;

	session->stable_at = deadline_in_s(SESSION_STABLE_S);
	while (more > 0) {
		session->leave_at = deadline_in_s(HAULING_S);
		session->give_up_at = deadline_in_s(HAULING_S + GIVING_UP_S);
		more = haul_folders(session, err) < 0 ? -1 : idle_run(session, err);
	}
	return more;
}

/* POP3 deletes at QUIT, so its disposals are confirmed only now. */
static int record_disposed(struct session *session, struct error *err)
{
	struct record record = {.kind = REC_DISPOSED};

	while (source_disposed(session->source, &record.id) > 0) {
		session->open_disposals--;
		if (channel_send(session->channel, &record, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

/* For the next session with this server, of whatever mailbox. */
void session_report_host(const struct session *session)
{
	const struct host_facts *facts = &session->host_facts;
	struct record record = {
		.kind = REC_HOST,
		.code = facts->known,
		.index = facts->before,
		.count = facts->after,
		.targets = facts->mechanisms,
		.verdict = (uint8_t)facts->boundary,
		.size = facts->idle_s,
		.when = facts->login_delay_s,
	};

	if (session->repeated || !host_facts_equal(facts, &session->job->host_facts))
		(void)channel_send(session->channel, &record, NULL, 0, NULL);
}

static int leave(struct session *session, struct error *err)
{
	struct error farewell = {0};

	for (unsigned i = 0; i < session->job->destination_count; i++)
		outlet_close(&session->outlets[i]);
	if (source_close(session->source, &farewell) < 0)
		log_say(&session->log, LEVEL_INFO, "no_farewell", "%s", farewell.text);
	if (record_disposed(session, err) < 0)
		return -1;
	/* What was not confirmed stays owed, and is disposed of next time. Nothing else rests on the answer. */
	if (farewell.kind != ERR_NONE && session->open_disposals != 0 && session->trouble.kind == ERR_NONE)
		session->trouble = farewell;
	return 0;
}

int session_run(struct session *session, struct error *err)
{
	int result = source_open(session->source, err);

	if (result == 0)
		result = survey_run(session, err);
	if (result == 0)
		result = haul_until_done(session, err);
	session_report_host(session);
	if (result == 0)
		result = leave(session, err);
	for (unsigned i = 0; i < session->job->destination_count; i++) {
		outlet_close(&session->outlets[i]);
		if (session->outlets[i].down && !session->outlets[i].rests && session->trouble.kind == ERR_NONE)
			session->trouble = session->outlets[i].error;
	}
	if (result == 0) { /* the session went well; what kept single messages or folders from being hauled still counts */
		*err = session->trouble;
		result = err->kind != ERR_NONE ? -1 : 0;
	}
	log_session(session, err);
	return result;
}
