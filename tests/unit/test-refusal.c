#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/refusal.h"

/* One verdict of a server, and what is to be made of it. code 250: the message was accepted. */
struct event {
	enum smtp_step step;
	int code;
	const char *sender;
	enum error_kind kind;
	enum error_scope scope;
};

#define TEMP_DESTINATION ERR_TEMP, SCOPE_DESTINATION
#define ACCEPTED ERR_NONE, SCOPE_MESSAGE

static const struct {
	const char *name;
	struct event events[8];
} sessions[] = {
	{"421 concerns the destination wherever it comes",
		{{SMTP_MAIL, 421, "a@x", TEMP_DESTINATION}, {SMTP_RCPT, 421, "a@x", TEMP_DESTINATION}, {SMTP_DATA, 421, "a@x", TEMP_DESTINATION},
			{SMTP_DOT, 421, "a@x", TEMP_DESTINATION}}},
	{"a lost connection too", {{SMTP_MAIL, 0, "a@x", TEMP_DESTINATION}, {SMTP_RCPT, 0, "a@x", TEMP_DESTINATION},
					  {SMTP_DATA, 0, "a@x", TEMP_DESTINATION}, {SMTP_DOT, 0, "a@x", TEMP_DESTINATION}}},
	{"a reply of the wrong class too", {{SMTP_MAIL, 354, "a@x", TEMP_DESTINATION}, {SMTP_DATA, 250, "b@x", TEMP_DESTINATION}}},
	{"everything before the envelope", {{SMTP_CONNECT, 554, "a@x", TEMP_DESTINATION}, {SMTP_GREETING, 554, "a@x", TEMP_DESTINATION},
						   {SMTP_HELLO, 502, "a@x", TEMP_DESTINATION}, {SMTP_AUTH, 535, "a@x", TEMP_DESTINATION}}},
	{"a full disk, said at MAIL", {{SMTP_MAIL, 452, "a@x", TEMP_DESTINATION}}},
	{"452 at RCPT may be a quota", {{SMTP_RCPT, 452, "a@x", ERR_TEMP, SCOPE_RECIPIENT}}},
	{"one sender without a domain (Postfix: 450 4.1.8 for ever)",
		{{SMTP_RCPT, 450, "a@nowhere", ERR_TEMP, SCOPE_RECIPIENT}, {SMTP_DOT, 250, "b@x", ACCEPTED},
			{SMTP_RCPT, 450, "a@nowhere", ERR_TEMP, SCOPE_RECIPIENT}, {SMTP_DOT, 250, "b@x", ACCEPTED},
			{SMTP_MAIL, 550, "c@nowhere", ERR_REFUSED, SCOPE_MESSAGE}}},
	{"three different senders in a row", {{SMTP_RCPT, 550, "a@x", ERR_REFUSED, SCOPE_RECIPIENT}, {SMTP_MAIL, 451, "b@x", ERR_TEMP, SCOPE_MESSAGE},
						     {SMTP_RCPT, 550, "c@x", TEMP_DESTINATION}, {SMTP_RCPT, 550, "d@x", TEMP_DESTINATION}}},
	{"the null sender", {{SMTP_RCPT, 550, "", TEMP_DESTINATION}}},
	{"the null sender at MAIL", {{SMTP_MAIL, 550, "", TEMP_DESTINATION}}},
	{"a sender that was good enough before", {{SMTP_DOT, 250, "a@x", ACCEPTED}, {SMTP_RCPT, 550, "a@x", TEMP_DESTINATION}}},
	{"a refusal after DATA shows that its envelope was good",
		{{SMTP_DOT, 550, "a@x", ERR_REFUSED, SCOPE_MESSAGE}, {SMTP_RCPT, 450, "a@x", TEMP_DESTINATION}}},
	{"the data break the row of envelopes",
		{{SMTP_RCPT, 550, "a@x", ERR_REFUSED, SCOPE_RECIPIENT}, {SMTP_RCPT, 550, "b@x", ERR_REFUSED, SCOPE_RECIPIENT},
			{SMTP_DOT, 550, "c@x", ERR_REFUSED, SCOPE_MESSAGE}, {SMTP_RCPT, 550, "d@x", ERR_REFUSED, SCOPE_RECIPIENT}}},
	{"4xx after DATA, three in a row", {{SMTP_DOT, 451, "a@x", ERR_TEMP, SCOPE_MESSAGE}, {SMTP_DATA, 450, "b@x", ERR_TEMP, SCOPE_MESSAGE},
						   {SMTP_DOT, 452, "c@x", TEMP_DESTINATION}}},
	{"5xx after DATA is each message's own",
		{{SMTP_DOT, 554, "a@x", ERR_REFUSED, SCOPE_MESSAGE}, {SMTP_DOT, 550, "b@x", ERR_REFUSED, SCOPE_MESSAGE},
			{SMTP_DOT, 552, "c@x", ERR_REFUSED, SCOPE_MESSAGE}, {SMTP_DATA, 554, "d@x", ERR_REFUSED, SCOPE_MESSAGE}}},
	{"and breaks the row of 4xx", {{SMTP_DOT, 451, "a@x", ERR_TEMP, SCOPE_MESSAGE}, {SMTP_DOT, 451, "b@x", ERR_TEMP, SCOPE_MESSAGE},
					      {SMTP_DOT, 554, "c@x", ERR_REFUSED, SCOPE_MESSAGE}, {SMTP_DOT, 451, "d@x", ERR_TEMP, SCOPE_MESSAGE}}},
	{"an accepted message breaks it too", {{SMTP_DOT, 451, "a@x", ERR_TEMP, SCOPE_MESSAGE}, {SMTP_DOT, 451, "b@x", ERR_TEMP, SCOPE_MESSAGE},
						      {SMTP_DOT, 250, "c@x", ACCEPTED}, {SMTP_DOT, 451, "d@x", ERR_TEMP, SCOPE_MESSAGE}}},
};

