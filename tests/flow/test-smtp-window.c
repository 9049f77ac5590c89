/* test-smtp-window.c - messages by BDAT to a distant server: when a window opens and how far, and what is known of each message when the replies stop,
 * shift, or refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/wire.h"
#include "tests/lib/smtp-fixture.h"

#define FAR_NS INT64_C(40000000)
#define NEAR_NS INT64_C(1900000)
#define LETTERS 4

#define ACCEPTED VERDICT_ACCEPTED
#define DOUBT VERDICT_IN_DOUBT
#define BACK VERDICT_RETRACTED

/* -- scripts -- */

#define GREET(keywords) \
	S("220 mx"), C("EHLO me.example"), S("250-mx"), S("250-PIPELINING"), S("250-ENHANCEDSTATUSCODES"), RAW(keywords), S("250 CHUNKING")
#define ENVELOPE_FITS S("250 2.1.0 Ok"), S("250 2.1.5 Ok")
#define BY_DATA(answer) \
	C("MAIL FROM:<" BEN ">"), C("RCPT TO:<" ANNA ">"), C("DATA"), QUIET, ENVELOPE_FITS, S("354 go"), GET(LETTER_SENT ".\r\n"), QUIET, S(answer)

static const struct step greet[] = {GREET(""), END};
static const struct step by_data[] = {BY_DATA("250 2.0.0 queued as 1"), END};
static const struct step group[] = {C("MAIL FROM:<" BEN ">"), C("RCPT TO:<" ANNA ">"), C("BDAT 39 LAST"), GET(LETTER_SENT), END};
static const struct step taken[] = {ENVELOPE_FITS, S("250 2.6.0 queued"), END};
static const struct step four_groups[] = {PLAY(group), PLAY(group), PLAY(group), PLAY(group), QUIET, END};
static const struct step four_taken[] = {PLAY(taken), PLAY(taken), PLAY(taken), PLAY(taken), END};
/* The codes are vetted by DATA, the distance by a third round trip. */
static const struct step opening[] = {PLAY(by_data), PLAY(group), QUIET, PLAY(taken), END};
static const struct step open_window[] = {PLAY(greet), PLAY(opening), END};
static const struct step in_steps[] = {C("MAIL FROM:<" BEN ">"), QUIET, S("250 2.1.0 ok"), C("RCPT TO:<" ANNA ">"), QUIET, S("250 2.1.5 ok"),
	C("DATA"), QUIET, S("354 go"), GET(LETTER_SENT ".\r\n"), QUIET, S("250 2.0.0 ok"), END};
static const struct step quit[] = {C("QUIT"), S("221 bye"), END};

/* -- the session's part -- */

static void offer(struct bench *bench, struct delivery *delivery)
{
	assert_true(dest_has_room(bench->dest));
	assert_int_equal(dest_offer(bench->dest, delivery, NULL, &bench->err), 0);
}

static void haul_one(struct bench *bench)
{
	struct delivery *delivery = letter();

	offer(bench, delivery);
	assert_int_equal(dest_flush(bench->dest, &bench->err), 0);
	expect_verdict(bench, delivery, ACCEPTED);
	delivery_free(delivery);
}

static void open_up(struct bench *bench)
{
	assert_int_equal(dest_open(bench->dest, &bench->err), 0);
	haul_one(bench);
	haul_one(bench);
}

static void offer_letters(struct bench *bench, struct delivery **letters, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		letters[i] = letter();
		offer(bench, letters[i]);
	}
	assert_int_equal(dest_flush(bench->dest, &bench->err), 0);
}

static void free_letters(struct delivery **letters, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		delivery_free(letters[i]);
}

static void expect_loss(struct bench *bench)
{
	struct delivery *got;

	assert_int_equal(next_verdict(bench, &got), -1);
	assert_int_equal(bench->err.scope, SCOPE_DESTINATION);
	assert_null(bench->dest->wire);
	assert_int_equal(dest_verdicts(bench->dest, &got, &bench->err), 0);
}

