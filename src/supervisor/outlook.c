#include "supervisor/outlook.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervisor/attendant.h"
#include "supervisor/roster.h"

#define NS_PER_S INT64_C(1000000000)
#define OUTLOOK_MAX (1024u * 1024) /* bytes: of many more mailboxes than can be served */

/* -- the daemon's side -- */

static int64_t wall_of(int64_t boottime_ns)
{
	return clock_wall_s() + (boottime_ns - clock_boottime_ns()) / NS_PER_S;
}

static void write_post(const struct post *post, bool is_lent, struct str *out)
{
	const char *word = is_lent ? "lent" : "resting";
	int64_t since = 0, next = 0;
	uint64_t pushed = 0;

	if (post->state == POST_HAULING) {
		word = "hauling";
		since = post->attendant->started_s;
	} else if (post->state == POST_PUSHED) {
		word = "pushing";
		since = post->attendant->idle_since_s;
		next = post->attendant->looked_s + post->mailbox->poll_every_s;
		pushed = post->attendant->heard != 0 ? sentries_mask(post) : UINT64_MAX;
	} else if (!is_lent && post->state == POST_WAITING) {
		word = "waiting";
	} else if (!is_lent) {
		next = wall_of(post->due_ns);
	}
	str_addf(out, "mailbox\t%s\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRIx64 "\n", post->mailbox->name, word, since, next, pushed);
}

void outlook_write(const struct roster *roster, int64_t started_s, bool (*is_lent)(void *, const char *name), void *context, struct str *out)
{
	str_addf(out, "daemon\t%ld\t%" PRId64 "\n", (long)getpid(), started_s);
	for (unsigned i = 0; i < roster->count; i++)
		if (!roster->posts[i]->gone)
			write_post(roster->posts[i], is_lent(context, roster->posts[i]->mailbox->name), out);
}

/* -- the command's side -- */

static bool read_line(struct outlook *outlook, const char *line)
{
	struct outlook_mailbox mailbox;

	if (sscanf(line, "daemon\t%ld\t%" SCNd64, &outlook->pid, &outlook->started_s) == 2)
		return true;
	if (sscanf(line, "mailbox\t%64[^\t]\t%15[^\t]\t%" SCNd64 "\t%" SCNd64 "\t%" SCNx64, mailbox.name, mailbox.doing, &mailbox.since_s,
		    &mailbox.next_s, &mailbox.pushed) != 5)
		return false;
	outlook->mailboxes = xreallocarray(outlook->mailboxes, outlook->count + 1, sizeof(mailbox));
	outlook->mailboxes[outlook->count++] = mailbox;
	return true;
}

static bool read_lines(struct outlook *outlook, char *text)
{
	char *rest = NULL;

	for (const char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		if (!read_line(outlook, line))
			return false;
	return outlook->pid != 0;
}

bool outlook_read(int fd_take, struct outlook *ret_outlook)
{
	const void *bytes;
	struct str text = {0};
	size_t len;
	bool makes_sense;

	*ret_outlook = (struct outlook){0};
	if (fd_take < 0 || fs_map_sealed(fd_take, OUTLOOK_MAX, &bytes, &len, NULL) < 0)
		return false;
	str_add(&text, bytes, len);
	if (bytes != NULL)
		munmap((void *)(uintptr_t)bytes, len);
	str_add_byte(&text, '\n');
	makes_sense = read_lines(ret_outlook, text.data);
	str_done(&text);
	return makes_sense;
}

bool outlook_is_pushed(const struct outlook_mailbox *mailbox, size_t i)
{
	return i < 64 ? (mailbox->pushed >> i & 1) != 0 : mailbox->pushed == UINT64_MAX;
}

const struct outlook_mailbox *outlook_find(const struct outlook *outlook, const char *name)
{
	for (size_t i = 0; i < outlook->count; i++)
		if (strcmp(outlook->mailboxes[i].name, name) == 0)
			return &outlook->mailboxes[i];
	return NULL;
}

void outlook_done(struct outlook *outlook)
{
	free(outlook->mailboxes);
	*outlook = (struct outlook){0};
}
