/* test-smtp-woken.c - an SMTP server that is silent after the machine has slept: it is left soon, but for one that has a message and owes the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/lib/smtp-fixture.h"

static const struct step greet[] = {S("220 mx"), C("EHLO me.example"), S("250-mx"), S("250 PIPELINING"), END};
static const struct step flight[] = {C("MAIL FROM:<" BEN ">*"), C("RCPT TO:<" ANNA ">*"), C("DATA"), END};

/* A second is a millisecond. The machine will have slept until a moment in which the server is silent: its last answer comes at once. */
static void expect_end(const struct step *script, enum verdict verdict, const char *text)
{
	struct delivery *delivery = letter();
	struct bench bench;
	struct error err;

	deadline_set_factor(0.001);
	bench_start(&bench, DEST_SMTP, PEER_WHOLE, script, NULL);
	bench.channel.woke_ns = clock_monotonic_ns() + 200 * 1000000;
	dest_offer(bench.dest, delivery, NULL, &err);
	expect_verdict(&bench, delivery, verdict);
	expect_error(&delivery->error, ERR_TEMP, SCOPE_DESTINATION, text);
	delivery_free(delivery);
	bench_end(&bench);
	deadline_set_factor(1);
}

static void before_it_has_the_message(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(flight), DRAIN, END};
	static const struct step half[] = {PLAY(greet), PLAY(flight), S("250 ok"), DRAIN, END};

	(void)state;
	expect_end(script, VERDICT_RETRACTED, "since this machine woke up");
	expect_end(half, VERDICT_RETRACTED, "since this machine woke up");
}

/* As long as without the sleep: until then the answer may come. */
static void once_it_has_the_message(void **state)
{
	static const struct step script[] = {PLAY(greet), PLAY(flight), S("250 ok"), S("250 ok"), S("354 go"), DRAIN, END};

	(void)state;
	expect_end(script, VERDICT_IN_DOUBT, "did not answer in time");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_it_has_the_message),
		cmocka_unit_test(once_it_has_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