/* -- the window -- */

static void opens_for_a_distant_server(void **state)
{
	static const struct step smtp[] = {
		PLAY(open_window), PLAY(four_groups), PLAY(four_taken), PLAY(four_groups), PLAY(four_taken), PLAY(quit), END};
	static const struct step lmtp[] = {S("220 mx"), C("LHLO me.example"), S("250-mx"), S("250-PIPELINING"), S("250-ENHANCEDSTATUSCODES"),
		S("250 CHUNKING"), PLAY(opening), PLAY(four_groups), PLAY(four_taken), PLAY(four_groups), PLAY(four_taken), PLAY(quit), END};

	(void)state;
	for (unsigned kind = 0; kind < 2; kind++) {
		struct delivery *letters[LETTERS];
		struct bench bench;

		bench_start_far(&bench, kind == 0 ? DEST_SMTP : DEST_LMTP, LETTERS, FAR_NS, kind == 0 ? smtp : lmtp, NULL);
		open_up(&bench);
		for (unsigned round = 0; round < 2; round++) {
			offer_letters(&bench, letters, LETTERS);
			assert_false(dest_has_room(bench.dest));
			for (unsigned i = 0; i < LETTERS; i++) {
				expect_verdict(&bench, letters[i], ACCEPTED);
				assert_string_equal(letters[i]->reply, "250 2.6.0 queued");
			}
			free_letters(letters, LETTERS);
		}
		bench_end(&bench);
	}
}

/* Each of these servers gets its mail by DATA, and the next envelope behind the dot as soon as it is clear that no window will open. */
static void stays_shut(void **state)
{
#define RIDING C("MAIL FROM:<" BEN ">"), C("RCPT TO:<" ANNA ">"), C("DATA")
#define AGREED S("250 2.1.0 Ok"), S("250 2.1.5 Ok"), S("354 go")
#define SENT GET(LETTER_SENT ".\r\n")
#define TWO_BY_DATA RIDING, QUIET, AGREED, SENT, RIDING, QUIET, S("250 2.0.0 ok"), AGREED, SENT, QUIET, S("250 2.0.0 ok"), PLAY(quit), END
	static const struct step fits[] = {PLAY(greet), TWO_BY_DATA};
	static const struct step no_chunking[] = {
		S("220 mx"), C("EHLO me.example"), S("250-mx"), S("250-ENHANCEDSTATUSCODES"), S("250 PIPELINING"), TWO_BY_DATA};
	static const struct step no_codes[] = {S("220 mx"), C("EHLO me.example"), S("250-mx"), S("250-CHUNKING"), S("250 PIPELINING"), TWO_BY_DATA};
	static const struct step odd_codes[] = {PLAY(greet), RIDING, QUIET, S("250 2.0.0 Ok"), S("250 2.1.5 Ok"), S("354 go"), SENT, RIDING, QUIET,
		S("250 2.0.0 ok"), AGREED, SENT, QUIET, S("250 2.0.0 ok"), PLAY(quit), END};
	static const struct {
		const struct step *script;
		unsigned window;
		int64_t round_trip_ns;
	} cases[] = {{fits, 8, NEAR_NS}, {fits, 1, FAR_NS}, {no_chunking, 8, FAR_NS}, {no_codes, 8, FAR_NS}, {odd_codes, 8, FAR_NS}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct delivery *first = letter(), *second = letter();
		struct bench bench;

		bench_start_far(&bench, DEST_SMTP, cases[i].window, cases[i].round_trip_ns, cases[i].script, NULL);
		assert_int_equal(dest_open(bench.dest, &bench.err), 0);
		assert_int_equal(dest_offer(bench.dest, first, second, &bench.err), 0);
		assert_false(dest_has_room(bench.dest));
		expect_verdict(&bench, first, ACCEPTED);
		offer(&bench, second);
		expect_verdict(&bench, second, ACCEPTED);
		bench_end(&bench);
		delivery_free(first);
		delivery_free(second);
	}
}

