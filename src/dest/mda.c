#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "channel/channel.h"
#include "channel/wait.h"
#include "dest/dest.h"
#include "dest/mda-input.h"
#include "mail/address.h"
#include "mail/message.h"

#define MDA_TIMEOUT_S 600
#define STDERR_KEPT 1024
#define LEAVE_NS INT64_C(3000000000)
#define STDERR_MAX (1024 * 1024) /* who says more is cut off */

struct mda {
	struct dest dest;
	struct dest_context context;
	struct delivery_queue settled;
	struct mda_input input;
};

/* What a program left behind. */
struct exit {
	unsigned code; /* exit status, or 128 + signal */
	bool late;     /* it had to be killed */
	size_t stderr_len;
	char stderr_text[STDERR_KEPT];
};

static struct mda *mda_of(struct dest *dest)
{
	return (struct mda *)(void *)dest;
}

static unsigned timeout_s(const struct mda *mda)
{
	unsigned configured_s = mda->context.config->server.timeout_s;

	return configured_s != 0 ? configured_s : MDA_TIMEOUT_S;
}

static void settle(struct mda *mda, struct delivery *delivery, enum verdict verdict, const struct error *error)
{
	delivery->verdict = verdict;
	if (error != NULL) {
		delivery->error = *error;
		delivery->code = error->code;
	}
	STAILQ_INSERT_TAIL(&mda->settled, delivery, next);
}

/* -- while its message arrives -- */

static int mda_begin(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return mda_input_begin(&mda_of(dest)->input, delivery, err);
}

static int mda_feed(struct dest *dest, struct delivery *delivery, struct error *err)
{
	return mda_input_feed(&mda_of(dest)->input, delivery, err);
}

static void mda_discard(struct dest *dest, struct delivery *delivery)
{
	mda_input_discard(&mda_of(dest)->input, delivery);
}

/* -- the program -- */

/* The read end of its stderr. -1: it was not started. */
static int start(struct mda *mda, const struct delivery *delivery, struct error *err)
{
	struct record request = {.kind = REC_RUN, .index = mda->context.index}, answer;
	size_t sender_len = strlen(delivery->sender) + 1, recipient_len = strlen(delivery->recipient) + 1;
	char text[2 * (ADDRESS_MAX + 1)];
	int stdin_fd, stderr_fd = -1, result;

	memcpy(text, delivery->sender, sender_len);
	memcpy(text + sender_len, delivery->recipient, recipient_len);
	record_set_text(&request, text, sender_len + recipient_len);
	stdin_fd = mda_input_make(&mda->input, delivery, err);
	if (stdin_fd < 0)
		return -1;
	result = channel_call(mda->context.channel, &request, &stdin_fd, 1, REC_STARTED, &answer, &stderr_fd, 1, err);
	fs_close(stdin_fd);
	return result < 0 ? -1 : stderr_fd;
}

/* So long a program that has its message may go on when we are to leave at once, less than we have ourselves (attendant.c). */
static struct deadline leave_by(const struct channel *channel)
{
	return channel->hurry ? (struct deadline){clock_monotonic_ns() + LEAVE_NS} : DEADLINE_NEVER;
}

/* Until its end, the deadline or the limit; the descriptor is closed in any case. -1: ERR_CANCELED. */
static int read_stderr(const struct mda *mda, int fd, struct deadline deadline, struct exit *exit, struct error *err)
{
	size_t total = 0;
	int ready = 0;

	while (total < STDERR_MAX) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		char buffer[4096];
		ssize_t got;

		ready = wait_io(&readable, 1, deadline, mda->context.channel, err);
		if (ready <= 0)
			break;
		if (ready == 2) {
			deadline = deadline_min(deadline, leave_by(mda->context.channel));
			continue;
		}
		got = read(fd, buffer, sizeof(buffer));
		if (got <= 0)
			break;
		if (exit->stderr_len < STDERR_KEPT) {
			size_t room = STDERR_KEPT - exit->stderr_len, kept = (size_t)got < room ? (size_t)got : room;

			memcpy(exit->stderr_text + exit->stderr_len, buffer, kept);
			exit->stderr_len += kept;
		}
		total += (size_t)got;
	}
	fs_close(fd);
	if (ready == 0 && mda->context.channel->hurry)
		return error_set(err, ERR_CANCELED, SCOPE_PROGRAM, "stopped");
	exit->late = ready == 0 && deadline_passed(deadline);
	return ready < 0 ? -1 : 0;
}

