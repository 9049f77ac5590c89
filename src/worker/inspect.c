#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "dest/dest.h"
#include "net/wire.h"
#include "source/source.h"
#include "worker/plan.h"
#include "worker/session.h"

/* Days before its end from which a certificate is worth a warning. */
#define CERTIFICATE_WARN_DAYS 14

static int report(struct session *session, enum report what, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int report(struct session *session, enum report what, const char *format, ...)
{
	struct record record = {.kind = REC_REPORT, .index = what};
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	record_set_text(&record, text, strlen(text));
	return channel_send(session->channel, &record, NULL, 0, NULL);
}

static void report_tls(struct session *session, const char *who)
{
	int64_t days = (session->tls.not_after_s - clock_wall_s()) / 86400;

	if (session->tls.version[0] == '\0')
		return;
	report(session, days < CERTIFICATE_WARN_DAYS ? REPORT_WARNING : REPORT_OK,
		"%s: %s %s, certificate of %s, issued by %s, %" PRId64 " days left, pin_sha256 %s", who, session->tls.version, session->tls.cipher,
		session->tls.subject, session->tls.issuer, days, session->tls.pin);
	session->tls = (struct tls_summary){0};
}

/* Most of these errors begin with the destination's name already. */
static void report_bad_destination(struct session *session, const char *name, const struct error *err)
{
	if (strncmp(err->text, "destination ", strlen("destination ")) == 0)
		report(session, REPORT_FAILED, "%s", err->text);
	else
		report(session, REPORT_FAILED, "destination %s: %s", name, err->text);
}

static void report_good_destination(struct session *session, const struct dest_config *config, const char *recipient)
{
	if (config->kind == DEST_MAILDIR)
		report(session, REPORT_OK, "destination %s: %s is a Maildir that can be written to", config->name, config->path);
	else if (config->kind == DEST_MDA)
		report(session, REPORT_OK, "destination %s: %s is there; whether it delivers shows only when it is run", config->name,
			config->argv[0]);
	else
		report(session, REPORT_OK, "destination %s: reachable, accepts mail for %s", config->name, recipient);
}

static int check_destination(struct session *session, struct outlet *outlet, unsigned index, struct error *err)
{
	const struct job *job = session->job;
	const struct dest_config *config = outlet->config;
	int result = 0;

	if (!outlet_ready(outlet)) {
		*err = outlet->error;
		report_bad_destination(session, config->name, err);
		return -1;
	}
	report_tls(session, config->name);
	for (unsigned i = 0; i < job->target_count; i++) {
		const char *recipient = job->targets[i].recipient;

		if (job->targets[i].dest != index)
			continue;
		if (dest_probe(outlet->dest, config->sender != NULL ? config->sender : "", recipient, err) < 0) {
			report_bad_destination(session, config->name, err);
			result = -1;
		} else {
			report_good_destination(session, config, recipient);
		}
	}
	outlet_close(outlet);
	return result;
}

static void report_item(struct session *session, const struct plan_item *item)
{
	char date[24] = "-", number[24] = "new";

	/* A UID means the same tomorrow. The message number of POP3 does not, so there it is ours, by which commands know the message. */
	if (session->folder != NULL)
		snprintf(number, sizeof(number), "%" PRIu32, item->uid);
	else if (item->id != 0)
		snprintf(number, sizeof(number), "%" PRIu64, item->id);
	if (item->date != 0)
		clock_iso8601(date, item->date);
	report(session, REPORT_ITEM, "%s%s%-10s %10" PRIu64 " bytes  %s  %s", session->folder != NULL ? session->folder : "",
		session->folder != NULL ? " " : "", number, item->size, date,
		item->doubtful != 0 ? "in doubt"
		: item->open != 0   ? "to be hauled"
		: item->settled     ? "nothing to do"
		: item->held_back   ? "waits, or is held"
				    : "to be disposed of");
}

static int inspect_folder(struct session *session, const char *folder, unsigned index, struct error *err)
{
	struct plan plan;
	int result = plan_make(&plan, session, folder, index, false, err);

	if (result == 0) {
		report(session, REPORT_OK, "%s: %" PRIu32 " messages, %zu to be hauled (%" PRIu64 " bytes)%s", folder != NULL ? folder : "mailbox",
			plan.exists, plan.fetch_count, plan.fetch_bytes, plan.baseline_count != 0 ? ", the others are skipped by first_run" : "");
		for (size_t i = 0; session->job->mode == JOB_LIST && i < plan.count; i++)
			report_item(session, &plan.items[i]);
	}
	plan_done(&plan);
	return result;
}

static int inspect_source(struct session *session, struct error *err)
{
	const struct mailbox_config *mailbox = session->job->mailbox;
	char *const no_folders[] = {NULL, NULL};
	char *const *folders = mailbox->folders != NULL ? mailbox->folders : no_folders;
	int result;

	result = source_open(session->source, err);
	if (session->address.len != 0)
		report(session, REPORT_OK, "%s: connected to %s", mailbox->server.endpoint.host, str_text(&session->address));
	report_tls(session, mailbox->server.endpoint.host); /* it is worth knowing also when the login failed */
	if (result < 0)
		return -1;
	report(session, REPORT_OK, "logged in at %s as %s", mailbox->server.endpoint.host, mailbox->server.user);
	for (unsigned i = 0; i == 0 || folders[i] != NULL; i++) {
		if (inspect_folder(session, folders[i], i, err) == 0)
			continue;
		if (err->scope != SCOPE_FOLDER)
			return -1;
		report(session, REPORT_FAILED, "%s", err->text);
		result = -1;
	}
	source_close(session->source, NULL);
	return result;
}

int session_inspect(struct session *session, struct error *err)
{
	int result = inspect_source(session, err);

	if (result < 0 && err->scope != SCOPE_FOLDER)
		report(session, REPORT_FAILED, "%s", err->text);
	for (unsigned i = 0; session->job->mode == JOB_CHECK && i < session->job->destination_count; i++) {
		struct error problem;

		if (check_destination(session, &session->outlets[i], i, &problem) == 0 || result < 0)
			continue;
		*err = problem; /* the first one found decides the exit code */
		err->kind = err->kind == ERR_REFUSED ? ERR_TEMP : err->kind;
		result = -1;
	}
	return result;
}
