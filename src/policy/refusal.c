#include "policy/refusal.h"

#include "base/mem.h"

/* So many different messages refused in a row can no longer be the fault of each of them. */
#define IN_ROW_MAX 3

static unsigned long long sender_hash(const char *sender)
{
	unsigned long long hash = 14695981039346656037ULL; /* FNV-1a; a collision would only widen one refusal to its destination */

	for (; *sender != '\0'; sender++)
		hash = (hash ^ (unsigned char)*sender) * 1099511628211ULL;
	return hash;
}

static bool passed_before(const struct refusal_track *track, const char *sender)
{
	unsigned long long hash = sender_hash(sender);

	for (unsigned i = 0; i < ARRAY_SIZE(track->accepted_senders); i++)
		if (track->accepted_senders[i] == hash)
			return true;
	return false;
}

/* The envelope went through, whatever became of the message. */
static void envelope_passed(struct refusal_track *track, const char *sender)
{
	track->envelope_in_row = 0;
	if (passed_before(track, sender))
		return;
	track->accepted_senders[track->next_sender] = sender_hash(sender);
	track->next_sender = (track->next_sender + 1) % ARRAY_SIZE(track->accepted_senders);
}

void refusal_accepted(struct refusal_track *track, const char *sender)
{
	envelope_passed(track, sender);
	track->dot_in_row = 0;
	track->accepted++;
}

/* Nobody refuses the null sender for what it is (RFC 5321 4.5.5), nor a sender that was good enough a moment ago: then it is us or the recipient. */
static bool envelope_concerns_destination(struct refusal_track *track, const char *sender)
{
	track->envelope_in_row++;
	return sender[0] == '\0' || passed_before(track, sender) || track->envelope_in_row >= IN_ROW_MAX;
}

static bool dot_concerns_destination(struct refusal_track *track, int code, const char *sender)
{
	envelope_passed(track, sender);
	if (code >= 500) {
		track->dot_in_row = 0;
		return false;
	}
	track->dot_in_row++;
	return track->dot_in_row >= IN_ROW_MAX;
}

static bool concerns_destination(struct refusal_track *track, enum smtp_step step, int code, const char *sender)
{
	if (code < 400 || code == 421)
		return true;
	switch (step) {
	case SMTP_MAIL:
		/* No recipient has been named yet, so it is the server's disk that is full, not a quota. */
		return code == 452 || envelope_concerns_destination(track, sender);
	case SMTP_RCPT:
		return envelope_concerns_destination(track, sender);
	case SMTP_DATA:
	case SMTP_DOT:
		return dot_concerns_destination(track, code, sender);
	case SMTP_CONNECT:
	case SMTP_GREETING:
	case SMTP_HELLO:
	case SMTP_AUTH:
		break;
	}
	return true;
}

void refusal_judge(
	struct refusal_track *track, enum smtp_step step, int code, const char *sender, enum error_kind *ret_kind, enum error_scope *ret_scope)
{
	if (concerns_destination(track, step, code, sender)) {
		*ret_scope = SCOPE_DESTINATION;
		*ret_kind = ERR_TEMP;
		return;
	}
	*ret_scope = step == SMTP_RCPT ? SCOPE_RECIPIENT : SCOPE_MESSAGE;
	*ret_kind = code >= 500 ? ERR_REFUSED : ERR_TEMP;
}
