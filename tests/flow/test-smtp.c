/* test-smtp.c - transactions with scripted SMTP and LMTP servers: every command with every answer, pipelined and in lock step; what is in doubt and what
 * is not; no dot where none belongs. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "channel/wait.h"
#include "dest/dest.h"
#include "net/wire.h"
#include "tests/lib/smtp-fixture.h"

/* -- scripts -- */

static const struct step greet[] = {S("220 mx"), C("EHLO me.example"), S("250-mx"), S("250-PIPELINING"), S("250-8BITMIME"), S("250-DSN"),
	S("250-SMTPUTF8"), S("250 SIZE 1000000"), END};
static const struct step greet_plain[] = {S("220 mx"), C("EHLO me.example"), S("250 mx"), END};
static const struct step greet_lmtp[] = {S("220 mx LMTP"), C("LHLO me.example"), S("250-mx"), S("250-PIPELINING"), S("250 ENHANCEDSTATUSCODES"), END};
static const struct step flight[] = {C("MAIL FROM:<" BEN ">*"), C("RCPT TO:<" ANNA ">*"), C("DATA"), END};
static const struct step agreed[] = {S("250 ok"), S("250 ok"), S("354 go"), END};
static const struct step envelope[] = {PLAY(flight), QUIET, PLAY(agreed), END};
static const struct step envelope_in_steps[] = {
	C("MAIL FROM:<" BEN ">"), QUIET, S("250 ok"), C("RCPT TO:<" ANNA ">"), QUIET, S("250 ok"), C("DATA"), QUIET, S("354 go"), END};
static const struct step message[] = {GET(LETTER_SENT ".\r\n"), END};
static const struct step quit[] = {C("QUIT"), S("221 bye"), END};

/* -- tests -- */

