/* pop3-reply.h - what a POP3 server says, line by line. Pure: bytes with explicit lengths in, no I/O, each byte looked at once.
 * Lines come without their CRLF and hold no NUL (wire.h). RFC 1939 3, RFC 2449 3 and 8, RFC 3206. */
#ifndef MAILHAUL_SOURCE_POP3_REPLY_H
#define MAILHAUL_SOURCE_POP3_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pop3_status {
	POP3_OK,
	POP3_ERR,
	POP3_CHALLENGE, /* "+ base64", RFC 5034 4: only ever an answer to AUTH */
	POP3_GARBAGE,
};

/* Extended response codes; those of IN-USE and its like are no verdict on the password. A server's own subcodes ("SYS/TEMP/QUOTA") count as their parent. */
enum pop3_code { POP3_CODE_NONE, POP3_CODE_AUTH, POP3_CODE_IN_USE, POP3_CODE_LOGIN_DELAY, POP3_CODE_SYS_TEMP, POP3_CODE_SYS_PERM };

struct pop3_reply {
	enum pop3_status status;
	enum pop3_code code;
	const char *text; /* what follows the status, code included; points into the line */
	size_t text_len;
};

struct pop3_reply pop3_reply_parse(const char *line, size_t len);

/* A line of CAPA's answer: does it announce this capability, with or without parameters? RFC 2449 5. */
bool pop3_capa_is(const char *line, size_t len, const char *capability);

/* A line of CAPA's answer: the seconds that have to lie between two logins, at most a day; 0: it is about something else. RFC 2449 6.5. */
uint32_t pop3_login_delay(const char *line, size_t len);

/* Text of STAT's answer: "2 320". False: anything else. What stands behind a second space is ignored, as RFC 1939 5 asks. */
bool pop3_stat_parse(const char *text, size_t len, uint32_t *ret_count);
/* A line of LIST's answer: "1 120". False: no such line, or a number that cannot be a message's: 0, negative, above 32 bits. */
bool pop3_list_parse(const char *line, size_t len, uint32_t *ret_number, uint64_t *ret_size);
/* A line of UIDL's answer: "1 whqtswO00WBw418f9t5JxYwZ". The id is everything behind the first space, empty if there is nothing, and may hold any byte:
 * servers do not keep to RFC 1939's printable 70. False: as above. */
bool pop3_uidl_parse(const char *line, size_t len, uint32_t *ret_number, const char **ret_uidl, size_t *ret_uidl_len);

#endif
