#include "source/imap.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "source/mutf7.h"

/* --- writing --- */

void imap_command_init(struct imap *imap)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"; /* 32: five bits each */
	uint8_t random[sizeof(imap->prefix) - 1];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort(); /* cannot happen with so few bytes once the system has booted */
	for (size_t i = 0; i < sizeof(random); i++)
		imap->prefix[i] = letters[random[i] & 31];
}

struct imap_command *imap_begin(struct imap *imap, imap_done_fn *done, void *context)
{
	struct imap_command *command = imap->commands;

	assert(imap->outstanding < IMAP_OUTSTANDING_MAX);
	while (command->number != 0)
		command++;
	*command = (struct imap_command){.number = ++imap->last_number, .done = done, .context = context};
	STAILQ_INIT(&command->hauls);
	imap->outstanding++;
	wire_addf(imap->source.wire, "%s%" PRIu32 " ", imap->prefix, command->number);
	return command;
}

void imap_add_quoted(struct imap *imap, const char *text)
{
	wire_add(imap->source.wire, "\"", 1);
	for (; *text != '\0'; text++)
		wire_addf(imap->source.wire, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	wire_add(imap->source.wire, "\"", 1);
}

void imap_encode_folder(const struct imap *imap, const char *folder, struct str *out)
{
	bool utf8 = (imap->capabilities & (IMAP_CAP_REV1 | IMAP_CAP_REV2)) == IMAP_CAP_REV2; /* RFC 9051 5.1; with both, rev1 holds until ENABLE */

	if (utf8 || mutf7_encode(out, folder) < 0)
		str_add_text(out, folder);
}

void imap_add_folder(struct imap *imap, const char *folder)
{
	struct str name = {0};

	imap_encode_folder(imap, folder, &name);
	imap_add_quoted(imap, str_text(&name));
	str_done(&name);
}

static int compare_uids(const void *a, const void *b)
{
	const uint32_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

void imap_write_set(struct str *out, uint32_t *uids, size_t count)
{
	qsort(uids, count, sizeof(*uids), compare_uids);
	for (size_t first = 0, last; first < count; first = last + 1) {
		for (last = first; last + 1 < count && uids[last + 1] - uids[last] <= 1; last++)
			continue;
		if (first != 0)
			str_add_byte(out, ',');
		str_addf(out, "%" PRIu32, uids[first]);
		if (uids[last] != uids[first])
			str_addf(out, ":%" PRIu32, uids[last]);
	}
}

/* --- answers --- */

/* RFC 5530 3, and the words of servers that know no codes. AUTHENTICATIONFAILED stays what it is, however friendly its words. */
static bool is_temporary(const struct imap_answer *answer)
{
	static const char *const codes[] = {"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG", "CONTACTADMIN", "EXPIRED"};
	static const char *const words[] = {"too many", "throttled", "try again later", "temporar", "server error", "unavailable",
		"not connected" /* Exchange, when it has had enough of us */};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (strcmp(answer->code, codes[i]) == 0)
			return true;
	if (strcmp(answer->code, "AUTHENTICATIONFAILED") == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasestr(answer->text, words[i]) != NULL)
			return true;
	return false;
}

static void make_answer(struct imap_answer *answer, const struct imap_response *response)
{
	*answer = (struct imap_answer){.done = true, .status = response->status};
	for (size_t i = 0; i < response->code_len && i < sizeof(answer->code) - 1 && response->code[i] != ' '; i++)
		answer->code[i] = response->code[i] >= 'a' && response->code[i] <= 'z' ? (char)(response->code[i] - 32) : response->code[i];
	escape_into(answer->text, sizeof(answer->text), response->text, response->text_len);
	answer->temporary = answer->status != IMAP_OK && is_temporary(answer);
}

int imap_keep_answer(struct imap *imap, struct imap_command *command, const struct imap_answer *answer, struct error *err)
{
	struct imap_answer *keep = command->context;

	(void)imap;
	(void)err;
	*keep = *answer;
	return 0;
}

static struct imap_command *find_command(struct imap *imap, const char *tag, size_t len)
{
	size_t prefix_len = strlen(imap->prefix);
	unsigned long long number;

	if (len <= prefix_len || memcmp(tag, imap->prefix, prefix_len) != 0 || !parse_u64(tag + prefix_len, len - prefix_len, UINT32_MAX, &number))
		return NULL;
	for (size_t i = 0; i < IMAP_OUTSTANDING_MAX; i++)
		if (imap->commands[i].number != 0 && imap->commands[i].number == number)
			return &imap->commands[i];
	return NULL;
}

int imap_tagged(struct imap *imap, const struct imap_response *response, struct error *err)
{
	struct imap_command *command = find_command(imap, response->tag, response->tag_len);
	struct imap_command taken;
	struct imap_answer answer;

	if (command == NULL) /* a guess at a tag; Ruby's net-imap believed one (CVE-2026-42246) */
		return error_set(err, ERR_PROTO, SCOPE_MAILBOX, "server answered a command that was not sent");
	make_answer(&answer, response);
	taken = *command;
	STAILQ_INIT(&taken.hauls);
	STAILQ_CONCAT(&taken.hauls, &command->hauls);
	command->number = 0; /* free again, so that done may begin the next */
	imap->outstanding--;
	imap->untagged = 0;
	return taken.done(imap, &taken, &answer, err);
}

int imap_refused(struct error *err, const struct imap_answer *answer, enum error_kind kind, enum error_scope scope, const char *what)
{
	if (answer->temporary)
		kind = ERR_TEMP;
	else if (answer->status == IMAP_BAD)
		kind = ERR_PROTO;
	return error_set(err, kind, scope, "%s: %s", what, answer->text[0] != '\0' ? answer->text : "it gave no reason");
}