static void delivers(void **state)
{
	static const struct step pipelined[] = {PLAY(greet), GET("MAIL FROM:<" BEN "> SIZE=39\r\nRCPT TO:<" ANNA "> NOTIFY=NEVER\r\nDATA\r\n"), QUIET,
		PLAY(agreed), PLAY(message), QUIET, S("250 2.0.0 queued as 17"), PLAY(quit), END};
	static const struct step in_steps[] = {
		PLAY(greet_plain), PLAY(envelope_in_steps), PLAY(message), QUIET, S("250 2.0.0 queued as 17"), PLAY(quit), END};
	static const struct step old[] = {S("220-mx"), S("220"), C("EHLO me.example"), S("502 what?"), C("HELO me.example"), S("250"),
		PLAY(envelope_in_steps), PLAY(message), S("250-2.0.0 queued"), S("250 as 17"), PLAY(quit), END};
	static const struct step lmtp[] = {PLAY(greet_lmtp), GET("MAIL FROM:<" BEN ">\r\nRCPT TO:<" ANNA ">\r\nDATA\r\n"), QUIET, PLAY(agreed),
		PLAY(message), S("250 2.0.0 queued as 17"), PLAY(quit), END};
	static const struct {
		enum dest_kind kind;
		const struct step *script;
	} cases[] = {{DEST_SMTP, pipelined}, {DEST_SMTP, in_steps}, {DEST_SMTP, old}, {DEST_LMTP, lmtp}};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = letter();
		struct bench bench;

		bench_start(&bench, cases[i / 2].kind, i % 2 == 0 ? PEER_WHOLE : PEER_BY_BYTE, cases[i / 2].script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		assert_string_equal(delivery->reply, "250 2.0.0 queued as 17");
		assert_int_equal(delivery->code, 250);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

static void asks_for_what_the_message_needs(void **state)
{
	static const struct {
		const char *sender, *recipient, *body;
		bool needs_smtputf8;
		const char *sent;
	} cases[] = {
		{"", ANNA, "x\r\n", false, "MAIL FROM:<> SIZE=21\r\nRCPT TO:<" ANNA "> NOTIFY=NEVER\r\nDATA\r\n"},
		{BEN, "anna", "\xC3\xA4\r\n", false, "MAIL FROM:<" BEN "> SIZE=22 BODY=8BITMIME\r\nRCPT TO:<anna> NOTIFY=NEVER\r\nDATA\r\n"},
		{BEN, ANNA, "x", true, "MAIL FROM:<" BEN "> SIZE=19 SMTPUTF8\r\nRCPT TO:<" ANNA "> NOTIFY=NEVER\r\nDATA\r\n"},
		{"b\xC3\xA4r@far.example", ANNA, "x", false,
			"MAIL FROM:<b\xC3\xA4r@far.example> SIZE=19 SMTPUTF8\r\nRCPT TO:<" ANNA "> NOTIFY=NEVER\r\nDATA\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct step script[] = {PLAY(greet), {STEP_EXPECT_BYTES, cases[i].sent, strlen(cases[i].sent), NULL}, PLAY(agreed), DOT,
			S("250 ok"), PLAY(quit), END};
		struct delivery *delivery = delivery_new(cases[i].body, strlen(cases[i].body), cases[i].sender, cases[i].recipient);
		struct bench bench;

		delivery->needs_smtputf8 = cases[i].needs_smtputf8;
		bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

static void does_not_send_what_cannot_be_taken(void **state)
{
	static const struct step script[] = {
		S("220 mx"), C("EHLO me.example"), S("250-PIPELINING"), S("250-PIPELINING"), S("250 SIZE 1000"), PLAY(quit), END};
	static char large[1000];
	static const struct {
		const char *sender, *recipient, *text;
		bool large;
	} cases[] = {
		{BEN, ANNA, "takes at most 1000 bytes, the message has 1018", true},
		{"b\xC3\xA4r@far.example", ANNA, "lacks SMTPUTF8", false},
		{BEN, "\xC3\xA4nna@home.example", "lacks SMTPUTF8", false},
		{BEN, "anna> NOTIFY=SUCCESS", "recipient is not a valid address", false},
		{BEN, "", "recipient is not a valid address", false},
		{"ben\r\nRCPT TO:<eve>", ANNA, "sender is not a valid address", false},
	};

	(void)state;
	memset(large, 'a', sizeof(large));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = delivery_new(large, cases[i].large ? sizeof(large) : 10, cases[i].sender, cases[i].recipient);
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_REFUSED);
		expect_error(&delivery->error, ERR_REFUSED, SCOPE_MESSAGE, cases[i].text);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

/* -- every command, every answer -- */

enum { AT_GREETING, AT_HELLO, AT_MAIL, AT_RCPT, AT_DATA, AT_DOT, AT_END };

struct answer {
	const char *line; /* NULL: see how */
	enum step_kind how;
	enum verdict envelope, dot; /* before and after the message was sent */
	enum error_kind hello;      /* and before that */
	bool ends;                  /* the connection is of no more use */
};

static const struct answer answers[] = {
	{"450 4.2.0 later", STEP_END, VERDICT_DEFERRED, VERDICT_DEFERRED, ERR_TEMP, false},
	{"550 5.1.1 never", STEP_END, VERDICT_REFUSED, VERDICT_REFUSED, ERR_TEMP, false},
	{"421 4.3.2 bye", STEP_END, VERDICT_RETRACTED, VERDICT_DEFERRED, ERR_TEMP, true},
	{"hello there", STEP_CLOSE, VERDICT_RETRACTED, VERDICT_IN_DOUBT, ERR_PROTO, true},
	{"334", STEP_CLOSE, VERDICT_RETRACTED, VERDICT_IN_DOUBT, ERR_TEMP, true},
	{NULL, STEP_CLOSE, VERDICT_RETRACTED, VERDICT_IN_DOUBT, ERR_TEMP, true},
	{NULL, STEP_SILENCE, VERDICT_RETRACTED, VERDICT_IN_DOUBT, ERR_TEMP, true},
};

struct script {
	struct step steps[40];
	size_t len;
};

static void put(struct script *script, struct step step)
{
	assert_true(script->len < sizeof(script->steps) / sizeof(script->steps[0]));
	script->steps[script->len++] = step;
}

static void put_line(struct script *script, enum step_kind kind, const char *line)
{
	put(script, (struct step){kind, line, strlen(line), NULL});
}

static void put_answer(struct script *script, const struct answer *answer)
{
	if (answer->line != NULL)
		put_line(script, STEP_SEND_LINE, answer->line);
	if (answer->how != STEP_END)
		put(script, (struct step){answer->how, NULL, 0, NULL});
}

/* A server that answers all as it should, but this at one place. A client in lock step asks nothing more after a refusal; one that pipelines has already. */
static void write_script(struct script *script, enum dest_kind kind, bool pipelines, unsigned place, const struct answer *answer)
{
	static const char *const good[] = {"220 mx", NULL, "250 ok", "250 ok", "354 go", "250 done"};
	static const char *const questions[] = {NULL, NULL, "MAIL FROM:<" BEN ">", "RCPT TO:<" ANNA ">", "DATA", NULL};

	*script = (struct script){0};
	for (unsigned at = AT_GREETING; at < AT_END; at++) {
		if (at == AT_HELLO)
			put_line(script, STEP_EXPECT_LINE, kind == DEST_LMTP ? "LHLO me.example" : "EHLO me.example");
		if (at == AT_DOT)
			put(script, (struct step)GET(LETTER_SENT ".\r\n"));
		for (unsigned ask = at; questions[ask] != NULL && (!pipelines || at == AT_MAIL) && (ask == at || pipelines); ask++)
			put_line(script, STEP_EXPECT_LINE, questions[ask]);
		if (at == place)
			put_answer(script, answer);
		else if (at > place && at < AT_DOT)
			put_line(script, STEP_SEND_LINE, "503 not now");
		else if (at != AT_HELLO)
			put_line(script, STEP_SEND_LINE, good[at]);
		else if (pipelines)
			put_line(script, STEP_SEND_LINE, "250-mx\r\n250 PIPELINING");
		else
			put_line(script, STEP_SEND_LINE, "250 mx");
		if (at == place && (answer->ends || place < AT_MAIL))
			break;
		if (at >= place && (!pipelines || at == AT_DATA))
			break;
	}
	if (!answer->ends && place >= AT_MAIL)
		put(script, (struct step)PLAY(quit));
	put(script, (struct step)END);
}

static void try_answer(enum dest_kind kind, bool pipelines, unsigned place, const struct answer *answer)
{
	struct delivery *delivery = letter(), *got;
	enum verdict verdict = place == AT_DOT ? answer->dot : answer->envelope;
	struct script script;
	struct bench bench;

	write_script(&script, kind, pipelines, place, answer);
	bench_start(&bench, kind, PEER_WHOLE, script.steps, NULL);
	if (place <= AT_HELLO) {
		assert_int_equal(dest_open(bench.dest, &bench.err), -1);
		expect_error(&bench.err, answer->hello, SCOPE_DESTINATION, answer->line != NULL ? answer->line : "the server");
	} else {
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), verdict == VERDICT_RETRACTED ? -1 : 0);
		expect_verdict(&bench, delivery, verdict);
		assert_non_null(strstr(delivery->error.text, "destination home"));
		if (!answer->ends)
			expect_error(&delivery->error, verdict == VERDICT_REFUSED ? ERR_REFUSED : ERR_TEMP,
				place == AT_RCPT ? SCOPE_RECIPIENT : SCOPE_MESSAGE, answer->line);
		if (verdict == VERDICT_IN_DOUBT) {
			assert_int_equal(next_verdict(&bench, &got), -1);
			assert_int_equal(bench.err.scope, SCOPE_DESTINATION);
		}
		if (answer->ends)
			assert_null(bench.dest->wire);
		assert_int_equal(dest_verdicts(bench.dest, &got, &bench.err), 0);
	}
	bench_end(&bench);
	delivery_free(delivery);
}

static void survives_every_answer(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < 3; mode++) {
		for (unsigned place = AT_GREETING; place < AT_END; place++) {
			for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
				bool helo = mode != 2 && place == AT_HELLO && answers[i].line != NULL && answers[i].line[0] == '5';

				if (helo || answers[i].how == STEP_SILENCE)
					continue;
				try_answer(mode == 2 ? DEST_LMTP : DEST_SMTP, mode != 1, place, &answers[i]);
			}
		}
	}
}