static void run_session(const struct event *events)
{
	struct refusal_track track = {0};
	unsigned accepted = 0;

	for (const struct event *event = events; event->sender != NULL; event++) {
		enum error_kind kind;
		enum error_scope scope;

		if (event->kind == ERR_NONE) {
			refusal_accepted(&track, event->sender);
			accepted++;
			continue;
		}
		refusal_judge(&track, event->step, event->code, event->sender, &kind, &scope);
		assert_int_equal(kind, event->kind);
		assert_int_equal(scope, event->scope);
	}
	assert_int_equal(track.accepted, accepted);
}

static void all_sessions(void **ctx)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
		print_message("%s\n", sessions[i].name);
		run_session(sessions[i].events);
	}
}

/* A refusal that concerns the destination is never final: mail must not be held, let alone deleted, for our own misconfiguration. */
static void destination_is_always_temporary(void **ctx)
{
	(void)ctx;
	for (int step = SMTP_CONNECT; step <= SMTP_DOT; step++) {
		for (int code = 0; code < 600; code++) {
			struct refusal_track track = {.envelope_in_row = 2, .dot_in_row = 2};
			enum error_kind kind;
			enum error_scope scope;

			refusal_judge(&track, (enum smtp_step)step, code, "a@x", &kind, &scope);
			assert_true(scope == SCOPE_DESTINATION ? kind == ERR_TEMP : kind == ERR_REFUSED && code >= 500 && step >= SMTP_DATA);
		}
	}
}

/* Only the latest senders are remembered; the same one takes one place. */
static void senders_are_forgotten_in_order(void **ctx)
{
	struct refusal_track track = {0};
	enum error_kind kind;
	enum error_scope scope;
	char sender[16];

	(void)ctx;
	for (int i = 0; i < 17; i++) {
		snprintf(sender, sizeof(sender), "s%d@x", i);
		refusal_accepted(&track, sender);
		refusal_accepted(&track, sender);
	}
	refusal_judge(&track, SMTP_RCPT, 550, "s0@x", &kind, &scope);
	assert_int_equal(scope, SCOPE_RECIPIENT);
	refusal_judge(&track, SMTP_RCPT, 550, "s1@x", &kind, &scope);
	assert_int_equal(scope, SCOPE_DESTINATION);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sessions),
		cmocka_unit_test(destination_is_always_temporary),
		cmocka_unit_test(senders_are_forgotten_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