static void odd_codes_to_the_message_keep_it_shut(void **state)
{
	static const struct step script[] = {PLAY(greet), BY_DATA("250 2.1.5 Ok SESSIONID=1"), BY_DATA("250 2.1.5 Ok SESSIONID=2"), PLAY(quit), END};
	struct bench bench;

	(void)state;
	bench_start_far(&bench, DEST_SMTP, 8, FAR_NS, script, NULL);
	open_up(&bench);
	bench_end(&bench);
}

/* -- replies -- */

#define OK_GROUP "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 queued\r\n"

/* What comes back to four messages, and what is known of each then. */
static const struct {
	const char *name, *replies;
	enum verdict verdicts[LETTERS];
	bool lost;
} answers[] = {
	{"all is well", OK_GROUP OK_GROUP OK_GROUP OK_GROUP, {ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED}, false},
	{"doubled reply to MAIL", OK_GROUP "250 2.1.0 Ok\r\n" OK_GROUP OK_GROUP OK_GROUP, {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"doubled reply to RCPT", "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n", {DOUBT, DOUBT, DOUBT, DOUBT}, true},
	{"doubled reply to BDAT", OK_GROUP "250 2.0.0 queued\r\n" OK_GROUP OK_GROUP OK_GROUP, {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"missing reply to MAIL", "250 2.1.5 Ok\r\n250 2.0.0 queued\r\n" OK_GROUP OK_GROUP OK_GROUP, {DOUBT, DOUBT, DOUBT, DOUBT}, true},
	{"missing reply to RCPT", OK_GROUP "250 2.1.0 Ok\r\n250 2.0.0 queued\r\n" OK_GROUP OK_GROUP, {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"missing reply to BDAT", OK_GROUP "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" OK_GROUP OK_GROUP, {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"no reply at all", "what?\r\n" OK_GROUP OK_GROUP OK_GROUP OK_GROUP, {DOUBT, DOUBT, DOUBT, DOUBT}, true},
	{"half a reply", OK_GROUP OK_GROUP "250-2.1.0 Ok\r\n251 2.1.0 Ok\r\n", {ACCEPTED, ACCEPTED, DOUBT, DOUBT}, true},
	{"a question", OK_GROUP "354 go\r\n", {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"a reply without code", OK_GROUP "250 ok\r\n250 ok\r\n250 ok\r\n", {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"refused, then accepted", OK_GROUP "250 2.1.0 Ok\r\n550 5.1.1 who?\r\n250 2.0.0 queued\r\n", {ACCEPTED, DOUBT, DOUBT, DOUBT}, true},
	{"caught in the refused transaction",
		"250 2.1.0 Ok\r\n550 5.1.1 who?\r\n554 5.5.1 none\r\n503 5.5.1 nested\r\n250 2.1.5 Ok\r\n250 2.0.0 queued\r\n",
		{BACK, DOUBT, DOUBT, DOUBT}, true},
	{"leaves between messages", OK_GROUP "421 4.7.0 enough\r\n", {ACCEPTED, BACK, BACK, BACK}, true},
	{"leaves over a message", OK_GROUP "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n421 4.3.2 shutdown\r\n", {ACCEPTED, BACK, BACK, BACK}, true},
};

static void every_answer_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct step fine[] = {
			PLAY(open_window), PLAY(four_groups), BYTES(answers[i].replies, strlen(answers[i].replies)), PLAY(quit), END};
		const struct step ends[] = {PLAY(open_window), PLAY(four_groups), POUR(answers[i].replies, strlen(answers[i].replies)), SILENCE, END};
		struct delivery *letters[LETTERS];
		struct bench bench;

		bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, answers[i].lost ? ends : fine, NULL);
		open_up(&bench);
		offer_letters(&bench, letters, LETTERS);
		for (unsigned k = 0; k < LETTERS; k++) {
			struct delivery *got = NULL;

			assert_int_equal(next_verdict(&bench, &got), 1);
			assert_ptr_equal(got, letters[k]);
			if (got->verdict != answers[i].verdicts[k])
				print_error("%s: message %u: %s\n", answers[i].name, k + 1, got->error.text);
			assert_int_equal(got->verdict, answers[i].verdicts[k]);
			assert_true(got->verdict == ACCEPTED || strstr(got->error.text, "destination home") != NULL);
		}
		if (answers[i].lost)
			expect_loss(&bench);
		bench_end(&bench);
		free_letters(letters, LETTERS);
	}
}

/* Nothing that was refused in a window is held for it: it comes back, and the caller offers it again by itself. */
static void a_refusal_is_asked_for_again(void **state)
{
	static const struct step script[] = {PLAY(open_window), PLAY(four_groups), PLAY(taken), S("250 2.1.0 Ok"), S("550 5.1.1 who?"),
		S("554 5.5.1 no valid recipients"), S("250 2.1.0 Ok"), S("250 2.1.5 Ok"), S("552 5.3.4 too big"), PLAY(taken), C("RSET"), QUIET,
		S("250 2.0.0 Ok"), RIDING, QUIET, S("250 2.1.0 Ok"), S("550 5.1.1 who?"), S("554 5.5.1 none"), C("RSET"), QUIET, S("250 2.0.0 Ok"),
		RIDING, QUIET, AGREED, SENT, S("552 5.3.4 too big"), PLAY(group), QUIET, PLAY(taken), PLAY(quit), END};
	struct delivery *letters[LETTERS];
	struct bench bench;

	(void)state;
	bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, NULL);
	open_up(&bench);
	offer_letters(&bench, letters, LETTERS);
	expect_verdict(&bench, letters[0], ACCEPTED);
	expect_verdict(&bench, letters[1], BACK);
	expect_error(&letters[1]->error, ERR_TEMP, SCOPE_DESTINATION, "refused the recipient: 550 5.1.1 who?");
	expect_verdict(&bench, letters[2], BACK);
	expect_error(&letters[2]->error, ERR_TEMP, SCOPE_DESTINATION, "refused the message: 552 5.3.4 too big");
	expect_verdict(&bench, letters[3], ACCEPTED);
	for (unsigned i = 1; i < 3; i++) {
		letters[i]->retracted = true;
		offer(&bench, letters[i]);
		expect_verdict(&bench, letters[i], i == 1 ? VERDICT_DEFERRED : VERDICT_REFUSED);
	}
	expect_error(&letters[1]->error, ERR_TEMP, SCOPE_DESTINATION, "refused the recipient: 550 5.1.1 who?"); /* after others for the same sender */
	expect_error(&letters[2]->error, ERR_REFUSED, SCOPE_MESSAGE, "refused the message: 552 5.3.4 too big");
	haul_one(&bench);
	bench_end(&bench);
	free_letters(letters, LETTERS);
}

static void a_surprise_is_followed_by_lock_step(void **state)
{
	static const struct step script[] = {PLAY(open_window), PLAY(group), QUIET, RAW("250 2.1.5 Ok\r\n"), SILENCE, END};
	static const struct step again[] = {PLAY(greet), PLAY(in_steps), PLAY(in_steps), PLAY(quit), END};
	struct delivery *first = letter();
	struct bench bench;

	(void)state;
	bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, again);
	open_up(&bench);
	offer(&bench, first);
	expect_verdict(&bench, first, DOUBT);
	expect_error(&first->error, ERR_PROTO, SCOPE_DESTINATION, "gave an answer that does not fit the question: 250 2.1.5 Ok");
	expect_loss(&bench);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	haul_one(&bench);
	haul_one(&bench);
	bench_end(&bench);
	delivery_free(first);
}

/* -- cuts -- */

static unsigned complete_groups(const char *replies, size_t len)
{
	unsigned lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += replies[i] == '\n';
	return lines / 3;
}

static void cut_after_each_byte_of_the_replies(void **state)
{
	static const char replies[] = OK_GROUP OK_GROUP OK_GROUP OK_GROUP;

	(void)state;
	for (size_t len = 0; len < sizeof(replies); len++) {
		const struct step script[] = {PLAY(open_window), PLAY(four_groups), BYTES(replies, len), CLOSE, END};
		struct delivery *letters[LETTERS], *got;
		struct bench bench;

		bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, NULL);
		open_up(&bench);
		offer_letters(&bench, letters, LETTERS);
		for (unsigned i = 0; i < LETTERS; i++)
			expect_verdict(&bench, letters[i], i < complete_groups(replies, len) ? ACCEPTED : DOUBT);
		if (len < sizeof(replies) - 1)
			expect_loss(&bench);
		else
			while (bench.dest->wire != NULL)
				assert_int_equal(dest_verdicts(bench.dest, &got, &bench.err), 0);
		bench_end(&bench);
		free_letters(letters, LETTERS);
	}
}