static void gives_silence_its_time(void **state)
{
	(void)state;
	deadline_set_factor(0.001); /* 300 ms for a reply, 600 for the last */
	for (unsigned place = AT_GREETING; place < AT_END; place++)
		try_answer(DEST_SMTP, true, place, &answers[6]);
	deadline_set_factor(1);
}

static void a_refused_hello_ends_it(void **state)
{
	static const struct step lmtp[] = {S("220 mx"), C("LHLO me.example"), S("500 what?"), SILENCE, END};
	static const struct step helo[] = {S("220 mx"), C("EHLO me.example"), S("500 what?"), C("HELO me.example"), S("550 who?"), SILENCE, END};
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_LMTP, PEER_WHOLE, lmtp, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), -1);
	expect_error(&bench.err, ERR_TEMP, SCOPE_DESTINATION, "500 what?");
	bench_end(&bench);
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, helo, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), -1);
	expect_error(&bench.err, ERR_TEMP, SCOPE_DESTINATION, "550 who?");
	bench_end(&bench);
}

/* -- several messages over one connection -- */

static void offer_two(struct bench *bench, struct delivery *first, struct delivery *second, const struct delivery *announced)
{
	assert_int_equal(dest_offer(bench->dest, first, announced, &bench->err), 0);
	assert_int_equal(dest_offer(bench->dest, second, NULL, &bench->err), 0);
}

static void next_envelope_rides_behind_the_dot(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), QUIET, S("250 one"), PLAY(agreed),
		PLAY(message), QUIET, S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	offer_two(&bench, first, second, second);
	expect_verdict(&bench, first, VERDICT_ACCEPTED);
	assert_string_equal(first->reply, "250 one");
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	assert_string_equal(second->reply, "250 two");
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void verdict_is_taken_before_the_next_message(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), S("550 5.7.1 spam"), PLAY(agreed),
		PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, first, second, &bench.err), 0);
	expect_verdict(&bench, first, VERDICT_REFUSED);
	expect_error(&first->error, ERR_REFUSED, SCOPE_MESSAGE, "destination home refused the message: 550 5.7.1 spam");
	assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), 0);
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void an_announced_message_that_does_not_come_leaves_no_trace(void **state)
{
	static const struct step script[] = {
		PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), RAW("250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n"), SILENCE, END};
	static const struct step again[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *announced = letter(), *other = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, again);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	offer_two(&bench, first, other, announced);
	expect_verdict(&bench, first, VERDICT_ACCEPTED);
	expect_verdict(&bench, other, VERDICT_ACCEPTED);
	bench_end(&bench);

	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL); /* nor does QUIT follow it */
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, first, announced, &bench.err), 0);
	expect_verdict(&bench, first, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(announced);
	delivery_free(other);
}

/* What lies in its place in memory afterwards is another message, with an envelope of its own. */
static void an_announced_message_that_is_given_up(void **state)
{
	static const struct step script[] = {
		PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), RAW("250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n"), SILENCE, END};
	static const struct step again[] = {PLAY(greet), C("MAIL FROM:<>*"), C("RCPT TO:<carl@home.example>*"), C("DATA"), PLAY(agreed),
		PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *other = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, again);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, first, other, &bench.err), 0);
	expect_verdict(&bench, first, VERDICT_ACCEPTED);
	dest_discard(bench.dest, other);
	other->sender = "";
	other->recipient = "carl@home.example";
	assert_int_equal(dest_offer(bench.dest, other, NULL, &bench.err), 0);
	expect_verdict(&bench, other, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(other);
}

