#include "command/held.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "command/json.h"
#include "mail/received.h"
#include "state/state.h"

static const char *reply_of(const struct held_message *held)
{
	return held->reply != NULL ? held->reply : "";
}

static const char *next_try(const struct held_message *held, char date[24])
{
	return held->next_try < 0 ? "by hand" : held->next_try == 0 ? "next run" : clock_iso8601(date, held->next_try);
}

/* What the copies of it bear, if there are any; "" if it was never sent. */
static const char *mailhaul_id(const struct held_show *show, const struct held_message *held, char id[41])
{
	const char *installation = state_installation(show->state);
	char mark[9];

	id[0] = '\0';
	if (held->destination == NULL)
		return id;
	received_make_mark(mark, installation);
	received_make_id(
		id, mark, installation, held->mailbox, held->folder[0] != '\0' ? held->folder : NULL, held->id, held->destination, held->recipient);
	return id;
}

static void show_json(struct held_show *show, const struct held_message *held)
{
	char id[41];

	printf("%s{\"id\":%" PRIu64, show->shown++ != 0 ? "," : "", held->id);
	json_string(stdout, "mailbox", held->mailbox);
	json_string(stdout, "folder", held->folder[0] != '\0' ? held->folder : NULL);
	json_text(stdout, "uid", held->key, held->key_len);
	printf(",\"size\":%" PRIu64, held->size);
	json_date(stdout, "arrived", held->date);
	json_date(stdout, "held_since", held->held_at);
	json_string(stdout, "destination", held->destination);
	json_string(stdout, "recipient", held->destination != NULL && held->recipient[0] != '\0' ? held->recipient : NULL);
	json_string(stdout, "x_mailhaul_id", held->destination != NULL ? mailhaul_id(show, held, id) : NULL);
	json_string(stdout, "reply", reply_of(held));
	printf(",\"attempts\":%u,\"in_doubt\":%s,\"by_hand\":%s", held->attempts, held->in_doubt ? "true" : "false",
		held->next_try < 0 ? "true" : "false");
	json_date(stdout, "next_try", held->next_try > 0 ? held->next_try : 0);
	putchar('}');
}

static void show_line(void *context, const struct held_message *held)
{
	struct held_show *show = context;
	char since[24], next[24], reply[160];

	if (show->json) {
		show_json(show, held);
		return;
	}
	if (show->shown++ == 0)
		printf("%-8s %-16s %10s  %-20s %5s  %-20s %s\n", "ID", "MAILBOX", "BYTES", "SINCE", "TRIES", "NEXT TRY", "WHY");
	printf("%-8" PRIu64 " %-16s %10" PRIu64 "  %-20s %5u  %-20s %s%s%s%s\n", held->id, held->mailbox, held->size,
		clock_iso8601(since, held->held_at), held->attempts, next_try(held, next), held->destination != NULL ? held->destination : "",
		held->destination != NULL ? ": " : "", held->in_doubt ? "sent, never answered: " : "",
		printable_into(reply, sizeof(reply), reply_of(held), strlen(reply_of(held))));
}

static void advise(const struct held_message *held)
{
	if (!held->in_doubt) {
		printf("what to do   correct what the reply complains of, then \"mailhaul held retry %" PRIu64
		       "\", or give it up with \"held drop\"\n",
			held->id);
		return;
	}
	printf("what to do   it was sent %u times and no answer came, so it may have arrived: look there for the X-Mailhaul-Id;\n"
	       "             if it is there, \"mailhaul held drop %" PRIu64 "\", else \"mailhaul held retry %" PRIu64 "\"\n",
		held->attempts, held->id, held->id);
}

static void show_whole(void *context, const struct held_message *held)
{
	struct held_show *show = context;
	char date[24], id[41], text[4 * 1024];

	if (show->json) {
		show_json(show, held);
		return;
	}
	if (show->shown++ != 0)
		putchar('\n');
	printf("message      %" PRIu64 "\nmailbox      %s%s%s\n", held->id, held->mailbox, held->folder[0] != '\0' ? "/" : "", held->folder);
	printf("uid          %s\n", escape_into(text, sizeof(text), held->key, held->key_len));
	printf("size         %" PRIu64 " bytes\n", held->size);
	if (held->date != 0)
		printf("arrived      %s\n", clock_iso8601(date, held->date));
	printf("held since   %s\n", clock_iso8601(date, held->held_at));
	if (held->destination != NULL) {
		printf("destination  %s%s%s\n", held->destination, held->recipient[0] != '\0' ? " for " : "", held->recipient);
		printf("id there     X-Mailhaul-Id: %s\n", mailhaul_id(show, held, id));
	}
	printf("why          %s\n", printable_into(text, sizeof(text), reply_of(held), strlen(reply_of(held))));
	printf("attempts     %u\nnext try     %s\n", held->attempts, next_try(held, date));
	advise(held);
	puts("the message is still at the source");
}

void held_show_begin(struct held_show *show)
{
	show->shown = 0;
	if (show->json)
		printf("{\"version\":1,\"held\":["); /* of this form */
}

int held_show_lines(struct held_show *show, int64_t mailbox_id, struct error *err)
{
	return show->state != NULL ? state_held(show->state, mailbox_id, 0, show_line, show, err) : 0;
}

int held_show_whole(struct held_show *show, uint64_t message_id, struct error *err)
{
	return show->state != NULL ? state_held(show->state, 0, message_id, show_whole, show, err) : 0;
}

void held_show_end(const struct held_show *show)
{
	if (show->json)
		puts("]}");
}
