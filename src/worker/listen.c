#include "worker/listen.h"

#include "base/error.h"
#include "base/mem.h"
#include "source/source.h"
#include "worker/session.h"

#define PAUSE_S 0.25 /* between two words of ours, whatever the server says: nobody can look more often */

static int tell(struct session *session, uint32_t count, struct error *err)
{
	struct record record = {.kind = REC_HEARD, .count = count};

	return channel_send(session->channel, &record, NULL, 0, err);
}

/* What has come since the folder was hauled, and before there was anybody to hear of it. */
static uint32_t count_missed(const struct session *session, const struct folder_status *status)
{
	const struct folder_facts *facts = session->job->folder_facts;

	if (facts == NULL || status->uidvalidity != facts->uidvalidity || status->uidnext == 0)
		return status->exists != 0;
	return status->uidnext > facts->mark + 1 ? (uint32_t)(status->uidnext - facts->mark - 1) : 0;
}

static int begin(struct session *session, struct error *err)
{
	struct folder_status *status = &session->seen[0];

	session->source_context.folders = NULL; /* nothing is to be listed */
	if (source_open(session->source, err) < 0)
		return -1;
	if (!source_can_wait(session->source))
		return error_set(err, ERR_REFUSED, SCOPE_MAILBOX, "server does not announce mail");
	if (source_select(session->source, session->job->mailbox->folders[0], false, status, err) < 0)
		return -1;
	session->repeated = true; /* from here on a report is a sign of life */
	mem_give_back();
	session->channel->at_rest = true;
	return tell(session, count_missed(session, status), err);
}

static int listen(struct session *session, struct error *err)
{
	struct source_watch watch = {.seen = session->seen, .news = session->due, .until = DEADLINE_NEVER, .listens = true};

	while (!session->channel->stop) {
		int news = source_wait(session->source, &watch, err);

		if (news < 0) {
			err->scope = err->scope == SCOPE_FOLDER ? SCOPE_MAILBOX : err->scope; /* it refuses to announce, whatever the folder */
			return -1;
		}
		session->channel->poll = false; /* the server was asked whether it is still there */
		if (news == 0)
			session_report_host(session);
		else if (tell(session, watch.announced, err) < 0)
			return -1;
		watch.hush = news > 0 ? deadline_in_s(PAUSE_S) : watch.hush;
	}
	return 0;
}

int session_listen(struct session *session, struct error *err)
{
	if (begin(session, err) < 0 || listen(session, err) < 0)
		return -1;
	source_close(session->source, NULL);
	return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
}