static void nothing_rides_without_pipelining(void **state)
{
	static const struct step script[] = {PLAY(greet_plain), PLAY(envelope_in_steps), PLAY(message), QUIET, S("250 one"), PLAY(envelope_in_steps),
		PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	offer_two(&bench, first, second, second);
	expect_verdict(&bench, first, VERDICT_ACCEPTED);
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void a_refused_envelope_is_reset(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(flight), S("250 ok"), S("550 who?"), S("503 no recipient"), C("RSET"), QUIET,
		S("250 ok"), PLAY(envelope), PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	offer_two(&bench, first, second, second);
	expect_verdict(&bench, first, VERDICT_REFUSED);
	expect_error(&first->error, ERR_REFUSED, SCOPE_RECIPIENT, "destination home refused the recipient: 550 who?");
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void no_dot_for_a_refused_recipient(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(flight), S("250 ok"), S("550 who?"), S("354 go"), SILENCE, END};
	static const struct step again[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, again);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	offer_two(&bench, first, second, second);
	expect_verdict(&bench, first, VERDICT_REFUSED);
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void three_refusals_in_a_row_concern_the_destination(void **state)
{
	static const struct step refused[] = {PLAY(flight), S("550 no relaying"), S("503 no"), S("503 no"), END};
	static const struct step script[] = {
		PLAY(greet), PLAY(refused), C("RSET"), S("250 ok"), PLAY(refused), C("RSET"), S("250 ok"), PLAY(refused), PLAY(quit), END};
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	for (unsigned i = 1; i <= 3; i++) {
		struct delivery *delivery = letter();

		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, i < 3 ? VERDICT_REFUSED : VERDICT_DEFERRED);
		expect_error(&delivery->error, i < 3 ? ERR_REFUSED : ERR_TEMP, i < 3 ? SCOPE_MESSAGE : SCOPE_DESTINATION,
			"refused the sender: 550 no relaying");
		delivery_free(delivery);
	}
	bench_end(&bench);
}

static void a_server_that_went_to_sleep_is_woken(void **state)
{
	static const struct step sleepy[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 one"), S("421 idle"), CLOSE, END};
	static const struct step closes[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 one"), CLOSE, END};
	static const struct step chatty[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 one"), S("250 and another"), SILENCE, END};
	static const struct step pipelined[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 two"), PLAY(quit), END};
	static const struct step careful[] = {PLAY(greet), C("MAIL*"), QUIET, S("250 ok"), C("RCPT*"), QUIET, S("250 ok"), C("DATA"), S("354 go"),
		PLAY(message), S("250 two"), PLAY(quit), END};
	static const struct {
		const struct step *first, *second;
	} cases[] = {{sleepy, pipelined}, {closes, pipelined}, {chatty, careful}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *first = letter(), *second = letter(), *got;
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, cases[i].first, cases[i].second);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, first, NULL, &bench.err), 0);
		expect_verdict(&bench, first, VERDICT_ACCEPTED);
		while (bench.dest->wire != NULL) {
			struct pollfd fd = {.fd = wire_fd(bench.dest->wire), .events = wire_events(bench.dest->wire)};

			if (!wire_is_ready(bench.dest->wire))
				assert_int_equal(wait_io(&fd, 1, deadline_in_s(20), NULL, &bench.err), 1);
			assert_int_equal(dest_verdicts(bench.dest, &got, &bench.err), 0);
		}
		assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), 0);
		expect_verdict(&bench, second, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(first);
		delivery_free(second);
	}
}

/* -- while the message arrives -- */

#define ARRIVING_MAIL "MAIL FROM:<" BEN "> SIZE=1018 BODY=8BITMIME\r\nRCPT TO:<" ANNA "> NOTIFY=NEVER\r\nDATA\r\n"

static void goes_on_where_it_was_begun(void **state)
{
	static const struct step pipelined[] = {PLAY(greet), GET(ARRIVING_MAIL), QUIET, PLAY(agreed), GET(DELIVERY_PREPEND "Subject: x\r\n"),
		GET("\r\n..hel"), GET("lo\r\n.\r\n"), QUIET, S("250 2.0.0 queued as 17"), PLAY(quit), END};
	static const struct step in_steps[] = {PLAY(greet_plain), PLAY(envelope_in_steps), GET(DELIVERY_PREPEND "Subject: x\r\n"), GET("\r\n..hel"),
		GET("lo\r\n.\r\n"), QUIET, S("250 2.0.0 queued as 17"), PLAY(quit), END};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct delivery *delivery = delivery_arriving(1000, BEN, ANNA);
		struct bench bench;

		bench_start(&bench, DEST_SMTP, i % 2 == 0 ? PEER_WHOLE : PEER_BY_BYTE, i < 2 ? pipelined : in_steps, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		delivery_arrives(delivery, "Subject: x\r\n", 12);
		assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
		assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
		assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0); /* nothing new */
		delivery_arrives(delivery, "\r\n.hel", 6);
		assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
		delivery_arrives(delivery, "lo\r\n", 4);
		delivery_has_arrived(delivery);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		assert_string_equal(delivery->reply, "250 2.0.0 queued as 17");
		bench_end(&bench);
		delivery_free(delivery);
	}
}

/* Whoever says no to what was begun is asked again, over another connection, when the message is there: only that counts. */
static void what_cannot_be_begun_is_offered_later(void **state)
{
	static const struct step no_recipient[] = {PLAY(greet), PLAY(flight), RAW("250 ok\r\n550 unknown\r\n554 no\r\n"), SILENCE, END};
	static const struct step odd[] = {PLAY(greet), PLAY(flight), RAW("250 ok\r\n550 unknown\r\n354 go\r\n"), SILENCE, END};
	static const struct step in_steps[] = {
		PLAY(greet_plain), C("MAIL FROM:<" BEN ">"), QUIET, S("250 ok"), C("RCPT TO:<" ANNA ">"), QUIET, S("550 unknown"), SILENCE, END};
	static const struct step no_data[] = {PLAY(greet), PLAY(flight), S("250 ok"), S("250 ok"), S("451 no room"), SILENCE, END};
	static const struct step leaving[] = {PLAY(greet), PLAY(flight), S("421 bye"), SILENCE, END};
	static const struct step gone[] = {PLAY(greet), PLAY(flight), CLOSE, END};
	static const struct step takes[] = {
		PLAY(greet_plain), PLAY(envelope_in_steps), GET(DELIVERY_PREPEND "x\r\n.\r\n"), S("250 taken"), PLAY(quit), END};
	static const struct step *const scripts[] = {no_recipient, odd, in_steps, no_data, leaving, gone};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct delivery *delivery = delivery_arriving(1000, BEN, ANNA), *got;
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, scripts[i], takes);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		delivery_arrives(delivery, "x\r\n", 3);
		assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), -1);
		assert_null(bench.dest->wire);
		assert_int_equal(dest_verdicts(bench.dest, &got, &bench.err), 0);
		delivery_has_arrived(delivery);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

