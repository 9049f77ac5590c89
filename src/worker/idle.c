#include "worker/idle.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "source/source.h"
#include "worker/session.h"

/* Mail was announced, and there was none: some servers announce what they cannot show yet, so it is looked for again after this. */
#define LOOK_AGAIN_S 2
/* The listing before may have shown it already, which happens any time when much comes; but a server that goes on like that is not believed at once any
 * more: only after LOOK_AGAIN_S, then twice that, and so on. */
#define BARREN_FINE 2
#define HUSH_MAX_S 64

/* What keeps single messages or a folder back is tried again when all are looked into; what is more than that ends the session, and the mailbox rests. */
static bool is_small_trouble(const struct error *trouble)
{
	return trouble->kind == ERR_NONE || trouble->scope == SCOPE_MESSAGE || trouble->scope == SCOPE_RECIPIENT || trouble->scope == SCOPE_FOLDER;
}

/* Where a server tells of one folder only; folder_count: there is none to listen to. */
static unsigned heard_folder(const struct session *session)
{
	unsigned i = 0;

	while (i < session->folder_count && session->closed[i])
		i++;
	return i;
}

static bool may_stay(const struct session *session)
{
	if (session->job->mode != JOB_HAUL || !session->job->mailbox->push || session->channel->stop || session->unfinished ||
		!is_small_trouble(&session->trouble))
		return false;
	for (unsigned i = 0; i < session->job->destination_count; i++)
		if (session->outlets[i].down)
			return false;
	return heard_folder(session) < session->folder_count && source_can_wait(session->source);
}

/* A thousand of us may sleep on one machine. */
static void make_small(struct session *session)
{
	for (unsigned i = 0; i < session->job->destination_count; i++)
		outlet_close(&session->outlets[i]);
	mem_give_back();
}

static int ask_to_stay(struct session *session, bool *ret_may, struct error *err)
{
	const struct error *trouble = &session->trouble;
	struct record answer, request = {.kind = REC_IDLE,
				      .error = (uint8_t)trouble->kind,
				      .scope = (uint8_t)trouble->scope,
				      .code = (uint32_t)trouble->code,
				      .flags = session->partial ? 0 : REC_COMPLETE,
				      .count = source_tells_of_all(session->source) ? 0 : 1 + heard_folder(session)};

	record_set_text(&request, trouble->text, strlen(trouble->text));
	if (channel_call(session->channel, &request, NULL, 0, REC_WATCH, &answer, NULL, 0, err) < 0)
		return -1;
	*ret_may = answer.count != 0;
	return 0;
}

static int tell_work(struct session *session, struct error *err)
{
	struct record record = {.kind = REC_BUSY};

	return channel_send(session->channel, &record, NULL, 0, err);
}

/* The supervisor knows whether anything else is due, and then says so. */
static int tell_look(struct session *session, struct error *err)
{
	struct record record = {.kind = REC_LOOKED};

	return channel_send(session->channel, &record, NULL, 0, err);
}

static double hush_s(unsigned barren)
{
	unsigned seconds = LOOK_AGAIN_S;

	for (; barren > BARREN_FINE + 1 && seconds < HUSH_MAX_S; barren--)
		seconds *= 2;
	return seconds;
}

/* After the first announcement that came to nothing, the same folders are looked into again. */
static struct deadline look_again_at(const struct session *session)
{
	return session->barren == 1 ? deadline_in_s(LOOK_AGAIN_S) : DEADLINE_NEVER;
}

static void want(struct session *session, bool all)
{
	for (unsigned i = 0; i < session->folder_count; i++)
		session->due[i] = all;
}

/* The supervisor is in a hurry, or the connection is gone. */
static int leave_at_once(struct session *session, struct error *err)
{
	source_close(session->source, NULL); /* says goodbye, and does not wait for the answer when told to stop */
	return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
}

static int lost(struct session *session, struct error *err)
{
	if (err->kind == ERR_CANCELED)
		return -1;
	if (err->scope == SCOPE_FOLDER) {
		log_say(&session->log, LEVEL_INFO, "not_pushed", "%s", err->text);
		return 0;
	}
	return deadline_passed(session->stable_at) ? 0 : -1;
}

/* 1: there may be mail. */
static int wait_for_mail(struct session *session, struct error *err)
{
	struct deadline again_at = look_again_at(session);
	struct source_watch watch = {.folder = heard_folder(session),
		.seen = session->seen,
		.news = session->due,
		.looks = session->trouble.kind == ERR_NONE && session->barren != 1};

	if (!session->partial) /* else a folder in which mail is announced all the time would keep the others from being looked into */
		session->check_at = deadline_in_s(session->job->mailbox->poll_every_s);
	session->partial = true;
	watch.until = deadline_min(session->check_at, again_at);
	if (session->barren > BARREN_FINE)
		watch.hush = deadline_in_s(hush_s(session->barren));
	if (session->barren != 1)
		want(session, false);
	for (;;) {
		int news = source_wait(session->source, &watch, err);

		if (news < 0)
			return lost(session, err);
		if (session->channel->stop)
			return leave_at_once(session, err);
		if (watch.looked) {
			watch.until = session->check_at = deadline_in_s(session->job->mailbox->poll_every_s);
			if (tell_look(session, err) < 0)
				return -1;
			continue;
		}
		session->announced = news > 0 || deadline_passed(again_at);
		if (session->channel->poll || deadline_passed(session->check_at)) {
			session->channel->poll = session->partial = false;
			want(session, true);
			return 1;
		}
		if (session->announced)
			return 1;
		session_report_host(session); /* the connection lives, and so do we */
	}
}

int idle_run(struct session *session, struct error *err)
{
	bool may = false;
	int result;

	if (!may_stay(session))
		return 0;
	if (session->announced)
		session->barren = session->found == 0 ? session->barren + 1 : 0;
	session_report_host(session);
	make_small(session);
	if (ask_to_stay(session, &may, err) < 0)
		return -1;
	if (!may)
		return 0;
	session_log_round(session);
	session->channel->at_rest = true;
	result = wait_for_mail(session, err);
	session->channel->at_rest = false;
	if (result <= 0)
		return result;
	return tell_work(session, err) < 0 ? -1 : 1;
}