static int wait_for_exit(const struct mda *mda, struct exit *exit, struct error *err)
{
	struct record request = {.kind = REC_WAIT, .when = exit->late}, answer; /* when: kill it first */

	if (channel_call(mda->context.channel, &request, NULL, 0, REC_EXITED, &answer, NULL, 0, err) < 0)
		return -1;
	exit->code = answer.code;
	return 0;
}

/* -- what its end means -- */

static const struct meaning {
	unsigned code;
	const char *name;
	enum error_kind kind;
	enum error_scope scope;
} meanings[] = {
	{EX_USAGE, "EX_USAGE", ERR_TEMP, SCOPE_DESTINATION}, /* our command is wrong, not this message */
	{EX_DATAERR, "EX_DATAERR", ERR_REFUSED, SCOPE_MESSAGE},
	{EX_NOINPUT, "EX_NOINPUT", ERR_TEMP, SCOPE_MESSAGE},
	{EX_NOUSER, "EX_NOUSER", ERR_REFUSED, SCOPE_MESSAGE},
	{EX_NOHOST, "EX_NOHOST", ERR_REFUSED, SCOPE_MESSAGE},
	{EX_UNAVAILABLE, "EX_UNAVAILABLE", ERR_TEMP, SCOPE_DESTINATION},
	{EX_SOFTWARE, "EX_SOFTWARE", ERR_TEMP, SCOPE_MESSAGE},
	{EX_OSERR, "EX_OSERR", ERR_TEMP, SCOPE_MESSAGE},
	{EX_OSFILE, "EX_OSFILE", ERR_TEMP, SCOPE_MESSAGE},
	{EX_CANTCREAT, "EX_CANTCREAT", ERR_TEMP, SCOPE_MESSAGE},
	{EX_IOERR, "EX_IOERR", ERR_TEMP, SCOPE_MESSAGE},
	{EX_TEMPFAIL, "EX_TEMPFAIL", ERR_TEMP, SCOPE_MESSAGE},
	{EX_PROTOCOL, "EX_PROTOCOL", ERR_TEMP, SCOPE_MESSAGE},
	{EX_NOPERM, "EX_NOPERM", ERR_REFUSED, SCOPE_MESSAGE},
	{EX_CONFIG, "EX_CONFIG", ERR_TEMP, SCOPE_DESTINATION},
	{126, "not executable", ERR_TEMP, SCOPE_DESTINATION},
	{127, "not found", ERR_TEMP, SCOPE_DESTINATION},
};

static const struct meaning *meaning_of(unsigned code)
{
	static const struct meaning other = {.name = "", .kind = ERR_TEMP, .scope = SCOPE_MESSAGE};

	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (meanings[i].code == code)
			return &meanings[i];
	return &other;
}

static bool was_ended_by_signal(const struct exit *exit)
{
	return exit->code > 128 && exit->code <= 128 + (unsigned)SIGRTMAX;
}

static void describe(const struct mda *mda, const struct exit *exit, struct error *error)
{
	const struct meaning *meaning = meaning_of(exit->code);
	const char *end = memchr(exit->stderr_text, '\n', exit->stderr_len);
	char said[120], how[64];

	escape_into(said, sizeof(said), exit->stderr_text, end != NULL ? (size_t)(end - exit->stderr_text) : exit->stderr_len);
	if (exit->late)
		snprintf(how, sizeof(how), "was stopped after %u seconds", timeout_s(mda));
	else if (was_ended_by_signal(exit))
		snprintf(how, sizeof(how), "was ended by signal %u", exit->code - 128);
	else if (meaning->name[0] != '\0')
		snprintf(how, sizeof(how), "exited with %u (%s)", exit->code, meaning->name);
	else
		snprintf(how, sizeof(how), "exited with %u", exit->code);
	error_code(error, meaning->kind, meaning->scope, (int)exit->code, "destination %s: the program %s %s%s%s", mda->context.config->name,
		mda->context.config->argv[0], how, said[0] != '\0' ? ": " : "", said);
}