/* Nobody reads from the source while it is made. */
static void a_new_connection_to_begin_with_is_given_up_soon(void **state)
{
	static const struct step closes[] = {PLAY(greet), CLOSE, END};
	struct delivery *delivery = delivery_arriving(1000, BEN, ANNA);
	struct pollfd closed = {.events = POLLIN};
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, closes, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	closed.fd = wire_fd(bench.dest->wire);
	assert_int_equal(poll(&closed, 1, -1), 1);
	delivery_arrives(delivery, "x\r\n", 3);
	assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), -1);
	assert_non_null(strstr(bench.err.text, "given 20 seconds"));
	assert_int_equal(dest_open(bench.dest, &bench.err), -1);
	assert_non_null(strstr(bench.err.text, "given 0 seconds"));
	bench_end(&bench);
	delivery_free(delivery);
}

static void what_was_begun_gets_no_dot_unless_it_is_offered(void **state)
{
	static const struct step unheard[] = {PLAY(greet), PLAY(envelope), GET(DELIVERY_PREPEND "x\r\n"), SILENCE, END};
	static const struct step refused[] = {PLAY(greet), PLAY(flight), RAW("250 ok\r\n250 ok\r\n354 go\r\n552 too big\r\n"), SILENCE, END};
	static const struct step *const scripts[] = {unheard, refused};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct delivery *delivery = delivery_arriving(1000, BEN, ANNA), *got;
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, scripts[i], NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		delivery_arrives(delivery, "x\r\n", 3);
		assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
		if (scripts[i] == refused) {
			assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), -1);
		} else {
			assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
			dest_discard(bench.dest, delivery);
		}
		assert_null(bench.dest->wire);
		assert_int_equal(dest_verdicts(bench.dest, &got, &bench.err), 0);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

/* It would go out in the middle of the one that was begun; that one is sent anew. */
static void another_message_may_go_first(void **state)
{
	static const struct step first[] = {PLAY(greet), PLAY(envelope), GET(DELIVERY_PREPEND "x\r\n"), SILENCE, END};
	static const struct step second[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 ok"), PLAY(envelope),
		GET(DELIVERY_PREPEND "x\r\n.\r\n"), S("250 ok"), PLAY(quit), END};
	struct delivery *begun = delivery_arriving(1000, BEN, ANNA), *other = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, first, second);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	delivery_arrives(begun, "x\r\n", 3);
	assert_int_equal(dest_begin(bench.dest, begun, &bench.err), 0);
	assert_int_equal(dest_feed(bench.dest, begun, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, other, NULL, &bench.err), 0);
	expect_verdict(&bench, other, VERDICT_ACCEPTED);
	assert_int_equal(dest_feed(bench.dest, begun, &bench.err), -1);
	delivery_has_arrived(begun);
	assert_int_equal(dest_offer(bench.dest, begun, NULL, &bench.err), 0);
	expect_verdict(&bench, begun, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(begun);
	delivery_free(other);
}