/* The socket takes hardly anything, so what has left has been read. */
static void narrow(struct bench *bench)
{
	int bytes = 4096;

	assert_int_equal(setsockopt(wire_fd(bench->dest->wire), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

/* A server that reads so much and then is gone: what has not left completely was not sent, and nothing that follows it either. */
static void cut_before_all_was_sent(void **state)
{
	size_t len = 30000;
	char *bytes = xcalloc(1, len);

	(void)state;
	memset(bytes, 'a', len);
	for (unsigned pieces = 0; pieces < 4; pieces++) {
		const struct step script[] = {PLAY(open_window), READ(1 + 15000 * pieces), CUT, END};
		struct delivery *letters[LETTERS] = {NULL};
		enum verdict last = DOUBT;
		unsigned offered = 0;
		struct bench bench;

		bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, NULL);
		open_up(&bench);
		narrow(&bench);
		while (offered < LETTERS && (offered == 0 || dest_has_room(bench.dest))) {
			letters[offered] = delivery_new(bytes, len, BEN, ANNA);
			assert_int_equal(dest_offer(bench.dest, letters[offered++], NULL, &bench.err), 0);
			if (dest_flush(bench.dest, &bench.err) < 0)
				break;
		}
		for (unsigned i = 0; i < offered; i++) {
			struct delivery *got;

			assert_int_equal(next_verdict(&bench, &got), 1);
			assert_ptr_equal(got, letters[i]);
			assert_true(got->verdict == last || (last == DOUBT && got->verdict == BACK));
			last = got->verdict;
		}
		assert_int_equal(last, BACK);
		bench_end(&bench);
		free_letters(letters, offered);
	}
	free(bytes);
}

/* More than a socket holds, to a server that says yes before it has read it: that is no answer to it, and the message was not sent. */
static void an_early_answer_credits_nothing(void **state)
{
	static const struct step script[] = {
		PLAY(open_window), C("MAIL FROM:<" BEN ">"), C("RCPT TO:<" ANNA ">"), C("BDAT 250020 LAST"), RAW(OK_GROUP), CUT, END};
	static char bytes[250000];
	struct delivery *delivery;
	struct bench bench;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	delivery = delivery_new(bytes, sizeof(bytes), BEN, ANNA);
	bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, NULL);
	open_up(&bench);
	narrow(&bench);
	offer(&bench, delivery);
	if (dest_flush(bench.dest, &bench.err) == 0) { /* it may have been noticed already */
		expect_verdict(&bench, delivery, BACK);
		expect_loss(&bench);
	} else {
		expect_verdict(&bench, delivery, BACK);
	}
	bench_end(&bench);
	delivery_free(delivery);
}

/* -- limits -- */

static void a_large_message_goes_by_data(void **state)
{
	static char bytes[300000];
	struct str sent = {0};
	struct delivery *small = letter(), *large;
	struct bench bench;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	str_add_text(&sent, DELIVERY_PREPEND);
	str_add(&sent, bytes, sizeof(bytes));
	str_add_text(&sent, "\r\n.\r\n");
	large = delivery_new(bytes, sizeof(bytes), BEN, ANNA);
	const struct step script[] = {PLAY(open_window), PLAY(group), QUIET, PLAY(taken), RIDING, QUIET, AGREED, BYTES(NULL, 0),
		{STEP_EXPECT_BYTES, sent.data, sent.len, NULL}, QUIET, S("250 2.0.0 ok"), PLAY(group), PLAY(taken), PLAY(quit), END};

	bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, script, NULL);
	open_up(&bench);
	offer(&bench, small);
	assert_int_equal(dest_offer(bench.dest, large, NULL, &bench.err), 0); /* waits until nothing is out */
	expect_verdict(&bench, small, ACCEPTED);
	expect_verdict(&bench, large, ACCEPTED);
	haul_one(&bench);
	bench_end(&bench);
	delivery_free(small);
	delivery_free(large);
	str_done(&sent);
}