/* -1: it had its time and did not say what became of the message, like a server that does not answer the dot. */
static int judge(struct mda *mda, struct delivery *delivery, const struct exit *exit, struct error *err)
{
	struct error error;

	if (exit->code == 0) {
		snprintf(delivery->reply, sizeof(delivery->reply), "exit 0");
		settle(mda, delivery, VERDICT_ACCEPTED, NULL);
		return 0;
	}
	describe(mda, exit, &error);
	if (exit->late && was_ended_by_signal(exit)) {
		error.scope = SCOPE_DESTINATION;
		settle(mda, delivery, VERDICT_IN_DOUBT, &error);
		*err = error;
		return -1;
	}
	delivery->after_data = exit->code == EX_DATAERR; /* the others that refuse may mean the recipient, or a quota */
	settle(mda, delivery, error.kind == ERR_REFUSED ? VERDICT_REFUSED : VERDICT_DEFERRED, &error);
	return 0;
}

static bool addresses_are_valid(const struct mda *mda, const struct delivery *delivery, struct error *err)
{
	const char *sender = delivery->sender, *recipient = delivery->recipient;

	if ((sender[0] == '\0' || address_is_valid(sender, strlen(sender))) &&
		(recipient[0] == '\0' || address_is_valid(recipient, strlen(recipient))))
		return true;
	error_set(err, ERR_REFUSED, SCOPE_MESSAGE,
		"destination %s: sender or recipient is not a valid address; set sender: or recipient:", mda->context.config->name);
	return false;
}

static int mda_offer(struct dest *dest, struct delivery *delivery, const struct delivery *next, struct error *err)
{
	struct mda *mda = mda_of(dest);
	struct deadline deadline = deadline_in_s(timeout_s(mda));
	struct exit exit = {0};
	struct error refusal;
	int stderr_fd;

	(void)next;
	if (!addresses_are_valid(mda, delivery, &refusal)) {
		mda_input_discard(&mda->input, delivery);
		settle(mda, delivery, VERDICT_REFUSED, &refusal);
		return 0;
	}
	stderr_fd = start(mda, delivery, err);
	if (stderr_fd < 0) {
		/* A supervisor that is gone may have started it; one that answers says that it did not. */
		settle(mda, delivery, err->kind == ERR_CANCELED ? VERDICT_IN_DOUBT : VERDICT_RETRACTED, err);
		return -1;
	}
	if (read_stderr(mda, stderr_fd, deadline, &exit, err) < 0 || wait_for_exit(mda, &exit, err) < 0) {
		settle(mda, delivery, VERDICT_IN_DOUBT, err);
		return -1;
	}
	return judge(mda, delivery, &exit, err);
}

/* -- the rest of a destination -- */

/* One program at a time, so that its outcome is recorded before the next one starts. */
static bool mda_has_room(struct dest *dest)
{
	return STAILQ_EMPTY(&mda_of(dest)->settled);
}

static int mda_verdicts(struct dest *dest, struct delivery **ret_delivery, struct error *err)
{
	struct mda *mda = mda_of(dest);

	(void)err;
	if (STAILQ_EMPTY(&mda->settled))
		return 0;
	*ret_delivery = STAILQ_FIRST(&mda->settled);
	STAILQ_REMOVE_HEAD(&mda->settled, next);
	return 1;
}

static int mda_open(struct dest *dest, struct error *err)
{
	(void)dest;
	(void)err;
	return 0;
}

/* The supervisor, which can see it, has checked that the program is there. */
static int mda_probe(struct dest *dest, const char *sender, const char *recipient, struct error *err)
{
	(void)dest;
	(void)sender;
	(void)recipient;
	(void)err;
	return 0;
}

static int mda_close(struct dest *dest, struct error *err)
{
	(void)dest;
	(void)err;
	return 0;
}

static void mda_free(struct dest *dest)
{
	struct mda *mda = mda_of(dest);

	mda_input_discard(&mda->input, mda->input.begun);
	secret_free(mda->context.secret);
	free(mda);
}

struct dest *mda_new(const struct dest_context *context)
{
	static const struct dest_ops ops = {
		.name = "mda",
		.open = mda_open,
		.begin = mda_begin,
		.feed = mda_feed,
		.discard = mda_discard,
		.offer = mda_offer,
		.has_room = mda_has_room,
		.verdicts = mda_verdicts,
		.probe = mda_probe,
		.close = mda_close,
		.free = mda_free,
	};
	struct mda *mda = xcalloc(1, sizeof(*mda));

	mda->dest.ops = &ops;
	mda->context = *context;
	mda->input = (struct mda_input){.channel = context->channel, .destination = context->config->name};
	STAILQ_INIT(&mda->settled);
	return &mda->dest;
}