/* Another destination was served first, and this server has not waited: no fault of anybody, so the message is sent anew. */
static void a_server_that_did_not_wait_is_asked_again(void **state)
{
	static const struct step part[] = {PLAY(greet), PLAY(envelope), GET(DELIVERY_PREPEND "x\r\n"), END};
	static const struct step closes[] = {PLAY(part), CLOSE, END};
	static const struct step leaves[] = {PLAY(part), S("421 timeout"), CLOSE, END};
	static const struct step refuses[] = {PLAY(part), S("451 timeout"), SILENCE, END};
	static const struct step takes[] = {PLAY(part), GET("y\r\n.\r\n"), S("250 taken"), PLAY(quit), END};
	static const struct step *const scripts[] = {closes, leaves, refuses};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct delivery *delivery = delivery_arriving(1000, BEN, ANNA);
		struct pollfd fd = {.events = POLLIN};
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, scripts[i], takes);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		delivery_arrives(delivery, "x\r\n", 3);
		assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
		assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
		delivery_arrives(delivery, "y\r\n", 3);
		delivery_has_arrived(delivery);
		fd.fd = wire_fd(bench.dest->wire);
		assert_int_equal(poll(&fd, 1, 20000), 1);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

/* RFC 1870 6.3: what is larger than MAIL said may be refused for that. */
static void what_is_larger_than_announced_is_sent_anew(void **state)
{
	static const struct step first[] = {PLAY(greet), C("MAIL FROM:<" BEN "> SIZE=28*"), C("RCPT TO:<" ANNA ">*"), C("DATA"), PLAY(agreed),
		GET(DELIVERY_PREPEND "x\r\n"), SILENCE, END};
	static const struct step second[] = {PLAY(greet), C("MAIL FROM:<" BEN "> SIZE=38"), C("RCPT TO:<" ANNA ">*"), C("DATA"), PLAY(agreed),
		GET(DELIVERY_PREPEND "x\r\nand a long line\r\n.\r\n"), S("250 ok"), PLAY(quit), END};
	struct delivery *delivery = delivery_arriving(10, BEN, ANNA);
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, first, second);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	delivery_arrives(delivery, "x\r\n", 3);
	assert_int_equal(dest_begin(bench.dest, delivery, &bench.err), 0);
	assert_int_equal(dest_feed(bench.dest, delivery, &bench.err), 0);
	delivery_arrives(delivery, "and a long line\r\n", 17);
	delivery_has_arrived(delivery);
	assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
	expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(delivery);
}

/* -- replies out of order -- */

static void an_early_reply_keeps_the_dot_back(void **state)
{
	static const struct step unsolicited[] = {
		PLAY(greet), PLAY(flight), RAW("250 ok\r\n250 ok\r\n354 go\r\n250 already there\r\n"), SILENCE, END};
	static const struct step refused[] = {PLAY(greet), PLAY(flight), RAW("250 ok\r\n250 ok\r\n354 go\r\n552 too big\r\n"), SILENCE, END};
	static const struct step leaving[] = {PLAY(greet), PLAY(flight), RAW("250 ok\r\n250 ok\r\n354 go\r\n421 bye\r\n"), SILENCE, END};
	static const struct {
		const struct step *script;
		enum verdict verdict;
		enum error_scope scope;
		const char *text;
	} cases[] = {
		{unsolicited, VERDICT_RETRACTED, SCOPE_DESTINATION, "answered before the message was complete: 250 already there"},
		{refused, VERDICT_DEFERRED, SCOPE_MESSAGE, "refused the message: 552 too big"},
		{leaving, VERDICT_RETRACTED, SCOPE_DESTINATION, "421 bye"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = letter();
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, cases[i].script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), cases[i].verdict == VERDICT_RETRACTED ? -1 : 0);
		expect_verdict(&bench, delivery, cases[i].verdict);
		expect_error(&delivery->error, ERR_TEMP, cases[i].scope, cases[i].text);
		assert_null(bench.dest->wire);
		bench_end(&bench);
		delivery_free(delivery);
	}
}

static void a_reply_in_the_middle_of_a_large_message_ends_it(void **state)
{
	static const struct step refused[] = {PLAY(greet_plain), PLAY(envelope_in_steps), READ(100000), S("552 too big"), CUT, END};
	static const struct step hangs_up[] = {PLAY(greet_plain), PLAY(envelope_in_steps), READ(100000), CLOSE, END};
	size_t len = 4 << 20;
	char *bytes = malloc(len);

	(void)state;
	memset(bytes, 'a', len);
	for (unsigned i = 0; i < 2; i++) {
		struct delivery *delivery = delivery_new(bytes, len / 4, BEN, ANNA);
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, i == 0 ? refused : hangs_up, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), i == 0 ? 0 : -1);
		expect_verdict(&bench, delivery, i == 0 ? VERDICT_DEFERRED : VERDICT_RETRACTED);
		bench_end(&bench);
		delivery_free(delivery);
	}
	free(bytes);
}