static void mailmax_is_kept(void **state)
{
	static const struct step first[] = {GREET("250-LIMITS RCPTMAX=5 MAILMAX=4\r\n"), PLAY(opening), PLAY(group), PLAY(group), QUIET, PLAY(taken),
		PLAY(taken), PLAY(quit), END};
	static const struct step second[] = {GREET("250-LIMITS MAILMAX=4\r\n"), PLAY(by_data), PLAY(quit), END};
	struct delivery *letters[2];
	struct bench bench;

	(void)state;
	bench_start_far(&bench, DEST_SMTP, LETTERS, FAR_NS, first, second);
	open_up(&bench);
	offer_letters(&bench, letters, 2);
	assert_false(dest_has_room(bench.dest));
	expect_verdict(&bench, letters[0], ACCEPTED);
	expect_verdict(&bench, letters[1], ACCEPTED);
	haul_one(&bench);
	bench_end(&bench);
	free_letters(letters, 2);
}

/* 4.5.3 after mail was taken: enough for this connection, not for this recipient. */
static void enough_over_one_connection(void **state)
{
#define ENOUGH S("250 2.1.0 Ok"), S("452 4.5.3 too many"), S("503 5.5.1 no")
	static const struct step by_bdat[] = {PLAY(open_window), PLAY(group), PLAY(group), QUIET, PLAY(taken), ENOUGH, PLAY(quit), END};
	static const struct step by_data_only[] = {PLAY(greet), PLAY(by_data), PLAY(by_data), PLAY(by_data), RIDING, QUIET, ENOUGH, PLAY(quit), END};
	static const struct step second[] = {PLAY(greet), PLAY(by_data), PLAY(quit), END};

	(void)state;
	for (unsigned near = 0; near < 2; near++) {
		struct delivery *letters[2] = {letter(), letter()};
		struct bench bench;

		bench_start_far(&bench, DEST_SMTP, LETTERS, near != 0 ? NEAR_NS : FAR_NS, near != 0 ? by_data_only : by_bdat, second);
		open_up(&bench);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(dest_offer(bench.dest, letters[i], NULL, &bench.err), 0);
		assert_int_equal(dest_flush(bench.dest, &bench.err), 0);
		expect_verdict(&bench, letters[0], ACCEPTED);
		expect_verdict(&bench, letters[1], BACK);
		letters[1]->retracted = true;
		offer(&bench, letters[1]);
		expect_verdict(&bench, letters[1], ACCEPTED);
		bench_end(&bench);
		free_letters(letters, 2);
	}
}

