#include "source/pop3-reply.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static enum pop3_code code_of(const char *text, size_t len)
{
	static const struct {
		const char *name;
		enum pop3_code code;
	} codes[] = {
		{"[AUTH", POP3_CODE_AUTH},
		{"[IN-USE", POP3_CODE_IN_USE},
		{"[LOGIN-DELAY", POP3_CODE_LOGIN_DELAY},
		{"[SYS/TEMP", POP3_CODE_SYS_TEMP},
		{"[SYS/PERM", POP3_CODE_SYS_PERM},
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		size_t end = strlen(codes[i].name);

		if (len > end && ascii_prefix_nocase(text, len, codes[i].name) && (text[end] == ']' || text[end] == '/'))
			return codes[i].code;
	}
	return POP3_CODE_NONE;
}

struct pop3_reply pop3_reply_parse(const char *line, size_t len)
{
	static const struct {
		const char *word;
		enum pop3_status status;
	} words[] = {{"+OK", POP3_OK}, {"-ERR", POP3_ERR}, {"+", POP3_CHALLENGE}};
	struct pop3_reply reply = {.status = POP3_GARBAGE, .text = line, .text_len = len};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t end = strlen(words[i].word);

		if (len < end || memcmp(line, words[i].word, end) != 0 || (len > end && line[end] != ' '))
			continue;
		end += len > end ? 1 : 0;
		reply.status = words[i].status;
		reply.text = line + end;
		reply.text_len = len - end;
		if (reply.status == POP3_ERR)
			reply.code = code_of(reply.text, reply.text_len);
		break;
	}
	return reply;
}

bool pop3_capa_is(const char *line, size_t len, const char *capability)
{
	size_t end = strlen(capability);

	return ascii_prefix_nocase(line, len, capability) && (len == end || line[end] == ' ');
}

/* The word that begins at *at; *at moves behind the space that ends it. */
static bool take_number(const char *line, size_t len, size_t *at, unsigned long long max, unsigned long long *ret_number)
{
	const char *space = memchr(line + *at, ' ', len - *at);
	size_t end = space != NULL ? (size_t)(space - line) : len;

	if (!parse_u64(line + *at, end - *at, max, ret_number))
		return false;
	*at = space != NULL ? end + 1 : len;
	return true;
}

static bool take_message_number(const char *line, size_t len, size_t *at, uint32_t *ret_number)
{
	unsigned long long number;

	if (!take_number(line, len, at, UINT32_MAX, &number) || number == 0)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

uint32_t pop3_login_delay(const char *line, size_t len)
{
	enum { NAME_LEN = 12, DAY_S = 86400 };
	size_t digits = 0;
	unsigned long long seconds;

	if (!pop3_capa_is(line, len, "LOGIN-DELAY") || len <= NAME_LEN)
		return 0;
	while (NAME_LEN + digits < len && line[NAME_LEN + digits] != ' ') /* "USER" may follow: after the login it may be another */
		digits++;
	if (!parse_u64(line + NAME_LEN, digits, UINT32_MAX, &seconds))
		return 0;
	return seconds < DAY_S ? (uint32_t)seconds : DAY_S; /* one that wants more would be polled never */
}

bool pop3_stat_parse(const char *text, size_t len, uint32_t *ret_count)
{
	unsigned long long count, size;
	size_t at = 0;

	if (!take_number(text, len, &at, UINT32_MAX, &count) || !take_number(text, len, &at, UINT64_MAX, &size))
		return false;
	*ret_count = (uint32_t)count;
	return true;
}

bool pop3_list_parse(const char *line, size_t len, uint32_t *ret_number, uint64_t *ret_size)
{
	unsigned long long size;
	uint32_t number;
	size_t at = 0;

	if (!take_message_number(line, len, &at, &number) || !take_number(line, len, &at, UINT64_MAX, &size))
		return false;
	*ret_number = number;
	*ret_size = size;
	return true;
}

bool pop3_uidl_parse(const char *line, size_t len, uint32_t *ret_number, const char **ret_uidl, size_t *ret_uidl_len)
{
	size_t at = 0;

	if (!take_message_number(line, len, &at, ret_number))
		return false;
	*ret_uidl = line + at;
	*ret_uidl_len = len - at;
	return true;
}