static void garbage_before_the_last_answer(void **state)
{
	static const struct step accepted[] = {
		PLAY(greet), PLAY(envelope), PLAY(message), S("what?"), S("250-half"), S("550 mixed"), S("250 one"), SILENCE, END};
	static const struct step refused[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("what?"), S("550 one"), SILENCE, END};
	static const struct step careful[] = {PLAY(greet), C("MAIL*"), QUIET, S("250 ok"), C("RCPT*"), QUIET, S("250 ok"), C("DATA"), S("354 go"),
		PLAY(message), S("250 two"), PLAY(quit), END};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct delivery *first = letter(), *second = letter();
		struct bench bench;

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, i == 0 ? accepted : refused, careful);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, first, NULL, &bench.err), 0);
		expect_verdict(&bench, first, i == 0 ? VERDICT_ACCEPTED : VERDICT_DEFERRED);
		assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), 0);
		expect_verdict(&bench, second, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(first);
		delivery_free(second);
	}
}

static void garbage_with_an_envelope_out_leaves_doubt(void **state)
{
	static const struct step script[] = {
		PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), RAW("what?\r\n250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n"), SILENCE, END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, first, second, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), -1);
	expect_error(&bench.err, ERR_PROTO, SCOPE_DESTINATION, "no reply: \"what?\"");
	expect_verdict(&bench, first, VERDICT_IN_DOUBT);
	expect_verdict(&bench, second, VERDICT_RETRACTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void a_connection_lost_with_an_envelope_out(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(envelope), PLAY(message), PLAY(flight), CLOSE, END};
	static const struct step again[] = {PLAY(greet), PLAY(envelope), PLAY(message), S("250 two"), PLAY(quit), END};
	struct delivery *first = letter(), *second = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, again);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, first, second, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), -1);
	expect_error(&bench.err, ERR_TEMP, SCOPE_DESTINATION, "destination home: the server closed the connection");
	expect_verdict(&bench, first, VERDICT_IN_DOUBT);
	expect_verdict(&bench, second, VERDICT_RETRACTED);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, second, NULL, &bench.err), 0);
	expect_verdict(&bench, second, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(first);
	delivery_free(second);
}

static void leaving_with_a_dot_out_leaves_doubt(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(envelope), PLAY(message), SILENCE, END};
	struct delivery *delivery = letter();
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
	assert_int_equal(dest_close(bench.dest, &bench.err), 0);
	expect_verdict(&bench, delivery, VERDICT_IN_DOUBT);
	bench_end(&bench);
	delivery_free(delivery);
}

/* -- content -- */

/* What a server that ends a message at "LF . LF" and the like would take for the end, followed by a second message. */
static void no_message_hides_another(void **state)
{
	static const char evil[] = "MAIL FROM:<evil@example>\r\nRCPT TO:<anna>\r\nDATA\r\nforged\r\n";
	static const struct {
		const char *bytes;
		size_t len;
		const char *sent;
	} cases[] = {
#define SMUGGLED(bytes, sent) {bytes, sizeof(bytes) - 1, sent}
		SMUGGLED("\n.\n", "\r\n..\r\n"),
		SMUGGLED("\n.\r\n", "\r\n..\r\n"),
		SMUGGLED("\r\n.\n", "\r\n..\r\n"),
		SMUGGLED("\r.\r", " . "),
		SMUGGLED("\r\n.\r", "\r\n.. "),
		SMUGGLED("\r.\r\n", " .\r\n"),
		SMUGGLED("\n.\r", "\r\n.. "),
		SMUGGLED("\0.\r\n", " .\r\n"),
		SMUGGLED("\r\n.\r\n", "\r\n..\r\n"),
		SMUGGLED("\r\r\n.\r\r\n", " \r\n.. \r\n"),
#undef SMUGGLED
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct str bytes = {0}, sent = {0};
		struct delivery *delivery;
		struct bench bench;

		str_add_text(&bytes, "a");
		str_add(&bytes, cases[i].bytes, cases[i].len);
		str_add_text(&bytes, evil);
		str_addf(&sent, "%sa%s%s.\r\n", DELIVERY_PREPEND, cases[i].sent, evil);
		delivery = delivery_new(bytes.data, bytes.len, BEN, ANNA);
		const struct step script[] = {PLAY(greet_plain), PLAY(envelope_in_steps), {STEP_EXPECT_BYTES, sent.data, sent.len, NULL}, QUIET,
			S("250 ok"), PLAY(quit), END};

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(delivery);
		str_done(&bytes);
		str_done(&sent);
	}
}