/* -- flights -- */

#define HAUL 100

struct plot {
	struct step steps[8 * HAUL];
	size_t len;
	unsigned flights; /* times that the server has to wait for the client */
};

static void put(struct plot *plot, struct step step)
{
	assert_true(plot->len < sizeof(plot->steps) / sizeof(plot->steps[0]));
	plot->steps[plot->len++] = step;
}

static void put_flight(struct plot *plot, const struct step *asked, const struct step *answered, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		put(plot, (struct step)PLAY(asked));
	put(plot, (struct step)QUIET);
	for (unsigned i = 0; i < count; i++)
		put(plot, (struct step)PLAY(answered));
	plot->flights++;
}

/* As the session does it: offers what there is room for, writes once, takes what has come. */
static void haul_all(struct bench *bench, unsigned count)
{
	struct delivery *letters[HAUL], *got;
	unsigned offered = 0, accepted = 0;

	assert_true(count <= HAUL);
	for (unsigned i = 0; i < count; i++)
		letters[i] = letter();
	while (accepted < count) {
		for (; offered < count && dest_has_room(bench->dest); offered++)
			assert_int_equal(
				dest_offer(bench->dest, letters[offered], offered + 1 < count ? letters[offered + 1] : NULL, &bench->err), 0);
		assert_int_equal(dest_flush(bench->dest, &bench->err), 0);
		assert_int_equal(next_verdict(bench, &got), 1);
		assert_ptr_equal(got, letters[accepted]);
		assert_int_equal(got->verdict, ACCEPTED);
		accepted++;
	}
	free_letters(letters, count);
}

