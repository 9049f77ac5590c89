#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "policy/policy.h"

#define KINDS (ERR_CANCELED + 1)
#define SCOPES (SCOPE_PROGRAM + 1)

/* One letter for each action: - none, r retry, h hold, f skip folder, d stop destination, s end session, l end login, p end program. */
static const char letters[] = {[ACTION_NONE] = '-',
	[ACTION_RETRY] = 'r',
	[ACTION_HOLD] = 'h',
	[ACTION_SKIP_FOLDER] = 'f',
	[ACTION_STOP_DESTINATION] = 'd',
	[ACTION_END_SESSION] = 's',
	[ACTION_END_LOGIN] = 'l',
	[ACTION_END_PROGRAM] = 'p'};

static void every_pair_of_kind_and_scope(void **ctx)
{
	/* Columns: none, temp, auth, tls, proto, refused, local, config, canceled. */
	static const char *const expected[SCOPES] = {
		[SCOPE_MESSAGE] = "-rrrrhrhs",
		[SCOPE_RECIPIENT] = "-rrrrhrhs",
		[SCOPE_FOLDER] = "-ffsffffs",
		[SCOPE_MAILBOX] = "-slssssss",
		[SCOPE_DESTINATION] = "-ddddddds",
		[SCOPE_PROGRAM] = "-spppppps",
	};

	(void)ctx;
	for (int scope = 0; scope < SCOPES; scope++)
		for (int kind = 0; kind < KINDS; kind++)
			assert_int_equal(letters[policy_action((enum error_kind)kind, (enum error_scope)scope)], expected[scope][kind]);
}

static void unknown_numbers_end_the_session(void **ctx)
{
	(void)ctx;
	assert_int_equal(policy_action((enum error_kind)KINDS, SCOPE_MESSAGE), ACTION_END_SESSION);
	assert_int_equal(policy_action((enum error_kind)255, SCOPE_PROGRAM), ACTION_END_SESSION);
	assert_int_equal(policy_action(ERR_TEMP, (enum error_scope)SCOPES), ACTION_END_SESSION);
	assert_int_equal(policy_action(ERR_TEMP, (enum error_scope)255), ACTION_END_SESSION);
}

static void exit_codes(void **ctx)
{
	/* Columns as above. */
	static const int expected[SCOPES][KINDS] = {
		[SCOPE_MESSAGE] = {0, 75, 75, 75, 75, 0, 75, 78, 75},
		[SCOPE_RECIPIENT] = {0, 75, 75, 75, 75, 0, 75, 78, 75},
		[SCOPE_FOLDER] = {0, 75, 77, 75, 75, 75, 75, 78, 75},
		[SCOPE_MAILBOX] = {0, 75, 77, 75, 75, 75, 75, 78, 75},
		[SCOPE_DESTINATION] = {0, 75, 77, 75, 75, 75, 75, 78, 75},
		[SCOPE_PROGRAM] = {0, 75, 77, 75, 70, 70, 74, 78, 75},
	};

	(void)ctx;
	for (int scope = 0; scope < SCOPES; scope++)
		for (int kind = 0; kind < KINDS; kind++)
			assert_int_equal(policy_exit_code((enum error_kind)kind, (enum error_scope)scope), expected[scope][kind]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_kind_and_scope),
		cmocka_unit_test(unknown_numbers_end_the_session),
		cmocka_unit_test(exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