static void odd_messages_arrive_whole(void **state)
{
	static const struct {
		const char *bytes, *sent;
	} cases[] = {
		{"", ""},
		{"\r\n", "\r\n"},
		{".", "..\r\n"},
		{"no newline", "no newline\r\n"},
		{"a\nb\n", "a\r\nb\r\n"},
		{"From x\r\n>From y\r\n", "From x\r\n>From y\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *delivery = delivery_new(cases[i].bytes, strlen(cases[i].bytes), BEN, ANNA);
		struct str sent = {0};
		struct bench bench;

		str_addf(&sent, "%s%s.\r\n", DELIVERY_PREPEND, cases[i].sent);
		const struct step script[] = {PLAY(greet_plain), PLAY(envelope_in_steps), {STEP_EXPECT_BYTES, sent.data, sent.len, NULL}, QUIET,
			S("250 ok"), PLAY(quit), END};

		bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
		expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
		bench_end(&bench);
		delivery_free(delivery);
		str_done(&sent);
	}
}

/* More than the socket takes, in lines of all lengths, some of them beginning with dots. */
static void large_messages_arrive_whole(void **state)
{
	struct str bytes = {0}, sent = {0};
	struct delivery *delivery;
	struct bench bench;

	(void)state;
	str_add_text(&sent, DELIVERY_PREPEND);
	for (unsigned i = 0; bytes.len < 900000; i++) {
		const char *dots = i % 7 == 0 ? "." : "";

		str_addf(&bytes, "%s%0*u\r\n", dots, (int)(i % 2000), i);
		str_addf(&sent, "%s%s%0*u\r\n", dots, dots, (int)(i % 2000), i);
	}
	str_add_text(&sent, ".\r\n");
	delivery = delivery_new(bytes.data, bytes.len, BEN, ANNA);
	const struct step script[] = {
		PLAY(greet), PLAY(envelope), {STEP_EXPECT_BYTES, sent.data, sent.len, NULL}, QUIET, S("250 ok"), PLAY(quit), END};

	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_offer(bench.dest, delivery, NULL, &bench.err), 0);
	expect_verdict(&bench, delivery, VERDICT_ACCEPTED);
	bench_end(&bench);
	delivery_free(delivery);
	str_done(&bytes);
	str_done(&sent);
}

/* -- check -- */

static void probes_a_recipient(void **state)
{
	static const struct step fine[] = {
		PLAY(greet), C("MAIL FROM:<>"), QUIET, S("250 ok"), C("RCPT TO:<" ANNA ">"), S("250 ok"), C("RSET"), S("250 ok"), PLAY(quit), END};
	static const struct step unknown[] = {
		PLAY(greet), C("MAIL FROM:<>"), S("250 ok"), C("RCPT TO:<" ANNA ">"), S("550 who?"), C("RSET"), S("250 ok"), PLAY(quit), END};
	static const struct step sender[] = {PLAY(greet), C("MAIL FROM:<>"), S("450 later"), C("RSET"), S("250 ok"), PLAY(quit), END};
	struct bench bench;

	(void)state;
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, fine, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	assert_int_equal(dest_probe(bench.dest, "", "anna\r\nDATA", &bench.err), -1);
	assert_int_equal(dest_probe(bench.dest, "", ANNA, &bench.err), 0);
	bench_end(&bench);
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, unknown, NULL);
	assert_int_equal(dest_probe(bench.dest, "", ANNA, &bench.err), -1);
	expect_error(&bench.err, ERR_REFUSED, SCOPE_RECIPIENT, "refused the recipient: 550 who?");
	bench_end(&bench);
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, sender, NULL);
	assert_int_equal(dest_probe(bench.dest, "", ANNA, &bench.err), -1);
	expect_error(&bench.err, ERR_TEMP, SCOPE_DESTINATION, "refused the sender: 450 later");
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers),
		cmocka_unit_test(asks_for_what_the_message_needs),
		cmocka_unit_test(does_not_send_what_cannot_be_taken),
		cmocka_unit_test(survives_every_answer),
		cmocka_unit_test(gives_silence_its_time),
		cmocka_unit_test(a_refused_hello_ends_it),
		cmocka_unit_test(next_envelope_rides_behind_the_dot),
		cmocka_unit_test(verdict_is_taken_before_the_next_message),
		cmocka_unit_test(an_announced_message_that_does_not_come_leaves_no_trace),
		cmocka_unit_test(an_announced_message_that_is_given_up),
		cmocka_unit_test(nothing_rides_without_pipelining),
		cmocka_unit_test(a_refused_envelope_is_reset),
		cmocka_unit_test(no_dot_for_a_refused_recipient),
		cmocka_unit_test(three_refusals_in_a_row_concern_the_destination),
		cmocka_unit_test(a_server_that_went_to_sleep_is_woken),
		cmocka_unit_test(goes_on_where_it_was_begun),
		cmocka_unit_test(what_cannot_be_begun_is_offered_later),
		cmocka_unit_test(a_new_connection_to_begin_with_is_given_up_soon),
		cmocka_unit_test(what_was_begun_gets_no_dot_unless_it_is_offered),
		cmocka_unit_test(another_message_may_go_first),
		cmocka_unit_test(a_server_that_did_not_wait_is_asked_again),
		cmocka_unit_test(what_is_larger_than_announced_is_sent_anew),
		cmocka_unit_test(an_early_reply_keeps_the_dot_back),
		cmocka_unit_test(a_reply_in_the_middle_of_a_large_message_ends_it),
		cmocka_unit_test(garbage_before_the_last_answer),
		cmocka_unit_test(garbage_with_an_envelope_out_leaves_doubt),
		cmocka_unit_test(a_connection_lost_with_an_envelope_out),
		cmocka_unit_test(leaving_with_a_dot_out_leaves_doubt),
		cmocka_unit_test(no_message_hides_another),
		cmocka_unit_test(odd_messages_arrive_whole),
		cmocka_unit_test(large_messages_arrive_whole),
		cmocka_unit_test(probes_a_recipient),
	};

	return cmocka_run_group_tests_name("smtp", tests, NULL, NULL);
}