static void a_window_of_eight_needs_an_eighth_of_the_flights(void **state)
{
	static struct plot plot;
	struct bench bench;

	(void)state;
	put(&plot, (struct step)PLAY(open_window));
	for (unsigned left = HAUL - 2; left != 0; left -= left < 8 ? left : 8)
		put_flight(&plot, group, taken, left < 8 ? left : 8);
	put(&plot, (struct step)PLAY(quit));
	put(&plot, (struct step)END);
	assert_true(plot.flights + 3 <= HAUL / 8 + 4);
	bench_start_far(&bench, DEST_SMTP, 8, FAR_NS, plot.steps, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	haul_all(&bench, HAUL);
	bench_end(&bench);
}

static void pipelining_alone_needs_one_flight_each(void **state)
{
	static const struct step asked[] = {RIDING, END}, agreed[] = {AGREED, END}, sent[] = {SENT, END}, ok[] = {S("250 2.0.0 ok"), END};
	static const struct step sent_and_asked[] = {SENT, RIDING, END}, ok_and_agreed[] = {S("250 2.0.0 ok"), AGREED, END};
	static struct plot plot;
	struct bench bench;

	(void)state;
	put(&plot, (struct step)S("220 mx"));
	put(&plot, (struct step)C("EHLO me.example"));
	put(&plot, (struct step)S("250-mx"));
	put(&plot, (struct step)S("250 PIPELINING"));
	put_flight(&plot, asked, agreed, 1);
	for (unsigned i = 0; i < HAUL - 1; i++)
		put_flight(&plot, sent_and_asked, ok_and_agreed, 1);
	put_flight(&plot, sent, ok, 1);
	put(&plot, (struct step)PLAY(quit));
	put(&plot, (struct step)END);
	assert_true(plot.flights * 100 <= HAUL * 105);
	bench_start_far(&bench, DEST_SMTP, 8, FAR_NS, plot.steps, NULL);
	assert_int_equal(dest_open(bench.dest, &bench.err), 0);
	haul_all(&bench, HAUL);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_for_a_distant_server),
		cmocka_unit_test(stays_shut),
		cmocka_unit_test(odd_codes_to_the_message_keep_it_shut),
		cmocka_unit_test(every_answer_has_its_place),
		cmocka_unit_test(a_refusal_is_asked_for_again),
		cmocka_unit_test(a_surprise_is_followed_by_lock_step),
		cmocka_unit_test(cut_after_each_byte_of_the_replies),
		cmocka_unit_test(cut_before_all_was_sent),
		cmocka_unit_test(an_early_answer_credits_nothing),
		cmocka_unit_test(a_large_message_goes_by_data),
		cmocka_unit_test(mailmax_is_kept),
		cmocka_unit_test(enough_over_one_connection),
		cmocka_unit_test(a_window_of_eight_needs_an_eighth_of_the_flights),
		cmocka_unit_test(pipelining_alone_needs_one_flight_each),
	};

	return cmocka_run_group_tests_name("smtp-window", tests, NULL, NULL);
}
